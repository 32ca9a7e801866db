"""The Processing provider: algorithms, formats and the setting that names the program."""

from __future__ import annotations

from pathlib import Path

from processing.core.ProcessingConfig import ProcessingConfig, Setting
from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from .algorithms.base import PROGRAM_SETTING
from .algorithms.install import Install
from .algorithms.polygons import PolygonsFromProbability
from .algorithms.segment import SegmentByExpression
from .algorithms.view import WhatTheToolSees

ICON = Path(__file__).parent / "icon.svg"


class RrsisGeoProvider(QgsProcessingProvider):
    """Algorithms that run the program rrsis-geo."""

    def id(self) -> str:
        """Identifier in the names of algorithms."""
        return "rrsis_geo"

    def name(self) -> str:
        """Name in the toolbox."""
        return "rrsis-geo"

    def icon(self) -> QIcon:
        """Icon in the toolbox."""
        return QIcon(str(ICON))

    def load(self) -> bool:
        """Add the setting and the algorithms."""
        setting = Setting(
            self.name(),
            PROGRAM_SETTING,
            "Program rrsis-geo, or folder of its environment (empty: search)",
            "",
            valuetype=Setting.FILE,
        )
        ProcessingConfig.settingIcons[self.name()] = self.icon()
        ProcessingConfig.addSetting(setting)
        ProcessingConfig.readSettings()
        self.refreshAlgorithms()
        return True

    def unload(self) -> None:
        """Remove the setting."""
        ProcessingConfig.removeSetting(PROGRAM_SETTING)

    def loadAlgorithms(self) -> None:
        """Add the algorithms."""
        for kind in (SegmentByExpression, PolygonsFromProbability, WhatTheToolSees, Install):
            self.addAlgorithm(kind())

    def supportedOutputVectorLayerExtensions(self) -> list[str]:
        """Formats that rrsis-geo writes, the default first."""
        return ["gpkg", "fgb", "geojson", "shp", "parquet"]

    def supportedOutputRasterLayerExtensions(self) -> list[str]:
        """Formats that rrsis-geo writes."""
        return ["tif", "tiff"]

    def supportsNonFileBasedOutput(self) -> bool:
        """Whether results may be tables of a database: no, the program writes files."""
        return False
