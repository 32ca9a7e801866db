"""Score the same objects under several wordings: "the car", "cars", "all cars".

    python benchmarks/wording.py --instances ../shared/data/instances_val.json

The target of every wording is all objects of a category in a held-back crop. "mIoU" is the mean
over crops, once for crops with one object and once for crops with several. "N-acc" is the share of
crops without the category that have an empty mask, and "false area" the number of pixels per
million that are marked in them. "Same" is the mean IoU with the answers to "the car".
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from markdown_table import format_score, print_header, print_row
from numpy.typing import NDArray

from rrsis_geo.data.expressions.kinds import ALL_KINDS
from rrsis_geo.data.expressions.wording import correct_articles
from rrsis_geo.data.expressions.writer import absent_categories
from rrsis_geo.data.instances.coco import InstanceSource
from rrsis_geo.data.instances.referring import CropSettings, ReferringInstances
from rrsis_geo.model.bundle import load_bundle
from rrsis_geo.model.predictor import Predictor
from rrsis_geo.text.vocabulary import noun_of

SEED: Final = 20_000_011
SIZE_PX: Final = 512
WORDINGS: Final = ("the {one}", "{one}", "a {one}", "the {many}", "{many}", "all {many}")


class Crop(NamedTuple):
    """A crop, the category that is asked for, and the mask and number of its objects."""

    image: NDArray[np.uint8]
    category: str
    mask: NDArray[np.bool_]
    n: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--instances", type=Path, required=True, help="COCO file")
    parser.add_argument("--model", default="btdnet-lite")
    parser.add_argument("--crops", type=int, default=300)
    args = parser.parse_args()
    predictor = Predictor(load_bundle(args.model), "auto")
    scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for crop in draw_crops(InstanceSource(args.instances), args.crops):
        masks = predict_wordings(predictor, crop)
        for wording, mask in masks.items():
            add_scores(scores[wording], crop, mask, masks[WORDINGS[0]])
    columns = ("mIoU, one", "mIoU, several", "N-acc", "false area", "same")
    print_header(args.model, *columns)
    for wording, values in scores.items():
        means = [float(np.mean(values[name])) if values[name] else None for name in columns]
        row = [
            format_score(mean, 0 if name == "false area" else 3)
            for name, mean in zip(columns, means, strict=True)
        ]
        print_row(wording.format(one="car", many="cars"), *row)


def draw_crops(source: InstanceSource, n: int) -> Iterator[Crop]:
    """N crops with a category and, of each, one question for a category that it does not have."""
    kinds = ALL_KINDS._replace(shares={"category": 1.0})
    referring = ReferringInstances(
        source, SIZE_PX, kinds=kinds, crops=CropSettings(scale_range=(0.7, 1.5), augment=False)
    )
    for index in range(n):
        rng = np.random.default_rng([SEED, index])
        crop, written = referring.draw(rng)
        items = [item for item in crop.instances if item.category == written.category]
        if noun_of(written.category).is_counted and items:
            yield Crop(crop.image, written.category, written.mask, len(items))
        absent = [name for name in absent_categories(crop) if noun_of(name).is_counted]
        if absent:
            name = absent[int(rng.integers(len(absent)))]
            yield Crop(crop.image, name, np.zeros((SIZE_PX, SIZE_PX), bool), 0)


def predict_wordings(predictor: Predictor, crop: Crop) -> dict[str, NDArray[np.bool_]]:
    """The mask of each wording."""
    noun = noun_of(crop.category)
    texts = [
        correct_articles(wording.format(one=noun.singular[0], many=noun.plural[0]))
        for wording in WORDINGS
    ]
    words = [predictor.encode(text) for text in texts]
    found = predictor.predict_all(crop.image[None], words)
    return {wording: result.logits[0] > 0 for wording, result in zip(WORDINGS, found, strict=True)}


def add_scores(
    values: dict[str, list[float]],
    crop: Crop,
    mask: NDArray[np.bool_],
    first: NDArray[np.bool_],
) -> None:
    """Add the scores of one mask."""
    if crop.n:
        values["mIoU, one" if crop.n == 1 else "mIoU, several"].append(iou(mask, crop.mask))
        values["same"].append(iou(mask, first))
    else:
        values["N-acc"].append(float(not mask.any()))
        values["false area"].append(float(mask.mean()) * 1e6)


def iou(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Intersection over union; 1 for two empty masks."""
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 1.0


if __name__ == "__main__":
    main()
