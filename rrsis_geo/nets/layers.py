"""Layers and helpers shared by several networks."""

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
    """Multi-head attention, batch first.

    Parameters and their names are those of ``nn.MultiheadAttention``. Its forward pass is replaced:
    it transposes the batch, and in inference with a batch above one it copies a projection's weight
    for every token.
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
        projection: Tensor = self.out_proj(out.transpose(1, 2).flatten(2))
        return projection


class FeedForward(nn.Sequential):
    """Linear, ReLU, linear; the hidden layer is ``ratio`` times as wide."""

    def __init__(self, width: int, ratio: int) -> None:
        super().__init__(
            nn.Linear(width, ratio * width), nn.ReLU(), nn.Linear(ratio * width, width)
        )


class Smoothing(nn.Sequential):
    """3x3 convolution, group norm, ReLU. ``depthwise`` splits it into a depthwise 3x3 and a 1x1."""

    def __init__(self, width: int, *, depthwise: bool) -> None:
        if depthwise:
            convs: list[nn.Module] = [
                nn.Conv2d(width, width, 3, padding=1, groups=width),
                nn.Conv2d(width, width, 1),
            ]
        else:
            convs = [nn.Conv2d(width, width, 3, padding=1)]
        super().__init__(*convs, nn.GroupNorm(group_count(width), width), nn.ReLU())


def sine_positions(sizes: Sequence[tuple[int, int]], width: int, device: torch.device) -> Tensor:
    """Sine position embedding of the pixels of several maps, float32 [1, N, width].

    Rows use the first half of the channels, columns the second. Positions are scaled to 2 pi over
    each map, so the same point has the same embedding on every level. Source: DETR,
    arXiv 2005.12872, appendix A.4.
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


def resize(maps: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    """Resize [B, C, h, w] bilinearly to ``size``, (H, W).

    Corners are not aligned: pixel centres keep their place, so neighbouring windows of a scene fit
    together.
    """
    if maps.shape[-2:] == torch.Size(size):
        return maps
    return F.interpolate(maps, tuple(size), mode="bilinear", align_corners=False)


def group_count(channels: int) -> int:
    """Number of groups for group normalisation: the greatest common divisor with 32."""
    return math.gcd(channels, 32)
