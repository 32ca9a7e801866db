"""Read a scene one row of windows at a time, on the model grid.

Rows shared by neighbouring window rows are kept, so each row of the file is read once. Memory
depends on the width of the scene only.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.geo.grid.model_grid import ModelGrid, model_grid
from rrsis_geo.geo.grid.resample import Taps, make_taps, resample_cols, resample_rows
from rrsis_geo.geo.grid.source_rows import PIECE_BYTES, SourceRows, Unreadable, ValidRows
from rrsis_geo.geo.grid.windows import WindowGrid, reflect_index
from rrsis_geo.geo.scene.radiometry import Stretch
from rrsis_geo.geo.scene.scene import Scene


@dataclass(frozen=True, slots=True)
class WindowRow:
    """One row of windows, ready for the network. S is the side length of a window.

    Attributes:
        row_i: number of the window row.
        rgb: uint8 [S, padded width, 3]; mirrored beyond the scene, filled where there is no data.
        valid: bool [S, padded width]; True for pixels that get a result. False in the padding.
        source_valid: the same for the rows of the scene grid that were read for this window row.
        grid: the window grid.
        unreadable: everything that could not be read so far. Such pixels are filled, but valid, so
            that they are not mistaken for pixels without data.
    """

    row_i: int
    rgb: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    source_valid: ValidRows
    grid: WindowGrid
    unreadable: tuple[Unreadable, ...] = ()

    def valid_cols(self) -> list[int]:
        """Columns of the windows with at least one valid pixel; other windows can be skipped."""
        is_valid: NDArray[np.bool_] = np.logical_or.reduce(self.valid, axis=0)
        spans = ((j, *self.grid.cols_of(j)) for j in range(self.grid.n_cols))
        return [j for j, start, stop in spans if is_valid[start:stop].any()]

    def image(self, col_j: int) -> NDArray[np.uint8]:
        """The window in column ``col_j``: uint8 RGB [S, S, 3], a view."""
        start, stop = self.grid.cols_of(col_j)
        return self.rgb[:, start:stop]


def read_window_rows(
    scene: Scene,
    stretch: Stretch,
    grid: WindowGrid,
    start: int = 0,
    stop: int | None = None,
    *,
    model: ModelGrid | None = None,
) -> Iterator[WindowRow]:
    """Read the window rows [start, stop) in order.

    Around a part made by ``Scene.crop``, pixels of the scene are used before mirrored ones. Pixels
    that cannot be read in two attempts are filled and reported in the rows.

    Args:
        scene: the scene or the part that the grid covers.
        stretch: stretch of the whole scene.
        grid: windows on the model grid.
        start: first window row.
        stop: one past the last window row; None means all.
        model: the model grid; None means the grid of the scene itself.
    """
    model = model or model_grid(scene.info)
    if (grid.height, grid.width) != (model.height, model.width):
        raise ValueError("the window grid does not fit the model grid")
    stop = grid.n_rows if stop is None else stop
    source = _ModelRows(scene, stretch, grid, model)
    top, bottom = source.row_range
    rgb = np.empty((0, grid.padded_width, 3), np.uint8)
    valid = np.empty((0, grid.padded_width), np.bool_)
    rows_stop: int | None = None  # one past the last row in rgb and valid
    for row_i in range(start, stop):
        row = np.arange(*grid.rows_of(row_i)) - grid.margin_px
        mirrored = reflect_index(row, top, bottom)
        low, high = int(mirrored.min()), int(mirrored.max()) + 1
        n_shared = 0 if rows_stop is None else rows_stop - low
        shared_rgb, shared_valid = rgb[len(rgb) - n_shared :], valid[len(valid) - n_shared :]
        rgb = np.empty((high - low, grid.padded_width, 3), np.uint8)
        valid = np.zeros(rgb.shape[:2], np.bool_)
        rgb[:n_shared], valid[:n_shared] = shared_rgb, shared_valid
        del shared_rgb, shared_valid  # free the previous window row
        source.read_into(low + n_shared, rgb[n_shared:], valid[n_shared:])
        rows_stop = high
        if (row == mirrored).all():
            yield WindowRow(
                row_i, rgb, valid, source.take_source_valid(), grid, source.unreadable()
            )
            continue
        window_rgb, window_valid = rgb[mirrored - low], valid[mirrored - low]
        window_valid[(row < 0) | (row >= grid.height)] = False
        yield WindowRow(
            row_i, window_rgb, window_valid, source.take_source_valid(), grid, source.unreadable()
        )


class _ModelRows:
    """Rows of the model grid, padded at the left and right."""

    def __init__(self, scene: Scene, stretch: Stretch, grid: WindowGrid, model: ModelGrid) -> None:
        info, whole, margin = scene.info, scene.whole, grid.margin_px
        # Around a part, use pixels of the scene as far as there are whole model pixels.
        above, below = _context(
            (info.row_off, info.height), whole.height, model.height, margin, grid.padded_height
        )
        left, right = _context(
            (info.col_off, info.width), whole.width, model.width, margin, grid.padded_width
        )
        self.row_range = -above, model.height + below
        self._n_left = margin - left
        self._width = left + model.width + right
        self._row_bounds = -info.row_off, whole.height - info.row_off
        col_bounds = -info.col_off, whole.width - info.col_off
        self._cols = make_taps(
            info.width, model.width, -left, model.width + right, "cubic", bounds=col_bounds
        )
        self._mirror = reflect_index(np.arange(grid.padded_width) - self._n_left, 0, self._width)
        self._model = model
        self._source = SourceRows(scene, stretch, self._cols.span)

    def read_into(self, start: int, rgb: NDArray[np.uint8], valid: NDArray[np.bool_]) -> None:
        """Read rows from ``start`` into arrays.

        Args:
            start: first row, not before the rows of the last call.
            rgb: uint8 [n, padded width, 3], overwritten.
            valid: bool [n, padded width], all False; set to True for valid pixels.
        """
        real = slice(self._n_left, self._n_left + self._width)
        step = len(rgb) if self._model.is_scene else self._piece_rows()
        for first in range(0, len(rgb), max(step, 1)):
            rows = slice(first, min(first + step, len(rgb)))
            rgb[rows, real], valid[rows, real] = self._read_real(start + first, start + rows.stop)
        block = rgb[:, real]
        for padding in (slice(0, real.start), slice(real.stop, None)):
            rgb[:, padding] = block[:, self._mirror[padding]]

    def take_source_valid(self) -> ValidRows:
        """Validity of the rows of the scene grid that were read since the last call."""
        return self._source.take_valid()

    def unreadable(self) -> tuple[Unreadable, ...]:
        """Everything that could not be read so far."""
        return tuple(self._source.unreadable)

    def _piece_rows(self) -> int:
        """Number of rows to resample at a time, so that input and output stay small."""
        row_bytes = 3 * 4 * (self._cols.span[1] - self._cols.span[0])
        per_row = row_bytes * max(1.0, 0.25 / self._model.scale_row)
        return max(1, int(PIECE_BYTES / per_row))

    def _read_real(self, start: int, stop: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Rows [start, stop) without padding: RGB uint8 [n, w, 3] and validity bool [n, w]."""
        if self._model.is_scene:
            return self._source.read(start, stop)
        model = self._model
        taps = make_taps(
            model.scene_height, model.height, start, stop, "cubic", bounds=self._row_bounds
        )
        first, last = taps.span
        rgb, valid = self._source.read(first, last)
        resampled = resample_cols(resample_rows(rgb, first, taps), self._cols.span[0], self._cols)
        valid = _resample_valid(valid, first, taps, is_coarser=model.scale_row < 1)
        valid = _resample_valid(
            valid.T, self._cols.span[0], self._cols, is_coarser=model.scale_col < 1
        ).T
        return np.clip(np.rint(resampled), 0, 255).astype(np.uint8), valid


def _context(
    part: tuple[int, int], whole: int, n_model: int, margin: int, padded: int
) -> tuple[int, int]:
    """Number of model pixels of the scene to use before and after a part, along one axis.

    Args:
        part: offset and length of the part, in pixels of the scene.
        whole: length of the scene, in pixels of the scene.
        n_model: length of the part, in model pixels.
        margin: padding before the part, in model pixels.
        padded: length of the padded part, in model pixels.
    """
    offset, length = part
    scale = n_model / length
    before = min(margin, math.floor(offset * scale))
    after = min(padded - margin - n_model, math.floor((whole - offset - length) * scale))
    return before, after


def _resample_valid(
    valid: NDArray[np.bool_], start: int, taps: Taps, *, is_coarser: bool
) -> NDArray[np.bool_]:
    """Resample validity along axis 0.

    A coarser pixel is valid if any of its source pixels is; a finer pixel has the validity of the
    source pixel at its centre.
    """
    if not is_coarser:
        nearest: NDArray[np.bool_] = valid[taps.nearest - start]
        return nearest
    result: NDArray[np.bool_] = valid[taps.index[:, 0] - start]
    for k in range(1, taps.index.shape[1]):
        result |= valid[taps.index[:, k] - start]
    return result
