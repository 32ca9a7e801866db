"""Scores of objects: how likely they are right."""

import numpy as np
import pytest

from rrsis_geo.errors import ConfigError
from rrsis_geo.model.calibration import UNCALIBRATED, Calibration, fit_calibration


def test_scores_are_the_share_that_is_right() -> None:
    calibration = Calibration(scale=2.0, offset=-3.0)
    # log-odds of 0.5 are 0, of 0.9 they are 2.1972
    expected = [1 / (1 + np.exp(3)), 1 / (1 + np.exp(3 - 2 * np.log(9)))]
    np.testing.assert_allclose(calibration.scores(np.array([0.5, 0.9])), expected)
    odds_of_certain = 2 * np.log(0.9995 / 0.0005) - 3
    assert calibration.scores(np.array([1.0]))[0] == pytest.approx(
        1 / (1 + np.exp(-odds_of_certain))
    )
    assert np.isnan(calibration.scores(np.array([np.nan]))).all()


def test_without_calibration_scores_are_mean_probabilities() -> None:
    probability = np.array([0.5, 0.731, 1.0])
    np.testing.assert_array_equal(UNCALIBRATED.scores(probability), probability)
    assert UNCALIBRATED.to_record() == {}
    assert Calibration.from_record({"presence": 0.5}) == UNCALIBRATED


def test_a_record_gives_the_same_calibration() -> None:
    calibration = Calibration(scale=0.7, offset=-1.5)
    assert calibration.to_record() == {"calibration": {"scale": 0.7, "offset": -1.5}}
    assert Calibration.from_record(calibration.to_record()) == calibration


def test_the_fit_finds_the_map_that_made_the_objects() -> None:
    rng = np.random.default_rng(1)
    probability = rng.uniform(0.5, 0.999, 40_000)
    truth = Calibration(scale=0.8, offset=-1.2)
    is_right = rng.random(len(probability)) < truth.scores(probability)
    found = fit_calibration(probability, is_right)
    assert found.scale == pytest.approx(0.8, abs=0.03)
    assert found.offset == pytest.approx(-1.2, abs=0.05)
    # in the sample it was fitted to, the mean score is the share that is right
    assert found.scores(probability).mean() == pytest.approx(is_right.mean(), abs=1e-3)


def test_the_order_of_objects_stays_where_surer_objects_are_worse() -> None:
    probability = np.array([0.6, 0.6, 0.9, 0.9])
    found = fit_calibration(probability, np.array([True, True, False, False]))
    scores = found.scores(np.array([0.6, 0.9]))
    assert scores[0] <= scores[1] == pytest.approx(0.5, abs=0.01)


def test_a_fit_needs_right_and_wrong_objects() -> None:
    with pytest.raises(ValueError, match="objects that are right and objects that are wrong"):
        fit_calibration(np.array([0.7, 0.8]), np.array([True, True]))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scale": 0.0}, "scale must be above 0"),
        ({"scale": -1.0}, "scale must be above 0"),
        ({"scale": float("nan")}, "scale must be above 0"),
        ({"offset": float("inf")}, "offset must be from -100 to 100"),
    ],
)
def test_values_that_are_no_calibration(values: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Calibration(**values)
