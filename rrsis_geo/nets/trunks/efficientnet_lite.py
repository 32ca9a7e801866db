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
    return nn.ModuleList(nn.Sequential(stage) for stage in stages)


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


class _NormAct(nn.BatchNorm2d):
    """Batch normalisation and ReLU6, which ``act`` can leave out."""

    def __init__(self, channels: int, *, act: bool = True) -> None:
        super().__init__(channels, eps=_NORM_EPS)
        self.act = act

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        pixels = super().forward(pixels)
        return F.relu6(pixels, inplace=True) if self.act else pixels


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
        self.chain: tuple[str, ...]
        self.has_skip, self.rate = stride == 1 and channels == part.channels, rate
        if expansion == 1:
            self.conv_dw, self.bn1 = depthwise, _NormAct(wide)
            self.conv_pw, self.bn2 = narrow, last_norm
            self.chain = ("conv_dw", "bn1", "conv_pw", "bn2")
        else:
            self.conv_pw, self.bn1 = _Conv(channels, wide, 1), _NormAct(wide)
            self.conv_dw, self.bn2 = depthwise, _NormAct(wide)
            self.conv_pwl, self.bn3 = narrow, last_norm
            self.chain = ("conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3")

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, channels, H / stride, W / stride]."""
        out = pixels
        for name in self.chain:
            out = self.get_submodule(name)(out)
        return self._drop_path(out) + pixels if self.has_skip else out

    def _drop_path(self, branch: Tensor) -> Tensor:
        """In training, drop the branch of some images, and scale those of the others."""
        if not self.training or self.rate == 0:
            return branch
        keep = 1 - self.rate
        return branch * branch.new_empty(len(branch), 1, 1, 1).bernoulli_(keep).div_(keep)
