"""Settings of BTDNet and its presets."""

from dataclasses import dataclass, field
from typing import Literal

from rrsis_geo.errors import ConfigError
from rrsis_geo.nets.bert import TextConfig
from rrsis_geo.nets.encoders import COMPACT_TEXT, COMPACT_TRUNK

GateType = Literal["fused", "input", "joint"]
LIMITS = {
    "image_px": (64, 4096),
    "drop_path": (0, 0.99),
    "bsc_text_width": (1, 4096),
    "width": (4, 4096),
    "heads": (1, 64),
    "mci_layers": (1, 24),
    "ffn_ratio": (1, 16),
    "fine_width": (0, 1024),
    "background_weight": (0, 1000),
    "reconstruction_weight": (0, 1000),
    "dice_weight": (0, 1000),
    "presence_weight": (0, 1000),
}
"""Smallest and largest value of each number."""

_NO_PRIORS = (
    "priors for words of place and order no longer exist, because such words are resolved over the "
    "whole scene; remove the setting from a configuration, or train the bundle again from the "
    "shipped btdnet-lite"
)
REMOVED_SETTINGS = {"place_prior": _NO_PRIORS, "order_prior": _NO_PRIORS}
"""Setting of an earlier version -> what to do where it is used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BTDNetConfig:
    """Settings of BTDNet. The defaults are the paper's network.

    The ablations of the paper are settings: table V is ``bsc_stages``, and ``bsc_to_text`` or
    ``bsc_to_vision``, table VI is ``background_tokens`` and ``background_prior``, table VII is
    ``background_weight = 0`` and ``reconstruction_weight = 0``. A part whose loss has weight 0 is
    not built.
    """

    trunk: str = "swin_base_patch4_window12_384.ms_in22k"
    """timm name of the image encoder."""
    image_px: int = 512
    drop_path: float = 0.3
    freeze_batch_norm: bool = False
    text: TextConfig = field(default_factory=TextConfig)

    bsc_stages: tuple[int, ...] = (1, 2, 3, 4)
    """Stages (1 to 4) after which image and text are correlated."""
    bsc_to_text: bool = True
    """The image also changes the text. If False, an expression is encoded once per scene."""
    bsc_to_vision: bool = True
    """The text also changes the image. If False, an image is encoded once for all expressions."""
    gate_type: GateType = "fused"
    """What the gates of eq. (4) read and weigh: "fused" reads what was fused and weighs it (LAVT),
    "input" reads what was aligned and weighs the input, "joint" reads both and weighs the input."""
    bsc_text_width: int | None = None
    """Width of queries and keys on the text side of the correlation. None is the width of BERT."""
    bsc_share_keys: bool = False
    """All window sizes share one projection of keys."""
    vision_windows: tuple[int, ...] = (1, 3, 5)
    text_windows: tuple[int, ...] = (1, 3, 5)
    """Even windows are possible here, such as those of DMMI, (1, 2, 3)."""

    width: int = 256
    """E, width of the decoder."""
    heads: int = 8
    mci_layers: int = 6
    ffn_ratio: int = 4
    mixing: Literal["deformable", "convolution"] = "deformable"
    """How the multi-scale context integration (MCI) mixes pixels of different levels."""
    background_tokens: Literal[3, 5, 7] = 5
    background_prior: bool = True
    background_in_mci: bool = True
    smoothing: Literal["full", "depthwise"] = "full"
    """The 3x3 convolution that makes the mask feature."""
    fine_width: int = 0
    """Channels of a mask feature of stride 2. 0 keeps the paper's stride 4."""
    presence: bool = False
    """Estimate whether the target is in the image, and gate the logits by it."""

    loss: Literal["binary", "softmax"] = "binary"
    """A binary cross-entropy for each stream, or one of both streams as two classes (CARIS), where
    ``background_weight`` has no effect unless it is 0."""
    class_weights: tuple[float, float] = (0.9, 1.1)
    """Weights of background and target in the loss "softmax"."""
    background_weight: float = 0.6
    reconstruction_weight: float = 0.1
    dice_weight: float = 0.0
    presence_weight: float = 0.3

    def __post_init__(self) -> None:
        for name, (least, largest) in LIMITS.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= largest:
                raise ConfigError(f"{name} must be from {least} to {largest}, got {value}")
        if not set(self.bsc_stages) <= {1, 2, 3, 4}:
            raise ConfigError(f"bsc_stages must be from 1 to 4, got {self.bsc_stages}")
        if self.bsc_stages and not (self.bsc_to_text or self.bsc_to_vision):
            raise ConfigError("bsc_to_text or bsc_to_vision must be true, or bsc_stages empty")
        for name, kind in (("vision_windows", "odd "), ("text_windows", "")):
            windows = getattr(self, name)
            if not 1 <= len(windows) <= 8 or not all(
                1 <= r <= 31 and (r % 2 or not kind) for r in windows
            ):
                raise ConfigError(f"{name} must be 1 to 8 {kind}sizes up to 31, got {windows}")
        if self.loss == "softmax" and not self.has_background:
            raise ConfigError('the loss "softmax" needs a background stream: background_weight > 0')
        if len(self.class_weights) != 2 or not all(0 < w <= 1000 for w in self.class_weights):
            raise ConfigError(
                f"class_weights must be two positive numbers, got {self.class_weights}"
            )
        if self.width % (4 * self.heads):
            raise ConfigError(f"width {self.width} is not a multiple of 4 x {self.heads} heads")
        if self.image_px % 32:
            raise ConfigError(f"image_px must be a multiple of 32, got {self.image_px}")

    @property
    def has_background(self) -> bool:
        """The network has a background stream."""
        return self.background_weight > 0

    @property
    def has_reconstruction(self) -> bool:
        """The network learns to reconstruct the masked expression."""
        return self.reconstruction_weight > 0

    @property
    def reads_masked_expression(self) -> bool:
        """A part of the network needs T_m."""
        return (self.has_background and self.background_prior) or self.has_reconstruction


PRESETS = {
    "btdnet": BTDNetConfig(),
    "btdnet-lite": BTDNetConfig(
        trunk=COMPACT_TRUNK,
        drop_path=0.0,
        freeze_batch_norm=True,
        text=COMPACT_TEXT,
        bsc_text_width=128,
        bsc_share_keys=True,
        width=128,
        mci_layers=2,
        ffn_ratio=2,
        mixing="convolution",
        smoothing="depthwise",
        fine_width=48,
        presence=True,
        dice_weight=1.0,
    ),
}
