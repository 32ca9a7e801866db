"""Areas of interest: a bounding box or the polygons of a file, in pixels of a scene."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely
from pyproj import Transformer
from pyproj.exceptions import ProjError
from rasterio.crs import CRS
from rasterio.windows import Window
from shapely.affinity import affine_transform
from shapely.errors import ShapelyError
from shapely.geometry.base import BaseGeometry

from rrsis_geo.errors import InputError, OutsideError
from rrsis_geo.geo.scene.scene import MAX_COORDINATE, Area, SceneInfo

if TYPE_CHECKING:
    import geopandas as gpd

_EDGE_PARTS = 256
"""Polygons are projected with edges split into segments of 1/256 of their extent."""

_DEGREES_ADVICE = "; its numbers look like degrees: name their CRS, as in --bbox L,B,R,T,EPSG:4326"

_SNAP_PX = 1e-4
"""Borders closer than this to a pixel edge are moved onto it."""


def read_aoi(path: str | Path, layer: str | None = None) -> "gpd.GeoSeries":
    """Read the polygons of a vector file, made valid. Their CRS is None if the file has none.

    Args:
        path: any vector file that GDAL can read.
        layer: name of the layer; None if the file has only one.

    Raises:
        ConfigError: there is no such layer, or there are several and none was chosen.
        InputError: the file does not exist, is not vector data or has no polygon.
    """
    # Takes half a second, and most scenes have no area of interest.
    from rrsis_geo.geo.scene.vector_files import all_finite, choose_layer, read_vectors

    series = read_vectors(path, layer=choose_layer(path, layer, "--aoi-layer")).geometry
    series = series[~(series.is_empty | series.isna())]
    is_small = (series.bounds.abs() < MAX_COORDINATE).all(axis=None)
    if not is_small or not all_finite(series.to_numpy()).all():
        raise InputError(
            f"{path}: has coordinates that are not finite or not below {MAX_COORDINATE:g}; repair "
            "the file"
        )
    try:
        series = series.make_valid()
    except ShapelyError as err:
        raise InputError(f"{path}: its polygons cannot be made valid ({err})") from err
    series = series[shapely.area(series.to_numpy()) > 0]
    if series.empty:
        raise InputError(f"{path}: has no polygon; an area of interest needs at least one")
    return series


def aoi_area(info: SceneInfo, path: str | Path, layer: str | None = None) -> Area:
    """The part of a scene covered by the polygons of a file.

    The polygons may be in any CRS. Without a CRS they are taken to be in the CRS of the scene.

    Raises:
        ConfigError: see ``read_aoi``.
        InputError: see ``read_aoi``; or the polygons cannot be projected.
        OutsideError: the polygons do not overlap the scene.
    """
    series = read_aoi(path, layer)
    crs = None if series.crs is None else CRS.from_wkt(series.crs.to_wkt())
    try:
        return polygon_to_area(info, shapely.union_all(series.to_numpy()), crs, str(path))
    except ShapelyError as err:
        raise InputError(f"{path}: its polygons cannot be merged ({err})") from err


def bbox_area(
    info: SceneInfo, bounds: tuple[float, float, float, float], crs: CRS | None = None
) -> Area:
    """The part of a scene inside a bounding box.

    Args:
        info: the whole scene.
        bounds: (left, bottom, right, top).
        crs: CRS of the bounds; None means the CRS of the scene.

    Raises:
        InputError: the box is empty or cannot be projected.
        OutsideError: the box does not overlap the scene.
    """
    left, bottom, right, top = bounds
    if not (left < right and bottom < top):
        raise InputError(
            f"bbox {left:g},{bottom:g},{right:g},{top:g} is empty: "
            "give left,bottom,right,top with left < right and bottom < top"
        )
    return polygon_to_area(info, shapely.box(*bounds), crs, "bbox")


def polygon_to_area(info: SceneInfo, polygon: BaseGeometry, crs: CRS | None, name: str) -> Area:
    """The part of a scene under a polygon, including pixels that it only touches.

    Args:
        info: the whole scene.
        polygon: a Polygon, MultiPolygon or GeometryCollection with an area, in ``crs``.
        crs: CRS of the polygon. If None, or if the scene has no CRS, the coordinates are those of
            the scene.
        name: name of the area, for messages.

    Raises:
        InputError: the polygon cannot be projected to the CRS of the scene.
        OutsideError: the polygon does not overlap the scene.
    """
    if crs is not None and info.crs is not None and crs != info.crs:
        scene_edge = _project(_footprint(info), info.crs, crs, name)
        # Clip what is far from the scene, which the projection may not support.
        left, bottom, right, top = scene_edge.bounds
        border = max(right - left, top - bottom)
        near = shapely.box(left - border, bottom - border, right + border, top + border)
        near_polygon = shapely.intersection(shapely.make_valid(polygon), near)
        scene_polygon = _project(near_polygon, crs, info.crs, name)
    else:
        scene_edge, scene_polygon = _footprint(info), polygon
    a, b, c, d, e, f = (~info.transform)[:6]
    pixel_polygon = affine_transform(scene_polygon, (a, b, d, e, c, f))
    scene_box = shapely.box(0, 0, info.width, info.height)
    overlap = shapely.intersection(shapely.make_valid(pixel_polygon), scene_box)
    if overlap.area == 0:
        raise OutsideError(
            f"{name}: lies outside the scene {info.path}: "
            f"it spans {_bounds(polygon)}, the scene spans {_bounds(scene_edge)}"
            + (_DEGREES_ADVICE if crs is None and _looks_like_degrees(info, polygon) else "")
        )
    left, top, right, bottom = overlap.bounds
    col, row = math.floor(left + _SNAP_PX), math.floor(top + _SNAP_PX)
    width = max(1, math.ceil(right - _SNAP_PX) - col)
    height = max(1, math.ceil(bottom - _SNAP_PX) - row)
    uncovered_area = shapely.box(left, top, right, bottom).area - overlap.area
    window = Window(col, row, min(width, info.width - col), min(height, info.height - row))
    return Area(window, None if uncovered_area < _SNAP_PX else overlap)


def _project(polygon: BaseGeometry, crs: CRS, target: CRS, name: str) -> BaseGeometry:
    """Project a polygon to another CRS; long edges become curves."""
    if polygon.is_empty:
        return polygon
    left, bottom, right, top = polygon.bounds
    dense = shapely.segmentize(polygon, max(right - left, top - bottom) / _EDGE_PARTS)
    try:
        transformer = Transformer.from_crs(crs.to_wkt(), target.to_wkt(), always_xy=True)
        projected: BaseGeometry = shapely.transform(
            dense, lambda xy: np.column_stack(transformer.transform(xy[:, 0], xy[:, 1]))
        )
    except ProjError as err:
        raise InputError(f"{name}: cannot be projected to the CRS of the scene ({err})") from err
    if not np.isfinite(shapely.get_coordinates(projected)).all():
        raise InputError(f"{name}: extends beyond the area where the CRS of the scene is defined")
    return projected


def _footprint(info: SceneInfo) -> BaseGeometry:
    corners = [(0, 0), (info.width, 0), (info.width, info.height), (0, info.height)]
    return shapely.Polygon([info.transform @ corner for corner in corners])


def _looks_like_degrees(info: SceneInfo, polygon: BaseGeometry) -> bool:
    """Whether a polygon in the CRS of a projected scene lies inside longitudes and latitudes."""
    if info.crs is None or not info.crs.is_projected:
        return False
    return bool(shapely.box(-180, -90, 180, 90).contains(polygon))


def _bounds(polygon: BaseGeometry) -> str:
    return ", ".join(f"{value:.6g}" for value in polygon.bounds)
