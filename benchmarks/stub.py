"""A stand-in for a network, with a right answer that is known: is a small square bright on average?

It is as deterministic and as local as a convolution, and like one it takes what lies beyond its
window for zeros, so that what it says near the rim of a window is wrong. Sums are of whole numbers
below 2^24, which float32 adds exactly, in any order.

Needs torch and nothing else, so that the programs of `peers.py` can each run it in their own
environment.
"""

import torch
from torch import Tensor, nn

RADIUS_PX = 8
"""Of the square that a pixel is judged by, its own row or column not counted."""
LIMIT = 148.0
"""A square is the target where its first band is brighter than this on average."""
SOFTNESS = 8.0
"""Levels of brightness to a unit of log-odds."""


def box_sums(values: Tensor, radius: int) -> Tensor:
    """Sum over the square around each pixel: [..., H, W] -> [..., H - 2 radius, W - 2 radius].

    The radius is a power of two.
    """
    for axis in (-2, -1):
        width = 1
        sums = values
        while width < 2 * radius:  # sums of twice as many, until one is missing
            n = sums.size(axis) - width
            sums = sums.narrow(axis, 0, n) + sums.narrow(axis, width, n)
            width *= 2
        n = sums.size(axis) - 1
        values = sums.narrow(axis, 0, n) + values.narrow(axis, width, n)
    return values


class BoxNet(nn.Module):
    """Float images [B, C, H, W] -> log-odds [B, 1, H, W], or what a program wants of them."""

    def __init__(self, scale: float = 1.0, output: str = "logits") -> None:
        """Take images of [0, 255 / scale].

        Args:
            scale: what the first band is multiplied by, to be 0 to 255.
            output: "logits"; "probability"; or "classes": log-odds of two, [B, 2, H, W].
        """
        super().__init__()
        self.scale, self.output = scale, output
        self.radius, self.limit, self.softness = RADIUS_PX, LIMIT, SOFTNESS  # for TorchScript

    def forward(self, images: Tensor) -> Tensor:
        levels = torch.round(images[:, :1].float() * self.scale)
        padded = nn.functional.pad(levels, [self.radius] * 4)
        mean = box_sums(padded, self.radius) / float((2 * self.radius + 1) ** 2)
        logits = (mean - self.limit) / self.softness
        if self.output == "probability":
            return torch.sigmoid(logits)
        if self.output == "classes":
            return torch.cat([-logits / 2, logits / 2], 1)
        return logits
