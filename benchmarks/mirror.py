"""Mirror test: the answer about a mirrored image should be the mirrored answer.

    python benchmarks/mirror.py --instances ../shared/data/instances_val.json

Left and right are swapped in the words too: "the car to the left of the bus" in a crop is compared
with "the car to the right of the bus" in the mirrored crop. The crops are of held-back images, and
sentences about two things are asked where a crop has objects of two categories. The table shows the
mean IoU of the two answers, by the network alone and with rules, as `evaluate` answers for a bundle
whose language is "resolved". A pair counts as 1 if both answers are empty; "both empty" is their
share, and the second IoU leaves them out.
"""

import argparse
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from markdown_table import format_score, print_header, print_row
from numpy.typing import NDArray

from rrsis_geo.data.instances.coco import InstanceSource
from rrsis_geo.data.instances.referring import ValidationSamples
from rrsis_geo.data.sample import LabelledImage
from rrsis_geo.evaluate.answers import Answer, answer_batches
from rrsis_geo.evaluate.pictures import Extent
from rrsis_geo.model.bundle import load_bundle
from rrsis_geo.model.predictor import Predictor
from rrsis_geo.text.vocabulary import kinds_of, noun_of

SEED = 50_000_017
SENTENCES = {
    "plain": "the {target}",
    "to the left of": "the {target} to the left of the {other}",
    "next to": "the {target} next to the {other}",
    "right next to": "the {target} right next to the {other}",
}
DRAWS_PER_IMAGE = 4
SIDES = {"to the left": "to the right", "to the right": "to the left"}

Mask = NDArray[np.bool_]


class Crop(NamedTuple):
    """An image and the names of two unrelated things in it; the other is "" if there is none."""

    image: NDArray[np.uint8]
    target: str
    other: str


class Picture(NamedTuple):
    """An image with an expression about it."""

    image: NDArray[np.uint8]
    expression: str
    extent: Extent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="btdnet-lite")
    parser.add_argument("--instances", type=Path, required=True, help="COCO file")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--size", type=int, default=512, help="side of the crops, pixels")
    args = parser.parse_args()
    predictor = Predictor(load_bundle(args.model))
    ways = {"network alone": Answer.network_mask, "with rules": Answer.mask}
    ious: dict[tuple[str, str], list[float]] = {(n, way): [] for n in SENTENCES for way in ways}
    for crop in draw_crops(args.instances, args.images, args.size):
        for name, (first, second) in answer_pairs(predictor, crop).items():
            for way, mask in ways.items():
                ious[name, way].append(iou(mask(first), mask(second)[:, ::-1]))
    columns = ("IoU", "both empty", "IoU of others")
    print_header("sentence", "pairs", *(f"{way}: {column}" for way in ways for column in columns))
    for name in SENTENCES:
        cells = [cell for way in ways for cell in summarise(np.array(ious[name, way]))]
        print_row(name, len(ious[name, "with rules"]), *map(format_score, cells))


def draw_crops(instances: Path, n: int, size_px: int) -> list[Crop]:
    """Crops of different held-back images, those with two things first. Deterministic."""
    samples = ValidationSamples(InstanceSource(instances), SEED, size_px)
    crops: dict[str, Crop] = {}
    for index in range(DRAWS_PER_IMAGE * n):
        labelled_image, written = samples.draw(index)
        known = crops.get(labelled_image.id)
        if not written.mask.any() or (known is not None and known.other):
            continue
        other = find_other(labelled_image, written.category)
        if known is None or other:
            target = noun_of(written.category).singular[0]
            crops[labelled_image.id] = Crop(labelled_image.image, target, other)
    return sorted(crops.values(), key=lambda crop: not crop.other)[:n]


def find_other(labelled_image: LabelledImage, category: str) -> str:
    """Name of the unrelated category with the largest area in the image, "" if there is none."""
    areas: dict[str, int] = {}
    for item in labelled_image.instances:
        if not kinds_of(item.category) & kinds_of(category):
            areas[item.category] = areas.get(item.category, 0) + int(item.mask.sum())
    return noun_of(max(areas, key=areas.__getitem__)).singular[0] if areas else ""


def answer_pairs(predictor: Predictor, crop: Crop) -> dict[str, tuple[Answer, Answer]]:
    """For each sentence, its answer, and that of the mirrored sentence in the mirrored image."""
    extent = Extent.of(crop.image.shape, None)
    mirrored = np.ascontiguousarray(crop.image[:, ::-1])
    sentences = {
        name: sentence.format(target=crop.target, other=crop.other)
        for name, sentence in SENTENCES.items()
        if crop.other or "{other}" not in sentence
    }
    pictures = []
    for expression in sentences.values():
        pictures.append(Picture(crop.image, expression, extent))
        pictures.append(Picture(mirrored, mirror_words(expression), extent))
    batches = answer_batches(predictor, pictures, batch_size=4, with_rules=True)
    answers = [answer for batch in batches for _, answer in batch]
    return dict(zip(sentences, zip(answers[::2], answers[1::2], strict=True), strict=True))


def mirror_words(expression: str) -> str:
    return re.sub("|".join(SIDES), lambda found: SIDES[found[0]], expression)


def iou(first: Mask, second: Mask) -> float:
    """Intersection over union; NaN if both masks are empty."""
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else np.nan


def summarise(ious: NDArray[np.float64]) -> tuple[float, float, float | None]:
    """Mean IoU with pairs of empty answers as 1, the share of these, and the mean of the others."""
    empty = np.isnan(ious)
    others = None if empty.all() else float(ious[~empty].mean())
    return float(np.where(empty, 1, ious).mean()), float(empty.mean()), others


if __name__ == "__main__":
    main()
