"""What a format cannot hold is refused before the work."""

from pathlib import Path

import pyogrio
import pytest
from affine import Affine
from layer_files import write_layer
from pyproj import CRS as ProjCRS
from rasterio.crs import CRS

from rrsis_geo.errors import OutputError
from rrsis_geo.geo.layers.crs_check import check_layer_crs
from rrsis_geo.geo.layers.layer_files import SUFFIXES

ROTATED_POLE = (
    "+proj=ob_tran +o_proj=longlat +o_lon_p=-162 +o_lat_p=39.25 +lon_0=180 "
    "+to_meter=0.0174532925199433"
)
ENGINEERING = (
    'ENGCRS["site",EDATUM["site grid"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],'
    'LENGTHUNIT["metre",1]]'
)
METRES = Affine(10, 0, 500_000, 0, -10, 5_000_000)
NEAR_ORIGIN = Affine(0.01, 0, 0, 0, -0.01, 0)


def check(suffix: str, crs: str | None, transform: Affine) -> None:
    """Check a scene of 100 x 100 pixels."""
    rasterio_crs = None if crs is None else CRS.from_wkt(ProjCRS(crs).to_wkt())
    check_layer_crs(Path(f"found{suffix}"), rasterio_crs, transform, (100, 100))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        pytest.param("EPSG:32632", METRES, id="utm"),
        pytest.param("EPSG:4326", NEAR_ORIGIN, id="degrees"),
        pytest.param("EPSG:32632+5773", METRES, id="compound"),
        pytest.param("EPSG:27572", Affine(10, 0, 6e5, 0, -10, 2.2e6), id="grads of Paris"),
        pytest.param("EPSG:2263", Affine(10, 0, 1e6, 0, -10, 2e5), id="feet"),
        pytest.param(
            "+proj=stere +lat_0=90 +lat_ts=70 +lon_0=-45 +units=km", NEAR_ORIGIN, id="polar, in km"
        ),
        pytest.param("+proj=geos +h=35785831 +sweep=y", Affine.scale(1000, -1000), id="satellite"),
        pytest.param(
            "+proj=tmerc +lat_0=27.5 +lon_0=85.3 +k=0.99995 +ellps=bessel", NEAR_ORIGIN, id="local"
        ),
        pytest.param(None, Affine.identity(), id="none"),
    ],
)
def test_ordinary_positions_pass(suffix: str, crs: str | None, transform: Affine) -> None:
    check(suffix, crs, transform)


@pytest.mark.parametrize(
    ("suffix", "crs", "transform", "message"),
    [
        (".geojson", ENGINEERING, NEAR_ORIGIN, r"is site \(no longitudes and latitudes\); write a"),
        (".geojson", "IAU_2015:30100", NEAR_ORIGIN, r"IAU_2015:30100 .*write a \.gpkg, or reproj"),
        (".geojson", "EPSG:27200", Affine.scale(1e7, -1e7), "no longitudes and latitudes"),
        (".geojson", "+proj=geos +h=35785831", Affine.scale(1e5, -1e5), "no longitudes"),
        (".geojson", "+proj=wag7", NEAR_ORIGIN, "no longitudes and latitudes"),
        (".shp", ROTATED_POLE, NEAR_ORIGIN, r"it would be lost\); write a \.gpkg"),
        (".gpkg", "+proj=utm +zone=33 +units=km", NEAR_ORIGIN, r"changed\); write a \.parquet"),
        (".fgb", "+proj=utm +zone=33 +units=km", NEAR_ORIGIN, r"changed\); write a \.parquet"),
    ],
)
def test_positions_that_a_format_cannot_hold(
    suffix: str, crs: str, transform: Affine, message: str
) -> None:
    with pytest.raises(OutputError, match=message):
        check(suffix, crs, transform)


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".parquet"])
@pytest.mark.parametrize("crs", [ENGINEERING, ROTATED_POLE, "IAU_2015:30100", "+proj=wag7"])
def test_other_formats_hold_them(tmp_path: Path, suffix: str, crs: str) -> None:
    check(suffix, crs, NEAR_ORIGIN)
    wanted = CRS.from_wkt(ProjCRS(crs).to_wkt())
    write_layer(tmp_path / f"found{suffix}", [], crs=wanted, expression="a car")


def test_nothing_is_left_in_the_memory_of_gdal() -> None:
    check(".gpkg", "EPSG:32631", METRES)
    assert not [path for path in pyogrio.vsi_listtree("/vsimem/") if "rrsis" in path]
