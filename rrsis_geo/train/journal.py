"""What a run writes down as it goes: lines of numbers, TensorBoard's events, pictures."""

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.data.sample import Sample
from rrsis_geo.errors import ConfigError, OutputError
from rrsis_geo.files import open_atomic
from rrsis_geo.metrics import Scores
from rrsis_geo.train.pictures import draw_sheet

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

METRICS_FILE = "metrics.jsonl"
TENSORBOARD_FOLDER = "tensorboard"
PICTURES_FOLDER = "pictures"


def tensorboard_installed() -> bool:
    """Whether a journal can write TensorBoard's events."""
    return find_spec("tensorboard") is not None


class Journal:
    """The log of a run, in its folder; what is written stays if the run dies.

    ``metrics.jsonl`` holds a line of JSON for each report: ``step``, ``time`` (seconds since 1970),
    the loss parts, ``rates`` and ``images_per_second``; or ``step`` and ``val``, the scores.

    Args:
        run_dir: the run's folder.
        tensorboard: write ``run_dir/tensorboard`` too.
        since_step: the step that the run goes on from, 0 for a new one. What an earlier run logged
            after it is forgotten, for it will be done again.

    Raises:
        ConfigError: TensorBoard is asked for and not installed.
        OutputError: the folder cannot be written.
    """

    def __init__(self, run_dir: Path, *, tensorboard: bool, since_step: int) -> None:
        if tensorboard and not tensorboard_installed():
            raise ConfigError(
                'TensorBoard is asked for and not installed; "pip install rrsis-geo[train]" brings '
                "it, and without it metrics.jsonl holds the same numbers"
            )
        self._folder = run_dir
        self._metrics = run_dir / METRICS_FILE
        self._events: SummaryWriter | None = None
        with _writing(run_dir):
            run_dir.mkdir(parents=True, exist_ok=True)
            _forget_after(since_step, self._metrics, run_dir / PICTURES_FOLDER)
            if tensorboard:
                self._events = _event_writer(run_dir / TENSORBOARD_FOLDER, since_step)

    def losses(
        self,
        step: int,
        parts: Mapping[str, float],
        rates: Mapping[str, float],
        images_per_second: float,
    ) -> None:
        """Note the loss parts of a step, the learning rates, and the speed since the last note."""
        speed = round(images_per_second, 3)
        facts = {"step": step, "time": time.time(), **parts}
        self._append(facts | {"rates": dict(rates), "images_per_second": speed})
        self._plot(step, "loss", parts)
        self._plot(step, "rate", rates)
        self._plot(step, "speed", {"images_per_second": images_per_second})

    def scores(self, step: int, scores: Scores) -> None:
        """Note the validation scores after a step."""
        self._append({"step": step, "val": scores.to_dict()})
        self._plot(step, "val", _numbers(scores))
        for kind, own in scores.by_kind.items():
            self._plot(step, f"val_{kind.replace(' ', '_')}", _numbers(own))

    def pictures(
        self, step: int, samples: Sequence[Sample], masks: Sequence[NDArray[np.bool_]]
    ) -> None:
        """Draw what was answered to some samples after a step: ``pictures/step-NNNNNNNN.png``.

        Args:
            step: that was done.
            samples: at their own sizes; none draws nothing.
            masks: the answers, bool [H, W], of the size of the sample's mask or of its image.
        """
        if not samples:
            return
        sheet = draw_sheet(samples, masks)
        path = self._folder / PICTURES_FOLDER / f"step-{step:08d}.png"
        with _writing(path):
            path.parent.mkdir(exist_ok=True)
            sheet.save(path)
            if self._events is not None:
                self._events.add_image("predictions", np.asarray(sheet), step, dataformats="HWC")

    def close(self) -> None:
        """Write what is still held back."""
        if self._events is not None:
            self._events.close()

    def _append(self, facts: Mapping[str, Any]) -> None:
        with _writing(self._metrics), self._metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(facts) + "\n")

    def _plot(self, step: int, group: str, values: Mapping[str, float]) -> None:
        if self._events is not None:
            with _writing(self._folder / TENSORBOARD_FOLDER):
                for name, value in values.items():
                    self._events.add_scalar(f"{group}/{name}", value, step)


def _numbers(scores: Scores) -> dict[str, float]:
    """The scores that are numbers here, by name; thresholds such as "precision_0.5"."""
    facts = scores.to_dict()
    shares = {f"precision_{at}": share for at, share in facts["precision"].items()}
    return {name: value for name, value in facts.items() if isinstance(value, float)} | shares


def _event_writer(folder: Path, since_step: int) -> "SummaryWriter":
    """A writer whose readers forget what older files in the folder say of later steps."""
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=since_step + 1, flush_secs=30)


def _forget_after(step: int, metrics: Path, pictures: Path) -> None:
    """Drop later lines, a line that a crash cut short, and later pictures."""
    lines = metrics.read_text(encoding="utf-8").splitlines() if metrics.exists() else []
    kept = [line for line in lines if _step_of(line) <= step]
    if len(kept) < len(lines):
        with open_atomic(metrics) as file:
            file.write("".join(f"{line}\n" for line in kept).encode())
    for path in pictures.glob("step-*.png"):
        found = re.fullmatch(r"step-(\d{8,})\.png", path.name)
        if found and int(found[1]) > step:
            path.unlink()


def _step_of(line: str) -> float:
    """The step that a line of metrics.jsonl speaks of, infinite where it is not whole."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as err:
        raise OutputError(f"{path}: cannot be written ({err.strerror or err})") from err
