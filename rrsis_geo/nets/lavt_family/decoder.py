"""The decoder of LAVT, RMSIN and FIANet: maps of four stages -> two logits per pixel."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MaskDecoder(nn.Module):
    """Join the maps from coarse to fine, two 3x3 convolutions at each step.

    Source: LAVT, arXiv 2112.02244, section 3.4. The width is half of the channels of the last stage
    (512 for a Swin-B), as in the authors' code; the paper does not give it.

    Args:
        channels: of the maps of the four stages.
        second_conv: makes the second convolution of a step from its width. None is a plain one;
            RMSIN has a rotated one.
    """

    def __init__(
        self,
        channels: Sequence[int],
        *,
        second_conv: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        c1, c2, c3, c4 = channels
        width = c4 // 2
        self.steps = nn.ModuleList(
            DecoderStep(inputs, width, second_conv) for inputs in (c4 + c3, width + c2, width + c1)
        )
        self.out = nn.Conv2d(width, 2, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps of the stages, finest first, each [B, C, h, w] -> [B, 2, H / 4, W / 4].

        The first logit is that of the background, the second that of the target.
        """
        pixels = maps[-1]
        for step, map_ in zip(self.steps, reversed(maps[:-1]), strict=True):
            pixels = step(pixels, map_)
        out: Tensor = self.out(pixels)
        return out


class DecoderStep(nn.Module):
    """Enlarge the decoded map to the next finer one, join both, and convolve twice."""

    def __init__(
        self, inputs: int, width: int, second_conv: Callable[[int], nn.Module] | None
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = (
            nn.Conv2d(width, width, 3, padding=1, bias=False)
            if second_conv is None
            else second_conv(width)
        )
        self.norm2 = nn.BatchNorm2d(width)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """[B, C', h, w], [B, C, H, W] -> [B, width, H, W]."""
        pixels = torch.cat([resize_aligned(coarse, fine.shape[-2:]), fine], 1)
        pixels = F.relu(self.norm1(self.conv1(pixels)))
        return F.relu(self.norm2(self.conv2(pixels)))


def resize_aligned(maps: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    """Resize [B, C, h, w] bilinearly with aligned corners, as the published weights expect."""
    return F.interpolate(maps, tuple(size), mode="bilinear", align_corners=True)
