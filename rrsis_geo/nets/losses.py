"""Loss terms on logits and boolean masks."""

import torch
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


def weighted_cross_entropy(
    logits: Tensor, target: Tensor, class_weights: tuple[float, float]
) -> Tensor:
    """Cross-entropy over all pixels, averaged with the weight of the class of each pixel.

    [B, H, W] log-odds and bool, weights of background and target -> scalar.
    """
    background, foreground = class_weights
    weight_BHW = torch.where(target, foreground, background)
    loss_BHW = F.binary_cross_entropy_with_logits(logits.float(), target.float(), reduction="none")
    return (weight_BHW * loss_BHW).sum() / weight_BHW.sum()


def two_class_dice(logits: Tensor, target: Tensor) -> Tensor:
    """Soft Dice loss of background and target in each image, [B, H, W] twice -> [B, 2]."""
    p_BN, y_BN = logits.float().sigmoid().flatten(1), target.flatten(1).float()
    p_B2N, y_B2N = torch.stack([1 - p_BN, p_BN], 1), torch.stack([1 - y_BN, y_BN], 1)
    overlap_B2 = (p_B2N * y_B2N).sum(2)
    return 1 - (2 * overlap_B2 + 1e-6) / (p_B2N.sum(2) + y_B2N.sum(2) + 1e-6)
