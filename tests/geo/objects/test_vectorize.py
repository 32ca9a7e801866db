"""Polygons do not depend on bands and shards, and equal those of GDAL."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from rasterio import features

from rrsis_geo.geo.objects.objects import Objects
from rrsis_geo.geo.objects.runs import PROBABILITY_STEPS
from rrsis_geo.geo.objects.strips import OpenStrip, close_strip
from rrsis_geo.geo.objects.vectorize import BandVectorizer, merge_shards, vectorize

Mask = NDArray[np.bool_]


@st.composite
def split_masks(draw: st.DrawFn) -> tuple[Mask, list[int]]:
    """A mask and the rows at which it is split, from 0 to its height."""
    height, width = draw(st.integers(1, 18)), draw(st.integers(1, 18))
    share = draw(st.sampled_from([0.1, 0.4, 0.6, 0.8, 1.0]))
    if draw(st.booleans()):
        mask = np.random.default_rng(draw(st.integers(0, 10**6))).random((height, width)) < share
    else:
        mask = draw(hnp.arrays(bool, (height, width)))
    cuts = draw(st.sets(st.integers(1, height), max_size=6))
    return mask, sorted({0, height, *cuts})


def probability_of(mask: Mask) -> NDArray[np.float32]:
    return np.random.default_rng(mask.size).random(mask.shape).astype(np.float32)


def vectorize_bands(mask: Mask, rows: list[int]) -> Objects:
    probability = probability_of(mask)
    vectorizer = BandVectorizer(mask.shape[1])
    parts = [
        vectorizer.add_band(top, mask[top:stop], probability[top:stop])
        for top, stop in pairwise(rows)
    ]
    return Objects.concat([*parts, close_strip(vectorizer.finish())])


def vectorize_shards(mask: Mask, rows: list[int], band_height: int) -> Objects:
    probability = probability_of(mask)
    stored = []
    for start, stop in pairwise(rows):
        vectorizer = BandVectorizer(mask.shape[1], row_start=start)
        bands = [(row, min(row + band_height, stop)) for row in range(start, stop, band_height)]
        closed = [vectorizer.add_band(a, mask[a:b], probability[a:b]) for a, b in bands]
        stored.append(Objects.concat(closed).to_arrays() | vectorizer.finish().to_arrays())
    parts = ((Objects.from_arrays(arrays), OpenStrip.from_arrays(arrays)) for arrays in stored)
    return Objects.concat(list(merge_shards(parts)))


def assert_same(one: Objects, other: Objects) -> None:
    for name, values in one.to_arrays().items():
        np.testing.assert_array_equal(values, other.to_arrays()[name], err_msg=name)


def normalised_wkt(polygons: Any) -> list[str]:
    return sorted(polygon.normalize().wkt for polygon in polygons)


def gdal_polygons(mask: Mask) -> list[Any]:
    shapes = features.shapes(mask.astype(np.uint8), mask=mask, connectivity=4)
    return [shapely.geometry.shape(geometry) for geometry, _ in shapes]


@given(split_masks())
def test_bands_give_the_polygons_of_gdal(case: tuple[Mask, list[int]]) -> None:
    mask, rows = case
    polygons = vectorize_bands(mask, rows).polygons()
    assert shapely.is_valid(polygons).all()
    assert normalised_wkt(polygons) == normalised_wkt(gdal_polygons(mask))


@given(split_masks(), st.integers(1, 5))
def test_any_split_gives_the_same_arrays(case: tuple[Mask, list[int]], band_height: int) -> None:
    mask, rows = case
    whole = vectorize(mask, probability_of(mask))
    assert_same(whole, vectorize_bands(mask, rows))
    assert_same(whole, vectorize_shards(mask, rows, band_height))


@given(split_masks())
def test_rasterized_polygons_give_the_mask(case: tuple[Mask, list[int]]) -> None:
    mask, rows = case
    objects = vectorize_bands(mask, rows)
    labels = np.zeros(mask.shape, np.int32)
    if len(objects):
        labels = features.rasterize(
            [(polygon, i + 1) for i, polygon in enumerate(objects.polygons())], mask.shape
        )
    np.testing.assert_array_equal(labels > 0, mask)
    probability = probability_of(mask)
    for i in range(len(objects)):
        pixels = labels == i + 1
        assert objects.n_pixels[i] == pixels.sum()
        assert objects.probability_max[i] == probability[pixels].max()
        # Each pixel is rounded to half a step at most.
        assert objects.mean_probability()[i] == pytest.approx(
            probability[pixels].mean(dtype=np.float64), abs=1 / PROBABILITY_STEPS
        )
        rows_of, columns_of = np.nonzero(pixels)
        assert objects.last_pixel[i].tolist() == [rows_of[-1], columns_of[-1]]


@given(split_masks())
def test_objects_are_sorted_by_last_pixel(case: tuple[Mask, list[int]]) -> None:
    mask, rows = case
    last = vectorize_bands(mask, rows).last_pixel
    assert last.tolist() == sorted(last.tolist())


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 1000))
def test_large_complex_mask(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.kron(rng.random((40, 50)) < 0.6, np.ones((3, 4), bool)) & (
        rng.random((120, 200)) < 0.97
    )
    objects = vectorize_bands(mask, [0, 1, 2, 50, 51, 119, 120])
    assert normalised_wkt(objects.polygons()) == normalised_wkt(gdal_polygons(mask))


def test_background_that_touches_itself_becomes_two_holes() -> None:
    mask = np.array([[1, 1, 1, 0], [1, 0, 1, 1], [1, 1, 0, 1], [0, 1, 1, 1]], bool)
    (polygon,) = vectorize(mask, probability_of(mask)).polygons()
    assert polygon.is_valid
    assert polygon.area == mask.sum()
    assert len(polygon.interiors) == 2


def test_diagonal_neighbours_are_two_objects() -> None:
    mask = np.eye(2, dtype=bool)
    assert len(vectorize(mask, probability_of(mask))) == 2


@pytest.mark.parametrize("determinant_sign", [-1, 1])
def test_transform_and_orientation(
    determinant_sign: int,
) -> None:
    mask = np.ones((3, 5), bool)
    mask[1, 2] = False
    transform = Affine(0.4, 0.1, 500.0, 0.2, determinant_sign * 0.5, 9000.0)
    (polygon,) = vectorize(mask, probability_of(mask)).polygons(transform)
    assert polygon.exterior.is_ccw
    assert not polygon.interiors[0].is_ccw
    a, b, c, d, e, f = transform[:6]
    corners = {(a * x + b * y + c, d * x + e * y + f) for x in (0, 5) for y in (0, 3)}
    assert set(polygon.exterior.coords) == corners
    assert polygon.area == pytest.approx(14 * abs(transform.determinant))


def test_empty_band_closes_objects() -> None:
    vectorizer = BandVectorizer(4)
    first = np.array([[0, 1, 1, 0], [0, 1, 0, 0]], bool)
    assert len(vectorizer.add_band(0, first, probability_of(first))) == 0
    empty = np.zeros((3, 4), bool)
    closed = vectorizer.add_band(2, empty, probability_of(empty))
    assert closed.n_pixels.tolist() == [3]
    assert len(close_strip(vectorizer.finish())) == 0


def test_empty_mask() -> None:
    assert len(close_strip(BandVectorizer(7).finish())) == 0
    assert len(vectorize(np.zeros((5, 7), bool), np.zeros((5, 7), np.float32)).polygons()) == 0
    assert list(merge_shards([])) == []


def test_take() -> None:
    mask = np.random.default_rng(5).random((30, 30)) < 0.5
    objects = vectorize(mask, probability_of(mask))
    index = np.arange(len(objects))[::-2]
    subset = objects.take(index)
    assert [p.wkt for p in subset.polygons()] == [p.wkt for p in objects.polygons()[index]]
    np.testing.assert_array_equal(shapely.area(subset.polygons()), subset.n_pixels)


def test_result_does_not_depend_on_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = np.random.default_rng(3).random((40, 30)) < 0.5
    whole = vectorize(mask, probability_of(mask))
    monkeypatch.setattr("rrsis_geo.geo.objects.runs.SLAB_PIXELS", 100)
    assert_same(whole, vectorize(mask, probability_of(mask)))
