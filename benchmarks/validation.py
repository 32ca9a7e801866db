"""Scores of a bundle on held-back real images and on painted scenes, by kind and by category.

    python benchmarks/validation.py --instances ../shared/data/instances_val.json

Samples, expressions too, come from fixed seeds. "mIoU" is over samples whose target is present;
"N-acc" is the share of absent targets answered with nothing, "false area" the pixels per million
that are wrongly target where it is absent. ``--reworded`` says the same samples in the rarer words
of training, and half of those whose target is absent ask for things that no label knows.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from rrsis_geo.data.expressions.rewording import reword_expression, write_foreign_expression
from rrsis_geo.data.instances.coco import InstanceSource
from rrsis_geo.data.instances.referring import validation_samples
from rrsis_geo.data.instances.stream import painted_sample
from rrsis_geo.data.sample import Sample
from rrsis_geo.evaluate.data import INSTANCES_SEED
from rrsis_geo.metrics import Scores
from rrsis_geo.model.bundle import load_bundle
from rrsis_geo.model.predictor import DTYPES, Predictor
from rrsis_geo.scoring import score_samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="btdnet-lite")
    parser.add_argument("--instances", type=Path, help="COCO file; without it only painted scenes")
    parser.add_argument("--real", type=int, default=1500, help="samples of real images")
    parser.add_argument("--painted", type=int, default=300, help="samples of painted scenes")
    parser.add_argument("--size", type=int, default=512, help="side of the samples, pixels")
    parser.add_argument("--reworded", action="store_true", help="in rarer words")
    parser.add_argument("--dtype", choices=["auto", *DTYPES], default="auto")
    parser.add_argument("--json", type=Path, help="also write the scores here")
    args = parser.parse_args()
    results = {}
    sets = validation_sets(args.instances, args.real, args.painted, args.size)
    if args.reworded:
        sets = {name: in_other_words(samples) for name, samples in sets.items()}
    for name, scores in scored(args.model, sets, args.dtype):
        results[name] = scores.to_dict()
        show(name, scores)
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n")


def scored(
    model: str, sets: Mapping[str, Sequence[Sample]], dtype: str = "auto"
) -> Iterator[tuple[str, Scores]]:
    """The scores of a bundle on each set, set by set."""
    predictor = Predictor(load_bundle(model), "auto", dtype)
    for name, samples in sets.items():
        yield name, score_samples(predictor, samples, batch_size=4)


def validation_sets(
    instances: Path | None, real: int, painted: int, size_px: int
) -> dict[str, Sequence[Sample]]:
    """So many held-back real samples (where there are instances) and painted ones."""
    sets: dict[str, Sequence[Sample]] = {}
    if instances is not None:
        sets["real"] = validation_samples(InstanceSource(instances), real, INSTANCES_SEED, size_px)
    sets["painted"] = [
        painted_sample(np.random.default_rng([INSTANCES_SEED, i]), size_px, (0.12, 0.5))
        for i in range(painted)
    ]
    return sets


def in_other_words(samples: Sequence[Sample]) -> list[Sample]:
    """The samples in rarer words, which are the same ones each time."""
    said = []
    for i, sample in enumerate(samples):
        rng = np.random.default_rng([INSTANCES_SEED, i, 2])
        other = sample.kind == "absent" and rng.random() < 0.5
        words = (
            write_foreign_expression(rng) if other else reword_expression(sample.expression, rng)
        )
        said.append(replace(sample, expression=words))
    return said


def show(name: str, scores: Scores) -> None:
    """Print a table in Markdown."""
    print(f"\n| {name} | n | mIoU | oIoU | Pr@0.5 | gIoU | N-acc | false area |")
    print("|---|---|---|---|---|---|---|---|")
    rows = [("all", scores), *scores.by_kind.items(), *scores.by_category.items()]
    for row, part in rows:
        present = part.n > part.n_absent
        values = [
            f"{part.miou_present:.3f}" if present else "",
            f"{part.oiou:.3f}" if present else "",
            f"{part.precision[0.5] * part.n / (part.n - part.n_absent):.3f}" if present else "",
            f"{part.giou:.3f}",
            f"{part.n_acc:.3f}" if part.n_absent else "",
            f"{part.false_area_ppm:.0f}" if part.n_absent else "",
        ]
        print(f"| {row} | {part.n} | " + " | ".join(values) + " |")


if __name__ == "__main__":
    main()
