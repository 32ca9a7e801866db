"""Swin attention in the order of its authors: pad the map, then roll it.

timm rolls first. Where a map is not a multiple of the window, its right and bottom edges then stand
beside the left and top ones inside a window, no mask parts them, and pixels attend to the opposite
side of the image. Weights trained in one order mean something else in the other.

Importing this module imports timm, which takes seconds.
"""

from typing import Any

import torch
import torch.nn.functional as F
from timm.models.swin_transformer import SwinTransformerBlock, checkpoint_filter_fn
from timm.models.swin_transformer_v2 import SwinTransformerV2Block
from torch import Tensor, nn

__all__ = ["checkpoint_filter_fn", "pad_before_roll"]


class _PadsBeforeRoll:
    """The attention of timm's blocks in the authors' order. Source: arXiv 2103.14030, section 3.2.

    Padded positions are zeros after the first norm. They are keys and values like all others.
    """

    window_size: tuple[int, int]
    shift_size: tuple[int, int]
    attn: nn.Module

    def _attn(self, pixels: Tensor) -> Tensor:
        """[B, H, W, C] -> [B, H, W, C]."""
        B, H, W, C = pixels.shape
        (h, w), (shift_h, shift_w) = self.window_size, self.shift_size
        padded = F.pad(pixels, (0, 0, 0, -W % w, 0, -H % h))
        rows, cols = padded.shape[1] // h, padded.shape[2] // w
        mask = None
        if shift_h or shift_w:
            padded = padded.roll((-shift_h, -shift_w), (1, 2))
            mask = _mask_regions((rows, h, shift_h), (cols, w, shift_w), padded)
        windows = padded.view(B, rows, h, cols, w, C).transpose(2, 3).reshape(-1, h * w, C)
        out: Tensor = self.attn(windows, mask=mask)
        out = out.view(B, rows, cols, h, w, C).transpose(2, 3).reshape(padded.shape)
        if shift_h or shift_w:
            out = out.roll((shift_h, shift_w), (1, 2))
        return out[:, :H, :W]


class _Block(_PadsBeforeRoll, SwinTransformerBlock):  # type: ignore[misc]
    pass


class _BlockV2(_PadsBeforeRoll, SwinTransformerV2Block):  # type: ignore[misc]
    pass


def pad_before_roll(network: nn.Module) -> None:
    """Change the order in all blocks of a Swin of timm, in place. Weights and names stay."""
    classes: dict[type[Any], type[Any]] = {
        SwinTransformerBlock: _Block,
        SwinTransformerV2Block: _BlockV2,
    }
    for module in network.modules():
        if type(module) in classes:
            module.__class__ = classes[type(module)]
            module.register_buffer("attn_mask", None, persistent=False)  # for one size of image


def _mask_regions(rows: tuple[int, int, int], cols: tuple[int, int, int], like: Tensor) -> Tensor:
    """-100 between positions of a window that were not neighbours before the roll, else 0.

    (windows, window size, shift) of each axis -> [windows, h w, h w].
    """
    row_Hh, col_Ww = (_number_regions(*axis, like.device).view(axis[:2]) for axis in (rows, cols))
    region = 3 * row_Hh[:, None, :, None] + col_Ww[None, :, None, :]
    region_NP = region.reshape(rows[0] * cols[0], rows[1] * cols[1])
    is_other = region_NP[:, :, None] != region_NP[:, None, :]
    return torch.where(is_other, -100.0, 0.0).to(like.dtype)


def _number_regions(windows: int, size: int, shift: int, device: torch.device) -> Tensor:
    """0 up to the last window, 1 in its first part, 2 where the roll put the beginning."""
    length = windows * size
    place = torch.arange(length, device=device)
    return (place >= length - size).long() + ((place >= length - shift) & (shift > 0)).long()
