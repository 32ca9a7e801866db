"""Predict batches of windows. Windows of a failed batch are tried again one by one."""

import logging
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.errors import RrsisError
from rrsis_geo.segment.plan.predictor import EncodedPredictor, WindowOutput, WindowPredictor

logger = logging.getLogger(__name__)

_PREDICTOR_ERRORS = (RrsisError, RuntimeError)  # torch raises RuntimeError for most failures


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
        outputs = predictor.predict_all(images, words)
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
        output = predictor.predict_all(image[None], [words])[0]
    except _PREDICTOR_ERRORS as err:
        output = err
    return WindowResult([col_j], output, time.perf_counter() - started)


def split_batches(cols: Sequence[int], batch_size: int) -> list[list[int]]:
    """Split columns into batches of about equal size, none larger than ``batch_size``."""
    parts = np.array_split(cols, -(-len(cols) // batch_size) or 1)
    return [part.tolist() for part in parts if len(part)]
