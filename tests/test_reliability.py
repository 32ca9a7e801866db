"""Which objects of a mask are right, in ``benchmarks/reliability.py``."""

import numpy as np
import pytest
from repository import ROOT

from rrsis_geo.data.sample import Sample
from rrsis_geo.log_odds import to_log_odds
from rrsis_geo.model.calibration import Calibration

BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture(autouse=True)
def _benchmarks_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_an_object_is_right_from_an_iou_of_one_half() -> None:
    import reliability

    logits, mask = np.full((40, 40), -5, np.float32), np.zeros((40, 40), bool)
    ignored = np.zeros((40, 40), bool)
    mask[2:12, 2:12] = True
    logits[2:12, 2:7] = to_log_odds(0.9)  # half of it, and nothing else: IoU 0.5
    mask[2:12, 20:30] = True
    logits[2:12, 20:24] = to_log_odds(0.8)  # 0.4
    logits[20:30, 2:12] = to_log_odds(0.7)  # nothing there
    logits[20:22, 20:24] = to_log_odds(0.6)  # 8 pixels, which `segment` drops
    logits[20:30, 30:40] = to_log_odds(0.6)  # most of it may or may not be the target
    ignored[20:30, 34:40] = True
    sample = Sample(np.zeros((40, 40, 3), np.uint8), "cars", mask, "a", ignored=ignored)
    found = sorted(reliability.judge_objects(logits, sample))
    assert [right for _, right in found] == [False, False, True]
    assert [probability for probability, _ in found] == pytest.approx([0.7, 0.8, 0.9])


def test_the_mean_probability_of_a_score() -> None:
    import reliability

    calibration = Calibration(scale=2.0, offset=-3.0)
    probability = reliability.find_probability(calibration, 0.8)
    assert calibration.scores(np.array([probability]))[0] == pytest.approx(0.8)
