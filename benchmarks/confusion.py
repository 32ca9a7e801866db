"""What a bundle marks besides what was meant, on held-back real images.

    python benchmarks/confusion.py --instances ../shared/data/instances_val.json

The samples are those of ``validation.py``. First table, by kind of expression: the share of the
target's pixels that is marked; the share of like objects' pixels that is marked though they were
not meant, which tells whether words of place, size and colour are heeded; the mIoU of marking all
like objects exactly, which needs no such words; and the share of marked pixels that lie outside all
of them. Second table, for each category: on what else marked pixels lie, as shares of all that is
marked for it. ``--pictures FOLDER`` also draws, for each kind, some of the lesser half of the
answers, from the worst on.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.data.expressions.candidates import Candidates
from rrsis_geo.data.instances.coco import InstanceSource
from rrsis_geo.data.instances.referring import ValidationSamples, to_sample
from rrsis_geo.data.sample import LabelledImage
from rrsis_geo.evaluate.data import INSTANCES_SEED
from rrsis_geo.model.bundle import load_bundle
from rrsis_geo.model.predictor import DTYPES, Predictor
from rrsis_geo.text.vocabulary import kinds_of
from rrsis_geo.train.pictures import draw_sheet

PICTURES = 7
"""Answers on a sheet."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="btdnet-lite")
    parser.add_argument("--instances", type=Path, required=True, help="COCO file")
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--size", type=int, default=512, help="side of the samples, pixels")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="get a PNG for each kind")
    parser.add_argument("--dtype", choices=["auto", *DTYPES], default="auto")
    args = parser.parse_args()
    predictor = Predictor(load_bundle(args.model), "auto", args.dtype)
    samples = ValidationSamples(InstanceSource(args.instances), INSTANCES_SEED, args.size)
    by_kind = defaultdict(list)
    marked_on = defaultdict(lambda: defaultdict(int))
    answers = defaultdict(list)
    for index in range(args.samples):
        crop, written = samples.draw(index)
        sample = to_sample(crop, written)
        found = predictor.predict_pairs(sample.image[None], [sample.expression]).logits[0] > 0
        alike = Candidates(crop, written.category).union()
        if written.kind != "absent":
            by_kind[written.kind].append(shares(found, written.mask, alike))
        count_marked(marked_on[written.category], crop, written.category, found)
        if args.pictures:
            wrong = (found ^ written.mask).sum() / max((found | written.mask).sum(), 1)
            answers[written.kind].append((wrong, index, np.packbits(found)))
    if args.pictures:
        draw_worse(args.pictures, samples, answers)
    show_kinds(by_kind)
    show_categories(marked_on)


def shares(
    found: NDArray[np.bool_], target: NDArray[np.bool_], alike: NDArray[np.bool_]
) -> tuple[float, float, float, float, float]:
    """IoU, share of the target found, of the others alike, IoU of all alike, share elsewhere."""
    alike = alike | target
    others = alike & ~target
    return (
        (found & target).sum() / (found | target).sum(),
        (found & target).sum() / target.sum(),
        (found & others).sum() / others.sum() if others.any() else np.nan,
        target.sum() / alike.sum(),
        (found & ~alike).sum() / found.sum() if found.any() else np.nan,
    )


def count_marked(
    counts: dict[str, int], crop: LabelledImage, category: str, found: NDArray[np.bool_]
) -> None:
    """Add where the marked pixels of one expression lie, each counted once at most a category."""
    counts[""] += int(found.sum())
    wrong = found & ~Candidates(crop, category).union()
    for other in {item.category for item in crop.instances} - kinds_of(category):
        counts[other] += int((wrong & Candidates(crop, other).union()).sum())


def draw_worse(
    folder: Path,
    samples: ValidationSamples,
    answers: dict[str, list[tuple[float, int, NDArray[np.uint8]]]],
) -> None:
    """Draw a sheet for each kind: answers spread evenly over the worse half, the worst first."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, rows in answers.items():
        rows = sorted(rows, key=lambda row: -row[0])[: -(-len(rows) // 2)]
        shown = [
            rows[i] for i in np.linspace(0, len(rows) - 1, min(PICTURES, len(rows)), dtype=int)
        ]
        drawn = [to_sample(*samples.draw(index)) for _, index, _ in shown]
        masks = [
            np.unpackbits(bits, count=sample.mask.size).reshape(sample.mask.shape).astype(bool)
            for (_, _, bits), sample in zip(shown, drawn, strict=True)
        ]
        draw_sheet(drawn, masks).save(folder / f"{kind}.png")


def show_kinds(by_kind: dict[str, list[tuple[float, ...]]]) -> None:
    """Print the first table."""
    print(
        "| kind | n | mIoU | target found | like objects marked | mIoU of all alike | elsewhere |"
    )
    print("|---|---|---|---|---|---|---|")
    for kind in sorted(by_kind):
        means = np.nanmean(np.array(by_kind[kind]), 0)
        print(
            f"| {kind} | {len(by_kind[kind])} | "
            + " | ".join("" if np.isnan(m) else f"{m:.2f}" for m in means)
            + " |"
        )


def show_categories(marked_on: dict[str, dict[str, int]]) -> None:
    """Print the second table: what makes up 2 % or more of the marked pixels."""
    print("\n| said | marked besides |\n|---|---|")
    for category in sorted(marked_on):
        counts = dict(marked_on[category])
        total = counts.pop("")
        row = sorted(
            ((count / total, name) for name, count in counts.items() if count), reverse=True
        )
        parts = [f"{name} {100 * share:.0f} %" for share, name in row if share >= 0.02]
        if parts:
            print(f"| {category} | {', '.join(parts)} |")


if __name__ == "__main__":
    main()
