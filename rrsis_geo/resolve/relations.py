"""How objects lie to one another and in the scene: sides, regions and distances in metres."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import shapely

from rrsis_geo.resolve.frame import Things, widen
from rrsis_geo.resolve.pieces import (
    Flags,
    Float64,
    Nearest,
    Pieces,
    Polygons,
    find_nearest,
    find_nearest_others,
    find_several_nearest,
    nearest_points,
)

NEXT_TO_M: Final = 10.0
"""Objects nearer than this are next to each other."""
ALONG_M: Final = 15.0
AROUND_M: Final = 30.0
ON_M: Final = 2.0
"""How far the outline of a landmark is widened for "on": cars hide the edge of a road."""
INSIDE_SHARE: Final = 0.5
"""An object is in a landmark or on it if at least this share of its area is."""
HOLE_SIZE: Final = 4.0
EDGE_SHARE: Final = 0.1
"""Of the extent, from each edge: "at the western edge"."""
CORNER_SHARE: Final = 0.4
_REACH: Final = {
    "half": 0.5,
    "third": 1 / 3,
    "middle": 1 / 3,
    "edge": EDGE_SHARE,
    "corner": CORNER_SHARE,
}
_BETWEEN_COS: Final = -0.5  # 120 degrees between the directions to two landmarks
NEIGHBOURS: Final = 8
"""Landmarks that are looked at for "between"."""
_FEW_NEIGHBOURS: Final = 4  # enough for most objects between others
_BLOCK: Final = 4096

_AXES: Final[dict[str, tuple[int, float, bool]]] = {  # axis, sign, whether by compass
    "north": (1, 1.0, True),
    "south": (1, -1.0, True),
    "east": (0, 1.0, True),
    "west": (0, -1.0, True),
    "top": (1, 1.0, False),
    "bottom": (1, -1.0, False),
    "right": (0, 1.0, False),
    "left": (0, -1.0, False),
}


# --- places in the scene


def along_side(centres: Float64, side: str) -> Float64:
    """How far points [N, 2] lie to one side; greater is farther."""
    axis, sign, _ = _AXES[side]
    return sign * centres[:, axis]


def is_compass(sides: Sequence[str]) -> bool:
    """Whether sides go by true north."""
    return bool(sides) and _AXES[sides[0]][2]


def in_region(
    centres: Float64, boxes: Float64, bounds: Float64, sides: Sequence[str], part: str
) -> Flags:
    """Which objects lie in a part of bounds [[x_min, y_min], [x_max, y_max]].

    An object is at an edge if its outline is near it, and in any other part if its centroid is.

    Args:
        centres: centroids, float64 [N, 2].
        boxes: (x_min, y_min, x_max, y_max), float64 [N, 4].
        bounds: float64 [2, 2], or [2, N, 2] where each object has its own.
        sides: of the part; () for its centre or any edge.
        part: see `Region`.
    """
    extent = np.maximum(bounds[1] - bounds[0], 1e-12)
    share: Float64 = (centres - bounds[0]) / extent  # 0 to 1
    inside: Flags = np.asarray(((share >= 0) & (share <= 1)).all(1))
    in_middle = np.abs(share - 0.5) <= 1 / 6
    low, high = share, 1 - share
    if part == "edge":
        low, high = (boxes[:, :2] - bounds[0]) / extent, (bounds[1] - boxes[:, 2:]) / extent
    if not sides:
        near = np.minimum(low, high) <= EDGE_SHARE
        return inside & np.asarray(near.any(1) if part == "edge" else in_middle.all(1))
    for side in sides:
        axis, sign, _ = _AXES[side]
        depth = high[:, axis] if sign > 0 else low[:, axis]
        inside &= depth <= _REACH[part]
        if part == "middle":
            inside &= in_middle[:, 1 - axis]
    return inside


def distances_to_place(things: Things, kind: str, sides: Sequence[str]) -> Float64:
    """Distance [N] in metres of centroids to the "centre" or a "corner", of outlines to the "edge".

    Args:
        things: the objects.
        kind: of the place.
        sides: two for a corner.
    """
    frame = things.frame
    compass = is_compass(sides) or not sides
    centres: Polygons = np.asarray(shapely.points(things.centres(compass=True)))
    if kind == "edge":
        distances: Float64 = shapely.distance(things.plane, frame.edge())
        return distances
    low, high = frame.bounds(compass=compass)
    point = (low + high) / 2
    for side in sides:
        axis, sign, _ = _AXES[side]
        point[axis] = high[axis] if sign > 0 else low[axis]
    if not compass:
        flip = (1.0, -1.0) if frame.y_is_down else (1.0, 1.0)
        point = frame.plane_points((point * flip)[None])[0]
    to_point: Float64 = shapely.distance(centres, shapely.Point(point))
    return to_point


# --- relations to landmarks


def distances_m(things: Things, landmarks: Things) -> Float64:
    """Distance [N] of each object to the nearest landmark, outline to outline; inf without any.

    An object is not its own landmark: equal outlines do not count.
    """
    return _nearest(things, landmarks).distance


def _nearest(things: Things, landmarks: Things) -> Nearest:
    """The nearest landmark of each object, itself excepted."""
    nearest = find_nearest(things.pieces, landmarks.pieces)
    touching = np.flatnonzero(nearest.distance == 0)
    own = landmarks.find(things.plane[touching])
    rows, own = touching[own >= 0], own[own >= 0]
    if len(rows):
        others = find_nearest_others(Pieces(things.plane[rows]), landmarks.pieces, own)
        nearest.distance[rows], nearest.number[rows] = others.distance, others.number
    return nearest


def is_side_of(things: Things, landmarks: Things, sides: Sequence[str]) -> Flags:
    """Which objects lie on a side of the landmark that is nearest to each.

    The direction counts from the landmark's nearest point to the object's centroid, within 45
    degrees of the side, or of the diagonal where two sides are given (22.5 degrees to either). An
    object on a landmark has no side of it; one close to a wall has.
    """
    compass = is_compass(sides)
    found = np.zeros(len(things), bool)
    nearest = _nearest(things, landmarks).number
    thing = np.flatnonzero(nearest >= 0)
    pieces = landmarks.pieces if compass else landmarks.own_pieces
    flip = (1.0, -1.0) if things.frame.y_is_down and not compass else (1.0, 1.0)
    ends = (things.centres(compass=compass) * flip)[thing]
    starts = nearest_points(ends, pieces, nearest[thing])
    inside = ~(starts != ends).any(1)
    starts[inside] = landmarks.centres(compass=compass)[nearest[thing[inside]]] * flip
    least = things.frame.rounding(compass=compass)
    found[thing] = _points_to((ends - starts) * flip, sides, least)
    index = np.flatnonzero(found)
    found[index] = share_on(things.take(index), landmarks, 0) < INSIDE_SHARE
    return found


def _points_to(steps: Float64, sides: Sequence[str], least: float) -> Flags:
    """Which steps [N, 2] longer than `least` point to a side, or to the corner of two."""
    target = np.zeros(2)
    for side in sides:
        axis, sign, _ = _AXES[side]
        target[axis] = sign
    lengths = np.hypot(*steps.T)
    angle = np.radians(45.0 if len(sides) == 1 else 22.5)
    along: Float64 = steps @ target / float(np.hypot(*target))
    return np.asarray((lengths > least) & (along >= (np.cos(angle) - 1e-9) * lengths))


def share_inside(things: Things, landmarks: Things) -> Float64:
    """Share [N] of each object's area inside landmarks; their holes count as inside.

    An object is not its own landmark.
    """
    return _share_of_landmarks(things, landmarks, filled=True)


def is_on(things: Things, landmarks: Things, buffer_m: float = ON_M) -> Flags:
    """Which objects have at least INSIDE_SHARE of their area on landmarks, see `share_on`.

    Widening only adds to the share inside landmarks. So landmarks are widened only near objects
    that are not on them as they are.
    """
    found = _share_of_landmarks(things, landmarks) >= INSIDE_SHARE
    index = np.flatnonzero(~found)
    if len(index):
        rest = things.take(index)
        share = np.zeros(len(rest))
        for some in landmarks.clusters_near(rest.boxes(compass=True), buffer_m):
            share += share_on(rest, some, buffer_m)
        found[index] = share >= INSIDE_SHARE
    return found


def share_on(things: Things, landmarks: Things, buffer_m: float = ON_M) -> Float64:
    """Share [N] of each object's area on landmarks, which are widened by a buffer.

    The hole that an object makes in the outline of what it stands on counts, a hole of up to
    HOLE_SIZE times its area. The blocks between streets do not. An object is not its own landmark.
    """
    holes = landmarks.holes(buffer_m)
    areas = shapely.area(things.plane)
    share = _share_of_landmarks(things, landmarks, buffer_m)
    thing, hole = holes.whole_tree.query(things.plane, predicate="intersects")
    shapes = holes.whole[hole]
    is_own = shapely.area(shapes) <= HOLE_SIZE * areas[thing]
    thing, shapes = thing[is_own], shapes[is_own]
    shared = shapely.area(shapely.intersection(things.plane[thing], shapes))
    np.add.at(share, thing, shared / areas[thing])
    return share


def _share_of_landmarks(
    things: Things, landmarks: Things, buffer_m: float = 0.0, *, filled: bool = False
) -> Float64:
    """Share [N] of the area of each object in landmarks other than itself.

    Args:
        things: the objects.
        landmarks: some of the objects may be among them.
        buffer_m: the landmarks are widened by this.
        filled: whether holes of the landmarks count.
    """
    share = _share_of(things, landmarks.cover(buffer_m, filled=filled))
    rows = np.flatnonzero(share > 0)
    own = landmarks.find(things.plane[rows])
    rows, own = rows[own >= 0], own[own >= 0]
    if not len(rows):
        return share
    shapes = things.plane[rows]
    grown = shapely.bounds(shapes) + buffer_m * np.array([-1, -1, 1, 1])
    row, other = landmarks.pieces.whole_tree.query(shapely.box(*grown.T))
    is_other = other != own[row]
    row, other = row[is_other], other[is_other]
    others = widen(landmarks.plane[other], buffer_m, filled=filled)
    shared = shapely.area(shapely.intersection(shapes[row], others))
    sums = np.bincount(row, shared, len(rows)) / np.maximum(shapely.area(shapes), 1e-12)
    share[rows] = np.minimum(sums, 1)
    return share


def share_covered(things: Things, others: Things) -> Float64:
    """Share [N] of the area of each object that others cover together."""
    return _share_of(things, others.cover())


def _share_of(things: Things, cover: Pieces) -> Float64:
    """Share [N] of the area of each object inside a cover."""
    pieces = things.pieces
    covered = np.zeros(len(things))
    piece, other = cover.tree.query(pieces.shapes, predicate="intersects")
    shapes, others = pieces.shapes[piece], cover.shapes[other]
    shared = shapely.area(shapes)
    cut = ~shapely.contains_properly(others, shapes)
    shared[cut] = shapely.area(shapely.intersection(shapes[cut], others[cut]))
    np.add.at(covered, pieces.owner[piece], shared)
    return covered / np.maximum(shapely.area(things.plane), 1e-12)


def in_landmark_region(things: Things, landmarks: Things, sides: Sequence[str], part: str) -> Flags:
    """Which objects have their centroid in a part of the bounds of a landmark."""
    compass = is_compass(sides) or not sides
    flip = 1.0 if compass or not things.frame.y_is_down else -1.0
    boxes: Float64 = shapely.bounds(landmarks.plane if compass else landmarks.own)
    centres = things.centres(compass=compass) * (1.0, flip)
    areas: Polygons = np.asarray(shapely.box(*boxes.T))
    index, landmark = shapely.STRtree(areas).query(shapely.points(centres), predicate="intersects")
    ends = boxes[landmark].reshape(-1, 2, 2) * (1.0, flip)
    bounds = np.stack([ends.min(1), ends.max(1)])
    found = np.zeros(len(things), bool)
    own = things.boxes(compass=compass)[index]
    found[index[in_region(centres[index] * (1.0, flip), own, bounds, sides, part)]] = True
    return found


def is_between(things: Things, first: Things, second: Things | None) -> Flags:
    """Which objects lie between a landmark of each kind, or between two of one kind.

    From the object's centroid the nearest points of two landmarks lie at least 120 degrees apart.
    Of each kind, the NEIGHBOURS nearest landmarks are looked at.
    """
    centres = things.centres(compass=True)
    found = np.zeros(len(things), bool)
    for count in (_FEW_NEIGHBOURS, NEIGHBOURS):
        rest = np.flatnonzero(~found)
        for start in range(0, len(rest), _BLOCK):
            index = rest[start : start + _BLOCK]
            steps = _steps_to_nearest(centres[index], first, count)
            others = steps
            if second is not None:
                others = _steps_to_nearest(centres[index], second, count)
            cosines = steps @ others.transpose(0, 2, 1)  # NaN where there is no landmark
            found[index] = (cosines <= _BETWEEN_COS).any((1, 2))
    return found


def _steps_to_nearest(points: Float64, landmarks: Things, count: int) -> Float64:
    """Unit vectors [N, count, 2] from points to their nearest landmarks.

    NaN where a point lies in a landmark, and where there are fewer landmarks.
    """
    point, _, place = find_several_nearest(points, landmarks.pieces, count)
    step = place - points[point]
    length = np.hypot(*step.T)
    steps = np.full((len(points), count, 2), np.nan)
    rank = np.arange(len(point)) - np.searchsorted(point, point)
    apart = length > 0
    steps[point[apart], rank[apart]] = step[apart] / length[apart, None]
    return steps


def nearest_other_m(centres: Float64) -> Float64:
    """Distance [N] of each point to the nearest other one; inf for a single one."""
    found = np.full(len(centres), np.inf)
    if len(centres) > 1:
        points: Polygons = np.asarray(shapely.points(centres))
        tree = shapely.STRtree(points)
        index, distance = tree.query_nearest(
            points, return_distance=True, all_matches=False, exclusive=True
        )
        found[index[0]] = distance
    return found
