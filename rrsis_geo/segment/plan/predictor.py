"""The interface between `segment` and a model."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from numpy import float32, uint8
from numpy.typing import NDArray

from rrsis_geo.geo.grid.arrays import HOST, Array, Arrays
from rrsis_geo.model.facts import ModelFacts

CPU_BATCH = 4
"""Windows per batch on a CPU: enough for several cores, with little memory."""
GPU_BATCH = 16
"""The same on another device, unless its predictor chooses by the memory."""


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


class DeviceOutput(Protocol):
    """As `WindowOutput`, but on a device."""

    @property
    def logits(self) -> Array:
        """Log-odds that a pixel is the target, float32 [B, S, S]."""

    @property
    def presence(self) -> Array | None:
        """Log-odds that the target is in the window, float32 [B], or None."""


@runtime_checkable
class DevicePredictor(WindowPredictor, Protocol):
    """A predictor that can leave its outputs on its device, where they are blended.

    Attributes:
        arrays: where its inputs and outputs are. None if they are in NumPy arrays: then it is used
            as any other predictor.
        default_batch: windows per batch unless the user chooses; None takes that of the device.
    """

    arrays: Arrays | None
    default_batch: int | None

    def predict_on_device(self, images: Array, words: Sequence[Any]) -> Sequence[DeviceOutput]:
        """As `predict_all`, with images and outputs on the device. It need not wait for them."""


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
        """Encode expressions. The default batch size depends on the device and its memory."""
        if batch_size is None and isinstance(predictor, DevicePredictor):
            batch_size = predictor.default_batch
        if batch_size is None:
            batch_size = CPU_BATCH if predictor.facts.device == "cpu" else GPU_BATCH
        words = tuple(predictor.encode(expression) for expression in expressions)
        return EncodedPredictor(predictor, words, batch_size)

    @property
    def arrays(self) -> Arrays:
        """Where the outputs are blended."""
        found = self.predictor.arrays if isinstance(self.predictor, DevicePredictor) else None
        return HOST if found is None else found
