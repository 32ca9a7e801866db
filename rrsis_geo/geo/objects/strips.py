"""Join strips of rows: objects that the seam completes, and objects that remain open.

The same code joins bands of a shard and shards of a scene.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.geo.objects.objects import Components, Objects, trace_objects
from rrsis_geo.geo.objects.outlines import NO_EDGES, Int32, Int64, concat_ranges
from rrsis_geo.geo.objects.runs import EMPTY, find_gaps, find_overlaps, make_edges, union_sets


class SeamRuns(NamedTuple):
    """The K runs of the first or last row of a strip, in column order; arrays [K]."""

    start: Int64
    stop: Int64
    piece: Int64  # index of the open piece of each run


@dataclass(slots=True)
class Piece:
    """The part of an open object inside a strip."""

    n_pixels: int = 0
    probability_sum: int = 0
    probability_max: float = 0.0
    edges: list[Int32] = field(default_factory=list)  # arrays [E, 4], see `outlines`

    def absorb(self, other: "Piece") -> None:
        """Add a piece of the same object."""
        self.n_pixels += other.n_pixels
        self.probability_sum += other.probability_sum
        self.probability_max = max(self.probability_max, other.probability_max)
        self.edges.extend(other.edges)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenStrip:
    """The open objects of a strip of rows: those that touch its first or last row.

    Attributes:
        width: number of columns of the scene.
        row_start: first row.
        row_stop: one past the last row.
        pieces: the open objects.
        top: runs of the first row; empty if the rows above are known.
        bottom: runs of the last row.
    """

    width: int
    row_start: int
    row_stop: int
    pieces: list[Piece]
    top: SeamRuns
    bottom: SeamRuns

    @staticmethod
    def empty(width: int, row_start: int, row_stop: int) -> "OpenStrip":
        """A strip without object pixels; without rows if `row_start` equals `row_stop`."""
        no_runs = SeamRuns(EMPTY, EMPTY, EMPTY)
        return OpenStrip(
            width=width,
            row_start=row_start,
            row_stop=row_stop,
            pieces=[],
            top=no_runs,
            bottom=no_runs,
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Plain arrays for `numpy.savez`, with other names than those of `Objects`."""
        edges = [np.concatenate([NO_EDGES, *piece.edges]) for piece in self.pieces]
        return {
            "strip": np.array([self.width, self.row_start, self.row_stop], np.int64),
            "strip_top": np.stack(self.top),
            "strip_bottom": np.stack(self.bottom),
            "piece_edges": np.concatenate([NO_EDGES, *edges]),
            "piece_edge_counts": np.array([len(part) for part in edges], np.int64),
            "piece_n_pixels": np.array([p.n_pixels for p in self.pieces], np.int64),
            "piece_probability_sum": np.array([p.probability_sum for p in self.pieces], np.int64),
            "piece_probability_max": np.array([p.probability_max for p in self.pieces], np.float32),
        }

    @staticmethod
    def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> "OpenStrip":
        """The inverse of `to_arrays`; other arrays are ignored."""
        ends = np.cumsum(arrays["piece_edge_counts"])
        edges = np.split(arrays["piece_edges"], ends[:-1]) if len(ends) else []
        numbers = zip(
            arrays["piece_n_pixels"].tolist(),
            arrays["piece_probability_sum"].tolist(),
            arrays["piece_probability_max"].tolist(),
            edges,
            strict=True,
        )
        width, row_start, row_stop = arrays["strip"].tolist()
        return OpenStrip(
            width=width,
            row_start=row_start,
            row_stop=row_stop,
            pieces=[Piece(n, total, top, [part]) for n, total, top, part in numbers],
            top=SeamRuns(*arrays["strip_top"]),
            bottom=SeamRuns(*arrays["strip_bottom"]),
        )


def join_strips(upper: OpenStrip, lower: OpenStrip) -> tuple[Objects, OpenStrip]:
    """Join two strips: the objects that the seam closes, and the open strip of both.

    The pieces of the arguments are modified: do not use these strips again.
    """
    closed, strip = stack_strips(upper, lower)
    return trace_objects([to_components(closed)]), strip


def close_strip(strip: OpenStrip) -> Objects:
    """Close the open objects of a strip that spans the whole scene.

    The pieces of the strip are modified: do not use it again.
    """
    above = OpenStrip.empty(strip.width, strip.row_start, strip.row_start)
    beneath = OpenStrip.empty(strip.width, strip.row_stop, strip.row_stop)
    at_top, strip = stack_strips(above, strip)
    at_bottom, _ = stack_strips(strip, beneath)
    return trace_objects([to_components(at_top + at_bottom)])


def stack_strips(upper: OpenStrip, lower: OpenStrip) -> tuple[list[Piece], OpenStrip]:
    """Join two strips: the pieces that the seam completes, and the open strip of both."""
    assert upper.width == lower.width
    assert upper.row_stop == lower.row_start, (
        f"rows {upper.row_stop} to {lower.row_start} are missing"
    )
    n_upper = len(upper.pieces)
    pieces = upper.pieces + lower.pieces
    over = upper.bottom
    under = lower.top._replace(piece=lower.top.piece + n_upper)
    above = find_overlaps(under.start, under.stop, over.start, over.stop)
    beneath = find_overlaps(over.start, over.stop, under.start, under.stop)
    _add_seam_edges(pieces, upper.row_stop, under, over, above, below=True)
    _add_seam_edges(pieces, upper.row_stop, over, under, beneath, below=False)

    counts = above[1] - above[0]
    touching = concat_ranges(above[0], counts)
    root = union_sets(np.arange(len(pieces)), np.repeat(under.piece, counts), over.piece[touching])
    is_root = root == np.arange(len(pieces))
    for i in np.flatnonzero(~is_root).tolist():
        pieces[root[i]].absorb(pieces[i])

    top, bottom = root[upper.top.piece], root[lower.bottom.piece + n_upper]
    is_open = np.zeros(len(pieces), bool)
    is_open[top] = is_open[bottom] = True
    new_index = np.cumsum(is_open) - 1
    strip = OpenStrip(
        width=upper.width,
        row_start=upper.row_start,
        row_stop=lower.row_stop,
        pieces=[pieces[i] for i in np.flatnonzero(is_open)],
        top=upper.top._replace(piece=new_index[top]),
        bottom=lower.bottom._replace(piece=new_index[bottom]),
    )
    return [pieces[i] for i in np.flatnonzero(is_root & ~is_open)], strip


def _add_seam_edges(
    pieces: list[Piece],
    line: int,
    runs: SeamRuns,
    others: SeamRuns,
    span: tuple[Int64, Int64],
    *,
    below: bool,
) -> None:
    """Add edges on a seam to the pieces of `runs`, where the `others` do not cover the runs."""
    run, left, right = find_gaps(runs.start, runs.stop, (others.start, others.stop), *span)
    edges = make_edges(np.full(len(run), line), left, right, below=below)
    for piece, part in _split_by_owner(edges, runs.piece[run]):
        pieces[piece].edges.append(part)


def _split_by_owner(edges: Int32, owner: Int64) -> Iterator[tuple[int, Int32]]:
    """Each owner with edges, and its edges."""
    if not len(owner):
        return
    order = np.argsort(owner, kind="stable")
    edges, owner = edges[order], owner[order]
    begins = np.flatnonzero(np.diff(owner, prepend=-1))
    # Copy the edges: a view would keep all edges of the band in memory.
    for piece, part in zip(owner[begins].tolist(), np.split(edges, begins[1:]), strict=True):
        yield piece, part.copy()


def to_pieces(components: Components) -> list[Piece]:
    """One piece per component, in order."""
    pieces = [
        Piece(*numbers)
        for numbers in zip(
            components.n_pixels.tolist(),
            components.probability_sum.tolist(),
            components.probability_max.tolist(),
            strict=True,
        )
    ]
    for piece, part in _split_by_owner(components.edges, components.owner):
        pieces[piece].edges.append(part)
    return pieces


def to_components(pieces: Sequence[Piece]) -> Components:
    """One component per piece, in order."""
    edges = [np.concatenate(piece.edges) for piece in pieces]
    return Components(
        np.concatenate([NO_EDGES, *edges]),
        np.repeat(np.arange(len(pieces)), [len(part) for part in edges]),
        np.array([piece.n_pixels for piece in pieces], np.int64),
        np.array([piece.probability_sum for piece in pieces], np.int64),
        np.array([piece.probability_max for piece in pieces], np.float32),
    )
