import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from benchmark_trees import SPLITS, make_sample

from rrsis_geo.data.benchmarks import saved_dataset
from rrsis_geo.data.benchmarks.records import Records
from rrsis_geo.data.benchmarks.risbench import list_splits, read_split
from rrsis_geo.errors import ConfigError, InputError

MakeBenchmark = Callable[..., Path]


@pytest.mark.parametrize("columns", [("image", "mask", "expression"), ("img", "label", "phrase")])
def test_a_saved_dataset_is_read(
    make_benchmark: MakeBenchmark, columns: tuple[str, str, str]
) -> None:
    pytest.importorskip("datasets")
    root = make_benchmark("risbench", saved=True, columns=columns)
    assert list_splits(root) == tuple(SPLITS)
    for split in SPLITS:
        records = Records(read_split(root, split), split)
        records.check_files()
        assert len(records) == SPLITS[split]
        for number, sample in enumerate(records):
            truth = make_sample(f"{split}_{number}_0", (48, 48))
            assert (sample.id, sample.expression) == (f"{split}-{number}", truth.expression)
            np.testing.assert_array_equal(sample.image, truth.image)
            np.testing.assert_array_equal(sample.mask, truth.mask)


def test_records_can_be_sent_to_other_processes(make_benchmark: MakeBenchmark) -> None:
    pytest.importorskip("datasets")
    records = read_split(make_benchmark("risbench", saved=True), "val")
    sent = pickle.dumps(records)
    assert len(sent) < 1500
    assert pickle.loads(sent) == records


def test_missing_column(make_benchmark: MakeBenchmark) -> None:
    pytest.importorskip("datasets")
    root = make_benchmark("risbench", saved=True, columns=("image", "mask", "words"))
    with pytest.raises(InputError, match=r"no column for the expression in .*words"):
        read_split(root, "val")


def test_message_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dataset_dict.json").write_text(json.dumps({"splits": ["train"]}))
    monkeypatch.setitem(sys.modules, "datasets", None)
    saved_dataset._open_table.cache_clear()
    with pytest.raises(InputError, match=r'pip install "rrsis-geo\[hf\]"'):
        read_split(tmp_path, "train")


def test_splits_are_listed_without_the_library(tmp_path: Path) -> None:
    (tmp_path / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "validation"]}))
    assert list_splits(tmp_path) == ("train", "val")
    with pytest.raises(ConfigError, match='no split "tran"; did you mean "train"'):
        read_split(tmp_path, "tran")


def test_missing_split(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    (tmp_path / "dataset_dict.json").write_text(json.dumps({"splits": ["train"]}))
    saved_dataset._open_table.cache_clear()
    with pytest.raises(InputError, match=r"train: cannot be read as a saved split"):
        read_split(tmp_path, "train")


@pytest.mark.parametrize("names", ['["../elsewhere"]', "[" * 100_000, "[3]"])
def test_a_list_of_splits_cannot_leave_the_folder(tmp_path: Path, names: str) -> None:
    (tmp_path / "dataset_dict.json").write_text(f'{{"splits": {names}}}')
    with pytest.raises(InputError, match=r"dataset_dict\.json: "):
        list_splits(tmp_path)
