"""Multi-scale deformable attention in plain PyTorch."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rrsis_geo.nets.layers import sample_at


class DeformableAttention(nn.Module):
    """Each token attends to a few sampling points around its position on every level.

    Source: Deformable DETR, arXiv 2010.04159, eq. (3), with one grid sample per level instead of
    the authors' CUDA kernel. It always runs in float32, because half precision is too coarse for
    the coordinates of sampling points.

    Args:
        width: D, of the tokens.
        heads: attention heads.
        levels: maps of different resolution.
        points: sampling points per head and level.
    """

    def __init__(self, width: int, *, heads: int, levels: int, points: int = 4) -> None:
        super().__init__()
        self.heads, self.levels, self.points = heads, levels, points
        self.offsets = nn.Linear(width, heads * levels * points * 2)
        self.weights = nn.Linear(width, heads * levels * points)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Start with points on a star: one direction per head, one pixel further out per point."""
        angles = torch.arange(self.heads) * (2 * math.pi / self.heads)
        star = torch.stack([angles.cos(), angles.sin()], -1)
        star = star / star.abs().amax(-1, keepdim=True)
        steps = torch.arange(1, self.points + 1)
        bias = star[:, None, None, :] * steps[None, None, :, None]
        nn.init.zeros_(self.offsets.weight)
        nn.init.zeros_(self.weights.weight)
        nn.init.zeros_(self.weights.bias)
        with torch.no_grad():
            self.offsets.bias.copy_(bias.expand(-1, self.levels, -1, -1).reshape(-1))
        for layer in (self.value, self.out):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, query: Tensor, pixels: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
        """Attend from every token to samples around its position.

        Args:
            query: tokens with their position embedding, [B, N, D].
            pixels: tokens without it, [B, N, D].
            sizes: (H, W) of each level; N is the sum of H W.

        Returns:
            [B, N, D].
        """
        with torch.autocast(query.device.type, enabled=False):
            return self._attend(query.float(), pixels.float(), sizes)

    def _attend(self, query: Tensor, pixels: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
        B, N, D = query.shape
        M, L, P = self.heads, self.levels, self.points
        shape = (B, N, M, L, P)
        offset_BNMLP2 = self.offsets(query).view(*shape, 2)
        weight_BNMLP = self.weights(query).view(B, N, M, L * P).softmax(-1).view(shape)
        value_BNMd = self.value(pixels).view(B, N, M, D // M)
        place_N2 = torch.cat([_pixel_centres(h, w, query.device) for h, w in sizes])
        mixed = query.new_zeros(B * M, D // M, N)
        start = 0
        for level, (h, w) in enumerate(sizes):
            map_ = value_BNMd[:, start : start + h * w].permute(0, 2, 3, 1)
            map_ = map_.reshape(B * M, D // M, h, w)
            start += h * w
            right, down = offset_BNMLP2[:, :, :, level].unbind(-1)
            # no tensor of (w, h): to copy it to a GPU would be to wait for the GPU
            offset = torch.stack((right / w, down / h), -1)
            point = place_N2[None, :, None, None] + offset
            grid = (2 * point - 1).permute(0, 2, 1, 3, 4).reshape(B * M, N, P, 2)
            sample = sample_at(map_, grid)  # [B M, d, N, P]
            weight = weight_BNMLP[:, :, :, level].permute(0, 2, 1, 3).reshape(B * M, 1, N, P)
            mixed = mixed + (sample * weight).sum(-1)
        out: Tensor = self.out(mixed.view(B, D, N).transpose(1, 2))
        return out


def _pixel_centres(height: int, width: int, device: torch.device) -> Tensor:
    """Pixel centres of a map as (x, y) from 0 to 1, float32 [H W, 2]."""
    y = (torch.arange(height, device=device) + 0.5) / height
    x = (torch.arange(width, device=device) + 0.5) / width
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 2)
