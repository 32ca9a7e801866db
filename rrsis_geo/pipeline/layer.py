"""Polygons of a result, written as a stream; drawn and listed as they pass, where it is wanted."""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from PIL import Image
from rasterio.crs import CRS

from rrsis_geo.errors import InputError
from rrsis_geo.geo.features import Features
from rrsis_geo.geo.largest import LargeObject, LargestObjects
from rrsis_geo.geo.preview import PreviewPainter
from rrsis_geo.geo.radiometry import Stretch
from rrsis_geo.geo.scene import Scene
from rrsis_geo.geo.vector_io import write_layer
from rrsis_geo.pipeline.outputs import Outputs

logger = logging.getLogger(__name__)

PICTURE_PX = 1600
LISTED = 100
"""Objects in the table of a page."""


class ObjectWriter:
    """Writes the layer of a run and its picture.

    Attributes:
        n_objects: features written so far.
        area_m2: of them together; NaN where unknown.
    """

    def __init__(self, outputs: Outputs, expression: str, crs: CRS | None) -> None:
        self._outputs = outputs
        self._expression = expression
        self._crs = crs
        self._painter: PreviewPainter | None = None
        self._largest = LargestObjects(LISTED, crs)
        self.n_objects = 0
        self.area_m2 = 0.0

    @property
    def needs_picture(self) -> bool:
        """Whether anything is to be drawn."""
        return self._outputs.preview is not None or self._outputs.report is not None

    def write(
        self,
        features: Iterable[Features],
        provenance: Mapping[str, Any],
        painter: PreviewPainter | None,
        extend: Callable[[Path], None] | None = None,
    ) -> None:
        """Write the polygons; draw them with the painter, which must be given if one is needed.

        `extend` adds to the file of the polygons what else it is to hold.

        Raises:
            OutputError: the layer or the picture cannot be written.
        """
        self._painter, outputs = painter, self._outputs
        write_layer(
            outputs.vector,
            self._seen(features),
            crs=self._crs,
            expression=self._expression,
            provenance=provenance,
            overwrite=outputs.overwrite,
            extend=extend,
        )
        if painter is not None and outputs.preview is not None:
            painter.save(outputs.preview, self._expression, overwrite=outputs.overwrite)

    def picture(self) -> Image.Image:
        """The scene with its objects, once they are written."""
        assert self._painter is not None, "a picture needs a painter"
        return self._painter.picture(self._expression)

    def largest(self) -> list[LargeObject]:
        """The largest of the objects, the largest first."""
        return self._largest.rows()

    def _seen(self, features: Iterable[Features]) -> Iterator[Features]:
        for batch in features:
            self.n_objects += len(batch)
            self.area_m2 += float(np.sum(batch.area_m2))
            if self._painter is not None:
                self._painter.add(batch)
            if self._outputs.report is not None:
                self._largest.add(batch)
            yield batch


def scene_painter(scene: Scene, stretch: Stretch) -> PreviewPainter:
    """Ready to draw on a scene, or a part of one, made small."""
    info = scene.info
    try:
        pixels, valid = scene.thumbnail(PICTURE_PX)
    except InputError as err:  # the work is done: draw what there is
        logger.warning("the picture has no background: %s", err)
        shape = [max(1, round(side * min(1, PICTURE_PX / max(info.shape)))) for side in info.shape]
        image = np.full((*shape, 3), stretch.fill, np.uint8)
    else:
        image = stretch.apply(pixels, valid)
    row_step, col_step = info.height / image.shape[0], info.width / image.shape[1]
    return PreviewPainter(
        image,
        info.transform @ Affine.scale(col_step, row_step),
        m_per_px=None if info.gsd_col_m is None else info.gsd_col_m * col_step,
    )


def known_area(area_m2: float) -> float | None:
    """A sum of areas, None where one of them is unknown."""
    return area_m2 if math.isfinite(area_m2) else None
