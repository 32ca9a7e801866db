"""The floor: rasterio reads a scene and writes it again, block by block.

No program that reads rasters and writes them can do without; most of it is compressing three bands.
"""

from pathlib import Path
from typing import Any

import rasterio
from meter import Meter, main

CACHE_MB = 256


def work(scene: str, folder: Path, meter: Meter) -> dict[str, Any]:
    copy = folder / "copy.tif"
    for part in ("read", "all"):
        with (
            rasterio.Env(GDAL_CACHEMAX=CACHE_MB),
            rasterio.open(scene) as source,
            rasterio.open(copy, "w", **source.profile) as target,
        ):
            for _, window in source.block_windows(1):
                pixels = source.read(window=window)
                if part == "all":
                    target.write(pixels, window=window)
        copy.unlink()
        meter.lap(part)
    return {"mask": None}


if __name__ == "__main__":
    main(work, "rasterio")
