"""Vector files of users, read whole: every way in which one may be damaged is an InputError."""

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

_DAMAGED = (
    *(CRSError, DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError),
    *(ProjCRSError, ShapelyError, OSError),
    ValueError,  # of text that is none
    IndexError,  # pyogrio, of a file without a layer
)


def list_layers(path: str | Path) -> list[str]:
    """The names of the layers of a file.

    Raises:
        InputError: no such file, or no vector data.
    """
    _check_there(path)
    try:
        return [str(name) for name, _ in pyogrio.list_layers(path)]
    except _DAMAGED as err:
        raise InputError(f"{path}: not vector data that GDAL can read ({err})") from err


def read_vectors(path: str | Path, *, layer: str | None = None) -> gpd.GeoDataFrame:
    """The features of a layer.

    Args:
        path: anything that GDAL reads as vectors.
        layer: its name, one of `list_layers`; None takes the first one.

    Raises:
        InputError: no such file, no vector data, damaged, or without geometries.
    """
    _check_there(path)
    try:
        table = gpd.read_file(path, layer=layer)
    except _DAMAGED as err:
        raise InputError(f"{path}: not vector data that GDAL can read ({err})") from err
    if not isinstance(table, gpd.GeoDataFrame):
        raise InputError(f"{path}: holds a table without geometries, which have no place")
    return table


def all_finite(shapes: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Bool [N]: which geometries have numbers for coordinates, everywhere; None has."""
    xy, index = shapely.get_coordinates(shapes, return_index=True)
    strange = index[~np.isfinite(xy).all(axis=1)]
    finite = np.ones(len(shapes), np.bool_)
    finite[strange] = False
    return finite


def _check_there(path: str | Path) -> None:
    if "://" not in str(path) and not str(path).startswith("/vsi") and not Path(path).exists():
        raise InputError(f"{path}: no such file")
