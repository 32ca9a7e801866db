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


def average_to(maps: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    """Average [B, C, h, w] over the cells of a grid, (H, W): adaptive average pooling.

    On a GPU the gradient of torch's own pooling depends on the order of threads. In deterministic
    mode this is a product with two matrices of weights, in float32.
    """
    if not torch.are_deterministic_algorithms_enabled():
        return F.adaptive_avg_pool2d(maps, (size[0], size[1]))
    with torch.autocast(maps.device.type, enabled=False):
        row_Hh, col_Ww = (
            _cell_weights(old, new, maps) for old, new in zip(maps.shape[-2:], size, strict=True)
        )
        return (row_Hh @ maps.to(row_Hh.dtype) @ col_Ww.T).to(maps.dtype)


def _cell_weights(old: int, new: int, maps: Tensor) -> Tensor:
    """Weights of ``old`` pixels in the averages of ``new`` cells, [new, old]."""
    cells = torch.arange(new, device=maps.device)[:, None]
    first, stop = cells * old // new, -(-(cells + 1) * old // new)
    pixels = torch.arange(old, device=maps.device)
    weights = ((pixels >= first) & (pixels < stop)) / (stop - first)
    return weights.to(torch.promote_types(maps.dtype, torch.float32))


def sample_at(maps: Tensor, points: Tensor) -> Tensor:
    """Bilinear samples of maps, zero outside of them.

    On a GPU the gradient of torch's ``grid_sample`` depends on the order of threads. In
    deterministic mode this gathers the four neighbours of each point.

    Args:
        maps: [B, C, H, W].
        points: (x, y) from -1 to 1 over the map, [B, N, P, 2].

    Returns:
        [B, C, N, P].
    """
    if not torch.are_deterministic_algorithms_enabled():
        return F.grid_sample(maps, points, align_corners=False)
    B, C, H, W = maps.shape
    place_BNP2 = (points + 1) * points.new_tensor([W, H]) / 2 - 0.5
    corner_BNP2 = place_BNP2.floor()
    share_BNP2 = place_BNP2 - corner_BNP2
    out = maps.new_zeros(B, C, *points.shape[1:3])
    for right in (0, 1):
        for down in (0, 1):
            x, y = corner_BNP2[..., 0] + right, corner_BNP2[..., 1] + down
            inside = (x >= 0) & (x < W) & (y >= 0) & (y < H)
            index_BNP = y.clamp(0, H - 1).long() * W + x.clamp(0, W - 1).long()
            index_BCK = index_BNP.flatten(1)[:, None].expand(-1, C, -1)
            value = maps.flatten(2).gather(2, index_BCK).view_as(out)
            across = share_BNP2[..., 0] if right else 1 - share_BNP2[..., 0]
            along = share_BNP2[..., 1] if down else 1 - share_BNP2[..., 1]
            out = out + value * (across * along * inside)[:, None]
    return out


def group_count(channels: int) -> int:
    """Number of groups for group normalisation: the greatest common divisor with 32."""
    return math.gcd(channels, 32)
