"""Stand-ins for a model with a simple rule, so that expected results can be computed."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.geo.scene.options import SceneOptions
from rrsis_geo.images import ImageSpec
from rrsis_geo.model.facts import ModelFacts
from rrsis_geo.segment.plan.options import SegmentOptions

SCENE_OPTIONS = {field.name for field in fields(SceneOptions)}


class StubOutput(NamedTuple):
    logits: NDArray[np.float32]
    presence: NDArray[np.float32] | None


class StubPredictor:
    """Base class of the stand-ins. Subclasses define `predict`."""

    image = ImageSpec(size_px=64)

    @property
    def facts(self) -> ModelFacts:
        return ModelFacts(name=type(self).__name__, image=self.image)

    def encode(self, expression: str) -> Any:
        return expression

    def cut_words(self, expression: str) -> str:
        return ""

    def predict(self, images: NDArray[np.uint8], words: Any) -> StubOutput:
        raise NotImplementedError

    def predict_all(self, images: NDArray[np.uint8], words: Sequence[Any]) -> list[StubOutput]:
        return [self.predict(images, each) for each in words]


class RedPredictor(StubPredictor):
    """Finds red pixels, independently of their neighbours.

    With ``position_dependent`` the logits also depend on the position in the window, as those of
    real networks do, so that errors in blending become visible.
    """

    def __init__(
        self,
        size_px: int = 64,
        *,
        position_dependent: bool = False,
        presence: float | None = 3.0,
        **image: Any,
    ) -> None:
        self.image = ImageSpec(size_px=size_px, **image)
        self.position_dependent = position_dependent
        self.presence = presence
        self.batches: list[int] = []
        self.expressions: list[str] = []

    def encode(self, expression: str) -> str:
        self.expressions.append(expression)
        return expression

    def predict(self, images: NDArray[np.uint8], words: Any) -> StubOutput:
        assert words in self.expressions
        size = self.image.size_px
        assert images.shape[1:] == (size, size, 3)
        assert images.dtype == np.uint8
        self.batches.append(len(images))
        logits = red_logits(images)
        if self.position_dependent:
            place = np.linspace(-1, 1, size, dtype=np.float32)
            logits = logits + place[:, None] + 0.5 * place
            mean = images.mean(axis=(1, 2, 3), dtype=np.float32)[:, None, None]
            logits = logits + (mean - 105) / 20
        presence = None
        if self.presence is not None:
            presence = np.full(len(images), self.presence, np.float32)
        return StubOutput(logits, presence)


def make_options(**options: Any) -> SegmentOptions:
    """Segment options; the options of the scene are given beside the others."""
    scene = {name: value for name, value in options.items() if name in SCENE_OPTIONS}
    own = {name: value for name, value in options.items() if name not in SCENE_OPTIONS}
    return SegmentOptions(**own, scene=SceneOptions(**scene))


def red_logits(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Log-odds: how much red exceeds the larger of green and blue; never exactly 0."""
    colour = rgb.astype(np.float32)
    return (colour[..., 0] - np.maximum(colour[..., 1], colour[..., 2]) - np.float32(20.5)) / 16


Blobs = Callable[[NDArray[np.intp], NDArray[np.intp], int], NDArray[np.generic]]


def blobs(period: int = 37, radius: int = 9) -> Blobs:
    """Scene content: red discs on gray at irregular positions, some with a hole."""

    def content(row: NDArray[np.intp], col: NDArray[np.intp], band: int) -> NDArray[np.generic]:
        i, j = row // period, col // period
        dy = row - i * period - period // 2 - (i * 7 + j * 5) % 11 + 5
        dx = col - j * period - period // 2 - (i * 3 + j * 13) % 9 + 4
        distance = np.hypot(dy, dx)
        inside = distance < radius
        inside &= ~((distance < radius / 3) & ((i + j) % 3 == 0))
        return np.where(inside, (220, 40, 40)[band - 1], 100 + (row + col) % 7)

    return content
