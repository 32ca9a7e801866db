"""Write files of one layer for tests."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rasterio.crs import CRS

from rrsis_geo.geo.layers.vector_io import Layer, write_layers
from rrsis_geo.geo.objects.features import Features


def write_layer(
    path: Path,
    features: Iterable[Features],
    *,
    crs: CRS | None,
    expression: str,
    provenance: Mapping[str, Any] | None = None,
    **options: Any,
) -> int:
    """Write a layer; ``options`` are those of `write_layers`. Returns the number of features."""
    layer = Layer(features=features, expression=expression, provenance=provenance or {})
    return write_layers(path, [layer], crs=crs, **options)
