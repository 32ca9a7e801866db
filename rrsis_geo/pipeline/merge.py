"""From the files of the shards to the results: one raster a kind, one layer, one picture."""

import logging
from collections.abc import Sequence
from functools import partial

import rasterio
from rasterio.windows import Window

from rrsis_geo.geo.features import make_features
from rrsis_geo.geo.masks import Kind, RasterWriter
from rrsis_geo.geo.measure import as_proj
from rrsis_geo.geo.pixels import geo_env
from rrsis_geo.geo.scene import Scene
from rrsis_geo.geo.vectorize import merge_shards
from rrsis_geo.geo.windows import BLOCK_PX
from rrsis_geo.geo.windows_layer import WindowScore, append_windows
from rrsis_geo.pipeline.advice import probability
from rrsis_geo.pipeline.failures import FailedWindow
from rrsis_geo.pipeline.layer import ObjectWriter, scene_painter
from rrsis_geo.pipeline.outputs import Outputs
from rrsis_geo.pipeline.plan import Plan
from rrsis_geo.pipeline.shard import ShardFiles, load_objects

logger = logging.getLogger(__name__)

ROWS_AT_ONCE = 2 * BLOCK_PX


class Merger:
    """Puts the shards of a finished run together.

    Attributes:
        objects: writes the layer, and knows what is in it.
    """

    def __init__(self, plan: Plan, shards: Sequence[ShardFiles], outputs: Outputs) -> None:
        """For all shards of the plan, in order; their files may come later.

        Raises:
            ConfigError: metres are asked for where the CRS does not tell them.
        """
        self._plan = plan
        self._shards = shards
        self._outputs = outputs
        self.objects = ObjectWriter(outputs, plan.expression, plan.scene.crs)
        options = plan.options
        self._features = make_features(
            merge_shards(load_objects(part) for files in shards for part in files.parts()),
            transform=plan.scene.transform,
            crs=plan.scene.crs,
            gsd_m=plan.scene.gsd_m,
            expression=plan.expression,
            model=plan.model.name,
            min_area_m2=options.min_area_m2,
            simplify_m=options.simplify_m,
        )

    def write_layer(
        self,
        scene: Scene,
        failed: Sequence[FailedWindow] = (),
        scores: Sequence[tuple[int, int, float | None, float]] = (),
    ) -> None:
        """Write the polygons: joined across shards, filtered, measured and numbered; draw them too.

        Args:
            scene: the part that was worked on, for the picture's background.
            failed: windows that hold no result, which the layer's provenance tells.
            scores: of the windows that the network saw, see `ShardStats`.

        Raises:
            OutputError: the layer or the picture cannot be written.
        """
        plan, objects = self._plan, self.objects
        painter = scene_painter(scene, plan.stretch) if objects.needs_picture else None
        told = {"failed_windows": [window.to_dict() for window in failed]} if failed else {}
        extend = None
        if self._outputs.windows_layer:
            windows = window_scores(plan, scores, failed)
            crs = None if plan.scene.crs is None else as_proj(plan.scene.crs)
            extend = partial(
                append_windows, scores=windows, transform=plan.scene.transform, crs=crs
            )
        objects.write(self._features, {**plan.provenance(), **told}, painter, extend)

    def write_raster(self, kind: Kind) -> None:
        """Write one raster of the shards', with overviews.

        Raises:
            OutputError: the disk is full, or the place cannot be written.
        """
        scene, tags = self._plan.scene, self._plan.raster_tags()
        path = self._outputs.files()[kind]
        with RasterWriter(path, kind, scene.shape, scene.crs, scene.transform, tags=tags) as writer:
            for shard, files in zip(self._plan.shards, self._shards, strict=True):
                with geo_env(), rasterio.open(files.raster(kind)) as dataset:
                    for row in range(0, shard.n_rows, ROWS_AT_ONCE):
                        n_rows = min(ROWS_AT_ONCE, shard.n_rows - row)
                        window = Window(0, row, scene.width, n_rows)
                        writer.write_band(shard.row_start + row, dataset.read(1, window=window))


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
                known = None if presence is None else probability(presence)
                score = WindowScore(row_i, col_j, inside, "seen", known, probability(most))
            else:
                score = WindowScore(row_i, col_j, inside, "skipped")
            found.append(score)
    return found
