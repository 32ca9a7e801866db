"""Referring samples drawn at random from COCO instances: a crop and an expression about it."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from rrsis_geo.data.expressions.kinds import (
    ALL_KINDS,
    COMBINATIONS,
    ExpressionKinds,
    can_write,
)
from rrsis_geo.data.expressions.traits import COLOURLESS, GROUND, WHOLE_ONLY
from rrsis_geo.data.expressions.writer import (
    WrittenExpression,
    count_distinct_subsets,
    write_expression,
)
from rrsis_geo.data.instances.coco import InstanceSource
from rrsis_geo.data.instances.crops import (
    CropBox,
    crop_labelled,
    plan_crop,
    with_false_colours,
)
from rrsis_geo.data.instances.ignored import ignored_pixels
from rrsis_geo.data.instances.unlabelled import KNOWN_WEIGHTS, write_unlabelled
from rrsis_geo.data.sample import Instance, LabelledImage, Sample
from rrsis_geo.errors import InputError
from rrsis_geo.text.vocabulary import kinds_of

_ATTEMPTS: Final = 9
"""Crops tried for a kind of expression before a plain category is named instead."""
_ATTEMPTS_PER_CATEGORY: Final = 3
"""Attempts before another category is drawn. Otherwise the easiest categories would dominate."""
_MAX_ROUNDS: Final = 100
"""Rounds of attempts before an error is raised."""
_NEEDS_OTHERS: Final = frozenset({"size", "relation", "combination"})
"""Kinds that compare objects. Their crops come from the coarser half of the scales."""
_ENOUGH_SUBSETS: Final = 4
"""Number of different subsets of objects at which a contrast crop is accepted at once."""
_ENOUGH_IMAGES: Final = 150
"""Number of images above which a category is not drawn more often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CropSettings:
    """How crops are made. See :func:`rrsis_geo.data.instances.crops.plan_crop` for the ranges.

    Attributes:
        scale_range: pixels of an image per pixel of a crop.
        gsd_range_m: smallest and largest ground sample distance of a crop; None limits nothing.
        whole_share: share of the crops that are whole images, squashed to squares.
        augment: mirror and rotate crops, and change their brightness a little.
        false_colour_share: share of the crops in natural colours that get false colours.
    """

    scale_range: tuple[float, float] = (0.5, 2.0)
    gsd_range_m: tuple[float, float] | None = None
    whole_share: float = 0.0
    augment: bool = True
    false_colour_share: float = 0.0


class ReferringInstances:
    """Random referring samples from a source of instances.

    Each sample draws a kind of expression, a category (rare categories are favoured), a source that
    has it, an image, an instance, a crop around the instance, and an expression. All steps but the
    first are repeated if no expression of the kind is possible.
    """

    def __init__(
        self,
        source: InstanceSource,
        size_px: int,
        *,
        kinds: ExpressionKinds = ALL_KINDS,
        crops: CropSettings = CropSettings(),
        category_weights: Mapping[str, float] | None = None,
        absent_weights: Mapping[str, float] | None = None,
        only_with_landmarks: bool = False,
    ) -> None:
        """Index the images by category.

        Args:
            source: images with instances.
            size_px: side of the samples, pixels.
            kinds: which expressions to write.
            crops: how crops are made.
            category_weights: category -> how much more often it is drawn; 1 if it is missing.
            absent_weights: the same for absent targets; None is ``category_weights``.
            only_with_landmarks: draw images for relations only if they have a landmark. Without it,
                most draws fail and are repeated. The published validation samples are drawn so.

        Raises:
            InputError: no image has an instance.
        """
        self.source = source
        self.size_px = size_px
        factors = category_weights or {}
        absent_factors = factors if absent_weights is None else absent_weights
        self._indexes = {
            kind: _ImageIndex(
                source,
                kind,
                absent_factors if kind == "absent" else factors,
                needs_landmark=only_with_landmarks and _needs_landmark(kind, kinds.clauses),
            )
            for kind in (*kinds.shares, "category")
        }
        self._multi_object_index = _ImageIndex(source, "size", factors)
        names = set().union(*source.counts)
        self._known_index = _ImageIndex(
            source, "category", {name: KNOWN_WEIGHTS.get(name, 0.0) for name in names}
        )
        if not len(self._indexes["category"]):
            raise InputError("the images have no instances, so there is nothing to refer to")
        self._kinds = [kind for kind in kinds.shares if len(self._indexes[kind])]
        weights = np.array([kinds.shares[kind] for kind in self._kinds])
        self._kind_weights = weights / weights.sum()
        self._clauses = kinds.clauses
        self._crops = crops

    def sample(self, rng: np.random.Generator) -> Sample:
        """Draw one sample, [size_px, size_px].

        Raises:
            InputError: see :meth:`draw`.
        """
        return to_sample(*self.draw(rng))

    def draw(self, rng: np.random.Generator) -> tuple[LabelledImage, WrittenExpression]:
        """Draw a crop, [size_px, size_px], and an expression about it.

        Raises:
            InputError: an image cannot be read, or no expression is possible (for example, because
                all instances are a few pixels in size).
        """
        kind = self._kinds[int(rng.choice(len(self._kinds), p=self._kind_weights))]
        for _ in range(_MAX_ROUNDS):
            for attempt in range(_ATTEMPTS):
                if attempt % _ATTEMPTS_PER_CATEGORY == 0:
                    category = self._indexes[kind].draw_category(rng)
                index = self._indexes[kind].draw_image(category, rng)
                pair = self._try_draw(kind, category, index, rng)
                if pair is not None:
                    return pair
            kind = "category"
        raise InputError(
            "no expression about the instances is possible: in all crops they are too small or cut"
        )

    def _try_draw(
        self, kind: str, category: str, index: int, rng: np.random.Generator
    ) -> tuple[LabelledImage, WrittenExpression] | None:
        """A crop of an image and an expression. None if no expression of the kind is possible."""
        target: str | None = category
        if kind == "absent":
            whole = self.source.read(index)
            box = self._crop_without(whole, category, rng)
            target = category if box is not None else None
            if box is None:
                box = self._plan_crop(whole, rng)
            crop = self._crop(whole, box, rng)
        else:
            crop = self._crop_around(index, category, rng, wide=kind in _NEEDS_OTHERS)
        written = write_expression(crop, rng, kind, category=target, allowed=self._clauses)
        return None if written is None else (crop, written)

    def draw_contrast_crop(self, rng: np.random.Generator) -> tuple[LabelledImage, str] | None:
        """Draw a crop with several objects of a category. None if no such crop is found.

        Clauses select at least two different subsets of its objects.

        Returns:
            The crop and the category.

        Raises:
            InputError: an image cannot be read.
        """
        best, n_best = None, 1
        for _ in range(_ATTEMPTS if len(self._multi_object_index) else 0):
            category = self._multi_object_index.draw_category(rng)
            index = self._multi_object_index.draw_image(category, rng)
            crop = self._crop_around(index, category, rng, wide=True)
            n_subsets = count_distinct_subsets(crop, category, rng, self._clauses)
            if n_subsets > n_best:
                best, n_best = (crop, category), n_subsets
            if n_subsets >= _ENOUGH_SUBSETS:
                break
        return best

    def draw_unlabelled(self, rng: np.random.Generator) -> Sample | None:
        """Ask for a vehicle that may be unlabelled, see ``unlabelled.py``. None if none is found.

        Raises:
            InputError: an image cannot be read.
        """
        for _ in range(_ATTEMPTS if len(self._known_index) else 0):
            category = self._known_index.draw_category(rng)
            index = self._known_index.draw_image(category, rng)
            if sample := write_unlabelled(self._crop_around(index, category, rng), rng):
                return sample
        return None

    def _crop_around(
        self, index: int, category: str, rng: np.random.Generator, *, wide: bool = False
    ) -> LabelledImage:
        whole = self.source.read(index)
        same = [item for item in whole.instances if item.category == category]
        # An outline can be too thin for any pixel.
        around = same[int(rng.integers(len(same)))] if same else None
        box = self._plan_crop(whole, rng, around, wide=wide)
        return self._crop(whole, box, rng)

    def _crop(self, whole: LabelledImage, box: CropBox, rng: np.random.Generator) -> LabelledImage:
        crop = crop_labelled(
            whole, rng, self.size_px, box, turn=self._crops.augment, jitter=self._crops.augment
        )
        share = self._crops.false_colour_share
        if share and not crop.false_colour and rng.random() < share:
            return with_false_colours(crop, rng)
        return crop

    def _plan_crop(
        self,
        whole: LabelledImage,
        rng: np.random.Generator,
        around: Instance | None = None,
        *,
        wide: bool = False,
    ) -> CropBox:
        if self._crops.whole_share and rng.random() < self._crops.whole_share:
            return CropBox(0, 0, *whole.image.shape[:2])
        low, high = self._crops.scale_range
        return plan_crop(
            whole,
            rng,
            self.size_px,
            scale_range=((low * high) ** 0.5 if wide else low, high),
            gsd_range_m=self._crops.gsd_range_m,
            around=around,
        )

    def _crop_without(
        self, whole: LabelledImage, category: str, rng: np.random.Generator
    ) -> CropBox | None:
        """With probability 0.5, a crop without a category that the image has.

        Such crops are hard negatives, for example an apron without an airplane.
        """
        if category not in whole.complete or rng.random() < 0.5:
            return None
        kinds = kinds_of(category)
        boxes = np.array([item.bbox for item in whole.instances if item.category in kinds])
        boxes = boxes.reshape(-1, 4)
        for _ in range(8):
            box = self._plan_crop(whole, rng)
            ends = boxes[:, :2] + boxes[:, 2:]
            is_outside = (ends <= (box.row, box.col)).any(1)
            is_outside |= (boxes[:, :2] >= (box.row + box.height, box.col + box.width)).any(1)
            if is_outside.all():
                return box
        return None


class _ImageIndex:
    """Images that can serve a kind of expression, by category and source.

    Images without objects serve absent targets, under the category "".
    """

    def __init__(
        self,
        source: InstanceSource,
        kind: str,
        factors: Mapping[str, float],
        *,
        needs_landmark: bool = False,
    ) -> None:
        images_by_category: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for index, counts in enumerate(source.counts):
            if kind == "absent" and not counts:
                images_by_category[""][source.names[index]].append(index)
            for category, count in counts.items():
                if needs_landmark and not source.landmarks[index] - kinds_of(category):
                    continue
                if _can_serve(kind, category, count, counts):
                    images_by_category[category][source.names[index]].append(index)
        self._categories = sorted(name for name in images_by_category if factors.get(name, 1.0) > 0)
        totals = [sum(map(len, images_by_category[name].values())) for name in self._categories]
        weights = np.minimum(totals, _ENOUGH_IMAGES) ** 0.5
        weights *= np.array([factors.get(name, 1.0) for name in self._categories])
        self._weights = weights / weights.sum() if len(weights) else weights
        self._images = {name: list(images_by_category[name].values()) for name in self._categories}

    def __len__(self) -> int:
        """Number of categories with images."""
        return len(self._categories)

    def draw_category(self, rng: np.random.Generator) -> str:
        """Draw a category."""
        return self._categories[int(rng.choice(len(self._categories), p=self._weights))]

    def draw_image(self, category: str, rng: np.random.Generator) -> int:
        """Draw an image with the category, and return its index."""
        images = self._images[category]
        weights = np.array([len(group) for group in images]) ** 0.5
        group = images[int(rng.choice(len(images), p=weights / weights.sum()))]
        return group[int(rng.integers(len(group)))]


def _needs_landmark(kind: str, clauses: frozenset[str]) -> bool:
    """Whether every expression of a kind has a relation."""
    if kind != "combination":
        return kind == "relation"
    pairs = (pair for pair in COMBINATIONS if all(can_write(one, clauses) for one in pair))
    return all("relation" in pair for pair in pairs)


def _can_serve(kind: str, category: str, count: int, counts: Mapping[str, int]) -> bool:
    if kind in ("size", "relation", "combination", "colour") and category in GROUND:
        return False
    if kind == "position" and category in WHOLE_ONLY:
        return False
    if kind == "colour" and category in COLOURLESS:
        return False
    if kind == "size":
        return count > 1
    if kind == "relation":
        return any(other not in kinds_of(category) for other in counts)
    return True


def to_sample(labelled_image: LabelledImage, written: WrittenExpression) -> Sample:
    """Make a sample of an image and an expression about it."""
    return Sample(
        image=labelled_image.image,
        expression=written.expression,
        mask=written.mask,
        id=labelled_image.id,
        kind=written.kind,
        category=written.category,
        gsd_m=labelled_image.gsd_m,
        picture=labelled_image.id,
        ignored=ignored_pixels(labelled_image, written.category, written.mask),
        source=labelled_image.source,
    )


class ValidationSamples:
    """A fixed series of samples, created on access.

    Sample i is the same for the same source, seed, size and kinds.
    """

    def __init__(
        self,
        source: InstanceSource,
        seed: int,
        size_px: int,
        kinds: ExpressionKinds = ALL_KINDS,
        whole_share: float = 0.0,
    ) -> None:
        self._referring = ReferringInstances(
            source,
            size_px,
            kinds=kinds,
            crops=CropSettings(scale_range=(0.7, 1.5), whole_share=whole_share, augment=False),
        )
        self._seed = seed

    def __getitem__(self, index: int) -> Sample:
        return to_sample(*self.draw(index))

    def draw(self, index: int) -> tuple[LabelledImage, WrittenExpression]:
        """The crop and the expression of a sample."""
        return self._referring.draw(np.random.default_rng([self._seed, index]))


def validation_samples(
    source: InstanceSource,
    n: int,
    seed: int,
    size_px: int,
    kinds: ExpressionKinds = ALL_KINDS,
    whole_share: float = 0.0,
) -> list[Sample]:
    """The first n of :class:`ValidationSamples`."""
    samples = ValidationSamples(source, seed, size_px, kinds, whole_share)
    return [samples[index] for index in range(n)]
