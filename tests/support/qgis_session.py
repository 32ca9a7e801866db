"""Runs an algorithm of the plugin in QGIS's own Python, without a window.

Usage: python qgis_session.py REQUEST, a JSON object:

- plugins: folder of the plugin.
- program: value of the setting that names rrsis-geo; "" searches.
- algorithm, parameters: as for `processing.run`.
- to_load: names of outputs that QGIS loads, as with the tick box of the dialog.
- selected: a filter that selects features of the layer of AOI, or null.
- cancel_at: progress in percent at which the user presses "Cancel", or null.

Prints a JSON object with "ok", "results", "log", "layers" and "program", the setting after the run.
"""

import json
import sys

from qgis.core import (
    QgsApplication,
    QgsMapLayer,
    QgsProcessingContext,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingFeedback,
    QgsProcessingOutputLayerDefinition,
    QgsProject,
    QgsVectorLayer,
)


def start(request: dict) -> QgsApplication:
    """QGIS with the plugin."""
    application = QgsApplication([], False)
    application.initQgis()
    sys.path[:0] = [request["plugins"], f"{QgsApplication.pkgDataPath()}/python/plugins"]
    from processing.core.Processing import Processing
    from processing.core.ProcessingConfig import ProcessingConfig

    import rrsis_geo

    Processing.initialize()
    application.plugin = rrsis_geo.classFactory(None)
    application.plugin.initProcessing()
    ProcessingConfig.setSettingValue("RRSIS_GEO_PROGRAM", request["program"])
    return application


def run(request: dict) -> dict:
    """Run the algorithm, and load its layers."""
    from processing.core.ProcessingConfig import ProcessingConfig
    from processing.gui.Postprocessing import handleAlgorithmResults

    project, feedback = QgsProject.instance(), QgsProcessingFeedback()
    if request["cancel_at"] is not None:
        feedback.progressChanged.connect(
            lambda percent: feedback.cancel() if percent >= request["cancel_at"] else None
        )
    context = QgsProcessingContext()
    context.setProject(project)
    parameters = dict(request["parameters"])
    for name in request["to_load"]:
        parameters[name] = QgsProcessingOutputLayerDefinition(parameters[name], project)
    if request["selected"] is not None:
        layer = QgsVectorLayer(parameters["AOI"], "area", "ogr")
        layer.selectByExpression(request["selected"])
        project.addMapLayer(layer)
        parameters["AOI"] = QgsProcessingFeatureSourceDefinition(layer.id(), True)
    registry = QgsApplication.processingRegistry()
    algorithm = registry.createAlgorithmById(request["algorithm"])
    results, ok = algorithm.run(parameters, context, feedback)
    inputs = set(project.mapLayers())
    if ok and not feedback.isCanceled():
        handleAlgorithmResults(algorithm, context, feedback, False)
    layers = [layer for key, layer in project.mapLayers().items() if key not in inputs]
    return {
        "ok": ok,
        "results": results,
        "log": feedback.textLog(),
        "program": ProcessingConfig.getSetting("RRSIS_GEO_PROGRAM"),
        "layers": sorted(map(describe, layers), key=lambda layer: layer["name"]),
    }


def describe(layer: QgsMapLayer) -> dict:
    """Facts of a layer that tell whether it has the style of its file."""
    return {
        "name": layer.name(),
        "renderer": layer.renderer().type(),
        "labels": isinstance(layer, QgsVectorLayer) and layer.labelsEnabled(),
        "features": layer.featureCount() if isinstance(layer, QgsVectorLayer) else None,
    }


if __name__ == "__main__":
    request = json.loads(sys.argv[1])
    qgis = start(request)
    print(json.dumps(run(request)))
    qgis.plugin.unload()
    qgis.exitQgis()
