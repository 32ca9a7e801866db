"""Cases of malformed and hostile files, numbered by seeds.

As a program, it runs cases and prints a line of JSON for each. The caller can then detect a crash,
a hang or excessive memory use::

    python fuzz_cases.py FOLDER raster:0 raster:1 vector:7 ...

A case ends with "done" or with the name of one of our errors. Any other error is a "bug".
"""

import faulthandler
import hashlib
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

import numpy as np
import tiny_net
from fuzz_files import (
    PROBABILITY_WRITERS,
    RASTER_WRITERS,
    VECTOR_WRITERS,
    Rng,
    corrupt,
)
from fuzz_jobs import (
    bystanders,
    check_absence,
    check_outputs,
    run_expression,
    run_job,
    run_option,
    run_output,
    run_segment,
    run_stac,
)
from PIL import Image
from predictor_stubs import blobs
from safetensors.torch import load_file, save_file
from scene_files import write_scene

from rrsis_geo.data.benchmarks.triplets import read_split
from rrsis_geo.data.instances.coco import InstanceSource
from rrsis_geo.errors import RrsisError
from rrsis_geo.geo.chips.labels import LabelColumns, read_labels
from rrsis_geo.geo.grid.model_grid import model_grid
from rrsis_geo.geo.scene.scene import open_scene
from rrsis_geo.model.bundle import load_bundle, save_bundle
from rrsis_geo.model.predictor import Predictor
from rrsis_geo.segment.from_probability import polygonize
from rrsis_geo.segment.plan.outputs import Outputs

CASE_SECONDS = 60
"""A case that takes longer, on a busy machine, is taken for one that never ends."""
MEMORY_BYTES = 3 * 2**30
"""Limit of data of the process that runs the cases, including torch and GDAL."""


# --- rasters

RASTER_EXPRESSIONS = (
    *("red discs", "the largest red disc", "the northernmost red disc", "the leftmost red disc"),
    *("red discs in the southern half", "red discs longer than 5 m", "isolated red discs"),
    *("red discs within 9 m of a red disc", "the two red discs closest to the centre"),
)


def run_raster(folder: Path, seed: int) -> None:
    """Segment a malformed scene."""
    rng = np.random.default_rng([1, seed])
    path = folder / "scene.tif"
    RASTER_WRITERS[seed % len(RASTER_WRITERS)](path, rng)
    if path.with_suffix(".vrt").exists():
        path = path.with_suffix(".vrt")
    allow_no_crs, expression = bool(rng.integers(2)), str(rng.choice(RASTER_EXPRESSIONS))
    run_segment(path, folder / "out", expression=expression, allow_no_crs=allow_no_crs)


# --- vectors


def run_vector(folder: Path, seed: int) -> None:
    """Use a malformed vector file as the area of interest and as labels."""
    rng = np.random.default_rng([2, seed])
    inputs = folder / "in"
    inputs.mkdir()
    VECTOR_WRITERS[seed % len(VECTOR_WRITERS)](inputs / "area.gpkg", rng)
    order = [".shp", ".gpkg", ".geojson", ".fgb", *(part.suffix for part in inputs.iterdir())]
    labels = min(inputs.iterdir(), key=lambda part: order.index(part.suffix))
    scene = write_scene(folder / "scene.tif", 120, 150, content=blobs())
    segment_error: RrsisError | None = None
    try:
        run_segment(scene, folder / "out", aoi=labels)
    except RrsisError as err:
        segment_error = err
    with open_scene(scene) as dataset:
        columns = LabelColumns(category_column="kind")
        read_labels(dataset.info, model_grid(dataset.info), labels, columns)
    if segment_error is not None:
        raise segment_error


# --- bundles


def run_bundle(folder: Path, seed: int) -> None:
    """Load a malformed bundle."""
    rng = np.random.default_rng([3, seed])
    bundle = folder / "tiny"
    with tiny_net.register():
        save_bundle(tiny_net.make_bundle(bundle), precision="fp32")
    facts = json.loads((bundle / "model.json").read_text())
    kind = seed % 5
    if kind == 0:
        names = ("model.json", "weights.safetensors", "vocab.txt")
        corrupt(bundle / str(rng.choice(names)), rng)
    elif kind == 1:  # another value in model.json
        values = [None, -1, 0, 10**9, 1e308, "x", "../../../etc", [], {}, [10**9], True, "\0"]
        values += [10**30, 10**400, float("nan"), "\ud800", 0.5, [[None]], 2]
        target = facts
        while True:
            key = str(rng.choice(sorted(target)))
            if not isinstance(target[key], dict) or not target[key] or rng.random() < 0.2:
                break
            target = target[key]
        target[key] = values[int(rng.integers(len(values)))]
        (bundle / "model.json").write_text(json.dumps(facts))
    elif kind == 2:  # wrong shapes with correct checksums
        tensors = load_file(bundle / "weights.safetensors")
        name = str(rng.choice(sorted(tensors)))
        shape = tuple(rng.integers(0, 5, int(rng.integers(0, 5))).tolist())
        tensors[name] = tensors[name].new_zeros(shape)
        save_file(tensors, bundle / "weights.safetensors")
        update_checksums(bundle, facts)
    elif kind == 3:  # corrupt files with correct checksums
        corrupt(bundle / str(rng.choice(["weights.safetensors", "vocab.txt"])), rng)
        update_checksums(bundle, facts)
    else:  # a header of tensors that are not in the file
        shape = rng.choice([2**40, 2**62, 0, 1], 2).tolist()
        header = {"conv.weight": {"dtype": "F32", "shape": shape, "data_offsets": [0, 2**40]}}
        text = json.dumps(header).encode()
        size = int(rng.choice([len(text), 2**62, 2**63 - 1, 5]))
        (bundle / "weights.safetensors").write_bytes(struct.pack("<Q", size) + text)
        update_checksums(bundle, facts)
    with tiny_net.register():
        predictor = Predictor(load_bundle(bundle), device="cpu")
        size_px = predictor.image.size_px
        if size_px <= 512:
            words = predictor.encode("the truck on the road")
            predictor.predict(np.zeros((1, size_px, size_px, 3), np.uint8), words)


def update_checksums(bundle: Path, facts: dict[str, Any]) -> None:
    for part, name in (("weights", "weights.safetensors"), ("text", "vocab.txt")):
        facts[part]["sha256"] = hashlib.sha256((bundle / name).read_bytes()).hexdigest()
    (bundle / "model.json").write_text(json.dumps(facts))


# --- datasets


def _random_value(rng: Rng, *, is_path: bool) -> Any:
    names = ["../../../../etc/passwd", "/etc/passwd", "", ".", "none.png", "a\0b", "~/x", "images"]
    values = [None, -1, 0, 10**12, 1e308, float("nan"), [], {}, [[]], "x", True, {"a": 1}]
    return names[int(rng.integers(8))] if is_path else values[int(rng.integers(12))]


def _random_segmentation(rng: Rng) -> Any:
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
        _random_value(rng, is_path=False),
        _random_value(rng, is_path=True),
    ][int(rng.integers(13))]


def run_coco(folder: Path, seed: int) -> None:
    """Read a malformed COCO dataset."""
    rng = np.random.default_rng([4, seed])
    (folder / "images").mkdir()
    Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(folder / "images/a.png")
    square = [[5, 5, 20, 5, 20, 20, 5, 20]]
    dataset: dict[str, Any] = {
        "images": [{"id": 1, "file_name": "a.png", "height": 40, "width": 50}],
        "categories": [{"id": 1, "name": "disc"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "segmentation": square, "iscrowd": 0}
        ],
    }
    kind = seed % 3
    if kind == 0:
        dataset["annotations"][0]["segmentation"] = _random_segmentation(rng)
    elif kind == 1:
        part = dataset[str(rng.choice(sorted(dataset)))][0]
        key = str(rng.choice(sorted(part)))
        part[key] = _random_value(rng, is_path=key == "file_name")
    path = folder / "instances.json"
    path.write_text(json.dumps(dataset))
    if kind == 2:
        corrupt(path if rng.random() < 0.7 else folder / "images/a.png", rng)
    source = InstanceSource(path)
    for index in range(len(source)):
        source.read(index)


def run_triplets(folder: Path, seed: int) -> None:
    """Read a malformed dataset in the layout "triplets"."""
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
        line["segmentation"] = _random_segmentation(rng)
    elif kind == 1:
        line["image"] = _random_value(rng, is_path=True)
    elif kind == 2:
        key = str(rng.choice(sorted(line)))
        line[key] = _random_value(rng, is_path=bool(rng.integers(2)))
    path = folder / "train.jsonl"
    path.write_text(json.dumps(line) + "\n")
    if kind == 3:
        corrupt(path if rng.random() < 0.5 else image, rng)
    for record in read_split(folder, "train"):
        record.image.read()
        if record.mask is not None:
            record.mask.read()


def run_probability(folder: Path, seed: int) -> None:
    """Polygonize a malformed probability raster."""
    rng = np.random.default_rng([6, seed])
    path = folder / "p.tif"
    PROBABILITY_WRITERS[seed % len(PROBABILITY_WRITERS)](path, rng)
    if path.with_suffix(".vrt").exists():
        path = path.with_suffix(".vrt")
    out = folder / "out"
    out.mkdir()
    outputs = Outputs(out / "o.gpkg", mask=out / "m.tif", preview=out / "p.png")
    with bystanders(out):
        try:
            polygonize(path, outputs, expression="discs")
        except RrsisError:
            check_absence(out)
            raise
        check_outputs(outputs)


FAMILIES: dict[str, Callable[[Path, int], None]] = {
    "raster": run_raster,
    "vector": run_vector,
    "bundle": run_bundle,
    "coco": run_coco,
    "triplets": run_triplets,
    "probability": run_probability,
    "expression": run_expression,
    "output": run_output,
    "option": run_option,
    "stac": run_stac,
    "job": run_job,
}


def main(root: Path, cases: list[str]) -> None:
    logging.getLogger("rrsis_geo").addHandler(logging.NullHandler())
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    for case in cases:
        family, _, seed = case.partition(":")
        folder = root / case.replace(":", "-")
        folder.mkdir()
        print(json.dumps({"start": case}), flush=True)
        faulthandler.dump_traceback_later(CASE_SECONDS, exit=True)
        _reset_peak_memory()
        started = time.process_time()
        message = ""
        try:
            FAMILIES[family](folder, int(seed))
            outcome = "done"
        except RrsisError as err:
            outcome, message = type(err).__name__, str(err)
        except BaseException:
            outcome, message = "bug", traceback.format_exc()
        faulthandler.cancel_dump_traceback_later()
        seconds = time.process_time() - started
        result = {"case": case, "outcome": outcome, "message": message, "seconds": seconds}
        print(json.dumps({**result, "peak_bytes": _peak_memory()}), flush=True)
        shutil.rmtree(folder, ignore_errors=True)


def _reset_peak_memory() -> None:
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")


def _peak_memory() -> int:
    """Largest resident memory of the process since the last reset, libraries included."""
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main(Path(sys.argv[1]), sys.argv[2:])
