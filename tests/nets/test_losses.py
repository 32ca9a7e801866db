"""Loss terms against values computed by hand."""

import math

import pytest
import torch

from rrsis_geo.nets.losses import binary_cross_entropy, dice


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
