"""The pipeline that LAVT, RMSIN and FIANet share.

Image and words meet after each stage of the trunk. What the pixels read from the words goes to the
decoder, and through a gate back into the trunk.

Shape letters: B images, b expressions (B, or 1 that all images share), C channels, H W pixels,
N = H·W, L tokens, D text width.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from rrsis_geo.errors import ConfigError
from rrsis_geo.nets.base import SegOutput
from rrsis_geo.nets.bert import TextConfig
from rrsis_geo.nets.encoders import MIN_SIDE_PX, TwoEncoderNet, count_tokens
from rrsis_geo.nets.lavt_family.decoder import MaskDecoder, resize_aligned
from rrsis_geo.nets.lavt_family.fusion import PixelWordFusion, as_map, as_tokens
from rrsis_geo.nets.layers import ChannelNorm
from rrsis_geo.nets.losses import two_class_dice, weighted_cross_entropy
from rrsis_geo.text.batch import TextBatch

PATCH_PX = 4
"""Side of the patches of a Swin."""
LIMITS = {
    "image_px": (64, 4096),
    "drop_path": (0, 0.99),
    "cross_entropy_weight": (0, 1000),
    "dice_weight": (0, 1000),
}
"""Smallest and largest value of each number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyConfig:
    """Settings that the networks share. The defaults are those of LAVT."""

    trunk: str = "swin_base_patch4_window12_384.ms_in22k"
    """timm name of the image encoder."""
    image_px: int = 480
    drop_path: float = 0.3
    freeze_batch_norm: bool = False
    """Of the trunk; a Swin has none."""
    text: TextConfig = field(default_factory=TextConfig)

    fusion_heads: tuple[int, int, int, int] = (1, 1, 1, 1)
    """Heads of the attention to words in each stage."""
    decoder_input: Literal["fusion", "sum"] = "fusion"
    """The decoder gets what the pixels read from the words, or its gated sum with the pixels. With
    "fusion" nothing depends on the gates of the last stage."""

    cross_entropy_weight: float = 1.0
    class_weights: tuple[float, float] = (0.9, 1.1)
    """Weights of background and target in the cross-entropy."""
    dice_weight: float = 0.0
    dice_reduction: Literal["sum", "mean"] = "sum"
    """Of the Dice loss over images and both classes. The authors sum, so that the weight grows with
    the batch: keep the product of ``dice_weight`` and the batch per GPU."""

    def __post_init__(self) -> None:
        for name, (least, largest) in LIMITS.items():
            value = getattr(self, name)
            if not least <= value <= largest:
                raise ConfigError(f"{name} must be from {least} to {largest}, got {value}")
        if self.image_px % PATCH_PX:
            raise ConfigError(f"image_px must be a multiple of {PATCH_PX}, got {self.image_px}")
        if len(self.fusion_heads) != 4 or not all(1 <= n <= 64 for n in self.fusion_heads):
            raise ConfigError(f"fusion_heads must be four numbers to 64, got {self.fusion_heads}")
        if len(self.class_weights) != 2 or not all(0 < w <= 1000 for w in self.class_weights):
            raise ConfigError(
                f"class_weights must be two positive numbers, got {self.class_weights}"
            )


class FamilyWords(NamedTuple):
    """Expressions, encoded without an image.

    Attributes:
        words: [b, L, D].
        attention: bool [b, L], True at tokens, False at padding.
    """

    words: Tensor
    attention: Tensor


class FamilyPixels(NamedTuple):
    """Images, encoded without an expression.

    Attributes:
        size: height and width of the images.
        stage1: output of the first stage of the trunk, before any word [B, C, H / 4, W / 4].
    """

    size: tuple[int, int]
    stage1: Tensor


class StageFusion(nn.Module, ABC):
    """Fusion after one stage. ``fusion`` makes the map of the decoder, all else changes the trunk.

    Attributes:
        fusion: pixel-word attention.
    """

    def __init__(self, width: int, text_width: int, *, heads: int) -> None:
        super().__init__()
        self.fusion = PixelWordFusion(width, text_width, heads=heads)

    def fuse(self, pixels: Tensor, words: Any) -> Tensor:
        """What the pixels read from the words, [B, C, H, W] -> [B, C, H, W]."""
        read = self.fusion(as_tokens(pixels), words.words, words.attention)
        return as_map(read, pixels.shape[-2:])

    @abstractmethod
    def update(self, pixels: Tensor, fused: Tensor, words: Any) -> Tensor:
        """The pixels that the trunk continues with, from the output of ``fuse``; [B, C, H, W]."""


class FusionNet(TwoEncoderNet):
    """A network of the family. A subclass adds ``fusions``, ``decoder``, and its own parts.

    Attributes:
        fusions: `StageFusion` of each stage.
        stage_norms: layer norms of the maps for the decoder.
        decoder: decoder of the maps.
        training_only: parts that no output depends on. They have no gradient and keep their initial
            values. They count in the published sizes, so they are built.
    """

    checkpoint_layers: ClassVar[tuple[str, ...]] = ("trunk.stages", "text.model.encoder.layer")
    config: Any
    fusions: nn.ModuleList
    decoder: MaskDecoder

    def __init__(self, config: FamilyConfig) -> None:
        super().__init__(config)
        self.stage_norms = nn.ModuleList(ChannelNorm(c) for c in self.trunk.channels)

    def encode_text(self, tokens: TextBatch) -> Any:
        """Run BERT."""
        length = count_tokens(tokens)
        attention = tokens.attention[:, :length]
        return FamilyWords(self.text.encode(tokens.ids[:, :length], attention), attention)

    def encode_image(self, image: Tensor) -> FamilyPixels:
        """Run the first stage of the trunk.

        Raises:
            ValueError: the network cannot read images of this size.
        """
        H, W = image.shape[-2:]
        self._check_size(H, W)
        return FamilyPixels((H, W), self.trunk.stage(0, image))

    def segment(self, image: Tensor | FamilyPixels, words: Any) -> SegOutput:
        """Run trunk, fusions and decoder.

        The mask is where the logit of the target exceeds that of the background. Enlarging is
        linear, so the difference is enlarged.

        Raises:
            ValueError: see `encode_image`.
        """
        encoded = image if isinstance(image, FamilyPixels) else self.encode_image(image)
        maps = self.refine(self._fuse_stages(encoded.stage1, words), words)
        background, target = self.decoder(maps).unbind(1)
        log_odds = (target - background)[:, None]
        log_odds = log_odds.to(torch.promote_types(log_odds.dtype, torch.float32))
        return SegOutput(resize_aligned(log_odds, encoded.size)[:, 0], None, {})

    def refine(self, maps: list[Tensor], words: Any) -> list[Tensor]:
        """Change the normalised maps of the four stages before they are decoded."""
        return maps

    def loss(
        self, output: SegOutput, target: Tensor, ignored: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Weighted cross-entropy of background and target, and Dice of both classes.

        Both logits enter the softmax only by their difference, so ``output.logits`` is sufficient.
        """
        config = self.config
        parts = {
            "cross_entropy": config.cross_entropy_weight
            * weighted_cross_entropy(output.logits, target, config.class_weights, ignored)
        }
        if config.dice_weight > 0:
            dice_BK = two_class_dice(output.logits, target, ignored)
            dice = dice_BK.sum() if config.dice_reduction == "sum" else dice_BK.mean()
            parts["dice"] = config.dice_weight * dice
        return {"total": torch.stack(list(parts.values())).sum(), **parts}

    def _fuse_stages(self, pixels: Tensor, words: Any) -> list[Tensor]:
        """The normalised maps of the four stages, each [B, C, h, w]."""
        is_sum, maps = self.config.decoder_input == "sum", []
        for index, (fusion, norm) in enumerate(zip(self.fusions, self.stage_norms, strict=True)):
            assert isinstance(fusion, StageFusion)
            if index > 0:
                pixels = self.trunk.stage(index, pixels)
            fused = fusion.fuse(pixels, words)
            if index < 3 or is_sum:
                pixels = fusion.update(pixels, fused, words)
            maps.append(norm(pixels if is_sum else fused))
        return maps

    def _check_size(self, height: int, width: int) -> None:
        if height % PATCH_PX or width % PATCH_PX or min(height, width) < MIN_SIDE_PX:
            raise ValueError(
                f"image sides must be multiples of {PATCH_PX}, at least {MIN_SIDE_PX}, "
                f"got {height} x {width}"
            )

    def check_inputs(self, *, size_px: int, vocab_size: int, max_tokens: int) -> None:
        """Check sizes of images and expressions. See `ReferringNet.check_inputs`."""
        super().check_inputs(size_px=size_px, vocab_size=vocab_size, max_tokens=max_tokens)
        if size_px % PATCH_PX:
            raise ConfigError(f"size_px must be a multiple of {PATCH_PX}, got {size_px}")

    def _fix_unused(self) -> None:
        """Fix what no output depends on. Call it when all parts are built."""
        if self.config.decoder_input == "sum":
            return
        for name, part in self.fusions[3].named_children():
            if name != "fusion":
                part.requires_grad_(False)
                self.training_only = (*self.training_only, f"fusions.3.{name}.")
