"""A COCO file of synthetic images for the tests of data."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 images of trees and 4 of buses and cars. Trees are 100 times as many as buses."""
    folder = tmp_path_factory.mktemp("coco")
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for number in range(64):
        trees = number < 60
        pixels = rng.integers(90, 130, (96, 128, 3), np.uint8)
        boxes = [(int(r), int(c), 6, 6) for r, c in rng.integers(0, 90, (8, 2))]
        if not trees:
            boxes = [(10, 10, 8, 24), (60, 16, 6, 12)]
        for place, (row, col, height, width) in enumerate(boxes):
            category = 1 if trees else 2 + place
            pixels[row : row + height, col : col + width] = (200, 30, 30)
            mask = np.zeros((96, 128), np.uint8)
            mask[row : row + height, col : col + width] = 1
            runs = coco_mask.encode(np.asfortranarray(mask))
            annotations.append(
                {
                    "image_id": number,
                    "category_id": category,
                    "segmentation": {"size": [96, 128], "counts": runs["counts"].decode()},
                }
            )
        name = f"{number}.png"
        Image.fromarray(pixels).save(folder / "images" / name)
        images.append({"id": number, "file_name": name, "height": 96, "width": 128})
        if not trees:
            images[-1] |= {"source": "towns", "labels_complete": True, "gsd_m": "~0.3"}
    names = ["tree", "bus", "car"]
    categories = [{"id": number + 1, "name": name} for number, name in enumerate(names)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    path = folder / "instances.json"
    path.write_text(json.dumps(content))
    return path
