"""Checkpoints: whole or not at all, the last two kept."""

import pytest
import torch

from rrsis_geo.errors import InputError
from rrsis_geo.training.checkpoint import checkpoints, load_checkpoint, save_checkpoint


def test_the_newest_is_loaded_and_two_are_kept(tmp_path):
    for step in (5, 10, 15):
        save_checkpoint(tmp_path, step, {"step": step, "w": torch.full((2,), float(step))})
    assert [path.name for path in checkpoints(tmp_path)] == ["step-00000010.pt", "step-00000015.pt"]
    assert load_checkpoint(tmp_path)["w"].tolist() == [15, 15]
    assert not list(tmp_path.glob("*.part"))


def test_nothing_to_resume_is_said(tmp_path):
    with pytest.raises(InputError, match="no checkpoint"):
        load_checkpoint(tmp_path)


def test_a_cut_file_is_an_error_that_names_it(tmp_path):
    path = save_checkpoint(tmp_path, 1, {"w": torch.zeros(1000)})
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match=r"step-00000001\.pt: a damaged checkpoint"):
        load_checkpoint(tmp_path)
