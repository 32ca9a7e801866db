"""Measure everything about speed on a GPU, in one run of less than eight minutes.

    python benchmarks/gpu.py --json gpu.json
    python benchmarks/gpu.py --device cpu --sizes 700 --batches 2 --batch 2 --train-seconds 5

Prints the speed of the networks alone, of whole runs with the share of each stage, and of training.
Needs the package, its model and the sample scene, but no network and no data set. The weights of
the paper's network are fresh, and training samples are painted. Parts for which there is no time
left are left out.
"""

import argparse
import contextlib
import functools
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from segment import SAMPLE, describe_machine, enlarge_scene, watch_gpu
from throughput import best_seconds, build, measure_net, random_batch

from rrsis_geo import Outputs, SegmentOptions, load_bundle, segment_scene
from rrsis_geo.config import build as build_config
from rrsis_geo.data.instances.stream import StreamConfig
from rrsis_geo.geo.grid import rows
from rrsis_geo.geo.grid.blend import BandMosaic
from rrsis_geo.geo.grid.rasters import RasterWriter
from rrsis_geo.geo.objects.vectorize import BandVectorizer
from rrsis_geo.images import ImageSpec
from rrsis_geo.model.inputs import to_input
from rrsis_geo.model.predictor import Predictor
from rrsis_geo.segment.shards import track
from rrsis_geo.segment.shards.predict import StartedBatch
from rrsis_geo.segment.shards.window_batches import RowUploader
from rrsis_geo.train.config import TrainConfig
from rrsis_geo.train.step import autocast
from rrsis_geo.train.training import TrainProgress, train_model

STARTED = time.perf_counter()
EXPRESSION = "the truck on the road"
STAGES: list[tuple[str, Any, str]] = [
    ("read", rows._ModelRows, "read_into"),
    ("upload", RowUploader, "start"),
    ("queue network", StartedBatch, "__init__"),
    ("wait for network", StartedBatch, "results"),
    ("blend", BandMosaic, "add"),
    ("blend", BandMosaic, "finish_row"),
    ("finish rows", track, "finish_rows"),
    ("vectorize", BandVectorizer, "add_band"),
    ("write blocks", RasterWriter, "write_band"),
    ("COG", RasterWriter, "finish"),
]
"""Functions to time. They run in three threads, so their shares may sum to more than 1."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--sizes", nargs="+", type=int, default=[8000, 20000], help="of scenes")
    parser.add_argument("--batches", nargs="+", type=int, default=[16, 32, 64, 128])
    parser.add_argument("--paper-batches", nargs="+", type=int, default=[8, 16, 32])
    parser.add_argument("--batch", type=int, help="of whole runs (default: that of `segment`)")
    parser.add_argument("--train-batch", type=int, default=64)
    parser.add_argument("--train-seconds", type=float, default=60)
    parser.add_argument(
        "--workers", type=int, help="readers of training (default: all cores but 1)"
    )
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    args = parser.parse_args()
    figures: dict[str, Any] = {}
    for name, measure in (
        ("compact network", measure_compact),
        *((f"whole run, {size} px", WholeRun(size)) for size in args.sizes),
        ("paper network", measure_paper),
        ("training, network alone", measure_steps),
        ("training, painted samples", measure_training),
    ):
        seconds = time.perf_counter() - STARTED
        if seconds > 60 * args.minutes - 45:
            print(f"{name}: left out, no time", flush=True)
            continue
        figures[name] = measure(args, figures)
        print(f"{name} ({time.perf_counter() - STARTED - seconds:.0f} s):", flush=True)
        print_figures(figures[name])
        if args.json:
            args.json.write_text(json.dumps(figures, indent=2))
    print(f"all: {time.perf_counter() - STARTED:.0f} s")


def print_figures(figures: dict[str, Any]) -> None:
    for name, value in figures.items():
        print(
            f"  {name:30} {value if isinstance(value, str) else format(value, '.3g')}", flush=True
        )


def load(args: argparse.Namespace) -> Predictor:
    return Predictor(load_bundle("btdnet-lite"), args.device, args.dtype)


def measure_compact(args: argparse.Namespace, figures: dict[str, Any]) -> dict[str, Any]:
    """Windows per second of the compact network, from uint8 pixels on the device."""
    predictor = load(args)
    words = [predictor.encode(EXPRESSION)]
    size_px = predictor.image.size_px
    found: dict[str, Any] = {"machine": f"{describe_machine(predictor)}, {os.cpu_count()} CPUs"}
    found["dtype"] = str(predictor.dtype)
    for n in args.batches:
        images = torch.randint(256, (n, size_px, size_px, 3), dtype=torch.uint8)
        images = images.to(predictor.device)
        predict = functools.partial(predictor.predict_on_device, images, words)
        seconds = best_seconds(predict, 5, predictor.device)
        found[f"windows/s, batch {n}"] = n / seconds
    found["best"] = max(value for name, value in found.items() if name.startswith("windows/s"))
    return found


class WholeRun:
    """A run over a scene of a size: speed, phases and stages."""

    def __init__(self, size_px: int) -> None:
        self.size_px = size_px

    def __call__(self, args: argparse.Namespace, figures: dict[str, Any]) -> dict[str, Any]:
        predictor = load(args)
        options = SegmentOptions(batch_size=args.batch)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            small, scene = folder / "small.tif", folder / "scene.tif"
            enlarge_scene(SAMPLE, small, min(1600, self.size_px))
            enlarge_scene(SAMPLE, scene, self.size_px)
            outputs = Outputs(folder / "small.gpkg", mask=folder / "small-mask.tif")
            segment_scene(small, EXPRESSION, outputs, options, predictor=predictor)  # warms up
            outputs = Outputs(folder / "o.gpkg", mask=folder / "m.tif")
            phases: dict[str, float] = {}
            begun = time.perf_counter()

            def note(stage: str, done: int, total: int) -> None:
                phases[stage] = time.perf_counter() - begun

            with watch_gpu(predictor.device) as busy, time_stages() as stages:
                begun = time.perf_counter()
                report = segment_scene(
                    scene, EXPRESSION, outputs, options, predictor=predictor, progress=note
                )
                seconds = time.perf_counter() - begun
        alone = figures.get("compact network", {}).get("best", float("nan"))
        return {
            "windows/s": report.windows / seconds,
            "share of network alone": report.windows / seconds / alone,
            "Mpx/s": self.size_px**2 / seconds / 1e6,
            "GPU busy": float(np.mean(busy)) if busy else "not measured",
            "seconds": seconds,
            **{f"until end of {name}": value for name, value in phases.items()},
            **{f"share of {name}": value / seconds for name, value in sorted(stages.items())},
        }


@contextlib.contextmanager
def time_stages() -> Iterator[dict[str, float]]:
    """Seconds in each stage, of the block, in whatever thread it runs."""
    seconds: dict[str, float] = defaultdict(float)
    before = [getattr(place, name) for _, place, name in STAGES]

    def timed(function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            started = time.perf_counter()
            try:
                found = function(*args, **named)
            finally:
                seconds[stage] += time.perf_counter() - started
            return timed(found, "wait for rows") if stage == "finish rows" else found

        return call

    for (stage, place, name), function in zip(STAGES, before, strict=True):
        setattr(place, name, timed(function, stage))
    try:
        yield seconds
    finally:
        for (_, place, name), function in zip(STAGES, before, strict=True):
            setattr(place, name, function)


def measure_paper(args: argparse.Namespace, figures: dict[str, Any]) -> dict[str, Any]:
    """Images per second of the paper's network at 512 px, without training."""
    predictor = load(args)
    device, dtype = predictor.device, predictor.dtype
    net = build("btdnet", 512).eval().to(device).to(memory_format=torch.channels_last)
    found = {}
    for n in args.paper_batches:
        batch = random_batch(n, 512)
        images, tokens = to_input(batch.images, ImageSpec(), device), batch.tokens.to(device)
        with torch.inference_mode(), autocast(device, dtype):
            seconds = best_seconds(functools.partial(net, images, tokens), 3, device)
        found[f"images/s, batch {n}"] = n / seconds
    return found


def measure_steps(args: argparse.Namespace, figures: dict[str, Any]) -> dict[str, Any]:
    """Samples per second of training steps of the compact network, samples on the device."""
    predictor = load(args)
    costs = measure_net(
        "btdnet-lite", 512, args.train_batch, predictor.device, predictor.dtype, repeats=3
    )
    cost = costs["training"]
    return {"samples/s": args.train_batch / cost.seconds, "memory": cost.memory}


def measure_training(args: argparse.Namespace, figures: dict[str, Any]) -> dict[str, Any]:
    """Samples per second of `train_model` with painted samples, after the first tenth."""
    bundle = load_bundle("btdnet-lite")
    cpus = os.cpu_count() or 1
    workers = max(1, cpus - 1) if args.workers is None else args.workers
    config = build_config(
        TrainConfig,
        {
            "name": "speed",
            "init": {"bundle": str(bundle.path)},
            "data": {"size_px": 512, "expressions_per_scene": 5, "val_samples": 1},
            "steps": 10**6,
            "minutes": args.train_seconds / 60,
            "batch_size": args.train_batch,
            "workers": workers,
            "device": args.device,
            "checkpoint_minutes": 60,
            "tensorboard": False,
        },
    )
    assert isinstance(config.data, StreamConfig)
    steps: list[tuple[float, int]] = []

    def note(report: TrainProgress) -> None:
        steps.append((time.perf_counter(), report.step))

    with tempfile.TemporaryDirectory() as name:
        train_model(config, Path(name) / "run", progress=note)
    late = [step for step in steps if step[0] > steps[0][0] + args.train_seconds / 10] or steps
    (first_s, first), (last_s, last) = late[0], steps[-1]
    has_speed = last > first
    speed = (last - first) * args.train_batch / (last_s - first_s) if has_speed else "too few steps"
    return {"samples/s": speed, "workers": workers, "steps": last}


if __name__ == "__main__":
    sys.exit(main())
