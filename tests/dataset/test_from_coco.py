"""Conversion of COCO instances to triplets."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from rrsis_geo.data.benchmarks.layouts import load_split
from rrsis_geo.dataset.from_coco import CocoOptions, from_coco
from rrsis_geo.errors import ConfigError, InputError

SIDE = 160
RED = (190, 30, 32)


def write_coco(folder: Path, n_images: int = 6, *, sequences: int | None = None) -> Path:
    """Images with two red trucks each, one a polygon and one an RLE."""
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for number in range(n_images):
        image = np.full((SIDE, SIDE, 3), (120, 105, 85), np.uint8)
        top, left = 12 + 3 * number, 20 + 2 * number
        image[top : top + 20, left : left + 40] = RED
        image[110:130, 90:120] = RED
        Image.fromarray(image).save(folder / "images" / f"{number}.png")
        entry: dict[str, object] = {
            "id": number,
            "file_name": f"{number}.png",
            "height": SIDE,
            "width": SIDE,
            "labels_complete": True,
        }
        if sequences is not None:
            entry["sequence"] = f"flight {number % sequences}"
        images.append(entry)
        right, bottom = left + 40, top + 20
        polygon = [[left, top, right, top, right, bottom, left, bottom]]
        mask = np.zeros((SIDE, SIDE), np.uint8, order="F")
        mask[110:130, 90:120] = 1
        rle = coco_mask.encode(mask)
        rle["counts"] = rle["counts"].decode()
        for segmentation in (polygon, rle):
            annotations.append({"image_id": number, "category_id": 7, "segmentation": segmentation})
    path = folder / "instances.json"
    categories = [{"id": 7, "name": "truck"}]
    path.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    return path


def test_masks_match_the_objects(tmp_path: Path) -> None:
    path = write_coco(tmp_path / "coco")
    options = CocoOptions(samples=24, size_px=96, val_share=0.25)
    report = from_coco(path, tmp_path / "dataset", options)
    assert report.categories == {"truck": 12}
    assert {name: counts.samples for name, counts in report.splits.items()} == {
        "train": 18,
        "val": 6,
    }
    for split in report.splits:
        records = load_split("triplets", tmp_path / "dataset", split)
        for index in range(len(records)):
            sample = records[index]
            assert sample.image.shape == (96, 96, 3)
            assert (
                sample.category == "truck"
            )  # not "vehicle", because vehicles are not fully labelled
            red = (sample.image[..., 0] > 150) & (sample.image[..., 1] < 80)
            # nearest-neighbour masks and bilinear images differ by one pixel along outlines
            assert (sample.mask & ~red).mean() < 0.03
            if sample.kind == "category":
                assert (red & ~sample.mask).mean() < 0.03


def test_splits_share_no_image_and_no_sequence(tmp_path: Path) -> None:
    path = write_coco(tmp_path / "coco", sequences=2)
    options = CocoOptions(samples=30, size_px=64, val_share=0.3)
    from_coco(path, tmp_path / "dataset", options)
    shown = {
        split: {
            int(record.source) % 2
            for record in load_split("triplets", tmp_path / "dataset", split).records
        }
        for split in ("train", "val")
    }
    assert not shown["train"] & shown["val"]


def test_the_same_seed_gives_the_same_dataset(tmp_path: Path) -> None:
    path = write_coco(tmp_path / "coco")
    texts = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        from_coco(path, tmp_path / name, CocoOptions(samples=8, size_px=64, seed=seed))
        texts.append((tmp_path / name / "train.jsonl").read_text())
    assert texts[0] == texts[1] != texts[2]


def test_errors_leave_no_files(tmp_path: Path) -> None:
    path = write_coco(tmp_path / "coco")
    (tmp_path / "coco" / "images" / "3.png").unlink()
    with pytest.raises(InputError, match=r"3\.png"):
        from_coco(path, tmp_path / "dataset", CocoOptions(samples=60, size_px=64))
    with pytest.raises(ConfigError, match="--val-share 0"):
        from_coco(write_coco(tmp_path / "one", 1), tmp_path / "dataset")
    empty = tmp_path / "empty.json"
    empty.write_text(json.dumps({"images": [], "annotations": [], "categories": []}))
    with pytest.raises(InputError, match="nothing to refer to"):
        from_coco(empty, tmp_path / "dataset", CocoOptions(val_share=0))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["coco", "empty.json", "one"]
