"""How objects lie to one another and in the scene: sides, regions and distances in metres."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import shapely

from rrsis_geo.resolve.frame import Flags, Float64, Polygons, Things

NEXT_TO_M: Final = 10.0
"""Objects nearer than this are next to each other."""
ALONG_M: Final = 15.0
AROUND_M: Final = 30.0
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
_NEIGHBOURS: Final = 8

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


def in_region(centres: Float64, bounds: Float64, sides: Sequence[str], part: str) -> Flags:
    """Which points [N, 2] lie in a part of bounds [[x_min, y_min], [x_max, y_max]]."""
    share: Float64 = (centres - bounds[0]) / np.maximum(bounds[1] - bounds[0], 1e-12)  # 0 to 1
    inside: Flags = np.asarray(((share >= 0) & (share <= 1)).all(1))
    in_middle = np.abs(share - 0.5) <= 1 / 6
    if not sides:
        near = (share <= EDGE_SHARE) | (share >= 1 - EDGE_SHARE)
        return inside & np.asarray(near.any(1) if part == "edge" else in_middle.all(1))
    for side in sides:
        axis, sign, _ = _AXES[side]
        depth = 1 - share[:, axis] if sign > 0 else share[:, axis]
        inside &= depth <= _REACH[part]
        if part == "middle":
            inside &= in_middle[:, 1 - axis]
    return inside


# --- relations to landmarks


def distances_m(things: Things, landmarks: Things) -> Float64:
    """Distance [N] of each object to the nearest landmark, outline to outline; inf without any."""
    if not len(landmarks):
        return np.full(len(things), np.inf)
    index, distance = landmarks.tree.query_nearest(
        things.plane, return_distance=True, all_matches=False
    )
    found = np.full(len(things), np.inf)
    found[index[0]] = distance
    return found


def is_side_of(things: Things, landmarks: Things, sides: Sequence[str]) -> Flags:
    """Which objects lie on a side of the landmark that is nearest to each.

    The direction counts from the landmark's nearest point to the object's centroid, within 45
    degrees of the side, or of the diagonal where two sides are given (22.5 degrees to either).
    """
    compass = is_compass(sides)
    found = np.zeros(len(things), bool)
    if not len(landmarks) or not len(things):
        return found
    thing, landmark = landmarks.tree.query_nearest(things.plane, all_matches=False)
    polygons: Polygons = (landmarks.plane if compass else landmarks.own)[landmark]
    flip = (1.0, -1.0) if things.frame.y_is_down and not compass else (1.0, 1.0)
    ends = (things.centres(compass=compass) * flip)[thing]
    lines = shapely.shortest_line(polygons, shapely.points(ends))
    starts: Float64 = shapely.get_coordinates(lines)[::2]
    inside = ~(starts != ends).any(1)
    starts[inside] = shapely.get_coordinates(shapely.centroid(polygons[inside]))
    found[thing] = _points_to((ends - starts) * flip, sides)
    return found


def _points_to(steps: Float64, sides: Sequence[str]) -> Flags:
    """Which steps [N, 2] point to a side, or to the corner of two."""
    target = np.zeros(2)
    for side in sides:
        axis, sign, _ = _AXES[side]
        target[axis] = sign
    lengths = np.hypot(*steps.T)
    angle = np.radians(45.0 if len(sides) == 1 else 22.5)
    along: Float64 = steps @ target / float(np.hypot(*target))
    return np.asarray((lengths > 0) & (along >= (np.cos(angle) - 1e-9) * lengths))


def share_inside(things: Things, landmarks: Things, buffer_m: float = 0.0) -> Float64:
    """Share [N] of each object's area inside landmarks without holes, widened by a buffer."""
    return share_covered(things.plane, shapely.buffer(_filled(landmarks.plane), buffer_m))


def share_covered(polygons: Polygons, others: Polygons) -> Float64:
    """Share [N] of the area of each polygon that other polygons cover together."""
    parts: Polygons = np.asarray(shapely.get_parts(shapely.union_all(others)))
    covered = np.zeros(len(polygons))
    if len(parts):
        index, part = shapely.STRtree(parts).query(polygons, predicate="intersects")
        shared = shapely.area(shapely.intersection(polygons[index], parts[part]))
        np.add.at(covered, index, shared)
    return covered / np.maximum(shapely.area(polygons), 1e-12)


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
    found[index[in_region(centres[index] * (1.0, flip), bounds, sides, part)]] = True
    return found


def is_between(things: Things, first: Things, second: Things | None) -> Flags:
    """Which objects lie between a landmark of each kind, or between two of one kind.

    From the object's centroid the nearest points of two landmarks lie at least 120 degrees apart.
    """
    found = np.zeros(len(things), bool)
    centres: Polygons = np.asarray(shapely.points(things.centres(compass=True)))
    for index, centre in enumerate(centres):
        steps = _steps_to_nearest(centre, first)
        others = steps if second is None else _steps_to_nearest(centre, second)
        if len(steps) and len(others):
            found[index] = bool((steps @ others.T).min() <= _BETWEEN_COS)
    return found


def _steps_to_nearest(centre: Any, landmarks: Things) -> Float64:
    """Unit vectors [K, 2] from a point to its nearest landmarks."""
    if not len(landmarks):
        return np.empty((0, 2))
    distance = shapely.distance(landmarks.plane, centre)
    nearest = np.argsort(distance, kind="stable")[:_NEIGHBOURS]
    lines = shapely.shortest_line(centre, landmarks.plane[nearest])
    steps = np.array([np.subtract(*shapely.get_coordinates(line)[1::-1]) for line in lines])
    length = np.hypot(*steps.T)
    unit: Float64 = steps[length > 0] / length[length > 0, None]
    return unit


def _filled(polygons: Polygons) -> Polygons:
    """Polygons without their holes."""
    return np.array(
        [
            shapely.union_all(shapely.polygons(shapely.get_exterior_ring(shapely.get_parts(each))))
            for each in polygons
        ],
        dtype=object,
    )


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
