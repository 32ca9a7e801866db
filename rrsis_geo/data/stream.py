"""An endless, numbered stream of training samples: real instances and painted scenes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
from torch.utils.data import Dataset

from rrsis_geo.data.expressions import KIND_WEIGHTS, write_expression
from rrsis_geo.data.instances import InstanceSource
from rrsis_geo.data.referring import ReferringInstances, as_sample
from rrsis_geo.data.sample import Sample
from rrsis_geo.data.synthetic import CATEGORIES as PAINTED_CATEGORIES
from rrsis_geo.data.synthetic import paint_scene
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
    """Samples in a row that are about the same painted scene: only their words tell them apart."""
    absent_share: float = 0.25
    """Samples whose target is absent; most windows of a scene are such."""
    val_samples: int = 300

    def __post_init__(self) -> None:
        for name in ("painted_share", "absent_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be in [0, 1], got {getattr(self, name)}")
        for name in ("painted_kinds", "painted_focus"):
            shares = getattr(self, name)
            if not shares or min(shares.values()) < 0 or sum(shares.values()) <= 0:
                raise ConfigError(f"{name} must hold shares, got {dict(shares)}")
        if unknown := sorted(self.painted_kinds.keys() - PAINTED_KINDS):
            kinds = ", ".join(PAINTED_KINDS)
            raise ConfigError(f"painted_kinds: {unknown[0]!r} is none of {kinds}")
        if self.expressions_per_scene < 1:
            raise ConfigError("expressions_per_scene must be positive")
        if self.size_px % 32:
            raise ConfigError(f"size_px must be a multiple of 32, got {self.size_px}")


class SampleStream(Dataset[Sample]):
    """Sample number i of a seed is always the same, whatever the order or process."""

    def __init__(self, config: StreamConfig, *, seed: int, length: int) -> None:
        self._config, self._seed, self._length = config, seed, length
        self._real = None
        if config.instances is not None:
            self._real = ReferringInstances(
                InstanceSource(config.instances),
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
        config = self._config
        rng = np.random.default_rng([self._seed, index])
        # Where each sample has its own scene, the generator that paints it goes on to write.
        alone = config.expressions_per_scene == 1
        first = index - index % config.expressions_per_scene
        scene_rng = rng if alone else np.random.default_rng([self._seed, first, 1])
        if self._real is None or scene_rng.random() < config.painted_share:
            return painted_sample(
                scene_rng,
                config.size_px,
                config.painted_gsd_range_m,
                absent_share=config.absent_share,
                kinds=config.painted_kinds,
                focus=config.painted_focus,
                words=rng,
            )
        return self._real.sample(rng)


def painted_sample(
    rng: np.random.Generator,
    size_px: int,
    gsd_range_m: tuple[float, float],
    *,
    absent_share: float = 0.2,
    kinds: Mapping[str, float] = PAINTED_KINDS,
    focus: Mapping[str, float] = PAINTED_FOCUS,
    words: np.random.Generator | None = None,
) -> Sample:
    """A painted scene with an expression about it.

    Args:
        rng: the source of chance for the scene, and for the words too unless ``words`` is given.
        size_px: side of the scene, pixels.
        gsd_range_m: least and most metres per pixel.
        absent_share: how often the target is to be absent.
        kinds: share of each kind of expression whose target is present.
        focus: share of the categories to speak of, where the scene allows it; "" is any.
        words: the source of chance for the words.
    """
    low, high = np.log(gsd_range_m)
    kinds = _with_absent(kinds, absent_share)
    words = words or rng
    while True:
        scene = paint_scene(rng, size_px, size_px, float(np.exp(rng.uniform(low, high))))
        kind, category = _draw(kinds, words), _draw(focus, words)
        written = (
            (category and write_expression(scene, words, kind, category=category))
            or write_expression(scene, words, kind)
            or write_expression(scene, words, "category")
        )
        if written is not None:
            return replace(as_sample(scene, written), id=f"painted: {written.expression}")


def _draw(shares: Mapping[str, float], rng: np.random.Generator) -> str:
    weights = np.array(list(shares.values()))
    return list(shares)[int(rng.choice(len(shares), p=weights / weights.sum()))]


def _with_absent(kinds: Mapping[str, float], absent_share: float) -> dict[str, float]:
    """The shares of kinds, scaled so that "absent" has the share given."""
    present = {kind: share for kind, share in kinds.items() if kind != "absent"}
    rest = (1 - absent_share) / sum(present.values())
    return {**{kind: share * rest for kind, share in present.items()}, "absent": absent_share}
