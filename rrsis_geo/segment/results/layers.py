"""Write the polygons of each expression, and collect what the picture and the page need."""

import functools
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from rrsis_geo.errors import InputError
from rrsis_geo.geo.layers.preview import PreviewPainter
from rrsis_geo.geo.layers.top_objects import TopObject, TopObjects
from rrsis_geo.geo.layers.vector_io import Layer, write_layers
from rrsis_geo.geo.objects.features import Features
from rrsis_geo.geo.scene.radiometry import Stretch
from rrsis_geo.geo.scene.scene import Scene
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.plan.plan import reading_fact
from rrsis_geo.segment.results.pictures import LayerPictures, PagePicture
from rrsis_geo.segment.results.report import ExpressionResult
from rrsis_geo.segment.shards.failures import FailedWindow
from rrsis_geo.text.query.records import Query
from rrsis_geo.version import __version__

logger = logging.getLogger(__name__)

PICTURE_PX = 1600
"""Longest side of the background of a picture."""
TABLE_ROWS = 100
"""Number of objects in the table of a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """A scene at picture size, read once for the pictures of all expressions.

    Attributes:
        image: uint8 RGB [h, w, 3].
        transform: pixel to world of `image`.
        m_per_px: metres on the ground per column of `image`; None if unknown.
    """

    image: NDArray[np.uint8]
    transform: Affine
    m_per_px: float | None

    def new_painter(self) -> PreviewPainter:
        """A painter without objects yet."""
        return PreviewPainter(self.image, self.transform, m_per_px=self.m_per_px)


class ObjectLayer:
    """The objects of one expression, while they are written and afterwards.

    Attributes:
        outputs: the files of this expression.
        expression: the expression.
        query: what it asks for.
        name: name of the layer.
        n_objects: number of objects written so far that the expression means.
        n_candidates: number of all objects written so far.
        n_dropped: number of objects that were too small to be written.
        area_m2: total area of those that the expression means; NaN if unknown.
        picture: the scene with the objects, for the page; None until all are written, or if it
            could not be drawn.
        picture_errors: by kind of output ("preview", "report"), why its picture is missing.
    """

    def __init__(
        self, outputs: Outputs, expression: str, query: Query, name: str, crs: CRS | None
    ) -> None:
        self.outputs = outputs
        self.expression = expression
        self.query = query
        self.name = name
        self.n_objects = 0
        self.n_candidates = 0
        self.n_dropped = 0
        self.area_m2 = 0.0
        self.picture: PagePicture | None = None
        self.picture_errors: dict[str, Exception] = {}
        self._top_objects = TopObjects(TABLE_ROWS, crs)

    def count_dropped(self, n_dropped: int) -> None:
        """Count objects that were too small."""
        self.n_dropped += n_dropped

    def top_objects(self) -> list[TopObject]:
        """The largest objects, the largest first."""
        return self._top_objects.rows()

    def result(
        self, failed: tuple[FailedWindow, ...] = (), presence_max: float | None = None
    ) -> ExpressionResult:
        """The result of the expression, after its objects are written."""
        return ExpressionResult(
            expression=self.expression,
            layer=self.name,
            outputs={
                kind: path
                for kind, path in self.outputs.files().items()
                if kind != "preview" or kind not in self.picture_errors
            },
            n_objects=self.n_objects,
            n_candidates=self.n_candidates if self.outputs.keep_candidates else None,
            n_dropped=self.n_dropped,
            area_m2=self.area_m2 if math.isfinite(self.area_m2) else None,
            failed=failed,
            presence_max=presence_max,
            **reading_fact(self.query),
        )

    def _title(self) -> str:
        """Title of the pictures: where rules are not applied yet, what the candidates are."""
        if self.outputs.phrase_layers and not self.query.is_plain:
            return f'candidates for "{self.expression}": {", ".join(self.query.targets())}'
        return self.expression

    def pass_through(
        self, features: Iterable[Features], background: Callable[[], Background] | None
    ) -> Iterator[Features]:
        """Yield the same features; count, list and draw them on the way.

        The pictures are made after the last batch. Their errors are kept in `picture_errors`.
        """
        pictures = None
        if background is not None:
            pictures = LayerPictures(
                self.outputs, self._title(), lambda: background().new_painter()
            )
        for batch in features:
            chosen = batch.chosen()
            self.n_candidates += len(batch)
            self.n_objects += len(chosen)
            self.area_m2 += float(np.sum(chosen.area_m2))
            if pictures is not None:
                pictures.add(chosen)
            if self.outputs.report is not None:
                self._top_objects.add(chosen)
            yield batch
        if pictures is not None:
            pictures.finish()
            self.picture, self.picture_errors = pictures.page, pictures.errors


class LayerContent(NamedTuple):
    """The content of a layer that is to be written."""

    layer: ObjectLayer
    features: Iterable[Features]
    abstract: str
    provenance: Mapping[str, Any]  # ready for JSON
    facts: Sequence[str]  # names of further columns


def write_objects(
    contents: Sequence[LayerContent],
    crs: CRS | None,
    *,
    background: Callable[[], Background] | None,
    others: Sequence[Layer] = (),
    extend: Callable[[Path], None] | None = None,
) -> None:
    """Write the polygons and the pictures of all expressions, batch by batch.

    Args:
        contents: one per expression. Layers of the same file follow each other.
        crs: of the polygons.
        background: reads that of the pictures; None if `needs_picture` is False.
        others: further layers of a GeoPackage.
        extend: called with the path of each vector file to add other layers before the file is
            moved into place.

    Errors of pictures are kept, see `ObjectLayer.picture_errors`.

    Raises:
        OutputError: a layer cannot be written.
    """
    if background is not None:
        background = functools.cache(background)
    for path, group in groupby(contents, key=lambda content: content.layer.outputs.vector):
        layers = [
            Layer(
                features=content.layer.pass_through(content.features, background),
                expression=content.layer.expression,
                name=content.layer.name,
                title=content.layer.expression,
                abstract=content.abstract,
                provenance=content.provenance,
                facts=content.facts,
            )
            for content in group
        ]
        outputs = contents[0].layer.outputs
        write_layers(
            path,
            [*layers, *others],
            crs=crs,
            overwrite=outputs.overwrite,
            append=outputs.append,
            extend=extend,
            creation_options=outputs.vector_options(),
        )


def layer_abstract(source: str, model: str, threshold: float, query: Query) -> str:
    """What a layer is, for its metadata.

    Args:
        source: path of the scene or the raster.
        model: name of the model, "" if unknown.
        threshold: of the run.
        query: of the expression.
    """
    by = f" by {model}" if model else ""
    understood = "" if query.is_plain else f" Understood as: {query}."
    return (
        f"Objects found{by} in {source} with rrsis-geo {__version__}, threshold {threshold:g}."
        f"{understood}"
    )


def needs_picture(outputs: Outputs) -> bool:
    """Whether an output shows a picture."""
    return outputs.preview is not None or outputs.report is not None


def read_background(scene: Scene, stretch: Stretch) -> Background:
    """Read a scene, or a part of one, at picture size.

    A scene that cannot be read gives a plain background and a warning.
    """
    info = scene.info
    try:
        pixels, valid = scene.thumbnail(PICTURE_PX)
    except InputError as err:  # the objects are known already, so draw them anyway
        logger.warning("the picture has no background: %s", err)
        shape = [max(1, round(side * min(1, PICTURE_PX / max(info.shape)))) for side in info.shape]
        image = np.full((*shape, 3), stretch.fill, np.uint8)
    else:
        image = stretch.apply(pixels, valid)
    row_step, col_step = info.height / image.shape[0], info.width / image.shape[1]
    return Background(
        image=image,
        transform=info.transform @ Affine.scale(col_step, row_step),
        m_per_px=None if info.gsd_col_m is None else info.gsd_col_m * col_step,
    )
