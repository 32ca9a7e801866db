"""LAVT: language-aware vision transformer. Source: arXiv 2112.02244 (CVPR 2022).

What the paper leaves open follows the authors' code, with which the outputs agree
(tests/nets/test_parity.py): the width of the decoder, aligned corners, attention heads that all
scale by C^-1/2, and maps for the decoder that leave the last gate without any influence.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn

from rrsis_geo.nets.encoders import COMPACT_TEXT, COMPACT_TRUNK
from rrsis_geo.nets.lavt_family.decoder import MaskDecoder
from rrsis_geo.nets.lavt_family.fusion import Gate, apply_gate
from rrsis_geo.nets.lavt_family.network import FamilyConfig, FamilyWords, FusionNet, StageFusion


@dataclass(frozen=True, slots=True, kw_only=True)
class LAVTConfig(FamilyConfig):
    """Settings of LAVT. The defaults are the paper's network."""

    language_pathway: Literal["gate", "sum", "none"] = "gate"
    """How words enter the trunk: through the gate of the paper, without a gate, or not at all."""


PRESETS = {
    "lavt": LAVTConfig(),
    "lavt-lite": LAVTConfig(
        trunk=COMPACT_TRUNK,
        image_px=512,
        drop_path=0.0,
        freeze_batch_norm=True,
        text=COMPACT_TEXT,
    ),
}


class LAVT(FusionNet):
    """The whole network. Source: arXiv 2112.02244, fig. 2."""

    name: ClassVar[str] = "lavt"
    config_class: ClassVar[type[LAVTConfig]] = LAVTConfig
    presets: ClassVar[Mapping[str, LAVTConfig]] = PRESETS
    config: LAVTConfig

    def __init__(self, config: LAVTConfig) -> None:
        super().__init__(config)
        self.fusions = nn.ModuleList(
            LanguagePathway(width, config.text.width, heads=heads, pathway=config.language_pathway)
            for width, heads in zip(self.trunk.channels, config.fusion_heads, strict=True)
        )
        self.decoder = MaskDecoder(self.trunk.channels)
        self._fix_unused()


class LanguagePathway(StageFusion):
    """Fusion after one stage, and the gate through which it returns. Source: section 3.3."""

    def __init__(
        self, width: int, text_width: int, *, heads: int, pathway: Literal["gate", "sum", "none"]
    ) -> None:
        super().__init__(width, text_width, heads=heads)
        self.pathway = pathway
        if pathway == "gate":
            self.gate = Gate(width)

    def update(self, pixels: Tensor, fused: Tensor, words: FamilyWords) -> Tensor:
        """Add the gated fusion to the pixels, [B, C, H, W] twice -> [B, C, H, W]."""
        if self.pathway == "none":
            return pixels
        if self.pathway == "sum":
            return pixels + fused
        return pixels + apply_gate(self.gate, fused)
