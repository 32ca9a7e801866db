"""What the rules of a query need to know about a batch of objects: one column a rule."""

from collections.abc import Callable, Mapping
from math import inf

import numpy as np

from rrsis_geo.resolve.choice import Column, holds_of
from rrsis_geo.resolve.frame import Flags, Float64, Things
from rrsis_geo.resolve.relations import (
    ALONG_M,
    AROUND_M,
    INSIDE_SHARE,
    NEXT_TO_M,
    along_side,
    distances_m,
    distances_to_place,
    in_landmark_region,
    in_region,
    is_between,
    is_compass,
    is_on,
    is_side_of,
    share_inside,
)
from rrsis_geo.text.query.records import (
    AnyOf,
    Distance,
    Grouping,
    Landmark,
    Not,
    Only,
    Place,
    Query,
    Rank,
    Region,
    Relative,
    Rule,
    SideOf,
    Size,
    SizeClass,
    landmarks_of,
)

FindLandmark = Callable[[Query], Things]
MeasureArea = Callable[[], Float64]


def rule_column(
    rule: Rule, measure: MeasureArea, things: Things, find_landmark: FindLandmark
) -> Column:
    """The facts of one rule about N objects.

    Args:
        rule: of the query.
        measure: gives the area of the objects on the ground, float64 [N].
        things: the same objects, in metres.
        find_landmark: gives the objects of a landmark.
    """
    if isinstance(rule, Not):
        return rule_column(rule.rule, measure, things, find_landmark)
    if isinstance(rule, AnyOf):
        columns = [rule_column(each, measure, things, find_landmark) for each in rule.rules]
        each_holds = [holds_of(*pair) for pair in zip(rule.rules, columns, strict=True)]
        return Column(holds=np.any(each_holds, axis=0))
    landmarks = [find_landmark(landmark) for landmark in landmarks_of(rule)]
    if not all(map(len, landmarks)):
        n = len(things)
        return Column(np.full(n, holds_without_landmark(rule)), np.full(n, np.nan))
    match rule:
        case Region():
            return Column(holds=_in_region(rule, things, landmarks))
        case SideOf():
            return Column(holds=is_side_of(things, landmarks[0], rule.sides))
        case Distance():
            distance = _distances(rule.landmark, things, landmarks)
            holds = (distance >= rule.at_least_m) & (distance <= rule.at_most_m)
            return Column(holds=holds, value=distance)
        case Relative():
            return Column(holds=_is_related(rule, things, landmarks))
        case Size():
            return Column(holds=_has_size(rule, measure, things))
        case SizeClass():  # decided when all objects are known
            return Column(value=_sizes(measure, things)[rule.measure]())
        case Rank():
            return Column(value=_rank_value(rule, measure, things, landmarks))
        case Grouping() | Only():  # decided when all objects are known
            return Column()


def holds_without_landmark(rule: Rule) -> bool:
    """Whether every object meets a rule whose landmark does not exist; otherwise none does.

    What does not exist is infinitely far away, and nothing is in it, on it or at its side.
    """
    match rule:
        case Not():
            return not holds_without_landmark(rule.rule)
        case Distance():
            return rule.at_most_m == inf
        case Relative():
            return rule.relation == "outside"
        case _:
            return False


def _in_region(rule: Region, things: Things, landmarks: list[Things]) -> Flags:
    if landmarks:
        return in_landmark_region(things, landmarks[0], rule.sides, rule.part)
    compass = is_compass(rule.sides)
    bounds = things.frame.bounds(compass=compass)
    centres, boxes = things.centres(compass=compass), things.boxes(compass=compass)
    return in_region(centres, boxes, bounds, rule.sides, rule.part)


def _is_related(rule: Relative, things: Things, landmarks: list[Things]) -> Flags:
    first = landmarks[0]
    match rule.relation:
        case "between":
            return is_between(things, first, landmarks[1] if len(landmarks) > 1 else None)
        case "on":
            return is_on(things, first)
        case "in":
            return share_inside(things, first) >= INSIDE_SHARE
        case "outside":
            return share_inside(things, first) < INSIDE_SHARE
        case "next to":
            return distances_m(things, first) <= NEXT_TO_M
        case "along":
            return distances_m(things, first) <= ALONG_M
        case "around":
            found = distances_m(things, first) <= AROUND_M
            index = np.flatnonzero(found)
            found[index] = share_inside(things.take(index), first) < INSIDE_SHARE
            return found


def _distances(landmark: Landmark | None, things: Things, landmarks: list[Things]) -> Float64:
    """Distance [N] in metres to a landmark, or of the centroids to a place of the scene."""
    if isinstance(landmark, Place):
        return distances_to_place(things, landmark.kind, landmark.sides)
    return distances_m(things, landmarks[0])


def _has_size(rule: Size, measure: MeasureArea, things: Things) -> Flags:
    """Which objects have a size: sides are measured only where bounding boxes do not decide."""
    if rule.measure == "area":
        area = _sizes(measure, things)["area"]()
        return (area >= rule.at_least) & (area <= rule.at_most)
    side = ("length", "width").index(rule.measure)
    low, high = things.side_bounds_m()[side]
    holds: Flags = np.asarray((low >= rule.at_least) & (high <= rule.at_most))
    index = np.flatnonzero(~holds & (high >= rule.at_least) & (low <= rule.at_most))
    value = things.take(index).sides_m()[side]
    holds[index] = (value >= rule.at_least) & (value <= rule.at_most)
    return holds


def _sizes(measure: MeasureArea, things: Things) -> Mapping[str, Callable[[], Float64]]:
    return {
        "area": measure if things.frame.has_metres else things.areas,
        "length": lambda: things.sides_m()[0],
        "width": lambda: things.sides_m()[1],
    }


def _rank_value(
    rule: Rank, measure: MeasureArea, things: Things, landmarks: list[Things]
) -> Float64:
    match rule.key:
        case "distance":
            return _distances(rule.landmark, things, landmarks)
        case "place":
            centres = things.centres(compass=is_compass(rule.sides))
            sums: Float64 = np.sum([along_side(centres, side) for side in rule.sides], axis=0)
            return sums
        case _:
            return _sizes(measure, things)[rule.key]()
