"""What everything but the network costs: a large scene through the pipeline, beside the floor.

A network's place is taken by a threshold. The floor is rasterio reading the same scene and writing
it again, block by block, which no program that reads and writes rasters can do without.

    python benchmarks/pipeline.py                  20,000 x 20,000 pixels: minutes, 3 GB of disk
    python benchmarks/pipeline.py --size 5000
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window

BLOCK_PX = 512
PERIOD_PX = 64
"""One object in a square of this side, on average: 98,000 in the full scene."""
CACHE_MB = 256
GOAL_TIMES_FLOOR = 2.0
GOAL_BYTES = 2**30


class Output(NamedTuple):
    logits: NDArray[np.float32]
    presence: None = None


class Threshold:
    """Stands in for a network: bright pixels are the target."""

    def __init__(self) -> None:
        from rrsis_geo.images import ImageSpec

        self.image = ImageSpec(size_px=512)

    def encode(self, expression: str) -> str:
        return expression

    def logits(self, images: NDArray[np.uint8], words: Any) -> Output:
        logits = images[..., 0].astype(np.float32)
        logits -= 180
        return Output(logits)


def main() -> None:
    """Make the scene, measure both in processes of their own, and print them side by side."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", type=int, default=20_000, help="pixels a side")
    parser.add_argument("--height", type=int, help="rows, where they are not as many")
    parser.add_argument("--folder", type=Path, help="where files go and stay; default: a temporary")
    parser.add_argument("--rasters", default="mask", help="mask, probability, both or none")
    parser.add_argument("--part", choices=("floor", "pipeline"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        measure = measure_floor if args.part == "floor" else measure_pipeline
        print(json.dumps(measure(args.folder, args.rasters)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        shape = args.height or args.size, args.size
        scene = folder / "scene-{}x{}.tif".format(*shape)
        if not scene.exists():
            started = time.perf_counter()
            make_scene(scene, *shape)
            print(f"made {scene.name} in {time.perf_counter() - started:.0f} s", flush=True)
        scene.replace(folder / "scene.tif")
        try:
            floor, ours = (run_part(part, folder, args.rasters) for part in ("floor", "pipeline"))
        finally:
            (folder / "scene.tif").replace(scene)
        report(shape, floor, ours)


def run_part(part: str, folder: Path, rasters: str) -> dict[str, float]:
    """Measure in a process of its own, so that peaks of memory do not mix."""
    command = [sys.executable, __file__, "--part", part, "--folder", folder, "--rasters", rasters]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def make_scene(path: Path, height: int, width: int) -> None:
    """Noise, and bright discs in it; written band of rows by band of rows."""
    rng = np.random.default_rng(7)
    step = 0.3
    with (
        rasterio.Env(GDAL_CACHEMAX=CACHE_MB),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            width=width,
            height=height,
            count=3,
            dtype="uint8",
            crs="EPSG:32632",
            transform=Affine(step, 0, 5e5, 0, -step, 5.2e6),
            photometric="rgb",
            **PROFILE,
        ) as dataset,
    ):
        for top in range(0, height, BLOCK_PX):
            rows = np.arange(top, min(top + BLOCK_PX, height))
            disc = _discs(rows, width)
            ground = rng.integers(60, 92, (len(rows), width), dtype=np.uint8)
            red = np.where(disc, np.uint8(220), ground)
            window = Window(0, top, width, len(rows))
            dataset.write(np.stack([red, ground, ground // 2]), window=window)


PROFILE: dict[str, Any] = {
    "tiled": True,
    "blockxsize": BLOCK_PX,
    "blockysize": BLOCK_PX,
    "compress": "deflate",
    "interleave": "pixel",
    "bigtiff": "if_safer",
}


def _discs(rows: NDArray[np.int64], width: int) -> NDArray[np.bool_]:
    """Discs of 5 to 15 pixels, at places that differ from cell to cell; bool [n, width]."""
    row, col = rows[:, None], np.arange(width)[None, :]
    i, j = row // PERIOD_PX, col // PERIOD_PX
    mixed = (i * 7919 + j * 104729) % 1009
    y = i * PERIOD_PX + 16 + mixed % 32
    x = j * PERIOD_PX + 16 + mixed * 31 % 32
    radius = 5 + mixed % 11
    inside: NDArray[np.bool_] = (row - y) ** 2 + (col - x) ** 2 < radius**2
    return inside


def measure_floor(folder: Path, _: str) -> dict[str, float]:
    """Read every block; read every block and write it again."""
    seconds = []
    for writes in (False, True):
        started = time.perf_counter()
        with (
            rasterio.Env(GDAL_CACHEMAX=CACHE_MB),
            rasterio.open(folder / "scene.tif") as source,
            rasterio.open(folder / "copy.tif", "w", **{**source.profile, **PROFILE}) as target,
        ):
            for _, window in source.block_windows(1):
                pixels = source.read(window=window)
                if writes:
                    target.write(pixels, window=window)
        seconds.append(time.perf_counter() - started)
        (folder / "copy.tif").unlink()
    return {"read": seconds[0], "seconds": seconds[1]}


def measure_pipeline(folder: Path, rasters: str) -> dict[str, float]:
    """The whole main job with a threshold for a network."""
    from rrsis_geo import Outputs, segment_scene
    from rrsis_geo.geo.vectorize import BandVectorizer
    from rrsis_geo.pipeline.merge import Merger

    clock: dict[str, float] = {"vectorize": 0.0, "layer": 0.0, "rasters": 0.0}
    BandVectorizer.add_band = timed(BandVectorizer.add_band, clock, "vectorize")  # type: ignore[method-assign]
    Merger.write_layer = timed(Merger.write_layer, clock, "layer")  # type: ignore[method-assign]
    Merger.write_raster = timed(Merger.write_raster, clock, "rasters")  # type: ignore[method-assign]
    wanted = {"both": ("mask", "probability"), "none": ()}.get(rasters, (rasters,))
    outputs = Outputs(
        folder / "result.gpkg", **{kind: folder / f"{kind}.tif" for kind in wanted}, overwrite=True
    )
    before = _status_bytes("VmRSS")
    result = segment_scene(folder / "scene.tif", "bright discs", outputs, predictor=Threshold())
    peak = _status_bytes("VmHWM")
    return {
        "seconds": result.seconds,
        "network": result.network_seconds,
        **clock,
        "objects": result.n_objects,
        "windows": result.windows,
        "memory": peak - before,
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


def _status_bytes(name: str) -> int:
    """What Linux says of this process; getrusage would begin with the peak of the parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


def report(shape: tuple[int, int], floor: dict[str, float], ours: dict[str, float]) -> None:
    """Seconds and memory, beside the goals."""
    vector = ours["vectorize"] + ours["layer"]
    raster = ours["seconds"] - ours["network"] - vector
    print(f"scene                    {shape[0]} x {shape[1]}, three bands of uint8, DEFLATE")
    print(f"floor, read and write    {floor['seconds']:7.1f} s")
    print(f"  of it, reading         {floor['read']:7.1f} s")
    print(f"read, blend, write       {raster:7.1f} s  ({raster / floor['seconds']:.2f} x floor)")
    print(f"  of it, merged rasters  {ours['rasters']:7.1f} s")
    print(f"vectorize                {vector:7.1f} s  ({ours['objects']:.0f} objects)")
    print(f"  masks to outlines      {ours['vectorize']:7.1f} s")
    print(f"  layer                  {ours['layer']:7.1f} s")
    print(f"network's stand-in       {ours['network']:7.1f} s  ({ours['windows']:.0f} windows)")
    whole = (raster + vector) / floor["seconds"]
    print(f"all but the network      {raster + vector:7.1f} s  ({whole:.2f} x floor)")
    print(f"memory beyond imports    {ours['memory'] / 2**20:7.0f} MiB")
    met = raster <= GOAL_TIMES_FLOOR * floor["seconds"] and ours["memory"] <= GOAL_BYTES
    print(f"goal: {GOAL_TIMES_FLOOR:g} x floor, 1 GiB: {'met' if met else 'MISSED'}")


if __name__ == "__main__":
    main()
