"""Features: the polygons and attributes of a layer, made from pixel objects."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from shapely.geometry.base import BaseGeometry

from rrsis_geo.errors import ConfigError
from rrsis_geo.geo.crs import as_proj
from rrsis_geo.geo.objects.measure import Sizes, area_limits, measure_rings
from rrsis_geo.geo.objects.objects import Objects
from rrsis_geo.geo.objects.outlines import Rings
from rrsis_geo.geo.objects.regularize import regularize_outlines
from rrsis_geo.geo.objects.simplify import SMALLEST_TOLERANCE_PX, simplify_outlines
from rrsis_geo.geo.objects.smooth import smooth_outlines
from rrsis_geo.geo.plane import metres_about
from rrsis_geo.units import format_length

logger = logging.getLogger(__name__)

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


@dataclass(frozen=True, eq=False)
class Candidates:
    """A batch of N objects that can become features: split and measured when that is asked for.

    Rules need few measures of most objects, and those on the ground cost the most.

    Attributes:
        objects: in pixels of the scene.
        numbers: int64 [N], of the objects among all, from 1.
        touches_border: see `Features`.
        options: position, attributes and limits.
        is_whole: whether objects that touch are still to be split.
    """

    objects: Objects
    numbers: NDArray[np.int64]
    touches_border: NDArray[np.bool_]
    options: FeatureOptions
    is_whole: bool

    def __len__(self) -> int:
        return len(self.numbers)

    def parts(self) -> Self:
        """The objects that features are made of: split if the options say so."""
        if not self.is_whole:
            return self
        from rrsis_geo.geo.objects.split import split_batch  # SciPy takes a third of a second

        objects, whole = split_batch(self.objects, self.numbers)
        kept = _find_large(objects, self.options)
        objects = objects if len(kept) == len(objects) else objects.take(kept)
        at_border = _touches_border(objects, self.options)
        numbers = self.numbers[whole[kept]]
        return replace(
            self, objects=objects, numbers=numbers, touches_border=at_border, is_whole=False
        )

    @cached_property
    def polygons(self) -> NDArray[Any]:
        """See `Features`."""
        return self._rings().polygons()

    @cached_property
    def sizes(self) -> Sizes:
        """Area and perimeter on the ground."""
        area_m2, perimeter_m = measure_rings(self._rings(), self.options.crs)
        return Sizes(area_m2.round(MEASURE_DECIMALS), perimeter_m.round(MEASURE_DECIMALS))

    @property
    def area_m2(self) -> NDArray[np.float64]:
        """See `Features`."""
        return self.sizes.area_m2

    @property
    def area_limit_m2(self) -> NDArray[np.float64]:
        """The area that no part of an object exceeds; NaN if unknown."""
        if not self.is_whole:
            return self.area_m2
        objects, options = self.objects, self.options
        bounds = objects.outlines.bounds()
        limit = area_limits(bounds, objects.n_pixels, options.transform, options.crs)
        return limit + 10.0**-MEASURE_DECIMALS

    @property
    def score(self) -> NDArray[np.float64]:
        """See `Features`."""
        return self.objects.mean_probability().round(SCORE_DECIMALS)

    @property
    def n_vertices(self) -> int:
        """Of all polygons together."""
        return len(self.objects.outlines.vertices)

    def moved(self, move: MovePoints) -> NDArray[Any]:
        """The polygons [N] with every vertex moved."""
        rings = self._rings()
        return rings._replace(xy=move(rings.xy)).polygons()

    def take(self, index: NDArray[np.intp]) -> Self:
        """Some of the objects, in the order of the index."""
        taken = replace(
            self,
            objects=self.objects.take(index),
            numbers=self.numbers[index],
            touches_border=self.touches_border[index],
        )
        if "sizes" in vars(self):
            vars(taken)["sizes"] = Sizes(*(values[index] for values in self.sizes))
        return taken

    def to_features(self) -> Features:
        """The objects as features, numbered from 1."""
        objects, options = self.objects, self.options
        return Features(
            polygons=self.polygons,
            id=np.arange(1, len(self) + 1),
            score=self.score,
            score_max=objects.probability_max.astype(np.float64).round(SCORE_DECIMALS),
            area_m2=self.sizes.area_m2,
            perimeter_m=self.sizes.perimeter_m,
            n_pixels=objects.n_pixels,
            touches_border=self.touches_border,
            split_from=objects.split_from,
            expression=options.expression,
            model=options.model,
        )

    def _rings(self) -> Rings:
        return self.objects.outlines.rings(self.options.transform)


def make_features(batches: Iterable[Objects], options: FeatureOptions) -> Iterator[Features]:
    """Convert objects to features: split, drop small ones, draw, measure and number the others.

    Batches are processed one at a time. If outlines are simplified, smoothed or regularized, all
    objects are collected first, because neighbours are drawn together; they need 8 bytes per
    vertex.

    Args:
        batches: closed objects, in any number of batches.
        options: position, attributes and limits.

    Raises:
        ConfigError: a length or an area in metres was given, but the ground pixel size is unknown.
    """
    return number_features(make_candidates(batches, options))


def number_features(batches: Iterable[Candidates | Features]) -> Iterator[Features]:
    """Features with consecutive ids, in batches that are not empty."""
    first_id = 1
    for batch in batches:
        features = batch.parts().to_features()
        if len(features):
            yield replace(features, id=np.arange(first_id, first_id + len(features)))
        first_id += len(features)


def make_candidates(batches: Iterable[Objects], options: FeatureOptions) -> Iterator[Candidates]:
    """The objects that `make_features` converts, before they are split and measured.

    They are split before they are simplified, smoothed or regularized.
    """
    if options.min_area_m2 > 0 and options.crs is None:
        raise ConfigError("a minimum area needs a scene with a CRS: the pixel size is unknown")
    tolerance_px = _tolerance_px(options) if options.simplify_m > 0 else 0.0
    return _make_batches(batches, options, tolerance_px)


def _make_batches(
    batches: Iterable[Objects], options: FeatureOptions, tolerance_px: float
) -> Iterator[Candidates]:
    """Candidates, in batches."""
    found = _whole_batches(batches, options)
    if not tolerance_px and options.outline == "pixels":
        yield from found
        return
    split = [batch.parts() for batch in found]
    objects = Objects.concat([batch.objects for batch in split])
    numbers, at_border = (
        np.concatenate([np.empty(0, kind), *(getattr(batch, name) for batch in split)])
        for name, kind in (("numbers", np.int64), ("touches_border", bool))
    )
    drawn = _draw(objects, options, tolerance_px)
    whole = Candidates(drawn, numbers, at_border, options, False)
    for start in range(0, len(whole), BATCH_SIZE):
        yield whole.take(np.arange(start, min(start + BATCH_SIZE, len(whole))))


def _whole_batches(batches: Iterable[Objects], options: FeatureOptions) -> Iterator[Candidates]:
    first = 1
    for batch in batches:
        kept = _find_large(batch, options)
        for start in range(0, len(kept), BATCH_SIZE):
            index = kept[start : start + BATCH_SIZE]
            part = batch if len(index) == len(batch) else batch.take(index)
            yield Candidates(
                part, first + index, _touches_border(part, options), options, options.split
            )
        first += len(batch)


def _touches_border(objects: Objects, options: FeatureOptions) -> NDArray[np.bool_]:
    border = options.border
    return np.zeros(len(objects), bool) if border is None else border.touches(objects)


def _find_large(objects: Objects, options: FeatureOptions) -> NDArray[np.intp]:
    """The objects that are not too small, [K]."""
    is_kept = objects.n_pixels >= options.min_pixels
    if options.min_area_m2 > 0 and len(objects):
        area_m2 = measure_rings(objects.outlines.rings(options.transform), options.crs).area_m2
        # Keep objects of unknown area (NaN), outside the domain of the projection.
        is_kept &= ~(area_m2.round(MEASURE_DECIMALS) < options.min_area_m2)
    if not is_kept.all():
        options.count_dropped(int(np.sum(~is_kept)))
    return np.flatnonzero(is_kept)


def _tolerance_px(options: FeatureOptions) -> float:
    if options.gsd_m is None:
        raise ConfigError("a tolerance in metres needs a scene with a known ground pixel size")
    tolerance_px = options.simplify_m / options.gsd_m
    if tolerance_px < SMALLEST_TOLERANCE_PX:
        logger.warning(
            "outlines are not simplified: a tolerance of %s is less than a pixel of %s",
            format_length(options.simplify_m),
            format_length(options.gsd_m),
        )
    return tolerance_px


def _draw(objects: Objects, options: FeatureOptions, tolerance_px: float) -> Objects:
    """The objects with outlines that are simplified, smoothed or regularized."""
    outlines = objects.outlines
    if options.outline == "pixels":
        return replace(objects, outlines=simplify_outlines(outlines, tolerance_px))
    if options.outline == "smooth":
        has_shared = bool(objects.split_from.any())
        return replace(objects, outlines=smooth_outlines(outlines, has_shared=has_shared))
    drawn = regularize_outlines(outlines, _to_ground(options), split_from=objects.split_from)
    return replace(objects, outlines=drawn)


def _to_ground(options: FeatureOptions) -> NDArray[np.float64] | None:
    """From (columns, rows) to metres in the middle of the scene, [2, 2]; None if unknown."""
    if options.crs is None or options.border is None:
        return None
    height, width = options.border.shape
    steps = [(width / 2, height / 2), (width / 2 + 1, height / 2), (width / 2, height / 2 + 1)]
    places = np.array([options.transform @ step for step in steps], float)
    to_plane = metres_about(as_proj(options.crs), places[0])
    if to_plane is None:
        return None
    centre, right, down = to_plane(places)
    matrix = np.column_stack([right - centre, down - centre])
    return matrix if np.isfinite(matrix).all() and np.linalg.det(matrix) else None
