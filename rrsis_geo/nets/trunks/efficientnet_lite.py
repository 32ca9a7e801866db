"""EfficientNet-Lite0, the image encoder of the compact presets, in four stages.

Tan and Le, "EfficientNet", ICML 2019, without squeeze-and-excitation and with ReLU6, as in
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite (Apache-2.0). It is
written here because importing timm takes 2.6 s of a CPU core. Names of modules, and so the keys of
state dicts, are those that `Trunk` gives to timm's ``tf_efficientnet_lite0``. Outputs are the same.
"""

import math
from collections import OrderedDict
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from rrsis_geo.nets.layers import is_plain

NAME = "tf_efficientnet_lite0"
CHANNELS = (24, 40, 112, 320)
"""Of the maps of the four stages, with strides 4, 8, 16 and 32."""

_STEM = 32
_EXPANSION = 6
_NORM_EPS = 1e-3


class _Blocks(NamedTuple):
    """Consecutive blocks. The first one has the stride, the others have stride 1."""

    stage: int
    repeats: int
    kernel: int
    stride: int
    channels: int


_LAYOUT = (
    _Blocks(0, 1, 3, 1, 16),
    _Blocks(0, 2, 3, 2, 24),
    _Blocks(1, 2, 5, 2, 40),
    _Blocks(2, 3, 3, 2, 80),
    _Blocks(2, 3, 5, 1, 112),
    _Blocks(3, 4, 5, 2, 192),
    _Blocks(3, 1, 3, 1, 320),
)


def build_stages(*, drop_path: float = 0.0) -> nn.ModuleList:
    """Build the four stages with fresh weights. The sides of images must be multiples of 32.

    Args:
        drop_path: stochastic depth rate of the last block; it grows linearly from 0.
    """
    stages: list[OrderedDict[str, nn.Module]] = [OrderedDict() for _ in CHANNELS]
    stages[0]["conv_stem"] = _Conv(3, _STEM, 3, stride=2)
    stages[0]["bn1"] = _NormAct(_STEM)
    n_blocks = sum(part.repeats for part in _LAYOUT)
    channels, done = _STEM, 0
    for index, part in enumerate(_LAYOUT):
        blocks = nn.Sequential()
        for i in range(part.repeats):
            stride = part.stride if i == 0 else 1
            expansion = 1 if index == 0 else _EXPANSION
            rate = drop_path * done / n_blocks
            blocks.append(_Block(channels, part, stride=stride, expansion=expansion, rate=rate))
            channels, done = part.channels, done + 1
        stages[part.stage][f"blocks_{index}"] = blocks
    return nn.ModuleList([_FirstStage(stages[0]), *map(nn.Sequential, stages[1:])])


class _Conv(nn.Conv2d):
    """Convolution without bias. With stride 2 it pads as TensorFlow does: more at the end."""

    def __init__(
        self, channels: int, out: int, kernel: int, *, stride: int = 1, groups: int = 1
    ) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(channels, out, kernel, stride, padding, groups=groups, bias=False)
        total = kernel - stride if stride > 1 else 0
        self.sides = (total // 2, total - total // 2)
        fan_out = kernel**2 * out // groups
        nn.init.normal_(self.weight, std=math.sqrt(2 / fan_out))

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, out, H / stride, W / stride]."""
        if self.sides != (0, 0):
            pixels = F.pad(pixels, self.sides * 2)
        return super().forward(pixels)

    def apply_normalized(self, pixels: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Multiply by a scale and add a shift [out], as a part of the same convolution."""
        weight, padding = self.weight * scale[:, None, None, None], self.padding
        if self.sides != (0, 0):
            before, after = self.sides
            # rows and columns of zeros are cheaper in the filters than around the pixels
            weight = F.pad(weight, (after - before, 0) * 2)
            padding = (after, after)
        return F.conv2d(pixels, weight, shift, self.stride, padding, groups=self.groups)


class _NormAct(nn.BatchNorm2d):
    """Batch normalisation and ReLU6, which ``act`` can leave out."""

    def __init__(self, channels: int, *, act: bool = True) -> None:
        super().__init__(channels, eps=_NORM_EPS)
        self.act = act

    def after(self, conv: _Conv, pixels: Tensor) -> Tensor:
        """Convolve, normalise and activate, [B, C, H, W] -> [B, out, h, w].

        The statistics are constants outside of training, so the convolution can contain them.
        """
        if is_plain(conv, pixels):
            pixels = self(conv(pixels))
        else:
            assert self.running_mean is not None
            assert self.running_var is not None
            scale = self.weight * (self.running_var + self.eps).rsqrt()
            pixels = conv.apply_normalized(pixels, scale, self.bias - self.running_mean * scale)
        return F.relu6(pixels, inplace=True) if self.act else pixels


class _FirstStage(nn.Sequential):
    """A convolution with its norm, and blocks."""

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, C, H / 4, W / 4]."""
        conv, norm, *blocks = self
        assert isinstance(conv, _Conv)
        assert isinstance(norm, _NormAct)
        pixels = norm.after(conv, pixels)
        for block in blocks:
            pixels = block(pixels)
        return pixels


class _Block(nn.Module):
    """Widen by a 1x1 convolution, convolve each channel, narrow by a 1x1; add the input if it fits.

    Without widening, the names of the parts are those of timm's ``DepthwiseSeparableConv``, else
    those of its ``InvertedResidual``.
    """

    def __init__(
        self, channels: int, part: _Blocks, *, stride: int, expansion: int, rate: float
    ) -> None:
        super().__init__()
        wide = channels * expansion
        depthwise = _Conv(wide, wide, part.kernel, stride=stride, groups=wide)
        narrow, last_norm = _Conv(wide, part.channels, 1), _NormAct(part.channels, act=False)
        self.chain: tuple[tuple[str, str], ...]
        self.has_skip, self.rate = stride == 1 and channels == part.channels, rate
        if expansion == 1:
            self.conv_dw, self.bn1 = depthwise, _NormAct(wide)
            self.conv_pw, self.bn2 = narrow, last_norm
            self.chain = (("conv_dw", "bn1"), ("conv_pw", "bn2"))
        else:
            self.conv_pw, self.bn1 = _Conv(channels, wide, 1), _NormAct(wide)
            self.conv_dw, self.bn2 = depthwise, _NormAct(wide)
            self.conv_pwl, self.bn3 = narrow, last_norm
            self.chain = (("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3"))

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, channels, H / stride, W / stride]."""
        out = pixels
        for conv, norm in self.chain:
            out = getattr(self, norm).after(getattr(self, conv), out)
        return self._drop_path(out).add_(pixels) if self.has_skip else out

    def _drop_path(self, branch: Tensor) -> Tensor:
        """In training, drop the branch of some images, and scale those of the others."""
        if not self.training or self.rate == 0:
            return branch
        keep = 1 - self.rate
        return branch * branch.new_empty(len(branch), 1, 1, 1).bernoulli_(keep).div_(keep)
