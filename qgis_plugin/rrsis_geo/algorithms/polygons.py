"""The algorithm "Polygons from a probability raster"."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
)

from ..program.commands import polygon_arguments
from ..program.report import main_file
from . import parameters as shared
from .base import ProgramAlgorithm, raster_source


class PolygonsFromProbability(ProgramAlgorithm):
    """Makes polygons from probabilities."""

    HELP = """
    <p>Makes polygons from a probability raster that "Segment by expression" wrote, with another
    threshold or minimum area, without running the model again.</p>
    <p>The raster knows its sentence. Another one may add rules that need no other objects, such as
    "the two largest buildings in the northern half".</p>
    """

    def name(self) -> str:
        """Identifier."""
        return "polygons"

    def displayName(self) -> str:
        """Name in the toolbox."""
        return "Polygons from a probability raster"

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        """Declare parameters and outputs."""
        for parameter in (
            QgsProcessingParameterRasterLayer(shared.INPUT, "Probability raster"),
            QgsProcessingParameterString(
                shared.EXPRESSIONS, "Sentence (empty: that of the raster)", optional=True
            ),
            *shared.object_parameters(),
            shared.append_parameter(),
            QgsProcessingParameterVectorDestination(
                "OUTPUT", "Polygons", QgsProcessing.TypeVectorPolygon
            ),
        ):
            self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputNumber("N_OBJECTS", "Number of objects"))

    def processAlgorithm(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, Any]:
        """Run rrsis-geo, and load what it wrote."""
        values = shared.Values(self, parameters, context)
        polygons = self.parameterAsOutputLayer(parameters, "OUTPUT", context)
        arguments = polygon_arguments(
            raster_source(values.raster()),
            values.text(shared.EXPRESSIONS),
            values.result(polygons, {}),
        )
        report = self.write_layers(arguments, {"vector": polygons}, context, feedback)
        if report is None:
            return {}
        return {"OUTPUT": main_file(report, "vector"), "N_OBJECTS": report["n_objects"]}
