"""What the algorithms share: the run of the program, and the layers that it writes."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from processing.core.ProcessingConfig import ProcessingConfig
from qgis.core import (
    QgsApplication,
    QgsMapLayer,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
    QgsRasterLayer,
)
from qgis.PyQt import sip
from qgis.PyQt.QtGui import QIcon

from ..program.commands import stop_message
from ..program.events import EventLog
from ..program.location import Machine, ProgramNotFound, find_program
from ..program.process import Finished, program_environment, run_program
from ..program.report import ResultLayer, result_layers, summary_lines

PROGRAM_SETTING = "RRSIS_GEO_PROGRAM"
INCOMPLETE = 7
"""Exit code of results with gaps."""


def this_machine() -> Machine:
    """This computer; the environment that the plugin makes is in the folder of the user profile."""
    profile = Path(QgsApplication.qgisSettingsDirPath())
    return Machine.this(profile / "rrsis_geo" / "environment")


def raster_source(layer: QgsRasterLayer) -> str:
    """Path or address of a raster layer, as GDAL opens it.

    Raises:
        QgsProcessingException: GDAL does not read this layer, or only within QGIS.
    """
    source = layer.source().split("|option:")[0]
    if layer.dataProvider().name() != "gdal" or source.startswith("/vsimem/"):
        raise QgsProcessingException(
            f"{layer.name()}: is not a file that GDAL reads; save it as a GeoTIFF first"
        )
    return source


class DefaultStyle(QgsProcessingLayerPostProcessorInterface):
    """Gives a loaded layer the style that rrsis-geo saved in the file or beside it."""

    def postProcessLayer(
        self, layer: QgsMapLayer, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> None:
        """Load the style. Processing loads layers without it."""
        layer.loadDefaultStyle()
        layer.triggerRepaint()


_styles: list[DefaultStyle] = []
"""Post-processors in use. QGIS deletes each with the context of its run, and until then Python must
keep it: QGIS does not hold the part that is written in Python."""


def _make_style() -> DefaultStyle:
    """A post-processor for one layer."""
    _styles[:] = [style for style in _styles if not sip.isdeleted(style)]
    _styles.append(DefaultStyle())
    return _styles[-1]


class ProgramAlgorithm(QgsProcessingAlgorithm):
    """An algorithm that runs rrsis-geo.

    Attributes:
        HELP: text of the dialog, as HTML.
    """

    HELP = ""

    def createInstance(self) -> QgsProcessingAlgorithm:
        """A new instance for a run."""
        return type(self)()

    def icon(self) -> QIcon:
        """Icon of the provider."""
        return self.provider().icon() if self.provider() else super().icon()

    def shortHelpString(self) -> str:
        """Help in the dialog, on one line, because QGIS keeps the line breaks."""
        return " ".join(self.HELP.split())

    def run_rrsis_geo(
        self, arguments: Sequence[str], feedback: QgsProcessingFeedback, *, job: str = ""
    ) -> Finished:
        """Run rrsis-geo, and show its progress and messages.

        Args:
            arguments: its arguments.
            feedback: of the algorithm.
            job: vector file of a run that can be resumed, "" for other runs.

        Raises:
            QgsProcessingException: the program is missing or ended with an error.
        """
        try:
            program = find_program(
                ProcessingConfig.getSetting(PROGRAM_SETTING) or "", this_machine()
            )
        except ProgramNotFound as err:
            raise QgsProcessingException(str(err)) from err
        feedback.pushCommandInfo(shlex.join([str(program), *arguments]))
        feedback.setProgressText("starting rrsis-geo")
        log = EventLog(feedback)
        try:
            finished = run_program(
                [str(program), *arguments],
                program_environment(program, os.environ),
                on_line=log.read,
                is_canceled=feedback.isCanceled,
            )
        except OSError as err:
            raise QgsProcessingException(f"{program}: cannot be started ({err})") from err
        if finished.is_canceled:
            command = [str(program), *arguments]
            feedback.pushInfo(stop_message(log.stopped, command, job))
        elif finished.exit_code == INCOMPLETE:
            for error in log.errors:
                feedback.pushWarning(error)
        elif finished.exit_code != 0:
            reason = "\n".join(log.errors) or log.last_text or "no message"
            raise QgsProcessingException(f"rrsis-geo (exit code {finished.exit_code}): {reason}")
        return finished

    def write_layers(
        self,
        arguments: Sequence[str],
        destinations: dict[str, str],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, Any] | None:
        """Run ``rrsis-geo segment``, say what was found, and have QGIS load the layers.

        Args:
            arguments: of rrsis-geo.
            destinations: kind of layer -> path, the vector file first. With the kind "windows", the
                vector file has the windows too, and only they are loaded.
            context: of the algorithm.
            feedback: of the algorithm.

        Returns:
            The report; None if the user canceled the run.

        Raises:
            QgsProcessingException: the run ended with an error, or without a report.
        """
        job = next(iter(destinations.values()))
        finished = self.run_rrsis_geo(arguments, feedback, job=job)
        if finished.is_canceled:
            load_results(context, destinations, [])
            return None
        try:
            report: dict[str, Any] = json.loads(finished.out)
        except ValueError as err:
            raise QgsProcessingException(
                "rrsis-geo printed no report; install the version that belongs to this plugin"
            ) from err
        for line in summary_lines(report):
            feedback.pushInfo(line)
        layers = result_layers(report, has_windows="windows" in destinations)
        load_results(context, destinations, layers)
        return report


def load_results(
    context: QgsProcessingContext, destinations: dict[str, str], layers: Iterable[ResultLayer]
) -> None:
    """Replace each file that QGIS is to load by its layers, named and styled.

    Files that the user does not want to load stay out.

    Args:
        context: of the algorithm.
        destinations: kind of layer -> path that QGIS would load.
        layers: layers that were written.
    """
    to_load = context.layersToLoadOnCompletion()
    wanted = {kind: to_load.pop(path) for kind, path in destinations.items() if path in to_load}
    for layer in layers:
        if layer.kind in wanted:
            asked = wanted[layer.kind]
            details = QgsProcessingContext.LayerDetails(
                layer.title, asked.project, asked.outputName
            )
            details.forceName = True
            details.setPostProcessor(_make_style())
            to_load[layer.source] = details
    context.setLayersToLoadOnCompletion(to_load)
