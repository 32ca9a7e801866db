"""Reader of COCO instances files."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import ExifTags, Image

from rrsis_geo.data.expressions.writer import absent_categories, write_expression
from rrsis_geo.data.instances.coco import InstanceSource
from rrsis_geo.errors import InputError


def test_records_hold_the_content_of_the_file(coco: Path) -> None:
    source = InstanceSource(coco)
    town = source.read(60)
    assert source.warnings == ()
    assert source.annotations == {"read": 60 * 8 + 4 * 2}
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
    with pytest.raises(InputError, match=r"0\.png is missing or empty \(and 63 more of 64 files\)"):
        InstanceSource(coco, tmp_path)


# --- small sets: two images of two cars and a tree each

BLOCK = [[10, 10, 30, 10, 30, 30, 10, 30]]
TRIANGLE = [[40, 40, 50, 40, 50, 47]]
RUNS = {"size": [48, 64], "counts": [4 * 48, *([20, 28] * 9), 20, 48 * 51 - 20]}


class Content(NamedTuple):
    """The parts of a COCO file, to be changed by a test."""

    images: list[dict[str, Any]]
    annotations: list[Any]
    categories: list[dict[str, Any]]


def cars() -> Content:
    """Two images of two cars and a tree each."""
    images = [
        {"id": n, "file_name": f"{n}.png", "height": 48, "width": 64, "labels_complete": True}
        for n in (1, 2)
    ]
    annotations = [
        {"id": 10 * n + place, "image_id": n, "category_id": category, "segmentation": outline}
        for n in (1, 2)
        for place, (category, outline) in enumerate([(1, BLOCK), (1, RUNS), (2, TRIANGLE)])
    ]
    names = {1: "car", 2: "tree"}
    return Content(images, annotations, [{"id": id_, "name": name} for id_, name in names.items()])


def save(content: Content, folder: Path, *, encoding: str = "utf-8") -> Path:
    """Write a COCO file and its images."""
    (folder / "images").mkdir()
    for entry in content.images:
        Image.new("RGB", (64, 48), (90, 90, 90)).save(
            folder / "images" / Path(entry["file_name"]).name
        )
    path = folder / "instances.json"
    path.write_text(json.dumps(content._asdict()), encoding=encoding)
    return path


def categories_in(source: InstanceSource, index: int = 0) -> list[str]:
    return [item.category for item in source.read(index).instances]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_files_of_windows_programs(tmp_path: Path, encoding: str) -> None:
    content = cars()
    path = save(content, tmp_path, encoding=encoding)
    (tmp_path / "images" / "sub").mkdir()
    (tmp_path / "images" / "1.png").rename(tmp_path / "images" / "sub" / "1.png")
    content.images[0]["file_name"] = "sub\\1.png"
    path.write_text(json.dumps(content._asdict()), encoding=encoding)
    source = InstanceSource(path)
    assert categories_in(source) == categories_in(source, 1) == ["car", "car", "tree"]


@pytest.mark.parametrize("form", [str, float])
def test_ids_may_be_text_or_have_a_point(tmp_path: Path, form: Callable[[int], object]) -> None:
    content = cars()
    for entry in content.annotations:
        entry["image_id"], entry["category_id"] = map(
            form, (entry["image_id"], entry["category_id"])
        )
    for entry in content.images:
        entry["width"] = form(entry["width"])
    source = InstanceSource(save(content, tmp_path))
    assert categories_in(source) == categories_in(source, 1) == ["car", "car", "tree"]
    assert source.warnings == ()


@pytest.mark.parametrize(
    ("part", "other", "message"),
    [
        ("images", {"file_name": "3.png"}, "1.png and 3.png have the same image id 1"),
        ("categories", {"name": "bus"}, "car and bus have the same category id 1"),
    ],
)
def test_an_id_of_two_things_is_refused(
    tmp_path: Path, part: str, other: dict[str, str], message: str
) -> None:
    content = cars()
    entries = getattr(content, part)
    entries.append({**entries[0], **other})
    with pytest.raises(InputError, match=f"{message}, so their labels .* renumbered"):
        InstanceSource(save(content, tmp_path))


def test_what_is_listed_twice_counts_once(tmp_path: Path) -> None:
    content = cars()
    content.images.append(dict(content.images[0]))
    content.categories.append(dict(content.categories[0]))
    content.annotations.extend([{**entry, "id": 900} for entry in content.annotations])
    source = InstanceSource(save(content, tmp_path))
    assert len(source) == 2
    assert source.counts == [{"car": 2, "tree": 1}] * 2
    assert source.annotations == {"read": 12, "repeated": 6}
    assert len(source.warnings) == 1
    assert "6 of 12 annotations repeat another" in source.warnings[0]


def test_an_image_listed_under_two_ids_has_the_labels_of_both(tmp_path: Path) -> None:
    content = cars()
    content.images[1]["file_name"] = "1.png"
    source = InstanceSource(save(content, tmp_path))
    assert len(source) == 1
    assert source.counts == [{"car": 2, "tree": 1}]


@pytest.mark.parametrize(
    ("change", "reason", "message"),
    [
        (
            {"segmentation": [[10, 10]]},
            "damaged",
            r"annotation 11 of 1\.png \(a polygon has 2",
        ),
        ({"segmentation": {"size": [48, 64], "counts": "5"}}, "damaged", "do not add up"),
        ({"segmentation": {"size": [20, 20], "counts": [400]}}, "damaged", "the image 64 x 48"),
        ({"segmentation": "x"}, "damaged", "expected an RLE or a polygon"),
        (
            {"segmentation": []},
            "no_outline",
            r"annotation 11 of 1\.png; no expression",
        ),
        ({"segmentation": None}, "no_outline", "no outline"),
        ({"iscrowd": 1}, "crowd", "groups of objects"),
        ({"iscrowd": "1"}, "crowd", "groups of objects"),
    ],
)
def test_an_object_of_unknown_outline_hides_its_category(
    tmp_path: Path,
    change: dict[str, Any],
    reason: str,
    message: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Otherwise "the cars" would miss one, and the leftmost car might not be the leftmost."""
    content = cars()
    content.annotations[1] |= change
    source = InstanceSource(save(content, tmp_path))
    assert source.annotations == {"read": 6, reason: 1}
    assert re.search(f"1 of 6 annotations .*{message}", source.warnings[0])
    assert source.warnings[0] in caplog.text
    town = source.read(0)
    assert categories_in(source) == ["tree"]
    assert town.complete == {"tree"}
    assert {"car", "vehicle"} <= town.unclear
    assert categories_in(source, 1) == ["car", "car", "tree"]
    assert source.read(1).complete == {"car", "tree"}


def test_no_wider_name_is_used_for_the_kinds_that_remain(tmp_path: Path) -> None:
    content = cars()
    content.categories[1]["name"] = "truck"
    content.annotations[0]["iscrowd"] = 1
    town = InstanceSource(save(content, tmp_path)).read(0)
    assert [item.category for item in town.instances] == ["truck"]
    rng = np.random.default_rng(0)
    named = {text.category for _ in range(60) if (text := write_expression(town, rng))}
    assert named == {"truck", "large vehicle"}


def test_without_a_segmentation_the_message_says_so(tmp_path: Path) -> None:
    content = cars()
    for entry in content.annotations:
        del entry["segmentation"]
    with pytest.raises(InputError, match=r"no annotation is left.*\n.*6 of 6 annotations have no"):
        InstanceSource(save(content, tmp_path))


def add_empty_image(content: Content, *, labels_complete: object) -> None:
    last = {**content.images[-1], "id": 3, "file_name": "3.png", "labels_complete": labels_complete}
    content.images.append(last)


@pytest.mark.parametrize("flag", [True, 1, "true"])
def test_a_fully_labelled_image_without_objects_lacks_all_categories(
    tmp_path: Path, flag: object
) -> None:
    content = cars()
    add_empty_image(content, labels_complete=flag)
    source = InstanceSource(save(content, tmp_path))
    assert source.counts == [{"car": 2, "tree": 1}] * 2 + [{}]
    assert source.read(2).instances == ()
    assert absent_categories(source.read(2)) == ["car", "tree"]


@pytest.mark.parametrize("flag", [False, 0, "false", None])
def test_other_images_without_objects_are_left_out(tmp_path: Path, flag: object) -> None:
    content = cars()
    add_empty_image(content, labels_complete=flag)
    assert len(InstanceSource(save(content, tmp_path))) == 2


def test_images_without_objects_are_not_enough(tmp_path: Path) -> None:
    content = cars()
    content.annotations.clear()
    with pytest.raises(InputError, match="no annotation is left"):
        InstanceSource(save(content, tmp_path))


# --- partly labelled images


def partly(*, complete_for: list[str], annotations: bool = True) -> Content:
    """The two images; the first is partly labelled."""
    content = cars()
    content.images[0]["complete_for"] = complete_for
    if not annotations:
        del content.annotations[:3]
    return content


def test_an_image_lists_its_complete_categories(tmp_path: Path) -> None:
    source = InstanceSource(save(partly(complete_for=["Trees", "ship"]), tmp_path))
    town, other = source.read(0), source.read(1)
    assert town.partly_labelled
    assert town.complete == {"tree", "ship"}
    assert not other.partly_labelled
    assert other.complete == {"car", "tree"}
    assert absent_categories(town) == ["ship"]


def test_a_listed_category_that_is_not_there_is_absent(tmp_path: Path) -> None:
    source = InstanceSource(save(partly(complete_for=["ship"], annotations=False), tmp_path))
    assert len(source) == 2
    assert absent_categories(source.read(0)) == ["ship"]


def test_an_image_without_objects_and_complete_categories_is_left_out(tmp_path: Path) -> None:
    content = partly(complete_for=[], annotations=False)
    content.images[0]["labels_complete"] = False
    assert len(InstanceSource(save(content, tmp_path))) == 1


def test_boxes_are_rough_objects(tmp_path: Path) -> None:
    content = cars()
    content.annotations[0]["label_quality"] = "box"
    content.annotations[1]["label_quality"] = "obb"
    source = InstanceSource(save(content, tmp_path))
    town = source.read(0)
    assert [item.category for item in town.rough] == ["car"]
    assert categories_in(source) == ["car", "tree"]
    assert source.counts[0] == {"car": 1, "tree": 1}
    assert town.complete == {"tree"}
    assert source.read(1).rough == ()


def test_some_sources_have_tight_boxes(tmp_path: Path) -> None:
    content = cars()
    for entry in content.annotations:
        entry["label_quality"] = "box"
    content.images[0]["source"] = "hrplanesv2"
    source = InstanceSource(save(content, tmp_path))
    assert source.read(0).rough == ()
    assert len(source.read(1).rough) == 3


def test_several_files_are_one_source(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    content = cars()
    first = save(content, tmp_path / "a")
    content.annotations[0]["iscrowd"] = 1
    second = save(content, tmp_path / "b")
    source = InstanceSource([first, second])
    assert len(source) == 4
    assert source.annotations == {"read": 12, "crowd": 1}
    assert [source.read(index).id for index in range(4)] == ["1", "2", "1", "2"]
    assert len(source.warnings) == 1


def test_a_tile_without_buildings_lacks_buildings(tmp_path: Path) -> None:
    """Its source has a rule, by which buildings are complete only where one is labelled."""
    content = cars()
    content.categories[0]["name"] = "building"
    add_empty_image(content, labels_complete=True)
    for entry in content.images:
        entry["source"] = "fair_oam"
    assert "building" in InstanceSource(save(content, tmp_path)).read(2).complete


def test_categories_without_an_english_name_are_left_out(tmp_path: Path) -> None:
    content = cars()
    content.categories[0]["name"] = "n/a"
    content.annotations.append({**content.annotations[0], "category_id": 77})
    content.annotations.append({**content.annotations[0], "image_id": 77})
    content.annotations.append(None)
    source = InstanceSource(save(content, tmp_path))
    assert source.counts == [{"tree": 1}] * 2
    assert source.annotations == {"read": 9, "nameless": 5, "without_image": 2}
    assert 'annotation 10 of 1.png ("n/a") and 4 more' in source.warnings[0]
    assert source.read(0).unclear == frozenset()


def test_labels_are_read_as_categories(tmp_path: Path) -> None:
    content = cars()
    content.categories[0]["name"] = "Storage_Tanks"
    assert categories_in(InstanceSource(save(content, tmp_path)))[0] == "storage tank"


def test_an_image_needs_a_size(tmp_path: Path) -> None:
    content = cars()
    del content.images[0]["height"]
    with pytest.raises(InputError, match=r'image 1 \(1\.png\) needs a "height" and a "width"'):
        InstanceSource(save(content, tmp_path))


def test_an_image_of_another_size_raises(tmp_path: Path) -> None:
    path = save(cars(), tmp_path)
    Image.new("RGB", (10, 10)).save(tmp_path / "images" / "1.png")
    with pytest.raises(InputError, match="10 x 10 pixels, but the instances file says 64 x 48"):
        InstanceSource(path).read(0)


def test_images_are_read_as_in_benchmarks(tmp_path: Path) -> None:
    """One reader: upright, and not more than 8 bits."""
    path = save(cars(), tmp_path)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    shown = Image.new("RGB", (64, 48))
    shown.paste((250, 0, 0), (0, 0, 32, 48))
    file = tmp_path / "images" / "1.png"
    shown.transpose(Image.Transpose.ROTATE_90).save(file, exif=exif)
    assert InstanceSource(path).read(0).image[:, 0, 0].tolist() == [250] * 48
    shown.save(file, exif=exif)
    with pytest.raises(InputError, match=r"48 x 64 pixels, .* remove the EXIF"):
        InstanceSource(path).read(0)
    Image.fromarray(np.full((48, 64), 4000, np.uint16)).save(file)
    with pytest.raises(InputError, match=r"1\.png: has more than 8 bits per band"):
        InstanceSource(path).read(0)
