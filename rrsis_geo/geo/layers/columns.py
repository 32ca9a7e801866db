"""The columns of a layer of objects, and features as Arrow columns."""

from collections.abc import Mapping
from typing import Any, Final

import shapely
from arro3.core import Array, DataType, Field, RecordBatch, Schema
from numpy.typing import NDArray

from rrsis_geo.geo.objects.features import Features

GEOMETRY: Final = "geom"
"""Name of the geometry column."""

SCHEMA: Final = Schema(
    [
        Field(GEOMETRY, DataType.binary()),
        Field("id", DataType.int64()),
        Field("expression", DataType.string()),
        Field("score", DataType.float64()),
        Field("score_max", DataType.float64()),
        Field("area_m2", DataType.float64()),
        Field("perimeter_m", DataType.float64()),
        Field("n_pixels", DataType.int64()),
        Field("touches_border", DataType.bool()),
        Field("split_from", DataType.int64()),
        Field("model", DataType.string()),
        Field("status", DataType.string()),
    ]
)
"""Columns of a layer; see `Features`. Unknown values are null. The status is null for the user to
set, see `geo.styles.STATUSES`."""

SCENES_SCHEMA: Final = SCHEMA.insert(1, Field("scene", DataType.string()))
"""Columns of a layer of several scenes."""

FACT_TYPES: Final[Mapping[str, DataType]] = {
    "rank": DataType.int64(),
    "distance_m": DataType.float64(),
    "region": DataType.string(),
    "chosen": DataType.bool(),
}
"""Types of the columns that a layer may have besides; see `Features.facts`."""


def as_columns(features: Features, schema: Schema) -> RecordBatch:
    """The columns of `schema` for a batch of features."""
    n = len(features)
    constant = {
        "scene": features.scene,
        "expression": features.expression,
        "model": features.model,
        "status": None,
    }
    arrays = []
    for name in schema.names:
        column: list[Any]
        if name == GEOMETRY:
            column = shapely.to_wkb(features.polygons).tolist()
        elif name in constant:
            column = [constant[name]] * n
        elif name == "split_from":
            column = [number or None for number in features.split_from.tolist()]
        else:
            facts = features.facts
            column = _nullable(facts[name] if name in facts else getattr(features, name))
            if name == "rank":  # it has no unknown values as integers
                column = [value if value is None else int(value) for value in column]
        arrays.append(Array(column, schema.field(name).type))
    return RecordBatch.from_arrays(arrays, schema=schema)


def _nullable(values: NDArray[Any]) -> list[Any]:
    """The values as a list, with None for NaN."""
    column: list[Any] = values.tolist()
    if values.dtype.kind in "fO":
        return [None if value != value else value for value in column]
    return column
