"""The algorithm "Segment by expression"."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputFile,
    QgsProcessingOutputMultipleLayers,
    QgsProcessingOutputNumber,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
)

from ..program.commands import Network, segment_arguments, split_options
from ..program.report import main_file, result_layers
from . import parameters as shared
from .base import ProgramAlgorithm, raster_source

RASTERS = ("mask", "probability")
FILES = {"report": "HTML files (*.html)", "preview": "PNG files (*.png)"}
NAMES = {"vector": "OUTPUT", **{kind: kind.upper() for kind in (*RASTERS, *FILES)}}
"""Kind of output -> name of its parameter."""


class SegmentByExpression(ProgramAlgorithm):
    """Finds what sentences describe in a raster."""

    HELP = """
    <p>Finds the objects that an English sentence describes, such as "the truck on the road" or
    "the two largest buildings within 60 m of the road", and writes their outlines.</p>
    <p>Several sentences share one pass over the raster. A GeoPackage gets one layer for each; of
    other formats, each sentence gets a file of its own, with its name appended. "Add to the
    GeoPackage" keeps all other layers of a file that exists, and replaces those of the same
    sentences.</p>
    <p>Large rasters take time: "What the tool sees" estimates it. A canceled run is resumed by
    running it again with the same settings and the same file of polygons. "Start over" deletes
    its work.</p>
    <p>"Further options" are those of the command line, such as <code>--split --keep-candidates
    --nodata 0</code>. Put paths in quotation marks.</p>
    """

    def name(self) -> str:
        """Identifier."""
        return "segment"

    def displayName(self) -> str:
        """Name in the toolbox."""
        return "Segment by expression"

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        """Declare parameters and outputs."""
        raster, *area = shared.scene_parameters()
        options = [
            raster,
            shared.expressions_parameter(),
            *area,
            shared.model_parameter(),
            *shared.object_parameters(),
            shared.bands_parameter(),
            shared.advanced(
                QgsProcessingParameterString("DEVICE", "Device (auto, cpu, cuda)", "auto")
            ),
            shared.restart_parameter(),
            shared.advanced(
                QgsProcessingParameterString("FURTHER", "Further options", "", optional=True)
            ),
        ]
        outputs = [
            shared.append_parameter(),
            QgsProcessingParameterVectorDestination(
                "OUTPUT", "Polygons", QgsProcessing.TypeVectorPolygon
            ),
            *(
                QgsProcessingParameterRasterDestination(
                    NAMES[kind], kind.capitalize(), optional=True, createByDefault=False
                )
                for kind in RASTERS
            ),
        ]
        for parameter in (*options, *outputs):
            self.addParameter(parameter)
        for kind, filters in FILES.items():
            title = kind.capitalize()
            parameter = QgsProcessingParameterFileDestination(
                NAMES[kind], title, filters, optional=True, createByDefault=False
            )
            # Not the HTML output that QGIS would add: it is announced even if it is not written.
            self.addParameter(parameter, False)
            self.addOutput(QgsProcessingOutputFile(NAMES[kind], title))
        self.addOutput(QgsProcessingOutputNumber("N_OBJECTS", "Number of objects"))
        self.addOutput(QgsProcessingOutputMultipleLayers("LAYERS", "All layers"))

    def processAlgorithm(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, Any]:
        """Run rrsis-geo, and load what it wrote."""
        values = shared.Values(self, parameters, context)
        layer = values.raster()
        expressions = values.expressions()
        if not expressions:
            raise QgsProcessingException("write at least one sentence, such as: all buildings")
        files = self._output_files(parameters, context)
        polygons = files["vector"]
        others = {kind: path for kind, path in files.items() if kind != "vector"}
        arguments = segment_arguments(
            raster_source(layer),
            expressions,
            values.result(polygons, others),
            options=values.scene_options(layer, feedback),
            network=Network(values.text(shared.MODEL), values.text("DEVICE")),
            further=[values.resume_option(), *self._further_options(values)],
        )
        report = self.write_layers(arguments, files, context, feedback)
        if report is None:
            return {}
        return {
            **{NAMES[kind]: main_file(report, kind) for kind in files},
            "N_OBJECTS": report["n_objects"],
            "LAYERS": [result.source for result in result_layers(report)],
        }

    def _output_files(
        self, parameters: dict[str, Any], context: QgsProcessingContext
    ) -> dict[str, str]:
        """Kind of output -> path of those that the user wants, the polygons first."""
        layers = {
            kind: self.parameterAsOutputLayer(parameters, NAMES[kind], context)
            for kind in ("vector", *RASTERS)
        }
        files = {
            kind: self.parameterAsFileOutput(parameters, NAMES[kind], context) for kind in FILES
        }
        return {kind: path for kind, path in {**layers, **files}.items() if path}

    def _further_options(self, values: shared.Values) -> list[str]:
        try:
            return split_options(values.text("FURTHER"))
        except ValueError as err:
            raise QgsProcessingException(f"Further options: {err}") from err
