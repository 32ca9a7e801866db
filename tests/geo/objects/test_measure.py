"""Areas and perimeters agree with PROJ geodesics in all kinds of CRS."""

import tracemalloc
from typing import Any

import numpy as np
import pyproj
import pytest
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS
from shapely.affinity import translate

from rrsis_geo.geo.objects.measure import Sizes, measure_rings
from rrsis_geo.geo.objects.outlines import Rings

ENGINEERING = (
    'ENGCRS["site",EDATUM["site"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],'
    'LENGTHUNIT["US survey foot",0.304800609601219]]'
)


def measure_polygons(polygons: NDArray[Any], crs: CRS | pyproj.CRS | None) -> Sizes:
    """Ground area without holes, and length of all rings including those of holes, as in QGIS.

    Args:
        polygons: shapely Polygon or MultiPolygon [N], in coordinates of `crs`, x before y.
        crs: of the polygons.
    """
    parts, owner = shapely.get_parts(polygons, return_index=True)
    rings, part = shapely.get_rings(parts, return_index=True)
    sizes = measure_rings(
        Rings(
            xy=shapely.get_coordinates(rings),
            ring_offsets=_to_offsets(shapely.get_num_coordinates(rings)),
            object_offsets=_to_offsets(np.bincount(part, minlength=len(parts))),
        ),
        crs,
    )
    n = len(polygons)
    area_m2, perimeter_m = (np.bincount(owner, of_parts, n).astype(float) for of_parts in sizes)
    return Sizes(area_m2, perimeter_m)


def _to_offsets(counts: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))


def triangle(side: float, x: float, y: float) -> shapely.Polygon:
    """A triangle with a triangular hole; only two edges are parallel to an axis."""
    shell = [(0, 0), (side, 0), (0.3 * side, 0.8 * side)]
    hole = [(0.3 * side, 0.1 * side), (0.5 * side, 0.1 * side), (0.4 * side, 0.3 * side)]
    return translate(shapely.Polygon(shell, [hole]), x, y)


def geodesic(polygon: Any, crs: Any, step: float) -> tuple[float, float]:
    """Area and length by PROJ, with edges that are straight in the CRS."""
    to_geodetic = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    unit = np.degrees(crs.geodetic_crs.axis_info[0].unit_conversion_factor)
    area, length = 0.0, 0.0
    for i, ring in enumerate(shapely.get_rings(polygon)):
        x, y = shapely.get_coordinates(shapely.segmentize(ring, step)).T
        lon, lat = to_geodetic.transform(x, y)
        sizes = crs.get_geod().polygon_area_perimeter(lon * unit, lat * unit)
        area += abs(sizes[0]) * (1 if i == 0 else -1)
        length += sizes[1]
    return area, length


@pytest.mark.parametrize(
    ("crs", "x", "y", "side"),
    [
        pytest.param("EPSG:32645", 334_000, 3_065_000, 5000, id="utm"),
        pytest.param("EPSG:32645", 334_000, 3_065_000, 30_000, id="utm, long edges"),
        pytest.param("EPSG:32633", 500_000, 8_880_000, 5000, id="utm at 80 degrees"),
        pytest.param("EPSG:3857", 9_500_000, 3_200_000, 5000, id="web mercator"),
        pytest.param("EPSG:3857", 9_500_000, 15_000_000, 5000, id="web mercator, far north"),
        pytest.param("EPSG:4326", 85, 27, 0.1, id="degrees"),
        pytest.param("EPSG:4326", 179.999, 65, 0.1, id="beyond 180 degrees"),
        pytest.param("EPSG:32760", 830_000, 8_000_000, 9000, id="across 180 degrees"),
        pytest.param("EPSG:2263", 1_000_000, 200_000, 9000, id="feet"),
        pytest.param("EPSG:27572", 600_000, 2_200_000, 5000, id="meridian of Paris, grads"),
        pytest.param("EPSG:4807", 2.5, 54, 0.1, id="geographic in grads"),
        pytest.param("EPSG:3413", 100_000, -1_500_000, 5000, id="polar"),
        pytest.param("+proj=laea +lat_0=10 +lon_0=20 +R=6371000", 0, 0, 5000, id="sphere"),
    ],
)
def test_measures_on_the_ellipsoid(crs: str, x: float, y: float, side: float) -> None:
    proj = pyproj.CRS(crs)
    polygon = triangle(side, x, y)
    area, perimeter = measure_polygons(np.array([polygon]), proj)
    expected = geodesic(polygon, proj, side / 50)
    # PROJ sums areas from the equator, with about 0.1 m2 of noise per edge: 1e-8 of these areas.
    assert area[0] == pytest.approx(expected[0], rel=1e-6)
    assert perimeter[0] == pytest.approx(expected[1], rel=1e-7)


@pytest.mark.parametrize("side", [0.15, 0.6, 10.0])
def test_precision_of_single_pixels(side: float) -> None:
    proj = pyproj.CRS("EPSG:32645")
    lon, lat = pyproj.Transformer.from_crs(proj, "EPSG:4326", always_xy=True).transform(
        334_000, 3_065_000
    )
    factors = pyproj.Proj(proj).get_factors(lon, lat)
    pixel = shapely.box(334_000, 3_065_000, 334_000 + side, 3_065_000 + side)
    area, perimeter = measure_polygons(np.array([pixel]), CRS.from_epsg(32645))
    # The scale of the projection changes by 1e-8 over 10 m; coordinates are exact to 1e-9 m.
    assert area[0] == pytest.approx(side**2 / factors.areal_scale, rel=1e-6)
    assert perimeter[0] == pytest.approx(4 * side / factors.meridional_scale, rel=1e-6)


def test_area_of_a_degree() -> None:
    cell = np.array([shapely.box(10, 0, 11, 1)])
    # (a^2 (1 - e^2) / 2) (sin / (1 - e^2 sin^2) + artanh(e sin) / e) d_lon on WGS 84
    a, f = 6378137.0, 1 / 298.257223563
    e2 = f * (2 - f)
    e, sine = np.sqrt(e2), np.sin(np.radians(1))
    quadrangle = a**2 * (1 - e2) / 2 * (sine / (1 - e2 * sine**2) + np.arctanh(e * sine) / e)
    area = measure_polygons(cell, CRS.from_epsg(4326)).area_m2
    assert area[0] == pytest.approx(quadrangle * np.radians(1), rel=1e-10)


def test_polygon_around_the_pole() -> None:
    around = np.array([shapely.box(-2e6, -2e6, 2e6, 2e6), shapely.box(-1e3, -1e3, 1e3, 1e3)])
    proj = pyproj.CRS("EPSG:3413")
    sizes = measure_polygons(around, proj)
    for i, polygon in enumerate(around):
        expected = geodesic(polygon, proj, 5000)
        assert sizes.area_m2[i] == pytest.approx(expected[0], rel=1e-6)
        assert sizes.perimeter_m[i] == pytest.approx(expected[1], rel=1e-6)


def test_many_polygons_equal_single_polygons() -> None:
    rng = np.random.default_rng(1)
    origins = rng.uniform([334_000, 3_065_000], [339_000, 3_070_000], (50, 2))
    sides = rng.uniform(1, 900, 50)
    polygons = np.array([triangle(s, x, y) for s, (x, y) in zip(sides, origins, strict=True)])
    polygons[7] = shapely.MultiPolygon([polygons[7], translate(polygons[7], 5000, 0)])
    crs = CRS.from_epsg(32645)
    together = measure_polygons(polygons, crs)
    alone = [measure_polygons(polygons[i : i + 1], crs) for i in range(50)]
    np.testing.assert_array_equal(together.area_m2, [sizes.area_m2[0] for sizes in alone])
    np.testing.assert_array_equal(together.perimeter_m, [sizes.perimeter_m[0] for sizes in alone])


def test_sizes_are_unknown_without_crs() -> None:
    sizes = measure_polygons(np.array([shapely.box(0, 0, 5, 5)]), None)
    assert np.isnan(sizes).all()


def test_engineering_crs_is_measured_in_the_plane() -> None:
    sizes = measure_polygons(np.array([shapely.box(0, 0, 10, 10)]), pyproj.CRS(ENGINEERING))
    foot = 0.304800609601219
    assert sizes.area_m2[0] == pytest.approx(100 * foot**2)
    assert sizes.perimeter_m[0] == pytest.approx(40 * foot)


def test_crs_without_a_code() -> None:
    crs = CRS.from_proj4("+proj=tmerc +lat_0=27 +lon_0=85.3 +k=1 +x_0=0 +y_0=0 +ellps=bessel")
    area = measure_polygons(np.array([shapely.box(0, 0, 100, 100)]), crs).area_m2
    assert area[0] == pytest.approx(10_000, rel=1e-8)


def test_compound_crs() -> None:
    box: NDArray[Any] = np.array([shapely.box(334_000, 3_065_000, 334_100, 3_065_100)])
    compound = measure_polygons(box, pyproj.CRS("EPSG:32645+5773"))
    assert compound == measure_polygons(box, pyproj.CRS("EPSG:32645"))


def test_sizes_are_unknown_outside_the_domain_of_the_projection() -> None:
    outside = np.array([shapely.box(9e9, 9e9, 9.1e9, 9.1e9), shapely.box(0, 0, 1, 1)])
    sizes = measure_polygons(outside, pyproj.CRS("+proj=ortho +lat_0=0 +lon_0=0"))
    assert np.isnan(sizes.area_m2).tolist() == [True, False]


def test_no_polygons() -> None:
    sizes = measure_polygons(np.empty(0, object), CRS.from_epsg(4326))
    assert isinstance(sizes, Sizes)
    assert len(sizes.area_m2) == len(sizes.perimeter_m) == 0


def test_sizes_are_unknown_if_the_projection_has_no_inverse() -> None:
    sizes = measure_polygons(np.array([shapely.box(0, 0, 1, 1)]), pyproj.CRS("+proj=wag7"))
    assert np.isnan(sizes).all()


def test_memory_of_pixels_of_a_degree() -> None:
    """Edges of 100 km have a thousand steps each, which must not be in memory all at once."""
    lon, lat = np.meshgrid(np.arange(-40, 40, 2), np.arange(-30, 30, 2))
    cells = shapely.box(lon.ravel(), lat.ravel(), lon.ravel() + 1, lat.ravel() + 1)
    tracemalloc.start()
    try:
        area = measure_polygons(cells, CRS.from_epsg(4326)).area_m2
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200e6
    alone = [measure_polygons(cell, CRS.from_epsg(4326)).area_m2[0] for cell in cells[::97, None]]
    assert area[::97].tolist() == alone


def test_ring_of_many_long_edges() -> None:
    """Its steps are longer, and it equals its parts."""
    teeth = np.arange(0, 300, 0.1).round(1)
    cells = shapely.box(teeth, 0, teeth + 0.05, 1)
    joined = shapely.union_all([*cells, shapely.box(0, -0.1, 300, 0)])
    crs = CRS.from_epsg(4326)
    tracemalloc.start()
    try:
        area = measure_polygons(np.array([joined]), crs).area_m2
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 400e6
    # The joint edges have more vertices, and edges along a parallel are exact.
    parts = measure_polygons(np.array([*cells[:50], shapely.box(0, -0.1, 300, 0)]), crs).area_m2
    assert area[0] == pytest.approx(parts[:50].mean() * len(cells) + parts[50], rel=1e-9)
