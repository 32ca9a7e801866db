"""The interface of every referring segmentation network."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from rrsis_geo.errors import ConfigError
from rrsis_geo.text.batch import TextBatch


class SegOutput(NamedTuple):
    """Output of a network for B images.

    Attributes:
        logits: float [B, H, W], log-odds that a pixel is the target; > 0 is target. A network with
            a presence head has already gated them (``gate_logits``).
        presence: float [B], log-odds that the target is in the image, or None.
        aux: tensors that only the loss reads; empty in eval mode.
    """

    logits: Tensor
    presence: Tensor | None
    aux: dict[str, Tensor]


class ReferringNet(nn.Module, ABC):
    """A network that segments what an expression refers to in an image.

    ``encode_text`` does the work that does not depend on the image. It runs once per scene, and the
    words of one expression can be used with any number of images. ``encode_image`` does the work
    that does not depend on the expression. It runs once for all expressions.
    """

    name: ClassVar[str]
    """Name of the network in bundles and configuration files."""
    config_class: ClassVar[type[Any]]
    """Frozen dataclass of the network's settings."""
    presets: ClassVar[Mapping[str, Any]] = {}
    """Name of a preset -> its settings, an instance of ``config_class``."""
    removed_settings: ClassVar[Mapping[str, str]] = {}
    """Setting of an earlier version -> what to do where it is used. ``False`` means unused."""
    training_only: tuple[str, ...] = ()
    """Prefixes of the state-dict keys that inference does not need. Bundles leave them out."""
    checkpoint_layers: ClassVar[tuple[str, ...]] = ()
    """Names of the module lists whose layers take most of the memory. Training may recompute their
    activations in the backward pass (``train/recomputation.py``)."""

    config: Any

    def __init__(self, config: Any) -> None:
        """Build the network with fresh weights from an instance of ``config_class``.

        It must be possible on the device "meta" too, where tensors have shapes only.
        """
        super().__init__()
        self.config = config

    @property
    def estimates_presence(self) -> bool:
        """Whether the output has ``presence``: the setting of this name."""
        return bool(getattr(self.config, "presence", False))

    def load_pretrained(
        self, *, trunk: str | Path | None = None, text: str | Path | None = None
    ) -> None:
        """Load pretrained weights into the encoders, in place.

        Args:
            trunk: "timm" downloads the weights of the image encoder; or a local file of them. None
                keeps the current ones.
            text: name of a BERT on the Hugging Face Hub, or a local folder of one. None keeps the
                current ones.

        Raises:
            ConfigError: the network has no such encoder.
            ModelError: the weights cannot be read or do not fit the encoder.
        """
        if trunk is not None or text is not None:
            raise ConfigError(f'the network "{self.name}" has no pretrained encoders')

    def check_inputs(self, *, size_px: int, vocab_size: int, max_tokens: int) -> None:
        """Check that the network can read images of this side and expressions of this tokenizer.

        Raises:
            ConfigError: it cannot. The default accepts all.
        """

    @abstractmethod
    def encode_text(self, tokens: TextBatch) -> Any:
        """Encode expressions as far as possible without an image."""

    def encode_image(self, image: Tensor) -> Any:
        """Encode images as far as possible without an expression.

        The default returns the images unchanged.
        """
        return image

    @abstractmethod
    def segment(self, image: Any, words: Any) -> SegOutput:
        """Segment B images.

        Args:
            image: normalised [B, 3, H, W], or the result of ``encode_image``.
            words: result of ``encode_text`` for B expressions, or for one that all images share.
        """

    @abstractmethod
    def loss(
        self, output: SegOutput, target: Tensor, ignored: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Terms of the loss and their sum, "total", for training-mode output.

        Args:
            output: from ``segment`` in training mode.
            target: bool [B, H, W].
            ignored: bool [B, H, W], pixels without a known truth; they change no term. None
                ignores no pixel.
        """

    def forward(self, image: Tensor, tokens: TextBatch) -> SegOutput:
        """``segment(image, encode_text(tokens))``."""
        return self.segment(image, self.encode_text(tokens))


def gate_logits(logits: Tensor, presence: Tensor) -> Tensor:
    """Log-odds of "the target is present and this pixel is part of it".

    [B, H, W] and [B] -> [B, H, W]. With p the probability of the pixel given presence and q that of
    presence, the result is logit(p q). It is computed from log-odds alone:
    1/(pq) - 1 = e^-l + e^-r + e^(-l-r).
    """
    l_BHW, r_BHW = logits.float(), presence.float()[:, None, None].expand_as(logits)
    return -torch.logsumexp(torch.stack([-l_BHW, -r_BHW, -l_BHW - r_BHW]), dim=0)
