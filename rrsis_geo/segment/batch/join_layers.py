"""Join the layers of several scenes: the same rows, with the name of their scene."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rrsis_geo.files import remove_leftovers
from rrsis_geo.geo.layers.read import read_layer
from rrsis_geo.geo.layers.vector_io import SCENES_SCHEMA, Layer, write_layers
from rrsis_geo.geo.objects.features import Features
from rrsis_geo.segment.batch.job import BatchSettings, SceneResult, TaskResult
from rrsis_geo.segment.batch.tasks import SceneTask
from rrsis_geo.segment.plan.outputs import Outputs, holds_layers, layer_names
from rrsis_geo.segment.plan.plan import reading_fact
from rrsis_geo.segment.results.meant import layer_facts
from rrsis_geo.version import __version__


def join_layers(scenes: Sequence[TaskResult], outputs: Outputs, settings: BatchSettings) -> None:
    """Write one layer per expression with the polygons of all scenes, batch by batch.

    Geometries and values are copied. The ids are numbered across scenes. The provenance names
    scenes without a result.

    Args:
        scenes: all scenes of the batch, in order.
        outputs: their vector file is written.
        settings: of the batch.

    Raises:
        InputError: the layer of a scene is missing or damaged.
        OutputError: the file cannot be written.
    """
    expressions = settings.expressions
    layers = [
        Layer(
            features=_read_rows(scenes, name),
            expression=expression,
            name=name,
            provenance=_provenance(scenes, expression, settings),
            facts=layer_facts(expression, keep_candidates=outputs.keep_candidates),
        )
        for expression, name in zip(expressions, layer_names(expressions), strict=True)
    ]
    crs = next(task.info.crs for task, _ in scenes if not task.is_outside)
    files = [each.vector for each in outputs.per_expression(expressions)]
    for file in files:
        remove_leftovers(file)
    if holds_layers(outputs.vector):
        write_layers(outputs.vector, layers, crs=crs, overwrite=True, schema=SCENES_SCHEMA)
        return
    for file, layer in zip(files, layers, strict=True):
        write_layers(file, [layer], crs=crs, overwrite=True, schema=SCENES_SCHEMA)


def _read_rows(scenes: Sequence[TaskResult], layer: str) -> Iterator[Features]:
    first_id = 1
    for task, result in scenes:
        if not result.report:
            continue
        for batch in read_layer(task.outputs.vector, layer):
            ids = np.arange(first_id, first_id + len(batch))
            yield replace(batch, id=ids, scene=task.scene.file_name)
            first_id += len(batch)


def _provenance(
    scenes: Sequence[TaskResult], expression: str, settings: BatchSettings
) -> dict[str, Any]:
    model = settings.model
    return {
        "software": f"rrsis-geo {__version__}",
        "expression": expression,
        **reading_fact(expression),
        "model": {"name": model.name, "sha256": model.sha256, "dtype": model.dtype},
        "options": settings.options.to_manifest(),
        "scenes": [_scene_provenance(task, result) for task, result in scenes],
    }


def _scene_provenance(task: SceneTask, result: SceneResult) -> Mapping[str, Any]:
    """The source and the state of a scene; failed windows in full."""
    record = {"scene": task.scene.file_name, **task.file_facts(), "state": result.state}
    if result.reason:
        record["reason"] = result.reason
    if result.report:
        record["plan_hash"] = result.report["plan_hash"]
    if result.state == "gaps":
        record["failed_windows"] = result.report["failed"]
    return record
