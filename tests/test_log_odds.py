"""Log-odds and probabilities: inverse to each other, and stable at both ends."""

import numpy as np
import pytest

from rrsis_geo.log_odds import sigmoid, to_log_odds, to_probability


def test_sigmoid_is_stable() -> None:
    with np.errstate(all="raise"):
        values = sigmoid(np.array([-1e4, -30, 0, 30, 1e4], np.float32))
    assert values.dtype == np.float32
    assert values[2] == 0.5
    assert values[0] < 1e-12
    assert values[-1] == 1


@pytest.mark.parametrize("probability", [0.001, 0.4, 0.5, 0.999])
def test_conversions_are_inverse(probability: float) -> None:
    log_odds = to_log_odds(probability)
    assert to_probability(log_odds) == pytest.approx(probability, rel=1e-12)
    assert sigmoid(np.float32([log_odds]))[0] == pytest.approx(probability, rel=1e-6)


def test_large_log_odds_are_certain() -> None:
    assert (to_probability(-1e4), to_probability(1e4)) == (0, 1)
