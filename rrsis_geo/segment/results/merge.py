"""Merge the files of all shards into one raster per kind and one layer per expression."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window

from rrsis_geo.errors import Stopped
from rrsis_geo.geo.crs import as_proj
from rrsis_geo.geo.grid.rasters import Georeference, Kind, RasterWriter
from rrsis_geo.geo.grid.windows import BLOCK_PX
from rrsis_geo.geo.layers.vector_io import Layer
from rrsis_geo.geo.layers.windows_layer import LAYER, WindowScore, append_windows
from rrsis_geo.geo.objects.candidates import Candidates, make_candidates, number_features
from rrsis_geo.geo.objects.features import Border, FeatureOptions, Features
from rrsis_geo.geo.objects.vectorize import merge_shards
from rrsis_geo.geo.scene.scene import Scene
from rrsis_geo.geo.scene.sources import geo_env
from rrsis_geo.log_odds import to_probability
from rrsis_geo.progress import Progress
from rrsis_geo.resolve.splitting import SplitPhrases, split_phrases
from rrsis_geo.segment.plan.outputs import (
    Outputs,
    layer_names,
    windows_layer_name,
)
from rrsis_geo.segment.plan.plan import Plan
from rrsis_geo.segment.results.given import read_given
from rrsis_geo.segment.results.layers import (
    LayerContent,
    ObjectLayer,
    layer_abstract,
    needs_picture,
    read_background,
    write_objects,
)
from rrsis_geo.segment.results.meant import (
    all_chosen,
    calibrated,
    check_metres,
    layer_facts,
    meant_features,
    scenes_frame,
)
from rrsis_geo.segment.results.phrase_layers import landmark_layers, phrase_layers
from rrsis_geo.segment.shards.failures import FailedWindow
from rrsis_geo.segment.shards.shard_files import ShardFiles, ShardStats, load_objects
from rrsis_geo.text.query.records import Query

_BAND_ROWS = 2 * BLOCK_PX


class Merger:
    """Merges the shards of a plan into rasters and layers.

    Attributes:
        plan: of the run.
        outputs: of the run.
        layers: one per expression.
    """

    def __init__(self, plan: Plan, shards: Sequence[ShardFiles], outputs: Outputs) -> None:
        """Check the options and prepare the layers.

        Args:
            plan: of the run.
            shards: files of all shards of the plan, in order. They need not exist yet.
            outputs: of the run.

        Raises:
            ConfigError: an option in metres needs a CRS that the scene does not have, or a landmark
                that is given does not fit the expressions.
            InputError: a landmark cannot be read.
        """
        self.plan = plan
        self.outputs = outputs
        self._shards = shards
        self._outputs = outputs.per_expression(plan.expressions)
        names = layer_names(plan.expressions)
        self.layers = tuple(
            ObjectLayer(own, expression, query, name, plan.scene.crs)
            for own, expression, query, name in zip(
                self._outputs, plan.expressions, plan.queries, names, strict=True
            )
        )
        self._given = read_given(plan.queries, plan.options.landmarks, [plan.scene])
        self._frame = scenes_frame([plan.scene])
        self._phrase_i = {phrase: number for number, phrase in enumerate(plan.phrases)}
        self._features = [self._read_features(i) for i in range(len(self.layers))]

    def write(
        self,
        scene: Scene,
        stats: Sequence[ShardStats],
        *,
        progress: Progress,
        stop: Callable[[], bool],
    ) -> None:
        """Write the rasters and the layers. They appear together, when all of them are whole.

        Args:
            scene: the part of the scene that the plan covers; background of the pictures.
            stats: of each expression, over all shards.
            progress: called before each output.
            stop: polled before each output. Return True to stop.

        Raises:
            OutputError: an output cannot be written.
            Stopped: `stop` returned True.
        """
        with ExitStack() as rasters:
            steps: list[Callable[[], None]] = [
                *(
                    partial(self._write_raster, rasters, number, kind)
                    for number in range(len(self.layers))
                    for kind in self.outputs.rasters()
                ),
                partial(self._write_layers, scene, stats),
            ]
            for number, step in enumerate(steps):
                if stop():
                    raise Stopped("stopped")
                progress("outputs", number, len(steps))
                step()
        progress("outputs", len(steps), len(steps))

    def _read_features(self, expression_i: int) -> Iterator[Features]:
        """The objects that an expression means, with the scores of its layer.

        Where rules are applied later, they are candidates, and scores are mean probabilities.
        """
        features = self._read_meant(expression_i)
        if self.outputs.phrase_layers:
            return features
        return calibrated(features, self.plan.model.calibration.scores)

    def _read_meant(self, expression_i: int) -> Iterator[Features]:
        layer, expression = self.layers[expression_i], self.plan.expressions[expression_i]
        query = layer.query
        splits = split_phrases(query, split=self.plan.options.split)
        read = partial(self._read_phrase, expression, splits, count_dropped=layer.count_dropped)
        outputs = self.outputs
        features = [number_features(read(phrase, is_target=True)) for phrase in query.targets()]
        if query.is_plain:
            return all_chosen(features[0]) if outputs.keep_candidates else features[0]
        check_metres(query, self.plan.scene)
        if outputs.phrase_layers:
            return chain.from_iterable(features)
        prefix = f'"{expression}": ' if len(self.plan.expressions) > 1 else ""
        return meant_features(
            query, read, self._frame, prefix, keep_candidates=outputs.keep_candidates
        )

    def _read_phrase(
        self,
        expression: str,
        splits: SplitPhrases,
        phrase: str,
        is_target: bool,
        count_dropped: Callable[[int], None] = lambda n_dropped: None,
    ) -> Iterator[Candidates | Features]:
        """The objects of a phrase; only those of a target are filtered and simplified."""
        if not is_target and phrase in self._given:
            return iter([self._given[phrase]])
        plan, options = self.plan, self.plan.options
        phrase_i = self._phrase_i[phrase]
        parts = (part for files in self._shards for part in files.parts(phrase_i))
        return make_candidates(
            merge_shards(load_objects(part) for part in parts),
            FeatureOptions(
                transform=plan.scene.transform,
                crs=plan.scene.crs,
                gsd_m=plan.scene.gsd_m,
                expression=expression,
                model=plan.model.name,
                border=Border(plan.scene.shape, plan.scene.aoi),
                split=splits.includes(phrase, is_target=is_target),
                min_area_m2=(options.min_area_m2 or 0.0) if is_target else 0.0,
                min_pixels=(
                    plan.smallest_object_px if is_target and options.min_area_m2 is None else 1
                ),
                count_dropped=count_dropped,
                simplify_m=options.simplify_m if is_target else 0.0,
                outline=options.outline if is_target else "pixels",
            ),
        )

    def _write_layers(self, scene: Scene, stats: Sequence[ShardStats]) -> None:
        """Merge, filter, measure and number the objects; write and draw them."""
        plan, outputs = self.plan, self.outputs
        contents = [
            LayerContent(
                layer,
                features,
                layer_abstract(
                    plan.scene.path, plan.model.name, plan.options.threshold, layer.query
                ),
                {**plan.provenance(layer.expression), **_failures(each.failed)},
                self._facts_of(layer.query),
            )
            for layer, features, each in zip(self.layers, self._features, stats, strict=True)
        ]
        write_objects(
            contents,
            plan.scene.crs,
            background=(
                partial(read_background, scene, plan.stretch) if needs_picture(outputs) else None
            ),
            others=self._other_layers(),
            extend=partial(self._append_windows, stats) if outputs.windows_layer else None,
        )

    def _facts_of(self, query: Query) -> tuple[str, ...]:
        if self.outputs.phrase_layers:  # rules are not applied yet
            return ()
        return layer_facts(query, keep_candidates=self.outputs.keep_candidates)

    def _other_layers(self) -> list[Layer]:
        """Layers that belong to no single expression: landmarks, or phrases."""
        plan = self.plan
        layers = []
        if self.outputs.phrase_layers:
            layers += [
                Layer(
                    features=number_features(
                        self._read_phrase(each.phrase, each.splits, each.phrase, each.is_target)
                    ),
                    expression=each.phrase,
                    name=each.name,
                )
                for each in phrase_layers(plan.queries, self._given, plan.options.split)
            ]
        if self.outputs.landmarks:
            layers += landmark_layers(
                plan.expressions,
                plan.queries,
                self._given,
                self._read_phrase,
                self._frame,
                plan.landmark_provenance,
                plan.options.split,
                plan.model.calibration.scores,
            )
        return layers

    def _write_raster(self, rasters: ExitStack, expression_i: int, kind: Kind) -> None:
        """Copy the rows of all shards into one raster: the highest value of all targets.

        The raster appears when `rasters` is closed.
        """
        targets = self.plan.queries[expression_i].targets()
        phrases_i = [self._phrase_i[phrase] for phrase in targets]
        scene, tags = self.plan.scene, self.plan.raster_tags(self.plan.expressions[expression_i])
        path = self._outputs[expression_i].files()[kind]
        georeference = Georeference(scene.shape, scene.crs, scene.transform)
        writer = rasters.enter_context(
            RasterWriter(
                path,
                kind,
                georeference,
                tags=tags,
                creation_options=self.outputs.raster_options(),
            )
        )
        for shard, files in zip(self.plan.shards, self._shards, strict=True):
            with ExitStack() as stack:
                stack.enter_context(geo_env())
                datasets = [
                    stack.enter_context(rasterio.open(files.raster(phrase_i, kind)))
                    for phrase_i in phrases_i
                ]
                for row in range(0, shard.n_rows, _BAND_ROWS):
                    n_rows = min(_BAND_ROWS, shard.n_rows - row)
                    window = Window(0, row, scene.width, n_rows)
                    bands = [dataset.read(1, window=window) for dataset in datasets]
                    writer.write_band(shard.row_start + row, np.maximum.reduce(bands))
        writer.finish()

    def _append_windows(self, stats: Sequence[ShardStats], path: Path) -> None:
        """Append a layer of the windows for each expression."""
        scene = self.plan.scene
        crs = None if scene.crs is None else as_proj(scene.crs)
        for layer, each in zip(self.layers, stats, strict=True):
            append_windows(
                path,
                window_scores(self.plan, each),
                scene.transform,
                crs,
                layer=(
                    LAYER
                    if len(self.layers) == 1 and not self.outputs.append
                    else windows_layer_name(layer.name)
                ),
                description=f'Scores of each window for "{layer.expression}"',
            )


def _failures(failed: Sequence[FailedWindow]) -> dict[str, Any]:
    """What the provenance of a layer says about failed windows."""
    return {"failed_windows": [window.to_dict() for window in failed]} if failed else {}


def window_scores(plan: Plan, stats: ShardStats) -> list[WindowScore]:
    """All windows of a plan in reading order, with their state and scores for one expression.

    A window that has neither scores nor a failure was skipped.
    """
    scores = {(row_i, col_j): (presence, logit) for row_i, col_j, presence, logit in stats.scores}
    reasons = {(failed.window_row, failed.window_col): failed.reason for failed in stats.failed}
    windows = []
    for row_i in range(plan.grid.n_rows):
        for col_j in range(plan.grid.n_cols):
            key, area = (row_i, col_j), _clip(plan.footprint(row_i, col_j), plan.scene.shape)
            if key in reasons:
                window = WindowScore(row_i, col_j, area, "failed", reason=reasons[key])
            elif key in scores:
                presence, logit_max = scores[key]
                known = None if presence is None else to_probability(presence)
                window = WindowScore(row_i, col_j, area, "seen", known, to_probability(logit_max))
            else:
                window = WindowScore(row_i, col_j, area, "skipped")
            windows.append(window)
    return windows


def _clip(window: Window, shape: tuple[int, int]) -> Window:
    """The part of a window inside a scene of `shape` (height, width)."""
    height, width = shape
    row_start, row_stop = max(window.row_off, 0), min(window.row_off + window.height, height)
    col_start, col_stop = max(window.col_off, 0), min(window.col_off + window.width, width)
    return Window(col_start, row_start, col_stop - col_start, row_stop - row_start)
