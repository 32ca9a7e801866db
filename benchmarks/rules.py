"""Measure what rules over a scene cost: `segment` with a stub, with and without a rule.

A stub replaces the network, so the share of the rules is the largest that a run can have. A rule is
compared with a plain run of the same phrases, because a landmark costs what a second expression
costs. Seconds are those of the CPU, of all threads.

    python benchmarks/rules.py                  20,000 x 20,000 pixels: many minutes, 2 GB of disk
    python benchmarks/rules.py --size 4000
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from markdown_table import print_header, print_row
from numpy.typing import NDArray
from peers_rrsis_geo import StubOutput, StubPredictor
from pipeline import run_script
from resource_meter import ResourceMeter
from scenes import make_scene

from rrsis_geo import Outputs, segment_scene

GOAL_SHARE = 0.05
PLAIN = ("buildings",)
WITH_LANDMARK = ("buildings", "tanks")


class Rule(NamedTuple):
    """An expression with rules, and the plain expressions of the same phrases."""

    expression: str
    plain: tuple[str, ...]


RULES = (
    Rule("the ten largest buildings", PLAIN),
    Rule("the northernmost building", PLAIN),
    Rule("isolated buildings", PLAIN),
    Rule("buildings longer than 6 m", PLAIN),
    Rule("buildings within 50 m of the tanks", WITH_LANDMARK),
    Rule("buildings north of the tanks", WITH_LANDMARK),
    Rule("buildings between the tanks", WITH_LANDMARK),
    Rule("buildings on tanks that are larger than 1 m2", WITH_LANDMARK),
)


class TankPredictor(StubPredictor):
    """The stub, which finds only the brightest squares for "tanks"."""

    @torch.inference_mode()
    def predict_all(self, images: NDArray[np.uint8], words: Any) -> list[StubOutput]:
        (found, *_) = super().predict_all(images, [""])
        return [StubOutput(found.logits - (2.0 if "tank" in each else 0.0)) for each in words]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=20_000, help="rows and columns")
    parser.add_argument("--folder", type=Path, help="keep files here (default: a temporary folder)")
    parser.add_argument("--only", help="measure only the rules whose expression contains this")
    parser.add_argument("--expressions", help=argparse.SUPPRESS)  # this process measures a run
    args = parser.parse_args()
    if args.expressions:
        print(json.dumps(measure(args.folder, args.size, json.loads(args.expressions))))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not scene_path(folder, args.size).exists():
            make_scene(scene_path(folder, args.size), "small", args.size, args.size)
        compare(folder, args.size, args.only or "")


def compare(folder: Path, size: int, only: str) -> None:
    """Print a table of all rules."""
    plain: dict[tuple[str, ...], dict[str, float]] = {}
    print_header("expression", "objects", "CPU s", "of plain", "memory, MiB", "plain", "load")
    for rule in RULES:
        if only not in rule.expression:
            continue
        for expressions in (rule.plain, (rule.expression,)):
            if expressions not in plain:
                texts = json.dumps(expressions)
                options = "--folder", folder, "--size", str(size), "--expressions", texts
                plain[expressions] = run_script(__file__, *options)
        without, cost = plain[rule.plain], plain[rule.expression,]
        share = cost["cpu"] / without["cpu"]
        memory = [round(each["memory"] / 2**20) for each in (cost, without)]
        print_row(
            *(rule.expression, f"{cost['objects']} of {without['objects']}"),
            *(f"{cost['cpu']:.1f}", f"{share:.3f}"),
            *(*memory, f"{os.getloadavg()[0]:.0f}"),
        )
    goal = f"at most {1 + GOAL_SHARE:g} of plain"
    print(f"goal: {goal}")


def scene_path(folder: Path, size: int) -> Path:
    return folder / f"small-{size}x{size}.tif"


def measure(folder: Path, size: int, expressions: list[str]) -> dict[str, Any]:
    """Run `segment_scene` with the stub and return CPU seconds, bytes and the number of objects."""
    meter = ResourceMeter()
    started = time.process_time()
    report = segment_scene(
        scene_path(folder, size),
        expressions,
        Outputs(folder / "result.gpkg", overwrite=True),
        predictor=TankPredictor(),
    )
    return {
        "cpu": time.process_time() - started,
        "memory": meter.peak_bytes(),
        "objects": report.results[0].n_objects,
    }


if __name__ == "__main__":
    main()
