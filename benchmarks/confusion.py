"""Show what a bundle marks besides the target, on held-back real images.

    python benchmarks/confusion.py --instances ../shared/data/instances_val.json

The samples are those of ``validation.py``. Bundles whose language is "resolved" answer with rules
over the objects of each picture. The first table has a row for each kind of expression:

- the share of the target's pixels that is marked;
- the share of the pixels of other objects of the same category that is marked, which shows whether
  words of place, size and colour are used;
- the mIoU of marking the whole category exactly, which needs no such words;
- the share of marked pixels outside the category.

The second table shows for each category which other categories are marked. ``--pictures FOLDER``
draws a sheet for each kind with answers from the worse half, worst first.
"""

import argparse
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from markdown_table import print_header, print_row
from numpy.typing import NDArray
from scoring import answer_samples

from rrsis_geo.data.expressions.candidates import Candidates
from rrsis_geo.data.instances.coco import InstanceSource
from rrsis_geo.data.instances.referring import ValidationSamples, to_sample
from rrsis_geo.data.sample import LabelledImage
from rrsis_geo.evaluate.data import INSTANCES_SEED
from rrsis_geo.model.bundle import load_bundle
from rrsis_geo.model.predictor import DTYPES, Predictor
from rrsis_geo.text.vocabulary import kinds_of
from rrsis_geo.train.pictures import draw_sheet

ANSWERS_PER_SHEET = 7
SMALLEST_SHARE = 0.02
"""Categories that cover less of the marked pixels are not shown."""


class Shares(NamedTuple):
    """The first table's numbers for one sample; NaN where a share is undefined."""

    iou: float
    target_marked: float
    others_marked: float
    iou_of_category: float
    elsewhere: float


class Answer(NamedTuple):
    """A predicted mask, packed to bits, and the share of its pixels that is wrong."""

    error: float
    index: int
    bits: NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="btdnet-lite")
    parser.add_argument("--instances", type=Path, required=True, help="COCO file")
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--size", type=int, default=512, help="side of the samples, pixels")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="write a PNG for each kind")
    parser.add_argument("--language", choices=["network", "resolved"], help="of the bundle")
    parser.add_argument("--dtype", choices=["auto", *DTYPES], default="auto")
    args = parser.parse_args()
    bundle = load_bundle(args.model)
    predictor = Predictor(bundle, "auto", args.dtype)
    with_rules = (args.language or bundle.language) == "resolved"
    samples = ValidationSamples(InstanceSource(args.instances), INSTANCES_SEED, args.size)
    by_kind = defaultdict(list)
    marked_px = defaultdict(lambda: defaultdict(int))
    answers = defaultdict(list)
    for index in range(args.samples):
        crop, written = samples.draw(index)
        sample = to_sample(crop, written)
        ((_, answer),) = answer_samples(predictor, [sample], with_rules=with_rules)
        mask = answer.mask()
        if sample.ignored is not None:
            mask = mask & ~sample.ignored
        category = Candidates(crop, written.category).union()
        if written.kind != "absent":
            by_kind[written.kind].append(measure_shares(mask, written.mask, category))
        count_marked(marked_px[written.category], crop, written.category, mask)
        if args.pictures:
            error = (mask ^ written.mask).sum() / max((mask | written.mask).sum(), 1)
            answers[written.kind].append(Answer(error, index, np.packbits(mask)))
    if args.pictures:
        draw_worst(args.pictures, samples, answers)
    print_kinds(by_kind)
    print_categories(marked_px)


def measure_shares(
    mask: NDArray[np.bool_], target: NDArray[np.bool_], category: NDArray[np.bool_]
) -> Shares:
    category = category | target
    others = category & ~target
    return Shares(
        iou=(mask & target).sum() / (mask | target).sum(),
        target_marked=(mask & target).sum() / target.sum(),
        others_marked=(mask & others).sum() / others.sum() if others.any() else np.nan,
        iou_of_category=target.sum() / category.sum(),
        elsewhere=(mask & ~category).sum() / mask.sum() if mask.any() else np.nan,
    )


def count_marked(
    counts: dict[str, int], crop: LabelledImage, category: str, mask: NDArray[np.bool_]
) -> None:
    """Add the marked pixels on each other category to `counts`, and all marked pixels to ""."""
    counts[""] += int(mask.sum())
    wrong = mask & ~Candidates(crop, category).union()
    for other in {item.category for item in crop.instances} - kinds_of(category):
        counts[other] += int((wrong & Candidates(crop, other).union()).sum())


def draw_worst(folder: Path, samples: ValidationSamples, answers: dict[str, list[Answer]]) -> None:
    """Draw a sheet for each kind: answers spread evenly over the worse half, worst first."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, rows in answers.items():
        worst = sorted(rows, key=lambda row: -row.error)[: -(-len(rows) // 2)]
        n = min(ANSWERS_PER_SHEET, len(worst))
        chosen = [worst[i] for i in np.linspace(0, len(worst) - 1, n, dtype=int)]
        shown = [to_sample(*samples.draw(row.index)) for row in chosen]
        masks = [
            np.unpackbits(row.bits, count=sample.mask.size).reshape(sample.mask.shape).astype(bool)
            for row, sample in zip(chosen, shown, strict=True)
        ]
        draw_sheet(shown, masks).save(folder / f"{kind}.png")


def print_kinds(by_kind: dict[str, list[Shares]]) -> None:
    print_header(
        "kind",
        "n",
        "mIoU",
        "target marked",
        "others of the category marked",
        "mIoU of the whole category",
        "marked elsewhere",
    )
    for kind in sorted(by_kind):
        means = np.nanmean(np.array(by_kind[kind]), 0)
        cells = ["" if np.isnan(mean) else f"{mean:.2f}" for mean in means]
        print_row(kind, len(by_kind[kind]), *cells)


def print_categories(marked_px: dict[str, dict[str, int]]) -> None:
    print()
    print_header("expression asks for", "also marked (share of all marked pixels)")
    for category in sorted(marked_px):
        counts = dict(marked_px[category])
        total = counts.pop("")
        shares = sorted(((n / total, name) for name, n in counts.items() if n), reverse=True)
        cells = [f"{name} {share:.0%}" for share, name in shares if share >= SMALLEST_SHARE]
        if cells:
            print_row(category, ", ".join(cells))


if __name__ == "__main__":
    main()
