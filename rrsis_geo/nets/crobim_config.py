"""Settings of CroBIM and its presets."""

from dataclasses import dataclass, field
from typing import Literal

from rrsis_geo.errors import ConfigError
from rrsis_geo.nets.bert import TextConfig
from rrsis_geo.nets.encoders import COMPACT_TEXT, COMPACT_TRUNK

STRIDE = 32
"""Of the coarsest map."""
LIMITS = {
    "image_px": (64, 4096),
    "drop_path": (0, 0.99),
    "prompts": (1, 64),
    "printed_tokens": (3, 512),
    "compensation_share": (0.01, 1),
    "compensation_width": (8, 1024),
    "width": (4, 1024),
    "heads": (1, 64),
    "attention_width": (4, 4096),
    "ffn_ratio": (1, 16),
    "mid_layers": (1, 24),
    "cross_entropy_weight": (0, 1000),
    "dice_weight": (0, 1000),
}
"""Smallest and largest value of each number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CroBIMConfig:
    """Settings of CroBIM. The defaults are the paper's network with a Swin-B.

    The ablations of the paper are settings: ``prompt_stages`` and ``prompt_pool`` (prompts),
    ``compensation_stages`` (compensation of deficits), ``interaction`` (decoder).
    """

    trunk: str = "swin_base_patch4_window12_384.ms_in22k"
    """timm name of the image encoder."""
    image_px: int = 480
    drop_path: float = 0.3
    freeze_batch_norm: bool = False
    text: TextConfig = field(default_factory=TextConfig)

    prompts: int = 4
    """Learned tokens that read the image and that BERT reads with the expression."""
    prompt_stages: tuple[int, ...] = (1, 2, 3, 4)
    """Stages (1 to 4) that the prompts read."""
    prompt_pool: Literal["average", "max"] = "average"
    prompt_residual: bool = False
    """Add the learned tokens to what they read, and normalise, as CARIS does."""
    alignment: Literal["tokens", "printed"] = "tokens"
    """The softmax of eq. (4) runs over the tokens, or over the channels of the text as printed."""
    printed_tokens: int = 20
    """Length of expressions for the alignment "printed", whose weights depend on it."""
    compensation_stages: tuple[int, ...] = (1, 2, 3, 4)
    """Stages whose features are compensated where the attention differs most between stages; empty
    compensates nothing."""
    compensation_share: float = 0.25
    """Share of the cells of the coarsest map that are compensated."""
    compensation_width: int = 256

    width: int = 256
    """E, width of the decoder."""
    heads: int = 8
    attention_width: int = 1024
    """Width of queries, keys and values between pixels and words."""
    ffn_ratio: int = 4
    mid_layers: int = 3
    interaction: Literal["cascaded", "parallel", "one-way"] = "cascaded"
    """Pixels read the words that have just read the pixels; or both read each other as they were
    before; or pixels read words only."""
    projection: Literal["linear", "mlp"] = "linear"
    """How mask feature and [CLS] are projected before they are multiplied: as in the paper, or by
    three layers each, as in CARIS."""

    cross_entropy_weight: float = 0.9
    dice_weight: float = 0.1

    def __post_init__(self) -> None:
        for name, (least, largest) in LIMITS.items():
            value = getattr(self, name)
            if not least <= value <= largest:
                raise ConfigError(f"{name} must be from {least} to {largest}, got {value}")
        for name in ("prompt_stages", "compensation_stages"):
            stages = getattr(self, name)
            if not set(stages) <= {1, 2, 3, 4} or len(set(stages)) != len(stages):
                raise ConfigError(f"{name} must be different numbers from 1 to 4, got {stages}")
        if not self.prompt_stages:
            raise ConfigError("prompt_stages must name at least one stage")
        if self.width % (4 * self.heads) or self.attention_width % self.heads:
            raise ConfigError(
                f"width must be a multiple of 4 x {self.heads} heads, and attention_width of "
                f"{self.heads}; got {self.width} and {self.attention_width}"
            )
        if self.compensation_width % self.heads:
            raise ConfigError(f"compensation_width must be a multiple of {self.heads} heads")
        if self.image_px % STRIDE:
            raise ConfigError(f"image_px must be a multiple of {STRIDE}, got {self.image_px}")


PRESETS = {
    "crobim": CroBIMConfig(),
    "crobim-convnext": CroBIMConfig(trunk="convnext_base.fb_in22k"),
    "crobim-lite": CroBIMConfig(
        trunk=COMPACT_TRUNK,
        image_px=512,
        drop_path=0.0,
        freeze_batch_norm=True,
        text=COMPACT_TEXT,
        compensation_width=64,
        width=128,
        attention_width=128,
        ffn_ratio=2,
        mid_layers=1,
    ),
}
