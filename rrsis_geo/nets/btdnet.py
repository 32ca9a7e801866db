"""BTDNet: bidirectional fusion in the encoders, target and background streams in the decoder.

Source: arXiv 2502.08486. The file follows the paper: the whole network and its losses (fig. 2), the
Target-Background TwinStream Decoder (T-BTD, section III-D), and the reconstruction of the
Dual-Modal Object Learning Strategy (D-MOLS, section III-E). The settings are in btdnet_config.py,
the Bidirectional Spatial Correlation (BSC, section III-C2) is in bsc.py. What the compact preset
adds to the paper is in lite.py. Comments name the details that the paper leaves open, and
docs/paper_map.md lists them.

Shape letters: B batch (b: B, or 1 where all images share one expression), C channels of a stage,
H W pixels, N = H·W, L tokens, D text width, K background tokens, E decoder width.
"""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rrsis_geo.nets.base import SegOutput, gate_logits
from rrsis_geo.nets.bsc import SpatialCorrelation
from rrsis_geo.nets.btdnet_config import PRESETS, REMOVED_SETTINGS, BTDNetConfig
from rrsis_geo.nets.deform import DeformableAttention
from rrsis_geo.nets.encoders import MIN_SIDE_PX, TwoEncoderNet, count_tokens
from rrsis_geo.nets.layers import (
    Attention,
    ChannelNorm,
    FeedForward,
    Smoothing,
    group_count,
    resize,
    sine_positions,
)
from rrsis_geo.nets.lite import FineFeature, PresenceHead, ScaleMixing
from rrsis_geo.nets.losses import (
    binary_cross_entropy,
    dice,
    presence_cross_entropy,
    weighted_cross_entropy,
)
from rrsis_geo.text.batch import TextBatch

BACKGROUND_POOLS = {3: (1, 2), 5: (2, 3), 7: (3, 4)}
"""Number of background tokens K -> output sizes of the pools that make them. {k, k + 1} is the only
rule that gives the 3, 5 and 7 of table VI."""


class BTDNetWords(NamedTuple):
    """Expressions, encoded without an image.

    Attributes:
        stages: outputs of the leading text stages that no image changes, each [b, L, D].
        attention: bool [b, L], True at tokens, False at padding.
        masked_words: T_m, encoding of the expression without its subject [b, L, D], or None.
        background: P_bg, background tokens [b or 1, K, D], or None.
    """

    stages: tuple[Tensor, ...]
    attention: Tensor
    masked_words: Tensor | None
    background: Tensor | None


class BTDNetPixels(NamedTuple):
    """Images, encoded without an expression.

    Attributes:
        image: normalised [B, 3, H, W].
        stages: outputs of the leading trunk stages that no expression changes, each [B, C, h, w].
    """

    image: Tensor
    stages: tuple[Tensor, ...]


class BTDNet(TwoEncoderNet):
    """The whole network. Source: arXiv 2502.08486, fig. 2."""

    name: ClassVar[str] = "btdnet"
    config_class: ClassVar[type[BTDNetConfig]] = BTDNetConfig
    presets: ClassVar[Mapping[str, BTDNetConfig]] = PRESETS
    removed_settings: ClassVar[Mapping[str, str]] = REMOVED_SETTINGS
    training_only: tuple[str, ...] = ("reconstruction.",)
    checkpoint_layers: ClassVar[tuple[str, ...]] = (
        "trunk.stages",
        "text.model.encoder.layer",
        "bsc",
        "decoder.layers",
    )
    config: BTDNetConfig

    def __init__(self, config: BTDNetConfig) -> None:
        super().__init__(config)
        # The paper calls one pair "enhanced features". So the next stage and the decoder both get
        # V + G(M) M, normalised for the decoder; the gate of the last stage is then trained too.
        self.bsc = nn.ModuleDict(
            {
                str(stage): SpatialCorrelation(self.trunk.channels[stage - 1], config)
                for stage in sorted(config.bsc_stages)
            }
        )
        self.stage_norms = nn.ModuleList(ChannelNorm(c) for c in self.trunk.channels)
        if config.has_background:
            self.background = BackgroundTokens(config)
        self.decoder = TwinStreamDecoder(self.trunk.channels, config)
        if config.presence:
            n_tokens = 2 if config.has_background else 1
            self.presence = PresenceHead(config.width, n_tokens=n_tokens)
        if config.has_reconstruction:
            self.reconstruction = Reconstruction(self.trunk.channels[3], config.text.width)

    def encode_text(self, tokens: TextBatch) -> BTDNetWords:
        """Run the text stages before the first correlation, encode T_m, make background tokens."""
        config = self.config
        length = count_tokens(tokens)
        ids, attention, subject = (
            part[:, :length] for part in (tokens.ids, tokens.attention, tokens.subject)
        )
        n_stages = min(config.bsc_stages, default=4) if config.bsc_to_text else 4
        words = self.text.embed(ids)
        stages = []
        for index in range(n_stages):
            words = self.text.stage(index, words, attention)
            stages.append(words)
        masked_words = background = None
        if config.reads_masked_expression:
            # the subject becomes [PAD] but is still attended to, which keeps its place and length
            masked_words = self.text.encode(ids.masked_fill(subject, 0), attention)
        if config.has_background:
            background = self.background(masked_words, attention)
        return BTDNetWords(tuple(stages), attention, masked_words, background)

    def encode_image(self, image: Tensor) -> BTDNetPixels:
        """Run the trunk stages up to the first correlation with the text.

        Raises:
            ValueError: the sides of the image are not multiples of 32, or are below 64.
        """
        H, W = image.shape[-2:]
        if H % 32 or W % 32 or min(H, W) < MIN_SIDE_PX:
            raise ValueError(
                f"image sides must be multiples of 32, at least {MIN_SIDE_PX}, got {H} x {W}"
            )
        stages, pixels = [], image
        config = self.config
        n_stages = min(config.bsc_stages, default=4) if config.bsc_to_vision else 4
        for index in range(n_stages):
            pixels = self.trunk.stage(index, pixels)
            stages.append(pixels)
        return BTDNetPixels(image, tuple(stages))

    def segment(self, image: Tensor | BTDNetPixels, words: BTDNetWords) -> SegOutput:
        """Run the encoders, eq. (1), and the decoder. The mask is where the foreground is higher.

        Raises:
            ValueError: see `encode_image`.
        """
        encoded = image if isinstance(image, BTDNetPixels) else self.encode_image(image)
        maps, text = self._encode_together(encoded, words)
        streams, foreground, background = self.decoder(encoded.image, maps, text, words)
        logits = _log_odds(streams, self.config.loss)
        presence = None
        if self.config.presence:
            presence = self.presence(logits.detach(), foreground, background)
        aux = {}
        if self.training:
            aux["streams"] = streams
            if self.config.has_reconstruction:
                assert words.masked_words is not None
                aux["reconstruction"] = self.reconstruction(
                    maps[3], text, words.masked_words, words.attention
                )
        logits = resize(logits[:, None].float(), encoded.image.shape[-2:])[:, 0]
        if presence is not None:
            logits = gate_logits(logits, presence)
        return SegOutput(logits, presence, aux)

    def _encode_together(
        self, encoded: BTDNetPixels, words: BTDNetWords
    ) -> tuple[list[Tensor], Tensor]:
        """Eq. (1): four stages of image and text with BSC between them.

        Returns:
            The normalised maps of the four stages, each [B, C, h, w], and the text [B or b, L, D].
        """
        pixels, text, maps = encoded.image, words.stages[0], []
        for index in range(4):
            if index < len(encoded.stages):
                pixels = encoded.stages[index]
            else:
                pixels = self.trunk.stage(index, pixels)
            if index < len(words.stages):
                text = words.stages[index]
            else:
                text = self.text.stage(index, text, words.attention)
            if str(index + 1) in self.bsc:
                pixels, text = self.bsc[str(index + 1)](pixels, text, words.attention)
            maps.append(self.stage_norms[index](pixels))
        return maps, text

    def loss(
        self, output: SegOutput, target: Tensor, ignored: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Eq. (10) to (14): L_fg + 0.6 L_bg + 0.1 L_re, and the terms of the compact preset.

        The paper names two weights, 0.6 and 0.1, for three terms. The first term is read as having
        weight 1. Each stream has its own binary cross-entropy, because table VII trains the
        foreground stream alone, which a softmax over both streams (the loss "softmax") could not.
        Dice (on the log-odds of both streams) and presence are not in the paper.
        """
        config, streams = self.config, resize(output.aux["streams"], target.shape[-2:])
        log_odds = _log_odds(streams, config.loss)
        if config.loss == "softmax":
            parts = {
                "streams": weighted_cross_entropy(log_odds, target, config.class_weights, ignored)
            }
        else:
            parts = {"foreground": binary_cross_entropy(streams[:, 0], target, ignored)}
            if config.has_background:
                parts["background"] = config.background_weight * binary_cross_entropy(
                    streams[:, 1], ~target, ignored
                )
        if config.dice_weight > 0:
            parts["dice"] = config.dice_weight * dice(log_odds, target, ignored)
        if config.has_reconstruction:
            parts["reconstruction"] = config.reconstruction_weight * output.aux["reconstruction"]
        if output.presence is not None:
            parts["presence"] = config.presence_weight * presence_cross_entropy(
                output.presence, target, ignored
            )
        return {"total": torch.stack(list(parts.values())).sum(), **parts}


def _log_odds(streams: Tensor, loss: str) -> Tensor:
    """Log-odds of the mask, [B, 2 or 1, h, w] -> [B, h, w].

    With the loss "binary", each stream alone estimates them, the background with the opposite sign;
    this is their mean. With "softmax" they are the difference.
    """
    if streams.shape[1] == 1:
        return streams[:, 0]
    difference = streams[:, 0] - streams[:, 1]
    return difference if loss == "softmax" else difference / 2


# --- T-BTD, section III-D


class BackgroundTokens(nn.Module):
    """P_bg of eq. (8): learned tokens plus a prior from the expression without its subject."""

    def __init__(self, config: BTDNetConfig) -> None:
        super().__init__()
        width = config.text.width
        self.learned = nn.Parameter(torch.empty(config.background_tokens, width))
        nn.init.normal_(self.learned, std=0.02)
        self.pools = BACKGROUND_POOLS[config.background_tokens] if config.background_prior else ()
        self.maps = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
            for _ in self.pools
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, masked_words: Tensor | None, attention: Tensor) -> Tensor:
        """T_m [b, L, D] and bool [b, L] -> [b, K, D]; without a prior [1, K, D]."""
        tokens = self.learned[None]
        if self.pools:
            assert masked_words is not None
            prior = [
                map_(_pool_tokens(masked_words, attention, size))
                for map_, size in zip(self.maps, self.pools, strict=True)
            ]
            tokens = tokens + torch.cat(prior, 1)
        out: Tensor = self.norm(tokens)
        return out


def _pool_tokens(words: Tensor, attention: Tensor, size: int) -> Tensor:
    """Adaptive average pooling over the valid tokens only, [b, L, D] -> [b, size, D]."""
    count_b1 = attention.sum(1, keepdim=True)
    cell_s = torch.arange(size, device=words.device)
    start = torch.div(cell_s * count_b1, size, rounding_mode="floor")[..., None]
    stop = torch.div((cell_s + 1) * count_b1 + size - 1, size, rounding_mode="floor")[..., None]
    place_L = torch.arange(words.shape[1], device=words.device)
    inside_bsL = ((place_L >= start) & (place_L < stop)).to(words.dtype)
    return (inside_bsL / inside_bsL.sum(-1, keepdim=True)) @ words


class DecoderOutput(NamedTuple):
    """Output of the decoder.

    Attributes:
        streams: M_fg and M_bg [B, 2, h, w]; [B, 1, h, w] without a background stream.
        foreground: token that makes M_fg, [B, E].
        background: token that makes M_bg, [B, E], or None.
    """

    streams: Tensor
    foreground: Tensor
    background: Tensor | None


class TwinStreamDecoder(nn.Module):
    """Multi-scale context integration (MCI), the mask feature, and the two streams."""

    def __init__(self, channels: tuple[int, ...], config: BTDNetConfig) -> None:
        super().__init__()
        E = config.width
        self.config = config
        # MCI reads stages 2 to 4 ("deeper network layers"); stage 1 joins at the mask feature
        self.inputs = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, E, 1), nn.GroupNorm(group_count(E), E)) for c in channels[1:]
        )
        self.level = nn.Parameter(torch.empty(3, E))
        nn.init.normal_(self.level)
        self.text_in = nn.Linear(config.text.width, E)
        self.text_norm = nn.LayerNorm(E)
        self.layers = nn.ModuleList(ContextLayer(config) for _ in range(config.mci_layers))
        self.lateral = nn.Sequential(nn.Conv2d(channels[0], E, 1), nn.GroupNorm(group_count(E), E))
        self.smooth = Smoothing(E, depthwise=config.smoothing == "depthwise")
        if config.fine_width:
            self.fine = FineFeature(E, config.fine_width)
        out = config.fine_width or E
        has_bias = config.loss != "softmax"  # the difference of the streams would remove it
        self.prototype = nn.Sequential(
            *(nn.Linear(E, E), nn.ReLU(), nn.Linear(E, E), nn.ReLU()),
            nn.Linear(E, out, bias=has_bias),
        )

    def forward(
        self, image: Tensor, maps: list[Tensor], text: Tensor, words: BTDNetWords
    ) -> DecoderOutput:
        """Decode images [B, 3, H, W], maps of the stages, and the text [B or b, L, D]."""
        B = image.shape[0]
        attention = words.attention.expand(B, -1)
        tokens = self.text_norm(self.text_in(text)).expand(B, -1, -1)
        valid, n_words = attention, tokens.shape[1]
        background = None
        if words.background is not None:
            background = self.text_norm(self.text_in(words.background)).expand(B, -1, -1)
            if self.config.background_in_mci:
                tokens = torch.cat([tokens, background], 1)
                valid = F.pad(attention, (0, background.shape[1]), value=True)
        tokens, stage2_map = self._integrate(maps, tokens, valid)
        fg_BE, bg_BE = tokens[:, 0], None
        if background is not None:
            if self.config.background_in_mci:
                background = tokens[:, n_words:]
            bg_BE = background.mean(1)
        lateral = self.lateral(maps[0])
        feature = lateral + resize(stage2_map.to(lateral.dtype), maps[0].shape[-2:])
        feature = self.smooth(feature)
        if self.config.fine_width:
            feature = self.fine(feature, image)
        tokens_B2E = fg_BE[:, None] if bg_BE is None else torch.stack([fg_BE, bg_BE], 1)
        weights = self.prototype(tokens_B2E)
        streams = (weights @ feature.flatten(2)).unflatten(2, feature.shape[-2:])  # eq. (9)
        return DecoderOutput(streams, fg_BE, bg_BE)

    def _integrate(
        self, maps: list[Tensor], tokens: Tensor, valid: Tensor
    ) -> tuple[Tensor, Tensor]:
        """MCI over stages 2 to 4, eq. (5) to (7) -> tokens, and the map of stage 2."""
        levels = [conv(map_) for conv, map_ in zip(self.inputs, maps[1:], strict=True)]
        sizes = [(int(level.shape[-2]), int(level.shape[-1])) for level in levels]
        flat = [
            level.flatten(2).transpose(1, 2) + embedding
            for level, embedding in zip(levels, self.level, strict=True)
        ]
        pixels_BNE = torch.cat(flat, 1)
        position = sine_positions(sizes, self.config.width, pixels_BNE.device)
        position = position.to(pixels_BNE.dtype)
        for layer in self.layers:
            tokens, pixels_BNE = layer(tokens, pixels_BNE, position, valid, sizes)
        h, w = sizes[0]
        return tokens, pixels_BNE[:, : h * w].transpose(1, 2).unflatten(2, (h, w))


class ContextLayer(nn.Module):
    """One layer of MCI: tokens attend to pixels, eq. (6); pixels attend to tokens and mix, eq. (7).

    The paper does not mention the self-attention of the tokens. It is taken from CARIS. Without it,
    target and background tokens could not interact.
    """

    def __init__(self, config: BTDNetConfig) -> None:
        super().__init__()
        E = config.width
        self.read_vision = Attention(E, config.heads)
        self.self_attention = Attention(E, config.heads)
        self.text_ffn = FeedForward(E, config.ffn_ratio)
        self.read_text = Attention(E, config.heads)
        self.mixing: nn.Module
        if config.mixing == "deformable":
            self.mixing = DeformableAttention(E, heads=config.heads, levels=3)
        else:
            self.mixing = ScaleMixing(E, levels=3)
        self.vision_ffn = FeedForward(E, config.ffn_ratio)
        self.norms = nn.ModuleList(nn.LayerNorm(E) for _ in range(6))

    def forward(
        self,
        tokens: Tensor,
        pixels: Tensor,
        position: Tensor,
        valid: Tensor,
        sizes: list[tuple[int, int]],
    ) -> tuple[Tensor, Tensor]:
        """Update tokens and pixels.

        [B, L, E], [B, N, E], [1, N, E], bool [B, L], (H, W) of the levels -> [B, L, E], [B, N, E].
        """
        norm, placed = self.norms, pixels + position
        tokens = norm[0](tokens + self.read_vision(tokens, placed, pixels))
        tokens = norm[1](tokens + self.self_attention(tokens, tokens, tokens, valid))
        tokens = norm[2](tokens + self.text_ffn(tokens))
        pixels = norm[3](pixels + self.read_text(placed, tokens, tokens, valid))
        pixels = norm[4](pixels + self.mixing(pixels + position, pixels, sizes))
        pixels = norm[5](pixels + self.vision_ffn(pixels))
        return tokens, pixels


# --- D-MOLS, section III-E


class Reconstruction(nn.Module):
    """Joint reconstruction, eq. (12) and (13). Training only.

    First the pixels attend to the expression, then the masked expression attends to these pixels to
    recover what it misses. The other reading of the paper, with the masked expression as the first
    query, would copy the answer from the unmasked text.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.pixels_in = nn.Linear(channels, width)
        self.enrich, self.recover = (
            nn.TransformerDecoderLayer(width, 8, 4 * width, batch_first=True) for _ in range(2)
        )

    def forward(
        self, pixels: Tensor, words: Tensor, masked_words: Tensor, attention: Tensor
    ) -> Tensor:
        """F_v^4 [B, C, H, W], F_t^4 and T_m [B, L, D], bool [B, L] -> L_re, scalar."""
        padding = ~attention
        pixels_BND = self.pixels_in(pixels.flatten(2).transpose(1, 2))
        multimodal = self.enrich(pixels_BND, words, memory_key_padding_mask=padding)
        guess = self.recover(masked_words, multimodal, tgt_key_padding_mask=padding)
        # stop the gradient of the target, or both sides could agree on a constant
        similarity_BL = F.cosine_similarity(guess.float(), words.detach().float(), dim=-1)
        return 1 - (similarity_BL * attention).sum() / attention.sum()
