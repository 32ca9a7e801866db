"""QGIS plugin that finds objects in rasters by describing them in English, with rrsis-geo."""

from __future__ import annotations

from typing import Any


def classFactory(iface: Any) -> Any:
    """The plugin. QGIS imports are here, so that `program` is usable without QGIS."""
    from .plugin import RrsisGeoPlugin

    return RrsisGeoPlugin()
