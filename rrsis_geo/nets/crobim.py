"""CroBIM: cross-modal bidirectional interaction. Source: arXiv 2410.08613.

The file follows the paper: the network, the prompts from the image (CAPM, section IV-A), the
aggregation of language-guided features (LGFA, IV-B), and the mutual-interaction decoder (MID,
IV-C). The authors published no code. What the paper leaves open follows CARIS, on which the
decoder is built; docs/paper_map.md lists the choices.

No word enters the trunk, so an image is encoded once for all expressions. BERT runs for each image
and expression, because it reads the prompts.

Shape letters: B images, b expressions (B, or 1 that all images share), C channels of a stage,
H W pixels, N pixels of all stages, L tokens, P prompts, D text width, E decoder width, K cells.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rrsis_geo.errors import ConfigError
from rrsis_geo.nets.base import SegOutput
from rrsis_geo.nets.crobim_config import PRESETS, STRIDE, CroBIMConfig
from rrsis_geo.nets.deform import DeformableAttention
from rrsis_geo.nets.encoders import MIN_SIDE_PX, TwoEncoderNet, count_tokens
from rrsis_geo.nets.layers import (
    ChannelNorm,
    FeedForward,
    average_to,
    group_count,
    resize,
    sine_positions,
)
from rrsis_geo.nets.losses import binary_cross_entropy, dice
from rrsis_geo.text.batch import TextBatch


class CroBIMWords(NamedTuple):
    """Expressions before BERT.

    Attributes:
        embeddings: of the tokens [b, L, D].
        attention: bool [b, L], True at tokens, False at padding.
    """

    embeddings: Tensor
    attention: Tensor


class CroBIMPixels(NamedTuple):
    """Images, encoded without an expression.

    Attributes:
        size: height and width of the images.
        maps: normalised maps of the four stages, each [B, C, h, w].
        prompts: [B, P, D].
    """

    size: tuple[int, int]
    maps: tuple[Tensor, ...]
    prompts: Tensor


class CroBIM(TwoEncoderNet):
    """The whole network. Source: arXiv 2410.08613, fig. 3."""

    name: ClassVar[str] = "crobim"
    config_class: ClassVar[type[CroBIMConfig]] = CroBIMConfig
    presets: ClassVar[Mapping[str, CroBIMConfig]] = PRESETS
    checkpoint_layers: ClassVar[tuple[str, ...]] = (
        "trunk.stages",
        "text.model.encoder.layer",
        "decoder.layers",
    )
    config: CroBIMConfig

    def __init__(self, config: CroBIMConfig) -> None:
        super().__init__(config)
        channels = self.trunk.channels
        self.stage_norms = nn.ModuleList(ChannelNorm(c) for c in channels)
        self.prompts = ImagePrompts(channels, config)
        self.alignments = nn.ModuleList(_make_alignment(c, config) for c in channels)
        self.compensation = (
            DeficitCompensation(channels, config) if config.compensation_stages else None
        )
        self.decoder = MutualDecoder(channels, config)

    def check_inputs(self, *, size_px: int, vocab_size: int, max_tokens: int) -> None:
        """Check sizes of images and expressions. See `ReferringNet.check_inputs`."""
        super().check_inputs(size_px=size_px, vocab_size=vocab_size, max_tokens=max_tokens)
        longest = self.config.printed_tokens
        if self.config.alignment == "printed" and max_tokens > longest:
            raise ConfigError(
                f'max_tokens is {max_tokens}, but the alignment "printed" reads {longest} tokens'
            )

    def encode_text(self, tokens: TextBatch) -> CroBIMWords:
        """Embed the tokens. BERT itself needs the image."""
        length = count_tokens(tokens)
        return CroBIMWords(self.text.embed(tokens.ids[:, :length]), tokens.attention[:, :length])

    def encode_image(self, image: Tensor) -> CroBIMPixels:
        """Run the trunk and make the prompts.

        Raises:
            ValueError: the sides of the image are not multiples of 32, or are below 64.
        """
        H, W = image.shape[-2:]
        if H % STRIDE or W % STRIDE or min(H, W) < MIN_SIDE_PX:
            raise ValueError(
                f"image sides must be multiples of {STRIDE}, at least {MIN_SIDE_PX}, got {H} x {W}"
            )
        pixels, maps = image, []
        for index, norm in enumerate(self.stage_norms):
            pixels = self.trunk.stage(index, pixels)
            maps.append(norm(pixels))
        return CroBIMPixels((H, W), tuple(maps), self.prompts(maps))

    def segment(self, image: Tensor | CroBIMPixels, words: CroBIMWords) -> SegOutput:
        """Run BERT with the prompts, align, compensate and decode. The mask is where eq. (17) > 0.

        Raises:
            ValueError: see `encode_image`.
        """
        config = self.config
        encoded = image if isinstance(image, CroBIMPixels) else self.encode_image(image)
        text, valid = self._encode_together(encoded.prompts, words)
        length = words.attention.shape[1]
        tokens, mask = text[:, :length], words.attention
        aligned, scores = [], []
        for align, map_ in zip(self.alignments, encoded.maps, strict=True):
            pixels, score = align(map_, tokens, mask)
            aligned.append(pixels)
            scores.append(score)
        if self.compensation is not None:
            if config.alignment == "printed":  # scores are of channels, and all of them count
                mask = mask.new_ones(1, config.text.width)
            aligned = self.compensation(aligned, scores, mask)
        logits = self.decoder(aligned, text, valid)
        return SegOutput(resize(logits.float(), encoded.size)[:, 0], None, {})

    def loss(
        self, output: SegOutput, target: Tensor, ignored: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Eq. (18): 0.9 times cross-entropy plus 0.1 times Dice.

        Dice is the mean over the images that contain a target.
        """
        config = self.config
        parts = {
            "cross_entropy": config.cross_entropy_weight
            * binary_cross_entropy(output.logits, target, ignored),
            "dice": config.dice_weight * dice(output.logits, target, ignored),
        }
        return {"total": torch.stack(list(parts.values())).sum(), **parts}

    def _encode_together(self, prompts: Tensor, words: CroBIMWords) -> tuple[Tensor, Tensor]:
        """L_v [B, L + P, D], and bool [B, L + P]: BERT on the tokens and the prompts after them.

        Prompts have no embedding of position or type.
        """
        B, P = prompts.shape[:2]
        embeddings = words.embeddings.expand(B, -1, -1)
        text = torch.cat([embeddings, prompts.to(embeddings.dtype)], 1)
        valid = F.pad(words.attention.expand(B, -1), (0, P), value=True)
        for index in range(4):
            text = self.text.stage(index, text, valid)
        return text, valid


# --- Context-aware prompt modulation (CAPM), section IV-A


class ImagePrompts(nn.Module):
    """Learned tokens read one pooled vector of each stage, eq. (1) and (2).

    As printed, eq. (1) joins the channels of all stages in one row, over which the softmax of
    eq. (2) would have no choice. Here each stage is a row, mapped to D.
    """

    def __init__(self, channels: Sequence[int], config: CroBIMConfig) -> None:
        super().__init__()
        width = config.text.width
        self.stages = [stage - 1 for stage in sorted(config.prompt_stages)]
        self.is_max = config.prompt_pool == "max"
        self.learned = nn.Parameter(torch.empty(config.prompts, width))
        nn.init.normal_(self.learned, std=0.02)
        self.rows = nn.ModuleList(nn.Linear(channels[i], width) for i in self.stages)
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.norm = nn.LayerNorm(width) if config.prompt_residual else None

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps of the stages, each [B, C, h, w] -> [B, P, D]."""
        pooled = [
            maps[i].amax((2, 3)) if self.is_max else maps[i].mean((2, 3)) for i in self.stages
        ]
        rows = torch.stack([row(p) for row, p in zip(self.rows, pooled, strict=True)], 1)
        score_BPS = self.query(self.learned) @ self.key(rows).transpose(1, 2)
        weight_BPS = (score_BPS / rows.shape[2] ** 0.5).softmax(-1)
        read: Tensor = weight_BPS @ self.value(rows)
        return read if self.norm is None else self.norm(self.learned + read)


# --- Language-guided feature aggregation (LGFA), section IV-B


class WordAlignment(nn.Module):
    """Pixels of one stage attend to the words, eq. (3) to (7).

    As printed, the softmax runs over the channels of the text, and no axis of tokens is left for
    eq. (8). Here it runs over the tokens.
    """

    def __init__(self, channels: int, text_width: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, channels, 1)
        self.key = nn.Linear(text_width, channels)
        self.value = nn.Linear(text_width, channels)
        self.mix = nn.Conv2d(channels, channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, pixels: Tensor, words: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Align pixels with words.

        [B, C, H, W], [B, L, D], bool [b, L] -> [B, C, H, W], and the attention [B, L, H, W].
        """
        C, size = pixels.shape[1], pixels.shape[-2:]
        score_BLN = self.key(words) @ self.query(pixels).flatten(2) / C**0.5
        score_BLN = score_BLN.float().masked_fill(~mask[:, :, None], -torch.inf).softmax(1)
        read = self.value(words).transpose(1, 2) @ score_BLN.to(pixels.dtype)
        aligned = self.out(F.gelu(self.mix(read.unflatten(2, size)))) * pixels
        return aligned, score_BLN.unflatten(2, size)


class PrintedAlignment(nn.Module):
    """Pixels of one stage attend to the channels of the text, eq. (3) to (7) as printed.

    The queries have one channel per token, so the weights depend on the length of expressions.
    """

    def __init__(self, channels: int, text_width: int, *, tokens: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.query = nn.Conv2d(channels, tokens, 1)
        self.key, self.value = (nn.Linear(text_width, text_width) for _ in range(2))
        self.mix = nn.Conv2d(tokens, channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, pixels: Tensor, words: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Align pixels with words.

        [B, C, H, W], [B, L, D], bool [b, L] -> [B, C, H, W], and the attention [B, D, H, W].
        """
        size, missing = pixels.shape[-2:], self.tokens - words.shape[1]
        key_BLD, value_BLD = (
            F.pad(layer(words) * mask[:, :, None], (0, 0, 0, missing))
            for layer in (self.key, self.value)
        )
        score_BDN = key_BLD.transpose(1, 2) @ self.query(pixels).flatten(2) / self.tokens**0.5
        score_BDN = score_BDN.float().softmax(1)
        read = value_BLD @ score_BDN.to(pixels.dtype)
        aligned = self.out(F.gelu(self.mix(read.unflatten(2, size)))) * pixels
        return aligned, score_BDN.unflatten(2, size)


def _make_alignment(channels: int, config: CroBIMConfig) -> nn.Module:
    if config.alignment == "printed":
        return PrintedAlignment(channels, config.text.width, tokens=config.printed_tokens)
    return WordAlignment(channels, config.text.width)


class DeficitCompensation(nn.Module):
    """Features of all stages meet where their attention differs most, eq. (8) to (13).

    A cell is a pixel of the coarsest map. Its patch in each stage is averaged, and the result is
    added to the patch; the paper replaces it, which would lose the detail inside.
    """

    def __init__(self, channels: Sequence[int], config: CroBIMConfig) -> None:
        super().__init__()
        width, self.share = config.compensation_width, config.compensation_share
        self.stages = [stage - 1 for stage in sorted(config.compensation_stages)]
        self.into = nn.ModuleList(nn.Linear(channels[i], width) for i in self.stages)
        joint = width * len(self.stages)
        self.norm = nn.LayerNorm(joint)
        self.attention = WideAttention(joint, config.heads, joint)
        self.out = nn.ModuleList(nn.Linear(width, channels[i]) for i in self.stages)

    def forward(
        self, maps: Sequence[Tensor], scores: Sequence[Tensor], mask: Tensor
    ) -> list[Tensor]:
        """Maps [B, C, h, w], attention [B, L, h, w] of the stages, bool [b, L] -> new maps."""
        grid = scores[-1].shape[-2:]
        cells_BK = self._choose_cells([resize(s.detach(), grid) for s in scores], mask)
        patches = [
            into(average_to(maps[i], (grid[0], grid[1])).flatten(2).transpose(1, 2))
            for into, i in zip(self.into, self.stages, strict=True)
        ]
        tokens_BKJ = torch.cat(patches, 2)
        tokens_BKJ = tokens_BKJ.gather(1, cells_BK[:, :, None].expand(-1, -1, tokens_BKJ.shape[2]))
        normed = self.norm(tokens_BKJ)
        tokens_BKJ = tokens_BKJ + self.attention(normed, normed, normed)
        new = list(maps)
        parts = tokens_BKJ.chunk(len(self.stages), 2)
        for i, out, part in zip(self.stages, self.out, parts, strict=True):
            change_BKC = out(part)
            index_BKC = cells_BK[:, :, None].expand_as(change_BKC)
            flat = change_BKC.new_zeros(len(part), grid[0] * grid[1], change_BKC.shape[2])
            change = flat.scatter(1, index_BKC, change_BKC).transpose(1, 2).unflatten(2, grid)
            new[i] = maps[i] + F.interpolate(change, maps[i].shape[-2:], mode="nearest")
        return new

    def _choose_cells(self, scores: Sequence[Tensor], mask: Tensor) -> Tensor:
        """The cells whose attention differs most between neighbouring stages, int64 [B, K]."""
        differences = [(a - b).abs() for a, b in pairwise(scores)]
        difference_BLHW = torch.stack(differences).sum(0) * mask[:, :, None, None]
        difference_BN = difference_BLHW.sum(1).flatten(1) / mask.sum(1, keepdim=True)
        n_cells = max(1, int(self.share * difference_BN.shape[1]))
        return difference_BN.topk(n_cells, dim=1).indices


# --- Mutual-interaction decoder (MID), section IV-C


class MutualDecoder(nn.Module):
    """Pixels of all four stages and words update each other, eq. (14) to (17)."""

    def __init__(self, channels: Sequence[int], config: CroBIMConfig) -> None:
        super().__init__()
        E = config.width
        self.inputs = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, E, 1), nn.GroupNorm(group_count(E), E)) for c in channels
        )
        self.level = nn.Parameter(torch.empty(len(channels), E))
        nn.init.normal_(self.level)
        self.text_in = nn.Sequential(nn.Linear(config.text.width, E), nn.LayerNorm(E))
        self.layers = nn.ModuleList(MutualLayer(config) for _ in range(config.mid_layers))
        is_mlp = config.projection == "mlp"
        self.feature = nn.Sequential(
            *_alternate(nn.Conv2d(E, E, 1) for _ in range(3 if is_mlp else 1))
        )
        self.prototype = nn.Sequential(
            *_alternate(nn.Linear(E, E) for _ in range(3 if is_mlp else 0))
        )

    def forward(self, maps: Sequence[Tensor], text: Tensor, valid: Tensor) -> Tensor:
        """[B, C, h, w] of the stages, [B, M, D], bool [B, M] -> logits [B, 1, H / 4, W / 4]."""
        levels = [conv(map_) for conv, map_ in zip(self.inputs, maps, strict=True)]
        sizes = [(int(level.shape[-2]), int(level.shape[-1])) for level in levels]
        counts = [h * w for h, w in sizes]
        before_BNE = torch.cat([level.flatten(2).transpose(1, 2) for level in levels], 1)
        position = sine_positions(sizes, before_BNE.shape[2], before_BNE.device)
        embedding = torch.cat([e.expand(n, -1) for e, n in zip(self.level, counts, strict=True)])
        position = (position + embedding).to(before_BNE.dtype)
        tokens, pixels = self.text_in(text), before_BNE
        for layer in self.layers:
            tokens, pixels = layer(tokens, pixels, position, valid, sizes)
        parts = zip((pixels + before_BNE).split(counts, 1), sizes, strict=True)
        joined = [resize(part.transpose(1, 2).unflatten(2, size), sizes[0]) for part, size in parts]
        feature = self.feature(torch.stack(joined).sum(0))
        prototype_BE = self.prototype(tokens[:, 0])  # [CLS]
        logits: Tensor = (prototype_BE[:, None] @ feature.flatten(2)).unflatten(2, sizes[0])
        return logits


class MutualLayer(nn.Module):
    """Words read pixels, eq. (15), then pixels read words and mix, eq. (16); post-norm.

    The learned scales of the two readings start at 1, as in CARIS. In the ablations, pixels read
    the words as they were before, or words read no pixels.
    """

    def __init__(self, config: CroBIMConfig) -> None:
        super().__init__()
        E, heads, inner = config.width, config.heads, config.attention_width
        self.interaction = config.interaction
        if self.interaction != "one-way":
            self.read_vision = WideAttention(E, heads, inner)
            self.vision_scale = nn.Parameter(torch.ones(E))
        self.self_attention, self.read_text = (WideAttention(E, heads, inner) for _ in range(2))
        self.text_ffn, self.vision_ffn = (FeedForward(E, config.ffn_ratio) for _ in range(2))
        self.mixing = DeformableAttention(E, heads=heads, levels=4)
        self.text_scale = nn.Parameter(torch.ones(E))
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

        [B, M, E], [B, N, E], [1, N, E], bool [B, M], (H, W) of the levels -> [B, M, E], [B, N, E].
        """
        norm, before = self.norms, tokens
        if self.interaction != "one-way":
            read = self.vision_scale * self.read_vision(tokens, pixels + position, pixels)
            tokens = tokens + read
        tokens = norm[0](tokens)
        tokens = norm[1](tokens + self.self_attention(tokens, tokens, tokens, valid))
        tokens = norm[2](tokens + self.text_ffn(tokens))
        source = before if self.interaction == "parallel" else tokens
        read = self.text_scale * self.read_text(pixels + position, source, source, valid)
        pixels = norm[3](pixels + read)
        pixels = norm[4](pixels + self.mixing(pixels + position, pixels, sizes))
        pixels = norm[5](pixels + self.vision_ffn(pixels))
        return tokens, pixels


class WideAttention(nn.Module):
    """Multi-head attention whose queries, keys and values have a width of their own."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, inner) for _ in range(3))
        self.out = nn.Linear(inner, width)
        for layer in (self.query, self.key, self.value, self.out):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, valid: Tensor | None = None
    ) -> Tensor:
        """[B, M, E], [B, N, E] twice, bool [B, N] (True at keys to attend to) -> [B, M, E]."""
        query, key, value = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, x in ((self.query, query), (self.key, key), (self.value, value))
        )
        mask = None if valid is None else valid[:, None, None, :]
        read = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        out: Tensor = self.out(read.transpose(1, 2).flatten(2))
        return out


def _alternate(layers: Iterable[nn.Module]) -> list[nn.Module]:
    """The layers with a ReLU between neighbours."""
    out: list[nn.Module] = []
    for layer in layers:
        out += [nn.ReLU(), layer] if out else [layer]
    return out
