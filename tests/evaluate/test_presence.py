"""Thresholds of presence that are fitted to samples with and without a target."""

import json
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import tiny_net
from command_run import Run
from torch import Tensor

from rrsis_geo.data.benchmarks.triplets import TripletWriter
from rrsis_geo.data.sample import Sample
from rrsis_geo.errors import InputError, OutputError
from rrsis_geo.evaluate.evaluation import evaluate_bundle
from rrsis_geo.evaluate.options import EvaluateOptions
from rrsis_geo.evaluate.presence import choose_threshold, fit_presence
from rrsis_geo.model.bundle import load_bundle, save_bundle
from rrsis_geo.nets import NETS
from rrsis_geo.nets.base import SegOutput

pytestmark = pytest.mark.usefixtures("own_logging")


class RedNet(tiny_net.TinyNet):
    """Marks pixels that are a little red; has no presence output."""

    def segment(self, image: Tensor, words: tiny_net.TinyWords) -> SegOutput:
        return SegOutput(image[:, 0] - image[:, 1:].amax(1) - 0.5, None, {})


@pytest.fixture(autouse=True)
def _register() -> Iterator[None]:
    with mock.patch.dict(NETS, {"tiny": RedNet}):
        yield


@pytest.fixture
def model(tmp_path: Path) -> Path:
    net = RedNet(tiny_net.TinyConfig(presence=False)).eval()
    return save_bundle(tiny_net.make_bundle(tmp_path / "red", net), precision="fp32")


def write_windows(root: Path, reds: list[int], *, with_target: list[bool]) -> Path:
    """Gray images with a square of some red; the square is the target or is not."""
    with TripletWriter(root, "train") as writer:
        for number, (red, has_target) in enumerate(zip(reds, with_target, strict=True)):
            image = np.full((64, 64, 3), 60, np.uint8)
            image[16:32, 16:32, 0] = 60 + red
            mask = np.zeros((64, 64), np.bool_)
            mask[16:32, 16:32] = has_target
            writer.add(Sample(image=image, expression="the truck", mask=mask, id=str(number)))
    return root


@pytest.fixture
def windows(tmp_path: Path) -> Path:
    """Six windows with a truck, and six with something that is less red."""
    reds = [120, 130, 140, 150, 160, 170, 60, 70, 80, 90, 100, 110]
    return write_windows(tmp_path / "windows", reds, with_target=[True] * 6 + [False] * 6)


def test_the_fitted_threshold_empties_the_masks_of_absent_targets(
    model: Path, windows: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = EvaluateOptions(model=str(model), device="cpu", dtype="fp32")
    before = evaluate_bundle(windows, "triplets", "train", options)
    assert (before.scores.n_acc, before.presence) == (0.0, None)
    report = fit_presence(windows, "triplets", "train", options)
    assert (report.kept, report.dropped, report.n_present, report.n_absent) == (1.0, 1.0, 6, 6)
    assert "only 6 samples are with a target" in caplog.text
    assert load_bundle(model).presence == report.threshold
    after = evaluate_bundle(windows, "triplets", "train", options)
    assert (after.scores.n_acc, after.presence) == (1.0, report.threshold)
    assert after.scores.miou_present == before.scores.miou_present > 0.9
    by_hand = EvaluateOptions(model=str(model), device="cpu", dtype="fp32", presence=0.01)
    assert evaluate_bundle(windows, "triplets", "train", by_hand).scores.n_acc == 0.0


def test_a_copy_has_the_threshold_and_the_model_does_not(
    model: Path, windows: Path, tmp_path: Path
) -> None:
    options = EvaluateOptions(model=str(model), device="cpu", dtype="fp32")
    report = fit_presence(windows, "triplets", "train", options, tmp_path / "copy")
    assert load_bundle(model).presence is None
    assert load_bundle(tmp_path / "copy").presence == report.threshold
    with pytest.raises(OutputError, match="exists; choose another folder"):
        fit_presence(windows, "triplets", "train", options, tmp_path / "copy")


def test_a_copy_of_the_hub_is_not_changed(model: Path, windows: Path, tmp_path: Path) -> None:
    cached = tmp_path / "models--a--b" / "snapshots" / "main"
    cached.parent.mkdir(parents=True)
    model.rename(cached)
    options = EvaluateOptions(model=str(cached), device="cpu", dtype="fp32")
    with pytest.raises(OutputError, match="choose a folder for a new model with --out"):
        fit_presence(windows, "triplets", "train", options)
    assert load_bundle(cached).presence is None


def test_windows_that_cannot_be_separated_are_an_error(model: Path, tmp_path: Path) -> None:
    options = EvaluateOptions(model=str(model), device="cpu", dtype="fp32")
    same = write_windows(tmp_path / "same", [90, 90], with_target=[True, False])
    with pytest.raises(InputError, match="red is not more confident where the target is"):
        fit_presence(same, "triplets", "train", options)
    alone = write_windows(tmp_path / "alone", [90, 95], with_target=[True, True])
    with pytest.raises(InputError, match="no sample of the split train is without a target"):
        fit_presence(alone, "triplets", "train", options)
    assert load_bundle(model).presence is None


@pytest.mark.parametrize(
    ("present", "absent", "expected"),
    [
        ([2.0, 3.0], [0.0, 1.0], 1.5),
        ([2.0, 8.0], [0.0, 4.0], 6.0),  # as good as 1.0, in a wider gap
        ([1.0, 2.0, 3.0, 4.0], [0.0, 1.5], 1.75),
        ([0.0], [1.0], None),
        ([1.0], [1.0], None),
        ([200.0], [100.0], 30.0),
    ],
)
def test_the_threshold_has_the_best_mean_of_kept_and_dropped(
    present: list[float], absent: list[float], expected: float | None
) -> None:
    assert choose_threshold(present, absent) == expected


def test_the_command(model: Path, windows: Path) -> None:
    arguments = ("fit-presence", model, "--data", windows, "--layout", "triplets", "--quiet")
    run = Run(*arguments)
    assert run.code == 0, run.err
    for words in ("threshold 0.", "100% of 6 samples are kept", "100% of 6 samples are dropped"):
        assert words in run.out
    record = json.loads(Run(*arguments, "--json").out)
    assert record["threshold"] == load_bundle(model).presence
    scores = ("evaluate", "--model", model, "--data", windows, "--layout", "triplets")
    assert "masks below 0." in Run(*scores, "--split", "train").out
    Run(*arguments, "--split", "none").failed(2, "none")
