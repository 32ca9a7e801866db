import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmark_trees import SPLITS, make_sample, rle
from PIL import Image

from rrsis_geo.data.benchmarks.layouts import load_split
from rrsis_geo.data.benchmarks.records import Records, resize_sample
from rrsis_geo.data.benchmarks.rrsisd import list_splits, read_split
from rrsis_geo.errors import ConfigError, InputError
from rrsis_geo.text.categories import RRSISD_CATEGORIES

MakeBenchmark = Callable[..., Path]


def check_split(root: Path, split: str) -> None:
    """Check a split against the samples it was made of. Its images are JPEG files."""
    records = Records(read_split(root, split), split)
    records.check_files()
    assert len(records) == SPLITS[split]
    for number, sample in enumerate(records):
        truth = make_sample(f"{split}_{number}_0", (48, 48))
        assert (sample.expression, sample.category) == (truth.expression, truth.category)
        np.testing.assert_array_equal(sample.mask, truth.mask)
        error = np.abs(sample.image.astype(int) - truth.image.astype(int)).mean()
        assert error < 8  # JPEG of quality 95, with chroma at half the resolution


@pytest.mark.parametrize("three_folders", [False, True])
@pytest.mark.parametrize("split", SPLITS)
def test_layouts_are_read(make_benchmark: MakeBenchmark, split: str, three_folders: bool) -> None:
    check_split(make_benchmark("rrsisd", three_folders=three_folders), split)


@pytest.mark.parametrize("form", ["polygons", "overlapping"])
def test_all_forms_of_segmentations_give_the_same_mask(
    make_benchmark: MakeBenchmark, form: str
) -> None:
    """Where RLEs of a list overlap, the published sum is 2. These pixels are the target too."""
    check_split(make_benchmark("rrsisd", **{form: True}), "train")


def test_root_can_be_the_folder_of_the_lists(make_benchmark: MakeBenchmark) -> None:
    check_split(make_benchmark("rrsisd") / "rrsisd", "val")


def test_root_can_be_above_the_archive(make_benchmark: MakeBenchmark, tmp_path: Path) -> None:
    root = make_benchmark("rrsisd")
    (tmp_path / "above").mkdir()
    root.rename(tmp_path / "above" / "RRSIS-D")
    check_split(tmp_path / "above", "val")


def test_mask_and_image_can_differ_in_size(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("rrsisd", odd_sizes=True, splits={"test": 1})
    sample = Records(read_split(root, "test"), "test")[0]
    assert sample.image.shape == (800, 787, 3)
    np.testing.assert_array_equal(sample.mask, make_sample("test_0_0", (800, 800)).mask)
    square = resize_sample(sample, 480)
    assert square.image.shape == (480, 480, 3)
    assert square.mask.shape == (480, 480)


def test_expressions_are_the_raw_sentences(make_benchmark: MakeBenchmark) -> None:
    expressions = [record.expression for record in read_split(make_benchmark("rrsisd"), "train")]
    assert all(expression.startswith("The ") for expression in expressions)


def test_split_names_that_contain_test_belong_to_test(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("rrsisd", test_names=("testA", "test"))
    assert list_splits(root) == ("train", "val", "test", "testA")
    assert len(read_split(root, "test")) == SPLITS["test"]
    assert len(read_split(root, "testA")) == 2


def test_each_sentence_is_a_sample(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("rrsisd")
    change_refs(root, lambda ref: ref["sentences"].append({"sent_id": 90, "raw": "the other one"}))
    records = read_split(root, "val")
    assert [record.id for record in records] == ["5-5", "5-90", "6-6", "6-90"]
    assert records[1].expression == "the other one"


def test_categories_have_the_names_of_the_papers(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("rrsisd")
    change_refs(root, lambda ref: ref.update(category_id=0))
    categories = {record.category for record in read_split(root, "train")}
    assert categories == {"expressway service area"}
    assert categories < set(RRSISD_CATEGORIES)
    assert len(RRSISD_CATEGORIES) == 20


def test_uncompressed_rles_are_read(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("rrsisd")
    runs = {"size": [48, 48], "counts": [0, 48, 48 * 47]}
    change_instances(root, lambda content: content["annotations"][0].update(segmentation=[runs]))
    mask = Records(read_split(root, "train"), "train")[0].mask
    assert mask[:, 0].all()
    assert mask.sum() == 48


@pytest.mark.parametrize("polygons", [False, True])
@pytest.mark.parametrize("height", [None, 0])
def test_images_may_have_no_size_in_the_file(
    make_benchmark: MakeBenchmark, polygons: bool, height: int | None
) -> None:
    root = make_benchmark("rrsisd", polygons=polygons)
    change_instances(
        root, lambda content: [entry.update(height=height) for entry in content["images"]]
    )
    check_split(root, "train")
    change_instances(root, lambda content: [entry.pop("height") for entry in content["images"]])
    check_split(root, "train")


def test_an_rle_without_a_size_has_that_of_its_image(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("rrsisd")
    change_instances(
        root,
        lambda content: [entry["segmentation"][0].pop("size") for entry in content["annotations"]],
    )
    check_split(root, "train")


def test_a_ref_of_several_annotations_has_several_targets(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("rrsisd")
    change_refs(root, lambda ref: ref.update(ann_id=[1, 2], category_id=[1, 1]))
    sample = Records(read_split(root, "train"), "train")[0]
    one, other = (make_sample(f"train_{number}_0", (48, 48)).mask for number in (0, 1))
    assert (one != other).any()
    np.testing.assert_array_equal(sample.mask, one | other)
    assert sample.category == RRSISD_CATEGORIES[18]


def test_targets_of_different_categories_have_none(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("rrsisd")
    change_refs(root, lambda ref: ref.update(ann_id=[1, 2], category_id=[1, 2]))
    assert read_split(root, "train")[0].category == ""


def test_targets_of_different_sizes(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("rrsisd", odd_sizes=True)
    change_refs(root, lambda ref: ref.update(ann_id=[1, 2]))
    records = Records(read_split(root, "train"), "train")
    with pytest.raises(InputError, match="masks of annotation 1, annotation 2 are of different"):
        records[0]


@pytest.mark.parametrize("none", [-1, [], [-1], None])
def test_a_ref_without_an_annotation_is_an_absent_target(
    make_benchmark: MakeBenchmark, none: object
) -> None:
    root = make_benchmark("rrsisd")
    change_refs(root, lambda ref: ref.update(ann_id=none))
    records = read_split(root, "train")
    assert [record.mask for record in records] == 4 * [None]


def test_numpy_ids_are_read(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("rrsisd")
    ids = ("ref_id", "ann_id", "image_id", "category_id")
    change_refs(root, lambda ref: ref.update({name: np.int64(ref[name]) for name in ids}))
    check_split(root, "train")


def test_blank_expressions_are_refused_with_their_refs(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("rrsisd")
    change_refs(root, lambda ref: ref["sentences"][0].update(raw=" ") if ref["ref_id"] < 3 else 0)
    with pytest.raises(InputError, match="blank in 2 samples of the train split: 1, 2; write"):
        load_split("rrsisd", root, "train")
    assert len(load_split("rrsisd", root, "val")) == SPLITS["val"]


def test_upper_and_lower_case_of_file_names_may_differ(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("rrsisd")
    for path in (root / "images" / "rrsisd" / "JPEGImages").iterdir():
        path.rename(path.with_suffix(".JPG"))
    check_split(root, "train")


def test_damaged_rle(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("rrsisd")
    change_instances(
        root,
        lambda content: content["annotations"][0].update(
            segmentation=[{"size": [48, 48], "counts": "no runs"}]
        ),
    )
    records = Records(read_split(root, "train"), "train")
    with pytest.raises(InputError, match=r"instances\.json, annotation 1: the segmentation cannot"):
        records[0]


def test_two_annotations_of_one_id(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("rrsisd")
    change_instances(root, lambda content: content["annotations"][1].update(id=1))
    with pytest.raises(InputError, match=r"instances\.json: two annotations have the id 1"):
        read_split(root, "train")


def test_ids_may_be_text(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("rrsisd")
    change_instances(
        root, lambda content: [entry.update(id=str(entry["id"])) for entry in content["images"]]
    )
    check_split(root, "train")


def test_missing_annotation(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("rrsisd")
    change_refs(root, lambda ref: ref.update(ann_id=77))
    with pytest.raises(InputError, match=r"ref 1: annotation 77 is not in .*instances\.json"):
        read_split(root, "train")


@pytest.mark.parametrize("part", ["refs(unc).p", "instances.json"])
def test_message_of_a_missing_part_lists_the_paths_tried(
    make_benchmark: MakeBenchmark, part: str
) -> None:
    root = make_benchmark("rrsisd")
    (root / "rrsisd" / part).unlink()
    with pytest.raises(InputError) as caught:
        read_split(root, "train")
    assert str(root / "rrsisd" / part) in str(caught.value)
    assert str(root / "RRSIS-D") in str(caught.value)


def test_missing_image_is_found_before_reading(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("rrsisd")
    images = root / "images" / "rrsisd" / "JPEGImages"
    (images / "00002.jpg").unlink()
    (images / "00004.jpg").write_bytes(b"")
    records = Records(read_split(root, "train"), "rrsisd train")
    with pytest.raises(InputError, match=r"00002\.jpg is missing or empty \(and 1 more of 5 "):
        records.check_files()


def test_unknown_split(make_benchmark: MakeBenchmark) -> None:
    with pytest.raises(ConfigError, match='no split "vall"; did you mean "val"'):
        read_split(make_benchmark("rrsisd"), "vall")


@pytest.mark.parametrize("n_bytes", [0, 1, 40, 200])
def test_truncated_pickle(make_benchmark: MakeBenchmark, n_bytes: int) -> None:
    root = make_benchmark("rrsisd")
    path = root / "rrsisd" / "refs(unc).p"
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(InputError, match=r"refs\(unc\)\.p: cannot be read as a pickle"):
        read_split(root, "train")


@pytest.mark.parametrize(
    ("refs", "message"),
    [
        ({}, "expected a list of refs, got dict"),
        ([], "expected a list of refs"),
        ([3], "entry 0 lacks one of"),
        ([{"ref_id": 1}], "entry 0 lacks one of ann_id, category_id"),
    ],
)
def test_pickle_with_other_content(
    make_benchmark: MakeBenchmark, refs: object, message: str
) -> None:
    root = make_benchmark("rrsisd")
    (root / "rrsisd" / "refs(unc).p").write_bytes(pickle.dumps(refs))
    with pytest.raises(InputError, match=message):
        read_split(root, "train")


def test_image_names_cannot_leave_the_folder(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("rrsisd")
    change_instances(root, lambda content: content["images"][0].update(file_name="/etc/passwd"))
    with pytest.raises(InputError, match=r"ref 1: '/etc/passwd' is outside of"):
        read_split(root, "train")


def test_an_annotation_can_hold_a_single_rle(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("rrsisd")
    mask = np.zeros((48, 48), bool)
    mask[3:9, 4:5] = True
    change_instances(root, lambda content: content["annotations"][0].update(segmentation=rle(mask)))
    np.testing.assert_array_equal(Records(read_split(root, "train"), "train")[0].mask, mask)


def test_the_fixture_matches_the_published_format(make_benchmark: MakeBenchmark) -> None:
    """The published file has a list with one RLE whose counts are a string."""
    root = make_benchmark("rrsisd")
    content = json.loads((root / "rrsisd" / "instances.json").read_text())
    (segmentation,) = content["annotations"][0]["segmentation"]
    assert isinstance(segmentation["counts"], str)
    assert segmentation["size"] == [48, 48]
    with Image.open(root / "images" / "rrsisd" / "JPEGImages" / "00001.jpg") as file:
        assert file.size == (48, 48)


def change_refs(root: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = root / "rrsisd" / "refs(unc).p"
    refs = pickle.loads(path.read_bytes())
    for ref in refs:
        change(ref)
    path.write_bytes(pickle.dumps(refs))


def change_instances(root: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = root / "rrsisd" / "instances.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
