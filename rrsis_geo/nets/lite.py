"""Parts that the compact preset ``btdnet-lite`` adds to the paper's network.

None of them is in arXiv 2502.08486. Shape letters are those of btdnet.py.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rrsis_geo.nets.layers import Smoothing, average_to, resize


class ScaleMixing(nn.Module):
    """Mix pixels within a level and between levels, without gathers.

    Neighbours are mixed by a depthwise 5x5 convolution, levels by sums of resized maps. It takes
    the place of deformable attention, whose gathers are slow without a GPU.
    """

    def __init__(self, width: int, *, levels: int) -> None:
        super().__init__()
        self.near = nn.ModuleList(
            nn.Conv2d(width, width, 5, padding=2, groups=width) for _ in range(levels)
        )
        self.out = nn.Linear(width, width)
        self.place = nn.Linear(width, width)  # the only input that depends on a pixel's position

    def forward(self, query: Tensor, pixels: Tensor, sizes: list[tuple[int, int]]) -> Tensor:
        """Mix the pixels of all levels.

        Args:
            query: pixels with their position embedding, [B, N, E].
            pixels: pixels without it, [B, N, E].
            sizes: (H, W) of each level, finest first.

        Returns:
            [B, N, E].
        """
        counts = [h * w for h, w in sizes]
        maps = [
            conv(part.transpose(1, 2).unflatten(2, size))
            for conv, part, size in zip(self.near, pixels.split(counts, 1), sizes, strict=True)
        ]
        for i in reversed(range(len(maps) - 1)):
            maps[i] = maps[i] + resize(maps[i + 1], sizes[i])
        for i in range(1, len(maps)):
            maps[i] = maps[i] + average_to(maps[i - 1], sizes[i])
        near = torch.cat([map_.flatten(2).transpose(1, 2) for map_ in maps], 1)
        out: Tensor = self.out(near) + self.place(query)
        return out


class FineFeature(nn.Module):
    """Mask feature of stride 2 for small objects, from the one of stride 4 and the image."""

    def __init__(self, width: int, fine_width: int) -> None:
        super().__init__()
        self.coarse = nn.Conv2d(width, fine_width, 1)
        self.edges = nn.Conv2d(3, fine_width, 3, stride=2, padding=1)
        self.smooth = Smoothing(fine_width, depthwise=True)

    def forward(self, feature: Tensor, image: Tensor) -> Tensor:
        """[B, E, h, w] and [B, 3, H, W] -> [B, fine_width, H / 2, W / 2]."""
        edges = self.edges(image)
        edges += resize(self.coarse(feature), edges.shape[-2:])
        out: Tensor = self.smooth(F.relu(edges, inplace=True))
        return out


class PresenceHead(nn.Module):
    """Log-odds that the target is in the image at all.

    The inputs are the mean tokens of the decoder and two numbers of the mask: its highest log-odds
    and its mean probability. The mask should be detached, so that this loss does not change it.

    Args:
        width: E, of a token.
        n_tokens: 2 with a background stream, else 1.
    """

    def __init__(self, width: int, *, n_tokens: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(n_tokens * width + 2, width), nn.ReLU(), nn.Linear(width, 1)
        )

    def forward(self, logits: Tensor, foreground: Tensor, background: Tensor | None) -> Tensor:
        """[B, h, w], [B, E], [B, E] or None -> log-odds [B]."""
        flat_BN = logits.flatten(1)
        mask_B2 = torch.stack([flat_BN.amax(1), 10 * flat_BN.sigmoid().mean(1)], 1)
        tokens = [foreground] if background is None else [foreground, background]
        out: Tensor = self.mlp(torch.cat([*tokens, mask_B2], 1))
        return out[:, 0]
