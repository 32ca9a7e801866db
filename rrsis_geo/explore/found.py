"""The objects of a sentence, made of the probabilities that are kept, as `segment` makes them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry

from rrsis_geo.explore.kept import KeptProbability
from rrsis_geo.geo.objects.candidates import make_features
from rrsis_geo.geo.objects.features import Border, FeatureOptions, Features
from rrsis_geo.geo.scene.scene import Area, SceneInfo
from rrsis_geo.progress import Progress, no_progress
from rrsis_geo.resolve.splitting import SplitPhrases, split_phrases
from rrsis_geo.segment.plan.plan import Plan
from rrsis_geo.segment.probability_raster import ObjectReader
from rrsis_geo.segment.results.meant import calibrated, check_metres, meant_features, scenes_frame

MAX_SHOWN = 50_000
"""Objects that the page can show. Of more, the largest are kept; a file gets all of them."""

Point = tuple[float, float]


class ObjectSource:
    """Reads the objects that a sentence means in what was searched.

    Attributes:
        n_small: number of objects that were too small.
        highest: highest probability of the targets.
    """

    def __init__(
        self,
        plan: Plan,
        rasters: Mapping[str, KeptProbability],
        searched: BaseGeometry,
        progress: Progress = no_progress,
    ) -> None:
        """Nothing is read yet.

        Args:
            plan: of the whole scene; its options have the threshold and the smallest area.
            rasters: the kept probabilities, by phrase.
            searched: where they are known, in pixels of the scene.
            progress: called with the rows that are read; may raise an error of ours to stop.
        """
        self.n_small = 0
        self.highest = 0.0
        self._plan = plan
        self._rasters = rasters
        self._searched = searched
        self._progress = progress

    def read(self) -> Iterator[Features]:
        """The objects, with the facts of rules.

        Raises:
            ConfigError: a rule needs metres on the ground, and the scene has no CRS.
        """
        if self._searched.is_empty:
            return iter(())
        return calibrated(self._read_meant(), self._plan.model.calibration.scores)

    def _read_meant(self) -> Iterator[Features]:
        plan = self._plan
        (query,), (expression,) = plan.queries, plan.expressions
        splits = split_phrases(query, split=plan.options.split)
        read = partial(self._read_phrase, expression, splits)
        if query.is_plain:
            return read(query.targets()[0], True)
        check_metres(query, plan.scene)
        return meant_features(query, read, scenes_frame([plan.scene]))

    def _read_phrase(
        self, expression: str, splits: SplitPhrases, phrase: str, is_target: bool
    ) -> Iterator[Features]:
        """The objects of a phrase; only those of a target are filtered and simplified."""
        plan, options = self._plan, self._plan.options
        window = _bounding_window(self._searched)
        with self._rasters[phrase].open() as raster:
            part = raster.crop(Area(window))
            reader = ObjectReader(part, None, options.threshold)
            yield from make_features(
                reader.read(self._progress),
                FeatureOptions(
                    transform=part.info.transform,
                    crs=plan.scene.crs,
                    gsd_m=plan.scene.gsd_m,
                    expression=expression,
                    model=plan.model.name,
                    border=_border(self._searched, window, plan.scene),
                    split=splits.includes(phrase, is_target=is_target),
                    min_area_m2=(options.min_area_m2 or 0.0) if is_target else 0.0,
                    min_pixels=(
                        plan.smallest_object_px if is_target and options.min_area_m2 is None else 1
                    ),
                    count_dropped=self._count_small,
                    simplify_m=options.simplify_m if is_target else 0.0,
                ),
            )
        if is_target:
            self.highest = max(self.highest, reader.highest)

    def _count_small(self, n_small: int) -> None:
        self.n_small += n_small


def _bounding_window(searched: BaseGeometry) -> Window:
    left, top, right, bottom = map(int, searched.bounds)
    return Window(left, top, right - left, bottom - top)


def _border(searched: BaseGeometry, window: Window, scene: SceneInfo) -> Border:
    """The border of what was searched, in pixels of its bounding window."""
    shape = int(window.height), int(window.width)
    inside = searched if scene.aoi is None else searched.intersection(scene.aoi)
    if inside.equals(shapely.box(*searched.bounds)):
        return Border(shape)
    return Border(shape, translate(inside, -window.col_off, -window.row_off))


def is_dropped(features: Features, marks: Sequence[Point]) -> NDArray[np.bool_]:
    """Which features the user has dropped, bool [N]: those with a mark in them.

    Args:
        features: any.
        marks: points in the coordinates of the features.
    """
    dropped = np.zeros(len(features), np.bool_)
    if marks and len(features):
        tree = shapely.STRtree(features.polygons)
        dropped[tree.query(shapely.points(marks), predicate="within")[1]] = True
    return dropped


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The objects of a sentence as the page shows them, N of them, the highest score first.

    Attributes:
        features: in pixels of the scene.
        n_objects: number of all objects, those that are not shown included.
        area_m2: area of all objects; NaN if unknown.
        n_small: number of objects that were too small.
        highest: highest probability of the targets.
        warnings: of the rules.
        is_part: whether only the part that was visible has been read so far.
    """

    features: Features | None = None
    n_objects: int = 0
    area_m2: float = 0.0
    n_small: int = 0
    highest: float = 0.0
    warnings: tuple[str, ...] = ()
    is_part: bool = False


def collect(source: ObjectSource, transform: Affine, *, max_shown: int = MAX_SHOWN) -> Found:
    """Read all objects of a source, and keep those that the page can show.

    Args:
        source: of the sentence.
        transform: pixel to world, of the scene.
        max_shown: number of objects that are kept.
    """
    kept: list[Features] = []
    n_objects, area_m2 = 0, 0.0
    for batch in source.read():
        n_objects += len(batch)
        area_m2 += float(np.sum(batch.area_m2))
        kept.append(to_pixels(batch, transform))
        if sum(map(len, kept)) > 2 * max_shown:
            kept = [_largest(Features.concat(kept), max_shown)]
    features = None
    if kept:
        features = _largest(Features.concat(kept), max_shown)
        features = features.take(np.lexsort((-features.n_pixels, -features.score)))
    return Found(
        features=features,
        n_objects=n_objects,
        area_m2=area_m2,
        n_small=source.n_small,
        highest=source.highest,
    )


def to_pixels(features: Features, transform: Affine) -> Features:
    """The same features with polygons in pixels: x is the column, y the row."""
    return _moved(features, ~transform)


def to_world(features: Features, transform: Affine) -> Features:
    """The inverse of `to_pixels`."""
    return _moved(features, transform)


def _moved(features: Features, transform: Affine) -> Features:
    polygons = shapely.transform(features.polygons, _applied(transform))
    return replace(features, polygons=np.asarray(polygons, object))


def _applied(transform: Affine) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    matrix = np.array([[transform.a, transform.d], [transform.b, transform.e]])
    offset = np.array([transform.c, transform.f])
    return lambda points: points @ matrix + offset


def _largest(features: Features, n: int) -> Features:
    if len(features) <= n:
        return features
    return features.take(np.sort(np.argsort(-features.n_pixels, kind="stable")[:n]))


def without_dropped(batches: Iterable[Features], marks: Sequence[Point]) -> Iterator[Features]:
    """The features that the user has not dropped."""
    for batch in batches:
        yield batch.take(np.flatnonzero(~is_dropped(batch, marks)))
