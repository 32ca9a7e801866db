"""Features: the polygons and attributes of a layer, made from pixel objects."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from shapely.geometry.base import BaseGeometry

from rrsis_geo.geo.objects.objects import Objects

BATCH_SIZE = 20_000
"""Maximum number of features in a batch, before those that touch are split."""

OutlineStyle = Literal["pixels", "smooth", "regular"]
"""How the outlines of objects are drawn: along pixels, as curves, or with right angles."""

SCORE_DECIMALS = 3
MEASURE_DECIMALS = 2
"""Of areas and perimeters: square centimetres mean nothing at pixels of centimetres."""

MovePoints = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Moves points, float64 [N, 2]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """A batch of N features of a layer.

    Attributes:
        polygons: shapely Polygon [N], in the coordinates of the layer.
        id: int64 [N], from 1, in the order of the objects.
        score: float64 [N], mean probability of the pixels of the object; in a layer for users, how
            likely the object is right, see `model.calibration`.
        score_max: float64 [N], maximum probability of the pixels of the object.
        area_m2: float64 [N], area of the polygon on the ground; NaN if unknown.
        perimeter_m: float64 [N], length of all rings on the ground, holes included; NaN if unknown.
        n_pixels: int64 [N], pixels of the scene before simplification.
        touches_border: bool [N], whether the object may go on beyond what was segmented.
        split_from: int64 [N], number of the object that this is a part of, 0 for whole objects.
        expression: the expression that the objects match.
        model: name of the model.
        scene: file name of the scene in a layer of several scenes, otherwise None.
        facts: further columns [N] by name, see `FACT_TYPES`: what chose the objects.
    """

    polygons: NDArray[Any]
    id: NDArray[np.int64]
    score: NDArray[np.float64]
    score_max: NDArray[np.float64]
    area_m2: NDArray[np.float64]
    perimeter_m: NDArray[np.float64]
    n_pixels: NDArray[np.int64]
    touches_border: NDArray[np.bool_]
    split_from: NDArray[np.int64]
    expression: str
    model: str
    scene: str | None = None
    facts: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.id)

    def chosen(self) -> "Features":
        """Those that are meant: all, unless the layer has other candidates too."""
        is_chosen = self.facts.get("chosen")
        return self if is_chosen is None else self.take(np.flatnonzero(is_chosen))

    @property
    def n_vertices(self) -> int:
        """Of all polygons together."""
        return int(shapely.get_num_coordinates(self.polygons).sum())

    def moved(self, move: MovePoints) -> NDArray[Any]:
        """The polygons [N] with every vertex moved."""
        return np.asarray(shapely.transform(self.polygons, move))

    @property
    def area_limit_m2(self) -> NDArray[np.float64]:
        """See `Candidates`."""
        return self.area_m2

    def parts(self) -> Self:
        """The features themselves; see `Candidates`."""
        return self

    def to_features(self) -> "Features":
        """The features themselves; see `Candidates`."""
        return self

    def take(self, index: NDArray[np.intp]) -> "Features":
        """Some of the features, in the order of the index."""
        return replace(
            self,
            polygons=self.polygons[index],
            id=self.id[index],
            score=self.score[index],
            score_max=self.score_max[index],
            area_m2=self.area_m2[index],
            perimeter_m=self.perimeter_m[index],
            n_pixels=self.n_pixels[index],
            touches_border=self.touches_border[index],
            split_from=self.split_from[index],
            facts={name: values[index] for name, values in self.facts.items()},
        )

    @staticmethod
    def concat(batches: "Sequence[Features]") -> "Features":
        """Batches of one layer as one, in order; at least one."""
        first = batches[0]
        return replace(
            first,
            polygons=np.concatenate([each.polygons for each in batches]),
            id=np.concatenate([each.id for each in batches]),
            score=np.concatenate([each.score for each in batches]),
            score_max=np.concatenate([each.score_max for each in batches]),
            area_m2=np.concatenate([each.area_m2 for each in batches]),
            perimeter_m=np.concatenate([each.perimeter_m for each in batches]),
            n_pixels=np.concatenate([each.n_pixels for each in batches]),
            touches_border=np.concatenate([each.touches_border for each in batches]),
            split_from=np.concatenate([each.split_from for each in batches]),
            facts={
                name: np.concatenate([each.facts[name] for each in batches]) for name in first.facts
            },
        )


class Border(NamedTuple):
    """The border of what was segmented, in pixels.

    Attributes:
        shape: (height, width).
        aoi: the area of interest; None if the whole rectangle was segmented.
    """

    shape: tuple[int, int]
    aoi: BaseGeometry | None = None

    def touches(self, objects: Objects) -> NDArray[np.bool_]:
        """Which objects have pixels at the border, bool [N]."""
        height, width = self.shape
        left, top, right, bottom = objects.outlines.bounds().T
        found: NDArray[np.bool_] = (left <= 0) | (top <= 0) | (right >= width) | (bottom >= height)
        if self.aoi is not None:
            line = shapely.boundary(self.aoi)
            shapely.prepare(line)
            found |= shapely.intersects(line, objects.polygons())
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureOptions:
    """How objects are converted to features.

    Attributes:
        transform: pixel to world, for the pixels of the objects.
        crs: CRS of the world coordinates; if None, areas and perimeters are unknown.
        expression: the expression that the objects match.
        model: name of the model.
        border: of what was segmented; None if it is unknown: no object touches it then.
        split: whether objects that touch are split first, see `geo.objects.split`.
        min_area_m2: objects smaller than this, before simplification, are left out.
        min_pixels: objects of fewer pixels are left out.
        count_dropped: called with the number of objects that were left out, batch by batch. The
            parts of an object count where it is split.
        simplify_m: tolerance on the ground, see `simplify_outlines`; 0 keeps pixel outlines.
        gsd_m: metres on the ground per pixel, for `simplify_m`.
        outline: how outlines are drawn, instead of `simplify_m`; see `OutlineStyle`.
    """

    transform: Affine
    crs: CRS | None
    expression: str
    model: str
    border: Border | None = None
    split: bool = False
    min_area_m2: float = 0.0
    min_pixels: int = 1
    count_dropped: Callable[[int], None] = lambda n_dropped: None
    simplify_m: float = 0.0
    gsd_m: float | None = None
    outline: OutlineStyle = "pixels"
