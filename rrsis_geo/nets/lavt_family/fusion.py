"""Pixels read words: the fusion of LAVT, which RMSIN and FIANet use too.

Shape letters: B images, b expressions (B, or 1 that all images share), C channels, N pixels,
L tokens, D text width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rrsis_geo.errors import ConfigError

MASKED = 1e4
"""Subtracted from the scores of padding. A finite number, because FIANet masks all tokens where an
expression names no object; the values of masked tokens are zero, so the result is the same."""


class WordAttention(nn.Module):
    """Pixels attend to words. Source: LAVT, arXiv 2112.02244, section 3.2.

    Queries and results are normalised over the pixels of each image and channel. Keys and values
    are not: padding would enter their statistics.

    Args:
        width: C, of the pixels and of queries, keys and values.
        text_width: D, of the words.
        heads: attention heads. All scale their scores by C^-1/2, as the authors' code does.

    Raises:
        ConfigError: the heads do not divide the width.
    """

    def __init__(self, width: int, text_width: int, *, heads: int = 1) -> None:
        super().__init__()
        if width % heads:
            raise ConfigError(f"fusion_heads: {heads} heads do not divide {width} channels")
        self.width, self.heads = width, heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(text_width, width)
        self.value = nn.Linear(text_width, width)
        self.out = nn.Linear(width, width)

    def forward(self, pixels: Tensor, words: Tensor, attention: Tensor) -> Tensor:
        """[B, N, C], [b, L, D], bool [b, L] -> [B, N, C]."""
        valid_bL1 = attention[:, :, None].to(words.dtype)
        query = normalise_pixels(self.query(pixels))
        key, value = self.key(words) * valid_bL1, self.value(words) * valid_bL1
        bias_b11L = (attention[:, None, None, :].to(query.dtype) - 1) * MASKED
        read = F.scaled_dot_product_attention(
            self._split(query, len(pixels)),
            self._split(key, len(pixels)),
            self._split(value, len(pixels)),
            attn_mask=bias_b11L,
            scale=self.width**-0.5,
        )
        return normalise_pixels(self.out(read.transpose(1, 2).flatten(2)))

    def _split(self, tokens: Tensor, batch: int) -> Tensor:
        """[b, L, C] -> [B, heads, L, C / heads]."""
        split: Tensor = tokens.unflatten(2, (self.heads, -1)).transpose(1, 2)
        return split.expand(batch, -1, -1, -1)


class PixelWordFusion(nn.Module):
    """Pixel-word attention module (PWAM). Source: LAVT, arXiv 2112.02244, section 3.2."""

    def __init__(self, width: int, text_width: int, *, heads: int = 1) -> None:
        super().__init__()
        self.visual = nn.Linear(width, width)
        self.words = WordAttention(width, text_width, heads=heads)
        self.out = nn.Linear(width, width)

    def forward(self, pixels: Tensor, words: Tensor, attention: Tensor) -> Tensor:
        """[B, N, C], [b, L, D], bool [b, L] -> [B, N, C]."""
        read = self.words(pixels, words, attention)
        return F.gelu(self.out(F.gelu(self.visual(pixels)) * read))


class Gate(nn.Sequential):
    """How much of each channel returns to the trunk, [B, N, C] -> [B, N, C] from -1 to 1.

    Source: LAVT, arXiv 2112.02244, section 3.3 (the language gate). The authors start both maps
    from truncated normal noise and use no bias.
    """

    def __init__(self, width: int) -> None:
        super().__init__(
            nn.Linear(width, width, bias=False),
            nn.ReLU(),
            nn.Linear(width, width, bias=False),
            nn.Tanh(),
        )
        init_linears(self)


def apply_gate(gate: Gate, pixels: Tensor) -> Tensor:
    """The pixels times their gate, [B, C, H, W] -> [B, C, H, W]."""
    tokens = as_tokens(pixels)
    return as_map(gate(tokens) * tokens, pixels.shape[-2:])


def as_tokens(pixels: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, N, C]."""
    return pixels.flatten(2).transpose(1, 2)


def as_map(tokens: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    """[B, N, C] -> [B, C, H, W], with ``size`` (H, W)."""
    pixels: Tensor = tokens.transpose(1, 2).unflatten(2, tuple(size))
    return pixels


def normalise_pixels(pixels: Tensor) -> Tensor:
    """Instance norm of [B, N, C]: mean 0 and variance 1 over N, for each image and channel."""
    normalised: Tensor = F.instance_norm(pixels.transpose(1, 2))
    return normalised.transpose(1, 2)


def init_linears(module: nn.Module) -> None:
    """Start the linear maps in a module as a Swin does: truncated normal with std 0.02, bias 0."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.trunc_normal_(part.weight, std=0.02)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
