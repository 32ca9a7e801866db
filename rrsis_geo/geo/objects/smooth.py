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

from rrsis_geo.geo.objects.closeness import CloseDrawing
from rrsis_geo.geo.objects.outlines import Float64, Int64, Outlines, concat_ranges
from rrsis_geo.geo.objects.simplify import (
    as_outlines,
    batch_groups,
    group_by_boxes,
    simplify_in_groups,
)

LARGEST_MOVE_PX: Final = 0.35
"""From the middle of a pixel edge; below sqrt(1/8) = 0.3535, nothing crosses."""
LARGEST_MOVE_AT_NODES_PX: Final = 0.24
"""The same on rings with fixed corners, from which outlines leave half a pixel apart."""
WEIGHTS: Final = (0.5, -0.52)
"""Of the two steps of a pass. The second one restores the size (Taubin, 1995, "A signal processing
approach to fair surface design")."""


class Way(NamedTuple):
    """A way to draw curves.

    Attributes:
        passes: number of smoothing passes.
        tolerance_px: for the points that are dropped, see `simplify_outlines`; 0 drops none.
    """

    passes: int
    tolerance_px: float


WAYS: Final = (Way(4, 1.0), Way(1, 1.0), Way(1, 0.5), Way(1, 0.0))
"""The smoothest first. Each object gets the first that is close to its pixels."""
LARGEST_CHANGE: Final = 0.1
"""Maximum relative change of the area of an object by dropping points."""
_CHUNK_POINTS: Final = 2**18  # about 50 MB

Mask = NDArray[np.bool_]


class RingPoints(NamedTuple):
    """The points of rings, not closed: middles of pixel edges, and corners that do not move."""

    xy: Float64  # [P, 2]
    is_fixed: Mask  # [P]
    ring_offsets: Int64  # [R + 1]


def smooth_outlines(outlines: Outlines, *, split_from: Int64 | None = None) -> Outlines:
    """Smooth outlines and keep their topology.

    Every object remains one polygon with all its holes, objects do not overlap, and the IoU of each
    with its pixels is at least `closeness.CLOSE`. Where dropping points changes an object more,
    fewer points are dropped, or none. Where any curve would, as for most objects of less than a
    hundred pixels, the outline follows the pixels. The result for an object depends on it and its
    neighbours only. All objects of a scene must be given at once.

    Args:
        outlines: pixel outlines of all objects.
        split_from: number [N] of the object that each is a part of, 0 for whole ones; see
            `split_objects`. Parts of an object share borders.

    Returns:
        Outlines with float64 vertices, in pixels.
    """
    if not len(outlines):
        return outlines
    has_shared = split_from is not None and bool(split_from.any())
    unit = -1 - np.arange(len(outlines))  # a number of its own, if it is no part of another object
    if split_from is not None:
        unit = np.where(split_from > 0, split_from, unit)
    group = group_by_boxes(outlines, LARGEST_MOVE_PX)
    polygons = np.empty(len(outlines), object)
    for index in batch_groups(group):
        if len(index):
            polygons[index] = _draw_close(
                outlines.take(index), unit[index], group[index], has_shared
            )
    return as_outlines(polygons)


def _draw_close(outlines: Outlines, unit: Int64, group: Int64, has_shared: bool) -> NDArray[Any]:
    """The smoothed polygons [N] of whole groups of objects, see `CloseDrawing`."""

    def draw(way: int, index: Int64) -> NDArray[Any]:
        passes, tolerance_px = WAYS[way]

        def draw_densely(part: Outlines) -> NDArray[Any]:
            return smooth_densely(part, has_shared=has_shared, passes=passes).polygons()

        part = outlines.take(index)
        if not tolerance_px:
            return draw_densely(part)
        return simplify_in_groups(
            part,
            tolerance_px,
            draw=draw_densely,
            margin_px=LARGEST_MOVE_PX,
            largest_change=LARGEST_CHANGE,
        ).polygons()

    unit, group = (np.unique(each, return_inverse=True)[1] for each in (unit, group))
    return CloseDrawing(draw, len(WAYS), outlines.polygons(), unit, group).polygons()


def smooth_densely(
    outlines: Outlines, *, has_shared: bool = False, passes: int = WAYS[0].passes
) -> Outlines:
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
            ),
            passes,
        )
        first = last
    return Outlines(
        vertices=np.insert(xy, offsets[1:], xy[offsets[:-1]], axis=0),
        ring_offsets=offsets + np.arange(n_rings + 1),
        object_offsets=outlines.object_offsets,
    )


def _smooth(points: RingPoints, passes: int) -> Float64:
    """The smoothed points [P, 2] of some rings."""
    before, after = neighbours(points.ring_offsets)
    xy = points.xy
    for weight in WEIGHTS * passes:
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
