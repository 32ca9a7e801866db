"""The plane of metres about a point, and the fast way of many points to it.

PROJ needs a microsecond for a point. A scene is a small part of the ground, on which the way to the
plane is smooth: a polynomial of a low degree moves points as exactly as PROJ does, many times as
fast. GDAL approximates transformations for the same reason when it warps rasters.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray
from pyproj import CRS as ProjCRS
from pyproj import Transformer
from pyproj.exceptions import CRSError, ProjError

from rrsis_geo.geo.crs import unit_m

TOLERANCE_M: Final = 1e-6
"""Largest error of a point."""
_DEGREES: Final = (3, 5, 8, 12)  # of polynomials, up to 10 km, 100 km and about 1000 km
_CHECKS: Final = 48  # points along each side where the error is measured
_BLOCK: Final = 8192  # points that fit into the cache of a processor with their polynomials

Float64 = NDArray[np.float64]
MovePoints = Callable[[Float64], Float64]


def metres_about(crs: ProjCRS, centre: Float64) -> MovePoints | None:
    """The way from a CRS, [N, 2], to a plane of metres about a point, whose y axis points north.

    None if the point has no position on the ground.
    """
    if crs.geodetic_crs is None:  # an engineering CRS: its plane is the ground
        unit = unit_m(crs)
        return lambda points: points * unit
    if crs.ellipsoid is None:
        return None
    axes = {"a": crs.ellipsoid.semi_major_metre, "b": crs.ellipsoid.semi_minor_metre}
    try:
        degrees = ProjCRS.from_dict({"proj": "longlat", **axes})  # from Greenwich, for lat_0, lon_0
        lon, lat = Transformer.from_crs(crs, degrees, always_xy=True).transform(*centre)
        plane = ProjCRS.from_dict({"proj": "aeqd", "lat_0": lat, "lon_0": lon, **axes})
        to_plane = Transformer.from_crs(crs, plane, always_xy=True)
    except (CRSError, ProjError):
        return None
    return lambda points: np.column_stack(to_plane.transform(*points.T))


def approximate(move: MovePoints, low: Float64, high: Float64) -> MovePoints:
    """The same way, faster between two corners and equal elsewhere.

    Args:
        move: finite between the corners. A point's result must not depend on other points.
        low: (x, y) of the one corner.
        high: of the other.

    Returns:
        A way whose points differ by at most TOLERANCE_M. It is `move` itself where no polynomial
        is that close, as for scenes of a continent.
    """
    centre, half = (low + high) / 2, (high - low) / 2
    checks = _grid(np.linspace(-1, 1, _CHECKS))
    expected = move(centre + checks * half)
    if not (half > 0).all() or not np.isfinite(expected).all():
        return move
    for degree in _DEGREES:
        nodes = _grid(chebyshev.chebpts1(degree + 1))
        terms = chebyshev.chebvander2d(nodes[:, 0], nodes[:, 1], [degree, degree])
        solved: Float64 = np.linalg.solve(terms, move(centre + nodes * half)).astype(float)
        polynomials = solved.T.reshape(2, degree + 1, degree + 1)
        if np.abs(_evaluate(polynomials, checks) - expected).max() <= TOLERANCE_M:
            break
    else:
        return move

    def move_fast(points: Float64) -> Float64:
        places = (points - centre) / half
        inside = (np.abs(places) <= 1).all(1)
        if inside.all():
            return _evaluate(polynomials, places)
        moved = np.empty_like(places)
        moved[inside] = _evaluate(polynomials, places[inside])
        moved[~inside] = move(points[~inside])
        return moved

    return move_fast


def _grid(steps: Float64) -> Float64:
    """All pairs [N * N, 2] of N numbers."""
    return np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)


def _evaluate(polynomials: Float64, places: Float64) -> Float64:
    """The values [N, 2] of two polynomials, each of [D, D] coefficients, at places [N, 2]."""
    found = np.empty_like(places)
    for start in range(0, len(places), _BLOCK):
        x, y = np.ascontiguousarray(places[start : start + _BLOCK].T)
        for axis, polynomial in enumerate(polynomials):
            found[start : start + _BLOCK, axis] = chebyshev.chebval2d(x, y, polynomial)
    return found
