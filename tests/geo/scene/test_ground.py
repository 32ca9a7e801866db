import math

import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod
from rasterio.crs import CRS
from scene_files import LOCAL_WKT

from rrsis_geo.geo.scene.ground import pixel_size_m

ENGINEERING_WKT = (
    'ENGCRS["mine",EDATUM["shaft 3"],CS[Cartesian,2],'
    'AXIS["x",east],AXIS["y",north],LENGTHUNIT["foot",0.3048]]'
)
METRES = Affine(0.5, 0, 500_000, 0, -0.5, 5_200_000)


def test_utm_scale_at_the_central_meridian() -> None:
    size = pixel_size_m(CRS.from_epsg(32632), METRES, 0, 0)
    assert size == pytest.approx((0.5 / 0.9996, 0.5 / 0.9996), rel=1e-6)


@given(st.floats(-80, 80))
def test_web_mercator_scale_depends_on_latitude(lat: float) -> None:
    radius = 6378137
    y = radius * math.asinh(math.tan(math.radians(lat)))
    transform = Affine(0.3, 0, 1e6, 0, -0.3, y)
    down, right = pixel_size_m(CRS.from_epsg(3857), transform, 0, 0)  # type: ignore[misc]
    # The factor on the ellipsoid differs slightly from that on the sphere.
    assert right == pytest.approx(0.3 * math.cos(math.radians(lat)), rel=4e-3)
    assert down == pytest.approx(0.3 * math.cos(math.radians(lat)), rel=8e-3)


@given(st.floats(-85, 85), st.floats(-179, 179))
def test_degrees_are_converted_at_the_latitude(lat: float, lon: float) -> None:
    step = 1e-5
    down, right = pixel_size_m(  # type: ignore[misc]
        CRS.from_epsg(4326), Affine(step, 0, lon, 0, -step, lat), 0, 0
    )
    geod = Geod(ellps="WGS84")
    assert right == pytest.approx(geod.inv(lon - 8e-5, lat, lon + 8e-5, lat)[2] / 16, rel=1e-4)
    assert down == pytest.approx(geod.inv(lon, lat - 8e-5, lon, lat + 8e-5)[2] / 16, rel=1e-4)


def test_feet() -> None:
    crs = CRS.from_epsg(2263)  # New York Long Island, US survey feet
    size = pixel_size_m(crs, Affine(1, 0, 1_000_000, 0, -1, 200_000), 0, 0)
    assert size == pytest.approx((0.3048, 0.3048), rel=1e-4)


@pytest.mark.parametrize(
    "rotation",
    [Affine.rotation(30), Affine.scale(1, -1), Affine.rotation(200)],
    ids=["rotated", "south-up", "upside down"],
)
def test_rotation_does_not_change_the_size(rotation: Affine) -> None:
    size = pixel_size_m(CRS.from_epsg(32632), METRES @ rotation, 0, 0)
    assert size == pytest.approx((0.5002, 0.5002), rel=1e-5)


def test_rows_and_columns_are_measured_separately() -> None:
    transform = Affine(0.25, 0, 500_000, 0, -0.5, 5_200_000)
    size = pixel_size_m(CRS.from_epsg(32632), transform, 0, 0)
    assert size == pytest.approx((0.5002, 0.2501), rel=1e-5)


def test_crs_without_a_code() -> None:
    crs = CRS.from_wkt(LOCAL_WKT)
    assert crs.to_epsg() is None
    size = pixel_size_m(crs, Affine(0.2, 0, 10_000, 0, -0.2, 20_000), 0, 0)
    assert size == pytest.approx((0.2, 0.2), rel=1e-6)


def test_engineering_crs_is_measured_in_its_units() -> None:
    size = pixel_size_m(CRS.from_wkt(ENGINEERING_WKT), Affine(2, 0, 0, 0, -2, 0), 0, 0)
    assert size == pytest.approx((0.6096, 0.6096))


def test_unknown_without_crs_or_outside_its_domain(caplog: pytest.LogCaptureFixture) -> None:
    assert pixel_size_m(None, METRES, 0, 0) is None
    assert not caplog.records
    far = Affine(0.5, 0, 1e12, 0, -0.5, 1e12)
    assert pixel_size_m(CRS.from_epsg(32632), far, 0, 0) is None
    assert "the ground pixel size is unknown" in caplog.text
