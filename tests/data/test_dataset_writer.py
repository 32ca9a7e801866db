"""Samples about labelled images, and folders that appear whole."""

import json
from pathlib import Path

import numpy as np
import pytest
from labelled_blocks import block, labelled_blocks, pixels_of

from rrsis_geo.data.dataset_writer import DatasetWriter, check_shares, write_samples
from rrsis_geo.errors import ConfigError, OutputError

TRUCKS = [block("truck", 10, 10, 8, 20, "red"), block("truck", 60, 60, 8, 20, "white")]


def test_no_expression_is_written_twice() -> None:
    samples = write_samples(labelled_blocks(TRUCKS), np.random.default_rng(0), 12)
    texts = [sample.expression for sample in samples]
    assert len(texts) == len(set(texts)) == 12


def test_wider_words_need_all_that_they_mean() -> None:
    rng = np.random.default_rng(0)
    trucks = write_samples(labelled_blocks(TRUCKS, complete={"truck"}), rng, 60)
    assert {sample.category for sample in trucks} == {"truck"}
    every_vehicle = {"car", "truck", "bus", "van"}
    known = labelled_blocks(TRUCKS, complete=every_vehicle)
    assert "vehicle" in {sample.category for sample in write_samples(known, rng, 60)}


def test_of_nothing_only_absence_is_told_and_only_where_it_is_sure() -> None:
    rng = np.random.default_rng(0)
    assert write_samples(labelled_blocks([]), rng, 4) == []
    samples = write_samples(labelled_blocks([], complete={"truck"}), rng, 4)
    assert len(samples) == 4
    assert all(sample.kind == "absent" and not sample.mask.any() for sample in samples)


def test_masks_are_those_of_the_objects() -> None:
    labelled_image = labelled_blocks(TRUCKS)
    for sample in write_samples(labelled_image, np.random.default_rng(3), 20):
        assert (sample.mask & ~pixels_of(labelled_image, 0, 1)).sum() == 0


def test_a_data_set_appears_when_it_is_whole(tmp_path: Path) -> None:
    (sample,) = write_samples(labelled_blocks(TRUCKS), np.random.default_rng(0), 1)
    root = tmp_path / "deep" / "made"
    with DatasetWriter(root) as writer:
        writer.add("train", sample, image_name="a.png")
        writer.add("train", sample, image_name="a.png")
        writer.describe({"made_by": "hand"})
        assert not root.exists()
    assert sorted(path.name for path in root.rglob("*") if path.is_file()) == [
        "a.png",
        "dataset.json",
        "train.jsonl",
    ]
    told = json.loads((root / "dataset.json").read_text())
    assert told["made_by"] == "hand"
    assert (told["splits"]["train"]["images"], told["splits"]["train"]["samples"]) == (1, 2)
    with pytest.raises(OutputError, match="exists already"):
        DatasetWriter(root)
    with DatasetWriter(root, overwrite=True) as writer:
        writer.add("val", sample, image_name="a.png")
    assert not (root / "train.jsonl").exists()
    assert [path.name for path in root.parent.iterdir()] == ["made"]


@pytest.mark.parametrize("shares", [(-0.1, 0.2), (0.5, 0.5), (1.0,)])
def test_shares_must_leave_something_to_train_on(shares: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="less than 1 together"):
        check_shares(*shares)
