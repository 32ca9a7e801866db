"""Where training chips of a scene lie, which split each belongs to, and their pixels.

A scene is cut into rectangular *cells*, as many as it has room for squares of a chip's size; a cell
belongs to one split with all its ground. A *chip* is a square that becomes a training image. In
each cell lies one, or several where it is much larger. Between cells of the training split lie
further chips, half a chip apart, so that what the border of one cuts is whole in another.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from rrsis_geo.geo.grid.rows import ModelGrid, read_window_rows
from rrsis_geo.geo.grid.windows import WindowGrid
from rrsis_geo.geo.scene.radiometry import Stretch
from rrsis_geo.geo.scene.scene import Scene

TRAIN: Final = "train"
_DRAWS: Final = 200
"""Random divisions of the cells of which the fairest is taken."""


@dataclass(frozen=True, slots=True)
class Chip:
    """A square of the model grid; it reaches beyond a scene that is smaller than itself.

    Attributes:
        row: its upper edge, pixels.
        col: its left edge, pixels.
        size_px: its side.
        split: that its ground belongs to.
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
    """Rows and columns of the cells of a grid, at least one each."""
    return max(1, height // size_px), max(1, width // size_px)


def cell_windows(height: int, width: int, size_px: int) -> list[Window]:
    """The cells, row by row: they cover the grid and do not overlap."""
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
    """Where chips begin along one axis, and the cells that each lies in: one, or two neighbours."""
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


def draw_splits(
    counts: NDArray[np.intp], shares: Mapping[str, float], rng: np.random.Generator
) -> NDArray[np.str_]:
    """Deal cells out to splits, whole, so that each gets about its share of every category.

    Cells with labels and cells without are dealt out apart. Where there are labelled cells enough,
    each split gets one, and so each category as far as it lies in cells enough.

    Args:
        counts: labels of each category in each cell, [n_cells, n_categories].
        shares: of the splits but "train", which gets the rest; each in [0, 1), their sum below 1.
        rng: the only source of chance.

    Returns:
        The split of each cell, [n_cells].
    """
    labelled: NDArray[np.bool_] = counts.sum(axis=1) > 0
    best, best_cost = np.full(len(counts), TRAIN, dtype=object), np.inf
    for _ in range(_DRAWS):
        drawn = np.full(len(counts), TRAIN, dtype=object)
        for group in (np.flatnonzero(labelled), np.flatnonzero(~labelled)):
            order = rng.permutation(group).tolist()
            for name, share in shares.items():
                n_cells = round(share * len(group))
                if share and labelled[group].any():
                    n_cells = max(n_cells, 1)
                for _ in range(min(n_cells, len(order) - 1)):
                    drawn[order.pop()] = name
        cost = _unfairness(drawn, counts, shares)
        if cost < best_cost:
            best, best_cost = drawn, cost
    return best.astype(np.str_)


def _unfairness(
    drawn: NDArray[np.object_], counts: NDArray[np.intp], shares: Mapping[str, float]
) -> float:
    """How far the splits' shares of the categories are from those wished for."""
    totals = np.maximum(counts.sum(axis=0), 1)
    cost = 0.0
    for name, share in {**shares, TRAIN: 1 - sum(shares.values())}.items():
        part = counts[drawn == name].sum(axis=0) / totals
        missing = (part == 0) & (share > 0) & (counts.any(axis=0))
        cost += float(np.square(part - share).sum() + missing.sum())
    return cost


def plan_chips(splits: NDArray[np.str_], height: int, width: int, size_px: int) -> list[Chip]:
    """The chips of all cells, from the top down; those of different splits share no pixel.

    Args:
        splits: of each cell, [rows, columns], as :func:`cell_shape` tells.
        height: rows of the model grid.
        width: its columns.
        size_px: side of the chips.
    """
    chips = []
    for row, rows in _starts(height, splits.shape[0], size_px):
        for col, cols in _starts(width, splits.shape[1], size_px):
            under = splits[rows, cols]
            if under.size == 1 or (under == TRAIN).all():
                chips.append(Chip(row, col, size_px, str(under[0, 0])))
    return chips


class ChipRow(NamedTuple):
    """All chips that begin at one row of the model grid.

    Attributes:
        row: where they begin, pixels.
        rgb: uint8 [S, W, 3], of the stretch's fill colour where there is no data or no scene.
        valid: bool [S, W], which pixels show data of the scene (or of the part of it).
    """

    row: int
    rgb: NDArray[np.uint8]
    valid: NDArray[np.bool_]

    def image(self, chip: Chip) -> NDArray[np.uint8]:
        """The chip's pixels, uint8 RGB [S, S, 3]."""
        return self.rgb[:, chip.col : chip.col + chip.size_px]

    def valid_in(self, chip: Chip) -> NDArray[np.bool_]:
        """Which of them show data, bool [S, S]."""
        return self.valid[:, chip.col : chip.col + chip.size_px]


def read_chip_rows(
    scene: Scene, stretch: Stretch, model: ModelGrid, size_px: int, rows: Collection[int]
) -> Iterator[ChipRow]:
    """Read the chips that begin at some rows, with the pixels that a network sees in a run.

    Args:
        scene: the scene, or the part of it, that the model grid spans.
        stretch: of the whole scene.
        model: the grid the network sees.
        size_px: side of the chips, even.
        rows: where chips begin, pixels.

    Raises:
        InputError: the file cannot be read.
    """
    half = size_px // 2
    width = max(model.width, size_px)
    # Rows of windows that just touch: of the two rows and columns they share, each gives up one.
    grid = WindowGrid(model.height, model.width, size_px=half + 2, overlap_px=2)
    bands_of = {row: range(row // half, (row + size_px - 1) // half + 1) for row in sorted(rows)}
    held: dict[int, tuple[NDArray[np.uint8], NDArray[np.bool_]]] = {}
    for start, stop in _runs(sorted({band for bands in bands_of.values() for band in bands})):
        read = read_window_rows(scene, stretch, grid, start, min(stop, grid.n_rows), model=model)
        for band in range(start, stop):
            rgb = np.full((half, width, 3), stretch.fill, np.uint8)
            valid = np.zeros((half, width), np.bool_)
            if band < grid.n_rows:
                shown = next(read)
                seen = slice(1, 1 + model.width)
                valid[:, : model.width] = shown.valid[1:-1, seen]
                rgb[valid] = shown.rgb[1:-1, seen][shown.valid[1:-1, seen]]
            held = {number: held[number] for number in held if number >= band - 2}
            held[band] = rgb, valid
            for row, bands in bands_of.items():
                if bands[-1] == band:
                    top = row - bands[0] * half
                    both = (np.concatenate([held[i][k] for i in bands]) for k in (0, 1))
                    yield ChipRow(row, *(array[top : top + size_px] for array in both))


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Sorted numbers as runs [start, stop) without a gap."""
    start = stop = None
    for number in numbers:
        if number != stop:
            if start is not None and stop is not None:
                yield start, stop
            start = number
        stop = number + 1
    if start is not None and stop is not None:
        yield start, stop
