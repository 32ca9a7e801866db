"""Score a bundle on held-back real images and on painted scenes, by kind and by category.

    python benchmarks/validation.py --instances ../shared/data*/instances_val.json

Each file has a table of crops at their ground pixel, and one of whole images squashed to squares.
Fixed seeds determine the samples and their expressions. "mIoU" is the mean over samples whose
target is present. "N-acc" is the share of absent targets with an empty mask. "False area" is the
number of pixels per million that are wrongly marked where the target is absent. ``--reworded``
replaces the words of the expressions by rarer ones used in training; half of the absent targets
then are things that no label knows. Bundles whose language is "resolved" have a second table, of
the answers with rules over the objects of each picture; the first is that of the network alone.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from markdown_table import format_score, print_header, print_row
from scoring import SampleCounts, score_sets, validation_sets

from rrsis_geo.data.expressions.rewording import reword_expression, write_foreign_expression
from rrsis_geo.data.sample import Sample
from rrsis_geo.evaluate.data import INSTANCES_SEED
from rrsis_geo.metrics import Scores
from rrsis_geo.model.predictor import DTYPES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="btdnet-lite")
    parser.add_argument("--instances", type=Path, nargs="+", default=[], help="COCO files")
    parser.add_argument("--real", type=int, default=1500, help="number of crops of each file")
    parser.add_argument("--whole", type=int, default=300, help="number of whole images of each")
    parser.add_argument("--painted", type=int, default=300, help="number of painted samples")
    parser.add_argument("--size", type=int, default=512, help="side of the samples, pixels")
    parser.add_argument("--reworded", action="store_true", help="use rarer words")
    parser.add_argument("--language", choices=["network", "resolved"], help="of the bundle")
    parser.add_argument("--tta", action="store_true", help="predict images mirrored too")
    parser.add_argument("--dtype", choices=["auto", *DTYPES], default="auto")
    parser.add_argument("--json", type=Path, help="also write the scores to this file")
    args = parser.parse_args()
    results = {}
    counts = SampleCounts(args.real, args.whole, args.painted)
    sets = validation_sets(args.instances, counts, args.size)
    if args.reworded:
        sets = {name: reword(samples) for name, samples in sets.items()}
    for name, scores in score_sets(args.model, sets, args.dtype, args.language, tta=args.tta):
        results[name] = scores.network.to_dict()
        print_scores(name, scores.network)
        if scores.rules is not None:
            results[f"{name}, with rules"] = scores.rules.to_dict()
            print_scores(f"{name}, with rules", scores.rules)
            answers = scores.answered_by.items()
            print(f"answered by: {', '.join(f'{by} {count}' for by, count in answers)}")
        if len(scores.by_source) > 1:
            print_sources(name, scores.by_source)
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n")


def reword(samples: Sequence[Sample]) -> list[Sample]:
    """The samples with rarer words in their expressions. Deterministic."""
    results = []
    for i, sample in enumerate(samples):
        rng = np.random.default_rng([INSTANCES_SEED, i, 2])
        if sample.kind == "absent" and rng.random() < 0.5:
            expression = write_foreign_expression(rng)
        else:
            expression = reword_expression(sample.expression, rng)
        results.append(replace(sample, expression=expression))
    return results


def print_sources(name: str, by_source: Mapping[str, Scores]) -> None:
    """A row for each category of each source, of the answers with rules if there are any."""
    print()
    print_header(f"{name}: source", "category", "n", "mIoU", "Pr@0.5", "N-acc", "false area")
    for source, scores in by_source.items():
        for category, part in [("all", scores), *scores.by_category.items()]:
            n_present = part.n - part.n_absent
            print_row(
                source,
                category,
                part.n,
                format_score(part.miou_present),
                f"{part.precision[0.5] * part.n / n_present:.3f}" if n_present else "",
                format_score(part.n_acc),
                format_score(part.false_area_ppm, 0),
            )


def print_scores(name: str, scores: Scores) -> None:
    print()
    print_header(name, "n", "mIoU", "oIoU", "Pr@0.5", "gIoU", "N-acc", "false area")
    rows = [("all", scores), *scores.by_kind.items(), *scores.by_category.items()]
    for label, part in rows:
        n_present = part.n - part.n_absent
        print_row(
            label,
            part.n,
            format_score(part.miou_present),
            f"{part.oiou:.3f}" if n_present else "",
            f"{part.precision[0.5] * part.n / n_present:.3f}" if n_present else "",
            format_score(part.giou),
            format_score(part.n_acc),
            format_score(part.false_area_ppm, 0),
        )


if __name__ == "__main__":
    main()
