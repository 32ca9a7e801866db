"""Maps of all stages meet at the coarsest one, and change the maps through gates.

RMSIN (its cross-scale interaction) and FIANet (its text-aware multi-scale enhancement) differ only
in what happens in between.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rrsis_geo.nets.layers import average_to, resize

REDUCTION = 4
"""The joint map has a quarter of the channels of all stages together (480 for a Swin-B)."""


class CrossScale(nn.Module):
    """The steps before and after the blocks. A subclass adds the blocks and a ``forward``.

    Attributes:
        width: channels of the joint map.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.width = sum(channels) // REDUCTION
        self.into = nn.Conv2d(sum(channels), self.width, 1)
        self.norm = nn.BatchNorm2d(self.width)
        self.out = nn.Conv2d(self.width, sum(channels), 1)
        self.gates = nn.ModuleList(ScaleAwareGate(c) for c in channels)

    def gather(self, maps: Sequence[Tensor]) -> Tensor:
        """Pool the maps [B, C, h, w] to the size of the last, and join them: [B, width, h, w]."""
        size = (maps[-1].shape[-2], maps[-1].shape[-1])
        joint: Tensor = self.into(torch.cat([average_to(m, size) for m in maps], 1))
        return joint

    def distribute(self, maps: Sequence[Tensor], joint: Tensor) -> list[Tensor]:
        """Change each map by its part of the joint map; the shapes stay."""
        parts = self.out(self.norm(joint)).split(self.channels, 1)
        return [gate(map_, part) for gate, map_, part in zip(self.gates, maps, parts, strict=True)]


class ScaleAwareGate(nn.Module):
    """A map times a gate from the joint map, plus a term from the joint map.

    Source: RMSIN, arXiv 2312.12470, section 3.3.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.local, self.added, self.gate = (
            nn.Sequential(nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels))
            for _ in range(3)
        )

    def forward(self, pixels: Tensor, joint: Tensor) -> Tensor:
        """[B, C, H, W], [B, C, h, w] -> [B, C, H, W]."""
        size = pixels.shape[-2:]
        gate = resize(F.hardsigmoid(self.gate(joint)), size)  # hard sigmoid first, then resized
        out: Tensor = self.local(pixels) * gate + resize(self.added(joint), size)
        return out
