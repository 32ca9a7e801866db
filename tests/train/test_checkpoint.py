"""Checkpoints are written completely or not at all, and the last two are kept."""

import json

import numpy as np
import pytest
import torch

from rrsis_geo.errors import InputError, OutputError
from rrsis_geo.metrics import ScoreMeter, scores_from_dict
from rrsis_geo.train.checkpoint import (
    list_checkpoints,
    load_checkpoint,
    save_checkpoint,
)


def test_the_newest_checkpoint_is_loaded_and_two_are_kept(tmp_path):
    for step in (5, 10, 15):
        save_checkpoint(tmp_path, step, {"step": step, "w": torch.full((2,), float(step))})
    assert [path.name for path in list_checkpoints(tmp_path)] == [
        "step-00000010.pt",
        "step-00000015.pt",
    ]
    assert load_checkpoint(tmp_path)["w"].tolist() == [15, 15]
    assert not list(tmp_path.glob("*.part*"))


def test_a_folder_without_checkpoints_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"no checkpoint to resume from; omit --resume"):
        load_checkpoint(tmp_path)


def test_a_damaged_checkpoint_is_skipped(tmp_path, caplog):
    save_checkpoint(tmp_path, 1, {"step": 1, "w": torch.ones(1000)})
    damaged = save_checkpoint(tmp_path, 2, {"step": 2, "w": torch.zeros(1000)})
    damaged.write_bytes(damaged.read_bytes()[:500])
    assert load_checkpoint(tmp_path)["step"] == 1
    assert "step-00000002.pt: skipped a damaged checkpoint" in caplog.text
    # the run continues from step 1, and its next checkpoint replaces the damaged one
    save_checkpoint(tmp_path, 1, {"step": 1, "w": torch.ones(1000)})
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000001.pt"]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x80\x02garbage"])
def test_damaged_checkpoints_only_are_an_error(tmp_path, content):
    save_checkpoint(tmp_path, 1, {"w": torch.zeros(10)}).write_bytes(content)
    with pytest.raises(InputError, match="all checkpoints are damaged"):
        load_checkpoint(tmp_path)


def test_a_failed_write_keeps_the_older_checkpoint(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, 1, {"step": 1})

    def full(state, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputError, match=r"step-00000002\.pt.*No space"):
        save_checkpoint(tmp_path, 2, {"step": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001.pt"]


def test_scores_can_be_read_back_from_json():
    meter = ScoreMeter()
    for shift in range(3):
        predicted = np.roll(np.eye(6, dtype=bool), shift, axis=1)
        meter.add(predicted, np.eye(6, dtype=bool) & (shift < 2), kind="colour", category="car")
    scores = meter.scores()
    assert scores_from_dict(json.loads(json.dumps(scores.to_dict()))) == scores
