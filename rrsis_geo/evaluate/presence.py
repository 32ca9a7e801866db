"""Fit a threshold of presence to samples with and without a target: the command `fit-presence`."""

import logging
import math
import shutil
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from rrsis_geo.errors import InputError, OutputError
from rrsis_geo.evaluate.data import EvaluationData, open_data
from rrsis_geo.evaluate.options import EvaluateOptions
from rrsis_geo.evaluate.scoring import BATCH_SIZE, read_samples
from rrsis_geo.files import atomic_folder, is_empty
from rrsis_geo.log_odds import to_probability
from rrsis_geo.model import hub
from rrsis_geo.model.bundle import load_bundle
from rrsis_geo.model.manifest import write_presence
from rrsis_geo.model.names import BUNDLE_FILES, MODEL_FILE
from rrsis_geo.model.predictor import Predictor
from rrsis_geo.model.presence import measure_presence
from rrsis_geo.progress import Progress, no_progress
from rrsis_geo.scoring import batches_of_one_size

logger = logging.getLogger(__name__)

FEW = 10
"""A warning says so if there are fewer samples with, or without a target."""
LARGEST_LOG_ODDS = 30.0
"""Of a threshold, so that its probability is below 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PresenceReport:
    """A fitted threshold.

    Attributes:
        model: folder of the bundle that has it now.
        threshold: windows in which the probability of the target is below this give nothing.
        n_present: number of samples with a target.
        n_absent: number of samples without a target.
        kept: share of the samples with a target whose presence is above the threshold.
        dropped: share of the samples without a target whose presence is below it.
    """

    model: str
    threshold: float
    n_present: int
    n_absent: int
    kept: float
    dropped: float

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return asdict(self)


def fit_presence(
    data: Path,
    layout: str,
    split: str,
    options: EvaluateOptions,
    out: Path | None = None,
    *,
    progress: Progress | None = None,
) -> PresenceReport:
    """Fit the threshold of presence of a bundle to a split of a dataset, and save it.

    The threshold has the best mean of two shares: of the samples with a target that are kept, and
    of the samples without one that are dropped.

    Args:
        data: folder of the dataset.
        layout: its layout, see ``evaluate.data.open_data``.
        split: name of the split.
        options: the model and how it runs. Options about scores are not used.
        out: folder for a copy of the bundle that has the threshold. None writes it into the bundle
            itself.
        progress: called after each batch with the stage "samples".

    Raises:
        ConfigError: an option is invalid or does not fit the data.
        InputError: the dataset is damaged, lacks samples with or without a target, or the model is
            not more confident of the former.
        ModelError: the bundle is missing or damaged.
        OutputError: the bundle cannot be written.
        DeviceError: the device does not exist or has too little memory.
    """
    bundle = load_bundle(options.model)
    target = _choose_target(bundle.path, out)
    size_px = options.size_px or bundle.image.size_px
    samples = open_data(data, layout, split, size_px=size_px, limit=options.limit)
    predictor = Predictor(
        replace(bundle, presence=None), options.device, options.dtype, threads=options.threads
    )
    present, absent = _measure(predictor, samples, options, progress or no_progress)
    for n, what in ((len(present), "with"), (len(absent), "without")):
        if not n:
            raise InputError(
                f"{data}: no sample of the split {split} is {what} a target; samples with and "
                "without one are needed"
            )
        if n < FEW:
            logger.warning("only %d samples are %s a target; more make a better threshold", n, what)
    threshold = choose_threshold(present, absent)
    if threshold is None:
        raise InputError(
            f"{data}: {bundle.name} is not more confident where the target is than where it is "
            "not, so no threshold separates them"
        )
    _save(bundle.path, target, to_probability(threshold))
    return PresenceReport(
        model=str(target),
        threshold=to_probability(threshold),
        n_present=len(present),
        n_absent=len(absent),
        kept=sum(each >= threshold for each in present) / len(present),
        dropped=sum(each < threshold for each in absent) / len(absent),
    )


def choose_threshold(present: Sequence[float], absent: Sequence[float]) -> float | None:
    """The log-odds that separate samples with a target from samples without one best.

    The threshold lies in the middle between two samples. Of equally good ones, that in the widest
    gap is taken.

    Args:
        present: log-odds of the samples with a target, at least one.
        absent: log-odds of the samples without one, at least one.

    Returns:
        None if every threshold is as bad as chance.
    """
    best, chosen = (1.0, 0.0), None
    present, absent = sorted(present), sorted(absent)
    for low, high in pairwise(sorted({*present, *absent})):
        kept = 1 - bisect_left(present, high) / len(present)
        dropped = bisect_right(absent, low) / len(absent)
        if kept + dropped > 1 and (kept + dropped, high - low) > best:
            best, chosen = (kept + dropped, high - low), (low + high) / 2
    if chosen is None:
        return None
    return math.copysign(min(abs(chosen), LARGEST_LOG_ODDS), chosen)


def _measure(
    predictor: Predictor, data: EvaluationData, options: EvaluateOptions, progress: Progress
) -> tuple[list[float], list[float]]:
    """Log-odds of presence of the samples with a target, and of those without one."""
    present: list[float] = []
    absent: list[float] = []
    batch_size = options.batch_size or BATCH_SIZE.get(predictor.device.type, 4)
    samples = read_samples(data, predictor.device, batch_size, options.workers)
    for batch in batches_of_one_size(samples, batch_size):
        images = np.stack([sample.image for sample in batch])
        output = predictor.predict_pairs(images, [sample.expression for sample in batch])
        for sample, log_odds in zip(batch, measure_presence(output).tolist(), strict=True):
            (present if sample.mask.any() else absent).append(log_odds)
        progress("samples", len(present) + len(absent), len(data))
    return present, absent


def _choose_target(folder: Path, out: Path | None) -> Path:
    if out is None:
        if hub.repository_of(folder) is not None:
            raise OutputError(
                f"{folder}: is the copy of a model on the Hugging Face Hub and is not changed; "
                "choose a folder for a new model with --out"
            )
        return folder
    if out.exists() and not is_empty(out):
        raise OutputError(f"{out}: exists; choose another folder")
    return out


def _save(bundle: Path, target: Path, threshold: float) -> None:
    if target == bundle:
        write_presence(bundle, threshold)
        return
    try:
        with atomic_folder(target) as part:
            for name in BUNDLE_FILES:
                if (bundle / name).is_file():  # the card may be missing
                    shutil.copyfile(bundle / name, part / name)
            write_presence(part, threshold)
    except OSError as err:
        raise OutputError(f"{target}: the bundle cannot be written: {err}") from err
    logger.info("saved %s", target / MODEL_FILE)
