"""Priors of place and order."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.features import shapes

from rrsis_geo.nets.priors import (
    WordWeights,
    label_components,
    order_terms,
    place_terms,
    prior_logits,
    weighted_sum,
)

MASKS = arrays(bool, st.tuples(st.just(2), st.integers(1, 12), st.integers(1, 12)))


def test_place_terms_grow_to_the_right_and_down():
    terms = place_terms(torch.zeros(3, 7, 2, 4))
    x, y, xx, yy, xy = terms
    assert terms.shape == (5, 2, 4)
    torch.testing.assert_close(x[0], torch.tensor([-0.75, -0.25, 0.25, 0.75]))
    torch.testing.assert_close(y[:, 0], torch.tensor([-0.5, 0.5]))
    torch.testing.assert_close(xx, x**2)
    torch.testing.assert_close(yy, y**2)
    torch.testing.assert_close(xy, x * y)
    fine = place_terms(torch.zeros(1, 1, 4, 8))
    # the same at every resolution
    torch.testing.assert_close(F.avg_pool2d(fine[None, :2], 2)[0], terms[:2])


def test_word_weights_are_a_sum_without_padding():
    torch.manual_seed(0)
    weights = WordWeights(48, 16, 3)
    words, valid = torch.randn(2, 5, 48), torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    sums = weights(words, valid)
    assert sums.shape == (2, 3)
    alone = sum(weights(words[1:, i : i + 1], valid[1:, :1]) for i in range(3))
    torch.testing.assert_close(sums[1:], alone)


def test_weighted_sum_accepts_maps_shared_by_the_batch():
    weights, maps = torch.tensor([[1.0, 2.0], [0.0, 3.0]]), torch.rand(2, 4, 5)
    total = weighted_sum(weights, maps)
    assert total.shape == (2, 4, 5)
    torch.testing.assert_close(total[0], maps[0] + 2 * maps[1])
    torch.testing.assert_close(total[1], 3 * maps[1])
    torch.testing.assert_close(weighted_sum(weights, maps.expand(2, 2, 4, 5)), total)


@given(MASKS)
def test_components_equal_those_of_a_raster_library(masks):
    labels = label_components(torch.from_numpy(masks)).numpy()
    assert np.array_equal(labels > 0, masks)
    for mask, label in zip(masks, labels, strict=True):
        # shapes merges touching pixels with equal values
        parts = list(shapes(label.astype(np.int32), mask=mask))
        expected = list(shapes(mask.astype(np.uint8), mask=mask))
        assert len(parts) == len(expected) == len(np.unique(label[mask]))


def test_a_long_winding_component_has_one_label():
    mask = torch.zeros(1, 41, 41, dtype=torch.bool)
    mask[:, ::2] = True
    mask[:, 1::4, -1] = True
    mask[:, 3::4, 0] = True
    assert len(label_components(mask).unique()) == 2


def test_order_terms_compare_sizes():
    logits = torch.full((1, 16, 16), -2.0)
    logits[:, 1:5, 1:5] = 2  # 16
    logits[:, 8:12, 1:3] = 2  # 8
    logits[:, 8:12, 8:16] = 3  # 32
    terms = order_terms(logits)[0]
    largest, smallest, average = terms[0], terms[1], terms[6]
    log2 = float(np.log(2))
    at = ((2, 2), (9, 1), (10, 12))
    assert [round(float(largest[p]) / log2) for p in at] == [1, 2, 0]
    assert [round(float(smallest[p]) / log2) for p in at] == [1, 0, 2]
    roots = np.sqrt([16, 8, 32])
    mean = (roots * np.log([16, 8, 32])).sum() / roots.sum()
    assert float(average[2, 2]) == pytest.approx(np.log(16) - mean)
    assert largest[2, 5] == largest[2, 2]  # the ring around it
    assert largest[2, 6] == 0


def test_order_terms_compare_places():
    logits = torch.full((1, 24, 24), -2.0)
    logits[:, 2:6, 4:8] = 2  # centre at x 6, y 4
    logits[:, 2:6, 16:20] = 2  # 18, 4
    logits[:, 10:18, 12:16] = 2  # 14, 14
    left, right, top, bottom = order_terms(logits)[0, 2:6]
    at = ((3, 5), (3, 17), (12, 13))
    assert [float(left[p]) for p in at] == pytest.approx([0, 12 / 4, 8 / 4])
    assert [float(right[p]) for p in at] == pytest.approx([12 / 4, 0, 4 / 4])
    assert [float(top[p]) for p in at] == pytest.approx([0, 0, 10 / 4])
    assert [float(bottom[p]) for p in at] == pytest.approx([10 / 4, 10 / 4, 0])


@given(MASKS)
def test_mirroring_swaps_left_and_right(masks):
    mask = torch.from_numpy(masks)
    logits = torch.where(mask, 1.0, -2.0)
    terms, mirrored = order_terms(logits), order_terms(logits.flip(2)).flip(3)
    swapped = mirrored[:, [0, 1, 3, 2, 4, 5, 6]]
    # where the rings of two objects meet, either value is right
    torch.testing.assert_close(swapped * mask[:, None], terms * mask[:, None], atol=1e-3, rtol=0)


def test_specks_and_uncertain_objects_are_never_first():
    logits = torch.full((1, 32, 32), -2.0)
    logits[:, 2:8, 2:8] = 4  # 36
    logits[:, 2:12, 12:22] = 4  # 100
    before = order_terms(logits)[0, 1:6]
    logits[:, 30, 0] = 4
    logits[:, 16:21, 27:32] = 1  # 25, uncertain
    after = order_terms(logits)[0, 1:6]
    torch.testing.assert_close(after[:, :14], before[:, :14])
    assert after[:, 30, 0].min() >= 1
    assert after[:, 18, 30].min() >= 1


def test_all_objects_but_the_first_have_at_least_the_lead_of_training():
    logits = torch.full((1, 64, 64), -2.0)
    logits[:, 0:10, 0:10] = 2  # 100
    logits[:, 12:22, 0:11] = 2  # 110
    logits[:, 24:34, 0:12] = 2  # 120
    largest, smallest, left = order_terms(logits)[0, :3]
    at = ((5, 5), (15, 5), (30, 5))
    lead = pytest.approx(np.log(1.35))
    assert [float(largest[p]) for p in at] == [lead, lead, 0]
    assert [float(smallest[p]) for p in at] == [0, lead, lead]
    assert [float(left[p]) for p in at] == [0, lead, lead]


def test_uncertain_pixels_join_two_fragments():
    logits = torch.full((1, 16, 16), -2.0)
    logits[:, 2:4, 2:12] = 2
    logits[:, 2:4, 6:8] = -0.5
    logits[:, 8:14, 2:8] = 2
    from_largest = order_terms(logits)[0, 0]
    assert float(from_largest[2, 2]) == pytest.approx(np.log(36 / 20))
    assert from_largest[2, 2] == from_largest[3, 11]


@given(MASKS)
def test_order_terms_are_zero_for_one_object_or_none(masks):
    mask = torch.from_numpy(masks)
    labels = label_components(mask)
    one = labels == labels.flatten(1).amax(1)[:, None, None]
    assert order_terms(torch.where(one & mask, 1.0, -2.0)).abs().max() < 1e-5
    assert order_terms(-2 * torch.ones(2, 4, 4)).abs().max() == 0


def test_samples_of_a_batch_are_independent():
    torch.manual_seed(0)
    logits = torch.randn(3, 12, 12)
    together = order_terms(logits)
    for i in range(3):
        torch.testing.assert_close(order_terms(logits[i : i + 1])[0], together[i])


def at_the_bottom() -> torch.Tensor:
    """Log-odds with two objects in the lower half, one above the other."""
    logits = torch.full((1, 32, 32), -30.0)
    logits[:, 20:24, 4:8] = 2
    logits[:, 26:30, 20:24] = 2
    return logits


def test_the_topmost_object_may_be_in_the_lower_half():
    logits, up = at_the_bottom(), torch.tensor([[0.0, -12.0, 0.0, 0.0, 0.0]])
    at_the_top, topmost = (torch.tensor([[x, *[0.0] * 7]]) for x in (0.0, 1.0))
    assert (logits + prior_logits(logits, up, at_the_top)).max() < 0
    mask = (logits + prior_logits(logits, up, topmost)) > 0
    assert torch.equal(mask, (logits > 0) & (torch.arange(32) < 10))
    # half the weight adds back half of the loss
    half, full, none = (
        prior_logits(logits, up, torch.tensor([[x, *[0.0] * 7]])) for x in (0.5, 1.0, 0.0)
    )
    torch.testing.assert_close(2 * half, full + none)


def test_nothing_is_added_back_where_the_place_prior_subtracts_nothing():
    logits = at_the_bottom()
    down = torch.tensor([[0.0, 12.0, 0.0, 0.0, 0.0]])
    topmost = torch.tensor([[1.0, *[0.0] * 7]])
    torch.testing.assert_close(
        prior_logits(logits, down, topmost), prior_logits(logits, down, None)
    )
    assert not prior_logits(logits, None, topmost).any()


def test_order_compares_the_objects_left_by_the_place_prior():
    logits = at_the_bottom()
    logits[:, 4:12, 24:32] = 2  # the largest, on the right
    left = torch.tensor([[-12.0, 0.0, 0.0, 0.0, 0.0]])
    largest = torch.tensor([[0.0, -9.0, *[0.0] * 6]])
    mask = (logits + prior_logits(logits, left, largest)) > 0
    assert torch.equal(mask, (logits > 0) & (torch.arange(32) < 10))
