"""A very small referring network for tests of bundles and predictors."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple
from unittest import mock

import torch
from torch import Tensor, nn

from rrsis_geo.errors import ConfigError
from rrsis_geo.images import ImageSpec
from rrsis_geo.model.bundle import Bundle
from rrsis_geo.nets import NETS, ReferringNet, SegOutput
from rrsis_geo.nets.base import gate_logits
from rrsis_geo.text.batch import TextBatch
from rrsis_geo.text.tokenizer import Tokenizer

PIECES = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "truck", "on", "road", "all", "building", "##s"),
    *(f"[unused{index}]" for index in range(589)),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyConfig:
    """Settings of TinyNet."""

    vocab_size: int = len(PIECES)
    width: int = 128
    kernels: tuple[int, ...] = (3,)
    presence: bool = True


class TinyWords(NamedTuple):
    """One vector per expression, [b, D]."""

    sentence: Tensor


class TinyNet(ReferringNet):
    """Dot product of a convolution of the image with the mean of the words."""

    name: ClassVar[str] = "tiny"
    config_class: ClassVar[type[TinyConfig]] = TinyConfig
    training_only: tuple[str, ...] = ("reconstruct.",)

    def __init__(self, config: TinyConfig) -> None:
        super().__init__(config)
        self.embed = nn.Embedding(config.vocab_size, config.width)
        kernel = config.kernels[0]
        self.conv = nn.Conv2d(3, config.width, kernel, stride=4, padding=kernel // 2)
        self.norm = nn.BatchNorm2d(config.width)
        self.reconstruct = nn.Linear(config.width, config.width)

    def check_inputs(self, *, size_px: int, vocab_size: int, max_tokens: int) -> None:
        if vocab_size > self.config.vocab_size:
            raise ConfigError(f"the vocabulary has {vocab_size} word pieces")

    def encode_text(self, tokens: TextBatch) -> TinyWords:
        words_BLD = self.embed(tokens.ids) * tokens.attention[..., None]
        return TinyWords(words_BLD.sum(1) / tokens.attention.sum(1, keepdim=True))

    def segment(self, image: Tensor, words: TinyWords) -> SegOutput:
        pixels = self.norm(self.conv(image))
        words_BD = words.sentence.expand(image.shape[0], -1)
        small = torch.einsum("bchw,bc->bhw", pixels, words_BD.to(pixels.dtype))
        logits = nn.functional.interpolate(small[:, None], image.shape[-2:], mode="bilinear")[:, 0]
        if not self.config.presence:
            return SegOutput(logits, None, {})
        presence = small.mean((1, 2))
        return SegOutput(gate_logits(logits, presence), presence, {})

    def loss(
        self, output: SegOutput, target: Tensor, ignored: Tensor | None = None
    ) -> dict[str, Tensor]:
        raise NotImplementedError


@contextmanager
def register() -> Iterator[None]:
    """Register the network "tiny" for the length of the block."""
    with mock.patch.dict(NETS, {TinyNet.name: TinyNet}):
        yield


def make_net(seed: int = 0, **settings: Any) -> TinyNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = TinyNet(TinyConfig(**settings))
        net.norm.running_mean.normal_()  # type: ignore[union-attr]
        net.norm.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr]
    return net.eval()


def make_bundle(
    path: Path = Path("tiny"),
    net: ReferringNet | None = None,
    about: Mapping[str, Any] = MappingProxyType({}),
) -> Bundle:
    """A bundle that is not saved, of a new TinyNet by default."""
    net = make_net() if net is None else net
    return Bundle(path.name, path, net, make_tokenizer(), make_spec(), about, "0" * 64)


def make_tokenizer() -> Tokenizer:
    return Tokenizer(PIECES, max_tokens=10)


def make_spec() -> ImageSpec:
    return ImageSpec(size_px=64, gsd_m=0.3, gsd_range_m=(0.15, 0.6))
