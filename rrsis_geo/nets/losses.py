"""Loss terms on logits and boolean masks."""

import torch.nn.functional as F
from torch import Tensor


def binary_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean binary cross-entropy over all pixels, [B, H, W] log-odds and bool -> scalar."""
    return F.binary_cross_entropy_with_logits(logits.float(), target.float())


def dice(logits: Tensor, target: Tensor) -> Tensor:
    """Mean soft Dice loss over the images that contain a target.

    [B, H, W] log-odds and bool -> scalar. Images without a target are left out because they have no
    overlap to score; the cross-entropy covers them.
    """
    p_BN, y_BN = logits.float().sigmoid().flatten(1), target.flatten(1).float()
    overlap_B = (p_BN * y_BN).sum(1)
    loss_B = 1 - (2 * overlap_B + 1) / (p_BN.sum(1) + y_BN.sum(1) + 1)
    present_B = y_BN.amax(1)
    return (loss_B * present_B).sum() / present_B.sum().clamp(min=1)
