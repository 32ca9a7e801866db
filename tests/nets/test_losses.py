"""Loss terms against values computed by hand."""

import math

import pytest
import torch

from rrsis_geo.nets.losses import (
    binary_cross_entropy,
    dice,
    presence_cross_entropy,
    two_class_dice,
    weighted_cross_entropy,
)


def test_cross_entropy_by_hand():
    logits = torch.tensor([[[0.0, math.log(3)]]])
    target = torch.tensor([[[True, False]]])
    # mean of -ln(1/2) and -ln(1 - 3/4)
    expected = (math.log(2) + math.log(4)) / 2
    assert float(binary_cross_entropy(logits, target)) == pytest.approx(expected)


def test_dice_by_hand():
    logits = torch.tensor([[[math.log(3), -math.log(3)]]])  # probabilities 3/4 and 1/4
    target = torch.tensor([[[True, False]]])
    assert float(dice(logits, target)) == pytest.approx(1 - (2 * 0.75 + 1) / (1 + 1 + 1))


def test_dice_ignores_images_without_target():
    logits = torch.full((2, 4, 4), 9.0)
    target = torch.zeros(2, 4, 4, dtype=torch.bool)
    assert float(dice(logits, target)) == 0
    target[0] = True
    assert float(dice(logits, target)) == pytest.approx(0, abs=1e-3)


TERMS = {
    "cross-entropy": binary_cross_entropy,
    "dice": dice,
    "weighted": lambda *maps: weighted_cross_entropy(*maps[:2], (0.9, 1.1), *maps[2:]),
    "both classes": two_class_dice,
}


@pytest.mark.parametrize("name", TERMS)
def test_terms_of_known_pixels_only(name):
    """Each term is that of the picture without its ignored columns."""
    logits = torch.tensor([[[0.3, -1.2, 2.0, 4.0], [1.0, 0.2, -0.7, -5.0]]])
    target = torch.tensor([[[True, False, True, False], [False, True, False, True]]])
    ignored = torch.zeros_like(target)
    ignored[..., 2:] = True
    expected = TERMS[name](logits[..., :2], target[..., :2])
    torch.testing.assert_close(TERMS[name](logits, target, ignored), expected)
    assert not torch.allclose(TERMS[name](logits, target), expected)


@pytest.mark.parametrize("name", TERMS)
def test_a_batch_without_known_pixels_has_a_finite_loss(name):
    logits = torch.zeros(1, 2, 2, requires_grad=True)
    everything = torch.ones(1, 2, 2, dtype=torch.bool)
    TERMS[name](logits, everything, everything).sum().backward()
    assert torch.equal(logits.grad, torch.zeros(1, 2, 2))


def test_presence_is_unknown_where_a_missing_target_may_be_ignored():
    presence = torch.tensor([0.0, math.log(3), 5.0])
    target = torch.zeros(3, 1, 2, dtype=torch.bool)
    target[0, 0, 0] = True
    ignored = torch.zeros(3, 1, 2, dtype=torch.bool)
    ignored[0, 0, 1] = ignored[2, 0, 1] = True
    # -ln(1/2) of the first, which is there, and -ln(1 - 3/4) of the second, which is not
    expected = (math.log(2) + math.log(4)) / 2
    assert float(presence_cross_entropy(presence, target, ignored)) == pytest.approx(expected)
    assert float(presence_cross_entropy(presence[:2], target[:2])) == pytest.approx(expected)
    assert float(presence_cross_entropy(presence[2:], target[2:], ignored[2:])) == 0
