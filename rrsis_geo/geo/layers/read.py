"""Read layers written by rrsis-geo as a stream of features."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError

from rrsis_geo.errors import InputError
from rrsis_geo.geo.layers.gdal_layer import GEOMETRY
from rrsis_geo.geo.layers.vector_io import FACT_TYPES
from rrsis_geo.geo.objects.features import BATCH_SIZE, Features


def read_layer(path: str | Path, layer: str) -> Iterator[Features]:
    """Read the features of a layer in a GeoPackage written by `write_layers`, in order.

    Coordinates and values are bit-identical to those that were written. One batch is in memory at a
    time.

    Raises:
        InputError: the layer does not exist or cannot be read.
    """
    try:
        with pyogrio.open_arrow(path, layer=layer, batch_size=BATCH_SIZE) as (_, reader):
            for batch in pa.RecordBatchReader.from_stream(reader):
                if batch.num_rows:
                    yield _features(batch)
    except (DataSourceError, DataLayerError, pa.ArrowException, KeyError) as err:
        raise InputError(f"{path}: layer {layer} cannot be read ({err})") from err


def _features(batch: pa.RecordBatch) -> Features:
    def number(name: str) -> NDArray[np.float64]:
        values: NDArray[np.float64] = batch.column(name).to_numpy(zero_copy_only=False)
        return values  # null becomes NaN

    return Features(
        polygons=shapely.from_wkb(batch.column(GEOMETRY).to_numpy(zero_copy_only=False)),
        id=batch.column("id").to_numpy(zero_copy_only=False),
        score=number("score"),
        score_max=number("score_max"),
        area_m2=number("area_m2"),
        perimeter_m=number("perimeter_m"),
        n_pixels=batch.column("n_pixels").to_numpy(zero_copy_only=False),
        touches_border=batch.column("touches_border").to_numpy(zero_copy_only=False),
        split_from=np.nan_to_num(number("split_from")).astype(np.int64),
        expression=batch.column("expression")[0].as_py(),
        model=batch.column("model")[0].as_py(),
        facts={
            name: batch.column(name).to_numpy(zero_copy_only=False)
            for name in FACT_TYPES
            if name in batch.schema.names
        },
    )
