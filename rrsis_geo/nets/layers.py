"""Parts that several networks use."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of [B, C, H, W]."""

    def forward(self, pixels: Tensor) -> Tensor:
        return super().forward(pixels.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class FeedForward(nn.Sequential):
    """Linear, ReLU, linear, with a hidden layer ``ratio`` times as wide."""

    def __init__(self, width: int, ratio: int) -> None:
        super().__init__(
            nn.Linear(width, ratio * width), nn.ReLU(), nn.Linear(ratio * width, width)
        )


def sine_positions(sizes: Sequence[tuple[int, int]], width: int, device: torch.device) -> Tensor:
    """Sine position embedding of the pixels of several maps, float32 [1, N, width].

    Rows take the first half of the channels, columns the second; places are scaled to 2 pi over
    the map, so that levels agree about where a pixel lies. Source: DETR, arXiv 2005.12872,
    appendix A.4.
    """
    bands = width // 4
    period = 10000 ** (torch.arange(bands, device=device) / bands)
    parts = []
    for height, w in sizes:
        row = (torch.arange(height, device=device) + 0.5) / height * 2 * math.pi
        col = (torch.arange(w, device=device) + 0.5) / w * 2 * math.pi
        row_HE, col_WE = (
            torch.cat([(place[:, None] / period).sin(), (place[:, None] / period).cos()], -1)
            for place in (row, col)
        )
        shape = (height, w, 2 * bands)
        parts.append(
            torch.cat([row_HE[:, None].expand(shape), col_WE[None].expand(shape)], -1).flatten(0, 1)
        )
    return torch.cat(parts)[None]


def groups_of(channels: int) -> int:
    """Groups for a group normalisation: 32 where they divide the channels, else fewer."""
    return math.gcd(channels, 32)
