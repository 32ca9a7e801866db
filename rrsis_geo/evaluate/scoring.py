"""Predict every sample of an evaluation and count the pixels of each mask."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from torch.utils.data import DataLoader

from rrsis_geo.evaluate.data import EvaluationData, EvaluationSample
from rrsis_geo.evaluate.mask_folder import open_mask_folder
from rrsis_geo.evaluate.options import EvaluateOptions
from rrsis_geo.metrics import PixelCounts, count_pixels
from rrsis_geo.model.predictor import Predictor
from rrsis_geo.progress import Progress, no_progress
from rrsis_geo.scoring import Prediction, predict_batches

BATCH_SIZE: Final = {"cpu": 4, "cuda": 16, "mps": 4}
"""Default number of samples per batch, by type of device."""
MAX_WORKERS: Final = 8


class SampleScore(NamedTuple):
    """Result for one sample.

    Attributes:
        id: name of the sample.
        expression: the referring sentence.
        kind: kind of the expression, "" if unknown.
        categories: its categories, from the label or from the text.
        absent: whether the target is absent.
        counts: pixels at the size of the evaluation.
        native: pixels at the original size of the mask, None if not requested.
        presence: probability that the target is in the image, None if the model has no presence
            head.
        mask: file name of the saved mask, "" if not saved.
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
        """IoU. For an absent target: 1 if the predicted mask is empty, else 0."""
        return float(self.counts.predicted == 0) if self.absent else self.counts.iou


def score_data(
    data: EvaluationData,
    predictor: Predictor,
    options: EvaluateOptions,
    *,
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
        category_by: source of the categories: "label", "text", or "" for none.
        masks: existing folder for the predicted masks, None to save none.
        progress: called after each batch with the stage "samples".

    Raises:
        InputError: a file is missing or damaged, or the model knows no word of an expression.
        OutputError: a mask cannot be written.
        DeviceError: the device has too little memory.
    """
    batch_size = options.batch_size or BATCH_SIZE.get(predictor.device.type, 4)
    samples = _read_samples(data, predictor.device, batch_size, options.workers)
    scores: list[SampleScore] = []
    with open_mask_folder(masks) if masks is not None else nullcontext() as folder:
        for batch in predict_batches(predictor, samples, batch_size=batch_size):
            for sample, prediction in batch:
                mask = _resize_mask(prediction, sample) if options.native else prediction.mask
                file_name = "" if folder is None else folder.write(sample.id, mask)
                scores.append(
                    SampleScore(
                        id=sample.id,
                        expression=sample.expression,
                        kind=sample.kind,
                        categories=_find_categories(sample, data, category_by),
                        absent=not sample.mask.any(),
                        counts=count_pixels(prediction.mask, sample.target),
                        native=count_pixels(mask, sample.mask) if options.native else None,
                        presence=prediction.presence,
                        mask=file_name,
                    )
                )
            progress("samples", len(scores), len(data))
    return scores


def _find_categories(
    sample: EvaluationSample, data: EvaluationData, category_by: str
) -> tuple[str, ...]:
    if category_by == "text":
        return find_names(sample.expression, data.info.category_names)
    return (sample.label,) if category_by == "label" and sample.label else ()


def _read_samples(
    data: EvaluationData, device: torch.device, batch_size: int, workers: int | None
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


def _resize_mask(prediction: Prediction, sample: EvaluationSample) -> NDArray[np.bool_]:
    """The mask from logits that are resized bilinearly to the original size of the target."""
    if prediction.logits.shape == sample.mask.shape:
        return prediction.mask
    logits_BCHW = torch.from_numpy(prediction.logits)[None, None]
    resized_BCHW = functional.interpolate(
        logits_BCHW, sample.mask.shape, mode="bilinear", align_corners=False
    )
    mask: NDArray[np.bool_] = resized_BCHW[0, 0].numpy() > 0
    return mask


def find_names(expression: str, names: Sequence[str]) -> tuple[str, ...]:
    """The category names in an expression, as whole words, singular or plural.

    Papers make tables by category this way for benchmarks without labels (FIANet, for example). An
    expression with two names counts for both, and "road marking" counts for "road" too.
    """
    lower = expression.lower()
    return tuple(
        name for name in names if re.search(rf"\b{re.escape(name.lower())}(s|es)?\b", lower)
    )
