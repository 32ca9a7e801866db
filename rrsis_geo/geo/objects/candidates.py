"""Candidates: objects that are split and measured when that is asked for, and become features."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.errors import ConfigError
from rrsis_geo.geo.crs import as_proj
from rrsis_geo.geo.objects.features import (
    BATCH_SIZE,
    MEASURE_DECIMALS,
    SCORE_DECIMALS,
    FeatureOptions,
    Features,
    MovePoints,
)
from rrsis_geo.geo.objects.measure import Sizes, area_limits, measure_rings
from rrsis_geo.geo.objects.objects import Objects
from rrsis_geo.geo.objects.outlines import Rings
from rrsis_geo.geo.objects.regularize import regularize_outlines
from rrsis_geo.geo.objects.simplify import SMALLEST_TOLERANCE_PX, simplify_outlines
from rrsis_geo.geo.objects.smooth import smooth_outlines
from rrsis_geo.geo.plane import metres_about
from rrsis_geo.units import format_length

logger = logging.getLogger(__name__)


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
        return replace(objects, outlines=smooth_outlines(outlines, split_from=objects.split_from))
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
