"""What everything but the network costs: a large scene through the pipeline, beside the floor.

The stub stands in for a network. The floor is rasterio reading the same scene and writing it again,
block by block, which no program that reads and writes rasters can do without.

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

from meter import Meter
from scenes import PATTERNS, make_scene

HERE = Path(__file__).resolve().parent
GOAL_TIMES_FLOOR = 2.0
GOAL_BYTES = 2**30


def main() -> None:
    """Make the scene, measure both in processes of their own, and print them side by side."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", type=int, default=20_000, help="pixels a side")
    parser.add_argument("--height", type=int, help="rows, where they are not as many")
    parser.add_argument("--pattern", choices=PATTERNS, default="small", help="what lies in it")
    parser.add_argument("--folder", type=Path, help="where files go and stay; default: a temporary")
    parser.add_argument("--rasters", default="mask", help="mask, probability, both or none")
    parser.add_argument("--of", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.of:
        print(json.dumps(measure_pipeline(args.of, args.folder, args.rasters)))
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
        floor = told_by(HERE / "floor.py", scene, folder)
        ours = told_by(__file__, "--of", scene, "--folder", folder, "--rasters", args.rasters)
        report(shape, args.pattern, floor, ours)


def told_by(*command: str | Path) -> dict[str, Any]:
    """What a script says: measured in a process of its own, so that peaks do not mix."""
    done = subprocess.run([sys.executable, *command], check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure_pipeline(scene: Path, folder: Path, rasters: str) -> dict[str, float]:
    """The whole main job with the stub for a network."""
    from peers_rrsis_geo import StubPredictor

    from rrsis_geo import Outputs, segment_scene
    from rrsis_geo.geo.objects.vectorize import BandVectorizer

    clock = {"vectorize": 0.0}
    BandVectorizer.add_band = timed(BandVectorizer.add_band, clock, "vectorize")  # type: ignore[method-assign]
    wanted = {"both": ("mask", "probability"), "none": ()}.get(rasters, (rasters,))
    outputs = Outputs(
        folder / "result.gpkg", **{kind: folder / f"{kind}.tif" for kind in wanted}, overwrite=True
    )
    written: list[float] = []  # before the first output and after each: rasters, then the layer

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "outputs":
            written.append(time.perf_counter())

    meter = Meter()
    result = segment_scene(
        scene, "what is bright", outputs, predictor=StubPredictor(), progress=progress
    )
    return {
        **clock,
        "seconds": result.seconds,
        "network": result.network_seconds,
        "rasters": written[-2] - written[0],
        "layer": written[-1] - written[-2],
        "objects": result.n_objects,
        "windows": result.windows,
        "memory": meter.memory(),
    }


def timed(function: Callable[..., Any], clock: dict[str, float], name: str) -> Callable[..., Any]:
    """The same function, its seconds added up."""

    def call(*args: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*args, **named)
        finally:
            clock[name] += time.perf_counter() - started

    return call


def report(
    shape: tuple[int, int], pattern: str, floor: dict[str, Any], ours: dict[str, float]
) -> None:
    """Seconds and memory, beside the goals."""
    copied = floor["seconds"]["all"]
    vector = ours["vectorize"] + ours["layer"]
    raster = ours["seconds"] - ours["network"] - vector
    print(f"scene                    {shape[0]} x {shape[1]}, three bands of uint8, {pattern}")
    print(f"floor, read and write    {copied:7.1f} s")
    print(f"  reading alone          {floor['seconds']['read']:7.1f} s")
    print(f"read, blend, write       {raster:7.1f} s  ({raster / copied:.2f} x floor)")
    print(f"  of it, merged rasters  {ours['rasters']:7.1f} s")
    print(f"vectorize                {vector:7.1f} s  ({ours['objects']:.0f} objects)")
    print(f"  masks to outlines      {ours['vectorize']:7.1f} s")
    print(f"  layer                  {ours['layer']:7.1f} s")
    print(f"network's stand-in       {ours['network']:7.1f} s  ({ours['windows']:.0f} windows)")
    whole = (raster + vector) / copied
    print(f"all but the network      {raster + vector:7.1f} s  ({whole:.2f} x floor)")
    print(f"memory beyond imports    {ours['memory'] / 2**20:7.0f} MiB")
    met = raster <= GOAL_TIMES_FLOOR * copied and ours["memory"] <= GOAL_BYTES
    print(f"goal: {GOAL_TIMES_FLOOR:g} x floor, 1 GiB: {'met' if met else 'MISSED'}")


if __name__ == "__main__":
    main()
