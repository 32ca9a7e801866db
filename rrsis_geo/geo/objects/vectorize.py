"""Mask bands in, polygons with their statistics out, for scenes of any height.

Each band is reduced to runs of pixels; runs that share a column with a run of the next row belong
to one object (4-connected). An object that reaches neither end of what has been seen is closed:
it is traced and handed out. An open one is kept as its boundary edges, a few integers each.
Stacking bands and stacking shards is one operation, `join_strips`, which adds the edges on the
lattice line between the two. Nothing is ever cut or united as a polygon, so a result is the same,
bit for bit, however a scene is split into bands and shards.

Objects come in the reading order of their last pixels (bottom row, then column).
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.geo.objects.objects import NO_OBJECTS, Components, Objects, choose, trace
from rrsis_geo.geo.objects.outlines import Int32, Int64
from rrsis_geo.geo.objects.runs import Runs, as_edges, connect, find_runs, overlapping, uncovered
from rrsis_geo.geo.objects.strips import (
    OpenStrip,
    SeamRuns,
    as_components,
    as_pieces,
    close_strip,
    join_strips,
    stack,
)


class BandVectorizer:
    """Turns the bands of a mask, top to bottom, into closed objects.

    A vectorizer that begins at row 0 begins at the top of the scene. One that begins further down
    works on a shard: what touches its first row stays open until the shards are joined. Memory is
    that of a few bytes a pixel of a slab, of the runs of one band, and of the boundary edges of
    the objects that are open.

    Args:
        width: columns of the scene.
        row_start: the scene's row at which the first band will begin.
    """

    def __init__(self, width: int, *, row_start: int = 0) -> None:
        self._width = width
        self._row = row_start
        self._strip = OpenStrip.empty(width, 0, 0) if row_start == 0 else None

    def add_band(
        self, row_start: int, mask: NDArray[np.bool_], probability: NDArray[np.float32]
    ) -> Objects:
        """Take the next band; give back the objects that are now known to be complete.

        Args:
            row_start: the scene's row of the band's first row; bands follow without a gap.
            mask: bool [rows, width].
            probability: float [rows, width] in [0, 1]; only what the mask covers is read.
        """
        assert row_start == self._row, f"expected the band at row {self._row}, got {row_start}"
        assert mask.shape == probability.shape == (len(mask), self._width)
        if not len(mask):
            return NO_OBJECTS
        closed, band = _analyse_band(row_start, mask, probability)
        self._row += len(mask)
        if self._strip is None:
            self._strip = band
            return trace([closed])
        joined, self._strip = stack(self._strip, band)
        return trace([closed, as_components(joined)])

    def finish(self) -> OpenStrip:
        """What is open at both ends: to store with a shard, or to end with `close_strip`."""
        return self._strip or OpenStrip.empty(self._width, self._row, self._row)


def merge_shards(parts: Iterable[tuple[Objects, OpenStrip]]) -> Iterator[Objects]:
    """Join what the shards of a scene left, top to bottom, into the objects of the scene.

    Args:
        parts: for each shard, its closed objects and the strip that `finish` gave; read one by
            one, so a generator may load them from files.

    Yields:
        The objects of each shard and those that it completes, in reading order; last, what
        touches the bottom of the scene.
    """
    strip: OpenStrip | None = None
    for closed, lower in parts:
        upper = OpenStrip.empty(lower.width, 0, 0) if strip is None else strip
        joined, strip = join_strips(upper, lower)
        yield Objects.concat([closed, joined]).in_reading_order()
    if strip is not None:
        yield close_strip(strip)


def vectorize(mask: NDArray[np.bool_], probability: NDArray[np.float32]) -> Objects:
    """All objects of a whole mask, bool [H, W], with their statistics."""
    vectorizer = BandVectorizer(mask.shape[1])
    closed = vectorizer.add_band(0, mask, probability)
    return Objects.concat([closed, close_strip(vectorizer.finish())])


def _analyse_band(
    row_start: int, mask: NDArray[np.bool_], probability: NDArray[np.float32]
) -> tuple[Components, OpenStrip]:
    """The objects inside a band, and those that touch its first or last row."""
    height, width = mask.shape
    runs = find_runs(mask, probability)
    if not len(runs.row):
        return as_components([]), OpenStrip.empty(width, row_start, row_start + height)
    first_row, last_row = runs.row == 0, runs.row == height - 1
    start, stop = runs.row * (width + 1) + runs.start, runs.row * (width + 1) + runs.stop
    above = overlapping(start - (width + 1), stop - (width + 1), start, stop)
    beneath = overlapping(start + (width + 1), stop + (width + 1), start, stop)
    component, n = connect(*above)

    edges = [
        _inner_edges(runs, np.flatnonzero(~first_row), above, row_start, below=True),
        _inner_edges(runs, np.flatnonzero(~last_row), beneath, row_start + 1, below=False),
    ]
    owner = component[np.concatenate([run for _, run in edges])]
    n_pixels, total = np.zeros(n, np.int64), np.zeros(n, np.int64)
    highest = np.zeros(n, np.float32)
    np.add.at(n_pixels, component, runs.stop - runs.start)
    np.add.at(total, component, runs.probability_sum)
    np.maximum.at(highest, component, runs.probability_max)
    found = Components(np.concatenate([part for part, _ in edges]), owner, n_pixels, total, highest)

    is_open = np.zeros(n, bool)
    is_open[component[first_row | last_row]] = True
    piece = (np.cumsum(is_open) - 1)[component]
    strip = OpenStrip(
        width=width,
        row_start=row_start,
        row_stop=row_start + height,
        pieces=as_pieces(choose(found, is_open)),
        top=SeamRuns(*(column[first_row] for column in (runs.start, runs.stop, piece))),
        bottom=SeamRuns(*(column[last_row] for column in (runs.start, runs.stop, piece))),
    )
    return choose(found, ~is_open), strip


def _inner_edges(
    runs: Runs, chosen: Int64, span: tuple[Int64, Int64], first_line: int, *, below: bool
) -> tuple[Int32, Int64]:
    """Edges [E, 4] of the chosen runs where those beside them, [first, last), leave them free.

    Also which run each edge belongs to, [E].
    """
    first, last = span
    run, left, right = uncovered(
        runs.start[chosen],
        runs.stop[chosen],
        (runs.start, runs.stop),
        first[chosen],
        last[chosen],
    )
    run = chosen[run]
    return as_edges(runs.row[run] + first_line, left, right, below=below), run
