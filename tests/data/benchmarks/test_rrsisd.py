import collections
import contextlib
import datetime
import json
import os
import pickle
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


def as_written(root: Path, split: str) -> None:
    """The split holds what was painted; images went through JPEG."""
    records = Records(read_split(root, split), split)
    records.check_files()
    assert len(records) == SPLITS[split]
    for number, sample in enumerate(records):
        truth = make_sample(f"{split}_{number}_0", (48, 48))
        assert (sample.expression, sample.category) == (truth.expression, truth.category)
        np.testing.assert_array_equal(sample.mask, truth.mask)
        error = np.abs(sample.image.astype(int) - truth.image.astype(int)).mean()
        assert error < 8  # JPEG at quality 95, its colours at half the resolution


@pytest.mark.parametrize("three_folders", [False, True])
@pytest.mark.parametrize("split", SPLITS)
def test_layouts_give_what_was_written(
    make_benchmark: MakeBenchmark, split: str, three_folders: bool
) -> None:
    as_written(make_benchmark("rrsisd", three_folders=three_folders), split)


@pytest.mark.parametrize("form", ["polygons", "overlapping"])
def test_segmentations_of_every_form_give_the_same(
    make_benchmark: MakeBenchmark, form: str
) -> None:
    """Where RLEs of a list overlap, the published sum is 2; those pixels are the target too."""
    as_written(make_benchmark("rrsisd", **{form: True}), "train")


def test_parts_are_found_from_the_folder_of_the_lists(make_benchmark: MakeBenchmark) -> None:
    as_written(make_benchmark("rrsisd") / "rrsisd", "val")


def test_parts_are_found_below_the_archive(make_benchmark: MakeBenchmark, tmp_path: Path) -> None:
    root = make_benchmark("rrsisd")
    (tmp_path / "above").mkdir()
    root.rename(tmp_path / "above" / "RRSIS-D")
    as_written(tmp_path / "above", "val")


def test_a_mask_may_have_another_size_than_its_image(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("rrsisd", odd_sizes=True, splits={"test": 1})
    sample = Records(read_split(root, "test"), "test")[0]
    assert sample.image.shape == (800, 787, 3)
    np.testing.assert_array_equal(sample.mask, make_sample("test_0_0", (800, 800)).mask)
    square = resize_sample(sample, 480)
    assert square.image.shape == (480, 480, 3)
    assert square.mask.shape == (480, 480)


def test_the_words_are_the_raw_ones(make_benchmark: MakeBenchmark) -> None:
    expressions = [record.expression for record in read_split(make_benchmark("rrsisd"), "train")]
    assert all(expression.startswith("The ") for expression in expressions)


def test_every_name_with_test_in_it_is_of_the_test_split(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("rrsisd", test_names=("testA", "test"))
    assert list_splits(root) == ("train", "val", "test", "testA")
    assert len(read_split(root, "test")) == SPLITS["test"]
    assert len(read_split(root, "testA")) == 2


def test_several_sentences_are_several_samples(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("rrsisd")
    change_refs(root, lambda ref: ref["sentences"].append({"sent_id": 90, "raw": "the other one"}))
    records = read_split(root, "val")
    assert [record.id for record in records] == ["5-5", "5-90", "6-6", "6-90"]
    assert records[1].expression == "the other one"


def test_categories_go_by_the_names_of_the_papers(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("rrsisd")
    change_refs(root, lambda ref: ref.update(category_id=0))
    told = {record.category for record in read_split(root, "train")}
    assert told == {"expressway service area"}
    assert told < set(RRSISD_CATEGORIES)
    assert len(RRSISD_CATEGORIES) == 20


def test_lists_of_runs_that_are_numbers_are_read(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("rrsisd")
    runs = {"size": [48, 48], "counts": [0, 48, 48 * 47]}
    change_instances(root, lambda told: told["annotations"][0].update(segmentation=[runs]))
    mask = Records(read_split(root, "train"), "train")[0].mask
    assert mask[:, 0].all()
    assert mask.sum() == 48


def test_damaged_runs_are_named(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("rrsisd")
    change_instances(
        root,
        lambda told: told["annotations"][0].update(
            segmentation=[{"size": [48, 48], "counts": "no runs"}]
        ),
    )
    records = Records(read_split(root, "train"), "train")
    with pytest.raises(InputError, match=r"instances\.json, annotation 1: the segmentation cannot"):
        records[0]


def test_an_annotation_that_is_not_there_is_named(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("rrsisd")
    change_refs(root, lambda ref: ref.update(ann_id=77))
    with pytest.raises(InputError, match=r"ref 1: annotation 77 is not in .*instances\.json"):
        read_split(root, "train")


@pytest.mark.parametrize("part", ["refs(unc).p", "instances.json"])
def test_a_missing_part_is_named_with_the_places_tried(
    make_benchmark: MakeBenchmark, part: str
) -> None:
    root = make_benchmark("rrsisd")
    (root / "rrsisd" / part).unlink()
    with pytest.raises(InputError) as caught:
        read_split(root, "train")
    assert str(root / "rrsisd" / part) in str(caught.value)
    assert str(root / "RRSIS-D") in str(caught.value)


def test_a_missing_image_is_named_before_any_is_read(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("rrsisd")
    images = root / "images" / "rrsisd" / "JPEGImages"
    (images / "00002.jpg").unlink()
    (images / "00004.jpg").write_bytes(b"")
    records = Records(read_split(root, "train"), "rrsisd train")
    with pytest.raises(InputError, match=r"00002\.jpg is missing or empty \(and 1 more of 5 "):
        records.check_files()


def test_an_unknown_split_is_named(make_benchmark: MakeBenchmark) -> None:
    with pytest.raises(ConfigError, match='no split "vall"; did you mean "val"'):
        read_split(make_benchmark("rrsisd"), "vall")


class Hostile:
    """Unpickled carelessly, runs a command of the shell."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_hostile_pickle_is_refused_and_not_run(
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
def test_what_is_no_plain_value_is_refused(tmp_path: Path, value: object) -> None:
    path = tmp_path / "some.p"
    path.write_bytes(pickle.dumps([value]))
    with pytest.raises(InputError, match=r"some\.p: asks for [\w.]+, which is no plain value"):
        read_plain_pickle(path)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(value=PLAIN, protocol=st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_values_are_read_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, value: object, protocol: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "plain.p"
    path.write_bytes(pickle.dumps(value, protocol))
    assert read_plain_pickle(path) == value


@given(content=st.binary(max_size=60))
def test_noise_is_never_an_error_of_another_kind(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "noise.p"
    path.write_bytes(content)
    with contextlib.suppress(InputError):  # any other error fails the test
        read_plain_pickle(path)


@pytest.mark.parametrize("kept", [0, 1, 40, 200])
def test_a_pickle_cut_short_is_an_error(make_benchmark: MakeBenchmark, kept: int) -> None:
    root = make_benchmark("rrsisd")
    path = root / "rrsisd" / "refs(unc).p"
    path.write_bytes(path.read_bytes()[:kept])
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
        ([3], "entry 0 has not all of"),
        ([{"ref_id": 1}], "entry 0 has not all of ann_id, category_id"),
    ],
)
def test_another_pickle_is_refused(
    make_benchmark: MakeBenchmark, refs: object, message: str
) -> None:
    root = make_benchmark("rrsisd")
    (root / "rrsisd" / "refs(unc).p").write_bytes(pickle.dumps(refs))
    with pytest.raises(InputError, match=message):
        read_split(root, "train")


def test_image_names_cannot_lead_out_of_the_folder(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("rrsisd")
    change_instances(root, lambda told: told["images"][0].update(file_name="/etc/passwd"))
    with pytest.raises(InputError, match=r"ref 1: '/etc/passwd' leads out of"):
        read_split(root, "train")


def test_annotations_may_hold_an_rle_alone(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("rrsisd")
    mask = np.zeros((48, 48), bool)
    mask[3:9, 4:5] = True
    change_instances(root, lambda told: told["annotations"][0].update(segmentation=rle(mask)))
    np.testing.assert_array_equal(Records(read_split(root, "train"), "train")[0].mask, mask)


def test_the_made_tree_is_as_the_loaders_expect(make_benchmark: MakeBenchmark) -> None:
    """The fixture itself, against what is known of the files: a list with one RLE of a string."""
    root = make_benchmark("rrsisd")
    told = json.loads((root / "rrsisd" / "instances.json").read_text())
    (segmentation,) = told["annotations"][0]["segmentation"]
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
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))
