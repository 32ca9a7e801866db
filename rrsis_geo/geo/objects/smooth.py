"""Smooth outlines: pixel staircases become curves, and no two outlines cross.

An outline is first drawn through the middle of every pixel edge on it. Two parts of such outlines
that do not follow each other are at least sqrt(1/2) pixels apart, whether they belong to one object
or to two. So every point may move by less than half of that, and still nothing crosses or touches.
The points are smoothed within that limit, and those that a curve does not need are dropped.

Where objects share a border, both draw it through the same points, by the same arithmetic. Corners
at which such a border begins or ends do not move.

Letters: R rings, V vertices of rings, U unit edges, P points.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.geo.objects.outlines import Float64, Int64, Outlines, concat_ranges
from rrsis_geo.geo.objects.simplify import simplify_in_groups

LARGEST_MOVE_PX: Final = 0.35
"""From the middle of a pixel edge; below sqrt(1/8) = 0.3535, nothing crosses."""
LARGEST_MOVE_AT_NODES_PX: Final = 0.24
"""The same on rings with fixed corners, from which outlines leave half a pixel apart."""
PASSES: Final = 4
WEIGHTS: Final = (0.5, -0.52)
"""Of the two steps of a pass. The second one restores the size (Taubin, 1995, "A signal processing
approach to fair surface design")."""
TOLERANCE_PX: Final = 1.0
"""For the points that are dropped, see `simplify_outlines`."""
LARGEST_CHANGE: Final = 0.1
"""Maximum relative change of the area of an object by dropping points."""
_CHUNK_POINTS: Final = 2**18  # about 50 MB

Mask = NDArray[np.bool_]


class RingPoints(NamedTuple):
    """The points of rings, not closed: middles of pixel edges, and corners that do not move."""

    xy: Float64  # [P, 2]
    is_fixed: Mask  # [P]
    ring_offsets: Int64  # [R + 1]


def smooth_outlines(outlines: Outlines, *, has_shared: bool = False) -> Outlines:
    """Smooth outlines and keep their topology.

    Every object remains one polygon with all its holes, and objects do not overlap. The result for
    an object depends on it and its neighbours only. All objects of a scene must be given at once.

    Args:
        outlines: pixel outlines of all objects.
        has_shared: whether objects may share borders, as the parts of objects that are split.

    Returns:
        Outlines with float64 vertices, in pixels.
    """

    def draw(part: Outlines) -> NDArray[Any]:
        return smooth_densely(part, has_shared=has_shared).polygons()

    return simplify_in_groups(
        outlines,
        TOLERANCE_PX,
        draw=draw,
        margin_px=LARGEST_MOVE_PX,
        largest_change=LARGEST_CHANGE,
    )


def smooth_densely(outlines: Outlines, *, has_shared: bool = False) -> Outlines:
    """Smooth outlines without dropping points, see `smooth_outlines`."""
    if not len(outlines):
        return outlines
    points = draw_points(outlines, has_shared=has_shared)
    offsets = points.ring_offsets
    xy = np.empty_like(points.xy)
    first, n_rings = 0, len(offsets) - 1
    while first < n_rings:
        last = int(np.searchsorted(offsets, offsets[first] + _CHUNK_POINTS, side="right")) - 1
        last = max(last, first + 1)
        part = slice(offsets[first], offsets[last])
        xy[part] = _smooth(
            RingPoints(
                points.xy[part], points.is_fixed[part], offsets[first : last + 1] - offsets[first]
            )
        )
        first = last
    return Outlines(
        vertices=np.insert(xy, offsets[1:], xy[offsets[:-1]], axis=0),
        ring_offsets=offsets + np.arange(n_rings + 1),
        object_offsets=outlines.object_offsets,
    )


def _smooth(points: RingPoints) -> Float64:
    """The smoothed points [P, 2] of some rings."""
    before, after = neighbours(points.ring_offsets)
    xy = points.xy
    for weight in WEIGHTS * PASSES:
        pull = (xy[before] + xy[after]) / 2 - xy  # the same in both directions
        pull[points.is_fixed] = 0
        xy = xy + weight * pull
    move = xy - points.xy
    has_fixed = np.logical_or.reduceat(points.is_fixed, points.ring_offsets[:-1])
    limit = np.where(has_fixed, LARGEST_MOVE_AT_NODES_PX, LARGEST_MOVE_PX)
    limit = np.repeat(limit, np.diff(points.ring_offsets))
    move *= np.minimum(1, limit / np.maximum(np.hypot(*move.T), 1e-9))[:, None]
    smoothed: Float64 = points.xy + move
    return smoothed


def draw_points(outlines: Outlines, *, has_shared: bool = False) -> RingPoints:
    """The middles of all pixel edges of outlines, and the corners where shared borders end."""
    vertices: Int64 = outlines.vertices.astype(np.int64)
    offsets = outlines.ring_offsets
    step = np.diff(vertices, axis=0, append=vertices[-1:])
    length = np.abs(step).sum(1)
    length[offsets[1:] - 1] = 0  # a ring ends at its first vertex
    edge = np.repeat(np.arange(len(vertices)), length)
    direction: Int64 = np.sign(step)[edge]
    along = concat_ranges(np.zeros(len(length), np.int64), length)
    corner: Int64 = vertices[edge] + direction * along[:, None]
    counts = np.add.reduceat(length, offsets[:-1])
    ring_offsets = np.append(0, np.cumsum(counts))
    points = RingPoints(corner + direction / 2, np.zeros(len(corner), bool), ring_offsets)
    if not has_shared:
        return points
    is_node = _find_nodes(corner, direction, ring_offsets)
    places = np.flatnonzero(is_node)
    added = np.append(0, np.cumsum(is_node))[ring_offsets]
    return RingPoints(
        np.insert(points.xy, places, corner[places], axis=0),
        np.insert(points.is_fixed, places, True),
        ring_offsets + added,
    )


def _find_nodes(corner: Int64, direction: Int64, ring_offsets: Int64) -> Mask:
    """The unit edges [U] that start at a corner where a border of two objects begins or ends.

    Where rings only pass by a corner, each of them keeps the other side of its edges there.

    Args:
        corner: start of each unit edge, (column, row), [U, 2].
        direction: of each unit edge, [U, 2].
        ring_offsets: of the rings, in unit edges.
    """
    ring = np.repeat(np.arange(len(ring_offsets) - 1), np.diff(ring_offsets))
    _, edge, n_rings = _group(2 * corner + direction)
    is_shared = n_rings[edge] > 1
    rings_of_edge = np.bincount(edge, ring)
    other_side = np.where(is_shared, rings_of_edge[edge] - ring, -1)
    before, _ = neighbours(ring_offsets)
    _, place, n_passes = _group(corner)
    changes = np.bincount(place, other_side != other_side[before])
    shared = np.bincount(place, is_shared | is_shared[before])
    is_node = (changes > 0) | ((n_passes > 2) & (shared > 0))
    found: Mask = is_node[place]
    return found


def _group(places: Int64) -> tuple[Int64, Int64, Int64]:
    """Equal rows of whole numbers [U, 2]: keys, the group of each row, and its size."""
    low = places.min(0)
    keys = (places[:, 1] - low[1]) * (np.ptp(places[:, 0]) + 1) + places[:, 0] - low[0]
    return np.unique(keys, return_inverse=True, return_counts=True)


def neighbours(ring_offsets: Int64) -> tuple[Int64, Int64]:
    """The points before and after each point of rings that are not closed, int64 [P] each."""
    n = int(ring_offsets[-1])
    before, after = np.arange(-1, n - 1), np.arange(1, n + 1)
    before[ring_offsets[:-1]] = ring_offsets[1:] - 1
    after[ring_offsets[1:] - 1] = ring_offsets[:-1]
    return before, after
