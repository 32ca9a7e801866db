"""Scores against values computed by hand and by scikit-learn."""

import json
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, jaccard_score

from rrsis_geo.metrics import PixelCounts, ScoreMeter, count_pixels


def strip(start: int, stop: int, length: int = 10) -> NDArray[np.bool_]:
    """A mask of one row with pixels ``start`` to ``stop`` set."""
    mask = np.zeros((1, length), bool)
    mask[0, start:stop] = True
    return mask


EMPTY = strip(0, 0)


def test_three_samples_by_hand() -> None:
    meter = ScoreMeter()
    assert meter.add(strip(0, 5), strip(0, 5)) == 1.0
    assert meter.add(strip(0, 6), strip(4, 10)) == 2 / 10
    assert meter.add(strip(0, 6), strip(0, 10)) == 6 / 10
    scores = meter.scores()
    assert (scores.n, scores.n_absent, len(meter)) == (3, 0, 3)
    assert scores.oiou == pytest.approx((5 + 2 + 6) / (5 + 10 + 10))
    assert scores.miou == scores.miou_present == scores.giou == pytest.approx(1.8 / 3)
    # an IoU of 6/10 counts at the threshold 0.6
    assert scores.precision == pytest.approx(
        {0.5: 2 / 3, 0.6: 2 / 3, 0.7: 1 / 3, 0.8: 1 / 3, 0.9: 1 / 3}
    )
    assert scores.n_acc is None
    assert scores.false_area_ppm is None


@pytest.mark.parametrize("tenths", [5, 6, 7, 8, 9])
def test_an_iou_at_the_threshold_counts(tenths: int) -> None:
    meter = ScoreMeter()
    meter.add(strip(0, tenths), strip(0, 10))
    shares = meter.scores().precision
    assert shares == {at: float(at * 10 < tenths + 0.5) for at in shares}


def test_absent_target_and_empty_prediction() -> None:
    meter = ScoreMeter()
    assert meter.add(EMPTY, EMPTY) == 0.0  # 0 / 0 in the protocol
    scores = meter.scores()
    assert (scores.oiou, scores.miou, scores.precision[0.5]) == (0.0, 0.0, 0.0)
    assert (scores.giou, scores.n_acc, scores.false_area_ppm) == (1.0, 1.0, 0.0)
    assert scores.miou_present is None


def test_absent_targets_by_hand() -> None:
    meter = ScoreMeter()
    meter.add(strip(0, 3), EMPTY)
    meter.add(EMPTY, EMPTY)
    meter.add(EMPTY, strip(0, 4))  # present, but missed
    meter.add(strip(0, 4), strip(0, 8))
    scores = meter.scores()
    assert (scores.n, scores.n_absent) == (4, 2)
    assert scores.oiou == pytest.approx(4 / (3 + 0 + 4 + 8))  # a false positive counts in the union
    assert scores.miou == pytest.approx(0.5 / 4)
    assert scores.miou_present == pytest.approx(0.5 / 2)
    assert scores.giou == pytest.approx((0 + 1 + 0 + 0.5) / 4)
    assert scores.n_acc == 0.5
    assert scores.false_area_ppm == pytest.approx(3 / 20 * 1e6)


def test_scores_by_kind_and_category() -> None:
    meter = ScoreMeter()
    meter.add(strip(0, 5), strip(0, 5), kind="colour", category="car")
    meter.add(strip(0, 5), strip(0, 10), kind="position", category=["car", "road", "car"])
    meter.add(EMPTY, EMPTY, kind="absent", category="ship")
    meter.add(strip(0, 5), strip(5, 10))
    scores = meter.scores()
    assert {name: part.n for name, part in scores.by_kind.items()} == {
        "absent": 1,
        "colour": 1,
        "position": 1,
    }
    assert {name: part.miou for name, part in scores.by_category.items()} == {
        "car": 0.75,
        "road": 0.5,
        "ship": 0.0,
    }
    assert scores.by_kind["absent"].n_acc == 1.0
    assert scores.category_miou == pytest.approx((0.75 + 0.5 + 0.0) / 3)
    assert scores.by_kind["colour"].category_miou is None


def test_to_dict_is_json_able() -> None:
    meter = ScoreMeter()
    meter.add(strip(0, 5), strip(0, 5), kind="colour", category="car")
    values = json.loads(json.dumps(meter.scores().to_dict()))
    assert values["precision"]["0.5"] == 1.0
    assert values["by_kind"]["colour"]["precision"]["0.9"] == 1.0
    assert values["by_category"]["car"]["by_kind"] == {}


@pytest.mark.parametrize(
    ("predicted", "target", "message"),
    [
        (np.ones((2, 2)), np.ones((2, 2), bool), "must be bool"),
        (np.ones((2, 2), bool), np.ones((2, 2), np.uint8), "must be bool"),
        (np.ones((2, 2), bool), np.ones((2, 3), bool), "differ in size"),
    ],
)
def test_invalid_masks_raise(
    predicted: NDArray[np.bool_], target: NDArray[np.bool_], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ScoreMeter().add(predicted, target)


def test_no_samples_raise() -> None:
    with pytest.raises(ValueError, match="no samples"):
        ScoreMeter().scores()


spans = st.tuples(st.integers(0, 10), st.integers(0, 10))


@settings(deadline=None)
@given(st.lists(st.tuples(spans, spans), min_size=1, max_size=8))
def test_bounds_of_scores(samples: list[tuple[tuple[int, int], tuple[int, int]]]) -> None:
    meter = ScoreMeter()
    for predicted, target in samples:
        meter.add(strip(*predicted), strip(*target))
    scores = meter.scores()
    shares = list(scores.precision.values())
    assert shares == sorted(shares, reverse=True)
    assert 0 <= scores.oiou <= 1
    assert 0 <= scores.miou <= scores.giou <= 1
    assert scores.miou >= scores.precision[0.5] * 0.5


def test_a_target_lost_by_resizing_is_not_absent() -> None:
    counts = count_pixels(EMPTY, EMPTY)
    meter = ScoreMeter()
    meter.add_counts(counts, absent=False)
    scores = meter.scores()
    assert (scores.n_absent, scores.giou, scores.n_acc, scores.miou_present) == (0, 0.0, None, 0.0)
    meter.add_counts(counts)  # by default, an empty target is absent
    scores = meter.scores()
    assert (scores.n_absent, scores.giou, scores.n_acc) == (1, 0.5, 1.0)


@pytest.mark.parametrize(
    ("predicted", "target", "counts", "iou"),
    [
        (strip(0, 4), strip(2, 8), (2, 8, 4, 6, 10), 0.25),
        (strip(0, 10), strip(0, 10), (10, 10, 10, 10, 10), 1.0),
        (strip(0, 3), EMPTY, (0, 3, 3, 0, 10), 0.0),
        (EMPTY, strip(0, 3), (0, 3, 0, 3, 10), 0.0),
        (strip(0, 3), strip(3, 6), (0, 6, 3, 3, 10), 0.0),
        (EMPTY, EMPTY, (0, 0, 0, 0, 10), 0.0),
    ],
)
def test_counts_by_hand(
    predicted: NDArray[np.bool_],
    target: NDArray[np.bool_],
    counts: tuple[int, ...],
    iou: float,
) -> None:
    result = count_pixels(predicted, target)
    assert result == counts
    assert result.iou == iou


masks = arrays(np.bool_, (6, 7), elements=st.booleans())
sample_lists = st.lists(
    st.tuples(masks, st.one_of(masks, st.just(np.zeros((6, 7), bool)))), min_size=1, max_size=8
)


@settings(deadline=None)
@given(sample_lists)
def test_agrees_with_scikit_learn(
    samples: list[tuple[NDArray[np.bool_], NDArray[np.bool_]]],
) -> None:
    """IoU is the Jaccard index of the foreground, oIoU that of the pixels of all samples."""
    meter = ScoreMeter()
    ious = []
    for predicted, target in samples:
        iou = meter.add(predicted, target)
        ious.append(jaccard_score(target.ravel(), predicted.ravel(), zero_division=0.0))
        assert iou == pytest.approx(ious[-1])
    scores = meter.scores()
    predictions, targets = (np.stack(each).ravel() for each in zip(*samples, strict=True))
    assert scores.miou == pytest.approx(np.mean(ious))
    assert scores.oiou == pytest.approx(jaccard_score(targets, predictions, zero_division=0.0))
    is_empty = [not predicted.any() for predicted, target in samples if not target.any()]
    if is_empty:
        assert scores.n_acc == pytest.approx(accuracy_score([True] * len(is_empty), is_empty))
        present = [iou for iou, (_, target) in zip(ious, samples, strict=True) if target.any()]
        assert scores.giou == pytest.approx((sum(is_empty) + sum(present)) / len(samples))


@settings(deadline=None)
@given(sample_lists, st.randoms(use_true_random=False))
def test_order_does_not_matter(
    samples: list[tuple[NDArray[np.bool_], NDArray[np.bool_]]], random: Random
) -> None:
    results = []
    for _ in range(2):
        meter = ScoreMeter()
        for predicted, target in samples:
            meter.add(predicted, target)
        results.append(meter.scores())
        random.shuffle(samples)
    assert results[0].precision == results[1].precision
    assert results[0].oiou == results[1].oiou
    assert results[0].miou == pytest.approx(results[1].miou)


@settings(deadline=None)
@given(st.lists(st.tuples(masks, masks, st.sampled_from("abc")), min_size=1, max_size=8))
def test_scores_of_kinds_average_to_the_total(
    samples: list[tuple[NDArray[np.bool_], NDArray[np.bool_], str]],
) -> None:
    """Every sample has one kind, so the weighted mean over kinds is the total mean."""
    meter = ScoreMeter()
    for predicted, target, kind in samples:
        meter.add(predicted, target, kind=kind)
    scores = meter.scores()
    parts = scores.by_kind.values()
    assert sum(part.n for part in parts) == scores.n
    assert sum(part.n * part.miou for part in parts) == pytest.approx(scores.n * scores.miou)
    for at, share in scores.precision.items():
        assert sum(part.n * part.precision[at] for part in parts) == pytest.approx(scores.n * share)


def fill_meter(rng: np.random.Generator, n: int, *, per_picture: int = 1) -> ScoreMeter:
    """Samples with pixel counts at random, a fifth of them without a target."""
    meter = ScoreMeter()
    for sample in range(n):
        absent = bool(rng.random() < 0.2)
        predicted, target = int(rng.integers(50)), 0 if absent else int(rng.integers(1, 50))
        both = int(rng.integers(min(predicted, target) + 1))
        counts = PixelCounts(both, predicted + target - both, predicted, target, 1000)
        meter.add_counts(counts, absent=absent, picture=f"{sample // per_picture}")
    return meter


def test_intervals_are_those_of_repeated_draws() -> None:
    """The same draws, scored one by one."""
    n, draws = 40, 60
    rng = np.random.default_rng(5)
    meter = fill_meter(np.random.default_rng(1), n, per_picture=2)
    values: dict[str, list[float]] = {"oiou": [], "miou": [], "n_acc": [], "t_acc": [], "pr50": []}
    order = {name: rank for rank, name in enumerate(sorted({str(i) for i in range(n // 2)}))}
    for drawn in rng.integers(n // 2, size=(draws, n // 2)):
        again = ScoreMeter()
        for picture in drawn:
            for sample in range(n):
                if order[str(sample // 2)] == picture:
                    again.add_counts(meter._counts[sample], absent=meter._absent[sample])
        scores = again.scores()
        for name, found in values.items():
            value = scores.precision[0.5] if name == "pr50" else getattr(scores, name)
            found += [] if value is None else [value]
    intervals = meter.intervals(draws=draws, seed=5)
    for name, found in values.items():
        assert intervals[name] == pytest.approx(tuple(np.quantile(found, (0.025, 0.975))))


def test_95_percent_intervals_contain_the_truth_in_most_data_sets() -> None:
    truth = fill_meter(np.random.default_rng(0), 20000).scores().miou
    hits = 0
    for seed in range(100):
        low, high = fill_meter(np.random.default_rng(1000 + seed), 200).intervals(draws=200)["miou"]
        hits += low <= truth <= high
    assert 88 <= hits <= 100  # 95 are expected; the standard deviation is 2.2


def test_intervals_of_scores_without_samples_are_left_out() -> None:
    meter = ScoreMeter()
    meter.add(strip(0, 5), strip(0, 5))
    intervals = meter.intervals(draws=10)
    assert intervals["miou"] == (1.0, 1.0)
    assert not {"n_acc", "false_area_ppm"} & intervals.keys()


def test_target_accuracy() -> None:
    meter = ScoreMeter()
    meter.add(strip(0, 5), strip(5, 9))  # some pixels, though wrong ones
    meter.add(EMPTY, strip(5, 9))
    meter.add(EMPTY, EMPTY)
    assert meter.scores().t_acc == 0.5
    assert ScoreMeter.scores(_only_absent()).t_acc is None


def _only_absent() -> ScoreMeter:
    meter = ScoreMeter()
    meter.add(EMPTY, EMPTY)
    return meter


def test_ignored_pixels_are_not_counted() -> None:
    predicted = np.array([[True, True, False, True]])
    target = np.array([[True, False, True, True]])
    ignored = np.array([[False, False, True, True]])
    counts = count_pixels(predicted, target, ignored)
    assert counts == (1, 2, 2, 1, 2)
    meter = ScoreMeter()
    assert meter.add(predicted, target, ignored=ignored) == 0.5
    absent = np.zeros((1, 4), bool)
    meter.add(np.array([[False, False, True, True]]), absent, ignored=ignored)
    scores = meter.scores()
    assert (scores.n_acc, scores.false_area_ppm) == (1.0, 0.0)
