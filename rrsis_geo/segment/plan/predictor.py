"""The interface between `segment` and a model."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from numpy import float32, uint8
from numpy.typing import NDArray

from rrsis_geo.model.facts import ModelFacts

CPU_BATCH = 4
"""Windows per batch on a CPU: enough for several cores, with little memory."""
GPU_BATCH = 16


class WindowOutput(Protocol):
    """Output of a predictor for B windows and one expression.

    Windows whose output has another shape, or values that are not finite, count as failed.
    """

    @property
    def logits(self) -> NDArray[float32]:
        """Log-odds that a pixel is the target, float32 [B, S, S], finite."""

    @property
    def presence(self) -> NDArray[float32] | None:
        """Log-odds that the target is in the window, float32 [B], or None."""


class WindowPredictor(Protocol):
    """A model that segments windows: `rrsis_geo.model.predictor.Predictor` or a class like it."""

    @property
    def facts(self) -> ModelFacts:
        """Name, image settings, device and weights of the model."""

    def encode(self, expression: str) -> Any:
        """Encode an expression once, for any number of windows."""

    def cut_words(self, expression: str) -> str:
        """The end of an expression that is longer than the model reads; "" if all of it is read."""
        return ""

    def predict_all(self, images: NDArray[uint8], words: Sequence[Any]) -> Sequence[WindowOutput]:
        """Predict windows, uint8 RGB [B, S, S, 3], for each of several encoded expressions."""


class EncodedPredictor(NamedTuple):
    """A predictor with the encoded expressions of a run.

    Attributes:
        predictor: the model.
        words: one entry per expression, as `WindowPredictor.encode` returned it.
        batch_size: maximum number of windows per call of the predictor.
    """

    predictor: WindowPredictor
    words: tuple[Any, ...]
    batch_size: int

    @staticmethod
    def encode(
        predictor: WindowPredictor, expressions: Sequence[str], *, batch_size: int | None = None
    ) -> "EncodedPredictor":
        """Encode expressions. The default batch size depends on the device."""
        default = CPU_BATCH if predictor.facts.device == "cpu" else GPU_BATCH
        words = tuple(predictor.encode(expression) for expression in expressions)
        return EncodedPredictor(predictor, words, batch_size or default)
