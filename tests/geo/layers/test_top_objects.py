import numpy as np
import pytest
import shapely
from rasterio.crs import CRS

from rrsis_geo.geo.layers.top_objects import TopObjects
from rrsis_geo.geo.objects.features import Features


def squares(area_m2: list[float], first_id: int = 1) -> Features:
    n = len(area_m2)
    return Features(
        polygons=np.array([shapely.box(500_000 + i, 0, 500_002 + i, 2) for i in range(n)]),
        id=np.arange(first_id, first_id + n),
        score=np.full(n, 0.5),
        score_max=np.full(n, 0.75),
        area_m2=np.array(area_m2),
        perimeter_m=np.full(n, 8.0),
        n_pixels=np.arange(n) + 1,
        touches_border=np.zeros(n, bool),
        split_from=np.zeros(n, np.int64),
        expression="a car",
        model="lite",
    )


def test_result_does_not_depend_on_batches() -> None:
    areas = np.random.default_rng(0).permutation(100).astype(float)
    whole, parts = TopObjects(7, None), TopObjects(7, None)
    whole.add(squares(areas.tolist()))
    for start in range(0, 100, 9):
        parts.add(squares(areas[start : start + 9].tolist(), start + 1))
    assert [row.area_m2 for row in whole.rows()] == [99, 98, 97, 96, 95, 94, 93]
    assert [row.id for row in parts.rows()] == [row.id for row in whole.rows()]


def test_unknown_areas_come_last() -> None:
    top = TopObjects(3, None)
    top.add(squares([np.nan, 5, np.nan, np.nan]))
    assert [row.id for row in top.rows()] == [2, 4, 3]


def test_positions_are_centroids_in_degrees() -> None:
    top = TopObjects(1, CRS.from_epsg(32632))
    top.add(squares([4.0]))
    (row,) = top.rows()
    assert row.xy == (500_001, 1)
    assert row.lonlat == pytest.approx((9, 0), abs=1e-4)


def test_without_crs_and_without_objects() -> None:
    top = TopObjects(5, None)
    top.add(squares([]))
    assert top.rows() == []
    top.add(squares([1.0]))
    assert top.rows()[0].lonlat is None
