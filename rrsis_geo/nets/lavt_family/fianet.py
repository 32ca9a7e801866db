"""FIANet: fine-grained image-text alignment. Source: arXiv 2409.13637 (TGRS 2024).

The file follows the paper: the network with its decoupled expressions, the fine-grained alignment
module (FIAM), and the text-aware multi-scale enhancement module (TMEM). Where the authors' code
differs from the paper, the code is followed, because the published weights and scores are from it;
the outputs agree with it (tests/nets/test_parity.py). docs/paper_map.md lists the differences.

Shape letters: B images, b expressions (B, or 1 that all images share), C channels, H W pixels,
N = H·W, L tokens, D text width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from rrsis_geo.errors import ConfigError
from rrsis_geo.nets.encoders import COMPACT_TEXT, COMPACT_TRUNK, count_tokens
from rrsis_geo.nets.lavt_family.cross_scale import CrossScale
from rrsis_geo.nets.lavt_family.decoder import MaskDecoder
from rrsis_geo.nets.lavt_family.fusion import (
    Gate,
    WordAttention,
    apply_gate,
    as_map,
    as_tokens,
    init_linears,
)
from rrsis_geo.nets.lavt_family.network import FamilyConfig, FusionNet, StageFusion
from rrsis_geo.text.batch import TextBatch

SQUEEZE = 8
"""The channel modulation has an eighth of the channels in between."""
MAX_BLOCKS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class FIANetConfig(FamilyConfig):
    """Settings of FIANet. The defaults are the authors' network for RRSIS-D.

    The ablations of the paper are settings: table V is ``tmem_blocks = 0`` and, without FIAM, the
    three parts of table VI all off: ``channel_modulation``, ``object_branch``, ``position_branch``.
    """

    tmem_blocks: int = 3
    """Blocks of TMEM, 3 for RRSIS-D and 1 for RefSegRS; 0 leaves TMEM out."""
    object_branch: bool = True
    """Pixels also read the words that name objects."""
    position_branch: bool = True
    """Words of position weigh what the object branch read. Needs ``object_branch``."""
    channel_modulation: bool = True
    """A weight per channel, from the image, for what returns to the trunk."""
    cross_entropy_weight: float = 0.9
    dice_weight: float = 0.1

    def __post_init__(self) -> None:
        FamilyConfig.__post_init__(self)
        if not 0 <= self.tmem_blocks <= MAX_BLOCKS:
            raise ConfigError(f"tmem_blocks must be from 0 to {MAX_BLOCKS}, got {self.tmem_blocks}")
        if self.position_branch and not self.object_branch:
            raise ConfigError("position_branch needs object_branch: it weighs its result")


PRESETS = {
    "fianet": FIANetConfig(),
    "fianet-1": FIANetConfig(tmem_blocks=1),
    "fianet-lite": FIANetConfig(
        trunk=COMPACT_TRUNK,
        image_px=512,
        drop_path=0.0,
        freeze_batch_norm=True,
        text=COMPACT_TEXT,
        tmem_blocks=1,
    ),
}


class FIANetWords(NamedTuple):
    """Expressions, encoded three times without an image.

    Attributes:
        words: all tokens attend to all [b, L, D].
        attention: bool [b, L], True at tokens, False at padding.
        objects: all tokens attend to the names of objects [b, L, D], or None.
        object_mask: bool [b, L], True at the names of objects; an expression may have none.
        positions: all tokens attend to the phrases of position [b, L, D], or None.
        position_mask: bool [b, L], True at the phrases of position.
    """

    words: Tensor
    attention: Tensor
    objects: Tensor | None
    object_mask: Tensor
    positions: Tensor | None
    position_mask: Tensor


class FIANet(FusionNet):
    """The whole network. Source: arXiv 2409.13637, fig. 2."""

    name: ClassVar[str] = "fianet"
    config_class: ClassVar[type[FIANetConfig]] = FIANetConfig
    presets: ClassVar[Mapping[str, FIANetConfig]] = PRESETS
    config: FIANetConfig

    def __init__(self, config: FIANetConfig) -> None:
        super().__init__(config)
        channels, width = self.trunk.channels, config.text.width
        self.fusions = nn.ModuleList(
            FineGrainedAlignment(c, width, heads=heads, config=config)
            for c, heads in zip(channels, config.fusion_heads, strict=True)
        )
        if config.tmem_blocks:
            self.cross_scale = TextAwareEnhancement(channels, width, blocks=config.tmem_blocks)
        self.decoder = MaskDecoder(channels)
        self._fix_unused()

    def encode_text(self, tokens: TextBatch) -> FIANetWords:
        """Run BERT on the expression, on its objects and on its positions.

        The fragments are no strings: BERT reads the same tokens, and attends to those of a fragment
        only. Where a fragment is empty, it attends to all.
        """
        length, config = count_tokens(tokens), self.config
        ids, attention, objects, positions = (
            part[:, :length]
            for part in (tokens.ids, tokens.attention, tokens.objects, tokens.positions)
        )
        masks = [attention]
        masks += [objects] if config.object_branch else []
        masks += [positions] if config.position_branch else []
        attended = [torch.where(m.any(1, keepdim=True), m, attention) for m in masks]
        encoded = self.text.encode(ids.repeat(len(masks), 1), torch.cat(attended)).chunk(len(masks))
        return FIANetWords(
            encoded[0],
            attention,
            encoded[1] if config.object_branch else None,
            objects,
            encoded[2] if config.position_branch else None,
            attended[2] if config.position_branch else positions,
        )

    def refine(self, maps: list[Tensor], words: FIANetWords) -> list[Tensor]:
        """TMEM over the four maps."""
        return self.cross_scale(maps, words) if self.config.tmem_blocks else maps


# --- Fine-grained alignment (FIAM), section III-B


class FineGrainedAlignment(StageFusion):
    """Context, objects and positions of the expression for one stage.

    The context branch is the pixel-word attention of LAVT. Unlike the paper, the convolution of the
    position branch is 3x3, and the channel modulation reads the image.
    """

    def __init__(self, width: int, text_width: int, *, heads: int, config: FIANetConfig) -> None:
        super().__init__(width, text_width, heads=heads)
        self.gate = Gate(width)
        if config.object_branch:
            self.objects = WordAttention(width, text_width)
            self.object_gate = Gate(width)
        if config.position_branch:
            self.positions = WordAttention(width, text_width)
            self.place = nn.Conv2d(2, 1, 3, padding=1, bias=False)
        self.modulation: nn.Module | None = None
        if config.channel_modulation:
            self.modulation = nn.Sequential(
                nn.Linear(width, width // SQUEEZE),
                nn.ReLU(),
                nn.Linear(width // SQUEEZE, width),
                nn.Sigmoid(),
            )
            init_linears(self.modulation)

    def update(self, pixels: Tensor, fused: Tensor, words: FIANetWords) -> Tensor:
        """[B, C, H, W] twice -> [B, C, H, W]."""
        change = apply_gate(self.gate, fused)
        if words.objects is not None:
            change = change + self._align_objects(pixels, words)
        if self.modulation is not None:
            change = self.modulation(pixels.mean((2, 3)))[:, :, None, None] * change
        return pixels + change

    def _align_objects(self, pixels: Tensor, words: FIANetWords) -> Tensor:
        """Object-position alignment block, [B, C, H, W] -> [B, C, H, W].

        Zero for expressions that name no object. Also zero, up to rounding, if the name has only
        one token: all pixels read the same then, and the instance norm removes it.
        """
        size, tokens = pixels.shape[-2:], as_tokens(pixels)
        read = as_map(self.objects(tokens, words.objects, words.object_mask), size)
        out = apply_gate(self.object_gate, read)
        if words.positions is not None:
            place = as_map(self.positions(tokens, words.positions, words.position_mask), size)
            summary = torch.cat([place.mean(1, keepdim=True), place.amax(1, keepdim=True)], 1)
            out = out * self.place(summary).sigmoid()
        return out * words.object_mask.any(1)[:, None, None, None]


# --- Text-aware multi-scale enhancement (TMEM), section III-C


class TextAwareEnhancement(CrossScale):
    """The joint map of all stages reads the expression."""

    def __init__(self, channels: Sequence[int], text_width: int, *, blocks: int) -> None:
        super().__init__(channels)
        self.blocks = nn.ModuleList(TextAwareBlock(self.width, text_width) for _ in range(blocks))

    def forward(self, maps: Sequence[Tensor], words: FIANetWords) -> list[Tensor]:
        """[B, C, h, w] of the four stages -> the same shapes."""
        joint = self.gather(maps)
        tokens = as_tokens(joint)
        for block in self.blocks:
            tokens = block(tokens, words)
        return self.distribute(maps, as_map(tokens, joint.shape[-2:]))


class TextAwareBlock(nn.Module):
    """Attention to the words and feed-forward, both with a norm before."""

    def __init__(self, width: int, text_width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.words = WordAttention(width, text_width)
        self.ffn = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        init_linears(self.ffn)

    def forward(self, tokens: Tensor, words: FIANetWords) -> Tensor:
        """[B, N, C] -> [B, N, C]."""
        tokens = tokens + self.words(self.norm1(tokens), words.words, words.attention)
        out: Tensor = tokens + self.ffn(self.norm2(tokens))
        return out
