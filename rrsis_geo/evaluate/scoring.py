"""Predict every sample of an evaluation and count the pixels of each mask."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

import torch
from torch.utils.data import DataLoader

from rrsis_geo.evaluate.answers import Answer, AnsweredBy, answer_batches
from rrsis_geo.evaluate.data import EvaluationData, EvaluationSample
from rrsis_geo.evaluate.mask_folder import open_mask_folder
from rrsis_geo.evaluate.options import EvaluateOptions
from rrsis_geo.metrics import PixelCounts, count_pixels
from rrsis_geo.model.predictor import Predictor
from rrsis_geo.progress import Progress, no_progress

BATCH_SIZE: Final = {"cpu": 4, "cuda": 16, "mps": 4}
"""Default number of samples per batch, by type of device."""
MAX_WORKERS: Final = 8


class RuleScore(NamedTuple):
    """Result of the answer with rules for one sample.

    Attributes:
        by: what gave the answer, see `rrsis_geo.evaluate.answers.WHY`.
        reading: what the expression means, "" if it is not understood.
        counts: pixels at the size of the evaluation.
        native: pixels at the original size of the mask, None if not requested.
    """

    by: AnsweredBy
    reading: str
    counts: PixelCounts
    native: PixelCounts | None


class SampleScore(NamedTuple):
    """Result for one sample.

    Attributes:
        id: name of the sample.
        expression: the referring sentence.
        kind: kind of the expression, "" if unknown.
        categories: its categories, from the label or from the text.
        absent: whether the target is absent.
        counts: pixels at the size of the evaluation, by the network alone.
        native: pixels at the original size of the mask, None if not requested.
        presence: probability that the target is in the image, None if the model has neither a
            presence output nor a threshold.
        mask: file name of the saved mask, "" if not saved.
        rules: of the answer with rules, None if not requested.
        picture: name of the picture, see ``EvaluationSample``.
    """

    id: str
    expression: str
    kind: str
    categories: tuple[str, ...]
    absent: bool
    counts: PixelCounts
    native: PixelCounts | None
    presence: float | None
    mask: str = ""
    rules: RuleScore | None = None
    picture: str = ""

    @property
    def answer(self) -> PixelCounts:
        """Pixels of the answer: with rules, if these were requested."""
        return self.counts if self.rules is None else self.rules.counts

    @property
    def quality(self) -> float:
        """IoU of the answer. For an absent target: 1 if its mask is empty, else 0."""
        return float(self.answer.predicted == 0) if self.absent else self.answer.iou


def score_data(
    data: EvaluationData,
    predictor: Predictor,
    options: EvaluateOptions,
    *,
    with_rules: bool = False,
    category_by: str = "",
    masks: Path | None = None,
    progress: Progress = no_progress,
) -> list[SampleScore]:
    """Predict every sample and count the pixels of its mask.

    Only a few batches of samples are in memory at a time.

    Args:
        data: the samples.
        predictor: the model.
        options: ``native``, ``batch_size`` and ``workers`` are used.
        with_rules: also answer with rules. The masks in the folder are of these answers then.
        category_by: source of the categories: "label", "text", or "" for none.
        masks: existing folder for the predicted masks, None to save none.
        progress: called after each batch with the stage "samples".

    Raises:
        InputError: a file is missing or damaged, or the model knows no word of an expression.
        OutputError: a mask cannot be written.
        DeviceError: the device has too little memory.
    """
    batch_size = options.batch_size or BATCH_SIZE.get(predictor.device.type, 4)
    samples = read_samples(data, predictor.device, batch_size, options.workers)
    scores: list[SampleScore] = []
    with open_mask_folder(masks) if masks is not None else nullcontext() as folder:
        batches = answer_batches(predictor, samples, batch_size=batch_size, with_rules=with_rules)
        for batch in batches:
            for sample, answer in batch:
                score = _score_sample(sample, answer, native=options.native, with_rules=with_rules)
                score = score._replace(categories=_find_categories(sample, data, category_by))
                if folder is not None:
                    mask = answer.mask(sample.mask.shape if options.native else None)
                    score = score._replace(mask=folder.write(sample.id, mask))
                scores.append(score)
            progress("samples", len(scores), len(data))
    return scores


def _score_sample(
    sample: EvaluationSample, answer: Answer, *, native: bool, with_rules: bool
) -> SampleScore:
    """The scores of an answer, without categories and the name of a file."""
    ignored, native_ignored = sample.ignored
    score = SampleScore(
        id=sample.id,
        expression=sample.expression,
        kind=sample.kind,
        categories=(),
        absent=not sample.mask.any(),
        counts=count_pixels(answer.network_mask(), sample.target, ignored),
        native=(
            count_pixels(answer.network_mask(sample.mask.shape), sample.mask, native_ignored)
            if native
            else None
        ),
        presence=answer.network.presence,
        picture=sample.picture,
    )
    if not with_rules:
        return score
    rules = RuleScore(answer.by, answer.reading, score.counts, score.native)
    if answer.phrases:
        rules = rules._replace(
            counts=count_pixels(answer.mask(), sample.target, ignored),
            native=(
                count_pixels(answer.mask(sample.mask.shape), sample.mask, native_ignored)
                if native
                else None
            ),
        )
    return score._replace(rules=rules)


def _find_categories(
    sample: EvaluationSample, data: EvaluationData, category_by: str
) -> tuple[str, ...]:
    if category_by == "text":
        return find_names(sample.expression, data.info.category_names)
    return (sample.label,) if category_by == "label" and sample.label else ()


def read_samples(
    data: EvaluationData, device: torch.device, batch_size: int, workers: int | None = None
) -> Iterator[EvaluationSample]:
    """The samples in order, read ahead by other processes if a GPU would wait for them."""
    if workers is None:
        workers = 0 if device.type == "cpu" else min(MAX_WORKERS, os.cpu_count() or 1)
    loader = DataLoader(
        data,
        batch_size=batch_size,
        num_workers=workers,
        collate_fn=list,
        generator=torch.Generator(),  # leaves the global generator unchanged
    )
    return chain.from_iterable(loader)


def find_names(expression: str, names: Sequence[str]) -> tuple[str, ...]:
    """The category names in an expression, as whole words, singular or plural.

    Papers make tables by category this way for benchmarks without labels (FIANet, for example). An
    expression with two names counts for both, and "road marking" counts for "road" too.
    """
    lower = expression.lower()
    return tuple(
        name for name in names if re.search(rf"\b{re.escape(name.lower())}(s|es)?\b", lower)
    )
