"""Referring samples on the fly from COCO instances: image + an expression written about it."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from rrsis_geo.data.expressions.traits import COLOURLESS, GROUND, WHOLE_ONLY
from rrsis_geo.data.expressions.writer import (
    KIND_WEIGHTS,
    WrittenExpression,
    count_distinct_subsets,
    write_expression,
)
from rrsis_geo.data.instances.coco import InstanceSource
from rrsis_geo.data.instances.crops import CropBox, crop_labelled, plan_crop
from rrsis_geo.data.sample import Instance, LabelledImage, Sample
from rrsis_geo.errors import InputError
from rrsis_geo.text.vocabulary import kinds_of

_ATTEMPTS: Final = 9
"""How many crops are tried for a kind of expression before a plain category is named instead."""
_ATTEMPTS_PER_CATEGORY: Final = 3
"""Then another category is tried, lest those be drawn most that are said most easily."""
_MAX_ROUNDS: Final = 100
"""Rounds of such attempts before the instances are taken for useless."""
_NEEDS_OTHERS: Final = frozenset({"size", "relation", "combination"})
"""Kinds that compare objects: their crops are from the wider half of the scales."""
_ENOUGH_PARTS: Final = 4
"""A crop of contrast of whose objects so many different parts can be spoken of is taken."""
_ENOUGH_IMAGES: Final = 150
"""A category in more images than this is not drawn more often."""


class ReferringInstances:
    """Random referring samples from a source of instances.

    A draw goes: a kind of expression, a category (the rare as good as the common), one of the
    sources that have it, an image, one of its instances, a crop around it, an expression. Every
    step but the first is repeated where nothing of the kind can be said.
    """

    def __init__(
        self,
        source: InstanceSource,
        size_px: int,
        *,
        seed: int = 0,
        kinds: Mapping[str, float] = KIND_WEIGHTS,
        scale_range: tuple[float, float] = (0.5, 2.0),
        gsd_range_m: tuple[float, float] | None = None,
        augment: bool = True,
    ) -> None:
        """Prepare to draw.

        Args:
            source: images with instances.
            size_px: side of the samples, pixels.
            seed: of the generator that :meth:`sample` uses where it is given none.
            kinds: kind of expression -> its weight.
            scale_range: see :func:`rrsis_geo.data.instances.crops.plan_crop`.
            gsd_range_m: see :func:`rrsis_geo.data.instances.crops.plan_crop`.
            augment: mirror and turn crops, and change their light a little.

        Raises:
            InputError: no image has an instance.
        """
        self.source = source
        self.size_px = size_px
        self._rng = np.random.default_rng(seed)
        self._cells = {kind: _Cells(source, kind) for kind in (*kinds, "category")}
        self._several = _Cells(source, "size")
        if not len(self._cells["category"]):
            raise InputError("there is no instance in the images, so there is nothing to refer to")
        self._kinds = [kind for kind in kinds if len(self._cells[kind])]
        weights = np.array([kinds[kind] for kind in self._kinds])
        self._kind_weights = weights / weights.sum()
        self._scale_range = scale_range
        self._gsd_range_m = gsd_range_m
        self._augment = augment

    def __iter__(self) -> Iterator[Sample]:
        """Samples without end, from the generator of the seed."""
        while True:
            yield self.sample()

    def sample(self, rng: np.random.Generator | None = None) -> Sample:
        """Draw one sample, [size_px, size_px], by a generator or by the seed's own.

        Raises:
            InputError: see :meth:`draw`.
        """
        return to_sample(*self.draw(self._rng if rng is None else rng))

    def draw(self, rng: np.random.Generator) -> tuple[LabelledImage, WrittenExpression]:
        """Draw a crop, [size_px, size_px], and an expression about it.

        Raises:
            InputError: an image cannot be read, or nothing can be said of any (all of its instances
                are a few pixels).
        """
        kind = self._kinds[int(rng.choice(len(self._kinds), p=self._kind_weights))]
        for _ in range(_MAX_ROUNDS):
            for attempt in range(_ATTEMPTS):
                if attempt % _ATTEMPTS_PER_CATEGORY == 0:
                    category = self._cells[kind].draw_category(rng)
                drawn = self._try(kind, category, self._cells[kind].draw_image(category, rng), rng)
                if drawn is not None:
                    return drawn
            kind = "category"
        raise InputError(
            "nothing can be said of the instances: in crop after crop they were too small or cut"
        )

    def _try(
        self, kind: str, category: str, index: int, rng: np.random.Generator
    ) -> tuple[LabelledImage, WrittenExpression] | None:
        """A crop of an image and an expression; None where nothing of the kind can be said."""
        told: str | None = category
        if kind == "absent":
            whole = self.source.read(index)
            box = self._crop_without(whole, category, rng)
            told = category if box is not None else None
            if box is None:
                box = self._plan(whole, rng)
            crop = self._crop(whole, box, rng)
        else:
            crop = self._crop_around(index, category, rng, wide=kind in _NEEDS_OTHERS)
        written = write_expression(crop, rng, kind, category=told)
        return None if written is None else (crop, written)

    def contrast(self, rng: np.random.Generator) -> tuple[LabelledImage, str] | None:
        """A crop that shows several objects of a category, and the category; None if none is found.

        Words of place, size and colour pick out at least two different parts of these objects.

        Raises:
            InputError: an image cannot be read.
        """
        best, most = None, 1
        for _ in range(_ATTEMPTS if len(self._several) else 0):
            category = self._several.draw_category(rng)
            index = self._several.draw_image(category, rng)
            crop = self._crop_around(index, category, rng, wide=True)
            parts = count_distinct_subsets(crop, category, rng)
            if parts > most:
                best, most = (crop, category), parts
            if parts >= _ENOUGH_PARTS:
                break
        return best

    def _crop_around(
        self, index: int, category: str, rng: np.random.Generator, *, wide: bool = False
    ) -> LabelledImage:
        whole = self.source.read(index)
        same = [item for item in whole.instances if item.category == category]
        box = self._plan(whole, rng, same[int(rng.integers(len(same)))], wide=wide)
        return self._crop(whole, box, rng)

    def _crop(self, whole: LabelledImage, box: CropBox, rng: np.random.Generator) -> LabelledImage:
        return crop_labelled(
            whole, rng, self.size_px, box=box, turn=self._augment, jitter=self._augment
        )

    def _plan(
        self,
        whole: LabelledImage,
        rng: np.random.Generator,
        around: Instance | None = None,
        *,
        wide: bool = False,
    ) -> CropBox:
        low, high = self._scale_range
        return plan_crop(
            whole,
            rng,
            self.size_px,
            scale_range=((low * high) ** 0.5 if wide else low, high),
            gsd_range_m=self._gsd_range_m,
            around=around,
        )

    def _crop_without(
        self, whole: LabelledImage, category: str, rng: np.random.Generator
    ) -> CropBox | None:
        """Half of the time, a crop of an image that has a category which shows none of it.

        Such crops are the hard ones: an apron without an airplane.
        """
        if category not in whole.complete or rng.random() < 0.5:
            return None
        kinds = kinds_of(category)
        boxes = np.array([item.bbox for item in whole.instances if item.category in kinds])
        for _ in range(8):
            box = self._plan(whole, rng)
            ends = boxes[:, :2] + boxes[:, 2:]
            clear = (ends <= (box.row, box.col)).any(1)
            clear |= (boxes[:, :2] >= (box.row + box.side, box.col + box.side)).any(1)
            if clear.all():
                return box
        return None


class _Cells:
    """Which images may serve a kind of expression: by category, then by source."""

    def __init__(self, source: InstanceSource, kind: str) -> None:
        cells: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for index, counts in enumerate(source.counts):
            for category, count in counts.items():
                if _may_serve(kind, category, count, counts):
                    cells[category][source.names[index]].append(index)
        self._categories = sorted(cells)
        totals = [sum(map(len, cells[name].values())) for name in self._categories]
        weights = np.minimum(totals, _ENOUGH_IMAGES) ** 0.5
        self._weights = weights / weights.sum() if len(weights) else weights
        self._images = {name: list(cells[name].values()) for name in self._categories}

    def __len__(self) -> int:
        """How many categories may serve."""
        return len(self._categories)

    def draw_category(self, rng: np.random.Generator) -> str:
        """One of the categories that may serve."""
        return self._categories[int(rng.choice(len(self._categories), p=self._weights))]

    def draw_image(self, category: str, rng: np.random.Generator) -> int:
        """The number of an image that has the category."""
        images = self._images[category]
        weights = np.array([len(group) for group in images]) ** 0.5
        group = images[int(rng.choice(len(images), p=weights / weights.sum()))]
        return group[int(rng.integers(len(group)))]


def _may_serve(kind: str, category: str, count: int, counts: Mapping[str, int]) -> bool:
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
    """What was written about an image, real or painted, as a sample."""
    return Sample(
        image=labelled_image.image,
        expression=written.expression,
        mask=written.mask,
        id=labelled_image.id,
        kind=written.kind,
        category=written.category,
    )


class ValidationSamples:
    """A fixed series of samples, each made when it is asked for.

    Number i is the same for the same source, seed and size.
    """

    def __init__(self, source: InstanceSource, seed: int, size_px: int) -> None:
        self._referring = ReferringInstances(source, size_px, scale_range=(0.7, 1.5), augment=False)
        self._seed = seed

    def __getitem__(self, index: int) -> Sample:
        return to_sample(*self.draw(index))

    def draw(self, index: int) -> tuple[LabelledImage, WrittenExpression]:
        """The crop of a number, and what is said of it."""
        return self._referring.draw(np.random.default_rng([self._seed, index]))


def validation_samples(source: InstanceSource, n: int, seed: int, size_px: int) -> list[Sample]:
    """The first n of :class:`ValidationSamples`."""
    samples = ValidationSamples(source, seed, size_px)
    return [samples[index] for index in range(n)]
