"""Smoothed and regularized outlines keep the topology of the objects and stay close to them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from outline_masks import MASKS, outlines_of, rectangle
from rasterio.crs import CRS

from rrsis_geo.geo.objects.candidates import make_features
from rrsis_geo.geo.objects.closeness import CLOSE
from rrsis_geo.geo.objects.features import Border, FeatureOptions, OutlineStyle
from rrsis_geo.geo.objects.objects import Objects
from rrsis_geo.geo.objects.outlines import Outlines
from rrsis_geo.geo.objects.regularize import LEAST_IOU, regularize_outlines
from rrsis_geo.geo.objects.smooth import smooth_densely, smooth_outlines
from rrsis_geo.geo.objects.split import split_objects
from rrsis_geo.geo.objects.vectorize import vectorize

Mask = NDArray[np.bool_]
DRAW: dict[str, Callable[[Objects], Outlines]] = {
    "dense": lambda objects: smooth_densely(objects.outlines, has_shared=True),
    "smooth": lambda objects: smooth_outlines(objects.outlines, split_from=objects.split_from),
    "regular": lambda objects: regularize_outlines(objects.outlines, split_from=objects.split_from),
}


def objects_of(mask: Mask) -> Objects:
    return vectorize(mask, mask.astype(np.float32))


def iou(polygons: NDArray[Any], others: NDArray[Any]) -> NDArray[np.float64]:
    common = shapely.area(shapely.intersection(polygons, others))
    return np.asarray(common / (shapely.area(polygons) + shapely.area(others) - common))


def overlap_px(polygons: NDArray[Any]) -> float:
    """The largest area that two polygons share."""
    one, other = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    one, other = one[one < other], other[one < other]
    return float(shapely.area(shapely.intersection(polygons[one], polygons[other])).max(initial=0))


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
@settings(max_examples=40)
@given(mask=MASKS, is_split=st.booleans())
def test_topology_is_kept(draw: Callable[[Objects], Outlines], mask: Mask, is_split: bool) -> None:
    objects = objects_of(mask)
    if is_split:
        (objects,) = split_objects([objects])
    before, after = objects.polygons(), draw(objects).polygons()
    assert len(after) == len(before)
    assert shapely.is_valid(after).all()
    assert (shapely.area(after) > 0).all()
    np.testing.assert_array_equal(
        shapely.get_num_interior_rings(after), shapely.get_num_interior_rings(before)
    )
    assert overlap_px(after) < 1e-9
    assert (shapely.area(shapely.intersection(after, before)) > 0).all()


@pytest.mark.parametrize("style", ["smooth", "regular"])
@settings(max_examples=20)
@given(mask=MASKS, seed=st.integers(0, 10**6))
def test_outlines_do_not_depend_on_batches(style: OutlineStyle, mask: Mask, seed: int) -> None:
    """Shards and bands give the same objects in other batches, and maybe in another order."""
    objects = objects_of(mask)
    n = len(objects)
    options = FeatureOptions(
        transform=Affine.identity(), crs=None, expression="e", model="m", outline=style
    )
    (whole,) = [list(make_features([objects], options)) or [None]]
    cuts = np.sort(np.random.default_rng(seed).integers(0, n + 1, 2))
    parts = [objects.take(index) for index in np.split(np.arange(n), cuts)]
    pieces = list(make_features(parts, options)) or [None]
    assert len(whole) == len(pieces) == 1
    if whole[0] is not None and pieces[0] is not None:
        assert shapely.equals_identical(whole[0].polygons, pieces[0].polygons).all()
    order = np.random.default_rng(seed).permutation(n)
    draw = DRAW[style]
    shuffled = draw(objects.take(order)).polygons()
    assert shapely.equals_identical(shuffled, draw(objects).polygons()[order]).all()


def test_smoothing_a_disc_halves_its_vertices_and_keeps_its_area() -> None:
    mask = np.hypot(*(np.mgrid[:120, :120] - 60)) < 50
    before = outlines_of(mask)
    after = smooth_outlines(before)
    assert len(after.vertices) < len(before.vertices) / 2
    (polygon,) = after.polygons()
    assert polygon.area == pytest.approx(mask.sum(), rel=0.005)
    corners = shapely.get_coordinates(polygon)[:-1]
    sides = np.diff(corners, axis=0, append=corners[:1])
    angles = np.unwrap(np.arctan2(sides[:, 1], sides[:, 0]))
    assert np.degrees(np.abs(np.diff(angles))).max() < 30  # no staircase


def test_parts_share_their_border() -> None:
    """Two rectangles joined by a neck are split; their outlines meet along one line."""
    mask = rectangle((80, 140), (35, 40), (44, 40), 8) | rectangle((80, 140), (95, 42), (50, 44), 8)
    mask |= rectangle((80, 140), (62, 40), (20, 12), 8)
    (parts,) = split_objects([objects_of(mask)])
    assert parts.split_from.tolist() == [1, 1]
    for style in ("smooth", "regular"):
        one, other = DRAW[style](parts).polygons()
        border = shapely.intersection(one, other)
        assert shapely.area(border) == 0
        assert shapely.length(border) > 8
        gap = shapely.area(shapely.convex_hull(border))
        assert shapely.area(shapely.union_all([one, other])) == pytest.approx(one.area + other.area)
        assert gap < 5


@pytest.mark.parametrize("degrees", [0, 8, 30, 45, 71])
def test_a_rectangle_gets_its_four_corners(degrees: float) -> None:
    mask = rectangle((120, 160), (80.3, 60.6), (70, 40), degrees)
    (polygon,) = regularize_outlines(outlines_of(mask)).polygons()
    corners = shapely.get_coordinates(polygon)
    assert len(corners) == 5
    sides = np.diff(corners, axis=0)
    lengths = np.hypot(*sides.T)
    assert np.sort(lengths) == pytest.approx([40, 40, 70, 70], abs=0.6)
    turn = np.degrees(np.arctan2(sides[:, 1], sides[:, 0]))[lengths > 55]
    assert np.abs(np.sin(np.radians(turn - degrees))).max() < np.sin(np.radians(0.3))
    assert np.abs((sides * np.roll(sides, 1, axis=0)).sum(1)).max() < 1e-6  # right angles


def test_wings_courtyards_and_chamfers_stay() -> None:
    shape, middle = (200, 200), (100, 100)
    mask = rectangle(shape, middle, (150, 120), 12) & ~rectangle(shape, middle, (60, 40), 12)
    mask &= ~rectangle(shape, (30, 40), (90, 70), 12)
    (polygon,) = regularize_outlines(outlines_of(mask)).polygons()
    assert len(polygon.interiors) == 1
    assert len(polygon.exterior.coords) == 7
    assert len(polygon.interiors[0].coords) == 5
    corner = np.add(*np.mgrid[:100, :100]) < 40  # a wall of 56 pixels across a corner
    mask = rectangle((100, 100), (50, 50), (80, 80), 0) & ~corner
    (polygon,) = regularize_outlines(outlines_of(mask)).polygons()
    assert len(polygon.exterior.coords) == 6


def test_round_objects_are_smoothed() -> None:
    outlines = outlines_of(np.hypot(*(np.mgrid[:60, :60] - 30)) < 9.5)
    smooth, regular = smooth_outlines(outlines), regularize_outlines(outlines)
    assert shapely.equals_identical(smooth.polygons(), regular.polygons()).all()


LEAST = {"smooth": CLOSE, "regular": LEAST_IOU}


@pytest.mark.parametrize("style", LEAST)
@settings(max_examples=40)
@given(mask=MASKS, is_split=st.booleans())
def test_every_object_is_close_to_its_pixels(style: str, mask: Mask, is_split: bool) -> None:
    objects = objects_of(mask)
    if is_split:
        (objects,) = split_objects([objects])
    found = iou(objects.polygons(), DRAW[style](objects).polygons())
    assert found.min(initial=1) > LEAST[style] - 1e-9


def test_objects_that_no_curve_is_close_to_follow_their_pixels() -> None:
    mask = np.zeros((20, 20), bool)
    mask[3, 4] = mask[8:10, 8:10] = True
    objects = objects_of(mask)
    after = smooth_outlines(objects.outlines).polygons()
    assert shapely.equals(after, objects.polygons()).all()


@pytest.mark.parametrize("radius", [9.5, 20.5])
def test_discs_stay_curves(radius: float) -> None:
    outlines = outlines_of(np.hypot(*(np.mgrid[:60, :60] - 30)) < radius)
    assert len(smooth_outlines(outlines).vertices) < 0.7 * len(outlines.vertices)


def test_neighbours_that_would_touch_are_smoothed() -> None:
    """Two ragged walls one pixel apart: straight ones would cross."""
    rng = np.random.default_rng(0)
    mask = np.zeros((80, 200), bool)
    mask[5:75, 5:195] = True
    line = 40 + np.cumsum(rng.integers(-1, 2, 200)).clip(-8, 8)
    mask[line, np.arange(200)] = False
    for column in range(1, 200):  # a line without gaps
        low, high = sorted((line[column - 1], line[column]))
        mask[low : high + 1, column] = False
    objects = objects_of(mask)
    assert len(objects) == 2
    after = DRAW["regular"](objects).polygons()
    assert overlap_px(after) < 1e-9


@pytest.mark.parametrize("epsg", [32633, 3857, 4326])
def test_right_angles_are_those_of_the_ground(epsg: int) -> None:
    """At 60 degrees north, a degree of longitude is half a degree of latitude on the ground."""
    pixel, x_0, y_0 = {
        32633: (0.5, 500_000, 6_651_000),
        3857: (1.0, 1_669_792, 8_399_738),
        4326: (9e-6, 15.0, 60.0),
    }[epsg]
    wide, tall = (pixel * 55_800, pixel * 111_412) if epsg == 4326 else (pixel, pixel)
    row, column = np.mgrid[:240, :240] + 0.5
    x, y = (column - 120) * wide, (row - 120) * tall
    turn = np.radians(27)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    mask = (np.abs(along) < 60 * wide) & (np.abs(across) < 35 * wide)
    options = FeatureOptions(
        transform=Affine(pixel, 0, x_0, 0, -pixel, y_0),
        crs=CRS.from_epsg(epsg),
        expression="e",
        model="m",
        border=Border(mask.shape),
        outline="regular",
    )
    (features,) = make_features([objects_of(mask)], options)
    corners = shapely.get_coordinates(features.polygons[0])
    assert len(corners) == 5
    sides = np.diff(corners, axis=0) / pixel * (wide, tall)
    cosine = (sides * np.roll(sides, 1, axis=0)).sum(1)
    cosine /= np.hypot(*sides.T) * np.roll(np.hypot(*sides.T), 1)
    assert np.abs(cosine).max() < 0.01
