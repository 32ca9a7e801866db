"""The way of points to the plane of metres."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS

from rrsis_geo.geo.plane import TOLERANCE_M, Float64, MovePoints, approximate, metres_about

PLACES = {  # of scenes, and the length of a metre in their unit
    "EPSG:32632": (690_000, 5_300_000, 1.0),
    "EPSG:4326": (11.0, 48.0, 1 / 90_000),
    "EPSG:27572": (600_000, 2_400_000, 1.0),
    "EPSG:3857": (1_200_000, 6_100_000, 1.0),
    "EPSG:3413": (0, 0, 1.0),  # the pole
    "EPSG:2263": (1_000_000, 200_000, 1 / 0.3048),
}


def exact(name: str, low: Float64, high: Float64) -> MovePoints:
    move = metres_about(CRS(name), (low + high) / 2)
    assert move is not None
    return move


@pytest.mark.parametrize("name", PLACES)
@given(size_m=st.sampled_from([0.5, 2e3, 3e4, 3e5]), wide=st.floats(0.1, 10), seed=st.integers(0))
@settings(max_examples=12, deadline=None)
def test_points_are_where_proj_puts_them(name: str, size_m: float, wide: float, seed: int) -> None:
    *corner, unit = PLACES[name]
    low = np.array(corner, float)
    high = low + unit * size_m * np.array([wide, 1])
    move = exact(name, low, high)
    fast = approximate(move, low, high)
    points = low + np.random.default_rng(seed).uniform(-0.2, 1.2, (300, 2)) * (high - low)
    moved = fast(points)
    assert np.abs(moved - move(points)).max() <= 2 * TOLERANCE_M
    outside = ((points < low) | (points > high)).any(1)
    assert (moved[outside] == move(points)[outside]).all()
    assert (fast(points[7:8]) == moved[7:8]).all()  # others change nothing


def test_the_polynomial_is_used() -> None:
    """A scene of 30,000 pixels of 0.3 m."""
    low = np.array([690_000.0, 5_300_000.0])
    high = low + 9000
    n_moved = []
    move = exact("EPSG:32632", low, high)

    def count(points: Float64) -> Float64:
        n_moved.append(len(points))
        return move(points)

    fast = approximate(count, low, high)
    n_moved.clear()
    fast(np.linspace(low, high, 1000))
    assert sum(n_moved) <= 2  # rounding can put the corners outside


@pytest.mark.parametrize("size", [0.0, 2e7])
def test_where_no_polynomial_is_close_the_way_is_exact(size: float) -> None:
    low = np.array([-1e7, -1e7])
    move = exact("EPSG:3857", low, low + size)
    assert approximate(move, low, low + size) is move


def test_a_way_that_ends_is_exact() -> None:
    """Points outside the domain of a CRS."""

    def move(points: Float64) -> Float64:
        return np.where(points > 10, np.inf, points)

    assert approximate(move, np.zeros(2), np.full(2, 11.0)) is move
