"""Measure `segment` with the real network against the network alone on the same windows.

    python benchmarks/segment.py                                    # CPU: minutes
    python benchmarks/segment.py --device cuda --size 20000 --dtypes bf16 fp32 --batch-sizes 8 16 32
    python benchmarks/segment.py --size 700 --repeats 1             # only to see that it runs

The scene is the sample scene, repeated in mirror images up to the requested size. "Alone" is the
network on tensors that are on its device already, with its outputs left there: an upper bound.
"Whole" is everything after loading the model: opening, reading, predicting, blending, writing the
mask and the polygons. Runs of both alternate, and the table shows medians. ``--workers`` adds runs
with several processes, including the time to start and to load the model. ``--cpu-time`` is for a
machine that other programs use: seconds are those of all threads on the CPU.
"""

import argparse
import contextlib
import itertools
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
import torch
from markdown_table import print_header, print_row
from numpy.typing import NDArray
from rasterio.windows import Window

from rrsis_geo.model.bundle import load_bundle
from rrsis_geo.model.inputs import to_input
from rrsis_geo.model.predictor import Predictor, WindowLogits
from rrsis_geo.segment.jobs.engines import RunOptions
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.results.report import SegmentReport
from rrsis_geo.segment.scene import segment_scene

SAMPLE = Path(__file__).parents[1] / "sample_data" / "scene.tif"
GOAL = 0.95
RECORD_BYTES = 2**29
"""Windows recorded for the network alone (four times as many bytes on the device). If the scene has
more windows, the network predicts these repeatedly."""


class Speed(NamedTuple):
    """Number of windows of a scene, and medians of windows per second."""

    windows: int
    alone: float
    whole: float
    busy: float | None  # share of the time in which the GPU is busy; None without a GPU


class Recorder:
    """A predictor that keeps the first windows that it predicts."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self.facts = predictor.facts
        self.batches: list[NDArray[np.uint8]] = []

    def encode(self, expression: str) -> Any:
        return self._predictor.encode(expression)

    def cut_words(self, expression: str) -> str:
        return self._predictor.cut_words(expression)

    def predict_all(self, images: NDArray[np.uint8], words: Sequence[Any]) -> list[WindowLogits]:
        if sum(batch.nbytes for batch in self.batches) < RECORD_BYTES:
            self.batches.append(images.copy())
        return self._predictor.predict_all(images, words)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="btdnet-lite")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtypes", nargs="+", default=["auto"])
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[1, 4, 8])
    parser.add_argument("--threads", type=int, help="CPU threads of the network")
    parser.add_argument("--size", type=int, default=4800, help="side of the scene, pixels")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", nargs="+", type=int, default=[], help="numbers of processes")
    parser.add_argument("--cpu-time", action="store_true", help="count CPU time, of all threads")
    parser.add_argument("--expression", default="the truck on the road")
    parser.add_argument("--second", default="all buildings", help="second expression")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        scene = Path(temporary) / "scene.tif"
        enlarge_scene(SAMPLE, scene, args.size)
        for number, dtype in enumerate(args.dtypes):
            predictor = Predictor(load_bundle(args.model), args.device, dtype, threads=args.threads)
            if number == 0:
                machine = describe_machine(predictor)
                print(f"{machine}; {args.model}, {args.size} x {args.size} px\n")
                columns = "windows", "alone, windows/s", "whole", "share", "GPU busy"
                print_header("", "batch", *columns)
            name = str(predictor.dtype).removeprefix("torch.")
            for batch_size in args.batch_sizes:
                speed = compare(predictor, scene, batch_size, args)
                print_row(name, batch_size, *speed_cells(speed))
        print_second_expression(predictor, scene, args)
        print_workers(scene, args)


def print_second_expression(predictor: Predictor, scene: Path, args: argparse.Namespace) -> None:
    """Print the cost of a second expression, with the last dtype and batch size."""
    options = SegmentOptions(batch_size=args.batch_sizes[-1])
    runs = [
        [
            run_segment(predictor, scene, expressions, options).seconds
            for expressions in ([args.expression], [args.expression, args.second])
        ]
        for _ in range(args.repeats)
    ]
    one_s, two_s = (statistics.median(seconds) for seconds in zip(*runs, strict=True))
    cost = two_s / one_s - 1
    print(f"\none expression {one_s:.2f} s, two {two_s:.2f} s")
    print(f"the second expression costs {cost:.0%} of the first")


def print_workers(scene: Path, args: argparse.Namespace) -> None:
    """Print the speed of several processes, with the last dtype and batch size."""
    options = SegmentOptions(
        model=args.model,
        device=args.device,
        dtype=args.dtypes[-1],
        batch_size=args.batch_sizes[-1],
        threads=args.threads,
    )
    for n in args.workers:
        report = run_segment(None, scene, [args.expression], options, RunOptions(workers=n))
        speed = report.windows / report.seconds
        print(f"{n} workers: {speed:.2f} windows/s, including start and loading", flush=True)


def enlarge_scene(source: Path, target: Path, size_px: int) -> None:
    """Write a square scene of mirror images of another, 512 rows at a time."""
    with rasterio.open(source) as dataset:
        pixels, profile = dataset.read(), dataset.profile
    changes = {"height": size_px, "width": size_px, "bigtiff": "if_safer", "compress": "jpeg"}
    rows, cols = (mirrored_index(size_px, side) for side in pixels.shape[1:])
    with rasterio.open(target, "w", **{**profile, **changes}) as dataset:
        for top in range(0, size_px, 512):
            strip = pixels[:, rows[top : top + 512]][:, :, cols]
            dataset.write(strip, window=Window(0, top, size_px, strip.shape[1]))


def mirrored_index(length: int, side: int) -> NDArray[np.intp]:
    """Indexes 0 to side - 1, back to 0, and so on."""
    place = np.arange(length) % (2 * side)
    return np.minimum(place, 2 * side - 1 - place)


def compare(predictor: Predictor, scene: Path, batch_size: int, args: argparse.Namespace) -> Speed:
    """Alternate runs of the network alone and of the whole."""
    expression, clock = args.expression, time.process_time if args.cpu_time else time.perf_counter
    recorder = Recorder(predictor)
    options = SegmentOptions(batch_size=batch_size)
    n_windows = run_segment(recorder, scene, [expression], options).windows  # warms up too
    words = predictor.encode(expression)
    batches = [to_input(batch, predictor.image, predictor.device) for batch in recorder.batches]
    network_speed(predictor, batches, words, 1, clock)
    alone, seconds, busy = [], [], []
    for _ in range(args.repeats):
        alone.append(network_speed(predictor, batches, words, n_windows, clock))
        with watch_gpu(predictor.device) as shares:
            started = clock()
            run_segment(predictor, scene, [expression], options)
            seconds.append(clock() - started)
        busy += shares
    return Speed(
        windows=n_windows,
        alone=statistics.median(alone),
        whole=n_windows / statistics.median(seconds),
        busy=statistics.mean(busy) if busy else None,
    )


def run_segment(
    predictor: Predictor | Recorder | None,
    scene: Path,
    expressions: Sequence[str],
    options: SegmentOptions,
    run: RunOptions | None = None,
) -> SegmentReport:
    """Segment with a mask into a temporary folder. None loads the model of the options."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        return segment_scene(
            scene,
            expressions,
            Outputs(folder / "result.gpkg", mask=folder / "mask.tif"),
            options,
            run=run,
            predictor=predictor,
        )


def network_speed(
    predictor: Predictor,
    batches: list[torch.Tensor],
    words: Any,
    n_windows: int,
    clock: Callable[[], float],
) -> float:
    """Windows per second of a clock, of the network alone on at least `n_windows` windows."""
    net, done = predictor._net, 0
    with predictor._inference():
        synchronize(predictor.device)
        started = clock()
        for batch in itertools.cycle(batches):
            net.segment(batch, words)
            done += len(batch)
            if done >= n_windows:
                break
        synchronize(predictor.device)
    return done / (clock() - started)


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextlib.contextmanager
def watch_gpu(device: torch.device) -> Iterator[list[float]]:
    """Shares of time in which the GPU is busy, from nvidia-smi.

    The list is filled on exit. It stays empty without an NVIDIA GPU.
    """
    shares: list[float] = []
    if device.type != "cuda":
        yield shares
        return
    command = ["nvidia-smi", f"--id=GPU-{torch.cuda.get_device_properties(device).uuid}"]
    command += ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop-ms=200"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watcher:
        try:
            yield shares
        finally:
            watcher.terminate()
            output, _ = watcher.communicate()
            shares += [int(word) / 100 for word in output.split() if word.isdigit()]


def speed_cells(speed: Speed) -> tuple[str, ...]:
    """Cells of the table from the number of windows on."""
    share = speed.whole / speed.alone
    note = "" if share >= GOAL else f" (goal: {GOAL:.0%})"
    busy = "none" if speed.busy is None else f"{speed.busy:.0%}"
    speeds = f"{speed.alone:.2f}", f"{speed.whole:.2f}"
    return str(speed.windows), *speeds, f"{share:.1%}{note}", busy


def describe_machine(predictor: Predictor) -> str:
    if predictor.device.type == "cuda":
        name = torch.cuda.get_device_name(predictor.device)
    else:
        name = f"{torch.get_num_threads()} CPU threads"
    return f"torch {torch.__version__}, {name}"


if __name__ == "__main__":
    main()
