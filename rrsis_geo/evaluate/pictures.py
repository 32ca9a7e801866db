"""Answer an expression about a single picture by rules over the picture's objects.

`segment` answers over a scene in the same way: the network marks the phrases of the expression,
connected pixels are objects, and `rrsis_geo.resolve` chooses among them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import shapely
from numpy.typing import NDArray

from rrsis_geo.geo.objects.objects import Objects
from rrsis_geo.geo.objects.split import split_objects
from rrsis_geo.geo.objects.vectorize import vectorize
from rrsis_geo.log_odds import sigmoid
from rrsis_geo.resolve.batches import MeasuredPolygons
from rrsis_geo.resolve.frame import Frame
from rrsis_geo.resolve.resolver import Resolver, rules_in_metres
from rrsis_geo.resolve.splitting import split_phrases
from rrsis_geo.text.query.records import Query

Mask = NDArray[np.bool_]
Logits = NDArray[np.float32]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Extent:
    """Height and width of a whole picture, in the units of its rules.

    Attributes:
        height: in metres, or in pixels of the original picture if their size is unknown.
        width: in the same units.
        in_metres: whether they are metres.
    """

    height: float
    width: float
    in_metres: bool

    @staticmethod
    def of(shape: tuple[int, ...], gsd_m: float | None) -> "Extent":
        """The extent of a picture of [H, W, ...] pixels, each ``gsd_m`` wide."""
        height, width = shape[:2]
        if gsd_m is None:
            return Extent(float(height), float(width), in_metres=False)
        return Extent(height * gsd_m, width * gsd_m, in_metres=True)

    def frame(self) -> Frame:
        """The frame of the picture: y down, and north at the top."""
        corners = [(0, 0), (self.width, 0), (self.width, self.height), (0, self.height)]
        return Frame(np.array(corners), _flip if self.in_metres else None, y_is_down=True)


def _flip(points: Float64) -> Float64:
    return points * (1.0, -1.0)


@dataclass(frozen=True, slots=True)
class PictureObjects(MeasuredPolygons):
    """N objects of a picture: a batch for `Resolver`.

    Attributes:
        pixels: their outlines, in pixels of the mask.
        polygons: shapely [N], in the units of the extent.
        area_m2: float64 [N]; in square pixels if the extent is not in metres.
    """

    pixels: Objects
    polygons: NDArray[Any]
    area_m2: Float64

    @staticmethod
    def of(logits: Logits, extent: Extent, *, split: bool = False) -> "PictureObjects":
        """The objects where log-odds, float32 [H, W], are above 0, in reading order.

        Args:
            logits: of a phrase.
            extent: of the picture.
            split: whether objects that touch are split, see `geo.objects.split`.
        """
        height, width = logits.shape
        scale = (extent.width / width, extent.height / height)
        pixels = vectorize(logits > 0, sigmoid(logits))
        if split:
            (pixels,) = split_objects([pixels])
        polygons = shapely.transform(pixels.polygons(), lambda points: points * scale)
        return PictureObjects(pixels, np.asarray(polygons), shapely.area(polygons))

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def score(self) -> Float64:
        """Mean probability [N] of the pixels."""
        return self.pixels.mean_probability()

    def take(self, index: NDArray[np.intp]) -> Self:
        """Some of the objects, in the order of the index."""
        return type(self)(self.pixels.take(index), self.polygons[index], self.area_m2[index])


def resolve_mask(query: Query, logits: Mapping[str, Logits], extent: Extent) -> Mask:
    """The pixels of the objects that a query means, bool [H, W].

    Args:
        query: with rules.
        logits: phrase -> log-odds, float32 [H, W], for each of ``query.phrases()``.
        extent: of the picture.
    """
    height, width = next(iter(logits.values())).shape
    splits = split_phrases(query)

    def read(phrase: str, is_target: bool) -> Iterator[PictureObjects]:
        split = splits.targets if is_target else phrase in splits.landmarks
        yield PictureObjects.of(logits[phrase], extent, split=split)

    meant = np.zeros((height, width), bool)
    for objects, _ in Resolver(read, extent.frame(), prefix=None).meant(query):
        meant |= objects.pixels.outlines.fill(height, width)
    return meant


def lacks_metres(query: Query, extent: Extent) -> bool:
    """Whether a query needs metres in a picture whose ground pixel is unknown."""
    return not extent.in_metres and any(True for _ in rules_in_metres(query))
