"""gRefCOCO and NWPU-Refer: expressions about several objects, or none."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from benchmark_trees import SPLITS, make_sample

from rrsis_geo.data.benchmarks.layouts import LAYOUTS, load_split

MakeBenchmark = Callable[..., Path]
NAMES = ("grefcoco", "nwpu_refer")


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("layout", NAMES)
def test_a_sample_has_all_its_targets(
    make_benchmark: MakeBenchmark, layout: str, split: str
) -> None:
    records = load_split(layout, make_benchmark(layout), split)
    records.check_files()
    assert len(records) == SPLITS[split]
    for number in range(len(records)):
        truth = make_sample(f"{split}_{number}_0", (48, 48))
        sample = records[number]
        assert (sample.expression, sample.category) == (
            truth.expression,
            truth.category.replace(" ", ""),
        )
        np.testing.assert_array_equal(sample.mask, truth.mask)


@pytest.mark.parametrize("layout", NAMES)
def test_a_sample_may_have_no_target(make_benchmark: MakeBenchmark, layout: str) -> None:
    records = load_split(layout, make_benchmark(layout, absent=True), "test")
    absent = [record.id for record in records.records if record.mask is None]
    assert len(absent) == 1
    sample = next(records[i] for i in range(len(records)) if records.records[i].mask is None)
    assert sample.mask.shape == (48, 48)
    assert not sample.mask.any()


def test_test_splits_of_grefcoco(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("grefcoco")
    path = root / "grefs(unc).json"
    refs = json.loads(path.read_text())
    for ref in refs[-3:]:
        ref["split"] = "testA"
    refs[-1]["split"] = "testB"
    path.write_text(json.dumps(refs))
    assert LAYOUTS["grefcoco"].splits(root) == ("train", "val", "test", "testA", "testB")
    counts = [len(load_split("grefcoco", root, split)) for split in ("test", "testA", "testB")]
    assert counts == [3, 2, 1]


def test_a_sentence_in_another_language_is_read_if_there_is_no_other(
    make_benchmark: MakeBenchmark,
) -> None:
    root = make_benchmark("nwpu_refer")
    path = root / "new_refs(unc).p"
    refs = pickle.loads(path.read_bytes())
    for ref in refs:
        ref["sentences"] = ref["sentences"][:1]
    path.write_bytes(pickle.dumps(refs))
    assert load_split("nwpu_refer", root, "val").records[0].expression == "汽车"
