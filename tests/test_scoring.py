"""Predictions and scores of a model on samples of any sizes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rrsis_geo.data.sample import Sample
from rrsis_geo.images import ImageSpec
from rrsis_geo.model.bundle import Bundle
from rrsis_geo.model.predictor import Predictor
from rrsis_geo.nets.base import ReferringNet, SegOutput
from rrsis_geo.scoring import predict_batches, score_samples
from rrsis_geo.text.batch import TextBatch
from rrsis_geo.text.tokenizer import Tokenizer

TOKENIZER = Tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red"], max_tokens=4)
SPEC = ImageSpec(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


class RedNet(ReferringNet):
    """The logits are proportional to the red channel; presence is certain."""

    def __init__(self, *, presence: bool = False) -> None:
        super().__init__(None)
        self.weight = nn.Parameter(torch.tensor(2.0))
        self.presence = presence

    def encode_text(self, tokens: TextBatch) -> None:
        return None

    def segment(self, image: Tensor, words: None) -> SegOutput:
        presence = torch.zeros(len(image)) if self.presence else None
        return SegOutput(self.weight * image[:, 0], presence, {})

    def loss(
        self, output: SegOutput, target: Tensor, ignored: Tensor | None = None
    ) -> dict[str, Tensor]:
        raise NotImplementedError


def predictor_of(net: ReferringNet) -> Predictor:
    return Predictor(Bundle("red", Path("red"), net, TOKENIZER, SPEC, {}, ""), "cpu", "fp32")


def sample(value: int, size: int) -> Sample:
    """The upper half is red, the left half is the target."""
    image = np.zeros((size, size, 3), np.uint8)
    image[: size // 2, :, 0] = value
    mask = np.zeros((size, size), bool)
    mask[:, : size // 2] = True
    return Sample(image, "red", mask, kind="colour", category="car")


def test_scores_do_not_depend_on_the_batches() -> None:
    predictor = predictor_of(RedNet())
    samples = [sample(255, size) for size in (32, 32, 64, 32)] + [sample(0, 32)]
    alone, together = (score_samples(predictor, samples, batch_size=size) for size in (1, 8))
    assert alone == together
    assert alone.n == 5
    # intersection 1/4 of the image and union 3/4, four times; then an empty mask
    assert alone.miou == pytest.approx(4 / 3 / 5)
    assert set(alone.by_kind) == {"colour"}


def test_a_batch_holds_consecutive_samples_of_one_size() -> None:
    predictor = predictor_of(RedNet())
    samples = [sample(255, size) for size in (32, 32, 32, 64, 32)]
    batches = list(predict_batches(predictor, samples, batch_size=2))
    assert [len(batch) for batch in batches] == [2, 1, 1, 1]
    assert [own for batch in batches for own, _ in batch] == samples
    for own, prediction in (pair for batch in batches for pair in batch):
        half = own.image.shape[0] // 2
        assert prediction.mask.shape == own.mask.shape
        assert prediction.mask[:half].all()
        assert not prediction.mask[half:].any()
        assert prediction.presence is None


def test_presence_is_a_probability() -> None:
    predictor = predictor_of(RedNet(presence=True))
    ((pair,),) = predict_batches(predictor, [sample(255, 32)], batch_size=4)
    assert pair[1].presence == 0.5
