"""A network with two pretrained encoders: an image trunk and a BERT."""

from pathlib import Path
from typing import Any

import torch

from rrsis_geo.errors import ConfigError
from rrsis_geo.nets.base import ReferringNet
from rrsis_geo.nets.bert import Bert, TextConfig
from rrsis_geo.nets.trunks.trunk import Trunk
from rrsis_geo.text.batch import TextBatch

MIN_SIDE_PX = 64
"""Smallest side of an image: 2 x 2 pixels in the last stage, the fewest that can be normalised."""


COMPACT_TRUNK = "tf_efficientnet_lite0"
COMPACT_TEXT = TextConfig(width=384, ffn_width=1536, stages=(1, 2, 1, 2))
"""Encoders of the compact presets: EfficientNet-Lite0, with frozen batch norms, and MiniLM-L6."""


class TwoEncoderNet(ReferringNet):
    """A network whose ``config`` has the settings of both encoders.

    These are ``trunk``, ``image_px``, ``drop_path``, ``freeze_batch_norm`` and ``text``.

    Attributes:
        trunk: image encoder in four stages.
        text: BERT.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.trunk = Trunk(
            config.trunk,
            image_px=config.image_px,
            drop_path=config.drop_path,
            frozen_norm=config.freeze_batch_norm,
        )
        self.text = Bert(config.text)

    def load_pretrained(
        self, *, trunk: str | Path | None = None, text: str | Path | None = None
    ) -> None:
        """Load pretrained weights into the trunk and BERT. See `ReferringNet.load_pretrained`."""
        if trunk is not None:
            self.trunk.load_pretrained(trunk)
        if text is not None:
            self.text.load_pretrained(text)

    def check_inputs(self, *, size_px: int, vocab_size: int, max_tokens: int) -> None:
        """Check sizes of images and expressions. See `ReferringNet.check_inputs`."""
        text = self.config.text
        if vocab_size > text.vocab_size:
            raise ConfigError(
                f"the vocabulary has {vocab_size} word pieces, the network {text.vocab_size}"
            )
        if max_tokens > text.max_tokens:
            raise ConfigError(
                f"max_tokens is {max_tokens}, but the network reads at most {text.max_tokens}"
            )
        if size_px < MIN_SIDE_PX:
            raise ConfigError(
                f"size_px must be at least {MIN_SIDE_PX} for this network, got {size_px}"
            )


def count_tokens(tokens: TextBatch) -> int:
    """Length of the longest expression; the columns after it are padding everywhere.

    An exported graph cannot depend on values, so it reads all columns.
    """
    if torch.compiler.is_exporting():
        return tokens.ids.shape[1]
    return int(tokens.attention.sum(1).max())
