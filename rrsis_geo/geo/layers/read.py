"""Read layers written by rrsis-geo as a stream of features."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError

from rrsis_geo.errors import InputError
from rrsis_geo.geo.layers.columns import FACT_TYPES
from rrsis_geo.geo.objects.features import BATCH_SIZE, Features


def read_layer(path: str | Path, layer: str) -> Iterator[Features]:
    """Read the features of a layer in a GeoPackage written by `write_layers`, in order.

    Coordinates and values are bit-identical to those that were written. One batch is in memory at a
    time.

    Raises:
        InputError: the layer does not exist or cannot be read.
    """
    try:
        n_features = pyogrio.read_info(path, layer=layer)["features"]
        for first in range(1, n_features + 1, BATCH_SIZE):
            # GDAL numbers the features that it writes from 1
            part = f"fid >= {first} AND fid < {first + BATCH_SIZE}"
            meta, _, wkb, columns = pyogrio.raw.read(path, layer=layer, where=part)
            yield _features(wkb, dict(zip(meta["fields"], columns, strict=True)))
    except (DataSourceError, DataLayerError, FeatureError, KeyError) as err:
        raise InputError(f"{path}: layer {layer} cannot be read ({err})") from err


def _features(wkb: NDArray[Any], columns: dict[str, NDArray[Any]]) -> Features:
    return Features(
        polygons=shapely.from_wkb(wkb),
        id=columns["id"],
        score=columns["score"],  # null is NaN
        score_max=columns["score_max"],
        area_m2=columns["area_m2"],
        perimeter_m=columns["perimeter_m"],
        n_pixels=columns["n_pixels"],
        touches_border=columns["touches_border"],
        split_from=np.nan_to_num(columns["split_from"]).astype(np.int64),
        expression=columns["expression"][0],
        model=columns["model"][0],
        facts={name: columns[name] for name in FACT_TYPES if name in columns},
    )
