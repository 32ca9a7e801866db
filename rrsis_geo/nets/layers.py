"""Layers and helpers shared by several networks."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def is_plain(module: nn.Module, pixels: Tensor) -> bool:
    """Whether a module should compute in the plain order of its definition.

    In inference on a CPU some modules multiply weights with each other, or with a few tokens,
    before the pixels. Training keeps the plain order for its gradients, an exported graph for its
    size, and a GPU because that is quicker there.
    """
    return module.training or pixels.device.type != "cpu" or torch.compiler.is_exporting()


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of [B, C, H, W]."""

    def forward(self, pixels: Tensor) -> Tensor:
        return super().forward(pixels.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def instance_norm(pixels: Tensor, *, plain: bool) -> Tensor:
    """Instance normalisation of [B, C, H, W].

    Without ``plain`` (see `is_plain`), maps whose channels are last in memory stay so. Those of
    torch are contiguous, and computing with maps of both kinds is many times slower on a CPU.
    """
    if plain:
        return F.instance_norm(pixels)
    centred = pixels.to(torch.promote_types(pixels.dtype, torch.float32))
    centred = centred - centred.mean((2, 3), keepdim=True)
    variance = centred.square().mean((2, 3), keepdim=True)
    return centred.mul_((variance + 1e-5).rsqrt()).to(pixels.dtype)


class Attention(nn.MultiheadAttention):
    """Multi-head attention, batch first.

    Parameters and their names are those of ``nn.MultiheadAttention``. Its forward pass is replaced:
    it transposes the batch, and in inference with a batch above one it copies a projection's weight
    for every token.

    Where a few tokens attend to many pixels, or many pixels to a few tokens, the projections of the
    pixels are applied to the tokens (see `is_plain`): (T Wq)(V Wk)' = (T Wq Wk') V'. Scores then
    have the pixels as their last axis, where the softmax over a few tokens is several times faster.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads, batch_first=True)

    def forward(  # type: ignore[override]
        self, query: Tensor, key: Tensor, value: Tensor, valid: Tensor | None = None
    ) -> Tensor:
        """[B, M, D], [B, N, D] twice, bool [B, N] (True at keys to attend to) -> [B, M, D]."""
        if not is_plain(self, query):
            most = self.embed_dim // self.num_heads
            if query.shape[1] <= most < key.shape[1] and valid is None:
                return self._attend_from_few(query, key, value)
            if key.shape[1] <= 2 * most < query.shape[1]:
                return self._attend_to_few(query, key, value, valid)
        query, key, value = (
            self._project(x, part).transpose(1, 2) for part, x in enumerate((query, key, value))
        )
        mask = None if valid is None else valid[:, None, None, :]
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        projection: Tensor = self.out_proj(out.transpose(1, 2).flatten(2))
        return projection

    def _project(self, tokens: Tensor, part: int) -> Tensor:
        """Queries (part 0), keys (1) or values (2) of the heads, [B, N, D] -> [B, N, heads, d]."""
        weight, bias = self.in_proj_weight.chunk(3)[part], self.in_proj_bias.chunk(3)[part]
        heads: Tensor = F.linear(tokens, weight, bias).unflatten(-1, (self.num_heads, -1))
        return heads

    def _head_weights(self, part: int) -> Tensor:
        """Projection of each head, [heads, d, D]."""
        weight = self.in_proj_weight.chunk(3)[part]
        heads: Tensor = weight.unflatten(0, (self.num_heads, -1))
        return heads

    def _attend_from_few(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Biases of keys add the same value to all scores of a query, so they have no effect."""
        M, d = query.shape[1], self.embed_dim // self.num_heads
        query_BMhd = self._project(query, 0) / d**0.5
        query_BSD = torch.einsum("bmhd,hdD->bhmD", query_BMhd, self._head_weights(1)).flatten(1, 2)
        weights_BSN = (query_BSD @ key.transpose(1, 2)).softmax(-1)  # S: heads x M
        read_BhMD = (weights_BSN @ value).unflatten(1, (self.num_heads, M))
        out_BMhd = torch.einsum("bhmD,hdD->bmhd", read_BhMD, self._head_weights(2))
        out: Tensor = self.out_proj(out_BMhd.flatten(2) + self.in_proj_bias.chunk(3)[2])
        return out

    def _attend_to_few(
        self, query: Tensor, key: Tensor, value: Tensor, valid: Tensor | None
    ) -> Tensor:
        """Each head scores pixels as (V Wq)(T Wk)' = V (T Wk Wq')', and adds A (T Wv Wo)."""
        h, N, d = self.num_heads, key.shape[1], self.embed_dim // self.num_heads
        key_BNhd = self._project(key, 1) / d**0.5
        key_BSD = torch.einsum("bnhd,hdD->bhnD", key_BNhd, self._head_weights(0)).flatten(1, 2)
        bias_h1d = self.in_proj_bias.chunk(3)[0].view(h, d)
        bias_BhN1 = torch.einsum("bnhd,hd->bhn", key_BNhd, bias_h1d)[..., None]
        if valid is not None:
            bias_BhN1 = bias_BhN1.masked_fill(~valid[:, None, :, None], -torch.inf)
        scores_BSM = key_BSD @ query.transpose(1, 2)  # S: heads x N
        weights_BhNM = (scores_BSM.unflatten(1, (h, N)) + bias_BhN1).softmax(2)
        out_hdD = self.out_proj.weight.T.unflatten(0, (h, d))
        value_BSD = torch.einsum("bnhd,hdD->bhnD", self._project(value, 2), out_hdD).flatten(1, 2)
        out: Tensor = weights_BhNM.flatten(1, 2).transpose(1, 2) @ value_BSD
        return out + self.out_proj.bias


class FeedForward(nn.Sequential):
    """Linear, ReLU, linear; the hidden layer is ``ratio`` times as wide."""

    def __init__(self, width: int, ratio: int) -> None:
        super().__init__(
            nn.Linear(width, ratio * width),
            nn.ReLU(inplace=True),
            nn.Linear(ratio * width, width),
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
        super().__init__(*convs, nn.GroupNorm(group_count(width), width), nn.ReLU(inplace=True))


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
