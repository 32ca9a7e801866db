"""Bring rows from one pixel grid to another that spans the same ground, streaming.

A grid of n pixels along an axis is resampled to m pixels over the same extent, pixel areas (not
pixel centres) meeting at both ends. Every output row is a fixed weighted sum of input rows, formed
from its own number alone, so the result does not depend on how the rows were cut.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kernel = Literal["linear", "cubic"]
"""What is used where the output is the finer grid. Where it is the coarser one: the area mean."""

_PIECE_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Taps:
    """For each output pixel along one axis, the input pixels it is the weighted sum of.

    Attributes:
        index: int64 [n, k], input pixels; each row without a gap, ends clamped to the input.
        weight: float32 [n, k]; each row sums to 1.
        nearest: int64 [n], the input pixel that holds the output pixel's centre.
    """

    index: NDArray[np.int64]
    weight: NDArray[np.float32]
    nearest: NDArray[np.int64]

    @property
    def span(self) -> tuple[int, int]:
        """Input pixels [start, stop) that are needed."""
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
    """Taps of the output pixels [start, stop) when ``n_in`` pixels become ``n_out``.

    Args:
        n_in: input pixels over the common extent.
        n_out: output pixels over it.
        start: first output pixel wanted; may be negative, to look beyond the extent.
        stop: one past the last; may exceed ``n_out``.
        kernel: what to use where ``n_out`` > ``n_in``.
        bounds: input pixels [start, stop) that exist; None means [0, n_in).
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
    if kernel == "linear" or n_out < n_in:  # ask for no pixel that counts for nothing
        index = np.where(weight > 0, index, index[:, :1])
    return Taps(
        index=np.clip(index, low, high - 1),
        weight=weight.astype(np.float32),
        nearest=np.clip(np.floor(centre).astype(np.int64), low, high - 1),
    )


def _catmull_rom(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cubic convolution weight at a distance in pixels. Source: Keys 1981, a = -1/2."""
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    weight: NDArray[np.float64] = np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
    return weight


def rows_needed(n_in: int, n_out: int, start: int, stop: int) -> tuple[int, int]:
    """Input rows [start, stop) that the output rows [start, stop) are made of (linear kernel)."""
    return make_taps(n_in, n_out, start, stop).span


def resample_rows(
    rows: NDArray[np.generic], row_start: int, taps: Taps, wanted: slice = slice(None)
) -> NDArray[np.float32]:
    """Output rows, float32 [n, ...], from input rows [m, ...]; ``row_start`` numbers the first."""
    index, weight = taps.index[wanted] - row_start, taps.weight[wanted]
    shape = (-1,) + (1,) * (rows.ndim - 1)
    result = rows[index[:, 0]].astype(np.float32)
    result *= weight[:, 0].reshape(shape)
    for k in range(1, index.shape[1]):
        part = rows[index[:, k]].astype(np.float32)
        part *= weight[:, k].reshape(shape)
        result += part
    return result


def resample_cols(rows: NDArray[np.float32], col_start: int, taps: Taps) -> NDArray[np.float32]:
    """The same along axis 1: float32 [n, m, ...] -> float32 [n, m', ...]."""
    shape = (1, -1) + (1,) * (rows.ndim - 2)
    index = taps.index - col_start
    result = np.take(rows, index[:, 0], axis=1, mode="clip")
    result *= taps.weight[:, 0].reshape(shape)
    part = np.empty_like(result)
    for k in range(1, index.shape[1]):
        np.take(rows, index[:, k], axis=1, mode="clip", out=part)
        part *= taps.weight[:, k].reshape(shape)
        result += part
    return result


class RowResampler:
    """Streams float32 rows of one grid in, and rows of another grid over the same ground out.

    Linear interpolation where the output is finer, the area mean where it is coarser, each axis by
    itself. Equal shapes pass through untouched.
    """

    def __init__(
        self,
        src_shape: tuple[int, int],
        dst_shape: tuple[int, int],
        *,
        dst_rows: tuple[int, int] | None = None,
    ) -> None:
        """Shapes are (height, width); ``dst_rows`` is the output wanted, None for all of it."""
        self._src_shape = src_shape
        self._dst_shape = dst_shape
        start, stop = dst_rows or (0, dst_shape[0])
        self._start, self._next, self._stop = start, start, stop
        self._rows = make_taps(src_shape[0], dst_shape[0], start, stop)
        self._cols = make_taps(src_shape[1], dst_shape[1], 0, dst_shape[1])
        self._needs = self._rows.index.max(axis=1) + 1
        self._held = np.empty((0, src_shape[1]), np.float32)
        self._held_start = self._rows.span[0]

    def push(
        self, row_start: int, rows: NDArray[np.float32]
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Take the next input rows, float32 [n, W]; give what output rows they complete.

        Yields ``(row_start, float32 [n, W'])``, in order and without a gap, in pieces of at most
        about 16 MiB (an unchanged grid gives one piece). Exhaust it before the next push.

        Args:
            row_start: number of the first row; the one after the last pushed. Rows before the
                first one needed are dropped.
            rows: float32 [n, W].
        """
        if self.done:
            return
        skip = self._held_start + len(self._held) - row_start
        if skip < 0:
            raise ValueError(f"rows {row_start + skip} to {row_start} were not pushed")
        rows = rows[skip:]
        if not len(rows):
            return
        if self._src_shape == self._dst_shape:
            yield from self._pass_through(rows)
            return
        ready = row_start + skip + len(rows)
        held = np.concatenate([self._held, rows]) if len(self._held) else rows
        done = self._start + int(np.searchsorted(self._needs, ready, side="right"))
        piece = max(1, _PIECE_BYTES // (4 * max(self._dst_shape[1], self._src_shape[1])))
        for first in range(self._next, done, piece):
            last = min(first + piece, done)
            wanted = slice(first - self._start, last - self._start)
            mixed = resample_rows(held, self._held_start, self._rows, wanted)
            yield first, resample_cols(mixed, 0, self._cols)
        self._next = done
        if not self.done:
            keep_from = min(int(self._rows.index[done - self._start].min()), ready)
            self._held = held[keep_from - self._held_start :].copy()
            self._held_start = keep_from

    def _pass_through(self, rows: NDArray[np.float32]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        first = self._next
        rows = rows[: self._stop - first]
        self._next = self._held_start = first + len(rows)
        if len(rows):
            yield first, rows

    @property
    def done(self) -> bool:
        """Whether every output row wanted has come out."""
        return self._next >= self._stop
