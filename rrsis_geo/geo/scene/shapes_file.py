"""Points, lines and polygons of a vector file, in the coordinates of a scene."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS as ProjCRS
from pyproj import Transformer
from pyproj.exceptions import ProjError
from rasterio.crs import CRS
from shapely.errors import ShapelyError

from rrsis_geo.errors import InputError
from rrsis_geo.geo.crs import as_proj
from rrsis_geo.geo.scene.vector_files import all_finite, choose_layer, read_vectors

logger = logging.getLogger(__name__)

_EDGE_PARTS = 256
"""Edges are split into segments of this share of a geometry's extent before they are projected."""


def read_shapes(
    path: str | Path, layer: str | None, crs: CRS | None, *, option: str
) -> NDArray[Any]:
    """Shapely geometries [N] of any type, made valid.

    Geometries that the CRS of the scene has no coordinates for are left out with a warning.

    Args:
        path: any vector file that GDAL can read. Without a CRS its coordinates are those of the
            scene.
        layer: name of the layer; None if the file has only one.
        crs: of the scene.
        option: how a user chooses a layer, for messages.

    Raises:
        ConfigError: there is no such layer, or there are several and none was chosen.
        InputError: the file does not exist, is not vector data or has no geometries.
    """
    table = read_vectors(path, layer=choose_layer(path, layer, option))
    shapes: NDArray[Any] = table.geometry.to_numpy()
    shapes = shapes[~(shapely.is_missing(shapes) | shapely.is_empty(shapes))]
    shapes = shapely.force_2d(shapes[all_finite(shapes)])
    if not len(shapes):
        raise InputError(f"{path}: has no geometries; a landmark needs at least one")
    try:
        shapes = shapely.make_valid(shapes)
        if table.crs is None or crs is None or table.crs == as_proj(crs):
            return shapes
        shapes = _project(shapes, table.crs, as_proj(crs))
    except (ShapelyError, ProjError) as err:
        raise InputError(f"{path}: cannot be projected to the CRS of the scene ({err})") from err
    is_known = all_finite(shapes)
    if not is_known.any():
        raise InputError(f"{path}: lies outside the area where the CRS of the scene is defined")
    if not is_known.all():
        logger.warning(
            "%s: %d of its geometries lie outside the area where the CRS of the scene is defined "
            "and are left out",
            path,
            np.count_nonzero(~is_known),
        )
    return shapes[is_known]


def _project(shapes: NDArray[Any], crs: ProjCRS, target: ProjCRS) -> NDArray[Any]:
    left, bottom, right, top = shapely.bounds(shapes).T
    longest = np.maximum(right - left, top - bottom) / _EDGE_PARTS
    dense = shapely.segmentize(shapes, np.where(longest > 0, longest, 1.0))
    transformer = Transformer.from_crs(crs, target, always_xy=True)
    projected: NDArray[Any] = shapely.transform(
        dense, lambda xy: np.column_stack(transformer.transform(*xy.T))
    )
    return projected
