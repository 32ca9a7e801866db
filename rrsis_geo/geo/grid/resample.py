"""Resample rows from one pixel grid to another of the same extent, as a stream.

A grid of n pixels along an axis is resampled to m pixels over the same extent; the outer edges of
the first and last pixels coincide. Each output row is a weighted sum of input rows that depends
only on its number, so the result does not depend on how the rows are split.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.geo.grid.arrays import HOST, Array, Arrays

Kernel = Literal["linear", "cubic"]
"""Interpolation for a finer output grid. A coarser output grid is always the area mean."""

_PIECE_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Taps:
    """Input pixels and weights of each output pixel along one axis.

    Attributes:
        index: int64 [n, k], consecutive input pixels, clamped to the input.
        weight: float32 [n, k]; each row sums to 1.
        nearest: int64 [n], the input pixel that contains the centre of the output pixel.
    """

    index: NDArray[np.int64]
    weight: NDArray[np.float32]
    nearest: NDArray[np.int64]

    @property
    def span(self) -> tuple[int, int]:
        """Range [start, stop) of the input pixels that are needed."""
        return int(self.index.min()), int(self.index.max()) + 1


def make_taps(
    n_in: int,
    n_out: int,
    start: int,
    stop: int,
    kernel: Kernel = "linear",
    *,
    bounds: tuple[int, int] | None = None,
) -> Taps:
    """Taps of the output pixels [start, stop) for resampling ``n_in`` pixels to ``n_out``.

    Args:
        n_in: number of input pixels over the common extent.
        n_out: number of output pixels over the common extent.
        start: first output pixel; may be negative, outside the extent.
        stop: one past the last output pixel; may exceed ``n_out``.
        kernel: interpolation if ``n_out`` > ``n_in``.
        bounds: range [start, stop) of existing input pixels; None means [0, n_in).
    """
    low, high = bounds or (0, n_in)
    out = np.arange(start, stop, dtype=np.float64)
    step = n_in / n_out
    centre = (out + 0.5) * step
    if n_in == n_out:
        offset = np.zeros(1, np.int64)
        base = out
        weight = np.ones((len(out), 1))
    elif n_out < n_in:
        offset = np.arange(math.ceil(step) + 1)
        base = np.floor(out * step)
        edge = base[:, None] + offset
        weight = np.minimum(edge + 1, ((out + 1) * step)[:, None]) - np.maximum(
            edge, (out * step)[:, None]
        )
        weight = np.maximum(weight, 0)
    else:
        offset = np.arange(2) if kernel == "linear" else np.arange(-1, 3)
        base = np.floor(centre - 0.5)
        distance = np.abs((centre - 0.5)[:, None] - (base[:, None] + offset))
        weight = np.maximum(1 - distance, 0) if kernel == "linear" else _catmull_rom(distance)
    weight /= weight.sum(axis=1, keepdims=True)
    index = base.astype(np.int64)[:, None] + offset
    if kernel == "linear" or n_out < n_in:  # do not require pixels of weight 0
        index = np.where(weight > 0, index, index[:, :1])
    return Taps(
        index=np.clip(index, low, high - 1),
        weight=weight.astype(np.float32),
        nearest=np.clip(np.floor(centre).astype(np.int64), low, high - 1),
    )


def _catmull_rom(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weight of cubic convolution at a distance in pixels. Source: Keys 1981, a = -1/2."""
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    weight: NDArray[np.float64] = np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
    return weight


def rows_needed(n_in: int, n_out: int, start: int, stop: int) -> tuple[int, int]:
    """Range of input rows that the output rows [start, stop) depend on (linear kernel)."""
    return make_taps(n_in, n_out, start, stop).span


def resample_rows(
    rows: Array,
    row_start: int,
    taps: Taps,
    selection: slice = slice(None),
    *,
    arrays: Arrays = HOST,
) -> Array:
    """Resample along axis 0: input rows [m, ...] -> output rows, float32 [n, ...].

    Args:
        rows: input rows.
        row_start: number of the first input row.
        taps: taps along axis 0.
        selection: which of the taps to compute.
        arrays: where the rows are.
    """
    index, weight = taps.index[selection] - row_start, taps.weight[selection]
    weights = weight.reshape(*weight.shape, *[1] * (rows.ndim - 1))
    return _weighted_sum(rows, index, weights.swapaxes(0, 1), 0, arrays)


def resample_cols(rows: Array, col_start: int, taps: Taps, *, arrays: Arrays = HOST) -> Array:
    """Resample along axis 1: float32 [n, m, ...] -> float32 [n, m', ...]."""
    weights = taps.weight.reshape(*taps.weight.shape, *[1] * (rows.ndim - 2))
    return _weighted_sum(rows, taps.index - col_start, weights.swapaxes(0, 1), 1, arrays)


def _weighted_sum(
    rows: Array, index: NDArray[np.int64], weights: NDArray[np.float32], axis: int, arrays: Arrays
) -> Array:
    """Sum of the rows or columns of an index [n, k], with weights [k, n, ...]."""
    result = arrays.take(rows, index[:, 0], axis)
    result *= arrays.upload(weights[0])
    for k in range(1, index.shape[1]):
        part = arrays.take(rows, index[:, k], axis)
        part *= arrays.upload(weights[k])
        result += part
    return result


class RowResampler:
    """Resample a stream of float32 rows to another grid of the same extent.

    Each axis is interpolated linearly if the output is finer, and averaged by area if it is
    coarser. Rows of equal grids are returned unchanged.
    """

    def __init__(
        self,
        src_shape: tuple[int, int],
        dst_shape: tuple[int, int],
        *,
        dst_rows: tuple[int, int] | None = None,
        arrays: Arrays = HOST,
    ) -> None:
        """Resample from one shape (height, width) to another.

        Args:
            src_shape: shape of the input grid.
            dst_shape: shape of the output grid.
            dst_rows: range [start, stop) of output rows to compute; None means all.
            arrays: where the rows are.
        """
        self._arrays = arrays
        self._src_shape = src_shape
        self._dst_shape = dst_shape
        start, stop = dst_rows or (0, dst_shape[0])
        self._start, self._next, self._stop = start, start, stop
        self._rows = make_taps(src_shape[0], dst_shape[0], start, stop)
        self._cols = make_taps(src_shape[1], dst_shape[1], 0, dst_shape[1])
        self._needs = self._rows.index.max(axis=1) + 1
        self._stored = arrays.zeros((0, src_shape[1]))
        self._stored_start = self._rows.span[0]

    def push(self, row_start: int, rows: Array) -> Iterator[tuple[int, Array]]:
        """Add input rows and yield the output rows that are complete.

        Output rows are in order and without gaps, in pieces of at most about 16 MiB (equal grids
        give one piece). Exhaust the iterator before the next call.

        Args:
            row_start: number of the first input row: one past the last row of the previous call.
                Rows that are not needed are dropped.
            rows: input rows, float32 [n, W].

        Yields:
            Number of the first output row, and output rows, float32 [n, W'].
        """
        if self.is_done:
            return
        skip = self._stored_start + len(self._stored) - row_start
        if skip < 0:
            raise ValueError(f"rows {row_start + skip} to {row_start} were not pushed")
        rows = rows[skip:]
        if not len(rows):
            return
        if self._src_shape == self._dst_shape:
            yield from self._pass_through(rows)
            return
        ready = row_start + skip + len(rows)
        arrays = self._arrays
        stored = arrays.concatenate([self._stored, rows]) if len(self._stored) else rows
        done = self._start + int(np.searchsorted(self._needs, ready, side="right"))
        piece = max(1, _PIECE_BYTES // (4 * max(self._dst_shape[1], self._src_shape[1])))
        for first in range(self._next, done, piece):
            last = min(first + piece, done)
            selection = slice(first - self._start, last - self._start)
            resampled = resample_rows(
                stored, self._stored_start, self._rows, selection, arrays=arrays
            )
            yield first, resample_cols(resampled, 0, self._cols, arrays=arrays)
        self._next = done
        if not self.is_done:
            keep_from = min(int(self._rows.index[done - self._start].min()), ready)
            self._stored = arrays.copy(stored[keep_from - self._stored_start :])
            self._stored_start = keep_from

    def _pass_through(self, rows: Array) -> Iterator[tuple[int, Array]]:
        first = self._next
        rows = rows[: self._stop - first]
        self._next = self._stored_start = first + len(rows)
        if len(rows):
            yield first, rows

    @property
    def is_done(self) -> bool:
        """Whether all output rows have been returned."""
        return self._next >= self._stop
