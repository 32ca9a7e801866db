"""Rows of a scene stacked onto each other: what stays open, and what a seam completes.

Bands within a shard and shards within a scene are joined by the same code, `join_strips`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.geo.objects.objects import Components, Objects, trace
from rrsis_geo.geo.objects.outlines import NO_EDGES, Int32, Int64, ranges
from rrsis_geo.geo.objects.runs import NONE, as_edges, overlapping, uncovered, unite


class SeamRuns(NamedTuple):
    """The runs of one pixel row at the end of a strip; arrays [K], in column order."""

    start: Int64
    stop: Int64
    piece: Int64  # which open piece of the strip each run belongs to


@dataclass(slots=True)
class Piece:
    """What is known of an object that is not closed yet."""

    n_pixels: int = 0
    probability_sum: int = 0
    probability_max: float = 0.0
    edges: list[Int32] = field(default_factory=list)  # arrays [E, 4], see `outlines`

    def absorb(self, other: "Piece") -> None:
        self.n_pixels += other.n_pixels
        self.probability_sum += other.probability_sum
        self.probability_max = max(self.probability_max, other.probability_max)
        self.edges.extend(other.edges)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenStrip:
    """What a run of rows leaves open: the objects that touch its first or its last row.

    Attributes:
        width: columns of the scene.
        row_start: first row.
        row_stop: row past the last.
        pieces: the open objects.
        top: runs of the first row; empty once it is known what lies above.
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
        """Rows without a single object pixel; no rows at all, if both rows are the same."""
        none = SeamRuns(NONE, NONE, NONE)
        return OpenStrip(
            width=width, row_start=row_start, row_stop=row_stop, pieces=[], top=none, bottom=none
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Plain arrays, for `numpy.savez`; the names differ from those of `Objects`."""
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
        """The inverse of `to_arrays`; other names in `arrays` are left alone."""
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
    """Stack two strips: the objects that the seam closes, and what is open of both together.

    The pieces of the arguments are used up: neither strip may be joined a second time.
    """
    closed, strip = stack(upper, lower)
    return trace([as_components(closed)]), strip


def close_strip(strip: OpenStrip) -> Objects:
    """Objects still open in a strip that has the edge of the scene above and below it.

    Uses up the pieces of the strip.
    """
    above = OpenStrip.empty(strip.width, strip.row_start, strip.row_start)
    beneath = OpenStrip.empty(strip.width, strip.row_stop, strip.row_stop)
    inside, strip = stack(above, strip)
    ended, _ = stack(strip, beneath)
    return trace([as_components(inside + ended)])


def stack(upper: OpenStrip, lower: OpenStrip) -> tuple[list[Piece], OpenStrip]:
    """Stack two strips: the pieces that the seam completes, and what is open of both together."""
    assert upper.width == lower.width
    assert upper.row_stop == lower.row_start, f"rows {upper.row_stop} to {lower.row_start} missing"
    n_upper = len(upper.pieces)
    pieces = upper.pieces + lower.pieces
    over = upper.bottom
    under = lower.top._replace(piece=lower.top.piece + n_upper)
    above = overlapping(under.start, under.stop, over.start, over.stop)
    beneath = overlapping(over.start, over.stop, under.start, under.stop)
    _add_seam_edges(pieces, upper.row_stop, under, over, above, below=True)
    _add_seam_edges(pieces, upper.row_stop, over, under, beneath, below=False)

    counts = above[1] - above[0]
    touching = ranges(above[0], counts)
    root = unite(np.arange(len(pieces)), np.repeat(under.piece, counts), over.piece[touching])
    is_root = root == np.arange(len(pieces))
    for i in np.flatnonzero(~is_root).tolist():
        pieces[root[i]].absorb(pieces[i])

    top, bottom = root[upper.top.piece], root[lower.bottom.piece + n_upper]
    is_open = np.zeros(len(pieces), bool)
    is_open[top] = is_open[bottom] = True
    place = np.cumsum(is_open) - 1
    strip = OpenStrip(
        width=upper.width,
        row_start=upper.row_start,
        row_stop=lower.row_stop,
        pieces=[pieces[i] for i in np.flatnonzero(is_open)],
        top=upper.top._replace(piece=place[top]),
        bottom=lower.bottom._replace(piece=place[bottom]),
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
    """Give the pieces of `runs` their edges on a seam, where the `others` do not cover them."""
    run, left, right = uncovered(runs.start, runs.stop, (others.start, others.stop), *span)
    edges = as_edges(np.full(len(run), line), left, right, below=below)
    for piece, part in _split_by_owner(edges, runs.piece[run]):
        pieces[piece].edges.append(part)


def _split_by_owner(edges: Int32, owner: Int64) -> Iterator[tuple[int, Int32]]:
    """The edges of each owner that has any."""
    if not len(owner):
        return
    order = np.argsort(owner, kind="stable")
    edges, owner = edges[order], owner[order]
    begins = np.flatnonzero(np.diff(owner, prepend=-1))
    # Copies: a view would keep the edges of the whole band alive.
    for piece, part in zip(owner[begins].tolist(), np.split(edges, begins[1:]), strict=True):
        yield piece, part.copy()


def as_pieces(found: Components) -> list[Piece]:
    """One piece a component, in their order."""
    pieces = [
        Piece(*numbers)
        for numbers in zip(
            found.n_pixels.tolist(),
            found.probability_sum.tolist(),
            found.probability_max.tolist(),
            strict=True,
        )
    ]
    for piece, part in _split_by_owner(found.edges, found.owner):
        pieces[piece].edges.append(part)
    return pieces


def as_components(pieces: Sequence[Piece]) -> Components:
    """One component a piece, in their order."""
    edges = [np.concatenate(piece.edges) for piece in pieces]
    return Components(
        np.concatenate([NO_EDGES, *edges]),
        np.repeat(np.arange(len(pieces)), [len(part) for part in edges]),
        np.array([piece.n_pixels for piece in pieces], np.int64),
        np.array([piece.probability_sum for piece in pieces], np.int64),
        np.array([piece.probability_max for piece in pieces], np.float32),
    )
