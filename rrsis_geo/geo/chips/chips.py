"""Plan training chips of a scene, assign them to splits, and read their pixels.

A scene is divided into rectangular *cells*, as many as there are squares of the chip size that fit.
Each cell, with all its pixels, belongs to one split. A *chip* is a square that becomes a training
image. A cell holds one chip, or several if it is much larger than a chip. Between neighbouring
cells of the training split there are additional chips, half a chip apart, so that an object cut by
the edge of one chip is whole in another.
"""

import logging
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from rrsis_geo.geo.grid.model_grid import ModelGrid
from rrsis_geo.geo.grid.rows import read_window_rows
from rrsis_geo.geo.grid.windows import WindowGrid
from rrsis_geo.geo.scene.radiometry import Stretch
from rrsis_geo.geo.scene.scene import Scene

logger = logging.getLogger(__name__)

TRAIN: Final = "train"
_DRAWS: Final = 200
"""Random assignments that are tried; the best balanced one is used."""


@dataclass(frozen=True, slots=True)
class Chip:
    """A square of the model grid. It extends beyond the scene if the scene is smaller.

    Attributes:
        row: top row.
        col: left column.
        size_px: side length in pixels.
        split: the split it belongs to.
    """

    row: int
    col: int
    size_px: int
    split: str

    @property
    def window(self) -> Window:
        """The chip as a window of the model grid."""
        return Window(self.col, self.row, self.size_px, self.size_px)


def cell_shape(height: int, width: int, size_px: int) -> tuple[int, int]:
    """Number of rows and columns of cells in a grid, at least one each."""
    return max(1, height // size_px), max(1, width // size_px)


def cell_windows(height: int, width: int, size_px: int) -> list[Window]:
    """The cells in row-major order. They cover the grid without overlap."""
    n_rows, n_cols = cell_shape(height, width, size_px)
    rows, cols = _edges(height, n_rows), _edges(width, n_cols)
    return [
        Window(left, top, right - left, bottom - top)
        for top, bottom in pairwise(rows)
        for left, right in pairwise(cols)
    ]


def _edges(length: int, n_cells: int) -> list[int]:
    return [i * length // n_cells for i in range(n_cells + 1)]


def _starts(length: int, n_cells: int, size_px: int) -> list[tuple[int, slice]]:
    """Start of each chip along one axis, and the cells it overlaps: one, or two neighbours."""
    edges = _edges(length, n_cells)
    starts = []
    for i, (first, stop) in enumerate(pairwise(edges)):
        slack = max(stop - first - size_px, 0)
        if slack > size_px // 4:
            starts += [(first, slice(i, i + 1)), (first + slack, slice(i, i + 1))]
        else:
            starts.append((first + slack // 2, slice(i, i + 1)))
        if i + 1 < n_cells:
            starts.append((stop - size_px // 2, slice(i, i + 2)))
    return starts


def assign_splits(
    counts: NDArray[np.intp], shares: Mapping[str, float], rng: np.random.Generator
) -> NDArray[np.str_]:
    """Assign whole cells to splits so that each split gets about its share of every category.

    Cells with labels and cells without labels are assigned separately. Each split gets at least
    one labelled cell if there are enough of them. Of 200 random assignments, the one with the
    smallest imbalance is returned.

    Args:
        counts: number of labels of each category in each cell, int [n_cells, n_categories].
        shares: share of each split except "train", which gets the rest; each in [0, 1), with a sum
            below 1.
        rng: random generator.

    Returns:
        The split of each cell, [n_cells].
    """
    labelled: NDArray[np.bool_] = counts.sum(axis=1) > 0
    best, best_cost = np.full(len(counts), TRAIN, dtype=object), np.inf
    for _ in range(_DRAWS):
        splits = _random_splits(labelled, shares, rng)
        cost = _imbalance(splits, counts, shares)
        if cost < best_cost:
            best, best_cost = splits, cost
    return best.astype(np.str_)


def _random_splits(
    labelled: NDArray[np.bool_], shares: Mapping[str, float], rng: np.random.Generator
) -> NDArray[np.object_]:
    """A random split for each cell, [n_cells]; ``labelled`` tells which cells have labels."""
    splits = np.full(len(labelled), TRAIN, dtype=object)
    for group in (np.flatnonzero(labelled), np.flatnonzero(~labelled)):
        order = rng.permutation(group).tolist()
        for name, share in shares.items():
            n_cells = round(share * len(group))
            if share and labelled[group].any():
                n_cells = max(n_cells, 1)
            for _ in range(min(n_cells, len(order) - 1)):
                splits[order.pop()] = name
    return splits


def _imbalance(
    splits: NDArray[np.object_], counts: NDArray[np.intp], shares: Mapping[str, float]
) -> float:
    """Distance between the splits' shares of each category and the shares asked for."""
    totals = np.maximum(counts.sum(axis=0), 1)
    cost = 0.0
    for name, share in {**shares, TRAIN: 1 - sum(shares.values())}.items():
        part = counts[splits == name].sum(axis=0) / totals
        missing = (part == 0) & (share > 0) & (counts.any(axis=0))
        cost += float(np.square(part - share).sum() + missing.sum())
    return cost


def plan_chips(splits: NDArray[np.str_], height: int, width: int, size_px: int) -> list[Chip]:
    """The chips of all cells, from top to bottom. Chips of different splits never overlap.

    Args:
        splits: split of each cell, [rows, columns]; see :func:`cell_shape`.
        height: rows of the model grid.
        width: columns of the model grid.
        size_px: side length of the chips.
    """
    chips = []
    for row, rows in _starts(height, splits.shape[0], size_px):
        for col, cols in _starts(width, splits.shape[1], size_px):
            cells = splits[rows, cols]
            if cells.size == 1 or (cells == TRAIN).all():
                chips.append(Chip(row, col, size_px, str(cells[0, 0])))
    return chips


class ChipRow(NamedTuple):
    """Pixels of all chips that start at one row of the model grid.

    Attributes:
        row: first row of the chips.
        rgb: uint8 [S, W, 3]; invalid pixels have the fill colour of the stretch.
        valid: bool [S, W], whether each pixel has data and lies in the scene (or part of it).
    """

    row: int
    rgb: NDArray[np.uint8]
    valid: NDArray[np.bool_]

    def image(self, chip: Chip) -> NDArray[np.uint8]:
        """Pixels of a chip, uint8 RGB [S, S, 3]."""
        return self.rgb[:, chip.col : chip.col + chip.size_px]

    def valid_in(self, chip: Chip) -> NDArray[np.bool_]:
        """Validity of the pixels of a chip, bool [S, S]."""
        return self.valid[:, chip.col : chip.col + chip.size_px]


def read_chip_rows(
    scene: Scene, stretch: Stretch, model: ModelGrid, size_px: int, rows: Collection[int]
) -> Iterator[ChipRow]:
    """Read the chips that start at the given rows, as a network sees them in a run.

    Damaged parts of the file become pixels without data, with a warning.

    Args:
        scene: the scene, or the part of it, that the model grid covers.
        stretch: stretch of the whole scene.
        model: the model grid.
        size_px: side length of the chips, even.
        rows: first rows of the chips.

    Raises:
        InputError: the file cannot be read.
    """
    half = size_px // 2
    bands_of = {row: range(row // half, (row + size_px - 1) // half + 1) for row in sorted(rows)}
    needed = sorted({band for bands in bands_of.values() for band in bands})
    recent: dict[int, _Band] = {}
    for band, pixels in _read_bands(scene, stretch, model, size_px, needed):
        recent = {number: recent[number] for number in recent if number >= band - 2}
        recent[band] = pixels
        for row, bands in bands_of.items():
            if bands[-1] == band:
                chip_rows = slice(row - bands[0] * half, row - bands[0] * half + size_px)
                rgb = np.concatenate([recent[number].rgb for number in bands])
                valid = np.concatenate([recent[number].valid for number in bands])
                yield ChipRow(row, rgb[chip_rows], valid[chip_rows])


class _Band(NamedTuple):
    """Rows of half a chip's height."""

    rgb: NDArray[np.uint8]  # [size_px / 2, W, 3]
    valid: NDArray[np.bool_]  # [size_px / 2, W]


def _read_bands(
    scene: Scene, stretch: Stretch, model: ModelGrid, size_px: int, numbers: list[int]
) -> Iterator[tuple[int, _Band]]:
    """Read bands of half a chip's height by number, from the top; ``numbers`` are sorted."""
    half, width = size_px // 2, max(model.width, size_px)
    # Windows must overlap by 2 pixels; without their outermost pixels they only touch.
    grid = WindowGrid(model.height, model.width, size_px=half + 2, overlap_px=2)
    for start, stop in _runs(numbers):
        windows = read_window_rows(scene, stretch, grid, start, min(stop, grid.n_rows), model=model)
        n_unreadable = 0
        for number in range(start, stop):
            rgb = np.full((half, width, 3), stretch.fill, np.uint8)
            valid = np.zeros((half, width), np.bool_)
            if number < grid.n_rows:
                row, cols = next(windows), slice(1, 1 + model.width)
                readable = valid[:, : model.width]
                readable[:] = row.valid[1:-1, cols]
                for part in row.unreadable:
                    readable[_place(part.window, model, number * half)] = False
                rgb[:, : model.width][readable] = row.rgb[1:-1, cols][readable]
                if len(row.unreadable) > n_unreadable:
                    n_unreadable = len(row.unreadable)
                    logger.warning("%s; the chips have no data there", row.unreadable[-1].reason)
            yield number, _Band(rgb, valid)


def _place(window: Window, model: ModelGrid, top: int) -> tuple[slice, slice]:
    """Rows from ``top`` and columns of the model grid that a window of the scene touches."""
    rows = window.row_off * model.scale_row, (window.row_off + window.height) * model.scale_row
    cols = window.col_off * model.scale_col, (window.col_off + window.width) * model.scale_col
    return (
        slice(max(math.floor(rows[0]) - top, 0), max(math.ceil(rows[1]) - top, 0)),
        slice(max(math.floor(cols[0]), 0), max(math.ceil(cols[1]), 0)),
    )


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Split sorted numbers into runs [start, stop) of consecutive numbers."""
    start = stop = None
    for number in numbers:
        if number != stop:
            if start is not None and stop is not None:
                yield start, stop
            start = number
        stop = number + 1
    if start is not None and stop is not None:
        yield start, stop
