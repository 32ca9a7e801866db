"""Measure everything but the network: `segment` with a stub against copying the scene.

A stub replaces the network. The baseline is rasterio, which reads the scene and writes it again
(`peers_rasterio.py`).

    python benchmarks/pipeline.py                  20,000 x 20,000 pixels: minutes, 2 GB of disk
    python benchmarks/pipeline.py --size 5000 --pattern speckle
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from resource_meter import ResourceMeter
from scenes import PATTERNS, make_scene

HERE = Path(__file__).resolve().parent
GOAL_TIMES_BASELINE = 2.0
GOAL_BYTES = 2**30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=20_000, help="columns, and rows by default")
    parser.add_argument("--height", type=int, help="rows")
    parser.add_argument("--pattern", choices=PATTERNS, default="small", help="what to generate")
    parser.add_argument("--folder", type=Path, help="keep files here (default: a temporary folder)")
    parser.add_argument("--rasters", default="mask", help="mask, probability, both or none")
    parser.add_argument("--scene", type=Path, help=argparse.SUPPRESS)  # this process measures ours
    args = parser.parse_args()
    if args.scene:
        print(json.dumps(measure_pipeline(args.scene, args.folder, args.rasters)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        shape = args.height or args.size, args.size
        scene = folder / "{}-{}x{}.tif".format(args.pattern, *shape)
        if not scene.exists():
            started = time.perf_counter()
            make_scene(scene, args.pattern, *shape)
            print(f"made {scene.name} in {time.perf_counter() - started:.0f} s", flush=True)
        baseline = run_script(HERE / "peers_rasterio.py", scene, folder)
        options = "--folder", folder, "--rasters", args.rasters
        ours = run_script(__file__, "--scene", scene, *options)
        print_report(shape, args.pattern, baseline, ours)


def run_script(*command: str | Path) -> dict[str, Any]:
    """Run a script in its own process, because peaks of memory add up, and parse its output."""
    done = subprocess.run([sys.executable, *command], check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure_pipeline(scene: Path, folder: Path, rasters: str) -> dict[str, float]:
    """Run `segment_scene` with the stub and return seconds, counts and bytes."""
    from peers_rrsis_geo import StubPredictor

    from rrsis_geo import Outputs, segment_scene
    from rrsis_geo.geo.objects.vectorize import BandVectorizer

    clock = {"vectorize": 0.0}
    BandVectorizer.add_band = timed(BandVectorizer.add_band, clock, "vectorize")  # type: ignore[method-assign]
    kinds = {"both": ("mask", "probability"), "none": ()}.get(rasters, (rasters,))
    paths = {kind: folder / f"{kind}.tif" for kind in kinds}
    outputs = Outputs(folder / "result.gpkg", **paths, overwrite=True)
    write_times: list[float] = []  # before the first output and after each: rasters, then the layer

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "outputs":
            write_times.append(time.perf_counter())

    meter = ResourceMeter()
    report = segment_scene(
        scene, "bright squares", outputs, predictor=StubPredictor(), progress=progress
    )
    return {
        **clock,
        "seconds": report.seconds,
        "network": report.network_seconds,
        "rasters": write_times[-2] - write_times[0],
        "layer": write_times[-1] - write_times[-2],
        "objects": report.n_objects,
        "windows": report.windows,
        "memory": meter.peak_bytes(),
    }


def timed(function: Callable[..., Any], clock: dict[str, float], name: str) -> Callable[..., Any]:
    """Wrap a function to add its seconds to `clock[name]`."""

    def call(*args: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*args, **named)
        finally:
            clock[name] += time.perf_counter() - started

    return call


def print_report(
    shape: tuple[int, int], pattern: str, baseline: dict[str, Any], ours: dict[str, float]
) -> None:
    """Print seconds and memory, and whether the goals are met."""
    copy_s = baseline["seconds"]["copy"]
    vector_s = ours["vectorize"] + ours["layer"]
    raster_s = ours["seconds"] - ours["network"] - vector_s
    whole = (raster_s + vector_s) / copy_s
    print(f"scene                    {shape[0]} x {shape[1]}, three bands of uint8, {pattern}")
    print(f"baseline, read and write {copy_s:7.1f} s")
    print(f"  reading alone          {baseline['seconds']['read']:7.1f} s")
    print(f"read, blend, write       {raster_s:7.1f} s  ({raster_s / copy_s:.2f} x baseline)")
    print(f"  merged rasters         {ours['rasters']:7.1f} s")
    print(f"vectorize                {vector_s:7.1f} s  ({ours['objects']:.0f} objects)")
    print(f"  masks to outlines      {ours['vectorize']:7.1f} s")
    print(f"  layer                  {ours['layer']:7.1f} s")
    print(f"stub network             {ours['network']:7.1f} s  ({ours['windows']:.0f} windows)")
    print(f"all but the network      {raster_s + vector_s:7.1f} s  ({whole:.2f} x baseline)")
    print(f"memory beyond imports    {ours['memory'] / 2**20:7.0f} MiB")
    is_met = raster_s <= GOAL_TIMES_BASELINE * copy_s and ours["memory"] <= GOAL_BYTES
    goal = f"{GOAL_TIMES_BASELINE:g} x baseline, 1 GiB"
    print(f"goal: {goal}: {'met' if is_met else 'MISSED'}")


if __name__ == "__main__":
    main()
