"""Positions of the windows of a scene, and their division into shards.

There are three kinds of row numbers:

- a *row* is a row of the model grid, with 0 at the top of the scene;
- a *padded row* is a row of the mirror-padded scene: padded row = row + margin_px;
- a *window row* (``row_i``) is a row of windows.

Windows are placed at a regular stride over the padded scene. The padding is half the overlap at the
top and left, and at least as much at the bottom and right. So every pixel of the scene is away from
the edge of at least one window.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.errors import ConfigError
from rrsis_geo.geo.grid.resample import rows_needed

BLOCK_PX = 512
"""Block size of output rasters. Shards end at multiples of it."""


@dataclass(frozen=True, slots=True)
class WindowGrid:
    """The windows that cover a scene of ``height`` x ``width`` pixels.

    Attributes:
        height: rows of the model grid, at least 1.
        width: columns of the model grid, at least 1.
        size_px: side length of a window.
        overlap_px: overlap of neighbouring windows along each axis; even, at least 2, at most half
            of ``size_px``, so that a pixel lies in at most two windows along each axis.

    Raises:
        ConfigError: the overlap is invalid.
    """

    height: int
    width: int
    size_px: int = 512
    overlap_px: int = 128

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ConfigError(f"a scene of {self.height} x {self.width} pixels has no windows")
        largest = self.size_px // 2
        if self.overlap_px % 2 or not 2 <= self.overlap_px <= largest:
            raise ConfigError(
                f"overlap must be an even number of pixels from 2 to {largest} "
                f"(half of the {self.size_px} px window), got {self.overlap_px}"
            )

    @property
    def stride_px(self) -> int:
        """Rows from one window row to the next."""
        return self.size_px - self.overlap_px

    @property
    def margin_px(self) -> int:
        """Rows of padding above the scene and columns of padding to its left."""
        return self.overlap_px // 2

    @property
    def n_rows(self) -> int:
        """Number of window rows."""
        return -(-self.height // self.stride_px)

    @property
    def n_cols(self) -> int:
        """Number of windows in a window row."""
        return -(-self.width // self.stride_px)

    @property
    def n_windows(self) -> int:
        """Number of windows, including skipped ones."""
        return self.n_rows * self.n_cols

    @property
    def padded_height(self) -> int:
        """Number of rows of the padded scene."""
        return self.n_rows * self.stride_px + self.overlap_px

    @property
    def padded_width(self) -> int:
        """Number of columns of the padded scene."""
        return self.n_cols * self.stride_px + self.overlap_px

    def rows_of(self, row_i: int) -> tuple[int, int]:
        """Padded rows [start, stop) of window row ``row_i``."""
        start = row_i * self.stride_px
        return start, start + self.size_px

    def cols_of(self, col_j: int) -> tuple[int, int]:
        """Padded columns [start, stop) of the windows in column ``col_j``."""
        start = col_j * self.stride_px
        return start, start + self.size_px

    def window_rows_over(self, row_start: int, row_stop: int) -> tuple[int, int]:
        """Window rows [start, stop) that overlap the rows [row_start, row_stop)."""
        first = (row_start + self.margin_px - self.size_px) // self.stride_px + 1
        last = (row_stop - 1 + self.margin_px) // self.stride_px
        return max(first, 0), min(last, self.n_rows - 1) + 1


@dataclass(frozen=True, slots=True)
class Shard:
    """A range of output rows and the window rows they depend on: the unit of work and of resume.

    Attributes:
        index: number of the shard, 0 at the top of the scene.
        row_start: first output row, on the grid of the scene; a multiple of 512.
        row_stop: one past the last output row; a multiple of 512 or the height of the scene.
        window_row_start: first window row needed.
        window_row_stop: one past the last window row needed.
    """

    index: int
    row_start: int
    row_stop: int
    window_row_start: int
    window_row_stop: int

    @property
    def n_rows(self) -> int:
        """Number of output rows."""
        return self.row_stop - self.row_start


def plan_shards(
    grid: WindowGrid, rows_per_shard: int, *, scene_height: int | None = None
) -> list[Shard]:
    """Divide the output rows into shards that can be computed independently.

    The pixels are the same as in a single run. Window rows that two shards need are computed twice,
    which adds about one window row per shard.

    Args:
        grid: windows on the model grid.
        rows_per_shard: output rows per shard, rounded up to a multiple of 512.
        scene_height: height of the scene grid, on which the results are written; None if it is the
            model grid.

    Raises:
        ConfigError: ``rows_per_shard`` is below 1.
    """
    if rows_per_shard < 1:
        raise ConfigError(f"a shard needs at least one row, got {rows_per_shard}")
    height = grid.height if scene_height is None else scene_height
    step = -(-rows_per_shard // BLOCK_PX) * BLOCK_PX
    shards = []
    for index, start in enumerate(range(0, height, step)):
        stop = min(start + step, height)
        window_rows = grid.window_rows_over(*rows_needed(grid.height, height, start, stop))
        shards.append(Shard(index, start, stop, *window_rows))
    return shards


def reflect_index(index: NDArray[np.int64], start: int, stop: int) -> NDArray[np.int64]:
    """Reflect indices into [start, stop), like ``numpy.pad(mode="reflect")``.

    The first and last pixels are not repeated.

    Args:
        index: int64 [n], any values.
        start: first existing index.
        stop: one past the last existing index.
    """
    last = stop - start - 1
    if last == 0:
        return np.full_like(index, start)
    phase = (index - start) % (2 * last)
    mirrored: NDArray[np.int64] = start + np.minimum(phase, 2 * last - phase)
    return mirrored
