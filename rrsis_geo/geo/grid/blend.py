"""Blend the logits of overlapping windows into finished rows, holding one window row at a time.

Logits are averaged, not probabilities, and thresholded once afterwards: averaging log-odds keeps a
confident window from being flattened by a saturated sigmoid.
"""

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.geo.grid.windows import WindowGrid

SKIPPED_LOGIT = -30.0
"""What rows hold where every window was skipped: no target. No valid pixel ever gets it."""


def axis_ramp(
    size_px: int, overlap_px: int, *, first: bool = False, last: bool = False
) -> NDArray[np.float32]:
    """Weights of a window along one axis, float32 [size_px], strictly above 0.

    The ramps of two neighbours sum to 1. They rise as 6x^5 - 15x^4 + 10x^3 from 0 to 1: at the rim
    of a window a network does not see all around, and what it says there hardly counts. The outer
    side of the ``first`` and of the ``last`` window has no neighbour and no ramp.
    """
    x = (np.arange(overlap_px) + 0.5) / overlap_px
    rise = (x**3 * (x * (6 * x - 15) + 10)).astype(np.float32)
    ramp = np.ones(size_px, np.float32)
    if not first:
        ramp[:overlap_px] = rise
    if not last:
        ramp[size_px - overlap_px :] = rise[::-1]
    return ramp


def ramp_weights(size_px: int, overlap_px: int) -> NDArray[np.float32]:
    """Weights of a window with neighbours on all sides, float32 [size_px, size_px]."""
    ramp = axis_ramp(size_px, overlap_px)
    weights: NDArray[np.float32] = ramp[:, None] * ramp[None, :]
    return weights


class BandMosaic:
    """Sums weighted windows and gives back the rows that no later window touches.

    Windows are added in the order of their numbers, row by row, and each pixel sums its (at most
    four) windows in that order: batch size and shard height change nothing, to the last bit. The
    weights of a full grid sum to 1. Beside a skipped window the sum is less, and is divided out:
    it is the product of a row ramp and a column sum, so no plane of weights is kept.
    """

    def __init__(
        self, grid: WindowGrid, window_row_start: int = 0, window_row_stop: int | None = None
    ) -> None:
        """Ready for the window rows [window_row_start, window_row_stop) of the grid."""
        self._grid = grid
        self._row_i = window_row_start
        self._start = window_row_start
        self._stop = grid.n_rows if window_row_stop is None else window_row_stop
        self._next_col = 0
        self._sum = np.zeros((grid.size_px, grid.padded_width), np.float32)
        self._cols = np.zeros(grid.padded_width, np.float32)
        self._cols_above = np.zeros(grid.padded_width, np.float32)
        self._full = self._full_above = True

    def add(self, row_i: int, col_j: int, logits: NDArray[np.float32]) -> None:
        """Add the window at ``(row_i, col_j)``: logits float32 [S, S], finite.

        Windows that are never added count as skipped.

        Raises:
            ValueError: out of order; see the class.
        """
        if row_i != self._row_i or not self._next_col <= col_j < self._grid.n_cols:
            raise ValueError(
                f"window ({row_i}, {col_j}) is out of order: "
                f"row {self._row_i}, column {self._next_col} or later is next"
            )
        grid = self._grid
        if col_j != self._next_col:
            self._full = False
        self._next_col = col_j + 1
        col_ramp = axis_ramp(
            grid.size_px, grid.overlap_px, first=col_j == 0, last=col_j == grid.n_cols - 1
        )
        start, stop = grid.cols_of(col_j)
        weighted = logits * col_ramp
        weighted *= self._row_ramp(row_i)[:, None]
        self._sum[:, start:stop] += weighted
        self._cols[start:stop] += col_ramp

    def finish_row(self, row_i: int) -> tuple[int, NDArray[np.float32]]:
        """Close window row ``row_i``: no more of its windows come.

        Every window row is closed, also one of which all windows were skipped.

        Returns:
            The number of the first finished row of the scene (on the model grid), and the finished
            rows, float32 [n, width]: all that follow the last ones given. n may be 0.
        """
        if row_i != self._row_i:
            raise ValueError(f"window row {row_i} is out of order: {self._row_i} is next")
        grid = self._grid
        if self._next_col != grid.n_cols:
            self._full = False
        at_end = row_i == grid.n_rows - 1
        n_done = grid.size_px if at_end else grid.stride_px
        n_halo = grid.overlap_px if row_i == self._start and row_i > 0 else 0

        top = row_i * grid.stride_px - grid.margin_px
        first, last = max(top + n_halo, 0), min(top + n_done, grid.height)
        last = max(first, last)
        left = slice(grid.margin_px, grid.margin_px + grid.width)
        finished = self._sum[first - top : last - top, left].copy()
        shared = min(max(top + grid.overlap_px, first), last)
        if not (self._full and self._full_above):
            self._normalise(finished[: shared - first], slice(first - top, shared - top), left)
        if not self._full:
            self._normalise(finished[shared - first :], slice(shared - top, last - top), left)
        self._advance()
        return first, finished

    def _normalise(self, finished: NDArray[np.float32], rows: slice, cols: slice) -> None:
        """Divide by the weights that were added; in place."""
        # The ramp of the row below is missing here: rows that it reaches are not finished yet.
        grid = self._grid
        weight = np.outer(self._row_ramp(self._row_i)[rows], self._cols[cols])
        if rows.start < grid.overlap_px and self._row_i > 0:
            above = axis_ramp(grid.size_px, grid.overlap_px)[grid.stride_px :]
            weight += np.outer(above[rows], self._cols_above[cols])
        seen = weight > 0
        np.divide(finished, weight, out=finished, where=seen)
        finished[~seen] = SKIPPED_LOGIT

    def _row_ramp(self, row_i: int) -> NDArray[np.float32]:
        grid = self._grid
        return axis_ramp(
            grid.size_px, grid.overlap_px, first=row_i == 0, last=row_i == grid.n_rows - 1
        )

    def _advance(self) -> None:
        overlap, stride = self._grid.overlap_px, self._grid.stride_px
        self._sum[:overlap] = self._sum[stride:].copy()
        self._sum[overlap:] = 0
        self._cols_above, self._cols = self._cols, self._cols_above
        self._cols[:] = 0
        self._full_above, self._full = self._full, True
        self._next_col = 0
        self._row_i += 1
