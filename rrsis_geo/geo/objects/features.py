"""Features: what a layer says of each object, and the way from pixel objects to them."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from rrsis_geo.errors import ConfigError
from rrsis_geo.geo.objects.measure import measure_polygons
from rrsis_geo.geo.objects.objects import Objects
from rrsis_geo.geo.objects.simplify import SMALLEST_TOLERANCE_PX, simplify_outlines

logger = logging.getLogger(__name__)

BATCH = 20_000
"""Features that travel together, at most."""

SCORE_DECIMALS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Some rows of a layer, one place each in every array.

    Attributes:
        polygons: shapely Polygon [N], in the coordinates of the layer.
        id: int64 [N], from 1, in the order of the objects.
        score: float64 [N], mean probability of the object's pixels.
        score_max: float64 [N], highest probability in it.
        area_m2: float64 [N], of the polygon on the ground; NaN where unknown.
        perimeter_m: float64 [N], likewise, with the rings of holes.
        n_pixels: int64 [N], of the scene, before any simplification.
        expression: what was looked for.
        model: what looked.
        scene: file name of the scene, in a layer of several; None in others.
    """

    polygons: NDArray[Any]
    id: NDArray[np.int64]
    score: NDArray[np.float64]
    score_max: NDArray[np.float64]
    area_m2: NDArray[np.float64]
    perimeter_m: NDArray[np.float64]
    n_pixels: NDArray[np.int64]
    expression: str
    model: str
    scene: str | None = None

    def __len__(self) -> int:
        return len(self.id)


def make_features(
    batches: Iterable[Objects],
    *,
    transform: Affine,
    crs: CRS | None,
    expression: str,
    model: str,
    min_area_m2: float = 0.0,
    simplify_m: float = 0.0,
    gsd_m: float | None = None,
) -> Iterator[Features]:
    """Place objects on the ground, measure them, and number those that are large enough.

    Batches pass one by one. Only `simplify_m` needs all of them at once: neighbours must be
    simplified together; they are held as integers, 8 bytes a vertex.

    Args:
        batches: closed objects, in any number of batches.
        transform: pixel to world of the pixels that the objects are made of.
        crs: of the world; None leaves areas and perimeters unknown.
        expression: what was looked for.
        model: what looked.
        min_area_m2: objects smaller than this are left out, as detected, before simplification.
        simplify_m: tolerance on the ground, see `simplify_outlines`; 0 keeps pixel outlines.
        gsd_m: metres on the ground per pixel, for `simplify_m`.

    Raises:
        ConfigError: a length or an area is asked for in metres, and the CRS does not tell them.
    """
    if min_area_m2 > 0 and crs is None:
        raise ConfigError("a smallest area needs a scene with a CRS: its pixels have no known size")
    tolerance_px = _tolerance_px(simplify_m, gsd_m) if simplify_m > 0 else 0.0

    def features() -> Iterator[Features]:
        large = (_large_enough(batch, transform, crs, min_area_m2) for batch in batches)
        first_id = 1
        for batch in _simplified(large, tolerance_px) if tolerance_px else large:
            for start in range(0, len(batch), BATCH):
                part = batch.take(np.arange(start, min(start + BATCH, len(batch))))
                yield _features(part, transform, crs, expression, model, first_id)
                first_id += len(part)

    return features()


def _features(
    objects: Objects,
    transform: Affine,
    crs: CRS | None,
    expression: str,
    model: str,
    first_id: int,
) -> Features:
    polygons = objects.polygons(transform)
    sizes = measure_polygons(polygons, crs)
    return Features(
        polygons=polygons,
        id=np.arange(first_id, first_id + len(objects)),
        score=objects.mean_probability().round(SCORE_DECIMALS),
        score_max=objects.probability_max.astype(np.float64).round(SCORE_DECIMALS),
        area_m2=sizes.area_m2,
        perimeter_m=sizes.perimeter_m,
        n_pixels=objects.n_pixels,
        expression=expression,
        model=model,
    )


def _large_enough(
    objects: Objects, transform: Affine, crs: CRS | None, min_area_m2: float
) -> Objects:
    if min_area_m2 <= 0 or not len(objects):
        return objects
    area_m2 = measure_polygons(objects.polygons(transform), crs).area_m2
    # An object of unknown size, where the projection ends, is not one known to be small.
    return objects.take(np.flatnonzero(~(area_m2 < min_area_m2)))


def _tolerance_px(simplify_m: float, gsd_m: float | None) -> float:
    if gsd_m is None:
        raise ConfigError("a tolerance in metres needs a scene whose ground pixel is known")
    if simplify_m / gsd_m < SMALLEST_TOLERANCE_PX:
        logger.warning(
            "outlines stay as they are: a tolerance of %g m is less than a pixel of %.3g m",
            simplify_m,
            gsd_m,
        )
    return simplify_m / gsd_m


def _simplified(batches: Iterable[Objects], tolerance_px: float) -> Iterator[Objects]:
    objects = Objects.concat(list(batches))
    yield replace(objects, outlines=simplify_outlines(objects.outlines, tolerance_px))
