"""Measure how close drawn outlines are to the pixels of their objects, and what they cost.

Objects come from probability rasters that `segment --probability` wrote, and from the masks of a
COCO file, each on its own. With --objects, one raster of that many turned rectangles is made, and
its polygons with each kind of outline, in turn. With the package buildingregulariser, its outlines
of the same objects are measured too.

    python benchmarks/outlines.py buildings.tif trees.tif --instances path/instances_val.json
    python benchmarks/outlines.py --objects 10000
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine
from markdown_table import print_header, print_row
from numpy.typing import NDArray
from rasterio.crs import CRS

from rrsis_geo.data.segmentations import decode_segmentation
from rrsis_geo.geo.grid.rasters import Georeference, RasterWriter, encode_probability
from rrsis_geo.geo.objects.objects import Objects
from rrsis_geo.geo.objects.outlines import Outlines
from rrsis_geo.geo.objects.regularize import regularize_outlines
from rrsis_geo.geo.objects.smooth import smooth_outlines
from rrsis_geo.geo.objects.vectorize import vectorize

LEAST_PX = 16
CELL_PX = 30
DRAWINGS = ("pixels", "smooth", "regularize")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rasters", nargs="*", type=Path)
    parser.add_argument("--instances", type=Path, help="COCO file of masks")
    parser.add_argument("--categories", nargs="*", help="of the COCO file; default: all")
    parser.add_argument("--objects", type=int, help="measure the cost at about this many objects")
    args = parser.parse_args()
    if args.objects:
        measure_cost(args.objects)
        return
    print_header("objects", "outline", "n", "IoU median", "IoU 5 %", "vertices", "CPU ms each")
    for path in args.rasters:
        measure(path.stem, objects_of_raster(path).outlines)
    if args.instances:
        for name, outlines in masks_of(args.instances, args.categories):
            measure(name, outlines)


def objects_of_raster(path: Path) -> Objects:
    with rasterio.open(path) as dataset:
        values = dataset.read(1, masked=True)
        probability = (values.filled(0) * dataset.scales[0]).astype(np.float32)
    objects = vectorize(probability > 0.5, probability)
    return objects.take(np.flatnonzero(objects.n_pixels >= LEAST_PX))


def masks_of(path: Path, categories: list[str] | None) -> Iterator[tuple[str, Outlines]]:
    """The masks of each category, side by side so that they are no neighbours."""
    coco = json.loads(path.read_text())
    images = {image["id"]: image for image in coco["images"]}
    for category in coco["categories"]:
        if categories and category["name"] not in categories:
            continue
        found, row = [], 0
        for annotation in coco["annotations"]:
            if annotation["category_id"] == category["id"]:
                image = images[annotation["image_id"]]
                shape = (image["height"], image["width"])
                mask = decode_segmentation(annotation["segmentation"], shape, path.name)
                objects = vectorize(mask, mask.astype(np.float32))
                outlines = objects.take(np.flatnonzero(objects.n_pixels >= LEAST_PX)).outlines
                vertices = outlines.vertices + np.array([0, row], np.int32)
                found.append(replace(outlines, vertices=vertices))
                row += shape[0] + 10
        if found:
            yield f"val: {category['name']}", Outlines.concat(found)


def measure(name: str, outlines: Outlines) -> None:
    pixels = outlines.polygons()
    drawings: dict[str, Any] = {
        "--smooth": lambda: smooth_outlines(outlines).polygons(),
        "--regularize": lambda: regularize_outlines(outlines).polygons(),
    }
    if find_spec("buildingregulariser"):
        drawings["buildingregulariser"] = lambda: with_buildingregulariser(pixels)
    for drawing, draw in drawings.items():
        before = time.process_time()
        polygons = draw()
        seconds = time.process_time() - before
        if len(polygons) != len(pixels):
            print_row(name, drawing, f"{len(pixels)}, drawn: {len(polygons)}", *["-"] * 4)
            continue
        common = shapely.area(shapely.intersection(pixels, polygons))
        iou = common / (shapely.area(pixels) + shapely.area(polygons) - common)
        vertices = shapely.get_num_coordinates(polygons).sum()
        print_row(
            name,
            drawing,
            len(pixels),
            f"{np.median(iou):.3f}",
            f"{np.percentile(iou, 5):.3f}",
            f"{vertices / shapely.get_num_coordinates(pixels).sum():.2f}",
            f"{1000 * seconds / len(pixels):.2f}",
        )


def with_buildingregulariser(polygons: NDArray[Any]) -> NDArray[Any]:
    """Its outlines, with tolerances as in its README, of pixels of 20 cm. Moved into metres."""
    import geopandas as gpd
    from buildingregulariser import regularize_geodataframe

    metres = shapely.transform(polygons, lambda xy: xy * (0.2, -0.2))
    frame = gpd.GeoDataFrame(geometry=list(metres), crs="EPSG:32633")
    drawn = regularize_geodataframe(frame, simplify=True, simplify_tolerance=0.5, num_cores=1)
    return np.asarray(shapely.transform(drawn.geometry.to_numpy(), lambda xy: xy / (0.2, -0.2)))


def measure_cost(n_objects: int) -> None:
    """Polygons of one raster with each kind of outline, twice, in processes of their own."""
    side = int(np.ceil(np.sqrt(n_objects)))
    with TemporaryDirectory() as folder:
        raster = Path(folder) / "p.tif"
        write_rectangles(raster, side)
        print_header("outline", "CPU seconds", "of pixels", "peak MiB")
        seconds: dict[str, list[float]] = {drawing: [] for drawing in DRAWINGS}
        for _ in range(2):
            for drawing in DRAWINGS:
                cpu, peak = run(raster, Path(folder), drawing)
                seconds[drawing].append(cpu)
                share = min(seconds[drawing]) / min(seconds["pixels"])
                print_row(drawing, f"{cpu:.1f}", f"{share:.2f}", f"{peak / 2**20:.0f}")


def run(raster: Path, folder: Path, drawing: str) -> tuple[float, int]:
    """CPU seconds and peak memory in bytes of one run."""
    options = [] if drawing == "pixels" else [f"--{drawing}"]
    code = (
        "import resource, sys\n"
        "from rrsis_geo.cli import app\n"
        "try:\n    app(sys.argv[1:])\n"
        "finally:\n    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = ["segment", "--from-probability", str(raster), "-q", "--overwrite", *options]
    done = subprocess.run(
        [sys.executable, "-c", code, *command, "-o", str(folder / f"{drawing}.gpkg")],
        capture_output=True,
        text=True,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, 1024 * int(done.stdout.splitlines()[-1])


def write_rectangles(path: Path, side: int) -> None:
    """A probability raster of side x side turned rectangles of about 20 x 11 pixels."""
    rng = np.random.default_rng(0)
    row, column = np.mgrid[:CELL_PX, :CELL_PX] - (CELL_PX - 1) / 2
    cells = []
    for turn in rng.uniform(0, np.pi, 64):
        along = column * np.cos(turn) + row * np.sin(turn)
        across = row * np.cos(turn) - column * np.sin(turn)
        cells.append((np.abs(along) < 10) & (np.abs(across) < 5.5))
    georeference = Georeference(
        (side * CELL_PX, side * CELL_PX),
        CRS.from_epsg(32633),
        Affine(0.2, 0, 500_000, 0, -0.2, 5_200_000),
    )
    tags = {"expression": "cars"}
    with RasterWriter(path, "probability", georeference, tags=tags) as writer:
        for number in range(side):
            chosen = rng.integers(0, len(cells), side)
            mask = np.concatenate([cells[index] for index in chosen], axis=1)
            valid = np.ones_like(mask)
            values = encode_probability(np.where(mask, 0.9, 0.1).astype(np.float32), valid)
            writer.write_band(number * CELL_PX, values)


if __name__ == "__main__":
    main()
