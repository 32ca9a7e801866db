"""The contract every network of the house keeps."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from rrsis_geo.text.batch import TextBatch


class SegOutput(NamedTuple):
    """What a network says of B images.

    Attributes:
        logits: float [B, H, W], log-odds that a pixel is the target; > 0 is target. Where the
            network judges presence, they are already gated by it (``gate_logits``).
        presence: float [B], log-odds that the target is in the image at all, or None.
        aux: what only the loss reads; empty in eval mode.
    """

    logits: Tensor
    presence: Tensor | None
    aux: dict[str, Tensor]


class ReferringNet(nn.Module, ABC):
    """A network that finds in an image what an expression names.

    ``encode_text`` is what does not depend on the image and is done once a scene; the words of a
    single expression serve a batch of any number of images. ``encode_image`` is what does not
    depend on the expression, and is done once for all expressions.
    """

    training_only: ClassVar[tuple[str, ...]] = ()
    """Prefixes of the state-dict keys that inference does not need; bundles leave them out."""
    heavy: ClassVar[tuple[str, ...]] = ()
    """Lists of the modules that take most of the time and memory; training may recompute
    their activations in the backward pass (``train/checkpointing.py``)."""

    config: Any

    @abstractmethod
    def encode_text(self, tokens: TextBatch) -> Any:
        """Everything about the expressions that no image changes."""

    def encode_image(self, image: Tensor) -> Any:
        """Everything about the images that no expression changes; nothing, if not overridden."""
        return image

    @abstractmethod
    def segment(self, image: Any, words: Any) -> SegOutput:
        """Find the expressions in images; words of B or of one.

        Images are normalised [B, 3, H, W], or what ``encode_image`` made of such.
        """

    @abstractmethod
    def loss(self, output: SegOutput, target: Tensor) -> dict[str, Tensor]:
        """Loss parts and their sum, "total", of training-mode output; bool masks [B, H, W]."""

    def forward(self, image: Tensor, tokens: TextBatch) -> SegOutput:
        """``segment(image, encode_text(tokens))``."""
        return self.segment(image, self.encode_text(tokens))


def gate_logits(logits: Tensor, presence: Tensor) -> Tensor:
    """Log-odds of "the target is here and this pixel is it", [B, H, W] and [B] -> [B, H, W].

    With p the pixel's probability given presence and q that of presence, this is logit(p q),
    written without leaving the log domain: 1/(pq) - 1 = e^-l + e^-r + e^(-l-r).
    """
    l_BHW, r_BHW = logits.float(), presence.float()[:, None, None].expand_as(logits)
    return -torch.logsumexp(torch.stack([-l_BHW, -r_BHW, -l_BHW - r_BHW]), dim=0)
