from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer
from rasterio.crs import CRS
from scene_files import LOCAL_WKT
from shapely.geometry import LinearRing, MultiPolygon, Point, Polygon

from rrsis_geo.geo.scene.footprint import footprint

UTM_60 = CRS.from_epsg(32660)


@given(
    row=st.floats(0, 1),
    col=st.floats(0, 1),
    degrees=st.floats(0, 360),
    wkt=st.sampled_from([CRS.from_epsg(32632).to_wkt(), LOCAL_WKT]),
)
def test_footprint_contains_every_pixel(row: float, col: float, degrees: float, wkt: str) -> None:
    crs = CRS.from_wkt(wkt)
    transform = Affine.translation(3e5, 5.2e6) @ Affine.rotation(degrees) @ Affine.scale(5, -5)
    place = footprint(transform, (4000, 3000), crs)
    assert place is not None
    outline, (west, south, east, north) = place
    to_degrees = Transformer.from_crs(wkt, "OGC:CRS84", always_xy=True)
    lon, lat = to_degrees.transform(*(transform @ (col * 3000, row * 4000)))
    # an edge of 20 km is approximated by chords, at most some metres from the curve
    assert outline.distance(Point(lon, lat)) < 1e-4
    assert west - 1e-4 <= lon <= east + 1e-4
    assert south - 1e-4 <= lat <= north + 1e-4


def test_small_scene_has_few_corners_in_counter_clockwise_order() -> None:
    place = footprint(Affine(0.3, 0, 5e5, 0, -0.3, 5.2e6), (512, 512), CRS.from_epsg(32632))
    assert place is not None
    assert isinstance(place[0], Polygon)
    assert len(place[0].exterior.coords) <= 9
    assert place[0].exterior.is_ccw
    assert place[0].bounds == place[1]


def test_footprint_is_split_at_the_antimeridian() -> None:
    place = footprint(Affine(100, 0, 650_000, 0, -100, 6e6), (2000, 2000), UTM_60)
    assert place is not None
    outline, (west, _, east, _) = place
    assert isinstance(outline, MultiPolygon)
    assert outline.is_valid
    assert all(LinearRing(part.exterior).is_ccw for part in outline.geoms)
    assert 179 < west < 180, "west is larger than east, as in RFC 7946"
    assert -180 < east < -177
    assert outline.bounds[0] == -180
    assert outline.bounds[2] == 180


def test_footprint_around_a_pole_includes_the_pole() -> None:
    for epsg, pole in ((3413, 90), (3031, -90)):
        place = footprint(Affine(1e4, 0, -1e6, 0, -1e4, 1e6), (200, 200), CRS.from_epsg(epsg))
        assert place is not None
        outline, (west, south, east, north) = place
        assert outline.is_valid
        assert outline.covers(Point(0, pole * 0.999))
        assert (west, east) == (-180, 180)
        assert pole in (south, north)


def test_footprint_of_the_whole_world() -> None:
    place = footprint(Affine(1, 0, -180, 0, -1, 90), (180, 360), CRS.from_epsg(4326))
    assert place is not None
    assert place[1] == (-180, -90, 180, 90)
    assert place[0].area == 360 * 180


def test_unknown_without_a_crs_or_in_an_engineering_crs() -> None:
    assert footprint(Affine.identity(), (9, 9), None) is None
    plane = CRS.from_wkt('LOCAL_CS["plane",UNIT["metre",1]]')
    assert footprint(Affine.identity(), (9, 9), plane) is None
