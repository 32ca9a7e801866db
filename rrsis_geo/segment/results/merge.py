"""From the files of the shards to the results: one raster a kind and one layer an expression."""

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import rasterio
from rasterio.windows import Window

from rrsis_geo.geo.crs import as_proj
from rrsis_geo.geo.grid.rasters import Georeference, Kind, RasterWriter
from rrsis_geo.geo.grid.windows import BLOCK_PX
from rrsis_geo.geo.layers.windows_layer import WindowScore, append_windows
from rrsis_geo.geo.objects.features import Features, make_features
from rrsis_geo.geo.objects.vectorize import merge_shards
from rrsis_geo.geo.scene.pixels import geo_env
from rrsis_geo.geo.scene.scene import Scene
from rrsis_geo.log_odds import to_probability
from rrsis_geo.segment.plan.outputs import Outputs, layer_names, windows_layer_name
from rrsis_geo.segment.plan.plan import Plan
from rrsis_geo.segment.results.layer import (
    ObjectLayer,
    needs_picture,
    scene_painting,
    write_objects,
)
from rrsis_geo.segment.shards.failures import FailedWindow
from rrsis_geo.segment.shards.shard_files import ShardFiles, ShardStats, load_objects

logger = logging.getLogger(__name__)

ROWS_AT_ONCE = 2 * BLOCK_PX


class Merger:
    """Puts the shards of a finished run together.

    Attributes:
        outputs: the files of each expression.
        layers: of each expression, and what is in them.
    """

    def __init__(self, plan: Plan, shards: Sequence[ShardFiles], outputs: Outputs) -> None:
        """For all shards of the plan, in order; their files may come later.

        Raises:
            ConfigError: metres are asked for where the CRS does not tell them.
        """
        self._plan = plan
        self._shards = shards
        self.outputs = outputs.per_expression(plan.expressions)
        names = layer_names(plan.expressions)
        self.layers = tuple(
            ObjectLayer(own, expression, name, plan.scene.crs)
            for own, expression, name in zip(self.outputs, plan.expressions, names, strict=True)
        )
        self._features = [self._features_of(i) for i in range(len(self.layers))]

    def _features_of(self, expression_i: int) -> Iterator[Features]:
        plan, options = self._plan, self._plan.options
        parts = (part for files in self._shards for part in files.parts(expression_i))
        return make_features(
            merge_shards(load_objects(part) for part in parts),
            transform=plan.scene.transform,
            crs=plan.scene.crs,
            gsd_m=plan.scene.gsd_m,
            expression=plan.expressions[expression_i],
            model=plan.model.name,
            min_area_m2=options.min_area_m2,
            simplify_m=options.simplify_m,
        )

    def write_layers(self, scene: Scene, stats: Sequence[ShardStats]) -> None:
        """Write the polygons: joined across shards, filtered, measured and numbered; draw them too.

        Args:
            scene: the part that was worked on, for the background of pictures.
            stats: of each expression, of all shards together.

        Raises:
            OutputError: a layer or a picture cannot be written.
        """
        plan, outputs = self._plan, self.outputs[0]
        write_objects(
            self.layers,
            self._features,
            [
                {**plan.provenance(expression), **_failures_told(each.failed)}
                for expression, each in zip(plan.expressions, stats, strict=True)
            ],
            plan.scene.crs,
            scene_painting(scene, plan.stretch) if needs_picture(outputs) else None,
            partial(self._append_windows, stats) if outputs.windows_layer else None,
        )

    def write_raster(self, expression_i: int, kind: Kind) -> None:
        """Write one raster of the shards', with overviews.

        Raises:
            OutputError: the disk is full, or the place cannot be written.
        """
        scene, tags = self._plan.scene, self._plan.raster_tags(self._plan.expressions[expression_i])
        path = self.outputs[expression_i].files()[kind]
        georeference = Georeference(scene.shape, scene.crs, scene.transform)
        with RasterWriter(path, kind, georeference, tags=tags) as writer:
            for shard, files in zip(self._plan.shards, self._shards, strict=True):
                with geo_env(), rasterio.open(files.raster(expression_i, kind)) as dataset:
                    for row in range(0, shard.n_rows, ROWS_AT_ONCE):
                        n_rows = min(ROWS_AT_ONCE, shard.n_rows - row)
                        window = Window(0, row, scene.width, n_rows)
                        writer.write_band(shard.row_start + row, dataset.read(1, window=window))

    def _append_windows(self, stats: Sequence[ShardStats], path: Path) -> None:
        """A layer of the windows for each expression."""
        info = self._plan.scene
        for layer, each in zip(self.layers, stats, strict=True):
            scores = window_scores(self._plan, each.scores, each.failed)
            crs = None if info.crs is None else as_proj(info.crs)
            if len(self.layers) == 1:
                append_windows(path, scores, info.transform, crs)
            else:
                append_windows(
                    *(path, scores, info.transform, crs),
                    layer=windows_layer_name(layer.name),
                    description=f'What was said of each window for "{layer.expression}"',
                )


def _failures_told(failed: Sequence[FailedWindow]) -> dict[str, Any]:
    return {"failed_windows": [window.to_dict() for window in failed]} if failed else {}


def window_scores(
    plan: Plan,
    scores: Sequence[tuple[int, int, float | None, float]],
    failed: Sequence[FailedWindow],
) -> list[WindowScore]:
    """All windows of a plan, in reading order: seen, failed, and the others, which were skipped."""
    seen = {(row_i, col_j): (presence, most) for row_i, col_j, presence, most in scores}
    lost = {(window.window_row, window.window_col): window.reason for window in failed}
    height, width = plan.scene.shape
    found = []
    for row_i in range(plan.grid.n_rows):
        for col_j in range(plan.grid.n_cols):
            place, key = plan.footprint(row_i, col_j), (row_i, col_j)
            rows = max(place.row_off, 0), min(place.row_off + place.height, height)
            cols = max(place.col_off, 0), min(place.col_off + place.width, width)
            inside = Window(cols[0], rows[0], cols[1] - cols[0], rows[1] - rows[0])
            if key in lost:
                score = WindowScore(row_i, col_j, inside, "failed", reason=lost[key])
            elif key in seen:
                presence, most = seen[key]
                known = None if presence is None else to_probability(presence)
                score = WindowScore(row_i, col_j, inside, "seen", known, to_probability(most))
            else:
                score = WindowScore(row_i, col_j, inside, "skipped")
            found.append(score)
    return found
