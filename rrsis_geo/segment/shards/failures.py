"""Windows that failed. Their pixels have no data in the result, and the report lists them."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from rrsis_geo.errors import InputError, ModelError, RrsisError
from rrsis_geo.geo.grid.rows import WindowRow
from rrsis_geo.geo.grid.windows import Shard
from rrsis_geo.segment.plan.plan import Plan

logger = logging.getLogger(__name__)

MAX_FAILED_ROWS = 2
"""A run ends with an error after this many consecutive rows in which all windows failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedWindow:
    """A window that could not be read or predicted in two attempts.

    Rows and columns of pixels are on the grid of the scene (or of its part), within its extent.

    Attributes:
        window_row: row in the grid of windows.
        window_col: column in the grid of windows.
        row_start: first row of pixels that the window covers. Covered pixels have no data in the
            result.
        row_stop: row after the last.
        col_start: first column.
        col_stop: column after the last.
        reason: error message.
    """

    window_row: int
    window_col: int
    row_start: int
    row_stop: int
    col_start: int
    col_stop: int
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> "FailedWindow":
        """The inverse of `to_dict`."""
        return FailedWindow(**record)


def format_window_count(failed: Sequence[FailedWindow]) -> str:
    """Number of windows in words: "1 window", "3 windows"."""
    return f"{len(failed)} window{'' if len(failed) == 1 else 's'}"


def merge_failed(failed: Iterable[FailedWindow]) -> tuple[FailedWindow, ...]:
    """Each window once, in reading order; neighbouring shards report the same window."""
    by_place = {(window.window_row, window.window_col): window for window in failed}
    return tuple(by_place[place] for place in sorted(by_place))


class Failures:
    """Failed windows of one pass over rows of windows."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._windows: list[FailedWindow] = []

    def add(self, row_i: int, col_j: int, error: Exception) -> None:
        """Add a window that failed twice."""
        place, (height, width) = self._plan.footprint(row_i, col_j), self._plan.scene.shape
        failed = FailedWindow(
            window_row=row_i,
            window_col=col_j,
            row_start=max(place.row_off, 0),
            row_stop=min(place.row_off + place.height, height),
            col_start=max(place.col_off, 0),
            col_stop=min(place.col_off + place.width, width),
            reason=str(error) or type(error).__name__,
        )
        logger.info("window %d, %d failed: %s", row_i, col_j, failed.reason)
        self._windows.append(failed)

    def in_shard(self, shard: Shard) -> list[FailedWindow]:
        """Failed windows that overlap a shard."""
        rows = range(shard.window_row_start, shard.window_row_stop)
        return [window for window in self._windows if window.window_row in rows]

    def invalidate(self, row_start: int, valid: NDArray[np.bool_]) -> None:
        """Set the pixels of failed windows to False in rows of the scene, bool [n, W]; in place."""
        for window in self._windows:
            rows = slice(max(window.row_start - row_start, 0), max(window.row_stop - row_start, 0))
            valid[rows, window.col_start : window.col_stop] = False


class FailureLimit:
    """Raises when all windows of several consecutive rows fail."""

    def __init__(self, plan: Plan) -> None:
        self._model = plan.model.name
        self._max_rows = min(MAX_FAILED_ROWS, plan.grid.n_rows)
        self._failed_rows = 0

    def check_row(self, n_windows: int, errors: Sequence[Exception]) -> None:
        """Check one row of windows.

        Args:
            n_windows: windows of the row with valid pixels.
            errors: one for each of them that failed.

        Raises:
            RrsisError: the last error, if the limit is reached. The cause is then the scene, the
                device or the model, not a single window.
        """
        if not n_windows:
            return
        self._failed_rows = self._failed_rows + 1 if len(errors) == n_windows else 0
        if self._failed_rows >= self._max_rows:
            error = errors[-1]
            if isinstance(error, RrsisError):
                raise error
            reason = str(error) or type(error).__name__
            raise ModelError(f"the model {self._model} fails on every window ({reason})") from error


def find_unreadable(plan: Plan, row: WindowRow, cols: Sequence[int]) -> dict[int, InputError]:
    """Columns of windows that contain unreadable pixels, with the error of each."""
    errors: dict[int, InputError] = {}
    for col_j in cols if row.unreadable else ():
        place = plan.footprint(row.row_i, col_j)
        reasons = (part.reason for part in row.unreadable if _overlaps(part.window, place))
        if (reason := next(reasons, None)) is not None:
            errors[col_j] = InputError(reason)
    return errors


def _overlaps(one: Window, other: Window) -> bool:
    rows = one.row_off < other.row_off + other.height and other.row_off < one.row_off + one.height
    cols = one.col_off < other.col_off + other.width and other.col_off < one.col_off + one.width
    return bool(rows and cols)
