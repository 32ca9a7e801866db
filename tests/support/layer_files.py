"""Write files of one layer for tests."""

import resource
import signal
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
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


@contextmanager
def file_size_limit(n_bytes: int) -> Iterator[None]:
    """Let files of this process grow to a limit only, which acts like a full disk."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))
        signal.signal(signal.SIGXFSZ, handler)
