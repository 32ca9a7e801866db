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

from rrsis_geo.errors import ConfigError, InputError
from rrsis_geo.geo.scene.local_files import check_file, is_remote

_READ_ERRORS = (
    *(CRSError, DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError),
    *(ProjCRSError, ShapelyError, OSError),
    ValueError,  # text that cannot be decoded
    IndexError,  # pyogrio, for a file without layers
)


def choose_layer(path: str | Path, layer: str | None, option: str) -> str | None:
    """Check the choice of a layer; tables without geometries, such as QGIS styles, do not count.

    Args:
        path: any vector file that GDAL can read.
        layer: as chosen by the user.
        option: the option to choose it with, for messages.

    Returns:
        The name of the layer; None if the file has none with geometries.

    Raises:
        ConfigError: there is no such layer, or there are several and none was chosen.
        InputError: the file does not exist or is not vector data.
    """
    layers = list_layers(path)
    if layer is not None and layer not in layers:
        raise ConfigError(f"{path}: has no layer {layer!r}; its layers: {', '.join(layers)}")
    if layer is None and len(layers) > 1:
        raise ConfigError(
            f"{path}: has several layers; choose one with {option}: {', '.join(layers)}"
        )
    return layer or next(iter(layers), None)


def list_layers(path: str | Path) -> list[str]:
    """Names of the layers of a file that have geometries.

    Raises:
        InputError: the file does not exist or is not vector data.
    """
    _check(path)
    try:
        if _is_parquet(path):
            return [Path(path).stem]
        return [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
    except _READ_ERRORS as err:
        raise InputError(f"{path}: not vector data that GDAL can read ({err})") from err


def read_vectors(path: str | Path, *, layer: str | None = None) -> gpd.GeoDataFrame:
    """Read the features of a layer.

    Args:
        path: any vector file that GDAL can read, or GeoParquet.
        layer: name of the layer, see `list_layers`; None reads the first one.

    Raises:
        InputError: the file does not exist, is not vector data, is damaged or has no geometries, or
            the package of its format is not installed.
    """
    _check(path)
    try:
        table = gpd.read_parquet(path) if _is_parquet(path) else gpd.read_file(path, layer=layer)
    except ImportError as err:
        raise InputError(
            f"{path}: GeoParquet needs pyarrow, which is not installed; "
            "pip install 'rrsis-geo[parquet]', or convert the file to .gpkg"
        ) from err
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


def _is_parquet(path: str | Path) -> bool:
    """Whether a file is GeoParquet, for which the GDAL of pyogrio's wheels has no driver."""
    return Path(path).suffix.lower() == ".parquet"


def _check(path: str | Path) -> None:
    check_file(path)
    if not is_remote(str(path)) and not str(path).startswith("/vsi") and not Path(path).exists():
        raise InputError(f"{path}: no such file")
