"""Rows of blended logits become what is written: a mask, probabilities and their 8-bit steps."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.geo.grid.arrays import HOST, Array, Arrays
from rrsis_geo.geo.grid.rasters import encode_probability


class FinishedRows(NamedTuple):
    """Rows of the scene, as NumPy arrays.

    Attributes:
        mask: bool [n, W], True for valid pixels that are the target.
        valid: bool [n, W].
        probability: float32 [n, W]; where the mask is False, it may be 0 instead.
        steps: the probability in 8 bits, uint8 [n, W], see `encode_probability`; None if it was not
            asked for.
        highest: highest log-odds of a valid pixel, None if there is none.
    """

    mask: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    probability: NDArray[np.float32]
    steps: NDArray[np.uint8] | None
    highest: float | None


def finish_rows(
    logits: Array,
    valid: NDArray[np.bool_],
    threshold: float,
    *,
    with_steps: bool,
    arrays: Arrays = HOST,
) -> Callable[[], FinishedRows]:
    """Apply the threshold to rows of logits, and start to copy the result from the device.

    The mask and the highest logit are the same wherever they are computed. A probability may differ
    in its last bits, since the exponential function does, and its 8-bit step by 1.

    Args:
        logits: float32 [n, W], blended.
        valid: bool [n, W], which pixels get a result.
        threshold: log-odds above which a pixel is the target.
        with_steps: give the probability of all pixels in 8 bits too.
        arrays: where the logits are.

    Returns:
        A function that waits for the rows and returns them.
    """
    has_gaps = not valid.all()
    valid_there = arrays.upload(valid) if has_gaps else None
    mask = logits > threshold
    if has_gaps:
        mask &= valid_there
    steps = None
    if with_steps or not arrays.is_host:
        probability = arrays.sigmoid(logits)
        if with_steps:
            steps = arrays.download(encode_probability(probability, valid_there, arrays=arrays))
    else:  # only the pixels of objects are used
        probability = np.zeros_like(logits)
        probability[mask] = arrays.sigmoid(logits[mask])
    highest = arrays.download(arrays.max_where(logits, valid_there)) if valid.any() else None
    parts = arrays.download(mask), arrays.download(probability)

    def wait() -> FinishedRows:
        return FinishedRows(
            parts[0](),
            valid,
            parts[1](),
            steps and steps(),
            highest and float(highest()),
        )

    return wait
