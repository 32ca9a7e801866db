"""BTDNet: bidirectional fusion in the encoders, target and background streams in the decoder.

Source: arXiv 2502.08486. Equations (1) to (4) are the encoder with its spatial correlation (BSC),
(5) to (9) the target-background decoder (T-BTD), (10) to (14) the losses and the joint
reconstruction (D-MOLS). Numbers and readings that the paper leaves open are named where they are
used; docs/paper_map.md lists them.

Shape letters: B batch (b where one expression may serve the whole batch), C channels of a stage,
H W pixels, N = H·W, L tokens, D text width, K background tokens, E decoder width.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rrsis_geo.errors import ConfigError
from rrsis_geo.nets.base import ReferringNet, SegOutput, gate_logits
from rrsis_geo.nets.bert import Bert, TextConfig
from rrsis_geo.nets.deform import DeformableAttention
from rrsis_geo.nets.layers import (
    Attention,
    ChannelNorm,
    FeedForward,
    groups_of,
    sine_positions,
)
from rrsis_geo.nets.losses import binary_cross_entropy, dice
from rrsis_geo.nets.priors import (
    ORDER_TERMS,
    PLACE_TERMS,
    WordWeights,
    pull,
)
from rrsis_geo.nets.trunk import Trunk
from rrsis_geo.text.batch import TextBatch

BACKGROUND_POOLS = {3: (1, 2), 5: (2, 3), 7: (3, 4)}
"""Output sizes of the pools that make K background tokens: the one rule {k, k + 1} that gives the
paper's 3, 5 and 7 (table VI)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BTDNetConfig:
    """Settings of BTDNet; the defaults are the paper's network.

    Tables V to VII of the paper are: ``bsc_stages`` and ``bsc_to_text`` (V), ``background_tokens``
    and ``background_prior`` (VI), ``background_weight = 0`` and ``reconstruction_weight = 0`` (VII;
    a part whose loss has no weight is not built).
    """

    trunk: str = "swin_base_patch4_window12_384"
    """timm name of the image encoder."""
    image_px: int = 512
    drop_path: float = 0.3
    freeze_batch_norm: bool = False
    text: TextConfig = field(default_factory=TextConfig)

    bsc_stages: tuple[int, ...] = (1, 2, 3, 4)
    """Stages (1 to 4) after which image and text are correlated."""
    bsc_to_text: bool = True
    """Vision also changes the text. Without it an expression is encoded once a scene."""
    bsc_text_width: int | None = None
    """Width of the token side of the correlation; None is the text's own."""
    bsc_share_keys: bool = False
    """One projection of keys for all window sizes."""
    vision_windows: tuple[int, ...] = (1, 3, 5)
    text_windows: tuple[int, ...] = (1, 3, 5)

    width: int = 256
    """E, of the decoder."""
    heads: int = 8
    mci_layers: int = 6
    ffn_ratio: int = 4
    mixing: Literal["deformable", "convolution"] = "deformable"
    """How levels of pixels meet in MCI."""
    background_tokens: Literal[3, 5, 7] = 5
    background_prior: bool = True
    background_in_mci: bool = True
    smoothing: Literal["full", "depthwise"] = "full"
    """The 3x3 convolution that makes the mask feature."""
    fine_width: int = 0
    """Channels of a mask feature of stride 2; 0 keeps the paper's stride 4."""
    place_prior: bool = False
    """Let words pull the mask to a place: a short way from "left" to the pixels on the left."""
    order_prior: bool = False
    """Let words choose among the objects of the mask by their order: "the largest", "the leftmost"
    compare them."""
    presence: bool = False
    """Judge whether the target is in the image at all, and gate the logits by it."""

    background_weight: float = 0.6
    reconstruction_weight: float = 0.1
    dice_weight: float = 0.0
    presence_weight: float = 0.3

    def __post_init__(self) -> None:
        if not set(self.bsc_stages) <= {1, 2, 3, 4}:
            raise ConfigError(f"bsc_stages are among 1 to 4, got {self.bsc_stages}")
        for name in ("vision_windows", "text_windows"):
            windows = getattr(self, name)
            if not windows or any(r < 1 or r % 2 == 0 for r in windows):
                raise ConfigError(f"{name} must be odd sizes, at least one, got {windows}")
        if self.width % (4 * self.heads):
            raise ConfigError(f"width {self.width} is not a multiple of 4 x {self.heads} heads")
        if self.image_px % 32:
            raise ConfigError(f"image_px must be a multiple of 32, got {self.image_px}")

    @property
    def background(self) -> bool:
        """Whether there is a background stream."""
        return self.background_weight > 0


PRESETS = {
    "btdnet": BTDNetConfig(),
    "btdnet-lite": BTDNetConfig(
        trunk="tf_efficientnet_lite0",
        drop_path=0.0,
        freeze_batch_norm=True,
        text=TextConfig(width=384, ffn_width=1536, stages=(1, 2, 1, 2)),
        bsc_text_width=128,
        bsc_share_keys=True,
        width=128,
        mci_layers=2,
        ffn_ratio=2,
        mixing="convolution",
        smoothing="depthwise",
        fine_width=48,
        place_prior=True,
        order_prior=True,
        presence=True,
        dice_weight=1.0,
    ),
}


class BTDNetWords(NamedTuple):
    """What is known of the expressions before the image is seen.

    Attributes:
        stages: outputs of the leading text stages that no image changes, each [b, L, D].
        attention: bool [b, L].
        masked: T_m, encoding of the expression without its subject [b, L, D], or None.
        background: P_bg, background tokens [b or 1, K, D], or None.
        place: weights that the words give to maps of place [b, 5], or None.
        order: the same of order [b, 8], see `rrsis_geo.nets.priors.pull`, or None.
    """

    stages: tuple[Tensor, ...]
    attention: Tensor
    masked: Tensor | None
    background: Tensor | None
    place: Tensor | None
    order: Tensor | None


class BTDNetPixels(NamedTuple):
    """What is known of the images before the expression is read.

    Attributes:
        image: normalised [B, 3, H, W].
        stages: outputs of the leading trunk stages that no expression changes, each [B, C, h, w].
    """

    image: Tensor
    stages: tuple[Tensor, ...]


class BTDNet(ReferringNet):
    """The whole network. Source: arXiv 2502.08486, fig. 2."""

    training_only: ClassVar[tuple[str, ...]] = ("reconstruction.",)
    heavy: ClassVar[tuple[str, ...]] = (
        *("trunk.stages", "text.model.encoder.layer"),
        *("bsc", "decoder.layers"),
    )

    def __init__(self, config: BTDNetConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = Trunk(
            config.trunk,
            image_px=config.image_px,
            drop_path=config.drop_path,
            frozen_norm=config.freeze_batch_norm,
        )
        self.text = Bert(config.text)
        # the next stage and the decoder both get the sum V + G(M) M, normed for the decoder: the
        # prose calls one pair "enhanced features", and so the last gate learns too
        self.bsc = nn.ModuleDict(
            {
                str(stage): SpatialCorrelation(self.trunk.channels[stage - 1], config)
                for stage in sorted(config.bsc_stages)
            }
        )
        self.stage_norms = nn.ModuleList(ChannelNorm(c) for c in self.trunk.channels)
        if config.background:
            self.background = BackgroundTokens(config)
        self.decoder = TwinStreamDecoder(self.trunk.channels, config)
        if config.presence:
            self.presence = PresenceHead(config)
        if config.reconstruction_weight > 0:
            self.reconstruction = Reconstruction(self.trunk.channels[3], config.text.width)

    def encode_text(self, tokens: TextBatch) -> BTDNetWords:
        """Text stages before the first image influence, T_m, and the background tokens from it."""
        config = self.config
        length = int(tokens.attention.sum(1).max())  # padding changes nothing, so none is carried
        ids, attention, subject = (
            part[:, :length] for part in (tokens.ids, tokens.attention, tokens.subject)
        )
        free = min(config.bsc_stages, default=4) if config.bsc_to_text else 4
        words = self.text.embed(ids)
        stages = []
        for index in range(free):
            words = self.text.stage(index, words, attention)
            stages.append(words)
        masked = background = None
        if (config.background and config.background_prior) or config.reconstruction_weight > 0:
            # the subject becomes [PAD] and stays attended to: its place and length still tell
            masked = self.text.encode(ids.masked_fill(subject, 0), attention)
        if config.background:
            background = self.background(masked, attention)
        place = self.decoder.place_prior(stages[0], attention) if config.place_prior else None
        order = self.decoder.order_prior(stages[0], attention) if config.order_prior else None
        return BTDNetWords(tuple(stages), attention, masked, background, place, order)

    def encode_image(self, image: Tensor) -> BTDNetPixels:
        """Trunk stages up to the first correlation with the text.

        Raises:
            ValueError: the image's sides are not multiples of 32, at least 64.
        """
        H, W = image.shape[-2:]
        if H % 32 or W % 32 or min(H, W) < 64:
            raise ValueError(f"image sides must be multiples of 32 from 64 on, got {H} x {W}")
        stages, pixels = [], image
        for index in range(min(self.config.bsc_stages, default=4)):
            pixels = self.trunk.stage(index, pixels)
            stages.append(pixels)
        return BTDNetPixels(image, tuple(stages))

    def segment(self, image: Tensor | BTDNetPixels, words: BTDNetWords) -> SegOutput:
        """Eq. (1), the decoder, and the rule that the higher stream wins.

        Raises:
            ValueError: see `encode_image`.
        """
        image, free = image if isinstance(image, BTDNetPixels) else self.encode_image(image)
        H, W = image.shape[-2:]
        pixels, text, maps = image, words.stages[0], []
        for index in range(4):
            pixels = free[index] if index < len(free) else self.trunk.stage(index, pixels)
            if index < len(words.stages):
                text = words.stages[index]
            else:
                text = self.text.stage(index, text, words.attention)
            if str(index + 1) in self.bsc:
                pixels, text = self.bsc[str(index + 1)](pixels, text, words.attention)
            maps.append(self.stage_norms[index](pixels))
        streams, fg_BE, bg_BE = self.decoder(image, maps, text, words)
        aux = {}
        logits = _log_odds(streams)
        presence = None
        if self.config.presence:
            presence = self.presence(logits.detach(), fg_BE, bg_BE)
        if self.training:
            aux["streams"] = streams
            if self.config.reconstruction_weight > 0:
                assert words.masked is not None
                aux["reconstruction"] = self.reconstruction(
                    maps[3], text, words.masked, words.attention
                )
        logits = _resized(logits[:, None].float(), (H, W))[:, 0]
        if presence is not None:
            logits = gate_logits(logits, presence)
        return SegOutput(logits, presence, aux)

    def loss(self, output: SegOutput, target: Tensor) -> dict[str, Tensor]:
        """Eq. (10) to (14): L_fg + 0.6 L_bg + 0.1 L_re, and what the compact preset adds.

        The paper names two weights, 0.6 and 0.1, for three terms; the first term is read as of
        weight one. Each stream has a binary cross-entropy of its own: table VII trains the
        foreground alone, which a softmax over the two streams could not. Dice (on the two streams'
        difference) and presence are ours.
        """
        config, streams = self.config, _resized(output.aux["streams"], target.shape[-2:])
        parts = {"foreground": binary_cross_entropy(streams[:, 0], target)}
        if config.background:
            parts["background"] = config.background_weight * binary_cross_entropy(
                streams[:, 1], ~target
            )
        if config.dice_weight > 0:
            parts["dice"] = config.dice_weight * dice(_log_odds(streams), target)
        if config.reconstruction_weight > 0:
            parts["reconstruction"] = config.reconstruction_weight * output.aux["reconstruction"]
        if output.presence is not None:
            parts["presence"] = config.presence_weight * F.binary_cross_entropy_with_logits(
                output.presence.float(), target.flatten(1).any(1).float()
            )
        return {"total": torch.stack(list(parts.values())).sum(), **parts}


class SpatialCorrelation(nn.Module):
    """BSC, eq. (2) to (4): windows of pixels against tokens, windows of tokens against pixels.

    Both affinities are sums over window sizes of softmaxed logits, weighted by learned scalars that
    start equal (the softmax lies inside the sum, as in DMMI). The unfolded windows are never made:
    unfolding and a linear map are one convolution. Instance norms stand before the linear maps they
    feed, not after them, which is what lets the maps fold into the tokens.
    """

    def __init__(self, channels: int, config: BTDNetConfig) -> None:
        super().__init__()
        width = config.text.width
        self.to_vision = VisionAffinity(
            channels, width, config.vision_windows, share_keys=config.bsc_share_keys
        )
        # no bias where a softmax's rows sum to one and an instance norm follows: it would cancel
        self.values = nn.Linear(width, channels, bias=False)
        self.aligned = nn.Linear(channels, channels, bias=False)
        self.visual = nn.Conv2d(channels, channels, 1)
        self.fused = nn.Conv2d(channels, channels, 1)
        self.gate = nn.Conv2d(channels, channels, 1, bias=False)
        nn.init.normal_(self.gate.weight, std=0.02)
        self.to_text = TextUpdate(channels, config) if config.bsc_to_text else None

    def forward(self, pixels: Tensor, words: Tensor, attention: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, H, W], [b, L, D], bool [b, L] -> the same two, each with the other in it."""
        affinity_BLN = self.to_vision(pixels, words, attention).flatten(2)
        values_bCL = self.aligned(self.values(words)).transpose(1, 2)  # on L tokens, not N pixels
        aligned = (values_bCL @ affinity_BLN).view_as(pixels)
        fused = self.fused(F.gelu(self.visual(pixels)) * F.instance_norm(aligned))
        # G, read as LAVT's gate: convolution, instance norm, tanh, times what it gates
        out = pixels + F.instance_norm(self.gate(fused)).tanh() * fused
        if self.to_text is not None:
            words = self.to_text(pixels, words, attention)
        return out, words


class VisionAffinity(nn.Module):
    """A_v of eq. (3): how much each token matters to each pixel, over windows of several sizes.

    For the i-th window size r the map is reduced to C / 2^i channels, normalised, and the r x r
    window mapped to C (DMMI's bottleneck, which keeps the parameters level over r).
    """

    def __init__(
        self, channels: int, width: int, windows: tuple[int, ...], *, share_keys: bool
    ) -> None:
        super().__init__()
        narrow = [max(channels // 2**i, 1) for i in range(len(windows))]
        self.reduce = nn.ModuleList(nn.Conv2d(channels, c, 1, bias=False) for c in narrow)
        self.window = nn.ModuleList(
            nn.Conv2d(c, channels, r, padding=r // 2) for c, r in zip(narrow, windows, strict=True)
        )
        n_keys = 1 if share_keys else len(windows)
        # a bias on the keys adds the same to all tokens of a pixel: the softmax would drop it
        self.keys = nn.ModuleList(nn.Linear(width, channels, bias=False) for _ in range(n_keys))
        self.mix = nn.Parameter(torch.zeros(len(windows))) if len(windows) > 1 else None

    def forward(self, pixels: Tensor, words: Tensor, attention: Tensor) -> Tensor:
        """[B, C, H, W], [b, L, D], bool [b, L] -> float [B, L, H, W], summing to one over L."""
        share = _shares(self.mix, pixels)
        keys = [key(words) / pixels.shape[1] ** 0.5 for key in self.keys]
        total = None
        for i, (reduce, window) in enumerate(zip(self.reduce, self.window, strict=True)):
            reduced = F.instance_norm(reduce(pixels))
            logits_BLHW = _correlate(reduced, window, keys[i % len(keys)], self.training)
            logits_BLHW = logits_BLHW.masked_fill(~attention[:, :, None, None], -1e4)
            part = share[i] * logits_BLHW.softmax(1)
            total = part if total is None else total + part
        assert total is not None
        return total


def _correlate(reduced: Tensor, window: nn.Module, keys: Tensor, training: bool) -> Tensor:
    """Map windows, then compare with the keys.

    [B, c, H, W], convolution c -> C, [b, L, C] -> [B, L, H, W]. With fewer tokens than channels the
    keys fold into the convolution: L filters in place of C. Training keeps the plain order, since a
    filter bank a sample is slow to differentiate on a GPU.
    """
    assert isinstance(window, nn.Conv2d)
    assert window.bias is not None
    B, c, H, W = reduced.shape
    b, L, C = keys.shape
    if training or L >= C:
        logits: Tensor = keys @ window(reduced).flatten(2)
        return logits.view(B, L, H, W)
    weight, padding = window.weight, window.padding
    filters = (keys @ weight.flatten(1).to(keys.dtype)).view(b * L, c, *weight.shape[2:])
    bias = (keys @ window.bias.to(keys.dtype)).flatten()
    if b == 1:
        return F.conv2d(reduced, filters, bias, padding=padding)
    out = F.conv2d(reduced.reshape(1, B * c, H, W), filters, bias, padding=padding, groups=B)
    return out.view(B, L, H, W)


class TextUpdate(nn.Module):
    """The vision-to-text half of BSC: A_t of eq. (3) and the text line of eq. (4).

    Maps of the pixels are carried over to the tokens, (T Wq)(V Wk)' = (T Wq Wk) V' and
    A (V Wv) = (A V) Wv, so that L tokens are projected and not N pixels. The gate normalises over
    the channels of a token, not over the tokens, among which padding would count.
    """

    def __init__(self, channels: int, config: BTDNetConfig) -> None:
        super().__init__()
        width, windows = config.text.width, config.text_windows
        inner = config.bsc_text_width or width
        self.windows, self.inner = windows, inner
        self.reduce = nn.ModuleList(nn.Linear(width, width // r) for r in windows)
        self.window = nn.ModuleList(nn.Conv1d(width // r, inner, r) for r in windows)
        n_keys = 1 if config.bsc_share_keys else len(windows)
        self.keys = nn.ModuleList(nn.Linear(channels, inner, bias=False) for _ in range(n_keys))
        self.mix = nn.Parameter(torch.zeros(len(windows))) if len(windows) > 1 else None
        self.values = nn.Linear(channels, inner)
        self.fused = nn.Linear(inner, width)
        self.gate = nn.Linear(width, width)
        nn.init.normal_(self.gate.weight, std=0.02)
        self.gate_norm = nn.LayerNorm(width)

    def forward(self, pixels: Tensor, words: Tensor, attention: Tensor) -> Tensor:
        """[B, C, H, W], [b, L, D], bool [b, L] -> [B, L, D]."""
        pixels_BCN = F.instance_norm(pixels).flatten(2)
        share = _shares(self.mix, words)
        padded = _replicate_last(words, attention)
        total = None
        parts = zip(self.windows, self.reduce, self.window, strict=True)
        for i, (r, reduce, window) in enumerate(parts):
            key = self.keys[i % len(self.keys)]
            tokens = F.pad(reduce(padded).transpose(1, 2), (r // 2, r // 2), mode="replicate")
            query_bLC = window(tokens).transpose(1, 2) @ key.weight / self.inner**0.5
            part = share[i] * (query_bLC @ pixels_BCN).softmax(-1)
            total = part if total is None else total + part
        assert total is not None
        fused = self.fused(self.values(total @ pixels_BCN.transpose(1, 2)))
        gate = self.gate_norm(self.gate(fused)).tanh()
        out: Tensor = words + gate * fused * attention[:, :, None]
        return out


def _shares(mix: Tensor | None, like: Tensor) -> Tensor:
    return like.new_ones(1) if mix is None else mix.softmax(0)


def _replicate_last(words: Tensor, attention: Tensor) -> Tensor:
    """Padding replaced by the last token, so that windows of tokens never see it."""
    last = attention.sum(1, keepdim=True) - 1
    place = torch.arange(words.shape[1], device=words.device)[None].minimum(last)
    return words.gather(1, place[:, :, None].expand_as(words))


class BackgroundTokens(nn.Module):
    """P_bg of eq. (8): learned tokens, moved by the expression without its subject."""

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

    def forward(self, masked: Tensor | None, attention: Tensor) -> Tensor:
        """T_m [b, L, D] and bool [b, L] -> [b, K, D]; without prior [1, K, D]."""
        tokens = self.learned[None]
        if self.pools:
            assert masked is not None
            prior = [
                map_(_pool_tokens(masked, attention, size))
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


class TwinStreamDecoder(nn.Module):
    """T-BTD: multi-scale context integration (MCI), mask feature, and the two predictors."""

    def __init__(self, channels: tuple[int, ...], config: BTDNetConfig) -> None:
        super().__init__()
        E = config.width
        self.config = config
        # stage 1 waits for the mask feature: the paper speaks of "deeper network layers"
        self.inputs = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, E, 1), nn.GroupNorm(groups_of(E), E)) for c in channels[1:]
        )
        self.level = nn.Parameter(torch.empty(3, E))
        nn.init.normal_(self.level)
        self.text_in = nn.Linear(config.text.width, E)
        self.text_norm = nn.LayerNorm(E)
        self.layers = nn.ModuleList(ContextLayer(config) for _ in range(config.mci_layers))
        self.lateral = nn.Sequential(nn.Conv2d(channels[0], E, 1), nn.GroupNorm(groups_of(E), E))
        self.smooth = _smoothing(E, E, config.smoothing)
        if config.fine_width:
            self.fine = FineFeature(E, config.fine_width)
        out = config.fine_width or E
        self.prototype = nn.Sequential(
            nn.Linear(E, E), nn.ReLU(), nn.Linear(E, E), nn.ReLU(), nn.Linear(E, out)
        )
        if config.place_prior:
            self.place_prior = WordWeights(config.text.width, E, PLACE_TERMS)
        if config.order_prior:
            self.order_prior = WordWeights(config.text.width, E, 1 + ORDER_TERMS)

    def forward(
        self, image: Tensor, maps: list[Tensor], text: Tensor, words: BTDNetWords
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """The two streams [B, 2, h, w] (or one), and the tokens [B, E] behind each."""
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
        tokens, second = self._integrate(maps, tokens, valid)
        fg_BE, bg_BE = tokens[:, 0], None
        if background is not None:
            if self.config.background_in_mci:
                background = tokens[:, n_words:]
            bg_BE = background.mean(1)
        feature = self.lateral(maps[0]) + _resized(second, maps[0].shape[-2:])
        feature = self.smooth(feature)
        if self.config.fine_width:
            feature = self.fine(feature, image)
        stacked = fg_BE[:, None] if bg_BE is None else torch.stack([fg_BE, bg_BE], 1)
        weights = self.prototype(stacked)
        streams = (weights @ feature.flatten(2)).unflatten(2, feature.shape[-2:])  # eq. (9)
        return _heeding(words, streams), fg_BE, bg_BE

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
    """One layer of MCI: text reads vision (eq. 6), vision reads text and its own scales (eq. 7).

    The self-attention of the text is not in the prose; it is CARIS's, and the only place where
    target and background tokens can tell each other apart.
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
        """[B, L, E], [B, N, E], [1, N, E], bool [B, L], (H, W) of the levels -> both, changed."""
        norm = self.norms
        tokens = norm[0](tokens + self.read_vision(tokens, pixels + position, pixels))
        tokens = norm[1](tokens + self.self_attention(tokens, tokens, tokens, valid))
        tokens = norm[2](tokens + self.text_ffn(tokens))
        pixels = norm[3](pixels + self.read_text(pixels + position, tokens, tokens, valid))
        pixels = norm[4](pixels + self.mixing(pixels + position, pixels, sizes))
        pixels = norm[5](pixels + self.vision_ffn(pixels))
        return tokens, pixels


class ScaleMixing(nn.Module):
    """Neighbours meet by a depthwise 5x5 convolution, levels by sums: for processors without a GPU,
    where deformable attention's gathers are what everybody waits for.
    """

    def __init__(self, width: int, *, levels: int) -> None:
        super().__init__()
        self.near = nn.ModuleList(
            nn.Conv2d(width, width, 5, padding=2, groups=width) for _ in range(levels)
        )
        self.out = nn.Linear(width, width)
        self.place = nn.Linear(width, width)  # else no pixel would know where it lies

    def forward(self, query: Tensor, pixels: Tensor, sizes: list[tuple[int, int]]) -> Tensor:
        """Positions included [B, N, E], and not; (H, W) of levels, finest first -> [B, N, E]."""
        counts = [h * w for h, w in sizes]
        maps = [
            conv(part.transpose(1, 2).unflatten(2, size))
            for conv, part, size in zip(self.near, pixels.split(counts, 1), sizes, strict=True)
        ]
        for i in reversed(range(len(maps) - 1)):
            maps[i] = maps[i] + _resized(maps[i + 1], sizes[i])
        for i in range(1, len(maps)):
            maps[i] = maps[i] + F.adaptive_avg_pool2d(maps[i - 1], sizes[i])
        near = torch.cat([map_.flatten(2) for map_ in maps], 2).transpose(1, 2)
        out: Tensor = self.out(near) + self.place(query)
        return out


class FineFeature(nn.Module):
    """A mask feature of stride 2, for objects of a few pixels: that of stride 4, and the image."""

    def __init__(self, width: int, fine_width: int) -> None:
        super().__init__()
        self.coarse = nn.Conv2d(width, fine_width, 1)
        self.edges = nn.Conv2d(3, fine_width, 3, stride=2, padding=1)
        self.smooth = _smoothing(fine_width, fine_width, "depthwise")

    def forward(self, feature: Tensor, image: Tensor) -> Tensor:
        """[B, E, h, w] and [B, 3, H, W] -> [B, fine_width, H / 2, W / 2]."""
        edges = self.edges(image)
        out: Tensor = self.smooth(F.relu(edges + _resized(self.coarse(feature), edges.shape[-2:])))
        return out


def _smoothing(width: int, out: int, kind: Literal["full", "depthwise"]) -> nn.Sequential:
    if kind == "full":
        convs: list[nn.Module] = [nn.Conv2d(width, out, 3, padding=1)]
    else:
        convs = [nn.Conv2d(width, width, 3, padding=1, groups=width), nn.Conv2d(width, out, 1)]
    return nn.Sequential(*convs, nn.GroupNorm(groups_of(out), out), nn.ReLU())


class PresenceHead(nn.Module):
    """Is the target in the image at all? Ours; the paper's network always answers something.

    Reads the tokens after they have read the image, and two facts of the mask: its highest
    log-odds and its mean probability. They come detached, so that masks do not learn to please it.
    """

    def __init__(self, config: BTDNetConfig) -> None:
        super().__init__()
        tokens = 2 if config.background else 1
        self.mlp = nn.Sequential(
            nn.Linear(tokens * config.width + 2, config.width),
            nn.ReLU(),
            nn.Linear(config.width, 1),
        )

    def forward(self, logits: Tensor, fg: Tensor, bg: Tensor | None) -> Tensor:
        """[B, h, w], [B, E], [B, E] -> log-odds [B]."""
        flat_BN = logits.flatten(1)
        facts = torch.stack([flat_BN.amax(1), 10 * flat_BN.sigmoid().mean(1)], 1)
        out: Tensor = self.mlp(torch.cat([fg, *([] if bg is None else [bg]), facts], 1))
        return out[:, 0]


class Reconstruction(nn.Module):
    """Joint reconstruction, eq. (12) and (13); training only.

    The pixels first read the expression, then the masked expression asks them for what it misses.
    The other reading, with the masked expression as the first query, would let the answer leak
    straight from the unmasked text.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.pixels_in = nn.Linear(channels, width)
        self.enrich, self.recover = (
            nn.TransformerDecoderLayer(width, 8, 4 * width, batch_first=True) for _ in range(2)
        )

    def forward(self, pixels: Tensor, words: Tensor, masked: Tensor, attention: Tensor) -> Tensor:
        """F_v^4 [B, C, H, W], F_t^4 and T_m [B, L, D], bool [B, L] -> L_re, scalar."""
        padding = ~attention
        pixels_BND = self.pixels_in(pixels.flatten(2).transpose(1, 2))
        fused = self.enrich(pixels_BND, words, memory_key_padding_mask=padding)
        guess = self.recover(masked, fused, tgt_key_padding_mask=padding)
        # the target's gradient is stopped, or both would agree on a constant
        likeness_BL = F.cosine_similarity(guess.float(), words.detach().float(), dim=-1)
        return 1 - (likeness_BL * attention).sum() / attention.sum()


def _log_odds(streams: Tensor) -> Tensor:
    """Foreground against background, [B, 2 or 1, h, w] -> [B, h, w]."""
    return streams[:, 0] if streams.shape[1] == 1 else (streams[:, 0] - streams[:, 1]) / 2


def _heeding(words: BTDNetWords, streams: Tensor) -> Tensor:
    """Add to the foreground what the words ask for, and take it from the background."""
    if words.place is None and words.order is None:
        return streams
    by = pull(_log_odds(streams), words.place, words.order)[:, None]
    return streams + (by if streams.shape[1] == 1 else torch.cat([by, -by], 1))


def _resized(maps: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    """Bilinear, pixel centres kept; with corners aligned, windows of a scene would not meet."""
    if maps.shape[-2:] == torch.Size(size):
        return maps
    return F.interpolate(maps, tuple(size), mode="bilinear", align_corners=False)
