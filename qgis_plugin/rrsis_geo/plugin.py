"""The plugin: adds the provider to Processing while it is loaded."""

from __future__ import annotations

from qgis.core import QgsApplication

from .provider import RrsisGeoProvider


class RrsisGeoPlugin:
    """Adds the algorithms to the Processing toolbox. It has no window of its own."""

    def __init__(self) -> None:
        self._provider: RrsisGeoProvider | None = None

    def initProcessing(self) -> None:
        """Add the provider. QGIS calls this method alone in qgis_process."""
        self._provider = RrsisGeoProvider()
        QgsApplication.processingRegistry().addProvider(self._provider)

    def initGui(self) -> None:
        """Add the provider to the toolbox of the window."""
        self.initProcessing()

    def unload(self) -> None:
        """Remove the provider."""
        QgsApplication.processingRegistry().removeProvider(self._provider)
        self._provider = None
