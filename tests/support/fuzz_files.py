"""Writers of malformed and hostile files. A random generator determines each file."""

import json
import struct
import sys
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from affine import Affine
from predictor_stubs import blobs
from scene_files import smooth_content, write_scene

Rng = np.random.Generator


# --- corruption of any file


def truncate(data: bytes, rng: Rng) -> bytes:
    return data[: int(rng.integers(0, len(data)))]


def flip_header(data: bytes, rng: Rng) -> bytes:
    return _flip(data, rng, min(len(data), 600), int(rng.integers(1, 12)))


def flip_anywhere(data: bytes, rng: Rng) -> bytes:
    return _flip(data, rng, len(data), int(rng.integers(1, 60)))


def _flip(data: bytes, rng: Rng, stop: int, n: int) -> bytes:
    result = bytearray(data)
    for place in rng.integers(0, stop, n).tolist():
        result[place] = int(rng.integers(0, 256))
    return bytes(result)


def zero_range(data: bytes, rng: Rng) -> bytes:
    start, stop = sorted(rng.integers(0, len(data), 2).tolist())
    return data[:start] + bytes(stop - start) + data[stop:]


def repeat_range(data: bytes, rng: Rng) -> bytes:
    start, stop = sorted(rng.integers(0, len(data), 2).tolist())
    return data[:stop] + data[start:]


def replace_all(data: bytes, rng: Rng) -> bytes:
    return bytes(rng.integers(0, 256, int(rng.integers(0, 300)), dtype=np.uint8))


CORRUPTIONS = (truncate, flip_header, flip_anywhere, zero_range, repeat_range, replace_all)


def corrupt(path: Path, rng: Rng) -> None:
    path.write_bytes(CORRUPTIONS[int(rng.integers(len(CORRUPTIONS)))](path.read_bytes(), rng))


WIDTH, LENGTH, BITS, COMPRESSION, SAMPLES, ROWS_PER_STRIP = 256, 257, 258, 259, 277, 278
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_BYTES = 322, 323, 324, 325
TAGS = (WIDTH, LENGTH, BITS, COMPRESSION, SAMPLES, ROWS_PER_STRIP, TILE_WIDTH, TILE_LENGTH)


def set_tag(path: Path, tag: int, value: int) -> None:
    """Set a tag of the first directory of a little-endian TIFF."""
    data = bytearray(path.read_bytes())
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    for i in range(count):
        entry = start + 2 + 12 * i
        if struct.unpack_from("<H", data, entry)[0] == tag:
            struct.pack_into("<HII", data, entry + 2, 4, 1, value)
    path.write_bytes(data)


# --- rasters


def write_valid_scene(path: Path, rng: Rng) -> Path:
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


def write_huge_size(path: Path, rng: Rng) -> None:
    write_valid_scene(path, rng)
    for tag in rng.permutation([WIDTH, LENGTH])[: int(rng.integers(1, 3))].tolist():
        set_tag(path, tag, int(rng.choice([70_000, 2**20, 2**24, 2**31 - 1, 2**32 - 1])))


def write_wrong_tags(path: Path, rng: Rng) -> None:
    write_valid_scene(path, rng)
    for tag in rng.choice(TAGS, int(rng.integers(1, 3)), replace=False).tolist():
        set_tag(path, tag, int(rng.choice([0, 1, 3, 7, 16, 255, 4096, 65_535, 2**31])))


def write_wrong_blocks(path: Path, rng: Rng) -> None:
    write_valid_scene(path, rng)
    data = path.read_bytes()
    for tag in (TILE_OFFSETS, TILE_BYTES):
        if rng.random() < 0.7:
            set_tag(path, tag, int(rng.integers(0, 2 * len(data))))


def write_strange_transform(path: Path, rng: Rng) -> None:
    write_scene(path, 120, 150, content=blobs())
    numbers = (0.0, 1e-300, 1e300, -1e9, float("nan"), float("inf"), 0.5, 1.0)
    with rasterio.open(path, "r+") as dataset:
        dataset.transform = Affine(*rng.choice(numbers, 6).tolist())


def write_strange_crs(path: Path, rng: Rng) -> None:
    names = ("EPSG:4978", "EPSG:5773", "EPSG:3031", "EPSG:4326", "EPSG:3857", "EPSG:27700")
    place = Affine(0.5, 0, float(rng.normal(0, 1e7)), 0, -0.5, float(rng.normal(0, 1e7)))
    crs = str(rng.choice(names))
    write_scene(path, 120, 150, content=blobs(), crs=crs, transform=place)


def write_strange_size(path: Path, rng: Rng) -> None:
    height, width = rng.choice([1, 2, 3, 17, 600], 2).tolist()
    kind = str(rng.choice(["uint8", "int16", "uint32", "float64", "complex64"]))
    content = blobs()
    if rng.random() < 0.3 and kind == "float64":
        write_scene(path, height, width, dtype=kind, content=lambda r, c, b: r * np.nan)
    else:
        write_scene(path, height, width, dtype=kind, content=content, bands=int(rng.integers(1, 4)))


def write_vrt(path: Path, rng: Rng) -> None:
    """Write a virtual raster of itself, of nothing or of a scene, with any size and transform."""
    side = [str(rng.choice(["150", "0", "-1", "2000000000", "9" * 30, "x"])) for _ in range(2)]
    numbers = ["0", "1", "nan", "inf", "1e308", "-0.5", "x"]
    place = ", ".join(rng.choice(numbers, 6).tolist()) if rng.random() < 0.5 else "0,1,0,0,0,-1"
    source = str(rng.choice([path.name, "none.tif", "../../etc/passwd", "/dev/zero", ""]))
    if rng.random() < 0.5:
        sides = (["150", "120"], ["2000000000", "120"], ["2000000", "1000000"], ["3", "2000000000"])
        side = sides[int(rng.integers(4))]
        source = write_valid_scene(path.with_name("real.tif"), rng).name
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


def write_non_raster(path: Path, rng: Rng) -> None:
    text = ["", "II*\0", "MM\0*\0\0\0\x08", "\x89PNG\r\n\x1a\n", "{}", "<VRTDataset>", "a" * 5000]
    path.write_text(text[int(rng.integers(len(text)))])


def write_corrupt_scene(path: Path, rng: Rng) -> None:
    corrupt(write_valid_scene(path, rng), rng)


def write_corrupt_probability(path: Path, rng: Rng) -> None:
    kind = "float32" if rng.random() < 0.5 else "uint8"
    scale = 0.004 if kind == "float32" else 1
    write_scene(path, 120, 150, bands=1, dtype=kind, content=smooth_content, scale=scale)
    if kind == "uint8":
        with rasterio.open(path, "r+") as dataset:
            dataset.scales = (0.004,)
    if rng.random() < 0.8:
        corrupt(path, rng)


RASTER_WRITERS = (
    write_corrupt_scene,
    write_corrupt_scene,
    write_corrupt_scene,
    write_corrupt_scene,
    write_huge_size,
    write_wrong_tags,
    write_wrong_blocks,
    write_strange_transform,
    write_strange_crs,
    write_strange_size,
    write_vrt,
    write_vrt,
    write_non_raster,
)
"""One writer per raster case, in turn."""
PROBABILITY_WRITERS = (
    write_corrupt_probability,
    write_corrupt_probability,
    write_strange_transform,
    write_strange_size,
    write_huge_size,
    write_vrt,
)
"""One writer per probability case, in turn."""


# --- vectors


def _random_ring(rng: Rng, n: int) -> list[list[float]]:
    """A self-intersecting ring around a scene of 75 by 60 metres."""
    xy = rng.uniform([499_980, 5_199_920], [500_090, 5_200_020], (n, 2)).tolist()
    return [*xy, xy[0]]


def write_geojson(path: Path, rng: Rng) -> None:
    """Write text that no writer of vectors would write."""
    ring: Any = _random_ring(rng, int(rng.integers(1, 30)))
    for _ in range(int(rng.integers(0, 4))):
        values = [float("nan"), float("inf"), 1e308, -1e308, None, "x", [], 0]
        ring[int(rng.integers(len(ring)))] = [values[int(rng.integers(8))], 5_200_000.0]
    kinds = {
        "Polygon": [ring],
        "MultiPolygon": [[ring], [_random_ring(rng, 5)]],
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


def write_crossing_polygons(path: Path, rng: Rng) -> None:
    shapes = [shapely.Polygon(_random_ring(rng, int(rng.integers(3, 60)))) for _ in range(4)]
    gpd.GeoDataFrame({"kind": ["disc"] * 4}, geometry=shapes, crs="EPSG:32632").to_file(path)


def write_corrupt_vector(path: Path, rng: Rng) -> None:
    suffix = str(rng.choice([".gpkg", ".geojson", ".shp", ".fgb"]))
    write_crossing_polygons(path.with_suffix(suffix), rng)
    parts = sorted(part for part in path.parent.iterdir() if part.stem == path.stem)
    corrupt(parts[int(rng.integers(len(parts)))], rng)


def write_strange_shapes(path: Path, rng: Rng) -> None:
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


VECTOR_WRITERS = (
    write_geojson,
    write_geojson,
    write_crossing_polygons,
    write_corrupt_vector,
    write_corrupt_vector,
    write_strange_shapes,
)
"""One writer per vector case, in turn."""
