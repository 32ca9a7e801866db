"""Parts that several networks use."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of [B, C, H, W]."""

    def forward(self, pixels: Tensor) -> Tensor:
        return super().forward(pixels.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Attention(nn.MultiheadAttention):
    """Multi-head attention, batch first: ``nn.MultiheadAttention`` (weights and their names too).

    Its own forward turns the batch inside out, and in inference copies a projection's weight once a
    token for it, for batches over one; this one leaves the batch where it is.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads, batch_first=True)

    def forward(  # type: ignore[override]
        self, query: Tensor, key: Tensor, value: Tensor, valid: Tensor | None = None
    ) -> Tensor:
        """[B, M, D], [B, N, D] twice, bool [B, N] (True at keys to attend to) -> [B, M, D]."""
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        query, key, value = (
            F.linear(x, w, b).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for x, w, b in zip((query, key, value), weights, biases, strict=True)
        )
        mask = None if valid is None else valid[:, None, None, :]
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        projected: Tensor = self.out_proj(out.transpose(1, 2).flatten(2))
        return projected


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
