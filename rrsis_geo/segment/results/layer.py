"""Polygons of a result, written as a stream; drawn and listed as they pass, where it is wanted."""

import io
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np
from affine import Affine
from rasterio.crs import CRS

from rrsis_geo.errors import InputError
from rrsis_geo.geo.layers.preview import PreviewPainter
from rrsis_geo.geo.layers.top_objects import TopObject, TopObjects
from rrsis_geo.geo.layers.vector_io import Layer, write_layers
from rrsis_geo.geo.objects.features import Features
from rrsis_geo.geo.scene.radiometry import Stretch
from rrsis_geo.geo.scene.scene import Scene
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.results.report import ExpressionResult
from rrsis_geo.segment.shards.failures import FailedWindow

logger = logging.getLogger(__name__)

PICTURE_PX = 1600
LISTED = 100
"""Objects in the table of a page."""
_JPEG_QUALITY: Final = 88

Painting = Callable[[], PreviewPainter]
"""Gives a new painter, with nothing drawn on its background yet."""


class ObjectLayer:
    """The objects of one expression on their way to their file.

    Attributes:
        outputs: the files of this expression.
        expression: what was looked for.
        name: of the layer.
        n_objects: features written so far.
        area_m2: of them together; NaN where unknown.
        picture: JPEG of the scene with the objects, for the page, once they are written.
    """

    def __init__(self, outputs: Outputs, expression: str, name: str, crs: CRS | None) -> None:
        self.outputs = outputs
        self.expression = expression
        self.name = name
        self.n_objects = 0
        self.area_m2 = 0.0
        self.picture: bytes | None = None
        self._largest = TopObjects(LISTED, crs)

    def largest(self) -> list[TopObject]:
        """The largest of the objects, the largest first."""
        return self._largest.rows()

    def result(
        self, failed: tuple[FailedWindow, ...] = (), presence_max: float | None = None
    ) -> ExpressionResult:
        """What is told of the objects, once they are written."""
        return ExpressionResult(
            expression=self.expression,
            layer=self.name,
            outputs=self.outputs.files(),
            n_objects=self.n_objects,
            area_m2=self.area_m2 if math.isfinite(self.area_m2) else None,
            failed=failed,
            presence_max=presence_max,
        )

    def passing(
        self, features: Iterable[Features], painting: Painting | None
    ) -> Iterator[Features]:
        """The same features; they are counted, listed and drawn, and after the last the picture is
        made.

        Raises:
            OutputError: the picture cannot be written.
        """
        painter = None if painting is None else painting()
        for batch in features:
            self.n_objects += len(batch)
            self.area_m2 += float(np.sum(batch.area_m2))
            if painter is not None:
                painter.add(batch)
            if self.outputs.report is not None:
                self._largest.add(batch)
            yield batch
        if painter is not None and self.outputs.preview is not None:
            painter.save(self.outputs.preview, self.expression, overwrite=self.outputs.overwrite)
        if painter is not None and self.outputs.report is not None:
            buffer = io.BytesIO()
            painter.picture(self.expression).save(
                buffer, format="JPEG", quality=_JPEG_QUALITY, subsampling=0, optimize=True
            )
            self.picture = buffer.getvalue()


def needs_picture(outputs: Outputs) -> bool:
    """Whether anything is to be drawn."""
    return outputs.preview is not None or outputs.report is not None


def write_objects(
    layers: Sequence[ObjectLayer],
    features: Sequence[Iterable[Features]],
    provenances: Sequence[Mapping[str, Any]],
    crs: CRS | None,
    painting: Painting | None,
    extend: Callable[[Path], None] | None = None,
) -> None:
    """Write the polygons of each expression, and its picture; layers of one file together.

    Args:
        layers: one an expression.
        features: of each; drawn batch by batch, one layer after the other.
        provenances: of each, ready for JSON.
        crs: of the polygons.
        painting: must be given if a picture is needed.
        extend: adds to a file of polygons what else it is to hold.

    Raises:
        OutputError: a layer or a picture cannot be written.
    """
    told = zip(layers, features, provenances, strict=True)
    for path, group in groupby(told, key=lambda each: each[0].outputs.vector):
        rows = [
            Layer(
                features=layer.passing(found, painting),
                expression=layer.expression,
                name=layer.name,
                provenance=provenance,
            )
            for layer, found, provenance in group
        ]
        overwrite = layers[0].outputs.overwrite
        write_layers(path, rows, crs=crs, overwrite=overwrite, extend=extend)


def scene_painting(scene: Scene, stretch: Stretch) -> Painting:
    """Ready to draw on a scene, or on a part of one, made small; read once for all pictures."""
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
    return partial(
        PreviewPainter,
        image,
        info.transform @ Affine.scale(col_step, row_step),
        m_per_px=None if info.gsd_col_m is None else info.gsd_col_m * col_step,
    )
