"""Where training chips of a scene lie, which split each belongs to, and their pixels.

A scene is cut into square *cells*, from its upper left corner on; a cell belongs to one split with
all its ground. A *chip* is a square of a cell's size that becomes a training image. Every cell is a
chip. Between cells of the training split lie further chips, half a cell apart, so that what the
border of one chip cuts is whole in another.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from rrsis_geo.geo.radiometry import Stretch
from rrsis_geo.geo.rows import ModelGrid, read_window_rows
from rrsis_geo.geo.scene import Scene
from rrsis_geo.geo.windows import WindowGrid

TRAIN: Final = "train"
_DRAWS: Final = 200
"""Random divisions of the cells of which the fairest is taken."""


@dataclass(frozen=True, slots=True)
class Chip:
    """A square of the model grid; it may reach beyond the scene at the right and at the bottom.

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
    """Rows and columns of cells that cover a grid."""
    return -(-height // size_px), -(-width // size_px)


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


def plan_chips(splits: NDArray[np.str_], size_px: int) -> list[Chip]:
    """The chips of all cells, from the top down; those of different splits share no pixel.

    Args:
        splits: of each cell, [rows, columns].
        size_px: side of cells and chips; even.
    """
    half = size_px // 2
    n_rows, n_cols = splits.shape
    chips = []
    for i in range(2 * n_rows - 1):
        for j in range(2 * n_cols - 1):
            under = splits[i // 2 : (i + 1) // 2 + 1, j // 2 : (j + 1) // 2 + 1]
            between = i % 2 or j % 2
            if not between or (under == TRAIN).all():
                chips.append(Chip(i * half, j * half, size_px, str(under[0, 0])))
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
        rows: where chips begin: multiples of half their side.

    Raises:
        InputError: the file cannot be read.
    """
    half = size_px // 2
    width = cell_shape(model.height, model.width, size_px)[1] * size_px
    # Rows of windows that just touch: of the two rows and columns they share, each gives up one.
    grid = WindowGrid(model.height, model.width, size_px=half + 2, overlap_px=2)
    above: tuple[int, NDArray[np.uint8], NDArray[np.bool_]] | None = None
    for start, stop in _runs(sorted({row // half + i for row in rows for i in (0, 1)})):
        bands = read_window_rows(scene, stretch, grid, start, min(stop, grid.n_rows), model=model)
        for band in range(start, stop):
            rgb = np.full((half, width, 3), stretch.fill, np.uint8)
            valid = np.zeros((half, width), np.bool_)
            if band < grid.n_rows:
                read = next(bands)
                seen = slice(1, 1 + model.width)
                valid[:, : model.width] = read.valid[1:-1, seen]
                rgb[valid] = read.rgb[1:-1, seen][read.valid[1:-1, seen]]
            if above is not None and above[0] == band - 1 and above[0] * half in rows:
                yield ChipRow(
                    above[0] * half,
                    np.concatenate([above[1], rgb]),
                    np.concatenate([above[2], valid]),
                )
            above = band, rgb, valid


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
