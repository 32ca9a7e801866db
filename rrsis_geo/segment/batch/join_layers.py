"""Join the layers of several scenes: the same rows, with the name of their scene.

The rules of expressions are applied to all scenes together, as if they were one.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from rrsis_geo.files import remove_leftovers
from rrsis_geo.geo.layers.columns import SCENES_SCHEMA
from rrsis_geo.geo.layers.read import read_layer
from rrsis_geo.geo.layers.vector_io import Layer, write_layers
from rrsis_geo.geo.objects.features import Features
from rrsis_geo.resolve.splitting import SplitPhrases, split_phrases
from rrsis_geo.segment.batch.job import BatchSettings, SceneResult, TaskResult
from rrsis_geo.segment.batch.scene_previews import ScenePreviews
from rrsis_geo.segment.batch.tasks import SceneTask
from rrsis_geo.segment.plan.landmarks import read_queries
from rrsis_geo.segment.plan.outputs import Outputs, holds_layers, layer_names
from rrsis_geo.segment.plan.plan import reading_fact
from rrsis_geo.segment.results.given import read_given
from rrsis_geo.segment.results.meant import (
    all_chosen,
    calibrated,
    layer_facts,
    meant_features,
    scenes_frame,
)
from rrsis_geo.segment.results.phrase_layers import landmark_layers, phrase_layers
from rrsis_geo.version import __version__


def join_layers(
    scenes: Sequence[TaskResult], outputs: Outputs, settings: BatchSettings
) -> list[TaskResult]:
    """Write one layer per expression with the polygons of all scenes, batch by batch.

    Geometries and values are copied, but for scores, which are calibrated here: rules read mean
    probabilities. The ids are numbered across scenes. The provenance names scenes without a
    result.

    Args:
        scenes: all scenes of the batch, in order.
        outputs: their vector file is written.
        settings: of the batch.

    Returns:
        The scenes, with the number of their objects that are in the layers.

    Raises:
        InputError: the layer of a scene is missing or damaged.
        OutputError: the file cannot be written.
    """
    joined = _JoinedScenes(scenes, outputs, settings)
    layers = [joined.layer(number) for number in range(len(settings.expressions))]
    crs = next(task.info.crs for task, _ in scenes if not task.is_outside)
    files = [each.vector for each in outputs.per_expression(settings.expressions)]
    for file in files:
        remove_leftovers(file)
    write = partial(
        write_layers,
        crs=crs,
        overwrite=True,
        schema=SCENES_SCHEMA,
        creation_options=outputs.vector_options(),
    )
    if holds_layers(outputs.vector):
        layers += joined.landmark_layers() if outputs.landmarks else []
        write(outputs.vector, layers)
    else:
        for file, layer in zip(files, layers, strict=True):
            write(file, [layer])
    joined.draw_previews()
    return [TaskResult(task, joined.recount(task, result)) for task, result in scenes]


@dataclass(slots=True)
class _Count:
    """Objects of one expression in one scene."""

    n_objects: int = 0
    n_candidates: int = 0
    area_m2: float = 0.0


class _JoinedScenes:
    """The objects of all scenes that have a result."""

    def __init__(
        self, scenes: Sequence[TaskResult], outputs: Outputs, settings: BatchSettings
    ) -> None:
        self._scenes = scenes
        self._settings = settings
        self._names = layer_names(settings.expressions)
        self._keep_candidates = outputs.keep_candidates
        self._queries = read_queries(
            settings.expressions, settings.options.landmarks, settings.model.language
        )
        self._counts: defaultdict[tuple[str, int], _Count] = defaultdict(_Count)
        self._previews = ScenePreviews([task for task, result in scenes if result.report], settings)
        infos = [task.info for task, _ in scenes if not task.is_outside]
        self._frame = scenes_frame(infos)
        self._given = read_given(self._queries, settings.options.landmarks, infos)
        self._layer_of = {
            (each.phrase, each.is_target, each.is_split): each.name
            for each in phrase_layers(self._queries, self._given, settings.options.split)
        }

    def layer(self, number: int) -> Layer:
        """The layer of an expression, whose objects are counted while it is written."""
        expression, query = self._settings.expressions[number], self._queries[number]
        return Layer(
            features=self._count(
                number, calibrated(self._features(number), self._settings.model.calibration.scores)
            ),
            expression=expression,
            name=self._names[number],
            title=expression,
            provenance=_provenance(
                self._scenes, {"expression": expression, **reading_fact(query)}, self._settings
            ),
            facts=layer_facts(query, keep_candidates=self._keep_candidates),
        )

    def landmark_layers(self) -> list[Layer]:
        """The layers of the landmarks."""
        return landmark_layers(
            self._settings.expressions,
            self._queries,
            self._given,
            self._read_phrase,
            self._frame,
            lambda text: _provenance(self._scenes, {"landmark": text}, self._settings),
            self._settings.options.split,
            self._settings.model.calibration.scores,
        )

    def draw_previews(self) -> None:
        """Draw the chosen objects in the previews of the scenes, in place of the candidates."""
        with_rules = [number for number, query in enumerate(self._queries) if not query.is_plain]
        self._previews.draw(with_rules)

    def recount(self, task: SceneTask, result: SceneResult) -> SceneResult:
        """The result of a scene, with the number of its objects in the layers."""
        if not result.report:
            return result
        results = []
        for number, record in enumerate(result.report["results"]):
            count = self._counts[task.scene.file_name, number]
            results.append(
                {
                    **record,
                    "n_objects": count.n_objects,
                    "n_candidates": count.n_candidates if self._keep_candidates else None,
                    "area_m2": None if record["area_m2"] is None else count.area_m2,
                }
            )
        areas = [record["area_m2"] for record in results]
        totals = {
            "n_objects": sum(record["n_objects"] for record in results),
            "area_m2": None if None in areas else sum(areas),
        }
        return replace(result, report={**result.report, **totals, "results": results})

    def _features(self, number: int) -> Iterator[Features]:
        query, expression = self._queries[number], self._settings.expressions[number]
        if query.is_plain:
            rows = self._number_rows(self._read_rows(self._names[number], expression))
            return all_chosen(rows) if self._keep_candidates else rows
        prefix = f'"{expression}": ' if len(self._queries) > 1 else ""
        return meant_features(
            query,
            partial(
                self._read_phrase,
                expression,
                split_phrases(query, split=self._settings.options.split),
            ),
            self._frame,
            prefix,
            keep_candidates=self._keep_candidates,
        )

    def _read_phrase(
        self, expression: str, splits: SplitPhrases, phrase: str, is_target: bool
    ) -> Iterator[Features]:
        if not is_target and phrase in self._given:
            return iter([self._given[phrase]])
        is_split = splits.includes(phrase, is_target=is_target)
        return self._read_rows(self._layer_of[phrase, is_target, is_split], expression)

    def _read_rows(self, layer: str, expression: str) -> Iterator[Features]:
        for task, result in self._scenes:
            if result.report:
                for batch in read_layer(task.outputs.vector, layer):
                    yield replace(batch, scene=task.scene.file_name, expression=expression)

    @staticmethod
    def _number_rows(batches: Iterable[Features]) -> Iterator[Features]:
        first_id = 1
        for batch in batches:
            yield replace(batch, id=np.arange(first_id, first_id + len(batch)))
            first_id += len(batch)

    def _count(self, number: int, batches: Iterable[Features]) -> Iterator[Features]:
        for batch in batches:
            assert batch.scene is not None
            chosen, count = batch.chosen(), self._counts[batch.scene, number]
            count.n_objects += len(chosen)
            count.n_candidates += len(batch)
            count.area_m2 += float(np.nansum(chosen.area_m2))
            if not self._queries[number].is_plain:
                self._previews.add(number, chosen)
            yield batch


def _provenance(
    scenes: Sequence[TaskResult], facts: Mapping[str, str], settings: BatchSettings
) -> dict[str, Any]:
    model = settings.model
    return {
        "software": f"rrsis-geo {__version__}",
        **facts,
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
