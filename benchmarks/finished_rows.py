"""Measure what finished rows cost in outlines and in blocks of shards, as CPU time.

    python benchmarks/finished_rows.py --repeats 3

Each pattern of `scenes.py` is a mask of one shard. "Outlines" is `BandVectorizer` on bands as they
are finished, "write" is writing the mask as a shard does, with a compression, "read" is reading it
again, as merging does, and "overviews" is making those of the COG from the file. Times are CPU
seconds per 100 million pixels, best of the repeats, which alternate.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
from markdown_table import print_header, print_row
from numpy.typing import NDArray
from rasterio.enums import Resampling
from scenes import PATTERNS, make_scene, truth_path

from rrsis_geo.geo.objects.vectorize import BandVectorizer

BAND_ROWS = 384
COMPRESSIONS = {
    "deflate 6": {"compress": "deflate", "zlevel": 6},
    "deflate 1": {"compress": "deflate", "zlevel": 1},
    "zstd 1": {"compress": "zstd", "zstd_level": 1},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--height", type=int, default=2048)
    parser.add_argument("--width", type=int, default=8192)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    columns = [f"{name}: {what}" for name in COMPRESSIONS for what in ("write", "read", "KiB")]
    print_header("pattern", "objects", "outlines", *columns, "overviews")
    with tempfile.TemporaryDirectory() as folder:
        for pattern in PATTERNS:
            scene = Path(folder) / f"{pattern}.tif"
            make_scene(scene, pattern, args.height, args.width)
            with rasterio.open(truth_path(scene)) as dataset:
                mask = dataset.read(1)
            print_row(pattern, *measure(mask, Path(folder) / "shard.tif", args.repeats))


def measure(mask: NDArray[np.uint8], path: Path, repeats: int) -> list[str]:
    """Cells of a row of the table."""
    is_target = mask == 1
    probability = np.where(is_target, np.float32(0.9), np.float32(0.1))
    works: dict[str, Callable[[], None]] = {"outlines": lambda: outline(is_target, probability)}
    for name, options in COMPRESSIONS.items():
        works[f"{name} write"] = lambda options=options: write(mask, path, options)  # type: ignore[misc]
        works[f"{name} read"] = lambda: read(path)
    works["overviews"] = lambda: make_overviews(path)
    seconds = dict.fromkeys(works, np.inf)
    sizes = {}
    for _ in range(repeats):
        for name, work in works.items():
            seconds[name] = min(seconds[name], cpu_seconds(work))
            if name.endswith("write"):
                sizes[name] = path.stat().st_size
    scale = 1e8 / mask.size
    cells = [str(outline(is_target, probability)), f"{seconds['outlines'] * scale:.2f}"]
    for name in COMPRESSIONS:
        cells += [f"{seconds[f'{name} {what}'] * scale:.2f}" for what in ("write", "read")]
        cells.append(f"{sizes[f'{name} write'] / 1024:.0f}")
    return [*cells, f"{seconds['overviews'] * scale:.2f}"]


def outline(mask: NDArray[np.bool_], probability: NDArray[np.float32]) -> int:
    """Number of closed objects of a mask."""
    vectorizer = BandVectorizer(mask.shape[1])
    bands = [slice(start, start + BAND_ROWS) for start in range(0, len(mask), BAND_ROWS)]
    return sum(
        len(vectorizer.add_band(band.start, mask[band], probability[band])) for band in bands
    )


def write(mask: NDArray[np.uint8], path: Path, options: dict[str, object]) -> None:
    """Write a mask as a shard does."""
    height, width = mask.shape
    shape = {"height": height, "width": width, "count": 1, "dtype": "uint8", "nodata": 255}
    tiles = {"tiled": True, "blockxsize": 512, "blockysize": 512}
    with rasterio.open(path, "w", driver="GTiff", **shape, **tiles, **options) as dataset:
        dataset.write(mask, 1)


def read(path: Path) -> None:
    with rasterio.open(path) as dataset:
        dataset.read(1)


def make_overviews(path: Path) -> None:
    """Overviews of half the size and less, as for a mask that becomes a COG."""
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4, 8, 16], Resampling.mode)


def cpu_seconds(work: Callable[[], object]) -> float:
    """User and system time of a call, in all threads."""
    before = time.process_time()
    work()
    return time.process_time() - before


if __name__ == "__main__":
    main()
