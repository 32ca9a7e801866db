"""Adapt features to the limits of the Shapefile format."""

import errno
import logging
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import shapely

from rrsis_geo.errors import OutputError
from rrsis_geo.geo.objects.features import Features

logger = logging.getLogger(__name__)

FIELD_NAMES = {"perimeter_m": "perim_m", "touches_border": "at_border"}
"""Field names of more than ten characters, and their names in a Shapefile."""

TEXT_BYTES = 254
MAX_BYTES = 2**31 - 1
"""Maximum size of the .shp and of the .dbf; some programs cannot read larger files."""

DERIVED = (".qix", ".sbn", ".sbx", ".qpj", ".shp.xml")
"""Files that other programs derive from a Shapefile. They are outdated when it is replaced."""

# Widths in GDAL's layout: four floats, three integers, a flag and the empty status.
_NUMBER_BYTES = 4 * 24 + 3 * 18 + 1 + 80
_FACT_BYTES = {"region": TEXT_BYTES}
_OTHER_FACT_BYTES = 24


class ShapefileFitter:
    """Adapt features to the format, warn once, and stop before a file becomes too large.

    Args:
        path: path of the .shp, for messages.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._has_warned = False
        self._bytes = {".shp": 100, ".dbf": 1000}

    def fit(self, features: Features) -> Features:
        """Adapt a batch of features.

        Raises:
            OutputError: the .shp or the .dbf would exceed 2 GB.
        """
        expression, model = _cut(features.expression), _cut(features.model)
        scene = None if features.scene is None else _cut(features.scene)
        facts = dict(features.facts)
        if "region" in facts:
            facts["region"] = np.array([each and _cut(each) for each in facts["region"]], object)
        fitted = replace(features, expression=expression, model=model, scene=scene, facts=facts)
        texts = (features.expression, features.model, features.scene)
        is_text_cut = (expression, model, scene) != texts
        if not self._has_warned:
            self._has_warned = True
            self._warn(is_text_cut=is_text_cut)
        self._count(fitted)
        return fitted

    def _warn(self, *, is_text_cut: bool) -> None:
        changes = [f"{name} is renamed {short}" for name, short in FIELD_NAMES.items()]
        if is_text_cut:
            changes.append(f"text is cut to {TEXT_BYTES} bytes")
        logger.warning(
            "%s: limits of the Shapefile format: %s; GeoPackage (.gpkg) has no such limits",
            self._path,
            ", ".join(changes),
        )

    def _count(self, features: Features) -> None:
        n_rings = shapely.get_num_interior_rings(features.polygons) + 1
        n_points = shapely.get_num_coordinates(features.polygons)
        self._bytes[".shp"] += int(np.sum(52 + 4 * n_rings + 16 * n_points))
        n_texts = 2 if features.scene is None else 3
        n_bytes = _NUMBER_BYTES + sum(
            _FACT_BYTES.get(name, _OTHER_FACT_BYTES) for name in features.facts
        )
        self._bytes[".dbf"] += len(features) * (1 + n_bytes + n_texts * TEXT_BYTES)
        for suffix, size in self._bytes.items():
            if size > MAX_BYTES:
                raise OutputError(
                    f"{self._path}: its {suffix} would exceed 2 GB, the limit of the Shapefile "
                    "format; write a GeoPackage (.gpkg) instead"
                )


def check_whole(path: Path, n_features: int) -> None:
    """Check that no part of a Shapefile is missing: GDAL ignores errors in closing its files.

    Raises:
        OSError: one is.
    """
    sizes = {suffix: path.with_suffix(suffix).stat().st_size for suffix in (".shp", ".shx", ".dbf")}
    with path.open("rb") as shp, path.with_suffix(".dbf").open("rb") as dbf:
        shp_header, dbf_header = shp.read(28).ljust(28, b"\0"), dbf.read(12).ljust(12, b"\0")
    (shp_words,) = struct.unpack(">i", shp_header[24:])
    n_records, header_bytes, record_bytes = struct.unpack("<iHH", dbf_header[4:])
    if (
        sizes[".shp"] != 2 * shp_words
        or sizes[".shx"] != 100 + 8 * n_features
        or n_records != n_features
        or not header_bytes
        or sizes[".dbf"] < header_bytes + n_features * record_bytes
    ):
        raise OSError(errno.ENOSPC, "records are missing")


def remove_derived(path: Path) -> None:
    """Remove files that other programs derived from the replaced Shapefile."""
    for suffix in DERIVED:
        path.with_suffix(suffix).unlink(missing_ok=True)


def _cut(text: str) -> str:
    """Cut a text to at most TEXT_BYTES bytes of UTF-8, at a whole character."""
    return text.encode()[:TEXT_BYTES].decode(errors="ignore")
