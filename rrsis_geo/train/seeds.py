"""Train the same configuration with several seeds, and summarize the scores."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from rrsis_geo.errors import OutputError
from rrsis_geo.files import open_atomic
from rrsis_geo.metrics import Scores
from rrsis_geo.model.predictor import choose_device
from rrsis_geo.train import training
from rrsis_geo.train.checkpoint import list_checkpoints
from rrsis_geo.train.config import TrainConfig
from rrsis_geo.train.distributed import init_processes
from rrsis_geo.train.training import CHECKPOINT_FOLDER, TrainProgress

SEEDS_FILE: Final = "seeds.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedsReport:
    """Validation scores of runs that differ in their seed.

    Attributes:
        runs: seed -> the best validation scores.
        mean: name of a score, see ``Scores.values`` -> its mean. Scores that a run lacks are left
            out.
        std: the same for the standard deviation of the sample (n - 1).
    """

    runs: Mapping[int, Scores]
    mean: Mapping[str, float]
    std: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return {
            "runs": [{"seed": seed, **scores.to_dict()} for seed, scores in self.runs.items()],
            "mean": dict(self.mean),
            "std": dict(self.std),
        }


def train_seeds(
    config: TrainConfig,
    out: Path,
    n: int,
    *,
    resume: bool = False,
    progress: Callable[[TrainProgress], None] | None = None,
) -> SeedsReport | None:
    """Train with ``n`` consecutive seeds, from that of the configuration.

    Args:
        config: settings of all runs.
        out: folder for the runs, ``seed-<seed>``, and for ``seeds.json``, the report.
        n: number of runs, at least 2.
        resume: continue the runs that have a checkpoint.
        progress: see ``train_model``.

    Returns:
        the report; None in all processes except rank 0.

    Raises:
        OutputError: a folder contains a run that is not to be resumed, or cannot be written.
        Other errors are those of ``train_model``.
    """
    folders = {config.seed + number: out / f"seed-{config.seed + number}" for number in range(n)}
    started = {seed for seed, folder in folders.items() if _has_checkpoint(folder)}
    if started and not resume:
        raise OutputError(
            f"{folders[min(started)]}: contains a run; continue it with --resume, or choose "
            "another folder"
        )
    runs: dict[int, Scores] = {}
    with init_processes(choose_device(config.device).type):
        for seed, folder in folders.items():
            scores = training.train_model(
                replace(config, seed=seed), folder, resume=seed in started, progress=progress
            )
            if scores is not None:
                runs[seed] = scores
    if not runs:
        return None
    report = summarize_seeds(runs)
    path = out / SEEDS_FILE
    try:
        out.mkdir(parents=True, exist_ok=True)
        with open_atomic(path) as file:
            file.write((json.dumps(report.to_dict(), indent=2) + "\n").encode())
    except OSError as err:
        raise OutputError(f"{path}: cannot be written ({err.strerror})") from err
    return report


def summarize_seeds(runs: Mapping[int, Scores]) -> SeedsReport:
    """Mean and standard deviation of the scores of at least two runs."""
    values = [scores.values() for scores in runs.values()]
    names = [name for name in values[0] if all(name in found for found in values)]

    def over_runs(summary: Callable[[Sequence[float]], float]) -> dict[str, float]:
        return {name: summary([found[name] for found in values]) for name in names}

    return SeedsReport(runs=runs, mean=over_runs(statistics.fmean), std=over_runs(statistics.stdev))


def _has_checkpoint(run_dir: Path) -> bool:
    return bool(list_checkpoints(run_dir / CHECKPOINT_FOLDER))
