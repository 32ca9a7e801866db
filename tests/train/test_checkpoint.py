"""Checkpoints: whole or not at all, the last two kept."""

import json

import numpy as np
import pytest
import torch

from rrsis_geo.errors import InputError, OutputError
from rrsis_geo.metrics import ScoreMeter
from rrsis_geo.train.checkpoint import (
    checkpoints,
    load_checkpoint,
    save_checkpoint,
    scores_from,
)


def test_the_newest_is_loaded_and_two_are_kept(tmp_path):
    for step in (5, 10, 15):
        save_checkpoint(tmp_path, step, {"step": step, "w": torch.full((2,), float(step))})
    assert [path.name for path in checkpoints(tmp_path)] == ["step-00000010.pt", "step-00000015.pt"]
    assert load_checkpoint(tmp_path)["w"].tolist() == [15, 15]
    assert not list(tmp_path.glob("*.part*"))


def test_nothing_to_resume_is_said(tmp_path):
    with pytest.raises(InputError, match=r"no checkpoint to resume from; leave out --resume"):
        load_checkpoint(tmp_path)


def test_a_damaged_newest_one_gives_way_to_the_one_before(tmp_path, caplog):
    save_checkpoint(tmp_path, 1, {"step": 1, "w": torch.ones(1000)})
    damaged = save_checkpoint(tmp_path, 2, {"step": 2, "w": torch.zeros(1000)})
    damaged.write_bytes(damaged.read_bytes()[:500])
    assert load_checkpoint(tmp_path)["step"] == 1
    assert "step-00000002.pt: a damaged checkpoint" in caplog.text
    # the run goes on from step 1, and what it saves is the newest that can be read
    save_checkpoint(tmp_path, 1, {"step": 1, "w": torch.ones(1000)})
    assert [path.name for path in checkpoints(tmp_path)] == ["step-00000001.pt"]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x80\x02garbage"])
def test_nothing_but_damaged_ones_is_an_error(tmp_path, content):
    save_checkpoint(tmp_path, 1, {"w": torch.zeros(10)}).write_bytes(content)
    with pytest.raises(InputError, match="every checkpoint is damaged"):
        load_checkpoint(tmp_path)


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, 1, {"step": 1})

    def full(state, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputError, match=r"step-00000002\.pt.*No space"):
        save_checkpoint(tmp_path, 2, {"step": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001.pt"]


def test_scores_survive_a_way_through_json():
    meter = ScoreMeter()
    for shift in range(3):
        found = np.roll(np.eye(6, dtype=bool), shift, axis=1)
        meter.add(found, np.eye(6, dtype=bool) & (shift < 2), kind="colour", category="car")
    scores = meter.scores()
    assert scores_from(json.loads(json.dumps(scores.to_dict()))) == scores
