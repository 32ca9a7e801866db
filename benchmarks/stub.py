"""A stub network with a known correct answer: is the mean of a small square bright?

It is deterministic and local like a convolution. Like one, it pads its window with zeros, so its
output near the edge of a window is wrong. It sums integers below 2^24, which float32 adds exactly
in any order.

Needs only torch, so that each program of `peers.py` can run it in its own environment.
"""

import torch
from torch import Tensor, nn

RADIUS_PX = 8
"""Distance from a pixel to the edge of the square that classifies it."""
LIMIT = 148.0
"""A pixel is target if the mean of the first band in its square exceeds this."""
SOFTNESS = 8.0
"""Brightness levels per unit of log-odds."""


def box_sums(values: Tensor, radius: int) -> Tensor:
    """Sum over the square around each pixel: [..., H, W] -> [..., H - 2 radius, W - 2 radius].

    The radius must be a power of two.
    """
    for axis in (-2, -1):
        width = 1
        sums = values
        while width < 2 * radius:  # double the width of the sums
            n = sums.size(axis) - width
            sums = sums.narrow(axis, 0, n) + sums.narrow(axis, width, n)
            width *= 2
        n = sums.size(axis) - 1  # add the last element of the square
        values = sums.narrow(axis, 0, n) + values.narrow(axis, width, n)
    return values


class BoxNet(nn.Module):
    """Float images [B, C, H, W] -> log-odds [B, 1, H, W], or the form that a program needs."""

    def __init__(self, scale: float = 1.0, output: str = "logits") -> None:
        """Set the form of inputs and outputs.

        Args:
            scale: factor that brings the first band to 0 to 255.
            output: "logits"; "probability"; or "classes", the logits of two classes [B, 2, H, W].
        """
        super().__init__()
        self.scale, self.output = scale, output
        # TorchScript cannot read the constants of the module.
        # TorchScript cannot read the constants of the module.
        self.radius, self.limit, self.softness = RADIUS_PX, LIMIT, SOFTNESS

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
