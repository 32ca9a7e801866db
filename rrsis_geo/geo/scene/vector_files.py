"""Read vector files of users. All errors of damaged files become `InputError`."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import (
    CRSError,
    DataLayerError,
    DataSourceError,
    FeatureError,
    FieldError,
    GeometryError,
)
from pyproj.exceptions import CRSError as ProjCRSError
from shapely.errors import ShapelyError

from rrsis_geo.errors import InputError

_READ_ERRORS = (
    *(CRSError, DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError),
    *(ProjCRSError, ShapelyError, OSError),
    ValueError,  # text that cannot be decoded
    IndexError,  # pyogrio, for a file without layers
)


def list_layers(path: str | Path) -> list[str]:
    """Names of the layers of a file.

    Raises:
        InputError: the file does not exist or is not vector data.
    """
    _check_exists(path)
    try:
        return [str(name) for name, _ in pyogrio.list_layers(path)]
    except _READ_ERRORS as err:
        raise InputError(f"{path}: not vector data that GDAL can read ({err})") from err


def read_vectors(path: str | Path, *, layer: str | None = None) -> gpd.GeoDataFrame:
    """Read the features of a layer.

    Args:
        path: any vector file that GDAL can read.
        layer: name of the layer, see `list_layers`; None reads the first one.

    Raises:
        InputError: the file does not exist, is not vector data, is damaged or has no geometries.
    """
    _check_exists(path)
    try:
        table = gpd.read_file(path, layer=layer)
    except _READ_ERRORS as err:
        raise InputError(f"{path}: not vector data that GDAL can read ({err})") from err
    if not isinstance(table, gpd.GeoDataFrame):
        raise InputError(f"{path}: is a table without geometries; give a file with geometries")
    return table


def all_finite(shapes: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Whether all coordinates of each geometry are finite, bool [N]; True for None."""
    xy, index = shapely.get_coordinates(shapes, return_index=True)
    not_finite = index[~np.isfinite(xy).all(axis=1)]
    finite = np.ones(len(shapes), np.bool_)
    finite[not_finite] = False
    return finite


def _check_exists(path: str | Path) -> None:
    if "://" not in str(path) and not str(path).startswith("/vsi") and not Path(path).exists():
        raise InputError(f"{path}: no such file")
