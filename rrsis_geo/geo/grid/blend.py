"""Blend the logits of overlapping windows, with one window row in memory at a time.

Logits are averaged rather than probabilities, because the sigmoid saturates: in an average of
probabilities, a confident window counts little more than any other. The threshold is applied to
the blended logits.
"""

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.geo.grid.arrays import HOST, Array, Arrays
from rrsis_geo.geo.grid.windows import WindowGrid

SKIPPED_LOGIT = -30.0
"""Value of pixels whose windows were all skipped: no target. Valid pixels never have it."""


def axis_ramp(
    size_px: int, overlap_px: int, *, first: bool = False, last: bool = False
) -> NDArray[np.float32]:
    """Weights of a window along one axis, float32 [size_px], above 0.

    The weights of two neighbours sum to 1 where they overlap. They follow 6x^5 - 15x^4 + 10x^3
    from 0 to 1, so that the edge of a window, where the network lacks context, has little weight.
    The outer side of the ``first`` and of the ``last`` window has no ramp.
    """
    x = (np.arange(overlap_px) + 0.5) / overlap_px
    rise = (x**3 * (x * (6 * x - 15) + 10)).astype(np.float32)
    ramp = np.ones(size_px, np.float32)
    if not first:
        ramp[:overlap_px] = rise
    if not last:
        ramp[size_px - overlap_px :] = rise[::-1]
    return ramp


class BandMosaic:
    """Sum of weighted windows; returns each row when no later window overlaps it.

    Windows are added in row-major order. Each pixel is the sum of at most four windows, always in
    this order, so the result does not depend on batch size or shard height, to the last bit. The
    weights of all windows sum to 1. Next to a skipped window the sum is smaller and the result is
    divided by it. The sum is the product of a row ramp and a column sum, so no array of weights is
    needed.

    Each step is one product, sum or quotient of float32, which NumPy and torch round alike, so the
    result does not depend on where it is computed either.
    """

    def __init__(
        self,
        grid: WindowGrid,
        window_row_start: int = 0,
        window_row_stop: int | None = None,
        *,
        arrays: Arrays = HOST,
    ) -> None:
        """Blend the window rows [window_row_start, window_row_stop) of the grid.

        Args:
            grid: the windows.
            window_row_start: first window row.
            window_row_stop: one past the last window row; None means all.
            arrays: where the windows are, and the finished rows will be.
        """
        self._grid = grid
        self._arrays = arrays
        self._ramps: dict[tuple[bool, bool], tuple[NDArray[np.float32], Array]] = {}
        self._row_i = window_row_start
        self._start = window_row_start
        self._stop = grid.n_rows if window_row_stop is None else window_row_stop
        self._next_col = 0
        self._sum = arrays.zeros((grid.size_px, grid.padded_width))
        self._cols = np.zeros(grid.padded_width, np.float32)
        self._cols_above = np.zeros(grid.padded_width, np.float32)
        self._full = self._full_above = True

    def add(self, row_i: int, col_j: int, logits: Array) -> None:
        """Add the window at ``(row_i, col_j)``: finite logits, float32 [S, S].

        Windows that are not added count as skipped.

        Raises:
            ValueError: the window is out of order.
        """
        if row_i != self._row_i or not self._next_col <= col_j < self._grid.n_cols:
            raise ValueError(
                f"window ({row_i}, {col_j}) is out of order: expected row {self._row_i}, "
                f"column {self._next_col} or later"
            )
        grid = self._grid
        if col_j != self._next_col:
            self._full = False
        self._next_col = col_j + 1
        host_ramp, col_ramp = self._ramp(first=col_j == 0, last=col_j == grid.n_cols - 1)
        _, row_ramp = self._row_ramp(row_i)
        start, stop = grid.cols_of(col_j)
        weighted = logits * col_ramp
        weighted *= row_ramp[:, None]
        self._sum[:, start:stop] += weighted
        self._cols[start:stop] += host_ramp

    def finish_row(self, row_i: int) -> tuple[int, Array]:
        """Finish window row ``row_i``, after its last window was added.

        Call it for every window row, also if all windows of the row were skipped.

        Returns:
            Number of the first finished row (on the model grid), and the finished rows, float32
            [n, width]: all rows after those returned before. n may be 0.
        """
        if row_i != self._row_i:
            raise ValueError(f"window row {row_i} is out of order: expected {self._row_i}")
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
        finished = self._arrays.copy(self._sum[first - top : last - top, left])
        shared = min(max(top + grid.overlap_px, first), last)
        if not (self._full and self._full_above):
            self._normalise(finished[: shared - first], slice(first - top, shared - top), left)
        if not self._full:
            self._normalise(finished[shared - first :], slice(shared - top, last - top), left)
        self._advance()
        return first, finished

    def _normalise(self, finished: Array, rows: slice, cols: slice) -> None:
        """Divide rows by the sum of their weights, in place."""
        # The ramp of the window row below is not needed: rows that it reaches are not finished.
        grid, upload = self._grid, self._arrays.upload
        weight = self._row_ramp(self._row_i)[1][rows, None] * upload(self._cols[cols])
        if rows.start < grid.overlap_px and self._row_i > 0:
            above = axis_ramp(grid.size_px, grid.overlap_px)[grid.stride_px :]
            weight += upload(above[rows])[:, None] * upload(self._cols_above[cols])
        is_empty = weight == 0
        weight[is_empty] = 1
        finished /= weight
        finished[is_empty] = SKIPPED_LOGIT

    def _row_ramp(self, row_i: int) -> tuple[NDArray[np.float32], Array]:
        return self._ramp(first=row_i == 0, last=row_i == self._grid.n_rows - 1)

    def _ramp(self, *, first: bool, last: bool) -> tuple[NDArray[np.float32], Array]:
        """The ramp of a window, as a NumPy array and where the windows are."""
        if (first, last) not in self._ramps:
            ramp = axis_ramp(self._grid.size_px, self._grid.overlap_px, first=first, last=last)
            self._ramps[first, last] = ramp, self._arrays.upload(ramp)
        return self._ramps[first, last]

    def _advance(self) -> None:
        overlap, stride = self._grid.overlap_px, self._grid.stride_px
        self._sum[:overlap] = self._sum[stride:]  # at most half of the rows: they do not overlap
        self._sum[overlap:] = 0
        self._cols_above, self._cols = self._cols, self._cols_above
        self._cols[:] = 0
        self._full_above, self._full = self._full, True
        self._next_col = 0
        self._row_i += 1
