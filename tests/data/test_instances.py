import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from rrsis_geo.data.expressions import KIND_WEIGHTS
from rrsis_geo.data.instances import InstanceSource, ReferringInstances, validation_samples
from rrsis_geo.errors import InputError

SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 images of trees, 4 of buses and cars; trees are a hundred times as many as buses."""
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
    told = {"images": images, "annotations": annotations, "categories": categories}
    path = folder / "instances.json"
    path.write_text(json.dumps(told))
    return path


def test_records_carry_what_the_file_tells(coco: Path) -> None:
    source = InstanceSource(coco)
    town = source.labelled(60)
    assert len(source) == 64
    assert town.complete == {"bus", "car"}
    assert town.gsd_m == pytest.approx(0.3)
    assert [item.category for item in town.instances] == ["bus", "car"]
    assert town.instances[0].bbox == (10, 10, 8, 24)
    assert town.instances[0].mask.all()
    assert source.labelled(0).complete == frozenset()
    assert source.counts[60] == {"bus": 1, "car": 1}


def test_segmentations_of_every_form_are_the_same(coco: Path, tmp_path: Path) -> None:
    told = json.loads(coco.read_text())
    told["images"] = told["images"][60:63]
    runs = {"size": [96, 128], "counts": [10 * 96 + 10, *([8, 88] * 23), 8, 96 * 94 + 78]}
    ring = [[10, 10, 34, 10, 34, 18, 10, 18]]
    told["annotations"] = [
        {"image_id": 60, "category_id": 2, "segmentation": runs},
        {"image_id": 61, "category_id": 2, "segmentation": ring},
        {"image_id": 62, "category_id": 2, "segmentation": {**runs, "counts": [96 * 128]}},
    ]
    path = tmp_path / "forms.json"
    path.write_text(json.dumps(told))
    source = InstanceSource(path, coco.parent / "images")
    assert source.labelled(0).instances[0].bbox == (10, 10, 8, 24)
    assert source.labelled(1).instances[0].bbox == (10, 10, 8, 24)
    assert list(source.labelled(2).instances) == []


def test_images_are_kept_only_while_memory_allows(coco: Path) -> None:
    kept, none = InstanceSource(coco), InstanceSource(coco, cache_mib=0)
    assert kept.labelled(0).image is kept.labelled(0).image
    assert none.labelled(0).image is not none.labelled(0).image
    assert (none.labelled(0).image == kept.labelled(0).image).all()


def test_the_rare_are_drawn_as_the_common(coco: Path) -> None:
    referring = ReferringInstances(InstanceSource(coco), 64)
    rng = np.random.default_rng(1)
    drawn = [referring.sample(rng) for _ in range(400)]
    kinds = Counter(sample.kind for sample in drawn)
    present = Counter(sample.category for sample in drawn if sample.kind != "absent")
    assert present["bus"] + present["car"] > 0.2 * sum(present.values())
    assert set(kinds) == set(KIND_WEIGHTS)
    for sample in drawn:
        assert sample.image.shape == (64, 64, 3)
        assert sample.mask.shape == (64, 64)
        assert sample.mask.any() == (sample.kind != "absent")


def test_draws_repeat(coco: Path) -> None:
    source = InstanceSource(coco)
    first = ReferringInstances(source, 64, seed=5)
    second = ReferringInstances(source, 64, seed=5)
    for _ in range(10):
        one, other = first.sample(), second.sample()
        assert one.expression == other.expression
        assert (one.image == other.image).all()
        assert (one.mask == other.mask).all()


def test_validation_is_fixed_and_its_start_does_not_depend_on_its_length(coco: Path) -> None:
    source = InstanceSource(coco)
    short, long = validation_samples(source, 5, 3, 64), validation_samples(source, 9, 3, 64)
    for one, other in zip(short, long, strict=False):
        assert one.expression == other.expression
        assert (one.image == other.image).all()
    assert len(long) == 9


def test_kinds_may_be_chosen(coco: Path) -> None:
    referring = ReferringInstances(InstanceSource(coco), 64, kinds={"category": 1.0})
    assert {referring.sample().kind for _ in range(30)} == {"category"}


def test_errors_name_the_file(coco: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json"):
        InstanceSource(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(InputError, match=r"bad\.json"):
        InstanceSource(tmp_path / "bad.json")
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(InputError, match="no COCO instances file"):
        InstanceSource(tmp_path / "other.json")
    with pytest.raises(InputError, match=r"0\.png"):
        InstanceSource(coco, tmp_path).labelled(0)


def test_an_image_of_another_size_is_refused(coco: Path, tmp_path: Path) -> None:
    Image.new("RGB", (10, 10)).save(tmp_path / "0.png")
    with pytest.raises(InputError, match="10 x 10"):
        InstanceSource(coco, tmp_path).labelled(0)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared instances are not on this machine")
def test_samples_of_real_instances() -> None:
    source = InstanceSource(SHARED / "instances_val.json")
    samples = validation_samples(source, 120, 0, 256)
    kinds = Counter(sample.kind for sample in samples)
    assert set(kinds) == set(KIND_WEIGHTS)
    assert kinds["absent"] < 40
    assert len({sample.category for sample in samples}) >= 12
    assert Counter(sample.category for sample in samples)["tree"] < 25
    for sample in samples:
        assert sample.mask.any() == (sample.kind != "absent")
