from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from rasterio.crs import CRS
from rasterio.windows import Window
from scene_files import LOCAL_WKT

from rrsis_geo.errors import ConfigError, InputError
from rrsis_geo.geo.scene.aoi import aoi_area, bbox_area, polygon_to_area, read_aoi
from rrsis_geo.geo.scene.scene import SceneInfo, open_scene

MakeScene = Callable[..., Path]
WGS84 = CRS.from_epsg(4326)
TURNED = Affine(0.5, 0, 500_000, 0, -0.5, 5_200_000) @ Affine.rotation(25)


@pytest.fixture
def info(make_scene: MakeScene) -> SceneInfo:
    """200 x 300 pixels of half a metre: x from 500000 to 500150, y from 5199900 to 5200000."""
    with open_scene(make_scene(200, 300)) as scene:
        return scene.info


def test_box_on_pixel_edges_is_exact(info: SceneInfo) -> None:
    area = bbox_area(info, (500_010, 5_199_950, 500_030, 5_199_990))
    assert area.window == Window(20, 20, 40, 80)
    assert area.polygon is None


def test_box_includes_touched_pixels_and_is_clipped_to_the_scene(info: SceneInfo) -> None:
    area = bbox_area(info, (400_000, 5_199_989.9, 500_000.6, 6_000_000))
    assert area.window == Window(0, 0, 2, 21)
    tiny = bbox_area(info, (500_000.1, 5_199_999.7, 500_000.2, 5_199_999.8))
    assert tiny.window == Window(0, 0, 1, 1)
    assert tiny.mask(Window(0, 0, 2, 2)).tolist() == [[True, False], [False, False]]


def test_box_in_degrees(info: SceneInfo) -> None:
    to_degrees = Transformer.from_crs(32632, 4326, always_xy=True)
    left, bottom = to_degrees.transform(500_010, 5_199_950)
    right, top = to_degrees.transform(500_030, 5_199_990)
    area = bbox_area(info, (left, bottom, right, top), WGS84)
    assert area.window.col_off == pytest.approx(20, abs=1)
    assert area.window.row_off == pytest.approx(20, abs=1)
    assert area.window.width == pytest.approx(40, abs=2)
    assert area.window.height == pytest.approx(80, abs=2)


def test_projected_edges_are_curves(make_scene: MakeScene) -> None:
    """A parallel is an arc in UTM. Over 6 degrees its middle is about 10 km from the chord."""
    transform = Affine(1000, 0, 250_000, 0, -1000, 6_800_000)
    with open_scene(make_scene(500, 500, transform=transform)) as scene:
        area = bbox_area(scene.info, (6, 60, 12, 61), WGS84)
        to_degrees = Transformer.from_crs(32632, 4326, always_xy=True)
        row, col = np.mgrid[:500, :500]
        lon, lat = to_degrees.transform(*(transform @ (col.ravel() + 0.5, row.ravel() + 0.5)))
        inside = ((lon > 6) & (lon < 12) & (lat > 60) & (lat < 61)).reshape(500, 500)
        part = scene.crop(area)
        got = part.area_mask(Window(-area.window.col_off, -area.window.row_off, 500, 500))
        assert (got[inside]).all()
        assert (got & ~inside).sum() < 4 * 700  # touched pixels


@pytest.mark.parametrize("bounds", [(3, 4, 3, 5), (3, 5, 4, 4)])
def test_empty_box(info: SceneInfo, bounds: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="is empty: give left,bottom,right,top"):
        bbox_area(info, bounds)  # type: ignore[arg-type]


def test_area_outside_the_scene(info: SceneInfo) -> None:
    with pytest.raises(InputError, match=r"bbox: lies outside the scene .* it spans 1, 2, 3, 4"):
        bbox_area(info, (1, 2, 3, 4))
    with pytest.raises(InputError, match=r"spans 46\.9, 8, 47, 9, the scene spans .*46\.9"):
        bbox_area(info, (46.9, 8, 47, 9), WGS84)  # latitude first
    with pytest.raises(InputError, match="outside the scene"):
        bbox_area(info, (-180, -90, -170, -80), WGS84)
    touching = (500_150, 5_199_900, 500_160, 5_200_000)
    with pytest.raises(InputError, match="outside the scene"):
        bbox_area(info, touching)


def test_box_of_the_whole_world(info: SceneInfo) -> None:
    area = bbox_area(info, (-180, -90, 180, 90), WGS84)
    assert area.window == Window(0, 0, 300, 200)
    assert area.polygon is None


def test_box_on_a_rotated_scene(make_scene: MakeScene) -> None:
    with open_scene(make_scene(200, 300, transform=TURNED)) as scene:
        x, y = scene.info.transform @ (150, 100)
        area = bbox_area(scene.info, (x - 20, y - 10, x + 20, y + 10))
        assert area.polygon is not None
        inside = area.mask(Window(0, 0, 300, 200))
        assert inside.sum() == pytest.approx(80 * 40, rel=0.06)
        row, col = np.nonzero(inside)
        east, north = scene.info.transform @ (col + 0.5, row + 0.5)
        assert np.abs(east - x).max() < 20.6
        assert np.abs(north - y).max() < 10.6
        assert scene.crop(area).area_mask(Window(0, 0, 1, 1)).shape == (1, 1)


@given(st.lists(st.tuples(st.floats(-50, 350), st.floats(-50, 250)), min_size=3, max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pixels_under_the_polygon_are_in_the_area(
    info: SceneInfo, corners: list[tuple[float, float]]
) -> None:
    hull = shapely.MultiPoint(corners).convex_hull.buffer(0.01)
    world = shapely.affinity.affine_transform(hull, (0.5, 0, 0, -0.5, 500_000, 5_200_000))
    row, col = np.mgrid[:200, :300]
    under = shapely.contains_xy(hull, col + 0.5, row + 0.5)
    try:
        area = polygon_to_area(info, world, None, "aoi")
    except InputError:
        assert not under.any()
        return
    inside = area.mask(Window(0, 0, 300, 200))
    assert inside[under].all()
    near = shapely.contains_xy(hull.buffer(1.5), col + 0.5, row + 0.5)
    assert not inside[~near].any()


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".shp", ".fgb"])
def test_polygons_of_a_file_in_any_crs(tmp_path: Path, info: SceneInfo, suffix: str) -> None:
    ring = (
        shapely.Point(500_060, 5_199_950)
        .buffer(20)
        .difference(shapely.Point(500_060, 5_199_950).buffer(10))
    )
    other = shapely.box(500_120, 5_199_960, 500_130, 5_199_970)
    frame = gpd.GeoDataFrame(geometry=[ring, other], crs=32632)
    target = 4326 if suffix == ".geojson" else 3035
    path = tmp_path / f"area{suffix}"
    frame.to_crs(target).to_file(path)
    area = aoi_area(info, path)
    inside = area.mask(Window(0, 0, 300, 200))
    assert not inside[100, 120]
    assert inside[100, 120 + 30]
    assert inside[70, 250]
    expected = (ring.area + other.area) / 0.25
    assert expected <= inside.sum() <= expected * 1.12


def test_crs_without_a_code(tmp_path: Path, make_scene: MakeScene) -> None:
    transform = Affine(0.5, 0, 10_000, 0, -0.5, 20_000)
    with open_scene(make_scene(crs=LOCAL_WKT, transform=transform)) as scene:
        frame = gpd.GeoDataFrame(
            geometry=[shapely.box(10_010, 19_950, 10_030, 19_990)], crs=LOCAL_WKT
        )
        frame.to_crs(4326).to_file(tmp_path / "area.gpkg")
        window = aoi_area(scene.info, tmp_path / "area.gpkg").window
        assert (window.col_off, window.row_off) == pytest.approx((20, 20), abs=1)


def test_pixel_coordinates_without_a_crs(make_scene: MakeScene) -> None:
    path = make_scene(200, 300, crs=None, transform=Affine.identity())
    with open_scene(path, allow_no_crs=True) as scene:
        assert bbox_area(scene.info, (10, 20, 30, 60)).window == Window(10, 20, 20, 40)


def test_files_without_polygons(tmp_path: Path, info: SceneInfo) -> None:
    with pytest.raises(InputError, match=r"none\.gpkg: no such file"):
        aoi_area(info, tmp_path / "none.gpkg")
    (tmp_path / "text.gpkg").write_text("hello")
    with pytest.raises(InputError, match=r"text\.gpkg: not vector data"):
        aoi_area(info, tmp_path / "text.gpkg")
    line = gpd.GeoDataFrame(geometry=[shapely.LineString([(0, 0), (1, 1)])], crs=32632)
    line.to_file(tmp_path / "line.gpkg")
    with pytest.raises(InputError, match=r"line\.gpkg: has no polygon"):
        aoi_area(info, tmp_path / "line.gpkg")
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"table\.csv: "):
        aoi_area(info, tmp_path / "table.csv")


def test_layers_of_a_file(info: SceneInfo, tmp_path: Path) -> None:
    path = tmp_path / "areas.gpkg"
    for name, right in (("country", 300), ("study_area", 20)):
        box = shapely.box(500_000, 5_199_900, 500_000 + right / 2, 5_200_000)
        gpd.GeoDataFrame(geometry=[box], crs=info.crs).to_file(path, layer=name)
    with pytest.raises(ConfigError, match=r"choose one with --aoi-layer: country, study_area"):
        aoi_area(info, path)
    with pytest.raises(ConfigError, match="has no layer 'field'; its layers: country"):
        aoi_area(info, path, "field")
    assert aoi_area(info, path, "study_area").window == Window(0, 0, 20, 200)


def test_tables_without_geometries_are_no_layers(info: SceneInfo, tmp_path: Path) -> None:
    """QGIS saves styles in a table of the GeoPackage."""
    path = tmp_path / "styled.gpkg"
    pyogrio.write_dataframe(pd.DataFrame({"styleName": ["a"]}), path, layer="layer_styles")
    with pytest.raises(InputError, match="is a table without geometries"):
        read_aoi(path)
    box = shapely.box(500_000, 5_199_900, 500_010, 5_200_000)
    gpd.GeoDataFrame(geometry=[box], crs=info.crs).to_file(path, layer="area", mode="a")
    assert aoi_area(info, path).window == Window(0, 0, 20, 200)


def test_coordinates_without_bounds(tmp_path: Path) -> None:
    box = shapely.box(-1e308, -1e308, 1e308, 1e308)
    gpd.GeoDataFrame(geometry=[box], crs="EPSG:32632").to_file(tmp_path / "a.gpkg")
    with pytest.raises(InputError, match="not finite or not below 1e"):
        read_aoi(tmp_path / "a.gpkg")


def test_geoparquet_is_an_area_of_interest(info: SceneInfo, tmp_path: Path) -> None:
    shape = shapely.box(500_010, 5_199_950, 500_030, 5_199_990)
    table = gpd.GeoDataFrame(geometry=[shape], crs=32632)
    table.to_parquet(tmp_path / "zone.parquet")
    table.to_file(tmp_path / "zone.gpkg")
    expected = aoi_area(info, tmp_path / "zone.gpkg")
    assert aoi_area(info, tmp_path / "zone.parquet").window == expected.window
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"damaged\.parquet: not vector data"):
        aoi_area(info, tmp_path / "damaged.parquet")
