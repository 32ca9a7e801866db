"""The whole of `segment` with the real network, beside the network alone on the same windows.

    python benchmarks/segment.py                                    # CPU: minutes
    python benchmarks/segment.py --device cuda --size 20000 --dtypes bf16 fp32 --batch-sizes 8 16 32
    python benchmarks/segment.py --size 700 --repeats 1             # only to see that it runs

The scene is the sample scene, laid side by side in mirror images until it is as large as wanted.
"Alone" is the network on tensors that lie on its device already, answers left there: no program
that uses it can be quicker. "Whole" is everything after loading the model: opening, reading,
predicting, blending, writing the mask and the polygons. Runs of both take turns; medians count.
``--workers`` adds runs by several processes, their start and loading included.
"""

import argparse
import contextlib
import itertools
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from rasterio.windows import Window

from rrsis_geo.images import to_input
from rrsis_geo.model.bundle import load_bundle
from rrsis_geo.model.predictor import Predictor, WindowLogits
from rrsis_geo.segment.jobs.engines import RunOptions
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.results.report import SegmentReport
from rrsis_geo.segment.scene import segment_scene

SAMPLE = Path(__file__).parents[1] / "sample_data" / "scene.tif"
GOAL = 0.95
HELD_BYTES = 2**29
"""Of windows that are kept for the network alone, four times as many on the device; where a scene
has more, these are looked at again and again."""


class Speed(NamedTuple):
    """Windows of a scene, and how many of them a second; medians."""

    windows: int
    alone: float
    whole: float
    busy: float | None  # share of the time in which the GPU worked; None without one


class Recorder:
    """A predictor that keeps the first windows it is shown."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self.facts = predictor.facts
        self.batches: list[NDArray[np.uint8]] = []

    def encode(self, expression: str) -> Any:
        return self._predictor.encode(expression)

    def cut_words(self, expression: str) -> str:
        return self._predictor.cut_words(expression)

    def predict_all(self, images: NDArray[np.uint8], words: Sequence[Any]) -> list[WindowLogits]:
        if sum(batch.nbytes for batch in self.batches) < HELD_BYTES:
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
    parser.add_argument("--threads", type=int, help="of the processor, for the network")
    parser.add_argument("--size", type=int, default=4800, help="pixels a side of the scene")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", nargs="+", type=int, default=[], help="processes")
    parser.add_argument("--expression", default="the truck on the road")
    parser.add_argument("--second", default="all buildings")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        scene = Path(temporary) / "scene.tif"
        enlarge(SAMPLE, scene, args.size)
        told = False
        for dtype in args.dtypes:
            predictor = Predictor(load_bundle(args.model), args.device, dtype, threads=args.threads)
            if not told:
                print(f"{machine(predictor)}; {args.model}, {args.size} x {args.size} px\n")
                print("| | batch | windows | alone, windows/s | whole | share | GPU busy |")
                print("|---|---|---|---|---|---|---|", flush=True)
                told = True
            name = str(predictor.dtype).removeprefix("torch.")
            for batch_size in args.batch_sizes:
                speed = compare(predictor, scene, args.expression, batch_size, args.repeats)
                print(f"| {name} | {batch_size} | {row(speed)} |", flush=True)
        tell_second(predictor, scene, args)
        tell_workers(scene, args)


def tell_second(predictor: Predictor, scene: Path, args: argparse.Namespace) -> None:
    """Print what a second expression costs, with the last dtype and batch size."""
    wanted = [args.expression], [args.expression, args.second]
    options = SegmentOptions(batch_size=args.batch_sizes[-1])
    runs = [
        [whole(predictor, scene, expressions, options) for expressions in wanted]
        for _ in range(args.repeats)
    ]
    one, two = (
        statistics.median(report.seconds for report in reports)
        for reports in zip(*runs, strict=True)
    )
    print(f"\none expression {one:.2f} s, two {two:.2f} s: the second costs {two / one - 1:.0%}")
    print("of the first; work on the image is shared")


def tell_workers(scene: Path, args: argparse.Namespace) -> None:
    """Print how fast several processes are, with the last dtype and batch size."""
    options = SegmentOptions(
        model=args.model,
        device=args.device,
        dtype=args.dtypes[-1],
        batch_size=args.batch_sizes[-1],
        threads=args.threads,
    )
    for n in args.workers:
        report = whole(None, scene, [args.expression], options, RunOptions(workers=n))
        speed = report.windows / report.seconds
        print(f"{n} workers: {speed:.2f} windows/s, start and loading included", flush=True)


def enlarge(source: Path, target: Path, size_px: int) -> None:
    """Write a square scene of mirror images of another, 512 rows at a time."""
    with rasterio.open(source) as dataset:
        pixels, profile = dataset.read(), dataset.profile
    whole = {"height": size_px, "width": size_px, "bigtiff": "if_safer", "compress": "jpeg"}
    rows, cols = (mirrored(size_px, side) for side in pixels.shape[1:])
    with rasterio.open(target, "w", **{**profile, **whole}) as dataset:
        for top in range(0, size_px, 512):
            band = pixels[:, rows[top : top + 512]][:, :, cols]
            dataset.write(band, window=Window(0, top, size_px, band.shape[1]))


def mirrored(length: int, side: int) -> NDArray[np.intp]:
    """Indexes 0 to side - 1, back to 0, and so on."""
    place = np.arange(length) % (2 * side)
    return np.minimum(place, 2 * side - 1 - place)


def compare(
    predictor: Predictor, scene: Path, expression: str, batch_size: int, repeats: int
) -> Speed:
    """The whole beside the network alone, turn by turn."""
    recorder = Recorder(predictor)
    options = SegmentOptions(batch_size=batch_size)
    n_windows = whole(recorder, scene, [expression], options).windows  # warms up too
    words = predictor.encode(expression)
    held = [to_input(batch, predictor.image, predictor.device) for batch in recorder.batches]
    alone_speed(predictor, held, words, 1)
    alone, seconds, busy = [], [], []
    for _ in range(repeats):
        alone.append(alone_speed(predictor, held, words, n_windows))
        with gpu_watched(predictor.device) as shares:
            seconds.append(whole(predictor, scene, [expression], options).seconds)
        busy += shares
    return Speed(
        windows=n_windows,
        alone=statistics.median(alone),
        whole=n_windows / statistics.median(seconds),
        busy=statistics.mean(busy) if busy else None,
    )


def whole(
    predictor: Predictor | Recorder | None,
    scene: Path,
    expressions: Sequence[str],
    options: SegmentOptions,
    run: RunOptions | None = None,
) -> SegmentReport:
    """A run with a mask, in a folder that is removed again; None has the model loaded anew."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        return segment_scene(
            scene,
            expressions,
            Outputs(folder / "found.gpkg", mask=folder / "mask.tif"),
            options,
            run=run,
            predictor=predictor,
        )


def alone_speed(
    predictor: Predictor, held: list[torch.Tensor], words: Any, n_windows: int
) -> float:
    """Windows a second of the network on so many windows, or some more."""
    net, done = predictor._net, 0
    with predictor._inference():
        synchronize(predictor.device)
        started = time.perf_counter()
        for batch in itertools.cycle(held):
            net.segment(batch, words)
            done += len(batch)
            if done >= n_windows:
                break
        synchronize(predictor.device)
    return done / (time.perf_counter() - started)


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextlib.contextmanager
def gpu_watched(device: torch.device) -> Iterator[list[float]]:
    """Shares of the time in which the GPU worked, as NVIDIA's driver tells them.

    Filled in when the context is left; empty where there is no such GPU.
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
            said, _ = watcher.communicate()
            shares += [int(word) / 100 for word in said.split() if word.isdigit()]


def row(speed: Speed) -> str:
    """Cells of the table from the number of windows on."""
    share = speed.whole / speed.alone
    met = "" if share >= GOAL else f" (goal: {GOAL:.0%})"
    busy = "none" if speed.busy is None else f"{speed.busy:.0%}"
    speeds = f"{speed.alone:.2f} | {speed.whole:.2f} | {share:.1%}{met}"
    return f"{speed.windows} | {speeds} | {busy}"


def machine(predictor: Predictor) -> str:
    if predictor.device.type == "cuda":
        name = torch.cuda.get_device_name(predictor.device)
    else:
        name = f"{torch.get_num_threads()} threads of a processor"
    return f"torch {torch.__version__}, {name}"


if __name__ == "__main__":
    main()
