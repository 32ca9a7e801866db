"""Numbered stream of training samples from real instances and painted scenes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from torch.utils.data import Dataset

from rrsis_geo.data.expressions.kinds import (
    ALL_CLAUSES,
    KIND_WEIGHTS,
    ClauseKind,
    ExpressionKinds,
    can_write,
)
from rrsis_geo.data.expressions.rewording import reword_expression, write_foreign_expression
from rrsis_geo.data.expressions.writer import write_expression
from rrsis_geo.data.instances.coco import InstanceSource
from rrsis_geo.data.instances.referring import CropSettings, ReferringInstances, to_sample
from rrsis_geo.data.painter.scene import CATEGORIES as PAINTED_CATEGORIES
from rrsis_geo.data.painter.scene import paint_scene
from rrsis_geo.data.sample import LabelledImage, Sample
from rrsis_geo.errors import ConfigError

REAL_SHARES: Final = {"category": 0.6, "colour": 0.2, "relation": 0.15, "combination": 0.05}
"""Kind -> its share of the expressions about crops of real images."""
PAINTED_SHARES: Final = {"category": 0.42, "colour": 0.16, "relation": 0.34, "combination": 0.08}
"""Kind -> its share of the expressions about painted scenes, whose relations are known."""
CONTRAST_SHARES: Final = {"category": 0.35, "colour": 0.45, "combination": 0.2}
"""Kind -> its share of the expressions about a contrast crop of a real image."""
ALL_PAINTED_KINDS: Final = ExpressionKinds(
    {
        "category": 0.24,
        "colour": 0.12,
        "size": 0.05,
        "position": 0.1,
        "relation": 0.32,
        "combination": 0.12,
    },
    ALL_CLAUSES,
).with_absent(0.2)
"""Expressions about painted scenes with clauses of all kinds, to validate with."""
PAINTED_FOCUS: Final = {"truck": 0.34, "bus": 0.08, "van": 0.08, "car": 0.16, "": 0.34}
"""Category -> its share of the expressions about painted scenes; "" is any category.

Traffic has large shares because real labels rarely distinguish its kinds."""

_SHARES: Final = (
    "whole_share",
    "unlabelled_share",
    "false_colour_share",
    "painted_share",
    "instance_contrast",
    "painted_contrast",
    "reworded_share",
    "foreign_share",
    "absent_share",
)
_KINDS_SETTINGS: Final = ("real_kinds", "painted_kinds", "contrast_kinds")

_CONTRAST_ATTEMPTS: Final = 6
"""Scenes painted to find one with a category both on and off the road."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamConfig:
    """Sources of training samples."""

    instances: Path | tuple[Path, ...] | None = None
    """COCO files, each with its images in "images" beside it. None uses painted scenes only."""
    val_instances: Path | tuple[Path, ...] | None = None
    size_px: int = 320
    scale_range: tuple[float, float] = (0.5, 2.0)
    """Pixels of a real image per pixel of a sample."""
    gsd_range_m: tuple[float, float] = (0.12, 0.8)
    whole_share: float = 0.0
    """Share of the samples of real images that show a whole image, squashed to a square."""
    category_weights: Mapping[str, float] = field(default_factory=dict)
    """Category -> how much more often than by default samples of real images name it."""
    absent_weights: Mapping[str, float] | None = None
    """The same for absent targets; "" is images without objects. None is ``category_weights``."""
    unlabelled_share: float = 0.0
    """Share of the samples of real images that ask for a vehicle which may be there without a
    label, see `data/instances/unlabelled.py`. Shared crops have none."""
    false_colour_share: float = 0.0
    """Share of the crops of real images that get the colours of an infrared camera."""
    painted_gsd_range_m: tuple[float, float] = (0.12, 0.5)
    """Ground sample distance of painted scenes. It keeps vehicles larger than a few pixels."""
    clauses: tuple[ClauseKind, ...] = ("colour", "contact")
    """Kinds of clauses that expressions may have. A window of a scene is enough for those of the
    default; rules over the scene resolve position, size and sides."""
    real_kinds: Mapping[str, float] = field(default_factory=lambda: REAL_SHARES)
    """Kind of expression -> its share among those about real images, without absent targets."""
    painted_share: float = 0.3
    painted_kinds: Mapping[str, float] = field(default_factory=lambda: PAINTED_SHARES)
    painted_focus: Mapping[str, float] = field(default_factory=lambda: PAINTED_FOCUS)
    expressions_per_scene: int = 1
    """Consecutive samples that share a painted scene, or a contrast crop of a real image, so that
    they differ only in their expressions."""
    instance_contrast: float = 0.0
    """Share of real images that become contrast crops: consecutive samples share a crop with
    several objects of a category and refer to some of them."""
    contrast_kinds: Mapping[str, float] = field(default_factory=lambda: CONTRAST_SHARES)
    painted_contrast: float = 0.0
    """Share of shared painted scenes with a category both on and off the road. All their
    expressions name that category, so only the relation distinguishes its objects."""
    reworded_share: float = 0.0
    """Share of samples reworded with rare names, see `data/expressions/rewording.py`."""
    foreign_share: float = 0.0
    """Share of samples with an absent target that name a thing that no label knows."""
    absent_share: float = 0.25
    """Share of samples with an absent target. The target is absent from most windows of a scene."""
    val_samples: int = 300
    cache_mib: int = 1024
    """Memory for decoded images in each process that reads samples."""

    def __post_init__(self) -> None:
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be in [0, 1], got {getattr(self, name)}")
        for name in (*_KINDS_SETTINGS, "painted_focus"):
            shares = getattr(self, name)
            if not shares or min(shares.values()) < 0 or sum(shares.values()) <= 0:
                raise ConfigError(f"{name} must be shares with a positive sum, got {dict(shares)}")
        for name in ("category_weights", "absent_weights"):
            for category, weight in (getattr(self, name) or {}).items():
                if weight < 0:
                    raise ConfigError(f"{name}: {category!r} must not be negative")
        for name in _KINDS_SETTINGS:
            self._check_kinds(name)
        if self.expressions_per_scene < 1:
            raise ConfigError("expressions_per_scene must be positive")
        if self.cache_mib < 0:
            raise ConfigError(f"cache_mib must not be negative, got {self.cache_mib}")
        if self.size_px % 32:
            raise ConfigError(f"size_px must be a multiple of 32, got {self.size_px}")

    def _check_kinds(self, name: str) -> None:
        known = KIND_WEIGHTS.keys() - {"absent"}
        possible = sorted(kind for kind in known if can_write(kind, self._allowed))
        for kind, share in getattr(self, name).items():
            if kind not in known:
                raise ConfigError(
                    f"{name}: unknown kind {kind!r}; choose from {', '.join(possible)}"
                )
            if share and kind not in possible:
                raise ConfigError(
                    f"{name}: {kind!r} needs other clauses than {list(self.clauses)}; remove it, "
                    "because rules over the scene resolve such expressions, or add to the clauses"
                )

    @property
    def _allowed(self) -> frozenset[str]:
        return frozenset(self.clauses)

    def kinds(self, shares: Mapping[str, float]) -> ExpressionKinds:
        """The expressions of ``real_kinds``, ``painted_kinds`` or ``contrast_kinds``."""
        used = {kind: share for kind, share in shares.items() if share}
        return ExpressionKinds(used, self._allowed).with_absent(self.absent_share)


class SampleStream(Dataset[Sample]):
    """Training samples by number. Sample i depends on the seed and i only, not on access order."""

    def __init__(self, config: StreamConfig, *, seed: int, length: int) -> None:
        self._config, self._seed, self._length = config, seed, length
        self._real = None
        self._current_image: _SharedImage | None = None
        if config.instances is not None:
            self._real = ReferringInstances(
                InstanceSource(config.instances, cache_mib=config.cache_mib),
                config.size_px,
                kinds=config.kinds(config.real_kinds),
                crops=CropSettings(
                    scale_range=config.scale_range,
                    gsd_range_m=config.gsd_range_m,
                    whole_share=config.whole_share,
                    false_colour_share=config.false_colour_share,
                ),
                category_weights=config.category_weights,
                absent_weights=config.absent_weights,
                only_with_landmarks=True,
            )

    @property
    def categories(self) -> frozenset[str]:
        """Categories that expressions can name."""
        painted = PAINTED_CATEGORIES if self._config.painted_share > 0 else frozenset()
        real = () if self._real is None else self._real.source.counts
        return painted.union(*(counts.keys() for counts in real))

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Sample:
        sample = self._draw_sample(index)
        rng = np.random.default_rng([self._seed, index, 2])
        if sample.kind == "absent" and rng.random() < self._config.foreign_share:
            return replace(sample, expression=write_foreign_expression(rng), category="")
        if rng.random() < self._config.reworded_share:
            return replace(sample, expression=reword_expression(sample.expression, rng))
        return sample

    def _draw_sample(self, index: int) -> Sample:
        """A sample before rewording."""
        config = self._config
        rng = np.random.default_rng([self._seed, index])
        if config.expressions_per_scene == 1:
            real = self._is_real(rng)
        else:
            first = index - index % config.expressions_per_scene
            if self._current_image is None or self._current_image.number != first:
                self._current_image = self._draw_shared_image(first)
            real = self._current_image.is_real
            if sample := self._current_image.write_sample(rng):
                return sample
        if real:
            assert self._real is not None
            share = config.unlabelled_share
            is_unlabelled = bool(share) and rng.random() < share
            sample = self._real.draw_unlabelled(rng) if is_unlabelled else None
            return sample or self._real.sample(rng)
        return painted_sample(
            rng,
            config.size_px,
            config.painted_gsd_range_m,
            kinds=config.kinds(config.painted_kinds),
            focus=config.painted_focus,
        )

    def _is_real(self, rng: np.random.Generator) -> bool:
        return self._real is not None and rng.random() >= self._config.painted_share

    def _draw_shared_image(self, number: int) -> "_SharedImage":
        """Draw the image that the samples from ``number`` on share."""
        config = self._config
        rng = np.random.default_rng([self._seed, number, 1])
        if self._is_real(rng):
            return self._draw_real_image(number, rng)
        scene, category = _paint_contrast_scene(rng, config)
        kinds = config.kinds(config.painted_kinds)
        focus = {category: 1.0} if category else config.painted_focus
        return _SharedImage(number, False, scene, kinds, focus)

    def _draw_real_image(self, number: int, rng: np.random.Generator) -> "_SharedImage":
        config, real = self._config, self._real
        assert real is not None
        kinds = config.kinds(config.contrast_kinds)
        contrast = real.draw_contrast_crop(rng) if rng.random() < config.instance_contrast else None
        if contrast is None:
            return _SharedImage(number, True, None, kinds, {})
        crop, category = contrast
        return _SharedImage(number, True, crop, kinds, {category: 1.0})


class _SharedImage(NamedTuple):
    """The image that consecutive samples share. The stream keeps the last one.

    Attributes:
        number: number of the first sample.
        is_real: whether the image is real or painted.
        scene: the image; None if each sample draws its own.
        kinds: which expressions to write.
        focus: category -> its share of the expressions.
    """

    number: int
    is_real: bool
    scene: LabelledImage | None
    kinds: ExpressionKinds
    focus: Mapping[str, float]

    def write_sample(self, rng: np.random.Generator) -> Sample | None:
        """Write a sample about the image. None if no expression is possible."""
        return (
            None if self.scene is None else _write_sample(self.scene, rng, self.kinds, self.focus)
        )


def _paint_contrast_scene(
    rng: np.random.Generator, config: StreamConfig
) -> tuple[LabelledImage, str]:
    """Paint a scene. Returns it with the category that is on and off the road, or with ""."""
    use_contrast = rng.random() < config.painted_contrast
    category = _draw_name(config.painted_focus, rng) if use_contrast else ""
    for _ in range(_CONTRAST_ATTEMPTS if category else 1):
        scene = _paint_random_scene(rng, config.size_px, config.painted_gsd_range_m)
        on = {item.attributes.get("on") for item in scene.instances if item.category == category}
        if "road" in on and len(on) > 1:
            return scene, category
    return scene, ""


def _paint_random_scene(
    rng: np.random.Generator, size_px: int, gsd_range_m: tuple[float, float]
) -> LabelledImage:
    low, high = np.log(gsd_range_m)
    return paint_scene(rng, size_px, size_px, float(np.exp(rng.uniform(low, high))))


def _write_sample(
    scene: LabelledImage,
    rng: np.random.Generator,
    kinds: ExpressionKinds,
    focus: Mapping[str, float],
) -> Sample | None:
    """Write a sample about a scene. None if no expression is possible.

    If the focus is one category, other kinds of expressions about it are tried first. Otherwise
    other categories are tried. Half of the absent targets can have any category, because an absent
    category is more common than an absent colour of a present one.
    """
    if len(focus) == 1:
        (category,) = focus
        attempts = [(kind, category) for kind in _weighted_order(kinds.shares, rng)]
        if attempts[0][0] == "absent" and rng.random() < 0.5:
            attempts.insert(0, ("absent", ""))
    else:
        kind = _draw_name(kinds.shares, rng)
        attempts = [(kind, _draw_name(focus, rng)), (kind, "")]
    for kind, name in [*attempts, ("category", "")]:
        written = write_expression(scene, rng, kind, category=name or None, allowed=kinds.clauses)
        if written is not None:
            return replace(to_sample(scene, written), id=f"{scene.id}: {written.expression}")
    return None


def painted_sample(
    rng: np.random.Generator,
    size_px: int,
    gsd_range_m: tuple[float, float],
    *,
    kinds: ExpressionKinds = ALL_PAINTED_KINDS,
    focus: Mapping[str, float] = PAINTED_FOCUS,
) -> Sample:
    """Paint a scene and write an expression about it.

    Args:
        rng: source of all randomness.
        size_px: side of the scene, pixels.
        gsd_range_m: smallest and largest ground sample distance.
        kinds: which expressions to write.
        focus: category to name, if the scene allows it -> its share; "" is any category.
    """
    while True:
        scene = _paint_random_scene(rng, size_px, gsd_range_m)
        if sample := _write_sample(scene, rng, kinds, focus):
            return sample


def _draw_name(shares: Mapping[str, float], rng: np.random.Generator) -> str:
    weights = np.array(list(shares.values()))
    return list(shares)[int(rng.choice(len(shares), p=weights / weights.sum()))]


def _weighted_order(shares: Mapping[str, float], rng: np.random.Generator) -> list[str]:
    """The names with a positive share, in random order weighted by their shares."""
    names = [name for name, share in shares.items() if share > 0]
    weights = np.array([shares[name] for name in names])
    order = rng.choice(len(names), len(names), replace=False, p=weights / weights.sum())
    return [names[index] for index in order]
