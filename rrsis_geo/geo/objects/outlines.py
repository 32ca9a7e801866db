"""Outlines of pixel objects, traced exactly from their horizontal boundary edges.

An object is a 4-connected set of pixels. Its boundary is known when its horizontal edges are
known: each corner of the boundary is an end of exactly one of them, and the vertical edges join
corners that follow each other in a column. So rings need no walk from pixel to pixel: two sorts
and a few rounds of pointer jumping trace all objects at once, in integers.

Letters: E edges, R rings, V vertices, N objects.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]

ROW, START, STOP, BELOW = range(4)
"""Columns of an edge array: lattice line, first column, column past the last, and 1 where the
object lies below the line (0: above it)."""

NO_EDGES: Int32 = np.empty((0, 4), np.int32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlines:
    """Polygons in whole pixel coordinates, as ragged arrays.

    A ring starts at its topmost, then leftmost edge and repeats its first vertex at the end; the
    first ring of an object is its shell, the others are holes. Shells run counter-clockwise as
    seen on a screen, with row 0 at the top. Successive vertices are always corners.

    Attributes:
        vertices: int32 [V, 2], (column, row) of pixel corners.
        ring_offsets: int64 [R + 1], where each ring begins in `vertices`.
        object_offsets: int64 [N + 1], where each object begins among the rings.
    """

    vertices: Int32
    ring_offsets: Int64
    object_offsets: Int64

    def __len__(self) -> int:
        return len(self.object_offsets) - 1

    def polygons(self, transform: Affine | None = None) -> NDArray[Any]:
        """Shapely polygons [N], through the whole affine; None leaves pixel coordinates.

        Shells run counter-clockwise in the coordinates asked for, where the y axis points up.
        """
        xy = self.vertices.astype(np.float64)
        flip = transform is None
        if transform is not None:
            columns, rows = xy[:, 0], xy[:, 1]
            xy = np.column_stack(
                (
                    transform.a * columns + transform.b * rows + transform.c,
                    transform.d * columns + transform.e * rows + transform.f,
                )
            )
            flip = transform.determinant > 0
        polygons: NDArray[Any] = shapely.from_ragged_array(
            shapely.GeometryType.POLYGON, xy, (self.ring_offsets, self.object_offsets)
        )
        return shapely.orient_polygons(polygons, exterior_cw=False) if flip else polygons

    def take(self, index: NDArray[np.integer[Any]]) -> "Outlines":
        """The objects at these places, in this order."""
        rings, object_offsets = _ragged_take(self.object_offsets, index)
        vertices, ring_offsets = _ragged_take(self.ring_offsets, rings)
        return Outlines(
            vertices=self.vertices[vertices],
            ring_offsets=ring_offsets,
            object_offsets=object_offsets,
        )

    @staticmethod
    def concat(parts: "Sequence[Outlines]") -> "Outlines":
        """All objects of `parts`, in their order."""
        return Outlines(
            vertices=np.concatenate([np.empty((0, 2), np.int32), *(p.vertices for p in parts)]),
            ring_offsets=_joined_offsets([p.ring_offsets for p in parts]),
            object_offsets=_joined_offsets([p.object_offsets for p in parts]),
        )


def trace_outlines(edges: Int32, owner: Int64, n_objects: int) -> tuple[Outlines, Int32]:
    """Trace the boundary of every object.

    Where two pixels of one object touch only at a corner, the background between them is cut
    there, never the object: rings touch at points, but no ring touches itself.

    Args:
        edges: int32 [E, 4], the maximal horizontal boundary edges of all objects, in any order.
        owner: int [E], which object each edge bounds; every object owns at least two.
        n_objects: N.

    Returns:
        The outlines, object i at place i, and int32 [N, 2]: (row, column) of each object's last
        pixel in reading order.
    """
    order = np.argsort(_sort_key(owner, edges[:, ROW], edges[:, START]))
    edges, owner = edges[order], owner[order]
    following = _following_edge(edges, owner)
    leader, rank = _cycles(following)

    leaders = np.flatnonzero(leader == np.arange(len(edges)))  # one a ring, rings in object order
    ring_of_edge = np.searchsorted(leaders, leader)
    edges_in_ring = np.bincount(ring_of_edge, minlength=len(leaders))
    ring_offsets = _offsets(2 * edges_in_ring + 1)

    # An edge that has its object below runs right to left, one above it left to right.
    below = edges[:, BELOW].astype(bool)
    place = ring_offsets[ring_of_edge] + 2 * rank
    vertices = np.empty((ring_offsets[-1], 2), np.int32)
    vertices[place, 0] = np.where(below, edges[:, STOP], edges[:, START])
    vertices[place + 1, 0] = np.where(below, edges[:, START], edges[:, STOP])
    vertices[place, 1] = vertices[place + 1, 1] = edges[:, ROW]
    vertices[ring_offsets[1:] - 1] = vertices[ring_offsets[:-1]]

    object_offsets = _offsets(np.bincount(owner[leaders], minlength=n_objects))
    last_edge = np.cumsum(np.bincount(owner, minlength=n_objects)) - 1
    last_pixel = np.stack((edges[last_edge, ROW] - 1, edges[last_edge, STOP] - 1), axis=1)
    outlines = Outlines(vertices=vertices, ring_offsets=ring_offsets, object_offsets=object_offsets)
    return outlines, last_pixel.reshape(-1, 2)


def _sort_key(major: Int64, middle: Int32, minor: Int32) -> Int64:
    """int64 keys that sort like (major, middle, minor); each of them is made dense by its range."""
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


def _following_edge(edges: Int32, owner: Int64) -> Int64:
    """For each edge, the one that follows it on its ring, int64 [E].

    The 2 E edge ends are the corners. Sorted by object, column and row, corner 2 k and corner
    2 k + 1 bound one vertical edge. Two corners in one place belong to pixels of the same object
    that touch at a corner: the edge with its object below comes first, and is so joined upwards,
    which cuts the background.
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
    following = np.empty(n, np.int64)
    following[tails] = heads
    return following


def _cycles(following: Int64) -> tuple[Int64, Int64]:
    """Smallest member of each element's cycle, and steps from it to the element; int64 [E] each.

    Pointer jumping: after k rounds a pointer spans 2^k steps. Once a round changes no minimum,
    windows of 2^k steps that tile a whole cycle agree, so every minimum is that of its cycle.
    """
    n = len(following)
    leader = np.arange(n)
    jump = following
    while True:
        lower = np.minimum(leader, leader[jump])
        if np.array_equal(lower, leader):
            break
        leader, jump = lower, jump[jump]

    # Cut each cycle before its leader; count the steps to that end.
    to_end = np.ones(n, np.int64)
    last = np.flatnonzero(following == leader)
    jump = following.copy()
    jump[last] = last
    to_end[last] = 0
    active = np.flatnonzero(to_end)
    while len(active):
        towards = jump[active]
        steps, further = to_end[towards], jump[towards]
        to_end[active] += steps
        jump[active] = further
        active = active[further != towards]
    return leader, to_end[leader] - to_end


def ranges(starts: Int64, counts: Int64) -> Int64:
    """The members of the ranges [starts, starts + counts), one range after the other."""
    ends = np.cumsum(counts)
    members: Int64 = np.arange(ends[-1] if len(ends) else 0)
    members += np.repeat(starts - (ends - counts), counts)
    return members


def _offsets(counts: NDArray[np.integer[Any]]) -> Int64:
    """Where each of the runs of these lengths begins, and the end: int64 [n + 1]."""
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)))


def _ragged_take(offsets: Int64, index: NDArray[np.integer[Any]]) -> tuple[Int64, Int64]:
    """Places of the members of the chosen runs, and the offsets of those runs once taken."""
    counts = np.diff(offsets)[index]
    return ranges(offsets[:-1][index], counts), _offsets(counts)


def _joined_offsets(parts: Sequence[Int64]) -> Int64:
    return _offsets(np.concatenate([np.empty(0, np.int64), *(np.diff(part) for part in parts)]))
