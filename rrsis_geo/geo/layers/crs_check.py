"""Check that a format can hold the positions of a scene, by a small layer in memory.

Formats lose or change CRSs that they cannot express, and GeoJSON needs degrees on the Earth.
"""

import functools
import warnings
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyogrio
import shapely
from affine import Affine
from arro3.core import Array, DataType, Field, RecordBatch, RecordBatchReader, Schema
from pyproj import CRS as ProjCRS
from pyproj import Transformer
from pyproj.exceptions import ProjError
from rasterio.crs import CRS

from rrsis_geo.errors import OutputError
from rrsis_geo.geo.crs import as_proj, crs_name
from rrsis_geo.geo.layers.columns import GEOMETRY
from rrsis_geo.geo.layers.gdal_layer import GdalOptions, write_with_gdal

_OPTIONS = {
    ".gpkg": GdalOptions(driver="GPKG"),
    ".shp": GdalOptions(driver="ESRI Shapefile"),
    ".fgb": GdalOptions(driver="FlatGeobuf"),
    ".geojson": GdalOptions(driver="GeoJSON", layer_options={"RFC7946": "YES"}),
}
"""GeoParquet is missing: it holds any CRS."""

_SAMPLES = 9
_RELATIVE_ERROR = 1e-8  # some centimetres on the Earth


def check_layer_crs(path: Path, crs: CRS | None, transform: Affine, shape: tuple[int, int]) -> None:
    """Check that a layer can hold the objects of a scene, before any work is done for it.

    Args:
        path: path of the layer; the suffix selects the format.
        crs: of the scene.
        transform: of the scene, pixel to world.
        shape: of the scene, (height, width).

    Raises:
        OutputError: the format cannot hold the CRS of the scene; or the format is GeoJSON, and
            parts of the scene have no longitude and latitude.
    """
    suffix = path.suffix.lower()
    if crs is None or suffix not in _OPTIONS:
        return
    pixels = _sample_pixels(transform, shape) if suffix == ".geojson" else b""
    reason = _try_format(suffix, as_proj(crs).to_wkt("WKT2_2019"), pixels)
    if reason:
        other = ".parquet" if suffix in (".gpkg", ".fgb") else ".gpkg"
        raise OutputError(
            f"{path}: the format cannot hold the positions of the scene, whose CRS is "
            f"{crs_name(crs)} ({reason}); write a {other}, or reproject the scene with "
            "gdalwarp -t_srs"
        )


def _sample_pixels(transform: Affine, shape: tuple[int, int]) -> bytes:
    """Pixels of a scene from corner to corner, as WKB."""
    height, width = shape
    columns, rows = (
        np.unique(np.linspace(0, side - 1, _SAMPLES).round()) for side in (width, height)
    )
    left, top = (side.ravel() for side in np.meshgrid(columns, rows))
    a, b, c, d, e, f = transform[:6]
    corners = [(left, top), (left, top + 1), (left + 1, top + 1), (left + 1, top)]
    world = [np.column_stack((a * x + b * y + c, d * x + e * y + f)) for x, y in corners]
    pixels = [shapely.Polygon(corners) for corners in np.stack(world, axis=1)]
    return bytes(shapely.to_wkb(shapely.orient_polygons(shapely.MultiPolygon(pixels))))


@functools.lru_cache(maxsize=256)
def _try_format(suffix: str, wkt: str, pixels: bytes) -> str:
    """Why a format cannot hold polygons in a CRS, such as these pixels; "" if it can."""
    crs = ProjCRS.from_wkt(wkt)
    folder = f"/vsimem/rrsis-geo-{uuid4().hex}"
    path = f"{folder}/trial{suffix}"
    try:
        with warnings.catch_warnings(action="ignore"):  # the error says it too
            write_with_gdal(path, _as_stream(pixels), crs, _OPTIONS[suffix])
        if suffix == ".geojson":
            return ""
        found = pyogrio.read_info(path)["crs"]
    except RuntimeError as err:
        return "no longitudes and latitudes" if suffix == ".geojson" else str(err)
    finally:
        pyogrio.vsi_rmtree(folder)
    if found is None:
        return "it would be lost"
    return "" if _is_same(ProjCRS.from_user_input(found), crs) else "it would be changed"


def _as_stream(pixels: bytes) -> RecordBatchReader:
    polygons = shapely.get_parts(shapely.from_wkb(pixels)).tolist() if pixels else []
    schema = Schema([Field(GEOMETRY, DataType.binary())])
    wkb = Array([shapely.to_wkb(polygon) for polygon in polygons], DataType.binary())
    batch = RecordBatch.from_arrays([wkb], schema=schema)
    return RecordBatchReader.from_batches(schema, [batch])


def _is_same(found: ProjCRS, wanted: ProjCRS) -> bool:
    """Whether two CRSs give places the same coordinates."""
    if found.equals(wanted, ignore_axis_order=True):
        return True
    lonlat = np.array([(0, 0), (10, 50), (-100, -30), (150, 70)], float)
    try:
        xy, other_xy = (
            np.column_stack(
                Transformer.from_crs(crs.geodetic_crs, crs, always_xy=True).transform(*lonlat.T)
            )
            for crs in (found, wanted)
        )
    except ProjError:
        return False
    return np.allclose(xy, other_xy, rtol=_RELATIVE_ERROR, atol=_RELATIVE_ERROR)
