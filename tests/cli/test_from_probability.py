"""`segment --from-probability`: no scene, no model, no network."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS
from typer.testing import CliRunner

from rrsis_geo import cli
from rrsis_geo.geo.grid.rasters import Georeference, RasterWriter, encode_probability


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    package = logging.getLogger("rrsis_geo")
    before = package.handlers[:], package.level, package.propagate
    yield
    package.handlers, package.propagate = before[0], before[2]
    package.setLevel(before[1])
    logging.captureWarnings(False)


@pytest.fixture
def probability(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One object above 0.5, and two above 0.25, in an empty folder."""
    values = np.zeros((40, 60), np.float32)
    values[4:10, 4:10], values[20:30, 20:30] = 0.9, 0.3
    place = Affine(0.5, 0, 500_000, 0, -0.5, 5_200_000)
    tags = {"expression": "the white van", "model": "lite"}
    crs = CRS.from_epsg(32632)
    path = tmp_path / "van.tif"
    georeference = Georeference(values.shape, crs, place)
    with RasterWriter(path, "probability", georeference, tags=tags) as out:
        out.write_band(0, encode_probability(values, np.ones(values.shape, bool)))
    monkeypatch.chdir(tmp_path)
    return path


def run(*arguments: object) -> Any:
    return CliRunner().invoke(cli.app, ["segment", *map(str, arguments)])


def test_polygons_at_another_threshold(probability: Path) -> None:
    done = run("--from-probability", probability, "--threshold", 0.25)
    assert done.exit_code == 0, done.stderr
    assert 'objects above 0.25 for "the white van"' in done.stdout
    layer = gpd.read_file("van.gpkg", layer="the_white_van")
    assert layer.n_pixels.tolist() == [36, 100]
    assert set(layer.model) == {"lite"}


def test_everything_else_that_has_a_meaning(probability: Path) -> None:
    done = run(
        *("--from-probability", probability, "-o", "o.geojson", "--mask", "m.tif", "--preview"),
        *("p.png", "--report", "r.html", "--min-area", 5, "--simplify", 1, "--json"),
    )
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["n_objects"] == 1
    assert sorted(told["outputs"]) == ["mask", "preview", "report", "vector"]
    assert all(Path(path).exists() for path in told["outputs"].values())
    assert "rrsis-geo segment --from-probability" in Path("r.html").read_text(encoding="utf-8")


def test_what_needs_the_network_is_refused(probability: Path) -> None:
    done = run("--from-probability", probability, "--device", "cpu", "--bbox", "1,2,3,4")
    assert done.exit_code == 2
    assert "--device, --bbox: has no effect with --from-probability" in done.stderr
    assert [path.name for path in Path.cwd().iterdir() if path.suffix == ".gpkg"] == []


def test_several_expressions_are_refused(probability: Path) -> None:
    done = run("--from-probability", probability, "scene.tif", "a van", "a bus")
    assert done.exit_code == 2
    assert "a probability raster belongs to one expression, got 2" in done.stderr
    (Path.cwd() / "list.txt").write_text("a van")
    done = run("--from-probability", probability, "--expressions", "list.txt")
    assert done.exit_code == 2
    assert "--expressions: has no effect with --from-probability" in done.stderr


def test_without_it_scene_and_expression_are_asked_for(probability: Path) -> None:
    for arguments in ((), (probability,)):
        done = run(*arguments)
        assert done.exit_code == 2
        assert "give a SCENE and an EXPRESSION" in done.stderr
