"""Folders in the exact layout of each benchmark, with small synthetic images.

Every image shows one coloured block on noise. Its expression names the colour, a category and the
side of the block, so that a network can learn the samples.
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
RRSISD_CATEGORIES = (
    "Expressway-Service-area",
    *(category.replace(" ", "") for category in CATEGORIES),
)


def make_sample(name: str, shape: tuple[int, int]) -> Sample:
    """A sample that depends only on its name and shape."""
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
    """Write a dataset.

    Args:
        root: the folder to create.
        layout: a key of ``rrsis_geo.data.benchmarks.layouts.LAYOUTS``.
        splits: number of samples by split.
        side_px: height and width of the images.
        quirks: options of the function that writes the layout, below.

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
        "grefcoco": write_grefcoco,
        "nwpu_refer": write_nwpu_refer,
        "triplets": write_triplets,
    }
    writers[layout](root, samples, **quirks)
    return root


def write_refsegrs(
    root: Path, samples: Mapping[str, list[Sample]], *, first_release: bool = False
) -> None:
    """The layout of the current archive, or of the first release."""
    folder = root / "new_dataset2" if first_release else root
    suffix = "2" if first_release else ""
    images, masks = folder / f"images{suffix}", folder / f"masks{suffix}"
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
        list_name = f"{split}3" if first_release and split != "train" else split
        (folder / f"output_phrase_{list_name}.txt").write_text(lines)


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
    """The layout of RMSIN.

    Args:
        root: the folder.
        samples: samples by split.
        three_folders: put rrsisd, JPEGImages and ann_split next to each other.
        polygons: write masks as lists of polygons.
        overlapping: write each mask as two overlapping RLEs.
        odd_sizes: the first image of each split has 800 x 787 pixels, and its mask 800 x 800.
        test_names: names of the test split, used in turn.
    """
    base = root if three_folders else root / "images" / "rrsisd"
    for folder in (root / "rrsisd", base / "JPEGImages", base / "ann_split"):
        folder.mkdir(parents=True)
    refs, images, annotations = [], [], []
    for split, group in samples.items():
        for position, sample in enumerate(group):
            number = len(refs) + 1
            image, mask = sample.image, sample.mask
            if odd_sizes and position == 0:
                sample = make_sample(sample.id, (800, 800))
                image, mask = sample.image[:, :787], sample.mask
            file_name = f"{number:05}.jpg"
            Image.fromarray(image).save(base / "JPEGImages" / file_name, quality=95)
            (base / "ann_split" / f"{number:05}.xml").write_text("<annotation></annotation>")
            height, width = mask.shape
            images.append({"id": number, "file_name": file_name, "height": height, "width": width})
            segmentation = encode_segmentation(mask, polygons=polygons, overlapping=overlapping)
            annotations.append(rrsisd_annotation(number, sample, segmentation))
            ref_split = test_names[position % len(test_names)] if split == "test" else split
            refs.append(rrsisd_ref(number, sample, ref_split))
    categories = [{"id": number, "name": name} for number, name in enumerate(RRSISD_CATEGORIES)]
    instances = {"images": images, "annotations": annotations, "categories": categories}
    (root / "rrsisd" / "instances.json").write_text(json.dumps(instances))
    (root / "rrsisd" / "refs(unc).p").write_bytes(pickle.dumps(refs, protocol=2))


def rrsisd_annotation(number: int, sample: Sample, segmentation: list[Any]) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": number,
        "category_id": 1 + CATEGORIES.index(sample.category),
        "iscrowd": 0,
        "segmentation": segmentation,
    }


def rrsisd_ref(number: int, sample: Sample, split: str) -> dict[str, Any]:
    sent = sample.expression.lower()
    sentence = {"sent_id": number, "raw": sample.expression, "sent": sent, "tokens": sent.split()}
    return {
        "ref_id": number,
        "ann_id": number,
        "image_id": number,
        "category_id": 1 + CATEGORIES.index(sample.category),
        "split": split,
        "sentences": [sentence],
        "sent_ids": [number],
    }


def write_grefcoco(
    root: Path, samples: Mapping[str, list[Sample]], *, absent: bool = False
) -> None:
    """The layout of GRES. Each target is two objects, which a ref lists; see ``_write_refer``."""
    refs, instances = _write_refer(root / "train2014", samples)
    for ref in refs:
        ref["no_target"] = False
    for ref in _last_refs(refs) if absent else []:
        ref |= {"ann_id": [-1], "category_id": [-1], "no_target": True}
    (root / "grefs(unc).json").write_text(json.dumps(refs))
    (root / "instances.json").write_text(json.dumps(instances))


def write_nwpu_refer(
    root: Path, samples: Mapping[str, list[Sample]], *, absent: bool = False
) -> None:
    """The layout of NWPU-Refer. Each target is two objects, each with a ref of the same words."""
    whole, instances = _write_refer(root / "image", samples)
    refs = []
    for ref in whole:
        other = {"sent_id": 1000 + ref["ref_id"], "sent": "\u6c7d\u8f66", "raw": "\u6c7d\u8f66"}
        sentences = [other, *ref["sentences"]]
        for part in (0, 1):
            one = {name: ref[name][part] for name in ("ann_id", "category_id")}
            refs.append({**ref, **one, "ref_id": 2 * ref["ref_id"] + part, "sentences": sentences})
    for ref in _last_refs(refs) if absent else []:
        ref["ann_id"] = -1
        ref["sentences"] = [{"sent_id": 0, "sent": "the airplane", "raw": "the airplane"}]
    (root / "new_refs(unc).p").write_bytes(pickle.dumps(refs, protocol=2))
    (root / "new_instances.json").write_text(json.dumps(instances))


def _last_refs(refs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last ref of each split."""
    return list({ref["split"]: ref for ref in refs}.values())


def _write_refer(
    images_dir: Path, samples: Mapping[str, list[Sample]]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Write the images, and make the refs and the COCO instances: the two halves of each target."""
    images_dir.mkdir(parents=True)
    refs, images, annotations = [], [], []
    for split, group in samples.items():
        for sample in group:
            number = len(refs) + 1
            Image.fromarray(sample.image).save(images_dir / f"{number:05}.jpg", quality=95)
            height, width = sample.mask.shape
            file = {"file_name": f"{number:05}.jpg", "height": height, "width": width}
            images.append({"id": number, **file})
            middle = int(np.flatnonzero(sample.mask.any(0)).mean())
            halves = sample.mask.copy(), sample.mask.copy()
            halves[0][:, middle:] = False
            halves[1][:, :middle] = False
            for position, half in enumerate(halves):
                segmentation = encode_segmentation(half, polygons=True, overlapping=False)
                entry = rrsisd_annotation(number, sample, segmentation)
                annotations.append({**entry, "id": 10 * number + position})
            ref = rrsisd_ref(number, sample, split)
            ids = [10 * number, 10 * number + 1]
            sentence = {**ref["sentences"][0], "sent": sample.expression}
            ref |= {"ann_id": ids, "category_id": 2 * [ref["category_id"]]}
            refs.append({**ref, "sentences": [sentence]})
    categories = [{"id": number, "name": name} for number, name in enumerate(RRSISD_CATEGORIES)]
    return refs, {"images": images, "annotations": annotations, "categories": categories}


def write_risbench(
    root: Path,
    samples: Mapping[str, list[Sample]],
    *,
    image_folder: str = "img_rgb",
    saved: bool = False,
    columns: tuple[str, str, str] = ("image", "mask", "expression"),
) -> None:
    """Folders of images and masks, or with ``saved`` a DatasetDict with these columns."""
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
    """A DatasetDict saved to disk; its val split is named "validation", as the library does."""
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
    """Triplets; with ``absent`` the target of the last sample of each split is absent."""
    for split, group in samples.items():
        with TripletWriter(root, split) as writer:
            for sample in group[: -1 if absent else None]:
                writer.add(sample, image_name=sample.id, source="painted")
            if absent:
                last = group[-1]
                sample = Sample(
                    last.image, "the airplane", np.zeros_like(last.mask), last.id, "absent"
                )
                writer.add(sample, image_name=last.id, source="painted")


def grey_mask(mask: NDArray[np.bool_]) -> Image.Image:
    """A mask as benchmarks store it: one band with the values 0 and 255."""
    return Image.fromarray(np.where(mask, 255, 0).astype(np.uint8))


def rle(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """A compressed RLE with its counts as a string."""
    runs = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": list(mask.shape), "counts": runs["counts"].decode()}


def encode_segmentation(mask: NDArray[np.bool_], *, polygons: bool, overlapping: bool) -> list[Any]:
    """The COCO segmentation of a mask that is one block."""
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
