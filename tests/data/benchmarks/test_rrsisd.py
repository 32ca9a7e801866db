import collections
import contextlib
import datetime
import json
import os
import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmark_trees import SPLITS, make_sample, rle
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rrsis_geo.data.benchmarks.records import Records, resize_sample
from rrsis_geo.data.benchmarks.rrsisd import list_splits, read_plain_pickle, read_split
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


class Hostile:
    """An object that runs a shell command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_malicious_pickle_is_not_run(
    make_benchmark: MakeBenchmark, tmp_path: Path, protocol: int
) -> None:
    root = make_benchmark("rrsisd")
    proof = tmp_path / "proof"
    path = root / "rrsisd" / "refs(unc).p"
    path.write_bytes(pickle.dumps([Hostile(f"touch {proof}")], protocol))
    with pytest.raises(InputError, match=r"refs\(unc\)\.p: asks for (posix|nt)\.system"):
        read_split(root, "train")
    assert not proof.exists()
    pickle.loads(path.read_bytes())
    assert proof.exists(), "the pickle would have done nothing, so the test shows nothing"


@pytest.mark.parametrize(
    "value",
    [
        eval,
        np.zeros(3),
        collections.OrderedDict(a=1),
        datetime.date(2024, 1, 1),
        Path("a"),
        1j,
        len,
    ],
    ids=lambda value: type(value).__name__,
)
def test_pickles_of_other_values_are_not_read(tmp_path: Path, value: object) -> None:
    path = tmp_path / "some.p"
    path.write_bytes(pickle.dumps([value]))
    with pytest.raises(InputError, match=r"some\.p: asks for [\w.]+, which is not a plain value"):
        read_plain_pickle(path)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(value=PLAIN, protocol=st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_values_are_read_unchanged(
    tmp_path_factory: pytest.TempPathFactory, value: object, protocol: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "plain.p"
    path.write_bytes(pickle.dumps(value, protocol))
    assert read_plain_pickle(path) == value


@given(content=st.binary(max_size=60))
def test_noise_raises_input_error_only(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "noise.p"
    path.write_bytes(content)
    with contextlib.suppress(InputError):  # any other error fails the test
        read_plain_pickle(path)


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04]r\xff\xff\xff\0.",
        b"]p16777215\n.",
        b"\x80\x04\x8e\xff\xff\xff\x07\0\0\0\0.",
        b"\x80\x05\x96\xff\xff\xff\x07\0\0\0\0.",
    ],
    ids=["long binput", "put", "binbytes8", "bytearray8"],
)
def test_a_few_bytes_take_little_memory(tmp_path: Path, content: bytes) -> None:
    """Numbers up to 2**31 and lengths up to 2**63 can be written in the same few bytes."""
    path = tmp_path / "small.p"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with contextlib.suppress(InputError):
            read_plain_pickle(path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2**20


@pytest.mark.parametrize("n_bytes", [0, 1, 40, 200])
def test_truncated_pickle(make_benchmark: MakeBenchmark, n_bytes: int) -> None:
    root = make_benchmark("rrsisd")
    path = root / "rrsisd" / "refs(unc).p"
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(InputError, match=r"refs\(unc\)\.p: cannot be read as a pickle"):
        read_split(root, "train")


def test_a_pickle_of_python_2_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.p"
    path.write_bytes(b"(lp0\nS'caf\\xc3\\xa9'\np1\na.")
    assert read_plain_pickle(path) == ["café"]


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
