"""Vectorize a mask band by band: polygons with statistics, for scenes of any height.

Each band is reduced to runs of pixels. Runs that share a column with a run of the next row belong
to the same object (4-connected). An object that touches neither the first nor the last row so far
is closed: it is traced and returned. An open object is stored as its boundary edges.

Joining bands and joining shards is the same operation, which adds the edges on the line between
them. Polygons are never cut or merged, so the result does not depend, to the last bit, on how the
scene is split into bands and shards.

Objects are sorted by their last pixel (bottom row, then column).
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.geo.objects.objects import (
    NO_OBJECTS,
    Components,
    Objects,
    select_components,
    trace_objects,
)
from rrsis_geo.geo.objects.outlines import Int32, Int64
from rrsis_geo.geo.objects.runs import (
    Runs,
    connect_runs,
    find_gaps,
    find_overlaps,
    find_runs,
    make_edges,
)
from rrsis_geo.geo.objects.strips import (
    OpenStrip,
    SeamRuns,
    close_strip,
    join_strips,
    stack_strips,
    to_components,
    to_pieces,
)


class BandVectorizer:
    """Convert the bands of a mask, from top to bottom, to closed objects.

    Row 0 is the top of the scene. A vectorizer that starts at another row processes a shard:
    objects that touch its first row remain open until the shards are joined. It keeps the runs of
    one band and the boundary edges of open objects in memory.

    Args:
        width: number of columns of the scene.
        row_start: row of the scene at which the first band starts.
    """

    def __init__(self, width: int, *, row_start: int = 0) -> None:
        self._width = width
        self._row = row_start
        self._strip = OpenStrip.empty(width, 0, 0) if row_start == 0 else None

    def add_band(
        self, row_start: int, mask: NDArray[np.bool_], probability: NDArray[np.float32]
    ) -> Objects:
        """Add the next band and return the objects that are now closed.

        Args:
            row_start: first row of the band in the scene; there are no gaps between bands.
            mask: bool [rows, width].
            probability: float [rows, width] in [0, 1]; used only where the mask is True.
        """
        assert row_start == self._row, f"expected the band at row {self._row}, got {row_start}"
        assert mask.shape == probability.shape == (len(mask), self._width)
        if not len(mask):
            return NO_OBJECTS
        closed, band = _vectorize_band(row_start, mask, probability)
        self._row += len(mask)
        if self._strip is None:
            self._strip = band
            return trace_objects([closed])
        completed, self._strip = stack_strips(self._strip, band)
        return trace_objects([closed, to_components(completed)])

    def finish(self) -> OpenStrip:
        """The open objects, to store with a shard or to pass to `close_strip`."""
        return self._strip or OpenStrip.empty(self._width, self._row, self._row)


def merge_shards(parts: Iterable[tuple[Objects, OpenStrip]]) -> Iterator[Objects]:
    """Merge the shards of a scene, from top to bottom, into the objects of the scene.

    Args:
        parts: closed objects and open strip (see `BandVectorizer.finish`) of each shard. They are
            consumed one at a time, so a generator can load them from files.

    Yields:
        The objects of each shard and those that it completes, in reading order; at the end, the
        objects that touch the bottom of the scene.
    """
    strip: OpenStrip | None = None
    for closed, lower in parts:
        upper = OpenStrip.empty(lower.width, 0, 0) if strip is None else strip
        completed, strip = join_strips(upper, lower)
        yield Objects.concat([closed, completed]).in_reading_order()
    if strip is not None:
        yield close_strip(strip)


def vectorize(mask: NDArray[np.bool_], probability: NDArray[np.float32]) -> Objects:
    """All objects of a mask, bool [H, W], with statistics of the probability, float32 [H, W]."""
    vectorizer = BandVectorizer(mask.shape[1])
    closed = vectorizer.add_band(0, mask, probability)
    return Objects.concat([closed, close_strip(vectorizer.finish())])


def _vectorize_band(
    row_start: int, mask: NDArray[np.bool_], probability: NDArray[np.float32]
) -> tuple[Components, OpenStrip]:
    """The closed objects of a band, and those that touch its first or last row."""
    height, width = mask.shape
    runs = find_runs(mask, probability)
    if not len(runs.row):
        return to_components([]), OpenStrip.empty(width, row_start, row_start + height)
    first_row, last_row = runs.row == 0, runs.row == height - 1
    start, stop = runs.row * (width + 1) + runs.start, runs.row * (width + 1) + runs.stop
    above = find_overlaps(start - (width + 1), stop - (width + 1), start, stop)
    beneath = find_overlaps(start + (width + 1), stop + (width + 1), start, stop)
    component, n = connect_runs(*above)

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
    components = Components(
        np.concatenate([part for part, _ in edges]), owner, n_pixels, total, highest
    )

    is_open = np.zeros(n, bool)
    is_open[component[first_row | last_row]] = True
    piece = (np.cumsum(is_open) - 1)[component]
    strip = OpenStrip(
        width=width,
        row_start=row_start,
        row_stop=row_start + height,
        pieces=to_pieces(select_components(components, is_open)),
        top=SeamRuns(runs.start[first_row], runs.stop[first_row], piece[first_row]),
        bottom=SeamRuns(runs.start[last_row], runs.stop[last_row], piece[last_row]),
    )
    return select_components(components, ~is_open), strip


def _inner_edges(
    runs: Runs, selection: Int64, span: tuple[Int64, Int64], first_line: int, *, below: bool
) -> tuple[Int32, Int64]:
    """Edges of selected runs where runs [first, last) of the neighbouring row do not cover them.

    Returns:
        Edges [E, 4], and the index of the run of each edge, [E].
    """
    first, last = span
    run, left, right = find_gaps(
        runs.start[selection],
        runs.stop[selection],
        (runs.start, runs.stop),
        first[selection],
        last[selection],
    )
    run = selection[run]
    return make_edges(runs.row[run] + first_line, left, right, below=below), run
