"""Bidirectional spatial correlation (BSC): image and text exchange information after a stage.

Source: arXiv 2502.08486, section III-C2, equations (2) to (4). Details that the paper leaves open
follow RIS-DMMI (ICCV 2023), on which the module is based. docs/paper_map.md lists them.

Shape letters: B batch (b: B, or 1 where all images share one expression), C channels of a stage,
c reduced channels, H W pixels, N = H·W, L tokens, D text width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rrsis_geo.nets.btdnet_config import BTDNetConfig
from rrsis_geo.nets.layers import instance_norm, is_plain


class SpatialCorrelation(nn.Module):
    """BSC after one stage, eq. (2) to (4).

    Windows of pixels attend to tokens, and windows of tokens attend to pixels. Each affinity is a
    weighted sum over window sizes of softmaxed logits. The weights are learned scalars that start
    equal. The softmax is inside the sum, as in DMMI.

    Windows are never unfolded: unfolding followed by a linear map is one convolution. Instance
    norms come before the linear maps, not after them, so that the maps can be applied to the L
    tokens and not to the N pixels.
    """

    def __init__(self, channels: int, config: BTDNetConfig) -> None:
        super().__init__()
        width, self.gate_type = config.text.width, config.gate_type
        self.to_vision: nn.Module | None = None
        if config.bsc_to_vision:
            self.to_vision = VisionAffinity(
                channels, width, config.vision_windows, share_keys=config.bsc_share_keys
            )
            # no bias: the rows of a softmax sum to one, and the instance norm removes a constant
            self.values = nn.Linear(width, channels, bias=False)
            self.aligned = nn.Linear(channels, channels, bias=False)
            if self.gate_type == "fused":
                self.visual = nn.Conv2d(channels, channels, 1)
                self.fused = nn.Conv2d(channels, channels, 1)
            n_read = 2 if self.gate_type == "joint" else 1
            self.gate = nn.Conv2d(n_read * channels, channels, 1, bias=False)
            nn.init.normal_(self.gate.weight, std=0.02)
        self.to_text = TextUpdate(channels, config) if config.bsc_to_text else None

    def forward(self, pixels: Tensor, words: Tensor, attention: Tensor) -> tuple[Tensor, Tensor]:
        """Update pixels with words, and words with pixels.

        [B, C, H, W], [b, L, D], bool [b, L] -> [B, C, H, W], [B or b, L, D].
        """
        out = pixels
        if self.to_vision is not None:
            affinity_BLN = self.to_vision(pixels, words, attention).flatten(2)
            values_bLC = self.aligned(self.values(words))  # L tokens, not N pixels
            aligned_BNC = affinity_BLN.transpose(1, 2) @ values_bLC
            aligned_BCHW = aligned_BNC.transpose(1, 2).unflatten(2, pixels.shape[-2:])
            aligned_BCHW = instance_norm(aligned_BCHW, plain=is_plain(self, pixels))
            out = pixels + self._gate(pixels, aligned_BCHW)
        if self.to_text is not None:
            words = self.to_text(pixels, words, attention)
        return out, words

    def _gate(self, pixels: Tensor, aligned: Tensor) -> Tensor:
        """What is added to the pixels, [B, C, H, W] twice -> [B, C, H, W].

        G of eq. (4) is tanh(instance norm(1x1 convolution)). The default is LAVT's language gate.
        """
        read = weighed = pixels
        if self.gate_type == "fused":
            read = weighed = self.fused(F.gelu(self.visual(pixels)) * aligned)
        elif self.gate_type == "input":
            read = aligned
        else:
            read = torch.cat([pixels, aligned], 1)
        return instance_norm(self.gate(read), plain=is_plain(self, pixels)).tanh() * weighed


class VisionAffinity(nn.Module):
    """A_v of eq. (3): the weight of each token at each pixel.

    For the i-th window size r the map is reduced to C / 2^i channels and normalised, and the r x r
    window is mapped to C channels. This is DMMI's bottleneck. It keeps the number of parameters
    about the same for every r.
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
        # no bias: it would add the same value to all tokens of a pixel, which softmax removes
        self.keys = nn.ModuleList(nn.Linear(width, channels, bias=False) for _ in range(n_keys))
        self.mix = nn.Parameter(torch.zeros(len(windows))) if len(windows) > 1 else None

    def forward(self, pixels: Tensor, words: Tensor, attention: Tensor) -> Tensor:
        """[B, C, H, W], [b, L, D], bool [b, L] -> [B, L, H, W], with sum 1 over L."""
        mix_weights, plain = _mix_weights(self.mix, pixels), is_plain(self, pixels)
        keys = [key(words) / pixels.shape[1] ** 0.5 for key in self.keys]
        affinity = None
        for i, (reduce, window) in enumerate(zip(self.reduce, self.window, strict=True)):
            reduced = instance_norm(reduce(pixels), plain=plain)
            logits_BLHW = _score_tokens(reduced, window, keys[i % len(keys)], self.training)
            logits_BLHW = logits_BLHW.masked_fill(~attention[:, :, None, None], -1e4)
            part = mix_weights[i] * logits_BLHW.softmax(1)
            affinity = part if affinity is None else affinity + part
        assert affinity is not None
        return affinity


def _score_tokens(reduced: Tensor, window: nn.Module, keys: Tensor, training: bool) -> Tensor:
    """Dot products of the mapped window around each pixel with the key of each token.

    [B, c, H, W], convolution c -> C, [b, L, C] -> [B, L, H, W]. With fewer tokens than channels,
    the keys are multiplied into the convolution, which then has L filters and not C. Training keeps
    the plain order because one filter bank per sample is slow to differentiate on a GPU, and an
    exported graph keeps it because the number of groups of a convolution is fixed there.
    """
    assert isinstance(window, nn.Conv2d)
    assert window.bias is not None
    B, c, H, W = reduced.shape
    b, L, C = keys.shape
    if training or L >= C or torch.compiler.is_exporting():
        logits: Tensor = keys @ window(reduced).flatten(2)
        return logits.view(B, L, H, W)
    weight, padding = window.weight, window.padding
    filters = (keys @ weight.flatten(1).to(keys.dtype)).view(b * L, c, *weight.shape[2:])
    bias = (keys @ window.bias.to(keys.dtype)).flatten()
    if b == 1:
        return F.conv2d(reduced, filters, bias, padding=padding).contiguous()
    out = F.conv2d(reduced.reshape(1, B * c, H, W), filters, bias, padding=padding, groups=B)
    return out.view(B, L, H, W)


class TextUpdate(nn.Module):
    """The vision-to-text half of BSC: A_t of eq. (3) and the text line of eq. (4).

    The maps of the pixels are applied to the tokens: (T Wq)(V Wk)' = (T Wq Wk) V' and
    A (V Wv) = (A V) Wv. The gate normalises over the channels of a token and not over the tokens,
    so that padding does not change it.
    """

    def __init__(self, channels: int, config: BTDNetConfig) -> None:
        super().__init__()
        width, windows, self.gate_type = config.text.width, config.text_windows, config.gate_type
        inner = config.bsc_text_width or width
        self.windows, self.inner = windows, inner
        self.reduce = nn.ModuleList(nn.Linear(width, width // r) for r in windows)
        self.window = nn.ModuleList(nn.Conv1d(width // r, inner, r) for r in windows)
        n_keys = 1 if config.bsc_share_keys else len(windows)
        self.keys = nn.ModuleList(nn.Linear(channels, inner, bias=False) for _ in range(n_keys))
        self.mix = nn.Parameter(torch.zeros(len(windows))) if len(windows) > 1 else None
        self.values = nn.Linear(channels, inner)
        self.fused = nn.Linear(inner, width)
        self.gate = nn.Linear((2 if self.gate_type == "joint" else 1) * width, width)
        nn.init.normal_(self.gate.weight, std=0.02)
        self.gate_norm = nn.LayerNorm(width)

    def forward(self, pixels: Tensor, words: Tensor, attention: Tensor) -> Tensor:
        """[B, C, H, W], [b, L, D], bool [b, L] -> [B, L, D]."""
        pixels_BCN = instance_norm(pixels, plain=is_plain(self, pixels)).flatten(2)
        mix_weights = _mix_weights(self.mix, words)
        unpadded = _repeat_last_token(words, attention)
        affinity = None
        parts = zip(self.windows, self.reduce, self.window, strict=True)
        for i, (r, reduce, window) in enumerate(parts):
            key = self.keys[i % len(self.keys)]
            # a window of even size has one token more before its own than after it, as in DMMI
            sides = (r // 2, (r - 1) // 2)
            tokens = F.pad(reduce(unpadded).transpose(1, 2), sides, mode="replicate")
            query_bLC = window(tokens).transpose(1, 2) @ key.weight / self.inner**0.5
            part = mix_weights[i] * (query_bLC @ pixels_BCN).softmax(-1)
            affinity = part if affinity is None else affinity + part
        assert affinity is not None
        fused_BLD = self.fused(self.values(affinity @ pixels_BCN.transpose(1, 2)))
        weighed_BLD = fused_BLD if self.gate_type == "fused" else words
        read = fused_BLD
        if self.gate_type == "joint":
            read = torch.cat([words.expand_as(fused_BLD), fused_BLD], 2)
        gate_BLD = self.gate_norm(self.gate(read)).tanh()
        out: Tensor = words + gate_BLD * weighed_BLD * attention[:, :, None]
        return out


def _mix_weights(mix: Tensor | None, like: Tensor) -> Tensor:
    """Weights of the window sizes, sum 1."""
    return like.new_ones(1) if mix is None else mix.softmax(0)


def _repeat_last_token(words: Tensor, attention: Tensor) -> Tensor:
    """Replace padding by the last token, so that no window of tokens contains padding."""
    last = attention.sum(1, keepdim=True) - 1
    place = torch.arange(words.shape[1], device=words.device)[None].minimum(last)
    return words.gather(1, place[:, :, None].expand_as(words))
