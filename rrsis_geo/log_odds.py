"""Conversion between log-odds (logits) and probabilities."""

import math

import numpy as np
from numpy.typing import NDArray

_LARGEST = 80  # exp(80) is still finite in float32


def to_probability(log_odds: float) -> float:
    """Probability of log-odds, in [0, 1]; large values do not overflow."""
    return 0.5 + 0.5 * math.tanh(log_odds / 2)


def to_log_odds(probability: float) -> float:
    """Log-odds of a probability strictly between 0 and 1."""
    return math.log(probability / (1 - probability))


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities of an array of log-odds, float32 of any shape."""
    values = np.clip(logits, -_LARGEST, _LARGEST)
    np.negative(values, out=values)
    np.exp(values, out=values)
    values += 1
    return np.divide(1, values, out=values)
