"""Windows that failed: kept apart from those that hold nothing, all the way to the report."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from rrsis_geo.errors import InputError
from rrsis_geo.geo.grid.rows import WindowRow
from rrsis_geo.geo.grid.windows import Shard
from rrsis_geo.segment.plan.plan import Plan

logger = logging.getLogger(__name__)

GIVE_UP_ROWS = 2
"""Rows of windows in succession, none of which could be done, after which a run gives up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedWindow:
    """A window that could not be read or predicted, though it was tried twice.

    Attributes:
        window_row: of the grid of windows.
        window_col: likewise.
        row_start: first of the scene's rows (of the part that is worked on) that it covers; all
            pixels that it covers are without data in the result.
        row_stop: row past the last.
        col_start: first column.
        col_stop: column past the last.
        reason: what was said of it.
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
    """How many, as people say it."""
    return f"{len(failed)} window{'' if len(failed) == 1 else 's'}"


def merge_failed(failed: Iterable[FailedWindow]) -> tuple[FailedWindow, ...]:
    """Each window once, in reading order: two shards may tell of the same one."""
    found = {(window.window_row, window.window_col): window for window in failed}
    return tuple(found[place] for place in sorted(found))


class Failures:
    """What failed in one pass over rows of windows."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._found: list[FailedWindow] = []

    def of(self, shard: Shard) -> list[FailedWindow]:
        """Those that take pixels from a shard."""
        rows = range(shard.window_row_start, shard.window_row_stop)
        return [window for window in self._found if window.window_row in rows]

    def add(self, row_i: int, col_j: int, error: Exception) -> None:
        """Note a window that was tried twice."""
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
        self._found.append(failed)

    def burn(self, row_start: int, valid: NDArray[np.bool_]) -> None:
        """Take the pixels of failed windows out of rows [n, W] of the scene; in place."""
        for window in self._found:
            rows = slice(max(window.row_start - row_start, 0), max(window.row_stop - row_start, 0))
            valid[rows, window.col_start : window.col_stop] = False


class Patience:
    """Ends where nothing at all can be done."""

    def __init__(self, plan: Plan) -> None:
        self._limit = min(GIVE_UP_ROWS, plan.grid.n_rows)
        self._rows_lost = 0

    def finish_row(self, n_wanted: int, errors: Sequence[Exception]) -> None:
        """Close a row of windows, of which so many were to be done, and failed with these errors.

        Raises:
            Exception: the last error, if nothing at all could be done for some rows: the trouble is
                with the scene or the device then, not with a window.
        """
        if not n_wanted:
            return
        self._rows_lost = self._rows_lost + 1 if len(errors) == n_wanted else 0
        if self._rows_lost >= self._limit:
            raise errors[-1]


def unreadable(plan: Plan, row: WindowRow, cols: Sequence[int]) -> dict[int, InputError]:
    """Of the windows of a row in these columns, those that were not read whole, and why."""
    lost: dict[int, InputError] = {}
    for col_j in cols if row.unreadable else ():
        place = plan.footprint(row.row_i, col_j)
        reasons = (part.reason for part in row.unreadable if _overlap(part.window, place))
        if (reason := next(reasons, None)) is not None:
            lost[col_j] = InputError(reason)
    return lost


def _overlap(one: Window, other: Window) -> bool:
    rows = one.row_off < other.row_off + other.height and other.row_off < one.row_off + one.height
    cols = one.col_off < other.col_off + other.width and other.col_off < one.col_off + one.width
    return bool(rows and cols)
