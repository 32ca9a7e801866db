"""The log of a training run: a file of metrics, TensorBoard events, and pictures."""

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
    """Whether TensorBoard events can be written."""
    return find_spec("tensorboard") is not None


class Journal:
    """Writes the log of a run to its folder, entry by entry.

    ``metrics.jsonl`` has one JSON object per line, with ``step`` and either ``time`` (seconds since
    1970), the parts of the loss, ``rates`` and ``images_per_second``, or ``val``, the scores.

    Args:
        run_dir: folder of the run.
        tensorboard: also write ``run_dir/tensorboard``.
        since_step: step from which the run continues, 0 for a new run. Existing entries of later
            steps are deleted, because these steps are run again.

    Raises:
        ConfigError: TensorBoard is requested but not installed.
        OutputError: the folder cannot be written.
    """

    def __init__(self, run_dir: Path, *, tensorboard: bool, since_step: int) -> None:
        if tensorboard and not tensorboard_installed():
            raise ConfigError(
                'TensorBoard is not installed; run "pip install rrsis-geo[train]", or set '
                "tensorboard = false (metrics.jsonl has the same numbers)"
            )
        self._folder = run_dir
        self._metrics = run_dir / METRICS_FILE
        self._events: SummaryWriter | None = None
        with _output_errors(run_dir):
            run_dir.mkdir(parents=True, exist_ok=True)
            _delete_entries_after(since_step, self._metrics, run_dir / PICTURES_FOLDER)
            if tensorboard:
                self._events = _open_event_writer(run_dir / TENSORBOARD_FOLDER, since_step)

    def write_losses(
        self,
        step: int,
        parts: Mapping[str, float],
        rates: Mapping[str, float],
        images_per_second: float,
    ) -> None:
        """Write the parts of the loss of a step, the learning rates and the speed."""
        speed = round(images_per_second, 3)
        entry = {"step": step, "time": time.time(), **parts}
        self._append(entry | {"rates": dict(rates), "images_per_second": speed})
        self._plot(step, "loss", parts)
        self._plot(step, "rate", rates)
        self._plot(step, "speed", {"images_per_second": images_per_second})

    def write_scores(self, step: int, scores: Scores) -> None:
        """Write the validation scores after a step."""
        self._append({"step": step, "val": scores.to_dict()})
        self._plot(step, "val", _select_numbers(scores))
        for kind, kind_scores in scores.by_kind.items():
            self._plot(step, f"val_{kind.replace(' ', '_')}", _select_numbers(kind_scores))

    def write_pictures(
        self, step: int, samples: Sequence[Sample], masks: Sequence[NDArray[np.bool_]]
    ) -> None:
        """Draw predictions after a step to ``pictures/step-NNNNNNNN.png``.

        Args:
            step: the step.
            samples: of any sizes; nothing is drawn if there are none.
            masks: predicted masks, bool [H, W], of the size of the sample's mask or image.
        """
        if not samples:
            return
        sheet = draw_sheet(samples, masks)
        path = self._folder / PICTURES_FOLDER / f"step-{step:08d}.png"
        with _output_errors(path):
            path.parent.mkdir(exist_ok=True)
            sheet.save(path)
            if self._events is not None:
                self._events.add_image("predictions", np.asarray(sheet), step, dataformats="HWC")

    def close(self) -> None:
        """Write buffered TensorBoard events."""
        if self._events is not None:
            self._events.close()

    def _append(self, entry: Mapping[str, Any]) -> None:
        with _output_errors(self._metrics), self._metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def _plot(self, step: int, group: str, values: Mapping[str, float]) -> None:
        if self._events is not None:
            with _output_errors(self._folder / TENSORBOARD_FOLDER):
                for name, value in values.items():
                    self._events.add_scalar(f"{group}/{name}", value, step)


def _select_numbers(scores: Scores) -> dict[str, float]:
    """The scores that are numbers, by name; thresholds as "precision_0.5"."""
    values = scores.to_dict()
    precision = {f"precision_{at}": share for at, share in values["precision"].items()}
    return {name: value for name, value in values.items() if isinstance(value, float)} | precision


def _open_event_writer(folder: Path, since_step: int) -> "SummaryWriter":
    """A writer that makes TensorBoard ignore later steps in older event files."""
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=since_step + 1, flush_secs=30)


def _delete_entries_after(step: int, metrics: Path, pictures: Path) -> None:
    """Delete lines and pictures of later steps, and a line that a crash cut short."""
    lines = metrics.read_text(encoding="utf-8").splitlines() if metrics.exists() else []
    earlier = [line for line in lines if _read_step(line) <= step]
    if len(earlier) < len(lines):
        with open_atomic(metrics) as file:
            file.write("".join(f"{line}\n" for line in earlier).encode())
    for path in pictures.glob("step-*.png"):
        match = re.fullmatch(r"step-(\d{8,})\.png", path.name)
        if match and int(match[1]) > step:
            path.unlink()


def _read_step(line: str) -> float:
    """The step of a line in metrics.jsonl, infinite if the line is incomplete."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


@contextmanager
def _output_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as err:
        raise OutputError(f"{path}: cannot be written ({err.strerror or err})") from err
