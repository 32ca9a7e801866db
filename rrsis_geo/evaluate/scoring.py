"""The pass of ``evaluate``: every question is put to the model, and its answer is counted."""

import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from torch.utils.data import DataLoader

from rrsis_geo.evaluate.mask_folder import MaskFolder
from rrsis_geo.evaluate.scoring_data import Question, ScoringData
from rrsis_geo.metrics import PixelCounts, count_pixels
from rrsis_geo.model.predictor import Predictor
from rrsis_geo.progress import Progress

BATCH_SIZE: Final = {"cpu": 4, "cuda": 16, "mps": 4}
"""Samples at once, by the type of the device."""
MAX_WORKERS: Final = 8


class SampleScore(NamedTuple):
    """One sample of a run.

    Attributes:
        id: names the sample.
        expression: the referring sentence.
        kind: what it speaks of, "" where unknown.
        categories: its categories, however they were told.
        absent: whether the target is absent.
        counts: at the size of the published protocol.
        native: at the mask's own size, None where that was not asked for.
        presence: probability that the target is there at all, None where the model does not tell.
        mask: name of the saved mask's file, "" where none was saved.
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

    @property
    def quality(self) -> float:
        """IoU; of an absent target 1 for an empty answer, else 0."""
        return float(self.counts.predicted == 0) if self.absent else self.counts.iou


def score_samples(
    source: ScoringData,
    predictor: Predictor,
    *,
    category_by: str = "",
    native: bool = False,
    masks: Path | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> list[SampleScore]:
    """Put every question to the model, and count the pixels of its answers.

    Args:
        source: the questions; no more than a few batches of them are in memory at a time.
        predictor: the model.
        category_by: how categories are told: "label", "text", or "" for not at all.
        native: count at the masks' own sizes too.
        masks: folder for the answers, None for none.
        batch_size: questions at once; None suits the device.
        workers: processes that read ahead; None is none on a CPU, and some beside a GPU.
        progress: told the stage, how many samples are done, and how many there are.

    Raises:
        InputError: a file is missing or damaged, or an expression has no word that is known.
        OutputError: a mask cannot be written.
        DeviceError: the device has too little memory.
    """
    scored: list[SampleScore] = []
    with MaskFolder(masks) if masks is not None else nullcontext() as folder:
        for questions in _batches(source, predictor, batch_size, workers):
            logits_BSS, presences = ask(predictor, questions)
            for question, logits_SS, presence in zip(questions, logits_BSS, presences, strict=True):
                predicted = logits_SS > 0
                whole = _at_size(logits_SS, question.mask.shape) > 0 if native else None
                saved = ""
                if folder is not None:
                    saved = folder.add(question.id, predicted if whole is None else whole)
                scored.append(
                    SampleScore(
                        id=question.id,
                        expression=question.expression,
                        kind=question.kind,
                        categories=_categories(question, source, category_by),
                        absent=not question.mask.any(),
                        counts=count_pixels(predicted, question.target),
                        native=None if whole is None else count_pixels(whole, question.mask),
                        presence=presence,
                        mask=saved,
                    )
                )
            if progress is not None:
                progress("samples", len(scored), len(source))
    return scored


def _categories(question: Question, source: ScoringData, category_by: str) -> tuple[str, ...]:
    if category_by == "text":
        return named_in(question.expression, source.category_names)
    return (question.label,) if category_by == "label" and question.label else ()


def _batches(
    source: ScoringData, predictor: Predictor, batch_size: int | None, workers: int | None
) -> Iterator[list[Question]]:
    """The questions in order, read ahead by other processes where a GPU would wait for them."""
    if workers is None:
        workers = 0 if predictor.device.type == "cpu" else min(MAX_WORKERS, os.cpu_count() or 1)
    return iter(
        DataLoader(
            source,
            batch_size=batch_size or BATCH_SIZE.get(predictor.device.type, 4),
            num_workers=workers,
            collate_fn=list,
            generator=torch.Generator(),  # leaves the caller's random numbers alone
        )
    )


def ask(
    predictor: Predictor, questions: Sequence[Question]
) -> tuple[NDArray[np.float32], list[float | None]]:
    """Logits [B, S, S], and the probability that each target is there at all."""
    found = predictor.predict_pairs(
        np.stack([question.image for question in questions]),
        [question.expression for question in questions],
    )
    if found.presence is None:
        return found.logits, [None] * len(questions)
    return found.logits, [0.5 + 0.5 * math.tanh(float(odds) / 2) for odds in found.presence]


def _at_size(logits_SS: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Logits resized bilinearly to [H, W]."""
    if logits_SS.shape == shape:
        return logits_SS
    resized: NDArray[np.float32] = functional.interpolate(
        torch.from_numpy(logits_SS)[None, None], shape, mode="bilinear", align_corners=False
    )[0, 0].numpy()
    return resized


def named_in(expression: str, names: Sequence[str]) -> tuple[str, ...]:
    """The category names that stand in an expression, as words of their own or in the plural.

    So tables by category are made of benchmarks without labels (FIANet's, for one): a sentence
    with two names counts for both, and "road marking" for "road" too.
    """
    words = expression.lower()
    return tuple(
        name for name in names if re.search(rf"\b{re.escape(name.lower())}(s|es)?\b", words)
    )
