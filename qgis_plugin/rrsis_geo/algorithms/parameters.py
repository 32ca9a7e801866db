"""Parameters that several algorithms share, and their values."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsRasterLayer,
)

from ..program.commands import OUTLINES, Network, Result, SceneOptions, read_expressions

INPUT, EXPRESSIONS, EXTENT, AOI = "INPUT", "EXPRESSIONS", "EXTENT", "AOI"
MODEL, BANDS, RESTART = "MODEL", "BANDS", "RESTART"
THRESHOLD, MIN_AREA, SIMPLIFY = "THRESHOLD", "MIN_AREA", "SIMPLIFY"
OUTLINE, APPEND = "OUTLINE", "APPEND"
FORMATS_OF_AREAS = ["gpkg", "geojson", "shp", "fgb"]


def advanced(parameter: QgsProcessingParameterDefinition) -> QgsProcessingParameterDefinition:
    """The parameter, in the closed part of the dialog."""
    flag = QgsProcessingParameterDefinition.FlagAdvanced
    parameter.setFlags(parameter.flags() | flag)
    return parameter


def scene_parameters() -> list[QgsProcessingParameterDefinition]:
    """The raster, and the part of it that is processed."""
    return [
        QgsProcessingParameterRasterLayer(INPUT, "Raster layer"),
        QgsProcessingParameterExtent(EXTENT, "Area: extent", optional=True),
        QgsProcessingParameterFeatureSource(
            AOI, "Area: polygons", [QgsProcessing.TypeVectorPolygon], optional=True
        ),
    ]


def expressions_parameter(*, is_optional: bool = False) -> QgsProcessingParameterDefinition:
    """What to find."""
    return QgsProcessingParameterString(
        EXPRESSIONS,
        "What to find, one sentence per line",
        multiLine=True,
        optional=is_optional,
    )


def model_parameter() -> QgsProcessingParameterDefinition:
    """The model bundle."""
    name = "Model (name, folder or hf://owner/name)"
    return QgsProcessingParameterString(MODEL, name, defaultValue=Network().model)


def bands_parameter() -> QgsProcessingParameterDefinition:
    """Bands that are red, green and blue."""
    name = "Bands for red, green and blue, such as 3,2,1 (empty: from the file)"
    return advanced(QgsProcessingParameterString(BANDS, name, optional=True))


def restart_parameter() -> QgsProcessingParameterDefinition:
    """Whether saved work of a stopped run is deleted."""
    name = "Start over, do not resume (--restart)"
    return advanced(QgsProcessingParameterBoolean(RESTART, name, False))


def object_parameters() -> list[QgsProcessingParameterDefinition]:
    """Which pixels are objects, and which objects are kept."""
    double = QgsProcessingParameterNumber.Double
    return [
        QgsProcessingParameterNumber(
            THRESHOLD, "Threshold of the probability", double, 0.5, minValue=0, maxValue=1
        ),
        QgsProcessingParameterNumber(
            MIN_AREA, "Minimum area (m²; empty: default of rrsis-geo)", double, None, True, 0
        ),
        QgsProcessingParameterNumber(
            SIMPLIFY, "Simplify outlines (m; empty: default of rrsis-geo)", double, None, True, 0
        ),
        QgsProcessingParameterEnum(OUTLINE, "Outlines", list(OUTLINES.values()), defaultValue=0),
    ]


def append_parameter() -> QgsProcessingParameterDefinition:
    """Whether the polygons become a layer of a GeoPackage that exists."""
    name = "Add to the GeoPackage if it exists (--append)"
    return QgsProcessingParameterBoolean(APPEND, name, False)


class Values:
    """The values of the shared parameters in one run.

    Args:
        algorithm: that has the parameters.
        parameters: as QGIS passes them.
        context: of the run.
    """

    def __init__(
        self,
        algorithm: QgsProcessingAlgorithm,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
    ) -> None:
        self._algorithm, self._parameters, self._context = algorithm, parameters, context

    def raster(self) -> QgsRasterLayer:
        """The raster layer.

        Raises:
            QgsProcessingException: it cannot be opened.
        """
        layer = self._algorithm.parameterAsRasterLayer(self._parameters, INPUT, self._context)
        if layer is None:
            raise QgsProcessingException(
                self._algorithm.invalidRasterError(self._parameters, INPUT)
            )
        return layer

    def text(self, name: str) -> str:
        """The value of a string, without space around it."""
        return self._algorithm.parameterAsString(self._parameters, name, self._context).strip()

    def expressions(self) -> list[str]:
        """The sentences."""
        return read_expressions(self.text(EXPRESSIONS))

    def number(self, name: str) -> float | None:
        """The value of a number, None if it is empty."""
        if self._parameters.get(name) in (None, ""):
            return None
        return float(self._algorithm.parameterAsDouble(self._parameters, name, self._context))

    def resume_option(self) -> str:
        """The option for an unfinished run."""
        is_new = self._algorithm.parameterAsBoolean(self._parameters, RESTART, self._context)
        return "--restart" if is_new else "--resume"

    def result(self, polygons: str, files: dict[str, str]) -> Result:
        """What to write, and which objects.

        Args:
            polygons: vector file.
            files: further outputs, kind -> path.
        """
        threshold = self._algorithm.parameterAsDouble(self._parameters, THRESHOLD, self._context)
        outline = self._algorithm.parameterAsEnum(self._parameters, OUTLINE, self._context)
        return Result(
            polygons,
            threshold,
            self.number(MIN_AREA),
            self.number(SIMPLIFY),
            files,
            outline=list(OUTLINES)[outline],
            is_appended=self._algorithm.parameterAsBoolean(self._parameters, APPEND, self._context),
        )

    def scene_options(self, layer: QgsRasterLayer, feedback: QgsProcessingFeedback) -> SceneOptions:
        """How the scene is read. Polygons that are not a file as they are become one.

        Args:
            layer: the raster layer.
            feedback: of the algorithm.

        Raises:
            QgsProcessingException: both an extent and polygons are given.
        """
        algorithm, parameters, context = self._algorithm, self._parameters, self._context
        box = algorithm.parameterAsExtent(parameters, EXTENT, context, layer.crs())
        bbox = None
        if not box.isNull():
            bbox = (box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum())
        aoi = aoi_layer = ""
        if parameters.get(AOI):
            if bbox is not None:
                raise QgsProcessingException("give an extent or polygons as the area, not both")
            aoi, aoi_layer = algorithm.parameterAsCompatibleSourceLayerPathAndLayerName(
                parameters, AOI, context, FORMATS_OF_AREAS, "gpkg", feedback
            )
            layer_of_areas = algorithm.parameterAsVectorLayer(parameters, AOI, context)
            if layer_of_areas is None or layer_of_areas.source().split("|")[0] != aoi:
                feedback.pushInfo(
                    "The polygons of the area are copied to a temporary file, so this run cannot "
                    "be resumed; save them as a file of their own for a long run"
                )
        return SceneOptions(bbox, aoi, aoi_layer, self.text(BANDS))
