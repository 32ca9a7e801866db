"""Measure how often objects are right by their score, and fit the calibration of scores.

    python benchmarks/reliability.py --instances ../shared/data*/instances_val.json
    python benchmarks/reliability.py --instances ... --model runs/tenth/model --save

The samples are crops of held-back real images with sentences of category, colour and contact, a
quarter of them about something absent. The objects are those of the mask, from 9 pixels on, as in
`segment`. An object is right if its IoU with an object of the target is 0.5 or more; touching
objects of the target count as one, as in a mask. Pixels that may or may not be the target
are left out. Each answer counts the same, however many objects it has.

The table of calibrated scores is cross-fitted: those of the even pictures are calibrated on the odd
ones, and the other way round. ``--save`` writes the fit to all pictures into the bundle.
"""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from markdown_table import print_header, print_row
from numpy.typing import NDArray
from scipy import ndimage
from scoring import answer_samples

from rrsis_geo.data.instances.coco import InstanceSource
from rrsis_geo.data.instances.referring import validation_samples
from rrsis_geo.data.instances.stream import REAL_SHARES, StreamConfig
from rrsis_geo.data.sample import Sample
from rrsis_geo.evaluate.answers import Answer
from rrsis_geo.evaluate.data import INSTANCES_SEED
from rrsis_geo.log_odds import sigmoid
from rrsis_geo.model.bundle import load_bundle
from rrsis_geo.model.calibration import Calibration, fit_calibration
from rrsis_geo.model.manifest import write_calibration
from rrsis_geo.model.predictor import DTYPES, Predictor
from rrsis_geo.segment.plan.options import SMALLEST_MODEL_PX

RIGHT_IOU = 0.5
PROBABILITY_BINS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
SCORE_BINS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


class Objects(NamedTuple):
    """N objects of all answers.

    Attributes:
        probability: mean probabilities, float64 [N].
        is_right: bool [N].
        weight: float64 [N], one over the number of objects of the answer.
        fold: 0 or 1, by the picture, int64 [N].
    """

    probability: NDArray[np.float64]
    is_right: NDArray[np.bool_]
    weight: NDArray[np.float64]
    fold: NDArray[np.int64]

    def fit(self, chosen: NDArray[np.bool_]) -> Calibration:
        """The calibration of some of the objects."""
        return fit_calibration(self.probability[chosen], self.is_right[chosen], self.weight[chosen])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="btdnet-lite")
    parser.add_argument("--instances", type=Path, nargs="+", required=True, help="COCO files")
    parser.add_argument("--samples", type=int, default=400, help="number of samples of each file")
    parser.add_argument("--size", type=int, default=512, help="side of the samples, pixels")
    parser.add_argument("--dtype", choices=["auto", *DTYPES], default="auto")
    parser.add_argument("--tta", action="store_true", help="predict images mirrored too")
    parser.add_argument("--save", action="store_true", help="write the calibration to the bundle")
    args = parser.parse_args()
    bundle = load_bundle(args.model)
    samples = (
        sample
        for path in args.instances
        for sample in validation_samples(
            InstanceSource(path),
            args.samples,
            INSTANCES_SEED,
            args.size,
            StreamConfig().kinds(REAL_SHARES),
        )
    )
    objects = measure_objects(Predictor(bundle, "auto", args.dtype, tta=args.tta), samples)
    folds = [objects.fit(objects.fold != fold) for fold in (0, 1)]
    scores = np.select(
        [objects.fold == fold for fold in (0, 1)],
        [folds[fold].scores(objects.probability) for fold in (0, 1)],
    )
    print_table("mean probability", objects, objects.probability, PROBABILITY_BINS)
    print_table("score", objects, scores, SCORE_BINS)
    calibration = objects.fit(np.ones(len(scores), bool))
    print(f"\nbundle: {bundle.calibration}\nfit: {calibration}")
    print(f"a score of 0.8 is a mean probability of {find_probability(calibration, 0.8):.3f}")
    if args.save:
        write_calibration(bundle.path, calibration)


def measure_objects(predictor: Predictor, samples: Iterable[Sample]) -> Objects:
    """The objects of the answers to samples."""
    parts, folds = [], dict[str, int]()
    for sample, answer in answer_samples(predictor, samples, with_rules=True):
        fold = folds.setdefault(sample.picture or sample.id, len(folds) % 2)
        found = list(judge_objects(answer_logits(answer), sample))
        parts += [(*each, 1 / len(found), fold) for each in found]
    probability, is_right, weight, fold = (np.array(column) for column in zip(*parts, strict=True))
    return Objects(probability, is_right, weight, fold)


def answer_logits(answer: Answer) -> NDArray[np.float32]:
    """Log-odds that objects are made of: in the wording of `segment`, if it is known."""
    if answer.query is not None and answer.query.is_plain and answer.phrases:
        return answer.phrases[answer.query.targets()[0]]
    return answer.network.logits


def judge_objects(logits: NDArray[np.float32], sample: Sample) -> Iterator[tuple[float, bool]]:
    """The mean probability of each object of a mask, and whether it is right."""
    mask, known = logits > 0, np.ones(logits.shape, bool)
    if sample.ignored is not None:
        known = ~sample.ignored
    truth, _ = ndimage.label(sample.mask & known)
    truth_px = np.bincount(truth.ravel())
    found, n = ndimage.label(mask)
    probability = sigmoid(logits)
    for number in range(1, n + 1):
        pixels = found == number
        inside = pixels & known
        if pixels.sum() < SMALLEST_MODEL_PX or 2 * inside.sum() < pixels.sum():
            continue
        shared = np.bincount(truth[inside], minlength=len(truth_px))[1:]
        ious = shared / (inside.sum() + truth_px[1:] - shared)
        yield float(probability[pixels].mean()), bool((ious >= RIGHT_IOU).any())


def find_probability(calibration: Calibration, score: float) -> float:
    """The mean probability that has a score."""
    odds = (np.log(score / (1 - score)) - calibration.offset) / calibration.scale
    return float(1 / (1 + np.exp(-odds)))


def print_table(
    name: str, objects: Objects, values: NDArray[np.float64], bins: tuple[float, ...]
) -> None:
    """The share of right objects by their probability or their score."""
    print()
    print_header(name, "objects", "share of all", f"mean {name}", "share right")
    at = np.clip(np.digitize(values, bins), 1, len(bins) - 1)
    total = objects.weight.sum()
    error = 0.0
    for number in range(1, len(bins)):
        inside = at == number
        weight = objects.weight[inside]
        if not len(weight):
            continue
        mean, right = (
            np.average(each[inside], weights=weight) for each in (values, objects.is_right)
        )
        error += weight.sum() / total * abs(mean - right)
        label = f"{bins[number - 1]:g} to {bins[number]:g}"
        share = weight.sum() / total
        print_row(label, inside.sum(), f"{share:.2f}", f"{mean:.2f}", f"{right:.2f}")
    print(f"\nmean distance of both: {error:.3f} (expected calibration error)")


if __name__ == "__main__":
    main()
