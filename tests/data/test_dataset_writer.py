"""Writer of datasets."""

import json
from pathlib import Path

import numpy as np
import pytest
from labelled_blocks import block, labelled_blocks, pixels_of

from rrsis_geo.data.dataset_writer import DatasetWriter, check_shares, write_samples
from rrsis_geo.errors import ConfigError, OutputError

TRUCKS = [block("truck", 10, 10, 8, 20, "red"), block("truck", 60, 60, 8, 20, "white")]


def test_expressions_are_unique() -> None:
    samples = write_samples(labelled_blocks(TRUCKS), np.random.default_rng(0), 12)
    texts = [sample.expression for sample in samples]
    assert len(texts) == len(set(texts)) == 12


def test_wider_categories_need_complete_labels() -> None:
    rng = np.random.default_rng(0)
    trucks = write_samples(labelled_blocks(TRUCKS, complete={"truck"}), rng, 60)
    assert {sample.category for sample in trucks} == {"truck"}
    every_vehicle = {"car", "truck", "bus", "van"}
    known = labelled_blocks(TRUCKS, complete=every_vehicle)
    assert "vehicle" in {sample.category for sample in write_samples(known, rng, 60)}


def test_empty_images_give_absent_targets_of_complete_labels_only() -> None:
    rng = np.random.default_rng(0)
    assert write_samples(labelled_blocks([]), rng, 4) == []
    samples = write_samples(labelled_blocks([], complete={"truck"}), rng, 4)
    assert len(samples) == 4
    assert all(sample.kind == "absent" and not sample.mask.any() for sample in samples)


def test_masks_match_the_objects() -> None:
    labelled_image = labelled_blocks(TRUCKS)
    for sample in write_samples(labelled_image, np.random.default_rng(3), 20):
        assert (sample.mask & ~pixels_of(labelled_image, 0, 1)).sum() == 0


def test_a_dataset_is_created_only_on_success(tmp_path: Path) -> None:
    (sample,) = write_samples(labelled_blocks(TRUCKS), np.random.default_rng(0), 1)
    root = tmp_path / "parent" / "dataset"
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
    content = json.loads((root / "dataset.json").read_text())
    assert content["made_by"] == "hand"
    assert (content["splits"]["train"]["images"], content["splits"]["train"]["samples"]) == (1, 2)
    with pytest.raises(OutputError, match="exists already"):
        DatasetWriter(root)
    with DatasetWriter(root, overwrite=True) as writer:
        writer.add("val", sample, image_name="a.png")
    assert not (root / "train.jsonl").exists()
    assert [path.name for path in root.parent.iterdir()] == ["dataset"]


@pytest.mark.parametrize("shares", [(-0.1, 0.2), (0.5, 0.5), (1.0,)])
def test_shares_must_leave_training_samples(shares: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="less than 1 in sum"):
        check_shares(*shares)
