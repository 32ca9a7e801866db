"""What a Shapefile cannot hold, and what becomes of it."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import shapely

from rrsis_geo.errors import OutputError
from rrsis_geo.geo.objects.features import Features

logger = logging.getLogger(__name__)

FIELD_NAMES = {"perimeter_m": "perim_m"}
"""Our names of more than ten characters, and what they are called in a Shapefile."""

TEXT_BYTES = 254
LARGEST_BYTES = 2**31 - 1
"""Of its .shp and of its .dbf; larger ones are not read by all programs."""

DERIVED = (".qix", ".sbn", ".sbx", ".qpj", ".shp.xml")
"""Files that other programs make from a Shapefile; those of an old one would not fit a new one."""

_NUMBER_BYTES = 4 * 24 + 2 * 18  # as GDAL lays out our four floats and two integers


class ShapefileFitter:
    """Bends features to the format, says so once, and stops before a file grows too large.

    Args:
        path: of the .shp, for messages.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._has_spoken = False
        self._bytes = {".shp": 100, ".dbf": 1000}

    def fit(self, features: Features) -> Features:
        """Features that the format can hold.

        Raises:
            OutputError: the .shp or the .dbf would exceed 2 GB.
        """
        expression, model = _cut(features.expression), _cut(features.model)
        scene = None if features.scene is None else _cut(features.scene)
        fitted = replace(features, expression=expression, model=model, scene=scene)
        texts = (features.expression, features.model, features.scene)
        is_cut = (expression, model, scene) != texts
        if not self._has_spoken:
            self._has_spoken = True
            self._speak(is_cut)
        self._count(fitted)
        return fitted

    def _speak(self, is_cut: bool) -> None:
        changes = [f"{name} is called {short}" for name, short in FIELD_NAMES.items()]
        if is_cut:
            changes.append(f"text is cut to {TEXT_BYTES} bytes")
        logger.warning(
            "%s: the Shapefile format has its limits: %s; GeoPackage (.gpkg) has no such limits",
            self._path,
            ", ".join(changes),
        )

    def _count(self, features: Features) -> None:
        n_rings = shapely.get_num_interior_rings(features.polygons) + 1
        n_points = shapely.get_num_coordinates(features.polygons)
        self._bytes[".shp"] += int(np.sum(52 + 4 * n_rings + 16 * n_points))
        n_texts = 2 if features.scene is None else 3
        self._bytes[".dbf"] += len(features) * (1 + _NUMBER_BYTES + n_texts * TEXT_BYTES)
        for suffix, n_bytes in self._bytes.items():
            if n_bytes > LARGEST_BYTES:
                raise OutputError(
                    f"{self._path}: its {suffix} would exceed 2 GB, more than a Shapefile may "
                    "hold; write a GeoPackage (.gpkg) instead"
                )


def remove_derived(path: Path) -> None:
    """Remove what other programs derived from a Shapefile that has been replaced."""
    for suffix in DERIVED:
        path.with_suffix(suffix).unlink(missing_ok=True)


def _cut(text: str) -> str:
    """At most TEXT_BYTES bytes of UTF-8, whole characters."""
    return text.encode()[:TEXT_BYTES].decode(errors="ignore")
