"""Answers of a model to expressions about pictures: by the network alone, and with rules.

An expression about "the largest ship" or "the cars in the top left" is answered with rules: the
network marks its phrases ("ship"), and the rules choose among the objects of the picture. Where
rules cannot help, the answer is that of the network alone. An expression without rules is asked
in the wording of `segment`: "ships" for "all the ships".
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from rrsis_geo.errors import InputError
from rrsis_geo.evaluate.pictures import Extent, Logits, Mask, lacks_metres, resolve_mask
from rrsis_geo.model.predictor import Predictor
from rrsis_geo.scoring import Prediction, predict_batches
from rrsis_geo.text.query.parser import parse_query
from rrsis_geo.text.query.records import Query

AnsweredBy = Literal[
    "rules", "no rule", "not understood", "unknown words", "no metres", "no landmark"
]
WHY: Final[Mapping[AnsweredBy, str]] = {
    "rules": "rules over the objects of the picture",
    "no rule": "the network alone in the wording of segment: the expression has no rule",
    "not understood": "the network alone: the grammar does not understand the expression",
    "unknown words": "the network alone: the model knows no word of a phrase",
    "no metres": "the network alone: a rule needs metres, and the ground pixel is unknown",
    "no landmark": "the network alone: the landmark of a rule was not found",
}


class PictureSample(Protocol):
    """What an answer needs of a sample.

    Attributes:
        image: uint8 RGB [H, W, 3].
        expression: the referring sentence.
        extent: of the whole picture.
    """

    @property
    def image(self) -> NDArray[np.uint8]: ...

    @property
    def expression(self) -> str: ...

    @property
    def extent(self) -> Extent: ...


Picture = TypeVar("Picture", bound=PictureSample)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a model to an expression about a picture.

    Attributes:
        network: prediction of the network for the whole expression.
        extent: of the picture.
        by: what gave the answer: rules, or the network alone for one of the reasons of `WHY`.
        query: what the expression means, None if it is not understood.
        phrases: phrase -> log-odds, float32 [H, W], that the answer is made of; empty where it is
            that of the whole expression.
    """

    network: Prediction
    extent: Extent
    by: AnsweredBy = "no rule"
    query: Query | None = None
    phrases: Mapping[str, Logits] = field(default_factory=dict)

    @property
    def reading(self) -> str:
        """What the expression means, "" if it is not understood."""
        return "" if self.query is None else str(self.query)

    def network_mask(self, shape: tuple[int, ...] | None = None) -> Mask:
        """The mask of the network alone, bool [H, W], at its own or another size."""
        return _resize(self.network.logits, shape) > 0

    def mask(self, shape: tuple[int, ...] | None = None) -> Mask:
        """The mask, bool [H, W], at the size of the image or at another size."""
        if not self.phrases:
            return self.network_mask(shape)
        assert self.query is not None
        phrases = {name: _resize(logits, shape) for name, logits in self.phrases.items()}
        if self.query.is_plain:
            return phrases[self.query.targets()[0]] > 0
        return resolve_mask(self.query, phrases, self.extent)


def _resize(logits: Logits, shape: tuple[int, ...] | None) -> Logits:
    """Log-odds that are resized bilinearly."""
    if shape is None or logits.shape == shape:
        return logits
    logits_BCHW = torch.from_numpy(logits)[None, None]
    resized_BCHW = functional.interpolate(logits_BCHW, shape, mode="bilinear", align_corners=False)
    resized: Logits = resized_BCHW[0, 0].numpy()
    return resized


class _Phrase(NamedTuple):
    """A phrase about the image of a sample: an input of `predict_batches`."""

    image: NDArray[np.uint8]
    expression: str
    number: int


def answer_with_rules(
    predictor: Predictor,
    batch: Sequence[tuple[Picture, Prediction]],
    *,
    batch_size: int,
) -> list[Answer]:
    """Answers to expressions whose predictions by the network alone are known.

    Args:
        predictor: the model. It is asked for the phrases of expressions that have rules.
        batch: samples and their predictions.
        batch_size: largest number of phrases in a batch.

    Raises:
        DeviceError: see `predict_batches`.
    """
    readings = [_read(predictor, sample) for sample, _ in batch]
    wanted = [
        _Phrase(sample.image, phrase, number)
        for number, ((sample, _), (by, query)) in enumerate(zip(batch, readings, strict=True))
        for phrase in (query.phrases() if query is not None and by in ("rules", "no rule") else ())
        if phrase != sample.expression
    ]
    found: list[dict[str, Logits]] = [{} for _ in batch]
    for part in predict_batches(predictor, wanted, batch_size=batch_size):
        for phrase, prediction in part:
            found[phrase.number][phrase.expression] = prediction.logits
    return [
        _choose_answer(sample, prediction, *reading, phrases)
        for (sample, prediction), reading, phrases in zip(batch, readings, found, strict=True)
    ]


def _choose_answer(
    sample: PictureSample,
    prediction: Prediction,
    by: AnsweredBy,
    query: Query | None,
    phrases: Mapping[str, Logits],
) -> Answer:
    """The answer of rules, or that of the network where a landmark has no pixel."""
    if by == "rules" and query is not None:
        for landmark in query.landmarks():
            if not any((phrases[name] > 0).any() for name in landmark.targets()):
                return Answer(prediction, sample.extent, "no landmark", query)
    return Answer(prediction, sample.extent, by, query, phrases)


def _read(predictor: Predictor, sample: PictureSample) -> tuple[AnsweredBy, Query | None]:
    """What an expression means, and whether rules can answer it."""
    try:
        query = parse_query(sample.expression)
    except InputError:
        return "not understood", None
    if lacks_metres(query, sample.extent):
        return "no metres", query
    try:
        for phrase in query.phrases():
            predictor.cut_words(phrase)
    except InputError:
        return "unknown words", query
    return ("no rule" if query.is_plain else "rules"), query


def answer_batches(
    predictor: Predictor, samples: Iterable[Picture], *, batch_size: int, with_rules: bool
) -> Iterator[list[tuple[Picture, Answer]]]:
    """Answer samples in order, batch by batch; see `predict_batches`.

    Args:
        predictor: the model.
        samples: of any sizes.
        batch_size: largest number of samples in a batch.
        with_rules: whether rules answer where they can.
    """
    for batch in predict_batches(predictor, samples, batch_size=batch_size):
        if with_rules:
            answers = answer_with_rules(predictor, batch, batch_size=batch_size)
        else:
            answers = [Answer(prediction, sample.extent) for sample, prediction in batch]
        yield [(sample, answer) for (sample, _), answer in zip(batch, answers, strict=True)]
