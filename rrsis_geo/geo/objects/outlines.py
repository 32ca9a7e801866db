"""Trace the outlines of pixel objects from their horizontal boundary edges.

An object is a 4-connected set of pixels. Its horizontal edges define its boundary: each corner is
an end of exactly one horizontal edge, and vertical edges connect consecutive corners of a column.
So all objects can be traced at once, in integers, with two sorts and a few rounds of pointer
jumping.

Letters: E edges, R rings, V vertices, N objects.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]

ROW, START, STOP, BELOW = range(4)
"""Columns of an edge array: lattice line, first column, one past the last column, and 1 if the
object is below the line (0: above it)."""

NO_EDGES: Int32 = np.empty((0, 4), np.int32)


class Rings(NamedTuple):
    """The rings of N polygons: those of a polygon follow each other, and its shell is the first.

    A polygon with a million holes needs a tenth of the memory of its rings as shapely geometries.
    """

    xy: Float64  # [V, 2], rings closed
    ring_offsets: Int64  # [R + 1], start of each ring in `xy`
    object_offsets: Int64  # [N + 1], first ring of each polygon

    def polygons(self) -> NDArray[Any]:
        """Shapely polygons [N]."""
        polygons: NDArray[Any] = shapely.from_ragged_array(
            shapely.GeometryType.POLYGON, self.xy, (self.ring_offsets, self.object_offsets)
        )
        return polygons


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlines:
    """Polygons in pixel coordinates, as ragged arrays.

    The first ring of an object is its shell, the others are holes. Shells run counter-clockwise on
    a screen with row 0 at the top. A ring repeats its first vertex at the end; traced rings start
    at their topmost, then leftmost edge. Every vertex is a corner.

    Attributes:
        vertices: int32 [V, 2], (column, row) of pixel corners; float64 of outlines that were
            smoothed or regularized.
        ring_offsets: int64 [R + 1], start of each ring in `vertices`.
        object_offsets: int64 [N + 1], first ring of each object.
    """

    vertices: NDArray[Any]
    ring_offsets: Int64
    object_offsets: Int64

    def __len__(self) -> int:
        return len(self.object_offsets) - 1

    def polygons(self, transform: Affine | None = None) -> NDArray[Any]:
        """Shapely polygons [N] in world coordinates; without a transform, in pixel coordinates.

        Shells run counter-clockwise where the y axis points up.
        """
        return self.rings(transform).polygons()

    def rings(self, transform: Affine | None = None) -> "Rings":
        """The rings of `polygons`, as arrays."""
        xy = self.vertices.astype(np.float64)
        if transform is None or transform.determinant > 0:
            starts, stops = self.ring_offsets[:-1], self.ring_offsets[1:]
            sums = np.repeat(starts + stops - 1, stops - starts)
            xy = xy[sums - np.arange(len(xy))]  # each ring from its end to its start
        if transform is not None:
            columns, rows = xy[:, 0], xy[:, 1]
            xy = np.column_stack(
                (
                    transform.a * columns + transform.b * rows + transform.c,
                    transform.d * columns + transform.e * rows + transform.f,
                )
            )
        return Rings(xy, self.ring_offsets, self.object_offsets)

    def bounds(self) -> Int32:
        """First column and row, and one past the last ones, of each object: int32 [N, 4]."""
        if not len(self):
            return np.empty((0, 4), np.int32)
        starts = self.ring_offsets[self.object_offsets[:-1]]
        low = np.minimum.reduceat(self.vertices, starts)
        high = np.maximum.reduceat(self.vertices, starts)
        return np.concatenate([low, high], axis=1)

    def take(self, index: NDArray[np.integer[Any]]) -> "Outlines":
        """The objects at the given indices, in that order."""
        rings, object_offsets = _ragged_take(self.object_offsets, index)
        vertices, ring_offsets = _ragged_take(self.ring_offsets, rings)
        return Outlines(
            vertices=self.vertices[vertices],
            ring_offsets=ring_offsets,
            object_offsets=object_offsets,
        )

    def fill(self, height: int, width: int) -> NDArray[np.bool_]:
        """The pixels inside the polygons, bool [height, width]: the inverse of tracing."""
        start, stop = self.vertices[:-1], self.vertices[1:]
        is_side = np.ones(len(start), bool)
        is_side[self.ring_offsets[1:-1] - 1] = False  # from one ring to the next
        is_side &= start[:, 0] == stop[:, 0]
        column, first, last = start[is_side, 0], start[is_side, 1], stop[is_side, 1]
        turns = np.zeros((height + 1, width + 1), np.int32)
        np.add.at(turns, (first, column), 1)
        np.add.at(turns, (last, column), -1)
        inside: NDArray[np.bool_] = turns.cumsum(0).cumsum(1)[:height, :width] > 0
        return inside

    @staticmethod
    def concat(parts: "Sequence[Outlines]") -> "Outlines":
        """The objects of all parts, in order."""
        return Outlines(
            vertices=np.concatenate([np.empty((0, 2), np.int32), *(p.vertices for p in parts)]),
            ring_offsets=_concat_offsets([p.ring_offsets for p in parts]),
            object_offsets=_concat_offsets([p.object_offsets for p in parts]),
        )


def trace_outlines(edges: Int32, owner: Int64, n_objects: int) -> tuple[Outlines, Int32]:
    """Trace the boundaries of all objects.

    Where two pixels of an object touch only at a corner, the background is split there, not the
    object. Different rings may touch at points, but a ring does not touch itself.

    Args:
        edges: int32 [E, 4], the horizontal boundary edges of all objects, as long as possible and
            in any order.
        owner: int [E], index of the object of each edge; every object has at least two edges.
        n_objects: number of objects, N.

    Returns:
        Outlines of the objects in order, and int32 [N, 2]: (row, column) of the last pixel of each
        object in reading order.
    """
    order = np.argsort(_sort_key(owner, edges[:, ROW], edges[:, START]))
    edges, owner = edges[order], owner[order]
    next_edge = _next_edge(edges, owner)
    leader, rank = _cycles(next_edge)

    # One leader per ring, in the order of objects.
    leaders = np.flatnonzero(leader == np.arange(len(edges)))
    ring_of_edge = np.searchsorted(leaders, leader)
    edges_in_ring = np.bincount(ring_of_edge, minlength=len(leaders))
    ring_offsets = _offsets(2 * edges_in_ring + 1)

    # An edge with its object below runs from right to left, other edges from left to right.
    below = edges[:, BELOW].astype(bool)
    start = ring_offsets[ring_of_edge] + 2 * rank
    vertices = np.empty((ring_offsets[-1], 2), np.int32)
    vertices[start, 0] = np.where(below, edges[:, STOP], edges[:, START])
    vertices[start + 1, 0] = np.where(below, edges[:, START], edges[:, STOP])
    vertices[start, 1] = vertices[start + 1, 1] = edges[:, ROW]
    vertices[ring_offsets[1:] - 1] = vertices[ring_offsets[:-1]]

    object_offsets = _offsets(np.bincount(owner[leaders], minlength=n_objects))
    last_edge = np.cumsum(np.bincount(owner, minlength=n_objects)) - 1
    last_pixel = np.stack((edges[last_edge, ROW] - 1, edges[last_edge, STOP] - 1), axis=1)
    outlines = Outlines(vertices=vertices, ring_offsets=ring_offsets, object_offsets=object_offsets)
    return outlines, last_pixel.reshape(-1, 2)


def _sort_key(major: Int64, middle: Int32, minor: Int32) -> Int64:
    """Keys that sort like (major, middle, minor), int64 [n]."""
    if not len(major):
        return np.empty(0, np.int64)
    n_middle = int(middle.max()) - int(middle.min()) + 1
    n_minor = int(minor.max()) - int(minor.min()) + 1
    if (int(major.max()) + 1) * n_middle * n_minor < 2**63:
        key: Int64 = (major * n_middle + (middle - middle.min())) * n_minor + (minor - minor.min())
        return key
    rank = np.empty(len(major), np.int64)
    rank[np.lexsort((minor, middle, major))] = np.arange(len(major))
    return rank


def _next_edge(edges: Int32, owner: Int64) -> Int64:
    """The next edge on the ring of each edge, int64 [E].

    The 2 E ends of edges are the corners. Sorted by object, column and row, corners 2 k and 2 k + 1
    are the ends of one vertical edge. Two corners at the same position belong to pixels of the same
    object that touch at a corner. Of these, the edge with its object below comes first and is
    connected upwards, which splits the background.
    """
    n = len(edges)
    below = edges[:, BELOW].astype(bool)
    head = np.where(below, edges[:, STOP], edges[:, START])
    tail = np.where(below, edges[:, START], edges[:, STOP])
    line = 2 * edges[:, ROW] + ~below
    corners = np.argsort(
        _sort_key(np.tile(owner, 2), np.concatenate((head, tail)), np.tile(line, 2))
    ).reshape(-1, 2)
    first_is_tail = corners[:, 0] >= n
    tails = np.where(first_is_tail, corners[:, 0], corners[:, 1]) - n
    heads = np.where(first_is_tail, corners[:, 1], corners[:, 0])
    next_edge = np.empty(n, np.int64)
    next_edge[tails] = heads
    return next_edge


def _cycles(successor: Int64) -> tuple[Int64, Int64]:
    """Smallest member of the cycle of each element, and steps from it to the element; int64 [E].

    Pointer jumping: after k rounds a pointer spans 2^k steps. When a round changes no minimum, the
    ranges of 2^k steps that cover a cycle have the same minimum, which is the minimum of the cycle.
    """
    n = len(successor)
    leader = np.arange(n)
    jump = successor
    while True:
        lower = np.minimum(leader, leader[jump])
        if np.array_equal(lower, leader):
            break
        leader, jump = lower, jump[jump]

    # Cut each cycle before its leader and count the steps to that end.
    to_end = np.ones(n, np.int64)
    last = np.flatnonzero(successor == leader)
    jump = successor.copy()
    jump[last] = last
    to_end[last] = 0
    active = np.flatnonzero(to_end)
    while len(active):
        target = jump[active]
        steps, next_target = to_end[target], jump[target]
        to_end[active] += steps
        jump[active] = next_target
        active = active[next_target != target]
    return leader, to_end[leader] - to_end


def concat_ranges(starts: Int64, counts: Int64) -> Int64:
    """Concatenate the ranges [starts, starts + counts), int64 [sum of counts]."""
    ends = np.cumsum(counts)
    members: Int64 = np.arange(ends[-1] if len(ends) else 0)
    members += np.repeat(starts - (ends - counts), counts)
    return members


def _offsets(counts: NDArray[np.integer[Any]]) -> Int64:
    """Start of each of n groups of these sizes, and the end: int64 [n + 1]."""
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)))


def _ragged_take(offsets: Int64, index: NDArray[np.integer[Any]]) -> tuple[Int64, Int64]:
    """Indices of the members of the selected groups, and the new offsets of these groups."""
    counts = np.diff(offsets)[index]
    return concat_ranges(offsets[:-1][index], counts), _offsets(counts)


def _concat_offsets(parts: Sequence[Int64]) -> Int64:
    return _offsets(np.concatenate([np.empty(0, np.int64), *(np.diff(part) for part in parts)]))
