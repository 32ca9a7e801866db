"""From the files of the shards to the results: one raster a kind, one layer, one picture."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window

from rrsis_geo.errors import InputError
from rrsis_geo.geo.features import Features, make_features
from rrsis_geo.geo.masks import Kind, RasterWriter
from rrsis_geo.geo.pixels import geo_env
from rrsis_geo.geo.preview import PreviewPainter
from rrsis_geo.geo.scene import Scene
from rrsis_geo.geo.vector_io import write_layer
from rrsis_geo.geo.vectorize import merge_shards
from rrsis_geo.geo.windows import BLOCK_PX
from rrsis_geo.pipeline.failures import FailedWindow
from rrsis_geo.pipeline.outputs import Outputs
from rrsis_geo.pipeline.plan import Plan
from rrsis_geo.pipeline.shard import ShardFiles, load_objects

logger = logging.getLogger(__name__)

ROWS_AT_ONCE = 2 * BLOCK_PX
PREVIEW_PX = 1600


class Merger:
    """Puts the shards of a finished run together.

    Attributes:
        n_objects: features written so far.
        area_m2: of them together; NaN where unknown.
    """

    def __init__(self, plan: Plan, shards: Sequence[ShardFiles], outputs: Outputs) -> None:
        """For all shards of the plan, in order; their files may come later.

        Raises:
            ConfigError: metres are asked for where the CRS does not tell them.
        """
        self._plan = plan
        self._shards = shards
        self._outputs = outputs
        self.n_objects = 0
        self.area_m2 = 0.0
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

    def write_layer(self, scene: Scene, failed: Sequence[FailedWindow] = ()) -> None:
        """Write the polygons: joined across shards, filtered, measured and numbered; draw them too.

        Args:
            scene: the part that was worked on, for the picture's background.
            failed: windows that hold no result, which the layer's provenance tells.

        Raises:
            OutputError: the layer or the picture cannot be written.
        """
        outputs, plan = self._outputs, self._plan
        painter = _painter(scene, plan) if outputs.preview is not None else None
        write_layer(
            outputs.vector,
            self._counted(self._features, painter),
            crs=plan.scene.crs,
            expression=plan.expression,
            provenance=self._provenance(failed),
            overwrite=outputs.overwrite,
        )
        if painter is not None and outputs.preview is not None:
            painter.save(outputs.preview, plan.expression, overwrite=outputs.overwrite)

    def _provenance(self, failed: Sequence[FailedWindow]) -> dict[str, Any]:
        told = {"failed_windows": [window.to_dict() for window in failed]} if failed else {}
        return {**self._plan.provenance(), **told}

    def _counted(
        self, features: Iterator[Features], painter: PreviewPainter | None
    ) -> Iterator[Features]:
        for batch in features:
            self.n_objects += len(batch)
            self.area_m2 += float(np.sum(batch.area_m2))
            if painter is not None:
                painter.add(batch)
            yield batch

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


def _painter(scene: Scene, plan: Plan) -> PreviewPainter:
    """Ready to draw on the scene, made small."""
    info = plan.scene
    try:
        pixels, valid = scene.thumbnail(PREVIEW_PX)
    except InputError as err:  # the work is done: draw what there is
        logger.warning("the picture has no background: %s", err)
        shape = [max(1, round(side * min(1, PREVIEW_PX / max(info.shape)))) for side in info.shape]
        image = np.full((*shape, 3), plan.stretch.fill, np.uint8)
    else:
        image = plan.stretch.apply(pixels, valid)
    row_step, col_step = info.height / image.shape[0], info.width / image.shape[1]
    return PreviewPainter(
        image,
        info.transform @ Affine.scale(col_step, row_step),
        m_per_px=None if info.gsd_col_m is None else info.gsd_col_m * col_step,
    )
