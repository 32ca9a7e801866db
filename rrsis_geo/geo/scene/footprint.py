"""Footprint of a raster in longitude and latitude (WGS 84), as in STAC items."""

import math

import numpy as np
import shapely
from affine import Affine
from pyproj import Transformer
from pyproj.exceptions import ProjError
from rasterio.crs import CRS
from shapely.affinity import translate
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from rrsis_geo.geo.crs import as_proj

_POINTS = 21
"""Points per edge; in longitude and latitude an edge is a curve."""
_TOLERANCE = 1e-7
"""Tolerance of the simplification in degrees, about a centimetre."""
_DECIMALS = 8

BBox = tuple[float, float, float, float]


def footprint(
    transform: Affine, shape: tuple[int, int], crs: CRS | None
) -> tuple[Polygon | MultiPolygon, BBox] | None:
    """The outline of a raster and its bounds (west, south, east, north), in degrees.

    As in RFC 7946, the outline runs counter-clockwise. If it crosses the antimeridian it is split
    in two, and west is larger than east.

    Args:
        transform: pixel to world.
        shape: (height, width).
        crs: CRS of the world coordinates.

    Returns:
        None without a CRS, or if the CRS is not tied to the Earth.
    """
    if crs is None:
        return None
    lonlat = _outline(transform, shape, crs)
    if lonlat is None:
        return None
    return _wrap(shapely.make_valid(Polygon(lonlat)))


def _outline(
    transform: Affine, shape: tuple[int, int], crs: CRS
) -> list[tuple[float, float]] | None:
    """The outline in degrees. Longitudes have no jumps and may exceed 180; None if unknown."""
    height, width = shape
    forward = np.linspace(0, 1, _POINTS)
    zero, backward = np.zeros(_POINTS), forward[::-1]
    cols = np.concatenate([forward, zero + 1, backward, zero]) * width
    rows = np.concatenate([zero, forward, zero + 1, backward]) * height
    try:
        to_degrees = Transformer.from_crs(as_proj(crs), "OGC:CRS84", always_xy=True)
        lon, lat = to_degrees.transform(*(transform @ (cols, rows)))
    except ProjError:
        return None
    if not np.isfinite([lon, lat]).all():
        return None
    lon = np.unwrap(lon, period=360)
    points = list(zip(lon.tolist(), lat.tolist(), strict=True))
    if abs(lon[-1] - lon[0]) > 180:  # all around the Earth: the raster contains a pole
        pole = math.copysign(90, lat.mean())
        points += [(points[-1][0], pole), (points[0][0], pole)]
    return points


def _wrap(outline: BaseGeometry) -> tuple[Polygon | MultiPolygon, BBox]:
    """Wrap an outline to longitudes from -180 to 180; also its bounds."""
    west, south, east, north = outline.bounds
    first, last = math.floor((west + 180) / 360), math.ceil((east - 180) / 360)
    pieces = []
    for turn in range(first, last + 1):
        strip = shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90)
        pieces.append(translate(outline.intersection(strip), -360 * turn))
    wrapped = shapely.simplify(shapely.union_all(pieces), _TOLERANCE)
    parts = [
        shapely.transform(part, lambda xy: xy.round(_DECIMALS))
        for part in shapely.get_parts(shapely.orient_polygons(wrapped))
        if isinstance(part, Polygon)  # an outline that only touches a strip leaves lines
    ]
    is_around = east - west >= 360
    bounds = (
        -180.0 if is_around else round(west - 360 * first, _DECIMALS),
        round(south, _DECIMALS),
        180.0 if is_around else round(east - 360 * last, _DECIMALS),
        round(north, _DECIMALS),
    )
    return parts[0] if len(parts) == 1 else MultiPolygon(parts), bounds
