"""Whether the target of an expression is in a window at all.

A network with a presence output estimates it. For any other network, the highest log-odds of a
pixel takes its place. Windows below a threshold give nothing.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.errors import ConfigError

ABSENT_LOG_ODDS = np.float32(-6.0)
"""Highest log-odds of pixels in a window below the threshold: a probability of 0.25 %. Where such a
window overlaps another one, it counts as a confident no, and not as more than that."""


class WindowLogits(NamedTuple):
    """Output of a model for B windows.

    Attributes:
        logits: float32 [B, S, S], log-odds that a pixel is the target, gated by presence.
        presence: float32 [B], log-odds that the target is in the window, or None.
    """

    logits: NDArray[np.float32]
    presence: NDArray[np.float32] | None


def check_threshold(presence: float | None) -> None:
    """Check a threshold of presence. None drops no window.

    Raises:
        ConfigError: it is not between 0 and 1.
    """
    if presence is not None and not 0 < presence < 1:
        raise ConfigError(f"presence must be between 0 and 1, got {presence:g}")


def measure_presence(output: WindowLogits) -> NDArray[np.float32]:
    """Log-odds that the target is in each window, float32 [B].

    Without a presence output, this is the highest log-odds of a pixel.
    """
    if output.presence is not None:
        return output.presence
    highest_B: NDArray[np.float32] = output.logits.max(axis=(1, 2))
    return highest_B
