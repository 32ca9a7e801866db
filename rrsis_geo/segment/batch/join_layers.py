"""The layers of several scenes as one: rows as they were written, with the name of their scene."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rrsis_geo.files import remove_leftovers
from rrsis_geo.geo.layers.read import read_layer
from rrsis_geo.geo.layers.vector_io import SCENES_SCHEMA, Layer, write_layers
from rrsis_geo.geo.objects.features import Features
from rrsis_geo.model.facts import ModelFacts
from rrsis_geo.segment.batch.job import SceneResult
from rrsis_geo.segment.batch.tasks import ScenesOutputs, SceneTask
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import holds_layers, layer_names
from rrsis_geo.version import __version__

Done = Sequence[tuple[SceneTask, SceneResult]]
"""Scenes, in order, with what became of them."""


def write_joined(
    scenes: Done,
    where: ScenesOutputs,
    expressions: Sequence[str],
    model: ModelFacts,
    options: SegmentOptions,
) -> None:
    """Write one layer an expression over all scenes. A batch of rows is all that is held.

    Rows keep their geometry and their values; their ids go on from scene to scene. Scenes without
    a result are named in the provenance.

    Raises:
        InputError: the layer of a scene is gone, or damaged.
        OutputError: the file cannot be written.
    """
    layers = [
        Layer(
            features=_rows(scenes, name),
            expression=expression,
            name=name,
            provenance=_provenance(scenes, expression, model, options),
        )
        for expression, name in zip(expressions, layer_names(expressions), strict=True)
    ]
    crs = next(task.info.crs for task, _ in scenes if not task.is_outside)
    given = where.given
    for own in given.per_expression(expressions):
        remove_leftovers(own.vector)
    if holds_layers(given.vector):
        write_layers(given.vector, layers, crs=crs, overwrite=True, schema=SCENES_SCHEMA)
        return
    for own, layer in zip(given.per_expression(expressions), layers, strict=True):
        write_layers(own.vector, [layer], crs=crs, overwrite=True, schema=SCENES_SCHEMA)


def _rows(scenes: Done, layer: str) -> Iterator[Features]:
    first_id = 1
    for task, result in scenes:
        if not result.report:
            continue
        for batch in read_layer(task.outputs.vector, layer):
            ids = np.arange(first_id, first_id + len(batch))
            yield replace(batch, id=ids, scene=task.scene.file_name)
            first_id += len(batch)


def _provenance(
    scenes: Done, expression: str, model: ModelFacts, options: SegmentOptions
) -> dict[str, Any]:
    return {
        "software": f"rrsis-geo {__version__}",
        "expression": expression,
        "model": {"name": model.name, "sha256": model.sha256, "dtype": model.dtype},
        "options": options.to_manifest(),
        "scenes": [_told(task, result) for task, result in scenes],
    }


def _told(task: SceneTask, result: SceneResult) -> Mapping[str, Any]:
    """What became of a scene, in short; windows that failed in full."""
    told = {"scene": task.scene.file_name, **task.facts(), "state": result.state}
    if result.reason:
        told["reason"] = result.reason
    if result.report:
        told["plan_hash"] = result.report["plan_hash"]
    if result.state == "gaps":
        told["failed_windows"] = result.report["failed"]
    return told
