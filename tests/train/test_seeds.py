"""Runs that differ in their seed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rrsis_geo.config import build
from rrsis_geo.errors import OutputError
from rrsis_geo.metrics import ScoreMeter, Scores
from rrsis_geo.train import seeds
from rrsis_geo.train.config import TrainConfig
from rrsis_geo.train.seeds import train_seeds

CONFIG = build(
    TrainConfig,
    {"name": "x", "seed": 5, "steps": 1, "net": {"name": "btdnet"}}
    | {"init": {"vocabulary": "v"}, "data": {}},
)
MIOU = {5: 0.5, 6: 0.75, 7: 0.7}


def scores_of(seed: int) -> Scores:
    meter = ScoreMeter()
    meter.add(np.ones((2, 2), bool), np.ones((2, 2), bool))
    return replace(meter.scores(), miou=MIOU[seed])


class Training:
    """Replaces `train_model`; it is interrupted before the seed ``stop``."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, str, bool]] = []
        self.stop: int | None = None
        self.rank = 0

    def __call__(self, config: TrainConfig, run_dir: Path, *, resume: bool, progress: Any) -> Any:
        self.calls.append((config.seed, run_dir.name, resume))
        if config.seed == self.stop:
            raise KeyboardInterrupt
        (run_dir / "checkpoints").mkdir(parents=True, exist_ok=True)
        (run_dir / "checkpoints" / "step-00000001.pt").touch()
        return scores_of(config.seed) if self.rank == 0 else None


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> Training:
    stub = Training()
    monkeypatch.setattr(seeds.training, "train_model", stub)
    return stub


def test_runs_have_consecutive_seeds_and_their_scores_are_summarized(
    training: Training, tmp_path: Path
) -> None:
    report = train_seeds(CONFIG, tmp_path, 3)
    assert training.calls == [
        (5, "seed-5", False),
        (6, "seed-6", False),
        (7, "seed-7", False),
    ]
    assert report is not None
    assert report.mean["miou"] == pytest.approx(0.65)
    assert report.std["miou"] == pytest.approx(np.std([0.5, 0.75, 0.7], ddof=1))
    assert (report.mean["oiou"], report.std["oiou"]) == (1.0, 0.0)
    assert "n_acc" not in report.mean
    written = json.loads((tmp_path / "seeds.json").read_text())
    assert written == json.loads(json.dumps(report.to_dict()))
    assert [run["seed"] for run in written["runs"]] == [5, 6, 7]
    assert written["runs"][1]["miou"] == 0.75


def test_interrupted_runs_are_resumed(training: Training, tmp_path: Path) -> None:
    training.stop = 6
    with pytest.raises(KeyboardInterrupt):
        train_seeds(CONFIG, tmp_path, 3)
    assert not (tmp_path / "seeds.json").exists()
    training.stop, training.calls = None, []
    with pytest.raises(OutputError, match=r"seed-5: contains a run; .*--resume"):
        train_seeds(CONFIG, tmp_path, 3)
    assert training.calls == []
    assert train_seeds(CONFIG, tmp_path, 3, resume=True) is not None
    assert [resume for _, _, resume in training.calls] == [True, False, False]


def test_only_the_first_process_reports(training: Training, tmp_path: Path) -> None:
    training.rank = 1
    assert train_seeds(CONFIG, tmp_path, 2) is None
    assert not (tmp_path / "seeds.json").exists()
