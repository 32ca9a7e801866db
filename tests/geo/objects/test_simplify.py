"""Simplified outlines keep the topology of the objects."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from outline_masks import MASKS, discs, outlines_of

from rrsis_geo.geo.objects import simplify as module
from rrsis_geo.geo.objects.simplify import simplify_outlines


@given(MASKS, st.sampled_from([0.75, 1.0, 1.5, 3.0, 10.0]))
def test_topology_is_kept(mask: NDArray[np.bool_], tolerance_px: float) -> None:
    outlines = outlines_of(mask)
    before = outlines.polygons()
    after = simplify_outlines(outlines, tolerance_px).polygons()
    assert len(after) == len(before)
    assert shapely.is_valid(after).all()
    assert (shapely.area(after) > 0).all()
    np.testing.assert_array_equal(
        shapely.get_num_interior_rings(after), shapely.get_num_interior_rings(before)
    )
    one, other = shapely.STRtree(after).query(after, predicate="intersects")
    pairs = one < other
    overlap = shapely.relate_pattern(after[one[pairs]], after[other[pairs]], "T********")
    assert not overlap.any()
    # Vertices are a subset of the original ones, so objects stay inside their bounding boxes.
    new_bounds = shapely.bounds(after)
    bounds = shapely.bounds(before)
    assert (new_bounds[:, :2] >= bounds[:, :2]).all()
    assert (new_bounds[:, 2:] <= bounds[:, 2:]).all()


def test_disc_loses_vertices_but_little_area() -> None:
    mask = np.hypot(*(np.mgrid[:120, :120] - 60)) < 50
    before = outlines_of(mask)
    after = simplify_outlines(before, 2.0)
    assert len(after.vertices) < len(before.vertices) / 4
    assert after.polygons()[0].area == pytest.approx(mask.sum(), rel=0.01)


def test_staircase_becomes_a_line() -> None:
    (polygon,) = simplify_outlines(outlines_of(np.tril(np.ones((30, 30), bool))), 1.0).polygons()
    assert shapely.get_num_coordinates(polygon) <= 6


@pytest.mark.parametrize("side", [1, 2, 3, 6])
def test_small_objects_keep_their_shape(side: int) -> None:
    mask = np.zeros((10, 10), bool)
    mask[2 : 2 + side, 3 : 3 + side] = True
    (polygon,) = simplify_outlines(outlines_of(mask), 20.0).polygons()
    assert polygon.area == side**2


def test_order_is_kept() -> None:
    mask = discs(4)
    before, after = outlines_of(mask), simplify_outlines(outlines_of(mask), 1.0)
    overlap = shapely.area(shapely.intersection(before.polygons(), after.polygons()))
    assert (overlap > 0.3 * shapely.area(before.polygons())).all()


def test_result_does_not_depend_on_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    outlines = outlines_of(discs(7))
    whole = simplify_outlines(outlines, 1.5)
    monkeypatch.setattr(module, "BATCH_SIZE", 3)
    parts = simplify_outlines(outlines, 1.5)
    assert [p.normalize().wkt for p in whole.polygons()] == [
        p.normalize().wkt for p in parts.polygons()
    ]


def test_tolerance_below_a_pixel_has_no_effect() -> None:
    outlines = outlines_of(discs(1))
    assert simplify_outlines(outlines, 0.69) is outlines
    assert len(simplify_outlines(outlines_of(np.zeros((3, 3), bool)), 5.0)) == 0
