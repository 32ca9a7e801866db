"""Reader of COCO instances files."""

import json
from pathlib import Path

import pytest
from PIL import Image

from rrsis_geo.data.instances.coco import InstanceSource
from rrsis_geo.errors import InputError


def test_records_hold_the_content_of_the_file(coco: Path) -> None:
    source = InstanceSource(coco)
    town = source.read(60)
    assert len(source) == 64
    assert town.complete == {"bus", "car"}
    assert town.gsd_m == pytest.approx(0.3)
    assert [item.category for item in town.instances] == ["bus", "car"]
    assert town.instances[0].bbox == (10, 10, 8, 24)
    assert town.instances[0].mask.all()
    assert source.read(0).complete == frozenset()
    assert source.counts[60] == {"bus": 1, "car": 1}


def test_all_forms_of_segmentations_give_the_same_mask(coco: Path, tmp_path: Path) -> None:
    content = json.loads(coco.read_text())
    content["images"] = content["images"][60:63]
    runs = {"size": [96, 128], "counts": [10 * 96 + 10, *([8, 88] * 23), 8, 96 * 94 + 78]}
    ring = [[10, 10, 34, 10, 34, 18, 10, 18]]
    content["annotations"] = [
        {"image_id": 60, "category_id": 2, "segmentation": runs},
        {"image_id": 61, "category_id": 2, "segmentation": ring},
        {"image_id": 62, "category_id": 2, "segmentation": {**runs, "counts": [96 * 128]}},
    ]
    path = tmp_path / "forms.json"
    path.write_text(json.dumps(content))
    source = InstanceSource(path, coco.parent / "images")
    assert source.read(0).instances[0].bbox == (10, 10, 8, 24)
    assert source.read(1).instances[0].bbox == (10, 10, 8, 24)
    assert list(source.read(2).instances) == []


def test_images_are_cached_within_the_memory_limit(coco: Path) -> None:
    n_bytes, none = InstanceSource(coco), InstanceSource(coco, cache_mib=0)
    assert n_bytes.read(0).image is n_bytes.read(0).image
    assert none.read(0).image is not none.read(0).image
    assert (none.read(0).image == n_bytes.read(0).image).all()


def test_errors_name_the_file(coco: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json: cannot be read \(No such file"):
        InstanceSource(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(InputError, match=r"bad\.json: not JSON"):
        InstanceSource(tmp_path / "bad.json")
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(InputError, match="not a COCO instances file"):
        InstanceSource(tmp_path / "other.json")
    with pytest.raises(InputError, match=r"0\.png"):
        InstanceSource(coco, tmp_path).read(0)


def test_an_image_of_another_size_raises(coco: Path, tmp_path: Path) -> None:
    Image.new("RGB", (10, 10)).save(tmp_path / "0.png")
    with pytest.raises(InputError, match="10 x 10"):
        InstanceSource(coco, tmp_path).read(0)
