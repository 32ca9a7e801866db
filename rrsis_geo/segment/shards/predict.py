"""Predict batches of windows. Windows of a failed batch are tried again one by one."""

import logging
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.errors import DeviceError, ModelError, RrsisError
from rrsis_geo.geo.grid.arrays import HOST, Array, Arrays, Download
from rrsis_geo.segment.plan.predictor import DeviceOutput, DevicePredictor, EncodedPredictor

logger = logging.getLogger(__name__)


_PREDICTOR_ERRORS = (
    RrsisError,
    RuntimeError,  # torch, for most failures
    ValueError,
    ArithmeticError,
    MemoryError,
)


class WindowResult(NamedTuple):
    """What the predictor found in one window for one expression.

    Attributes:
        logits: [S, S], finite, or the error of the window.
        presence: log-odds that the target is in the window, or None.
        highest: highest of the logits.
        seconds: time spent in the predictor.
    """

    logits: Array | Exception
    presence: float | None = None
    highest: float = -np.inf
    seconds: float = 0.0


class StartedBatch:
    """A batch of windows that is predicted for every expression.

    On a device the outputs may not be computed yet: only `results` waits for them.
    """

    def __init__(self, encoded: EncodedPredictor, images: Array) -> None:
        """Start to predict windows, uint8 RGB [B, S, S, 3], in the arrays of the predictor."""
        started = time.perf_counter()
        self._encoded = encoded
        self._images = images
        self._outputs: list[_Output] | None = None
        try:
            self._outputs = _start(encoded, images)
        except _PREDICTOR_ERRORS as err:
            _log_retry(err)
        self._seconds = time.perf_counter() - started

    def results(self) -> list[list[WindowResult]]:
        """The result of each window, for each expression.

        If the batch failed, each window is tried once more by itself, separately for each
        expression.
        """
        started = time.perf_counter()
        words = self._encoded.words
        if self._outputs is not None:
            try:
                found = [output.results() for output in self._outputs]
            except _PREDICTOR_ERRORS as err:
                _log_retry(err)
            else:
                seconds = self._seconds + time.perf_counter() - started
                share = seconds / (len(words) * len(self._images))
                return [[result._replace(seconds=share) for result in row] for row in found]
        self._outputs = None
        images = self._encoded.arrays.download(self._images)()
        return [[_predict_single(self._encoded, image, each) for image in images] for each in words]


class _Output(NamedTuple):
    """Output for B windows and one expression, with what is known about each window."""

    logits: Array
    is_finite: Download
    highest: Download
    presence: Download | None

    def results(self) -> list[WindowResult]:
        """The results of the windows.

        Raises:
            ModelError: a value is not finite. Blending would spread it over the neighbours.
        """
        if not self.is_finite().all():
            raise ModelError("the model gave logits that are not finite")
        highest = self.highest().tolist()
        presence = [None] * len(highest)
        if self.presence is not None:
            presence_B = self.presence()
            if not np.isfinite(presence_B).all():
                raise ModelError("the model gave presence that are not finite")
            presence = presence_B.tolist()
        return [
            WindowResult(logits, *facts)
            for logits, *facts in zip(self.logits, presence, highest, strict=True)
        ]


def _start(encoded: EncodedPredictor, images: Array) -> list[_Output]:
    """Predict a batch for every expression, in the arrays of the predictor."""
    predictor, words, arrays = encoded.predictor, encoded.words, encoded.arrays
    if arrays.is_host:
        return _describe(predictor.predict_all(images, words), words, images.shape[:3], HOST)
    assert isinstance(predictor, DevicePredictor)
    outputs = predictor.predict_on_device(images, words)
    return _describe(outputs, words, tuple(images.shape[:3]), arrays)


def _predict_single(
    encoded: EncodedPredictor, image: NDArray[np.uint8], words: Any
) -> WindowResult:
    """Predict one window for one expression. The result holds the error if this fails."""
    started = time.perf_counter()
    try:
        outputs = encoded.predictor.predict_all(image[None], [words])
        (output,) = _describe(outputs, [words], (1, *image.shape[:2]), HOST)
        (result,) = output.results()
        logits = encoded.arrays.upload(output.logits[0])
    except MemoryError:
        return WindowResult(DeviceError("too little free memory to predict a window"))
    except _PREDICTOR_ERRORS as err:
        return WindowResult(err)
    return result._replace(logits=logits, seconds=time.perf_counter() - started)


def _describe(
    outputs: Sequence[DeviceOutput], words: Sequence[Any], shape: tuple[int, ...], arrays: Arrays
) -> list[_Output]:
    """The outputs of a predictor for each expression, with facts that are on their way.

    Raises:
        ModelError: an output is not as `WindowOutput` or `DeviceOutput` describes it.
    """
    if len(outputs) != len(words):
        raise ModelError(f"the model gave {len(outputs)} outputs for {len(words)} expressions")
    found = []
    for output in outputs:
        _check_array("logits", output.logits, shape, arrays)
        presence = None
        if output.presence is not None:
            _check_array("presence", output.presence, shape[:1], arrays)
            presence = arrays.download(output.presence)
        is_finite, highest = arrays.describe_windows(output.logits)
        facts = arrays.download(is_finite), arrays.download(highest), presence
        found.append(_Output(output.logits, *facts))
    return found


def _check_array(name: str, values: Any, shape: tuple[int, ...], arrays: Arrays) -> None:
    """Check the type and the shape of a part of an output."""
    is_array = isinstance(values, np.ndarray) and values.dtype.kind == "f"
    if arrays.is_host and not is_array:
        kind = getattr(values, "dtype", type(values).__name__)
        raise ModelError(f"the model gave {name} of {kind}; a NumPy array of float32 is expected")
    if tuple(values.shape) != shape:
        raise ModelError(
            f"the model gave {name} of shape {tuple(values.shape)}; {shape} is expected"
        )


def _log_retry(err: Exception) -> None:
    logger.info("%s; trying again, one window at a time", err)


def split_batches(n_windows: int, batch_size: int) -> list[range]:
    """Split windows into batches of about equal size, none larger than ``batch_size``."""
    parts = np.array_split(np.arange(n_windows), -(-n_windows // batch_size) or 1)
    return [range(part[0], part[-1] + 1) for part in parts if len(part)]
