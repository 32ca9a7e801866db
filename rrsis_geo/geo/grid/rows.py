"""Read a scene one row of windows at a time, on the grid of pixels that the network wants.

Every row of the file is read once in a pass: what two rows of windows share is carried over. What
is held grows with the scene's width only.
"""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from rrsis_geo.errors import InputError
from rrsis_geo.geo.grid.resample import Taps, make_taps, resample_cols, resample_rows
from rrsis_geo.geo.grid.windows import WindowGrid, reflect_index
from rrsis_geo.geo.scene.pixels import CACHE_MB
from rrsis_geo.geo.scene.radiometry import Stretch
from rrsis_geo.geo.scene.scene import Scene, SceneInfo
from rrsis_geo.units import format_length

logger = logging.getLogger(__name__)

MAX_UPSAMPLING = 4.0
"""Finer than this, resampling adds pixels to work on and nothing to see."""

_PIECE_BYTES = 32 * 2**20
_NARROWEST_PX = 512
"""A piece that cannot be read is cut to about this width, to tell where the damage is."""


@dataclass(frozen=True, slots=True)
class ModelGrid:
    """The pixel grid that the network sees: the scene's extent in pixels of another size.

    Attributes:
        height: rows.
        width: columns.
        scene_height: rows of the scene (or the part of it) that it spans.
        scene_width: columns likewise.
        gsd_m: metres on the ground per pixel, None where unknown.
    """

    height: int
    width: int
    scene_height: int
    scene_width: int
    gsd_m: float | None

    @property
    def is_scene(self) -> bool:
        """Whether it is the scene's own grid."""
        return (self.height, self.width) == (self.scene_height, self.scene_width)

    @property
    def scale_row(self) -> float:
        """Rows per row of the scene: above 1 it is finer."""
        return self.height / self.scene_height

    @property
    def scale_col(self) -> float:
        """Columns per column of the scene."""
        return self.width / self.scene_width


def model_grid(info: SceneInfo, gsd_m: float | None = None) -> ModelGrid:
    """The grid of a scene (or part) in square pixels of ``gsd_m`` on the ground.

    At most four pixels are made of one, along each axis; what is asked beyond is cut, with a
    warning.

    Args:
        info: the scene or the part.
        gsd_m: None, or a scene whose ground pixel is unknown, gives the scene's own grid.
    """
    if gsd_m is None or info.gsd_row_m is None or info.gsd_col_m is None:
        return ModelGrid(info.height, info.width, info.height, info.width, info.gsd_m)
    scales = info.gsd_row_m / gsd_m, info.gsd_col_m / gsd_m
    if max(scales) > MAX_UPSAMPLING:
        logger.warning(
            "%s: a ground pixel of %s is too coarse for %s; resampled only %g times finer",
            info.path,
            format_length(info.gsd_m),
            format_length(gsd_m),
            MAX_UPSAMPLING,
        )
        gsd_m *= max(scales) / MAX_UPSAMPLING
        scales = info.gsd_row_m / gsd_m, info.gsd_col_m / gsd_m
    height, width = max(1, round(info.height * scales[0])), max(1, round(info.width * scales[1]))
    return ModelGrid(height, width, info.height, info.width, gsd_m)


class ValidRows:
    """Which pixels of the scene's rows are wanted and hold data; kept until they are taken.

    Rows come in order and without a gap. Eight pixels lie in a byte.
    """

    def __init__(self, width: int) -> None:
        """For rows of ``width`` pixels."""
        self._width = width
        self._pieces: list[tuple[int, NDArray[np.uint8]]] = []

    def push(self, row_start: int, valid: NDArray[np.bool_]) -> None:
        """Add rows, bool [n, width]."""
        if len(valid):
            self._pieces.append((row_start, np.packbits(valid, axis=1)))

    def extend(self, other: "ValidRows") -> None:
        """Add the rows of another, which follow these."""
        self._pieces += other._pieces

    def take(self, row_start: int, row_stop: int) -> NDArray[np.bool_]:
        """Rows [row_start, row_stop), bool [n, width]; forgets all rows before ``row_stop``.

        Raises:
            ValueError: some of the rows were not pushed, or are forgotten.
        """
        valid = np.zeros((row_stop - row_start, self._width), np.bool_)
        n_found = 0
        kept = []
        for start, packed in self._pieces:
            stop = start + len(packed)
            first, last = max(start, row_start), min(stop, row_stop)
            if first < last:
                rows = packed[first - start : last - start]
                valid[first - row_start : last - row_start] = np.unpackbits(
                    rows, axis=1, count=self._width
                )
                n_found += last - first
            if stop > row_stop:
                cut = max(row_stop - start, 0)
                kept.append((start + cut, packed[cut:]))
        if n_found != row_stop - row_start:
            raise ValueError(f"rows {row_start} to {row_stop} are not all here")
        self._pieces = kept
        return valid


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Pixels that could not be read, and were tried twice.

    Attributes:
        window: where, on the grid of the scene (or the part of it); may reach beyond the part.
        reason: what was said of it.
    """

    window: Window
    reason: str


@dataclass(frozen=True, slots=True)
class WindowRow:
    """One row of windows, ready for the network.

    Attributes:
        row_i: its number.
        rgb: uint8 [S, padded width, 3], mirrored beyond the scene, filled where there is no data.
        valid: bool [S, padded width]: pixels that a result is wanted for. False in the padding.
        source_valid: the same for the rows of the scene's own grid that were newly read.
        grid: the grid that it is a row of.
        unreadable: all that could not be read so far. It is filled as pixels without data are, but
            counts as valid where a result is wanted: who asks for it must not take it for empty.
    """

    row_i: int
    rgb: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    source_valid: ValidRows
    grid: WindowGrid
    unreadable: tuple[Unreadable, ...] = ()

    def valid_cols(self) -> list[int]:
        """Columns of the windows that hold at least one valid pixel; the others may be skipped."""
        col_any: NDArray[np.bool_] = np.logical_or.reduce(self.valid, axis=0)
        spans = ((j, *self.grid.cols_of(j)) for j in range(self.grid.n_cols))
        return [j for j, start, stop in spans if col_any[start:stop].any()]

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

    Around a part made by ``Scene.crop`` lie real pixels, not mirrored ones, as far as the scene has
    them. Pixels that cannot be read, also when tried again, are told with the rows and filled.

    Args:
        scene: the scene or the part that the grid covers.
        stretch: of the whole scene.
        grid: over the model grid.
        start: first window row.
        stop: one past the last; None means all.
        model: the grid the network sees; None means the scene's own.
    """
    model = model or model_grid(scene.info)
    if (grid.height, grid.width) != (model.height, model.width):
        raise ValueError("the windows do not lie on the model grid")
    stop = grid.n_rows if stop is None else stop
    source = _ModelRows(scene, stretch, grid, model)
    top, bottom = source.row_range
    rgb = np.empty((0, grid.padded_width, 3), np.uint8)
    valid = np.empty((0, grid.padded_width), np.bool_)
    held_stop = None
    for row_i in range(start, stop):
        row = np.arange(*grid.rows_of(row_i)) - grid.margin_px
        mirrored = reflect_index(row, top, bottom)
        low, high = int(mirrored.min()), int(mirrored.max()) + 1
        n_held = 0 if held_stop is None else held_stop - low
        held_rgb, held_valid = rgb[len(rgb) - n_held :], valid[len(valid) - n_held :]
        rgb = np.empty((high - low, grid.padded_width, 3), np.uint8)
        valid = np.zeros(rgb.shape[:2], np.bool_)
        rgb[:n_held], valid[:n_held] = held_rgb, held_valid
        del held_rgb, held_valid  # what is carried over is copied: let go of the rest
        source.read_into(low + n_held, rgb[n_held:], valid[n_held:])
        held_stop = high
        if (row == mirrored).all():
            yield WindowRow(
                row_i, rgb, valid, source.take_source_valid(), grid, source.unreadable()
            )
            continue
        shown, wanted = rgb[mirrored - low], valid[mirrored - low]
        wanted[(row < 0) | (row >= grid.height)] = False
        yield WindowRow(row_i, shown, wanted, source.take_source_valid(), grid, source.unreadable())


class _ModelRows:
    """Rows of the model grid, padded to the left and right."""

    def __init__(self, scene: Scene, stretch: Stretch, grid: WindowGrid, model: ModelGrid) -> None:
        info, whole, margin = scene.info, scene.whole, grid.margin_px
        # Real pixels around a part, where there are whole ones of the model grid, before mirrors.
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
        self._source = _SourceRows(scene, stretch, self._cols.span)

    def read_into(self, start: int, rgb: NDArray[np.uint8], valid: NDArray[np.bool_]) -> None:
        """Read the rows from ``start``, as many as ``rgb`` has.

        Args:
            start: not before the rows of the last call.
            rgb: uint8 [n, padded width, 3], to be written over.
            valid: bool [n, padded width], all False.
        """
        real = slice(self._n_left, self._n_left + self._width)
        step = len(rgb) if self._model.is_scene else self._piece_rows()
        for first in range(0, len(rgb), max(step, 1)):
            rows = slice(first, min(first + step, len(rgb)))
            rgb[rows, real], valid[rows, real] = self._read_real(start + first, start + rows.stop)
        block = rgb[:, real]
        for pad in (slice(0, real.start), slice(real.stop, None)):
            rgb[:, pad] = block[:, self._mirror[pad]]

    def take_source_valid(self) -> ValidRows:
        return self._source.take_valid()

    def unreadable(self) -> tuple[Unreadable, ...]:
        return tuple(self._source.unreadable)

    def _piece_rows(self) -> int:
        """Rows to resample at a time, so that neither they nor what they are made of grow large."""
        row_bytes = 3 * 4 * (self._cols.span[1] - self._cols.span[0])
        per_row = row_bytes * max(1.0, 0.25 / self._model.scale_row)
        return max(1, int(_PIECE_BYTES / per_row))

    def _read_real(self, start: int, stop: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        if self._model.is_scene:
            return self._source.read(start, stop)
        model = self._model
        taps = make_taps(
            model.scene_height, model.height, start, stop, "cubic", bounds=self._row_bounds
        )
        first, last = taps.span
        rgb, valid = self._source.read(first, last)
        mixed = resample_cols(resample_rows(rgb, first, taps), self._cols.span[0], self._cols)
        valid = _any_of(valid, first, taps, coarser=model.scale_row < 1)
        valid = _any_of(valid.T, self._cols.span[0], self._cols, coarser=model.scale_col < 1).T
        return np.clip(np.rint(mixed), 0, 255).astype(np.uint8), valid


def _context(
    part: tuple[int, int], whole: int, n_model: int, margin: int, padded: int
) -> tuple[int, int]:
    """Real model pixels to use before and after a part (offset, length), along one axis."""
    offset, length = part
    scale = n_model / length
    before = min(margin, math.floor(offset * scale))
    after = min(padded - margin - n_model, math.floor((whole - offset - length) * scale))
    return before, after


def _any_of(
    valid: NDArray[np.bool_], start: int, taps: Taps, *, coarser: bool
) -> NDArray[np.bool_]:
    """Validity along axis 0: of a coarser pixel where any part of it is valid, else its place's."""
    if not coarser:
        nearest: NDArray[np.bool_] = valid[taps.nearest - start]
        return nearest
    result: NDArray[np.bool_] = valid[taps.index[:, 0] - start]
    for k in range(1, taps.index.shape[1]):
        result |= valid[taps.index[:, k] - start]
    return result


class _SourceRows:
    """Rows of the scene's own grid, stretched to RGB; each is read from the file once."""

    def __init__(self, scene: Scene, stretch: Stretch, cols: tuple[int, int]) -> None:
        self._scene = scene
        self._stretch = stretch
        self._cols = cols
        width = cols[1] - cols[0]
        self._rgb = np.empty((0, width, 3), np.uint8)
        self._valid = np.empty((0, width), np.bool_)
        self._start: int | None = None
        self._fresh = ValidRows(scene.info.width)
        self.unreadable: list[Unreadable] = []

        dataset = scene.reader.dataset
        self._block = dataset.block_shapes[0]
        self._row_bytes = sum(np.dtype(dtype).itemsize for dtype in dataset.dtypes) * width
        # One row of blocks must outlive the reads that share it: in GDAL's cache, or else here.
        fits_cache = 2 * self._row_bytes * self._block[0] <= CACHE_MB * 2**20
        self._align = 1 if fits_cache or self._block[0] > 1024 else self._block[0]

    def read(self, start: int, stop: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Rows [start, stop): uint8 [n, w, 3], bool [n, w]. Neither end may go back."""
        if self._start is None:
            self._start = start
        held_stop = self._start + len(self._rgb)
        keep = slice(start - self._start, None)
        self._rgb, self._valid = self._rgb[keep].copy(), self._valid[keep].copy()
        self._start = start
        if stop > held_stop:
            info, whole = self._scene.info, self._scene.whole
            aligned = -(-(stop + info.row_off) // self._align) * self._align
            fresh_stop = min(aligned, whole.height) - info.row_off
            rgb, valid = self._read_fresh(held_stop, fresh_stop)
            self._keep_valid(held_stop, valid)
            if len(self._rgb):
                rgb = np.concatenate([self._rgb, rgb])
                valid = np.concatenate([self._valid, valid])
            self._rgb, self._valid = rgb, valid
        return self._rgb[: stop - start], self._valid[: stop - start]

    def take_valid(self) -> ValidRows:
        """Validity of the rows read since the last call, of the scene (or part) itself."""
        fresh, self._fresh = self._fresh, ValidRows(self._scene.info.width)
        return fresh

    def _keep_valid(self, row_start: int, valid: NDArray[np.bool_]) -> None:
        info = self._scene.info
        first, last = max(row_start, 0), min(row_start + len(valid), info.height)
        left = -self._cols[0]
        if first < last:
            rows = slice(first - row_start, last - row_start)
            self._fresh.push(first, valid[rows, left : left + info.width])

    def _read_fresh(self, start: int, stop: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Read rows piece by piece: their own type may take eight times the room of RGB."""
        first, last = self._cols
        rgb = np.empty((stop - start, last - first, 3), np.uint8)
        valid = np.empty(rgb.shape[:2], np.bool_)
        height, width = self._piece_shape(*rgb.shape[:2])
        for top in range(0, rgb.shape[0], height):
            for left in range(0, rgb.shape[1], width):
                n_rows, n_cols = min(height, len(rgb) - top), min(width, rgb.shape[1] - left)
                window = Window(first + left, start + top, n_cols, n_rows)
                place = slice(top, top + n_rows), slice(left, left + n_cols)
                self._read_piece(window, rgb[place], valid[place])
        return rgb, valid

    def _read_piece(self, window: Window, rgb: NDArray[np.uint8], valid: NDArray[np.bool_]) -> None:
        """Read into views. What fails twice is cut into columns of blocks; then it is given up."""
        for attempt in range(2):
            try:
                pixels, data = self._scene.read(window)
            except InputError as err:
                reason = str(err)
                logger.info("%s%s", reason, "" if attempt else "; trying again")
            else:
                rgb[:] = self._stretch.apply(pixels, data)
                valid[:] = data & self._scene.area_mask(window)
                return
        step = -(-_NARROWEST_PX // self._block[1]) * self._block[1]
        if self._block[1] < window.width > step:
            offset = (window.col_off + self._scene.info.col_off) % step  # cut between blocks
            cuts = [0, *range(step - offset, window.width, step), window.width]
            for left, right in pairwise(cuts):
                column = Window(window.col_off + left, window.row_off, right - left, window.height)
                self._read_piece(column, rgb[:, left:right], valid[:, left:right])
            return
        self.unreadable.append(Unreadable(window, reason))
        rgb[:] = self._stretch.fill
        valid[:] = self._scene.area_mask(window)

    def _piece_shape(self, n_rows: int, n_cols: int) -> tuple[int, int]:
        """Height and width of a piece, so cut that no block is read for two pieces in vain."""
        n_pieces = -(-n_rows * self._row_bytes // _PIECE_BYTES)
        height, width = self._block
        if n_pieces <= 1:
            return n_rows, n_cols
        if width >= n_cols:  # stripes: cut across
            return max(1, n_rows // n_pieces // height) * height, n_cols
        return n_rows, max(1, n_cols // n_pieces // width) * width
