"""Measure how large GDAL's block cache should be: read scenes of several layouts as a run does.

The stretch is measured and all rows are read in strips of one row of windows, without a network.
Each measurement runs in its own process, because peaks of memory add up.

    python benchmarks/cache.py                     2,048 x 20,000 pixels: minutes, 400 MB of disk
    python benchmarks/cache.py --width 6000 --layouts tiles strips
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import rasterio
import rasterio.shutil
from markdown_table import print_header, print_row
from resource_meter import ResourceMeter
from scenes import make_scene

SIZES_MB = (0, 16, 64, 128, 256, 512, 1024)
"""Sizes of the cache; 0 stands for 256 bytes."""
WINDOW_PX = 512
STRIDE_PX = 384

_GTIFF = {"driver": "GTiff", "compress": "lzw"}
LAYOUTS: Final[dict[str, dict[str, Any]]] = {
    "tiles": {**_GTIFF, "tiled": True, "blockxsize": 512, "blockysize": 512},
    "bands": {**_GTIFF, "tiled": True, "interleave": "band", "blockxsize": 256, "blockysize": 256},
    "strips": {**_GTIFF, "tiled": False, "blockysize": 16},
    "one strip": {**_GTIFF, "tiled": False, "blockysize": 2**16},
    "jpeg2000": {"driver": "JP2OpenJPEG", "QUALITY": "25"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--height", type=int, default=2048, help="rows")
    parser.add_argument("--width", type=int, default=20_000, help="columns")
    parser.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=list(LAYOUTS))
    parser.add_argument("--sizes-mb", nargs="+", type=int, default=SIZES_MB, help="of the cache")
    parser.add_argument("--scene", help=argparse.SUPPRESS)  # this process measures
    args = parser.parse_args()
    if args.scene:
        print(json.dumps(measure(args.scene, args.sizes_mb[0])))
        return
    print_header("layout", "cache, MB", "stretch, s", "rows, s", "peak, MB")
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.tif"
        make_scene(plain, "speckle", args.height, args.width)
        for layout in args.layouts:
            scene = plain.with_name(f"{layout}.tif")
            rasterio.shutil.copy(plain, scene, **LAYOUTS[layout])
            for size_mb in args.sizes_mb:
                print_row(layout, size_mb, *run(scene, size_mb))
            scene.unlink()


def run(scene: Path, size_mb: int) -> tuple[str, str, str]:
    """Measure in a process of its own: CPU seconds of the stretch and of all rows, and peak MB."""
    command = sys.executable, __file__, "--scene", str(scene), "--sizes-mb", str(size_mb)
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    stretch_s, rows_s, peak = json.loads(done.stdout.splitlines()[-1])
    return f"{stretch_s:.2f}", f"{rows_s:.2f}", f"{peak / 2**20:.0f}"


def measure(path: str, size_mb: int) -> tuple[float, float, int]:
    """CPU seconds of the stretch, CPU seconds of reading all rows, and peak memory in bytes."""
    from rrsis_geo.geo.grid.source_rows import SourceRows
    from rrsis_geo.geo.scene import pixels
    from rrsis_geo.geo.scene.radiometry import measure_stretch
    from rrsis_geo.geo.scene.scene import open_scene

    size_bytes = size_mb * 2**20 or 256
    pixels.geo_env = lambda: rasterio.Env(GDAL_CACHEMAX=size_bytes)
    meter = ResourceMeter()
    with open_scene(path, bands=(1, 2, 3)) as scene:
        started = time.process_time()
        stretch = measure_stretch(scene)
        stretched = time.process_time()
        height, width = scene.info.shape
        rows = SourceRows(scene, stretch, (0, width))
        for top in range(0, height, STRIDE_PX):
            rows.read(top, min(top + WINDOW_PX, height))
            rows.take_valid()
    return stretched - started, time.process_time() - stretched, meter.peak_bytes()


if __name__ == "__main__":
    main()
