"""Validate GeoPackages with GDAL's validator, which has the tests of the OGC, and with PDOK's.

GDAL's validator is part of its Python utilities (Debian: python3-gdal). PDOK's is
pdok-geopackage-validator.
"""

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
from affine import Affine
from layer_files import write_layer
from numpy.typing import NDArray
from predictor_stubs import StubOutput, StubPredictor
from rasterio.crs import CRS
from rasterio.windows import Window
from scene_files import LOCAL_WKT, write_scene

from rrsis_geo.geo.crs import as_proj
from rrsis_geo.geo.layers.windows_layer import WindowScore, append_windows
from rrsis_geo.geo.objects.candidates import make_features
from rrsis_geo.geo.objects.features import FeatureOptions
from rrsis_geo.geo.objects.vectorize import vectorize
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.scene import segment_scene

SYSTEM_PYTHON = "/usr/bin/python3"  # the Python of Debian's python3-gdal
OGC = "osgeo_utils.samples.validate_gpkg"
UTM = CRS.from_epsg(32645)
NOT_OGC = {"RQ22"}
"""Rules of PDOK only: "only the following EPSG spatial reference systems are allowed"."""


@pytest.fixture(scope="module")
def ogc() -> None:
    """Skip if GDAL's validator is not installed."""
    if not Path(SYSTEM_PYTHON).exists():
        pytest.skip("python3-gdal is not installed")
    if subprocess.run([SYSTEM_PYTHON, "-c", f"import {OGC}"], capture_output=True).returncode:
        pytest.skip("python3-gdal is not installed")


def validate(path: Path) -> str:
    """Output of GDAL's validator with its extra tests; empty if the file is valid."""
    command = [SYSTEM_PYTHON, "-m", OGC, "-k", "--extra", "--warning-as-error", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    output = done.stdout + done.stderr
    assert bool(done.returncode) == bool(output.strip()), output
    return output


def write(
    path: Path,
    crs: CRS | None = UTM,
    *,
    expression: str = "the truck on the road",
    n_objects: int = 2,
    windows: bool = False,
) -> Path:
    mask = np.zeros((40, 60), bool)
    mask[5:20, 5:25] = n_objects > 0
    mask[10:14, 10:14] = False
    mask[22:36, 30:50] = n_objects > 1
    transform = Affine(0.3, 0, 334_000, 0, -0.3, 3_065_000)
    if crs is not None and crs.is_geographic:
        transform = Affine(1e-5, 0, 8, 0, -1e-5, 47)
    features = make_features(
        [vectorize(mask, np.full(mask.shape, 0.9, np.float32))],
        FeatureOptions(transform=transform, crs=crs, expression=expression, model="lite"),
    )
    extend = None
    if windows:
        scores = [
            WindowScore(0, 0, Window(0, 0, 40, 40), "seen", 0.5, 0.9),
            WindowScore(0, 1, Window(30, 0, 30, 40), "failed", reason="cannot be read"),
        ]
        to_proj = None if crs is None else as_proj(crs)
        extend = partial(append_windows, scores=scores, transform=transform, crs=to_proj)
    write_layer(
        path, features, crs=crs, expression=expression, provenance={"model": "lite"}, extend=extend
    )
    return path


@pytest.mark.usefixtures("ogc")
@pytest.mark.parametrize("windows", [False, True], ids=["objects", "objects and windows"])
@pytest.mark.parametrize(
    "crs",
    [UTM, CRS.from_epsg(4326), CRS.from_wkt(LOCAL_WKT), None],
    ids=["UTM", "degrees", "without authority", "none"],
)
def test_layer_in_any_crs(tmp_path: Path, crs: CRS | None, windows: bool) -> None:
    assert validate(write(tmp_path / "found.gpkg", crs, windows=windows)) == ""


@pytest.mark.usefixtures("ogc")
@pytest.mark.parametrize("expression", ['the "red" car\'s roof', "größtes Gebäude", "gpkg_", "树"])
def test_layer_of_any_expression(tmp_path: Path, expression: str) -> None:
    path = write(tmp_path / "found.gpkg", expression=expression)
    assert validate(path) == ""


@pytest.mark.usefixtures("ogc")
def test_empty_layer(tmp_path: Path) -> None:
    assert validate(write(tmp_path / "none.gpkg", n_objects=0)) == ""


@pytest.mark.usefixtures("ogc")
def test_validator_finds_errors(tmp_path: Path) -> None:
    path = write(tmp_path / "found.gpkg")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE gpkg_geometry_columns SET srs_id = 4711")
        connection.commit()
    assert "4711" in validate(path)


class Bright(StubPredictor):
    """Stub of a model: bright pixels are the target."""

    def predict(self, images: NDArray[np.uint8], words: Any) -> StubOutput:
        return StubOutput(images[..., 0].astype(np.float32) - 150, None)


def segment(folder: Path, expressions: str | Sequence[str], **scene: Any) -> Path:
    path = folder / "found.gpkg"
    segment_scene(
        write_scene(folder / "scene.tif", 150, 200, **scene),
        expressions,
        Outputs(path, windows_layer=True),
        SegmentOptions(overlap_px=16),
        predictor=Bright(),
    )
    return path


@pytest.mark.usefixtures("ogc")
@pytest.mark.parametrize("expressions", ["bright things", ("bright things", "every roof")])
def test_output_of_segment(tmp_path: Path, expressions: str | Sequence[str]) -> None:
    path = segment(tmp_path, expressions)
    assert pyogrio.read_info(path, layer="bright_things")["features"] > 0
    assert validate(path) == ""


@pytest.mark.slow
def test_output_of_segment_with_pdok(tmp_path: Path) -> None:
    program = shutil.which("geopackage-validator")
    if program is None:
        pytest.skip("pdok-geopackage-validator is not installed")
    path = segment(tmp_path, ("bright things", "every roof"), crs="EPSG:3857")
    done = subprocess.run(
        [program, "validate", "--gpkg-path", str(path)], capture_output=True, text=True, timeout=60
    )
    results = json.loads(done.stdout)["results"]
    assert [result for result in results if result["validation_code"] not in NOT_OGC] == []
