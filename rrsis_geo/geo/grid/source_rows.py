"""Read rows of a scene in order, each once, converted to 8-bit RGB."""

import logging
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from rrsis_geo.errors import InputError
from rrsis_geo.geo.scene.radiometry import Stretch
from rrsis_geo.geo.scene.scene import Scene
from rrsis_geo.geo.scene.sources import CACHE_MB

logger = logging.getLogger(__name__)

PIECE_BYTES = 32 * 2**20
"""Size of the pieces in which rows are read and resampled, in bytes."""

_NARROW_PX = 512
"""An unreadable piece is read again in columns of about this width, to locate the damage."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Pixels that could not be read in two attempts.

    Attributes:
        window: on the grid of the scene (or part); may extend beyond the part.
        reason: error message.
    """

    window: Window
    reason: str


class ValidRows:
    """Validity of rows of the scene, stored with eight pixels per byte until it is taken.

    A pixel counts as valid if it has data and lies in the area of interest. Rows are pushed in
    order, without gaps.
    """

    def __init__(self, width: int) -> None:
        """Store rows of ``width`` pixels."""
        self._width = width
        self._pieces: list[tuple[int, NDArray[np.uint8]]] = []

    def push(self, row_start: int, valid: NDArray[np.bool_]) -> None:
        """Add rows, bool [n, width]."""
        if len(valid):
            self._pieces.append((row_start, np.packbits(valid, axis=1)))

    def extend(self, other: "ValidRows") -> None:
        """Add the rows of another object, which follow the rows of this one."""
        self._pieces += other._pieces

    def take(self, row_start: int, row_stop: int) -> NDArray[np.bool_]:
        """Return rows [row_start, row_stop), bool [n, width]; drop all rows before ``row_stop``.

        Raises:
            ValueError: some of the rows were not pushed or were dropped before.
        """
        valid = np.zeros((row_stop - row_start, self._width), np.bool_)
        n_found = 0
        remaining = []
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
                remaining.append((start + cut, packed[cut:]))
        if n_found != row_stop - row_start:
            raise ValueError(f"rows {row_start} to {row_stop} are not all stored")
        self._pieces = remaining
        return valid


class SourceRows:
    """Rows of the scene grid as 8-bit RGB. Each row is read from the file once.

    Args:
        scene: the scene or part.
        stretch: stretch of the whole scene.
        cols: columns [start, stop) to read; may extend beyond the part.

    Attributes:
        unreadable: everything that could not be read so far.
    """

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
        # Several reads share a row of blocks. If it does not fit GDAL's cache, read all of it.
        fits_cache = 2 * self._row_bytes * self._block[0] <= CACHE_MB * 2**20
        self._align = 1 if fits_cache or self._block[0] > 1024 else self._block[0]

    def read(self, start: int, stop: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Read rows [start, stop).

        Neither ``start`` nor ``stop`` may be smaller than in the last call.

        Returns:
            RGB uint8 [n, w, 3] and validity bool [n, w].
        """
        if self._start is None:
            self._start = start
        stored_stop = self._start + len(self._rgb)
        keep = slice(start - self._start, None)
        self._rgb, self._valid = self._rgb[keep].copy(), self._valid[keep].copy()
        self._start = start
        if stop > stored_stop:
            info, whole = self._scene.info, self._scene.whole
            aligned = -(-(stop + info.row_off) // self._align) * self._align
            fresh_stop = min(aligned, whole.height) - info.row_off
            rgb, valid = self._read_fresh(stored_stop, fresh_stop)
            self._keep_valid(stored_stop, valid)
            if len(self._rgb):
                rgb = np.concatenate([self._rgb, rgb])
                valid = np.concatenate([self._valid, valid])
            self._rgb, self._valid = rgb, valid
        return self._rgb[: stop - start], self._valid[: stop - start]

    def take_valid(self) -> ValidRows:
        """Validity of the rows of the scene (or part) that were read since the last call."""
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
        """Read rows in pieces, because their original type may need eight times the memory."""
        first, last = self._cols
        rgb = np.empty((stop - start, last - first, 3), np.uint8)
        valid = np.empty(rgb.shape[:2], np.bool_)
        height, width = self._piece_shape(*rgb.shape[:2])
        for top in range(0, rgb.shape[0], height):
            for left in range(0, rgb.shape[1], width):
                n_rows, n_cols = min(height, len(rgb) - top), min(width, rgb.shape[1] - left)
                window = Window(first + left, start + top, n_cols, n_rows)
                piece = slice(top, top + n_rows), slice(left, left + n_cols)
                self._read_piece(window, rgb[piece], valid[piece])
        return rgb, valid

    def _read_piece(self, window: Window, rgb: NDArray[np.uint8], valid: NDArray[np.bool_]) -> None:
        """Read a window into views.

        If two attempts fail, the window is read again in narrow columns. Columns that cannot be
        read are filled and recorded as unreadable.
        """
        for attempt in range(2):
            try:
                pixels, has_data = self._scene.read(window)
            except InputError as err:
                reason = str(err)
                logger.info("%s%s", reason, "" if attempt else "; retrying")
            else:
                rgb[:] = self._stretch.apply(pixels, has_data)
                valid[:] = has_data & self._scene.area_mask(window)
                return
        step = -(-_NARROW_PX // self._block[1]) * self._block[1]
        if self._block[1] < window.width > step:
            offset = (window.col_off + self._scene.info.col_off) % step  # cut between blocks
            edges = [0, *range(step - offset, window.width, step), window.width]
            for left, right in pairwise(edges):
                column = Window(window.col_off + left, window.row_off, right - left, window.height)
                self._read_piece(column, rgb[:, left:right], valid[:, left:right])
            return
        self.unreadable.append(Unreadable(window, reason))
        rgb[:] = self._stretch.fill
        valid[:] = self._scene.area_mask(window)

    def _piece_shape(self, n_rows: int, n_cols: int) -> tuple[int, int]:
        """Height and width of a piece; pieces consist of whole blocks where possible."""
        n_pieces = -(-n_rows * self._row_bytes // PIECE_BYTES)
        height, width = self._block
        if n_pieces <= 1:
            return n_rows, n_cols
        if width >= n_cols:  # stripes: split between rows
            return max(1, n_rows // n_pieces // height) * height, n_cols
        return n_rows, max(1, n_cols // n_pieces // width) * width
