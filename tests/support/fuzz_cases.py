"""Malformed and hostile files, made from numbered seeds, and what is done with each.

Run as a program it works through some cases and prints a line of JSON for each, so that a crash, a
hang or a hunger for memory is seen from outside::

    python fuzz_cases.py FOLDER raster:0 raster:1 vector:7 ...
"""

import faulthandler
import json
import logging
import os
import resource
import shutil
import struct
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
import shapely
import tiny_net
from affine import Affine
from PIL import Image
from predictor_stubs import RedPredictor, blobs, make_options
from safetensors.torch import load_file, save_file
from scene_files import smooth_content, write_scene

from rrsis_geo.data.benchmarks.triplets import read_split
from rrsis_geo.data.instances.coco import InstanceSource
from rrsis_geo.errors import RrsisError
from rrsis_geo.geo.chips.labels import LabelColumns, read_labels
from rrsis_geo.geo.grid.model_grid import model_grid
from rrsis_geo.geo.scene.scene import open_scene
from rrsis_geo.model.bundle import load_bundle, save_bundle
from rrsis_geo.segment.from_probability import polygonize
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.scene import segment_scene

Rng = np.random.Generator
SECONDS = 30
"""For one case, on a machine that is busy with others."""
MEMORY_BYTES = 3 * 2**30
"""Of data, for the process that works through the cases: torch and GDAL take a part of it."""


# --- harming files


def truncate(data: bytes, rng: Rng) -> bytes:
    return data[: int(rng.integers(0, len(data)))]


def flip_header(data: bytes, rng: Rng) -> bytes:
    return _flipped(data, rng, min(len(data), 600), int(rng.integers(1, 12)))


def flip_anywhere(data: bytes, rng: Rng) -> bytes:
    return _flipped(data, rng, len(data), int(rng.integers(1, 60)))


def _flipped(data: bytes, rng: Rng, most: int, n: int) -> bytes:
    harmed = bytearray(data)
    for place in rng.integers(0, most, n).tolist():
        harmed[place] = int(rng.integers(0, 256))
    return bytes(harmed)


def blank(data: bytes, rng: Rng) -> bytes:
    start, stop = sorted(rng.integers(0, len(data), 2).tolist())
    return data[:start] + bytes(stop - start) + data[stop:]


def repeat(data: bytes, rng: Rng) -> bytes:
    start, stop = sorted(rng.integers(0, len(data), 2).tolist())
    return data[:stop] + data[start:]


def nothing_left(data: bytes, rng: Rng) -> bytes:
    return bytes(rng.integers(0, 256, int(rng.integers(0, 300)), dtype=np.uint8))


HARMS = (truncate, flip_header, flip_anywhere, blank, repeat, nothing_left)


def harm(path: Path, rng: Rng) -> None:
    path.write_bytes(HARMS[int(rng.integers(len(HARMS)))](path.read_bytes(), rng))


WIDTH, LENGTH, BITS, COMPRESSION, SAMPLES, ROWS_PER_STRIP = 256, 257, 258, 259, 277, 278
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_BYTES = 322, 323, 324, 325
TAGS = (WIDTH, LENGTH, BITS, COMPRESSION, SAMPLES, ROWS_PER_STRIP, TILE_WIDTH, TILE_LENGTH)


def set_tag(path: Path, tag: int, value: int) -> None:
    """Write another value into a tag of the first directory of a little-endian TIFF."""
    data = bytearray(path.read_bytes())
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    for i in range(count):
        entry = start + 2 + 12 * i
        if struct.unpack_from("<H", data, entry)[0] == tag:
            struct.pack_into("<HII", data, entry + 2, 4, 1, value)
    path.write_bytes(data)


# --- rasters


def some_scene(path: Path, rng: Rng) -> Path:
    kinds: list[dict[str, Any]] = [
        {},
        {"dtype": "uint16", "blocks": None, "scale": 40},
        {"dtype": "float32", "nodata": -9999.0, "invalid": np.eye(120, 150, dtype=bool)},
        {"bands": 1, "palette": {i: (i, 255 - i, 3, 255) for i in range(256)}},
        {"alpha": True, "invalid": np.eye(120, 150, dtype=bool)},
        {"internal_mask": True, "invalid": np.eye(120, 150, dtype=bool)},
        {"compress": None, "overviews": [2, 4]},
        {"compress": "lzw", "crs": "EPSG:4326"},
        {"compress": "jpeg", "blocks": 128},
    ]
    options = kinds[int(rng.integers(len(kinds)))]
    return write_scene(path, 120, 150, **{"content": blobs(), **options})


def huge(path: Path, rng: Rng) -> None:
    some_scene(path, rng)
    for tag in rng.permutation([WIDTH, LENGTH])[: int(rng.integers(1, 3))].tolist():
        set_tag(path, tag, int(rng.choice([70_000, 2**20, 2**24, 2**31 - 1, 2**32 - 1])))


def wrong_tags(path: Path, rng: Rng) -> None:
    some_scene(path, rng)
    for tag in rng.choice(TAGS, int(rng.integers(1, 3)), replace=False).tolist():
        set_tag(path, tag, int(rng.choice([0, 1, 3, 7, 16, 255, 4096, 65_535, 2**31])))


def wrong_blocks(path: Path, rng: Rng) -> None:
    some_scene(path, rng)
    data = path.read_bytes()
    for tag in (TILE_OFFSETS, TILE_BYTES):
        if rng.random() < 0.7:
            set_tag(path, tag, int(rng.integers(0, 2 * len(data))))


def strange_place(path: Path, rng: Rng) -> None:
    write_scene(path, 120, 150, content=blobs())
    number = (0.0, 1e-300, 1e300, -1e9, float("nan"), float("inf"), 0.5, 1.0)
    with rasterio.open(path, "r+") as dataset:
        dataset.transform = Affine(*rng.choice(number, 6).tolist())


def strange_crs(path: Path, rng: Rng) -> None:
    names = ("EPSG:4978", "EPSG:5773", "EPSG:3031", "EPSG:4326", "EPSG:3857", "EPSG:27700")
    place = Affine(0.5, 0, float(rng.normal(0, 1e7)), 0, -0.5, float(rng.normal(0, 1e7)))
    crs = str(rng.choice(names))
    write_scene(path, 120, 150, content=blobs(), crs=crs, transform=place)


def strange_size(path: Path, rng: Rng) -> None:
    height, width = rng.choice([1, 2, 3, 17, 600], 2).tolist()
    kind = str(rng.choice(["uint8", "int16", "uint32", "float64", "complex64"]))
    content = blobs()
    if rng.random() < 0.3 and kind == "float64":
        write_scene(path, height, width, dtype=kind, content=lambda r, c, b: r * np.nan)
    else:
        write_scene(path, height, width, dtype=kind, content=content, bands=int(rng.integers(1, 4)))


def vrt(path: Path, rng: Rng) -> None:
    """Virtual rasters: of themselves, of nothing, of any size and any transform."""
    side = [str(rng.choice(["150", "0", "-1", "2000000000", "9" * 30, "x"])) for _ in range(2)]
    numbers = ["0", "1", "nan", "inf", "1e308", "-0.5", "x"]
    place = ", ".join(rng.choice(numbers, 6).tolist()) if rng.random() < 0.5 else "0,1,0,0,0,-1"
    source = str(rng.choice([path.name, "none.tif", "../../etc/passwd", "/dev/zero", ""]))
    if rng.random() < 0.5:
        sides = (["150", "120"], ["2000000000", "120"], ["2000000", "1000000"], ["3", "2000000000"])
        side = sides[int(rng.integers(4))]
        source = some_scene(path.with_name("real.tif"), rng).name
    if rng.random() < 0.4:
        place = "5e5,.5,0,52e5,0,-.5"
    kind = str(rng.choice(["Byte", "Byte", "CFloat64", "Nonsense", "Float32"]))
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{k}"><SimpleSource>'
        f'<SourceFilename relativeToVRT="1">{source}</SourceFilename>'
        f"<SourceBand>{k}</SourceBand></SimpleSource></VRTRasterBand>"
        for k in range(1, int(rng.integers(1, 5)))
    )
    xml = (
        f'<VRTDataset rasterXSize="{side[0]}" rasterYSize="{side[1]}"><SRS>EPSG:32632</SRS>'
        f"<GeoTransform>{place}</GeoTransform>{bands}</VRTDataset>"
    )
    path.with_suffix(".vrt").write_text(xml)
    path.unlink(missing_ok=True)


def no_raster(path: Path, rng: Rng) -> None:
    text = ["", "II*\0", "MM\0*\0\0\0\x08", "\x89PNG\r\n\x1a\n", "{}", "<VRTDataset>", "a" * 5000]
    path.write_text(text[int(rng.integers(len(text)))])


def harmed_scene(path: Path, rng: Rng) -> None:
    harm(some_scene(path, rng), rng)


def harmed_probability(path: Path, rng: Rng) -> None:
    kind = "float32" if rng.random() < 0.5 else "uint8"
    scale = 0.004 if kind == "float32" else 1
    write_scene(path, 120, 150, bands=1, dtype=kind, content=smooth_content, scale=scale)
    if kind == "uint8":
        with rasterio.open(path, "r+") as dataset:
            dataset.scales = (0.004,)
    if rng.random() < 0.8:
        harm(path, rng)


RASTERS = (
    *(harmed_scene,) * 4,
    *(
        huge,
        wrong_tags,
        wrong_blocks,
        strange_place,
        strange_crs,
        strange_size,
        vrt,
        vrt,
        no_raster,
    ),
)


def raster(folder: Path, seed: int) -> None:
    rng = np.random.default_rng([1, seed])
    path = folder / "scene.tif"
    RASTERS[seed % len(RASTERS)](path, rng)
    if path.with_suffix(".vrt").exists():
        path = path.with_suffix(".vrt")
    run_segment(path, folder / "out", allow_no_crs=bool(rng.integers(2)))


def run_segment(scene: Path, out: Path, **options: Any) -> None:
    out.mkdir()
    outputs = Outputs(out / "o.gpkg", mask=out / "m.tif", preview=out / "p.png")
    try:
        segment_scene(
            scene,
            "red discs",
            outputs,
            make_options(overlap_px=16, **options),
            predictor=RedPredictor(),
        )
    except RrsisError:
        left = sorted(path.name for path in out.iterdir() if not path.name.endswith(".job"))
        assert not left, f"half-written output: {left}"
        raise
    check_outputs(outputs)


def check_outputs(outputs: Outputs) -> None:
    """All that was promised is there and whole."""
    gpd.read_file(outputs.vector, layer=0)
    if outputs.mask is not None:
        with warnings.catch_warnings(action="ignore"), rasterio.open(outputs.mask) as dataset:
            dataset.read()
    if outputs.preview is not None:
        Image.open(outputs.preview).load()
    left = [path.name for path in outputs.vector.parent.iterdir() if ".part" in path.name]
    assert not left, f"left over: {left}"


# --- vectors


def _ring(rng: Rng, n: int) -> list[list[float]]:
    """A ring that crosses itself, around a scene of 75 by 60 metres."""
    xy = rng.uniform([499_980, 5_199_920], [500_090, 5_200_020], (n, 2)).tolist()
    return [*xy, xy[0]]


def geojson(path: Path, rng: Rng) -> None:
    """Text, for what no writer of vectors would write."""
    ring: Any = _ring(rng, int(rng.integers(1, 30)))
    for _ in range(int(rng.integers(0, 4))):
        strange = [float("nan"), float("inf"), 1e308, -1e308, None, "x", [], 0]
        ring[int(rng.integers(len(ring)))] = [strange[int(rng.integers(8))], 5_200_000.0]
    kinds = {
        "Polygon": [ring],
        "MultiPolygon": [[ring], [_ring(rng, 5)]],
        "LineString": ring,
        "Point": ring[0],
        "GeometryCollection": [],
        "Nonsense": [[[]]],
    }
    kind = str(rng.choice(list(kinds)))
    geometry: Any = {"type": kind, "coordinates": kinds[kind]}
    if rng.random() < 0.1:
        geometry = None
    if rng.random() < 0.1:
        for _ in range(3000):
            geometry = {"type": "GeometryCollection", "geometries": [geometry]}
    code = str(rng.choice(["EPSG::32632", "EPSG::4326", "EPSG::99999", "nonsense"]))
    crs = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:{code}"}}
    feature = {"type": "Feature", "properties": {"kind": "disc"}, "geometry": geometry}
    sys.setrecursionlimit(20_000)
    text = json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]})
    path.with_suffix(".geojson").write_text(text)


def crossing(path: Path, rng: Rng) -> None:
    shapes = [shapely.Polygon(_ring(rng, int(rng.integers(3, 60)))) for _ in range(4)]
    gpd.GeoDataFrame({"kind": ["disc"] * 4}, geometry=shapes, crs="EPSG:32632").to_file(path)


def harmed_vector(path: Path, rng: Rng) -> None:
    suffix = str(rng.choice([".gpkg", ".geojson", ".shp", ".fgb"]))
    crossing(path.with_suffix(suffix), rng)
    parts = sorted(part for part in path.parent.iterdir() if part.stem == path.stem)
    harm(parts[int(rng.integers(len(parts)))], rng)


def strange_shapes(path: Path, rng: Rng) -> None:
    shapes = [
        shapely.Polygon(),
        shapely.box(-1e300, -1e300, 1e300, 1e300),
        shapely.box(500_000, 5_199_990, 500_000, 5_199_999),
        shapely.LineString([(0, 0), (1, 1), (np.nan, 2)]),
        shapely.MultiPolygon(
            [shapely.box(500_001, 5_199_950, 500_001 + k, 5_199_951) for k in (1, 2)]
        ),
        shapely.Point(500_010, 5_199_990),
    ]
    chosen = rng.choice(len(shapes), int(rng.integers(1, 4))).tolist()
    frame = gpd.GeoDataFrame(
        {"kind": ["disc"] * len(chosen)}, geometry=[shapes[i] for i in chosen], crs="EPSG:32632"
    )
    frame.to_file(path)


VECTORS = (geojson, geojson, crossing, harmed_vector, harmed_vector, strange_shapes)


def vector(folder: Path, seed: int) -> None:
    rng = np.random.default_rng([2, seed])
    inputs = folder / "in"
    inputs.mkdir()
    VECTORS[seed % len(VECTORS)](inputs / "area.gpkg", rng)
    order = [".shp", ".gpkg", ".geojson", ".fgb", *(part.suffix for part in inputs.iterdir())]
    found = min(inputs.iterdir(), key=lambda part: order.index(part.suffix))
    scene = write_scene(folder / "scene.tif", 120, 150, content=blobs())
    first: RrsisError | None = None
    try:
        run_segment(scene, folder / "out", aoi=found)
    except RrsisError as err:
        first = err
    with open_scene(scene) as whole:
        columns = LabelColumns(category_column="kind")
        read_labels(whole.info, model_grid(whole.info), found, columns)
    if first is not None:
        raise first


# --- bundles


def bundle(folder: Path, seed: int) -> None:
    rng = np.random.default_rng([3, seed])
    place = folder / "tiny"
    with tiny_net.register():
        save_bundle(tiny_net.make_bundle(place), precision="fp32")
    facts = json.loads((place / "model.json").read_text())
    kind = seed % 5
    if kind == 0:
        names = ("model.json", "weights.safetensors", "vocab.txt")
        harm(place / str(rng.choice(names)), rng)
    elif kind == 1:  # any value of model.json is another
        strange = [None, -1, 0, 10**9, 1e308, "x", "../../../etc", [], {}, [10**9], True, "\0"]
        target = facts
        while True:
            key = str(rng.choice(sorted(target)))
            if not isinstance(target[key], dict) or not target[key] or rng.random() < 0.2:
                break
            target = target[key]
        target[key] = strange[int(rng.integers(len(strange)))]
        (place / "model.json").write_text(json.dumps(facts))
    elif kind == 2:  # wrong shapes, rightly signed
        tensors = load_file(place / "weights.safetensors")
        name = str(rng.choice(sorted(tensors)))
        shape = tuple(rng.integers(0, 5, int(rng.integers(0, 5))).tolist())
        tensors[name] = tensors[name].new_zeros(shape)
        save_file(tensors, place / "weights.safetensors")
        sign(place, facts)
    elif kind == 3:  # harmed files, rightly signed
        harm(place / str(rng.choice(["weights.safetensors", "vocab.txt"])), rng)
        sign(place, facts)
    else:  # a header that promises what is not there
        shape = rng.choice([2**40, 2**62, 0, 1], 2).tolist()
        header = {"conv.weight": {"dtype": "F32", "shape": shape, "data_offsets": [0, 2**40]}}
        text = json.dumps(header).encode()
        size = int(rng.choice([len(text), 2**62, 2**63 - 1, 5]))
        (place / "weights.safetensors").write_bytes(struct.pack("<Q", size) + text)
        sign(place, facts)
    with tiny_net.register():
        load_bundle(place)


def sign(place: Path, facts: dict[str, Any]) -> None:
    import hashlib

    for part, name in (("weights", "weights.safetensors"), ("text", "vocab.txt")):
        facts[part]["sha256"] = hashlib.sha256((place / name).read_bytes()).hexdigest()
    (place / "model.json").write_text(json.dumps(facts))


# --- data sets


def _strange(rng: Rng, path_like: bool) -> Any:
    names = ["../../../../etc/passwd", "/etc/passwd", "", ".", "none.png", "a\0b", "~/x", "images"]
    values = [None, -1, 0, 10**12, 1e308, float("nan"), [], {}, [[]], "x", True, {"a": 1}]
    return names[int(rng.integers(8))] if path_like else values[int(rng.integers(12))]


def _segmentation(rng: Rng) -> Any:
    return [
        {"size": [40, 50], "counts": "0" * int(rng.integers(1, 200))},
        {"size": [40, 50], "counts": [int(n) for n in rng.integers(-5, 10**7, 6)]},
        {"size": [10**9, 10**9], "counts": [10**18]},
        {"size": [2**31, 2], "counts": "PP"},
        {"size": [0, 0], "counts": []},
        {"size": ["x"], "counts": [1]},
        {"size": [40, 50], "counts": "\xff\u2603"},
        [[1.0, 2.0]],
        [[0, 0, 1e300, 0, 1e300, 1e300]],
        [[float("nan")] * 8],
        [[5, 5, 20, 5, 20, 20, 5, 20]],
        _strange(rng, False),
        _strange(rng, True),
    ][int(rng.integers(13))]


def coco(folder: Path, seed: int) -> None:
    rng = np.random.default_rng([4, seed])
    (folder / "images").mkdir()
    Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(folder / "images/a.png")
    square = [[5, 5, 20, 5, 20, 20, 5, 20]]
    told: dict[str, Any] = {
        "images": [{"id": 1, "file_name": "a.png", "height": 40, "width": 50}],
        "categories": [{"id": 1, "name": "disc"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "segmentation": square, "iscrowd": 0}
        ],
    }
    kind = seed % 3
    if kind == 0:
        told["annotations"][0]["segmentation"] = _segmentation(rng)
    elif kind == 1:
        part = told[str(rng.choice(sorted(told)))][0]
        key = str(rng.choice(sorted(part)))
        part[key] = _strange(rng, key == "file_name")
    path = folder / "instances.json"
    path.write_text(json.dumps(told))
    if kind == 2:
        harm(path if rng.random() < 0.7 else folder / "images/a.png", rng)
    source = InstanceSource(path)
    for index in range(len(source)):
        source.read(index)


def triplets(folder: Path, seed: int) -> None:
    rng = np.random.default_rng([5, seed])
    (folder / "images").mkdir()
    image = folder / "images" / "a.png"
    Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(image)
    line: dict[str, Any] = {
        "image": "images/a.png",
        "expression": "the disc",
        "segmentation": {"size": [40, 50], "counts": [100, 200, 1700]},
        "kind": "x",
    }
    kind = seed % 4
    if kind == 0:
        line["segmentation"] = _segmentation(rng)
    elif kind == 1:
        line["image"] = _strange(rng, True)
    elif kind == 2:
        key = str(rng.choice(sorted(line)))
        line[key] = _strange(rng, bool(rng.integers(2)))
    path = folder / "train.jsonl"
    path.write_text(json.dumps(line) + "\n")
    if kind == 3:
        harm(path if rng.random() < 0.5 else image, rng)
    for record in read_split(folder, "train"):
        record.image.read()
        if record.mask is not None:
            record.mask.read()


def probability(folder: Path, seed: int) -> None:
    rng = np.random.default_rng([6, seed])
    path = folder / "p.tif"
    makers = (harmed_probability, harmed_probability, strange_place, strange_size, huge, vrt)
    makers[seed % len(makers)](path, rng)
    if path.with_suffix(".vrt").exists():
        path = path.with_suffix(".vrt")
    out = folder / "out"
    out.mkdir()
    outputs = Outputs(out / "o.gpkg", mask=out / "m.tif", preview=out / "p.png")
    try:
        polygonize(path, outputs, expression="discs")
    except RrsisError:
        left = sorted(part.name for part in out.iterdir())
        assert not left, f"half-written output: {left}"
        raise
    check_outputs(outputs)


FAMILIES: dict[str, Callable[[Path, int], None]] = {
    "raster": raster,
    "vector": vector,
    "bundle": bundle,
    "coco": coco,
    "triplets": triplets,
    "probability": probability,
}


def main(root: Path, cases: list[str]) -> None:
    logging.getLogger("rrsis_geo").addHandler(logging.NullHandler())
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    for case in cases:
        family, _, seed = case.partition(":")
        folder = root / case.replace(":", "-")
        folder.mkdir()
        print(json.dumps({"begins": case}), flush=True)
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        started = time.perf_counter()
        told = ""
        try:
            FAMILIES[family](folder, int(seed))
            ending = "done"
        except RrsisError as err:
            ending, told = type(err).__name__, str(err)
        except BaseException:
            ending, told = "bug", traceback.format_exc()
        faulthandler.cancel_dump_traceback_later()
        seconds = time.perf_counter() - started
        print(
            json.dumps({"case": case, "ending": ending, "told": told, "seconds": seconds}),
            flush=True,
        )
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main(Path(sys.argv[1]), sys.argv[2:])
