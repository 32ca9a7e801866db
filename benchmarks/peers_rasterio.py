"""The baseline: rasterio reads the scene and writes it again, block by block.

Every program that reads and writes rasters needs at least this time. Most of it is compression of
three bands. The phase "read" reads only, "copy" reads and writes.
"""

from pathlib import Path
from typing import Any

import rasterio
from resource_meter import ResourceMeter, run_program

CACHE_MB = 128


def work(scene: str, folder: Path, meter: ResourceMeter) -> dict[str, Any]:
    copy = folder / "copy.tif"
    for phase in ("read", "copy"):
        with (
            rasterio.Env(GDAL_CACHEMAX=CACHE_MB * 2**20),
            rasterio.open(scene) as source,
            rasterio.open(copy, "w", **source.profile) as target,
        ):
            for _, window in source.block_windows(1):
                pixels = source.read(window=window)
                if phase == "copy":
                    target.write(pixels, window=window)
        copy.unlink()
        meter.end_phase(phase)
    return {"mask": None}


if __name__ == "__main__":
    run_program(work, "rasterio")
