"""The algorithm "What the tool sees"."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterVectorDestination,
)

from ..program.commands import Network, Result, info_arguments, segment_arguments
from ..program.report import main_file, result_layers
from . import parameters as shared
from .base import ProgramAlgorithm, load_results, raster_source


class WhatTheToolSees(ProgramAlgorithm):
    """Shows how a raster is read and where the model looks."""

    HELP = """
    <p>Shows in the log how a raster is read: bands, pixels without data, stretch, ground pixel,
    number of windows, and about how long a run takes.</p>
    <p>With sentences it also runs them, and loads the windows that the model looked at. Each has
    the probability that the object is in it (presence) and the highest probability of its pixels.
    The preview shows the colours that the model sees, with the objects found. Choose a small
    area.</p>
    """

    def name(self) -> str:
        """Identifier."""
        return "view"

    def displayName(self) -> str:
        """Name in the toolbox."""
        return "What the tool sees"

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        """Declare parameters and outputs."""
        for parameter in (
            *shared.scene_parameters(),
            shared.expressions_parameter(is_optional=True),
            shared.model_parameter(),
            shared.bands_parameter(),
            shared.restart_parameter(),
            QgsProcessingParameterVectorDestination(
                "WINDOWS", "Windows", QgsProcessing.TypeVectorPolygon, optional=True
            ),
            QgsProcessingParameterFileDestination(
                "PREVIEW", "Preview", "PNG files (*.png)", optional=True, createByDefault=False
            ),
        ):
            self.addParameter(parameter)

    def processAlgorithm(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, Any]:
        """Describe the raster, then run the sentences, if there are any."""
        values = shared.Values(self, parameters, context)
        layer = values.raster()
        scene, options = raster_source(layer), values.scene_options(layer, feedback)
        windows = self.parameterAsOutputLayer(parameters, "WINDOWS", context)
        model, expressions = values.text(shared.MODEL), values.expressions()
        described = self.run_rrsis_geo(info_arguments(scene, options, model), feedback)
        feedback.pushConsoleInfo(described.out)
        if not expressions or described.is_canceled:
            load_results(context, {"windows": windows}, [])
            return {}
        if not windows.endswith(".gpkg"):
            raise QgsProcessingException(
                f"Windows: choose a GeoPackage (.gpkg) for them, got {windows or 'no file'}"
            )
        preview = self.parameterAsFileOutput(parameters, "PREVIEW", context)
        arguments = segment_arguments(
            scene,
            expressions,
            Result(windows, files={"preview": preview}, has_windows_layer=True),
            options=options,
            network=Network(model),
            further=[values.resume_option()],
        )
        report = self.write_layers(arguments, {"windows": windows}, context, feedback)
        if report is None:
            return {}
        layers = result_layers(report, has_windows=True)
        results = {"WINDOWS": next(layer.source for layer in layers if layer.kind == "windows")}
        return {**results, "PREVIEW": main_file(report, "preview")} if preview else results
