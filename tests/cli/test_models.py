"""``rrsis-geo convert`` and ``rrsis-geo models fetch`` as a user runs them."""

import json

import pytest
import torch
from authors_checkpoint import make_net, save_checkpoint
from command_run import Run

pytestmark = pytest.mark.usefixtures("own_logging")


def test_convert_prints_what_it_left_out(tmp_path):
    path = save_checkpoint(make_net("lavt"), tmp_path / "model_best.pth")
    run = Run("convert", path, "-o", tmp_path / "mine", "--size", 96, "--precision", "fp16")
    assert run.code == 0, run.err
    for words in ("lavt", "96 px", "1 optimizer", "relative_position_index"):
        assert words in run.out
    report = Run("convert", path, "-o", tmp_path / "again", "--size", 96, "--json")
    assert json.loads(report.out)["network"] == "lavt"


def test_convert_of_another_file_is_one_error(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "w.pth")
    Run("convert", tmp_path / "w.pth", "-o", tmp_path / "mine").failed(4, "w.pth", 'no "model"')
    Run("convert", tmp_path / "none.pth", "-o", tmp_path / "mine").failed(4, "does not exist")


def test_fetch_of_an_unknown_model_is_one_error():
    Run("models", "fetch", "nonsense").failed(2, "nonsense", "remotesam")
