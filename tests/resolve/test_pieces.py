"""Shapes in pieces, and the nearest of them, against the distances of all pairs."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from random_shapes import random_shapes, streets

from rrsis_geo.resolve.pieces import (
    MAX_VERTICES,
    Pieces,
    find_nearest,
    find_several_nearest,
    nearest_points,
)

SEEDS = st.integers(0, 10_000)


def test_pieces_are_small_and_make_up_the_shapes() -> None:
    line = shapely.LineString(np.random.default_rng(0).uniform(0, 100, (1000, 2)))
    whole = np.array([shapely.box(0, 0, 1, 1), streets(1), line, shapely.Point(3, 4)])
    pieces = Pieces(whole)
    assert (shapely.get_num_coordinates(pieces.shapes) <= MAX_VERTICES).all()
    assert shapely.is_valid(pieces.shapes).all()
    assert (np.diff(pieces.owner) >= 0).all()
    for measure in (shapely.area, shapely.length):
        own = whole[:2] if measure is shapely.area else whole[2:]
        index = pieces.owner < 2 if measure is shapely.area else pieces.owner >= 2
        assert measure(pieces.shapes[index]).sum() == pytest.approx(measure(own).sum(), rel=1e-9)
    joined = shapely.union_all(pieces.shapes[pieces.owner == 1])
    assert shapely.area(shapely.symmetric_difference(joined, whole[1])) < 1e-6


def test_what_cannot_be_cut_is_left_whole_or_out() -> None:
    still = shapely.LineString([(7, 7)] * 1000)
    far = shapely.Point(np.inf, 0)
    pieces = Pieces(np.array([still, far, shapely.MultiPoint([(0, 0), (1, 1)])]))
    assert pieces.owner.tolist() == [0, 2, 2]
    nearest = find_nearest(pieces, Pieces(np.array([shapely.Point(7, 8)])))
    assert nearest.distance.tolist() == [1, np.inf, pytest.approx(np.hypot(6, 7))]
    assert nearest.number.tolist() == [0, -1, 0]
    assert find_nearest(pieces, Pieces(np.empty(0, object))).number.tolist() == [-1, -1, -1]


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(0, 60), st.integers(1, 60), st.booleans())
def test_nearest_equals_all_pairs(seed: int, n: int, m: int, has_streets: bool) -> None:
    shapes, others = random_shapes(seed, n), random_shapes(seed + 1, m)
    if has_streets:
        shapes, others = np.append(shapes, streets(seed)), np.append(others, streets(seed + 1))
    nearest = find_nearest(Pieces(shapes), Pieces(others))
    table = shapely.distance(shapes[:, None], others[None])
    assert nearest.distance == pytest.approx(table.min(1), abs=1e-9)
    assert table[np.arange(len(shapes)), nearest.number] == pytest.approx(table.min(1), abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(0, 60), st.integers(1, 60), st.integers(1, 9), st.booleans())
def test_several_nearest_equal_all_pairs(
    seed: int, n: int, m: int, count: int, has_streets: bool
) -> None:
    points = np.random.default_rng(seed).uniform(-100, 600, (n, 2))
    others = random_shapes(seed, m)
    others = np.append(others, streets(seed)) if has_streets else others
    point, other, place = find_several_nearest(points, Pieces(others), count)
    table = shapely.distance(shapely.points(points)[:, None], others[None])
    assert point.tolist() == np.repeat(np.arange(n), min(count, len(others))).tolist()
    assert table[point, other] == pytest.approx(np.sort(table, 1)[:, :count].ravel(), abs=1e-9)
    assert np.hypot(*(place - points[point]).T) == pytest.approx(table[point, other], abs=1e-9)
    assert shapely.distance(shapely.points(place), others[other]) == pytest.approx(0, abs=1e-9)


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_nearest_points_of_large_shapes(seed: int) -> None:
    points = np.random.default_rng(seed).uniform(-100, 600, (50, 2))
    network = streets(seed)
    found = nearest_points(points, Pieces(np.array([network])), np.zeros(50, int))
    distance = shapely.distance(shapely.points(points), network)
    assert np.hypot(*(found - points).T) == pytest.approx(distance, abs=1e-9)
    assert shapely.distance(shapely.points(found), network) == pytest.approx(0, abs=1e-9)
