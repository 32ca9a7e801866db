"""Write GeoParquet 1.1, row group by row group.

Install with ``pip install "rrsis-geo[parquet]"``; see `layer_files.check_layer_path`.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from arro3.core import RecordBatch, Schema
from pyproj import CRS as ProjCRS

from rrsis_geo.geo.objects.features import BATCH_SIZE, Features


def write_geoparquet(
    path: Path,
    batches: Iterable[tuple[Features, RecordBatch]],
    schema: Schema,
    geometry: str,
    crs: ProjCRS | None,
    provenance: Mapping[str, Any],
) -> None:
    """Write batches of features. Small batches are combined into row groups.

    Args:
        path: path of the file.
        batches: features and the same features as Arrow columns.
        schema: schema of the columns.
        geometry: name of the geometry column, which holds WKB.
        crs: CRS of the polygons; null in the file if None.
        provenance: JSON values, stored in the metadata of the file under "rrsis_geo".

    Raises:
        OSError: the file cannot be written.
    """
    import pyarrow as pa

    try:
        _write(path, batches, schema, geometry, crs, provenance)
    except pa.ArrowException as err:
        raise OSError(str(err)) from err


def _write(
    path: Path,
    batches: Iterable[tuple[Features, RecordBatch]],
    schema: Schema,
    geometry: str,
    crs: ProjCRS | None,
    provenance: Mapping[str, Any],
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    pending: list[pa.RecordBatch] = []
    with pq.ParquetWriter(path, pa.schema(schema), compression="zstd") as writer:
        for features, batch in batches:
            pending.append(pa.record_batch(batch))
            if sum(map(len, pending)) >= BATCH_SIZE:
                writer.write_table(pa.Table.from_batches(pending))
                pending.clear()
            bounds = shapely.total_bounds(features.polygons)
            low, high = np.fmin(low, bounds[:2]), np.fmax(high, bounds[2:])
        if pending:
            writer.write_table(pa.Table.from_batches(pending))
        column: dict[str, Any] = {
            "encoding": "WKB",
            "geometry_types": ["Polygon"],
            "crs": None if crs is None else crs.to_json_dict(),
            "orientation": "counterclockwise",
        }
        if np.isfinite(low).all():
            column["bbox"] = [*low.tolist(), *high.tolist()]
        geo = {"version": "1.1.0", "primary_column": geometry, "columns": {geometry: column}}
        writer.add_key_value_metadata(
            {
                "geo": json.dumps(geo),
                "rrsis_geo": json.dumps(provenance, ensure_ascii=False, default=str),
            }
        )
