"""Predict batches of windows. Windows of a failed batch are tried again one by one."""

import logging
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.errors import DeviceError, ModelError, RrsisError
from rrsis_geo.segment.plan.predictor import EncodedPredictor, WindowOutput, WindowPredictor

logger = logging.getLogger(__name__)

_PREDICTOR_ERRORS = (
    RrsisError,
    RuntimeError,  # torch, for most failures
    ValueError,
    ArithmeticError,
    MemoryError,
)


class WindowResult(NamedTuple):
    """Output of the predictor for some windows of a row and one expression.

    Attributes:
        cols: columns of the windows.
        output: of the predictor, or the error of a single window.
        seconds: time spent in the predictor.
    """

    cols: Sequence[int]
    output: WindowOutput | Exception
    seconds: float


def predict_windows(
    encoded: EncodedPredictor, images: NDArray[np.uint8], cols: Sequence[int]
) -> list[list[WindowResult]]:
    """Predict a batch of windows, uint8 RGB [B, S, S, 3], for every expression.

    If the batch fails, each window is tried once more by itself, separately for each expression.

    Returns:
        The results of each expression, which together cover the batch.
    """
    predictor, words = encoded.predictor, encoded.words
    started = time.perf_counter()
    try:
        outputs = _predict(predictor, images, words)
    except _PREDICTOR_ERRORS as err:
        logger.info("%s; trying again, one window at a time", err)
    else:
        seconds = (time.perf_counter() - started) / len(words)
        return [[WindowResult(cols, output, seconds)] for output in outputs]
    return [
        [
            _predict_single(predictor, image, col_j, each)
            for image, col_j in zip(images, cols, strict=True)
        ]
        for each in words
    ]


def _predict_single(
    predictor: WindowPredictor, image: NDArray[np.uint8], col_j: int, words: Any
) -> WindowResult:
    """Predict one window for one expression. The result holds the error if this fails."""
    started = time.perf_counter()
    output: WindowOutput | Exception
    try:
        output = _predict(predictor, image[None], [words])[0]
    except MemoryError:
        output = DeviceError("too little free memory to predict a window")
    except _PREDICTOR_ERRORS as err:
        output = err
    return WindowResult([col_j], output, time.perf_counter() - started)


def _predict(
    predictor: WindowPredictor, images: NDArray[np.uint8], words: Sequence[Any]
) -> Sequence[WindowOutput]:
    """The output of the predictor for each expression, checked.

    Raises:
        ModelError: an output is not as `WindowOutput` describes it.
    """
    outputs = predictor.predict_all(images, words)
    if len(outputs) != len(words):
        raise ModelError(f"the model gave {len(outputs)} outputs for {len(words)} expressions")
    for output in outputs:
        _check_array("logits", output.logits, images.shape[:3])
        if output.presence is not None:
            _check_array("presence", output.presence, images.shape[:1])
    return outputs


def _check_array(name: str, values: object, shape: tuple[int, ...]) -> None:
    """Check a part of an output. Blending would spread a NaN over the neighbouring windows."""
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f":
        kind = getattr(values, "dtype", type(values).__name__)
        raise ModelError(f"the model gave {name} of {kind}; a NumPy array of float32 is expected")
    if values.shape != shape:
        raise ModelError(f"the model gave {name} of shape {values.shape}; {shape} is expected")
    if not np.isfinite(values).all():
        raise ModelError(f"the model gave {name} that are not finite")


def split_batches(cols: Sequence[int], batch_size: int) -> list[list[int]]:
    """Split columns into batches of about equal size, none larger than ``batch_size``."""
    parts = np.array_split(cols, -(-len(cols) // batch_size) or 1)
    return [part.tolist() for part in parts if len(part)]
