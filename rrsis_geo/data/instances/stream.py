"""An endless, numbered stream of training samples: real instances and painted scenes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from torch.utils.data import Dataset

from rrsis_geo.data.expressions.rewording import reword_expression, write_foreign_expression
from rrsis_geo.data.expressions.writer import KIND_WEIGHTS, write_expression
from rrsis_geo.data.instances.coco import InstanceSource
from rrsis_geo.data.instances.referring import ReferringInstances, to_sample
from rrsis_geo.data.painter.scene import CATEGORIES as PAINTED_CATEGORIES
from rrsis_geo.data.painter.scene import paint_scene
from rrsis_geo.data.sample import LabelledImage, Sample
from rrsis_geo.errors import ConfigError

PAINTED_KINDS: Final = {
    "category": 0.24,
    "colour": 0.12,
    "size": 0.05,
    "position": 0.1,
    "relation": 0.32,
    "combination": 0.12,
}
"""Share of each kind among expressions about painted scenes: their relations are known."""
PAINTED_FOCUS: Final = {"truck": 0.34, "bus": 0.08, "van": 0.08, "car": 0.16, "": 0.34}
"""Share of categories among what expressions about painted scenes are to speak of, "" leaving it to
chance: real labels hardly know traffic by its kinds."""

CONTRAST_KINDS: Final = {
    "category": 0.12,
    "colour": 0.14,
    "size": 0.25,
    "position": 0.34,
    "combination": 0.15,
}
"""Share of each kind among expressions that share a real crop with several objects of one sort."""

_CONTRAST_ATTEMPTS: Final = 6
"""Scenes painted in search of one where a category is on the road and off it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamConfig:
    """Where training samples come from."""

    instances: Path | None = None
    """COCO file, its images in "images" beside it; None trains on painted scenes alone."""
    val_instances: Path | None = None
    size_px: int = 320
    scale_range: tuple[float, float] = (0.5, 2.0)
    """Pixels of a real image per pixel of a sample."""
    gsd_range_m: tuple[float, float] = (0.12, 0.8)
    painted_gsd_range_m: tuple[float, float] = (0.12, 0.5)
    """Ground pixel of painted scenes; vehicles are to be more than a few pixels."""
    painted_share: float = 0.3
    painted_kinds: Mapping[str, float] = field(default_factory=lambda: PAINTED_KINDS)
    painted_focus: Mapping[str, float] = field(default_factory=lambda: PAINTED_FOCUS)
    expressions_per_scene: int = 1
    """Samples in a row that are about the same painted scene, or the same crop of a real image
    where ``instance_contrast`` says so: only their words tell them apart."""
    instance_contrast: float = 0.0
    """Share of the real images of which samples in a row share a crop that shows several objects of
    a category, and all speak of it: without words of place, size and colour none is found."""
    contrast_kinds: Mapping[str, float] = field(default_factory=lambda: CONTRAST_KINDS)
    painted_contrast: float = 0.0
    """Share of the scenes that several expressions share which all speak of one category, and are
    drawn anew until it is on the road and off it: then only the relation tells them apart."""
    reworded_share: float = 0.0
    """Samples that are said in rarer words, see `data/expressions/rewording.py`."""
    foreign_share: float = 0.0
    """Samples, of those whose target is absent, that ask for what no label knows."""
    absent_share: float = 0.25
    """Samples whose target is absent; most windows of a scene are such."""
    val_samples: int = 300
    cache_mib: int = 1024
    """Memory in which each process that reads samples may keep decoded images."""

    def __post_init__(self) -> None:
        names = ("painted_share", "absent_share", "painted_contrast", "reworded_share")
        for name in (*names, "foreign_share", "instance_contrast"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be in [0, 1], got {getattr(self, name)}")
        for name in ("painted_kinds", "painted_focus", "contrast_kinds"):
            shares = getattr(self, name)
            if not shares or min(shares.values()) < 0 or sum(shares.values()) <= 0:
                raise ConfigError(f"{name} must hold shares, got {dict(shares)}")
        for name in ("painted_kinds", "contrast_kinds"):
            if unknown := sorted(getattr(self, name).keys() - PAINTED_KINDS):
                kinds = ", ".join(PAINTED_KINDS)
                raise ConfigError(f"{name}: {unknown[0]!r} is none of {kinds}")
        if self.expressions_per_scene < 1:
            raise ConfigError("expressions_per_scene must be positive")
        if self.cache_mib < 0:
            raise ConfigError(f"cache_mib must not be negative, got {self.cache_mib}")
        if self.size_px % 32:
            raise ConfigError(f"size_px must be a multiple of 32, got {self.size_px}")


class SampleStream(Dataset[Sample]):
    """Sample number i of a seed is always the same, whatever the order or process."""

    def __init__(self, config: StreamConfig, *, seed: int, length: int) -> None:
        self._config, self._seed, self._length = config, seed, length
        self._real = None
        self._shared: _Shared | None = None
        if config.instances is not None:
            self._real = ReferringInstances(
                InstanceSource(config.instances, cache_mib=config.cache_mib),
                config.size_px,
                kinds=_with_absent(KIND_WEIGHTS, config.absent_share),
                scale_range=config.scale_range,
                gsd_range_m=config.gsd_range_m,
            )

    @property
    def categories(self) -> frozenset[str]:
        """The categories that samples may speak of."""
        painted = PAINTED_CATEGORIES if self._config.painted_share > 0 else frozenset()
        real = () if self._real is None else self._real.source.counts
        return painted.union(*(counts.keys() for counts in real))

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Sample:
        sample = self._usual(index)
        rng = np.random.default_rng([self._seed, index, 2])
        if sample.kind == "absent" and rng.random() < self._config.foreign_share:
            return replace(sample, expression=write_foreign_expression(rng), category="")
        if rng.random() < self._config.reworded_share:
            return replace(sample, expression=reword_expression(sample.expression, rng))
        return sample

    def _usual(self, index: int) -> Sample:
        """A sample as our writer says it."""
        config = self._config
        rng = np.random.default_rng([self._seed, index])
        if config.expressions_per_scene == 1:
            real = self._is_real(rng)
        else:
            first = index - index % config.expressions_per_scene
            if self._shared is None or self._shared.number != first:
                self._shared = self._share(first)
            real = self._shared.real
            if sample := self._shared.tell(rng):
                return sample
        if real:
            assert self._real is not None
            return self._real.sample(rng)
        return painted_sample(
            rng,
            config.size_px,
            config.painted_gsd_range_m,
            absent_share=config.absent_share,
            kinds=config.painted_kinds,
            focus=config.painted_focus,
        )

    def _is_real(self, rng: np.random.Generator) -> bool:
        return self._real is not None and rng.random() >= self._config.painted_share

    def _share(self, number: int) -> "_Shared":
        """What the samples from ``number`` on share."""
        config = self._config
        rng = np.random.default_rng([self._seed, number, 1])
        if self._is_real(rng):
            return self._share_real(number, rng)
        scene, category = _paint_contrast(rng, config)
        kinds = _with_absent(config.painted_kinds, config.absent_share)
        focus = {category: 1.0} if category else config.painted_focus
        return _Shared(number, False, scene, kinds, focus)

    def _share_real(self, number: int, rng: np.random.Generator) -> "_Shared":
        config, real = self._config, self._real
        assert real is not None
        kinds = _with_absent(config.contrast_kinds, config.absent_share)
        found = real.contrast(rng) if rng.random() < config.instance_contrast else None
        if found is None:
            return _Shared(number, True, None, kinds, {})
        crop, category = found
        return _Shared(number, True, crop, kinds, {category: 1.0})


class _Shared(NamedTuple):
    """What samples in a row share; the last one is kept, since samples are asked for in a row.

    Attributes:
        number: of the first sample.
        real: of a real image, not painted.
        scene: that they are about; None where each draws an image of its own.
        kinds: share of each kind of expression.
        focus: share of the categories to speak of.
    """

    number: int
    real: bool
    scene: LabelledImage | None
    kinds: Mapping[str, float]
    focus: Mapping[str, float]

    def tell(self, rng: np.random.Generator) -> Sample | None:
        """A sample about the scene; None where nothing can be said of it."""
        return None if self.scene is None else _told(self.scene, rng, self.kinds, self.focus)


def _paint_contrast(rng: np.random.Generator, config: StreamConfig) -> tuple[LabelledImage, str]:
    """A painted scene, and the category that is on the road and off it where that was asked for."""
    contrast = rng.random() < config.painted_contrast
    category = _draw(config.painted_focus, rng) if contrast else ""
    for _ in range(_CONTRAST_ATTEMPTS if category else 1):
        scene = _paint(rng, config.size_px, config.painted_gsd_range_m)
        on = {item.attributes.get("on") for item in scene.instances if item.category == category}
        if "road" in on and len(on) > 1:
            return scene, category
    return scene, ""


def _paint(
    rng: np.random.Generator, size_px: int, gsd_range_m: tuple[float, float]
) -> LabelledImage:
    low, high = np.log(gsd_range_m)
    return paint_scene(rng, size_px, size_px, float(np.exp(rng.uniform(low, high))))


def _told(
    scene: LabelledImage,
    rng: np.random.Generator,
    kinds: Mapping[str, float],
    focus: Mapping[str, float],
) -> Sample | None:
    """A sample about a scene; None where nothing can be said of it.

    What cannot be said is replaced: where the focus is one category by another kind of expression
    about it, else by another category. Half of what is absent is of any category all the same, for
    what is absent most often is a thing, not a colour of it.
    """
    if len(focus) == 1:
        (category,) = focus
        attempts = [(kind, category) for kind in _shuffled(kinds, rng)]
        if attempts[0][0] == "absent" and rng.random() < 0.5:
            attempts.insert(0, ("absent", ""))
    else:
        kind = _draw(kinds, rng)
        attempts = [(kind, _draw(focus, rng)), (kind, "")]
    for kind, name in [*attempts, ("category", "")]:
        if written := write_expression(scene, rng, kind, category=name or None):
            return replace(to_sample(scene, written), id=f"{scene.id}: {written.expression}")
    return None


def painted_sample(
    rng: np.random.Generator,
    size_px: int,
    gsd_range_m: tuple[float, float],
    *,
    absent_share: float = 0.2,
    kinds: Mapping[str, float] = PAINTED_KINDS,
    focus: Mapping[str, float] = PAINTED_FOCUS,
) -> Sample:
    """A painted scene with an expression about it.

    Args:
        rng: the source of chance.
        size_px: side of the scene, pixels.
        gsd_range_m: least and most metres per pixel.
        absent_share: how often the target is to be absent.
        kinds: share of each kind of expression whose target is present.
        focus: share of the categories to speak of, where the scene allows it; "" is any.
    """
    kinds = _with_absent(kinds, absent_share)
    while True:
        scene = _paint(rng, size_px, gsd_range_m)
        if sample := _told(scene, rng, kinds, focus):
            return sample


def _draw(shares: Mapping[str, float], rng: np.random.Generator) -> str:
    weights = np.array(list(shares.values()))
    return list(shares)[int(rng.choice(len(shares), p=weights / weights.sum()))]


def _shuffled(shares: Mapping[str, float], rng: np.random.Generator) -> list[str]:
    """All that have a share, the first one drawn by it, and so on."""
    names = [name for name, share in shares.items() if share > 0]
    weights = np.array([shares[name] for name in names])
    order = rng.choice(len(names), len(names), replace=False, p=weights / weights.sum())
    return [names[index] for index in order]


def _with_absent(kinds: Mapping[str, float], absent_share: float) -> dict[str, float]:
    """The shares of kinds, scaled so that "absent" has the share given."""
    present = {kind: share for kind, share in kinds.items() if kind != "absent"}
    rest = (1 - absent_share) / sum(present.values())
    return {**{kind: share * rest for kind, share in present.items()}, "absent": absent_share}
