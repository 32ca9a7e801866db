"""Relations between objects, against plain definitions over all pairs."""

from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from random_shapes import random_shapes, streets

from rrsis_geo.resolve.frame import Frame, Things
from rrsis_geo.resolve.pieces import Float64, Polygons
from rrsis_geo.resolve.relations import (
    INSIDE_SHARE,
    NEIGHBOURS,
    ON_M,
    distances_m,
    is_between,
    is_on,
    is_side_of,
    nearest_other_m,
    share_covered,
    share_inside,
    share_on,
)

SQUARE = np.array([[0, 0], [500, 0], [500, 500], [0, 500]], float)
METRES = Frame(SQUARE, lambda points: points, y_is_down=False)
"""A frame whose coordinates are metres."""


def things(shapes: Polygons) -> Things:
    return Things.of(shapes, METRES)


def boxes(*corners: tuple[float, float, float, float]) -> Things:
    return things(shapely.box(*np.array(corners, float).T))


def steps_to_nearest(centre: shapely.Point, landmarks: Polygons) -> Float64:
    """Unit vectors [K, 2] from a point to its nearest landmarks, from all distances."""
    nearest = np.argsort(shapely.distance(landmarks, centre), kind="stable")[:NEIGHBOURS]
    lines = shapely.shortest_line(centre, landmarks[nearest])
    steps = np.array([np.subtract(*shapely.get_coordinates(line)[1::-1]) for line in lines])
    length = np.hypot(*steps.T)
    return steps[length > 0] / length[length > 0, None]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 40), st.booleans())
def test_between_equals_its_definition(seed: int, n: int, m: int, has_two: bool) -> None:
    targets = things(shapely.buffer(shapely.centroid(random_shapes(seed, n)), 2))
    first = random_shapes(seed + 1, m)
    second = np.append(random_shapes(seed + 2, m), streets(seed)) if has_two else None
    expected = []
    for centre in shapely.points(targets.centres(compass=True)):
        steps = steps_to_nearest(centre, first)
        others = steps if second is None else steps_to_nearest(centre, second)
        expected.append(bool(len(steps) and len(others) and (steps @ others.T).min() <= -0.5))
    found = is_between(targets, things(first), None if second is None else things(second))
    assert found.tolist() == expected


def test_between_two_of_many() -> None:
    rows = things(shapely.box(np.arange(50) * 20, 0, np.arange(50) * 20 + 5, 5))
    targets = boxes((12, 1, 13, 2), (-20, 1, -19, 2), (500, 200, 501, 201))
    assert is_between(targets, rows, None).tolist() == [True, False, False]
    assert not is_between(targets, things(np.empty(0, object)), None).any()
    assert not is_between(targets, boxes((0, 0, 5, 5)), None).any()


def test_side_of_a_large_landmark_goes_by_its_nearest_point() -> None:
    network = things(np.array([streets(3)]))
    targets = boxes((200, 262, 204, 266), (200, 234, 204, 238), (262, 200, 266, 204))
    for side, expected in {
        "north": [True, False, False],
        "south": [False, True, False],
        "east": [False, False, True],
    }.items():
        assert is_side_of(targets, network, (side,)).tolist() == expected
    assert is_side_of(targets, network, ("right",)).tolist() == [False, False, True]
    assert not is_side_of(targets, things(np.empty(0, object)), ("north",)).any()


def test_on_a_landmark_there_is_no_side() -> None:
    square = boxes((0, 0, 100, 100))
    targets = boxes(
        (40, 80, 50, 90),
        (94, 40, 104, 50),  # six tenths on it
        (96, 40, 106, 50),  # four tenths
        (100.3, 40, 102, 44),  # close to it
    )
    assert is_side_of(targets, square, ("north",)).tolist() == [False] * 4
    assert is_side_of(targets, square, ("east",)).tolist() == [False, False, True, True]
    hole = [(40, 80), (50, 80), (50, 90), (40, 90)]  # the outline leaves out what stands on it
    pierced = things(np.array([shapely.box(0, 0, 100, 100).difference(shapely.Polygon(hole))]))
    assert not is_side_of(targets, pierced, ("north",))[0]


def test_sides_of_points_and_lines() -> None:
    shapes = [
        shapely.Point(0, 0),
        shapely.LineString([(100, 0), (100, 50)]),
        shapely.box(*[200] * 4),
    ]
    targets = boxes((-5, 1, 3, 9), (98, 20, 108, 30), (95, 70, 105, 80), (200, 210, 201, 220))
    north = is_side_of(targets, things(np.array(shapes)), ("north",))
    assert north.tolist() == [True, False, True, True]
    assert is_side_of(targets, things(np.array(shapes)), ("east",)).tolist()[1]


def test_sides_of_a_landmark_within_an_object() -> None:
    park = things(np.array([shapely.box(0, 0, 100, 100)]))
    assert is_side_of(park, boxes((45, 70, 55, 80)), ("south",)).tolist() == [True]
    assert is_side_of(park, boxes((45, 40, 55, 50)), ("north",)).tolist() == [True]


@given(st.integers(0, 10_000))
def test_around_the_middle_of_an_object_there_is_no_side(seed: int) -> None:
    """Centroids that differ by rounding errors only."""
    rng = np.random.default_rng(seed)
    ring = np.column_stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)])
    place = rng.uniform(0, 1e4, 2)
    park, pond = (things(shapely.polygons([place + size * ring])) for size in (20, 2))
    for side in ("north", "south", "east", "west"):
        assert not is_side_of(park, pond, (side,)).any()


def test_objects_are_not_on_themselves() -> None:
    cars = boxes((0, 0, 4, 2), (10, 0, 14, 2), (11, 0, 13, 2))
    two = boxes((0, 0, 4, 2), (10, 0, 14, 2))
    assert is_side_of(cars, two, ("west",)).tolist() == [True, False, False]
    assert share_inside(cars, cars).tolist() == [0, 0.5, 1]
    assert share_on(cars, cars).tolist() == [0, 1, 1]
    courtyard = shapely.box(0, 0, 50, 50).difference(shapely.box(20, 20, 30, 30))
    buildings = things(np.array([courtyard, shapely.box(22, 22, 28, 28)]))
    assert share_inside(buildings, buildings).tolist() == [0, 1]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_shares_equal_the_area_of_the_union(seed: int, has_streets: bool) -> None:
    targets = shapely.buffer(shapely.centroid(random_shapes(seed, 30)), 9)
    others = shapely.buffer(random_shapes(seed + 1, 30), 3)
    if has_streets:
        others, targets = np.append(others, streets(seed)), np.append(targets, streets(seed + 1))
    area = shapely.area(targets)
    union = shapely.union_all(others)
    expected = shapely.area(shapely.intersection(targets, union)) / area
    assert share_covered(things(targets), things(others)) == pytest.approx(expected, abs=1e-9)
    shells = [shapely.Polygon(part.exterior) for each in others for part in shapely.get_parts(each)]
    expected = shapely.area(shapely.intersection(targets, shapely.union_all(shells))) / area
    assert share_inside(things(targets), things(others)) == pytest.approx(expected, abs=1e-9)


def test_on_counts_the_hole_of_the_object_itself_but_no_blocks() -> None:
    holes = [[(40, 4), (48, 4), (48, 12), (40, 12)], [(60, 30), (160, 30), (160, 90), (60, 90)]]
    road = things(np.array([shapely.Polygon([(0, 0), (200, 0), (200, 120), (0, 120)], holes)]))
    targets = boxes(
        (40, 4, 48, 12),  # the road's outline leaves it out
        (100, 50, 110, 55),  # in a block
        (10, 50, 15, 55),
        (-20, 0, -10, 10),
    )
    assert share_on(targets, road).round(6).tolist() == [1, 0, 1, 0]
    assert share_inside(targets, road).tolist() == [1, 1, 1, 0]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.floats(1, 12), st.floats(0, 5), st.booleans(), st.booleans())
def test_on_equals_the_share_on_all_widened_landmarks(
    seed: int, size: float, width: float, has_streets: bool, has_itself: bool
) -> None:
    targets = shapely.buffer(shapely.centroid(random_shapes(seed, 60)), size)
    others = shapely.buffer(random_shapes(seed + 1, 60), width)
    rings = shapely.boundary(shapely.buffer(shapely.centroid(targets[:20]), size + 2 * width + 3))
    others = np.concatenate([others[shapely.area(others) > 0], shapely.buffer(rings, 1 + width)])
    others = np.append(others, streets(seed)) if has_streets else others
    others = np.concatenate([others, targets[::3]]) if has_itself else others
    expected = share_on(things(targets), things(others), ON_M) >= INSIDE_SHARE
    landmarks = things(others)
    found = [is_on(things(part), landmarks) for part in np.array_split(targets, 3)]
    assert np.concatenate(found).tolist() == expected.tolist()


def test_only_landmarks_near_undecided_objects_are_widened(monkeypatch: pytest.MonkeyPatch) -> None:
    widened: list[int] = []

    def buffer(shapes: Polygons, *args: Any, **options: Any) -> Polygons:
        widened.append(len(shapes))
        return original(shapes, *args, **options)

    original = shapely.buffer
    at = np.arange(50) * 20
    squares = things(shapely.box(at, 0, at + 10, 10))
    monkeypatch.setattr(shapely, "buffer", buffer)
    targets = boxes((2, 2, 8, 8), (28, 4, 33, 8), (32, 4, 36, 8), (500, 300, 510, 310))
    assert is_on(targets, squares).tolist() == [True, True, False, False]
    assert sum(widened) == 1
    assert is_on(targets, things(np.empty(0, object))).tolist() == [False] * 4


def test_distances_between_outlines() -> None:
    found = distances_m(boxes((0, 0, 1, 1), (50, 0, 60, 10)), boxes((4, 5, 6, 7), (58, 0, 70, 1)))
    assert found.tolist() == [5, 0]
    assert nearest_other_m(np.array([[0, 0], [3, 4], [3, 5]], float)).tolist() == [5, 1, 1]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 180))
def test_sides_lie_within_their_bounds(seed: int, degrees: float) -> None:
    straight = shapely.LineString([(0, 0), (30, 40), (3, 4)])
    shapes = np.append(random_shapes(seed, 20), straight)
    objects = things(np.array([shapely.affinity.rotate(shape, degrees) for shape in shapes]))
    for sides, (low, high) in zip(objects.sides_m(), objects.side_bounds_m(), strict=True):
        assert (low <= sides).all()
        assert (sides <= high).all()
    assert objects.sides_m()[0][-1] == pytest.approx(50)


def test_length_and_width_of_turned_boxes() -> None:
    turned = shapely.affinity.rotate(shapely.box(0, 0, 30, 10), 27)
    length, width = things(np.array([turned, shapely.box(0, 0, 4, 8)])).sides_m()
    assert length == pytest.approx([30, 8])
    assert width == pytest.approx([10, 4])
