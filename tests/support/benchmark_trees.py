"""Made-up trees of files in the exact layout of each benchmark, with small painted images.

Every image shows one block in front of noise, and its sentence names the block's colour, what it is
said to be, and its place, so that a network can learn the samples too.
"""

import json
import pickle
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from rrsis_geo.data.benchmarks.triplets import TripletWriter
from rrsis_geo.data.sample import Sample

SPLITS = {"train": 4, "val": 2, "test": 3}
COLOURS = {"red": (200, 40, 40), "blue": (40, 60, 200), "yellow": (220, 210, 50)}
CATEGORIES = ("vehicle", "bridge", "storage tank")


def make_sample(name: str, shape: tuple[int, int]) -> Sample:
    """One sample, the same for the same name and shape."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    height, width = shape
    image = rng.integers(90, 130, (height, width, 1), np.uint8).repeat(3, 2)
    colour = str(rng.choice(list(COLOURS)))
    category = str(rng.choice(CATEGORIES))
    is_left = bool(rng.random() < 0.5)
    row = int(rng.integers(height // 8, height // 2))
    col = int(rng.integers(1, width // 6)) + (0 if is_left else width // 2)
    mask = np.zeros(shape, bool)
    mask[row : row + height // 4, col : col + width // 3] = True
    image[mask] = COLOURS[colour]
    expression = f"The {colour} {category} on the {'left' if is_left else 'right'}"
    return Sample(image, expression, mask, name, "combination", category)


def write_benchmark(
    root: Path,
    layout: str,
    *,
    splits: Mapping[str, int] = SPLITS,
    side_px: int = 48,
    **quirks: Any,
) -> Path:
    """Write a tree.

    Args:
        root: the folder to make.
        layout: a name of ``rrsis_geo.data.benchmarks.layouts.LAYOUTS``.
        splits: split -> number of samples.
        side_px: height and width of the images.
        quirks: what the layout's own function below takes.

    Returns:
        ``root``.
    """
    samples = {
        split: [make_sample(f"{split}_{number}_0", (side_px, side_px)) for number in range(count)]
        for split, count in splits.items()
    }
    root.mkdir(parents=True, exist_ok=True)
    writers: dict[str, Callable[..., None]] = {
        "refsegrs": write_refsegrs,
        "rrsisd": write_rrsisd,
        "risbench": write_risbench,
        "triplets": write_triplets,
    }
    writers[layout](root, samples, **quirks)
    return root


def write_refsegrs(
    root: Path, samples: Mapping[str, list[Sample]], *, first_release: bool = False
) -> None:
    """The present archive, or the layout of the first release."""
    folder = root / "new_dataset2" if first_release else root
    ending = "2" if first_release else ""
    images, masks = folder / f"images{ending}", folder / f"masks{ending}"
    images.mkdir(parents=True)
    masks.mkdir()
    number = 0
    for split, group in samples.items():
        lines = ""
        for sample in group:
            number += 1
            Image.fromarray(sample.image).save(images / f"{number}.tif")
            grey_mask(sample.mask).save(masks / f"{number}.tif")
            lines += f"{number} {sample.expression}\n"
        listed = f"{split}3" if first_release and split != "train" else split
        (folder / f"output_phrase_{listed}.txt").write_text(lines)


def write_rrsisd(
    root: Path,
    samples: Mapping[str, list[Sample]],
    *,
    three_folders: bool = False,
    polygons: bool = False,
    overlapping: bool = False,
    odd_sizes: bool = False,
    test_names: tuple[str, ...] = ("test",),
) -> None:
    """RMSIN's layout.

    Args:
        root: the folder.
        samples: by split.
        three_folders: rrsisd, JPEGImages and ann_split lie side by side.
        polygons: masks are lists of polygons.
        overlapping: masks are two RLEs each, which share rows.
        odd_sizes: the first image of each split is 800 rows, 787 columns; its mask 800 by 800.
        test_names: names of the test split, used in turn.
    """
    lists = root / "rrsisd"
    base = root if three_folders else root / "images" / "rrsisd"
    for folder in (lists, base / "JPEGImages", base / "ann_split"):
        folder.mkdir(parents=True)
    refs, images, annotations = [], [], []
    names = ["Expressway-Service-area", *(name.replace(" ", "") for name in CATEGORIES)]
    for split, group in samples.items():
        for place, sample in enumerate(group):
            number = len(refs) + 1
            image, mask = sample.image, sample.mask
            if odd_sizes and place == 0:
                sample = make_sample(sample.id, (800, 800))
                image, mask = sample.image[:, :787], sample.mask
            file = f"{number:05}.jpg"
            Image.fromarray(image).save(base / "JPEGImages" / file, quality=95)
            (base / "ann_split" / f"{number:05}.xml").write_text("<annotation></annotation>")
            category = 1 + CATEGORIES.index(sample.category)
            height, width = mask.shape
            images.append({"id": number, "file_name": file, "height": height, "width": width})
            annotations.append(
                {
                    "id": number,
                    "image_id": number,
                    "category_id": category,
                    "iscrowd": 0,
                    "segmentation": coded(mask, polygons=polygons, overlapping=overlapping),
                }
            )
            sent = sample.expression.lower()
            refs.append(
                {
                    "ref_id": number,
                    "ann_id": number,
                    "image_id": number,
                    "category_id": category,
                    "split": test_names[place % len(test_names)] if split == "test" else split,
                    "sentences": [
                        {
                            "sent_id": number,
                            "raw": sample.expression,
                            "sent": sent,
                            "tokens": sent.split(),
                        }
                    ],
                    "sent_ids": [number],
                }
            )
    categories = [{"id": number, "name": name} for number, name in enumerate(names)]
    told = {"images": images, "annotations": annotations, "categories": categories}
    (lists / "instances.json").write_text(json.dumps(told))
    (lists / "refs(unc).p").write_bytes(pickle.dumps(refs, protocol=2))


def write_risbench(
    root: Path,
    samples: Mapping[str, list[Sample]],
    *,
    image_folder: str = "img_rgb",
    saved: bool = False,
    columns: tuple[str, str, str] = ("image", "mask", "expression"),
) -> None:
    """Folders, or with ``saved`` a DatasetDict with these columns."""
    if saved:
        write_saved(root, samples, columns)
        return
    (root / image_folder).mkdir()
    (root / "mask").mkdir()
    for split, group in samples.items():
        lines = ""
        for sample in group:
            name = f"{sample.id}.png"
            Image.fromarray(sample.image).save(root / image_folder / name)
            grey_mask(sample.mask).save(root / "mask" / name)
            lines += f"{name} {sample.expression}\n"
        (root / f"output_phrase_{split}.txt").write_text(lines)


def write_saved(
    root: Path, samples: Mapping[str, list[Sample]], columns: tuple[str, str, str]
) -> None:
    """A DatasetDict saved to disk; its val split goes by the library's name, "validation"."""
    import datasets

    image, mask, expression = columns
    features = datasets.Features(
        {image: datasets.Image(), mask: datasets.Image(), expression: datasets.Value("string")}
    )
    tables = {
        {"val": "validation"}.get(split, split): datasets.Dataset.from_dict(
            {
                image: [Image.fromarray(sample.image) for sample in group],
                mask: [grey_mask(sample.mask) for sample in group],
                expression: [sample.expression for sample in group],
            },
            features=features,
        )
        for split, group in samples.items()
    }
    datasets.DatasetDict(tables).save_to_disk(str(root))


def write_triplets(
    root: Path, samples: Mapping[str, list[Sample]], *, absent: bool = False
) -> None:
    """Triplets; with ``absent`` the last sample of each split asks for what is not there."""
    for split, group in samples.items():
        with TripletWriter(root, split) as writer:
            for sample in group[: -1 if absent else None]:
                writer.add(sample, image_name=sample.id, source="painted")
            if absent:
                last = group[-1]
                nothing = Sample(
                    last.image, "the airplane", np.zeros_like(last.mask), last.id, "absent"
                )
                writer.add(nothing, image_name=last.id, source="painted")


def grey_mask(mask: NDArray[np.bool_]) -> Image.Image:
    """A mask as benchmarks store it: one band of 0 and 255."""
    return Image.fromarray(np.where(mask, 255, 0).astype(np.uint8))


def rle(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """A compressed RLE, its counts a string."""
    runs = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": list(mask.shape), "counts": runs["counts"].decode()}


def coded(mask: NDArray[np.bool_], *, polygons: bool, overlapping: bool) -> list[Any]:
    """The segmentation of a mask that is one block."""
    rows, cols = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    top, bottom, left, right = (int(v) for v in (rows[0], rows[-1] + 1, cols[0], cols[-1] + 1))
    if polygons:
        return [[left, top, right, top, right, bottom, left, bottom]]
    if overlapping:
        upper, lower = mask.copy(), mask.copy()
        upper[bottom - 2 :] = False
        lower[: top + 2] = False
        return [rle(upper), rle(lower)]
    return [rle(mask)]
