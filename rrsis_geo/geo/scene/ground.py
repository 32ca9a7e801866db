"""Size of a pixel on the ground, in any CRS."""

import logging
import math

from affine import Affine
from pyproj import CRS as ProjCRS
from pyproj import Transformer
from pyproj.exceptions import CRSError, ProjError
from rasterio.crs import CRS

from rrsis_geo.geo.crs import as_proj, unit_m

logger = logging.getLogger(__name__)

_STEP_PX = 16
"""Length in pixels of the measured line: long enough for rounding errors, short enough for the
scale of the projection to be constant."""


def pixel_size_m(
    crs: CRS | None, transform: Affine, row: float, col: float
) -> tuple[float, float] | None:
    """Ground distance in metres from one row to the next, and from one column to the next.

    The distance is measured along the ellipsoid at one position, so it accounts for degrees, feet,
    rotation and the scale of the projection (Web Mercator: 1 / cos latitude). A local engineering
    CRS has no ellipsoid; there the distance is measured in the plane.

    Args:
        crs: CRS of the scene; None gives None.
        transform: pixel to world.
        row: row of the position; may be fractional.
        col: column of the position; may be fractional.

    Returns:
        (row step, column step), or None if unknown: there is no CRS, or the position lies outside
        the domain of the projection.
    """
    if crs is None:
        return None
    try:
        proj_crs = as_proj(crs)
        measure = _planar if proj_crs.geodetic_crs is None else _geodesic
        half = _STEP_PX / 2
        down = measure(proj_crs, transform @ (col, row - half), transform @ (col, row + half))
        right = measure(proj_crs, transform @ (col - half, row), transform @ (col + half, row))
    except (CRSError, ProjError) as err:
        logger.warning("the ground pixel size is unknown: %s", err)
        return None
    size = down / _STEP_PX, right / _STEP_PX
    if not all(math.isfinite(side) and side > 0 for side in size):
        logger.warning("the ground pixel size is unknown: the scene lies outside its CRS")
        return None
    return size


def _planar(crs: ProjCRS, start: tuple[float, float], stop: tuple[float, float]) -> float:
    return unit_m(crs) * math.dist(start, stop)


def _geodesic(crs: ProjCRS, start: tuple[float, float], stop: tuple[float, float]) -> float:
    geodetic = crs.geodetic_crs
    geod = crs.get_geod()
    assert geodetic is not None
    if geod is None:
        raise CRSError("its datum has no ellipsoid")
    to_geodetic = Transformer.from_crs(crs, geodetic, always_xy=True)
    radian = float(geodetic.axis_info[0].unit_conversion_factor)
    lon, lat = to_geodetic.transform([start[0], stop[0]], [start[1], stop[1]])
    if not all(map(math.isfinite, (*lon, *lat))):
        return math.nan
    ends = (lon[0] * radian, lat[0] * radian, lon[1] * radian, lat[1] * radian)
    return float(geod.inv(*ends, radians=True)[2])
