"""RMSIN: rotated multi-scale interaction network. Source: arXiv 2312.12470 (CVPR 2024).

The file follows the paper: the network, the visual half of its intra-scale interaction (IIM), the
cross-scale interaction (CIM), and the adaptive rotated convolution (ARC). The language half of IIM
is LAVT's. What the paper leaves open follows the authors' code, with which the outputs agree
(tests/nets/test_parity.py). RemoteSAM (arXiv 2505.18022) is this network for images of 896 px.

Shape letters: B images, C channels, H W pixels, P pixels of the coarsest map, N tokens.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rrsis_geo.errors import ConfigError
from rrsis_geo.nets.encoders import COMPACT_TEXT, COMPACT_TRUNK
from rrsis_geo.nets.lavt_family.cross_scale import REDUCTION, CrossScale
from rrsis_geo.nets.lavt_family.decoder import MaskDecoder
from rrsis_geo.nets.lavt_family.fusion import Gate, apply_gate, init_linears
from rrsis_geo.nets.lavt_family.network import FamilyConfig, FamilyWords, FusionNet, StageFusion
from rrsis_geo.nets.layers import ChannelNorm

STRIDE = 32
"""Of the coarsest map."""
HEADS, KEY_WIDTH, VALUE_WIDTH = 8, 32, 64
"""Of the cross-scale attention, for every width of the joint map."""
MAX_ANGLE = math.radians(40)
"""Largest rotation of a filter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RMSINConfig(FamilyConfig):
    """Settings of RMSIN. The defaults are the paper's network.

    ``visual_branch``, ``cross_scale`` and ``rotated_conv`` are the rows of the paper's ablation of
    its three parts.
    """

    visual_branch: bool = True
    """The intra-scale interaction has a visual half."""
    cross_scale: bool = True
    """Maps of all stages meet before the decoder."""
    rotated_conv: bool = True
    """The decoder rotates its second filters by an angle that it reads from the image."""
    cross_entropy_weight: float = 0.9
    dice_weight: float = 0.1

    def __post_init__(self) -> None:
        FamilyConfig.__post_init__(self)
        if self.cross_scale and self.image_px % STRIDE:
            raise ConfigError(f"image_px must be a multiple of {STRIDE}, got {self.image_px}")


PRESETS = {
    "rmsin": RMSINConfig(),
    "remotesam": RMSINConfig(image_px=896),
    "rmsin-lite": RMSINConfig(
        trunk=COMPACT_TRUNK,
        image_px=512,
        drop_path=0.0,
        freeze_batch_norm=True,
        text=COMPACT_TEXT,
    ),
}


class RMSIN(FusionNet):
    """The whole network. Source: arXiv 2312.12470, fig. 2.

    With ``cross_scale`` it reads only square images of ``image_px``: one linear map of the
    cross-scale attention mixes the pixels of the coarsest map.
    """

    name: ClassVar[str] = "rmsin"
    config_class: ClassVar[type[RMSINConfig]] = RMSINConfig
    presets: ClassVar[Mapping[str, RMSINConfig]] = PRESETS
    config: RMSINConfig

    def __init__(self, config: RMSINConfig) -> None:
        super().__init__(config)
        channels = self.trunk.channels
        self.fusions = nn.ModuleList(
            IntraScale(c, config.text.width, heads=heads, visual=config.visual_branch)
            for c, heads in zip(channels, config.fusion_heads, strict=True)
        )
        if config.cross_scale:
            self.cross_scale = CrossScaleInteraction(channels, side=config.image_px // STRIDE)
        self.decoder = MaskDecoder(
            channels, second_conv=RotatedConv if config.rotated_conv else None
        )
        self._fix_unused()

    def refine(self, maps: list[Tensor], words: FamilyWords) -> list[Tensor]:
        """Cross-scale interaction of the four maps."""
        return self.cross_scale(maps) if self.config.cross_scale else maps

    def check_inputs(self, *, size_px: int, vocab_size: int, max_tokens: int) -> None:
        """Check sizes of images and expressions. See `ReferringNet.check_inputs`."""
        super().check_inputs(size_px=size_px, vocab_size=vocab_size, max_tokens=max_tokens)
        if self.config.cross_scale and size_px != self.config.image_px:
            raise ConfigError(
                f"this network reads only images of {self.config.image_px} px, size_px is {size_px}"
            )

    def _check_size(self, height: int, width: int) -> None:
        side = self.config.image_px
        if self.config.cross_scale and (height, width) != (side, side):
            raise ValueError(f"images must be {side} x {side}, got {height} x {width}")
        super()._check_size(height, width)


# --- Intra-scale interaction (IIM), section 3.2


class IntraScale(StageFusion):
    """Words and a visual branch, each returned to the trunk through a gate of its own."""

    def __init__(self, width: int, text_width: int, *, heads: int, visual: bool) -> None:
        super().__init__(width, text_width, heads=heads)
        self.gate = Gate(width)
        self.visual = VisualBranch() if visual else None
        self.visual_gate = Gate(width) if visual else None

    def update(self, pixels: Tensor, fused: Tensor, words: FamilyWords) -> Tensor:
        """[B, C, H, W] twice -> [B, C, H, W]."""
        out = pixels + apply_gate(self.gate, fused)
        if self.visual is not None and self.visual_gate is not None:
            out = out + apply_gate(self.visual_gate, self.visual(pixels))
        return out


class VisualBranch(nn.Module):
    """Weigh pixels by a map that two small convolutional blocks make of their mean channel."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Branches(), Branches()

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        weight: Tensor = self.second(F.relu(self.first(pixels.mean(1, keepdim=True))))
        return pixels * weight.sigmoid()


class Branches(nn.Module):
    """Sum of a 1x1, a 1x1 and 3x3, and an identity branch, each normalised, on one channel."""

    def __init__(self) -> None:
        super().__init__()
        self.point = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1))
        self.near = nn.Sequential(
            nn.Conv2d(1, 1, 1, bias=False),
            nn.BatchNorm2d(1),
            nn.Conv2d(1, 1, 3, padding=1, bias=False),
            nn.BatchNorm2d(1),
        )
        self.identity = nn.BatchNorm2d(1)

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, 1, H, W] -> [B, 1, H, W]."""
        out: Tensor = self.point(pixels) + self.near(pixels) + self.identity(pixels)
        return out


# --- Cross-scale interaction (CIM), section 3.3


class CrossScaleInteraction(CrossScale):
    """CIM with one block: attention, feed-forward per stage, attention, feed-forward.

    The feed-forward per stage has two residuals in the authors' code, z + (z + FF(z)).

    Args:
        channels: of the maps of the four stages.
        side: of the coarsest map, in pixels.
    """

    def __init__(self, channels: tuple[int, ...], *, side: int) -> None:
        super().__init__(channels)
        self.parts = tuple(c // REDUCTION for c in channels)
        self.attention1 = CrossScaleAttention(self.width, side)
        self.part_ffns = nn.ModuleList(ConvFeedForward(c) for c in self.parts)
        self.attention2 = CrossScaleAttention(self.width, side)
        self.ffn = ConvFeedForward(self.width)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """[B, C, h, w] of the four stages -> the same shapes."""
        joint = self.gather(maps)
        joint = joint + self.attention1(joint)
        parts = zip(self.part_ffns, joint.split(self.parts, 1), strict=True)
        joint = joint + torch.cat([part + ffn(part) for ffn, part in parts], 1)
        joint = joint + self.attention2(joint)
        joint = joint + self.ffn(joint)
        return self.distribute(maps, joint)


class CrossScaleAttention(nn.Module):
    """Attention between the pixels of the joint map at strides 1, 2 and 3.

    A linear map from all N tokens to the P pixels ends it. Published weights fix two oddities of
    the authors' code: its two inputs are read in memory order as [512, tokens], where one expects a
    transpose.
    """

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        values = HEADS * VALUE_WIDTH
        self.n_pixels = side**2
        n_tokens = side**2 + math.ceil(side / 2) ** 2 + math.ceil(side / 3) ** 2
        self.norm = nn.BatchNorm2d(width)
        self.stride2 = nn.Sequential(
            nn.Conv2d(width, width, 3, stride=2, padding=1, groups=width), nn.BatchNorm2d(width)
        )
        self.stride3 = nn.Sequential(
            nn.Conv2d(width, width, 5, stride=3, padding=2, groups=width), nn.BatchNorm2d(width)
        )
        self.qkv = nn.Linear(width, HEADS * (2 * KEY_WIDTH + VALUE_WIDTH), bias=False)
        self.qkv_norm = nn.BatchNorm1d(self.qkv.out_features)
        self.pixels_out = nn.Linear(n_tokens, self.n_pixels)
        self.local = nn.Conv2d(values, values, 3, padding=1, groups=values)
        self.channels_out = nn.Linear(values, width)
        self.out_norm = nn.BatchNorm2d(width)
        self.out = nn.Conv2d(width, width, 1)
        init_linears(self)

    def forward(self, joint: Tensor) -> Tensor:
        """[B, C, h, w] -> [B, C, h, w]."""
        size = joint.shape[-2:]
        full = self.norm(joint)
        levels = (full, self.stride2(full), self.stride3(full))
        tokens = torch.cat([level.flatten(2) for level in levels], 2).transpose(1, 2)  # [B, N, C]
        B, N, _ = tokens.shape
        qkv = self.qkv_norm(self.qkv(tokens).flatten(0, 1)).view(B, N, HEADS, -1).transpose(1, 2)
        query, key, value = qkv.split([KEY_WIDTH, KEY_WIDTH, VALUE_WIDTH], -1)  # [B, heads, N, 32]
        read = F.scaled_dot_product_attention(query, key, value).transpose(1, 2)
        mixed_BVP = self.pixels_out(read.reshape(B, -1, N))  # read in memory order
        near = value[:, :, : self.n_pixels].reshape(B, -1, *size)  # read in memory order
        near_BVP = self.local(F.hardswish(near)).flatten(2)
        out = self.channels_out((mixed_BVP + near_BVP).transpose(1, 2)).transpose(1, 2)
        out = F.hardswish(self.out_norm(out.unflatten(2, size)))
        update: Tensor = self.out(out)
        return update


class ConvFeedForward(nn.Sequential):
    """1x1, grouped 3x3 and 1x1 convolution with twice the channels in between."""

    def __init__(self, width: int) -> None:
        super().__init__(
            nn.BatchNorm2d(width),
            nn.Conv2d(width, 2 * width, 1),
            nn.BatchNorm2d(2 * width),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=width),
            nn.ReLU6(),
            nn.Conv2d(2 * width, width, 1),
        )


# --- Adaptive rotated convolution (ARC), section 3.4


class RotatedConv(nn.Module):
    """A 3x3 convolution whose filters are rotated and scaled for each image.

    The authors' code has one set of filters, a bound of 40 degrees, and a scale near 0.5 at the
    start.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, width, 3, 3))
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.norm = ChannelNorm(width)
        self.dropout = nn.Dropout(0.2)
        self.scale = nn.Linear(width, 1)
        self.angle = nn.Linear(width, 1, bias=False)
        nn.init.normal_(self.weight, std=math.sqrt(2 / (9 * width)))
        for part in (self.depthwise, self.scale, self.angle):
            nn.init.trunc_normal_(part.weight, std=0.02)

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        B, C, H, W = pixels.shape
        routed_BC = F.relu(self.norm(self.depthwise(pixels))).mean((2, 3))
        scale_B = self.scale(self.dropout(routed_BC)).sigmoid()[:, 0]
        angle_B = MAX_ANGLE * F.softsign(self.angle(self.dropout(routed_BC)))[:, 0]
        turn_B99 = scale_B[:, None, None] * rotation_matrix(angle_B).to(scale_B.dtype)
        filters = self.weight.flatten(2) @ turn_B99[:, None].transpose(2, 3)  # [B, C, C, 9]
        filters = filters.reshape(B * C, C, 3, 3)
        out = F.conv2d(pixels.reshape(1, B * C, H, W), filters, padding=1, groups=B)
        return out.view(B, C, H, W)


def rotation_matrix(angle: Tensor) -> Tensor:
    """Matrices that rotate flattened 3x3 filters, [B] in radians -> [B, 9, 9].

    The tap at (x, y), with x to the right and y down from the centre, reads the filter bilinearly
    at the rotated place. Places outside are moved to the border.
    """
    unit = torch.arange(-1, 2, device=angle.device, dtype=angle.dtype)
    y_9, x_9 = (axis.flatten() for axis in torch.meshgrid(unit, unit, indexing="ij"))
    cos_B1, sin_B1 = angle.cos()[:, None], angle.sin()[:, None]
    from_x = (cos_B1 * x_9 - sin_B1 * y_9).clamp(-1, 1)[:, :, None]
    from_y = (sin_B1 * x_9 + cos_B1 * y_9).clamp(-1, 1)[:, :, None]
    return (1 - (from_x - x_9).abs()).clamp_min(0) * (1 - (from_y - y_9).abs()).clamp_min(0)
