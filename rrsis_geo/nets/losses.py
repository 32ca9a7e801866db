"""Loss terms on logits and boolean masks.

``ignored`` is a bool [B, H, W] of pixels without a known truth. They change no term. None ignores
no pixel.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def binary_cross_entropy(logits: Tensor, target: Tensor, ignored: Tensor | None = None) -> Tensor:
    """Mean binary cross-entropy over all pixels, [B, H, W] log-odds and bool -> scalar."""
    if ignored is None:
        return F.binary_cross_entropy_with_logits(logits.float(), target.float())
    return weighted_cross_entropy(logits, target, (1.0, 1.0), ignored)


def dice(logits: Tensor, target: Tensor, ignored: Tensor | None = None) -> Tensor:
    """Mean soft Dice loss over the images that contain a target.

    [B, H, W] log-odds and bool -> scalar. Images without a target are left out because they have no
    overlap to score; the cross-entropy covers them.
    """
    p_BHW, y_BHW = _leave_out(ignored, logits.float().sigmoid(), target.float())
    p_BN, y_BN = p_BHW.flatten(1), y_BHW.flatten(1)
    overlap_B = (p_BN * y_BN).sum(1)
    loss_B = 1 - (2 * overlap_B + 1) / (p_BN.sum(1) + y_BN.sum(1) + 1)
    present_B = y_BN.amax(1)
    return (loss_B * present_B).sum() / present_B.sum().clamp(min=1)


def weighted_cross_entropy(
    logits: Tensor,
    target: Tensor,
    class_weights: tuple[float, float],
    ignored: Tensor | None = None,
) -> Tensor:
    """Cross-entropy over all pixels, averaged with the weight of the class of each pixel.

    [B, H, W] log-odds and bool, weights of background and target -> scalar.
    """
    background, foreground = class_weights
    (weight_BHW,) = _leave_out(ignored, torch.where(target, foreground, background))
    loss_BHW = F.binary_cross_entropy_with_logits(logits.float(), target.float(), reduction="none")
    total = weight_BHW.sum()
    if ignored is not None:  # a batch in which every pixel is ignored has no loss
        total = total.clamp(min=1e-6)
    return (weight_BHW * loss_BHW).sum() / total


def presence_cross_entropy(
    presence: Tensor, target: Tensor, ignored: Tensor | None = None
) -> Tensor:
    """Mean cross-entropy of the presence of a target, [B] log-odds, bool [B, H, W] -> scalar.

    Images without a target are left out if pixels are ignored, because the target may be there.
    """
    is_there_B = target.flatten(1).any(1)
    if ignored is None:
        return F.binary_cross_entropy_with_logits(presence.float(), is_there_B.float())
    is_known_B = is_there_B | ~ignored.flatten(1).any(1)
    loss_B = F.binary_cross_entropy_with_logits(
        presence.float(), is_there_B.float(), reduction="none"
    )
    return (loss_B * is_known_B).sum() / is_known_B.sum().clamp(min=1)


def two_class_dice(logits: Tensor, target: Tensor, ignored: Tensor | None = None) -> Tensor:
    """Soft Dice loss of background and target in each image, [B, H, W] twice -> [B, 2]."""
    p_BHW, y_BHW = logits.float().sigmoid(), target.float()
    p_B2N, y_B2N = (
        torch.stack(_leave_out(ignored, 1 - x_BHW, x_BHW), 1).flatten(2) for x_BHW in (p_BHW, y_BHW)
    )
    overlap_B2 = (p_B2N * y_B2N).sum(2)
    return 1 - (2 * overlap_B2 + 1e-6) / (p_B2N.sum(2) + y_B2N.sum(2) + 1e-6)


def _leave_out(ignored: Tensor | None, *maps: Tensor) -> tuple[Tensor, ...]:
    """The maps [B, H, W] with 0 at the ignored pixels."""
    return maps if ignored is None else tuple(each.masked_fill(ignored, 0) for each in maps)
