"""`segment --from-probability` as users call it."""

import json
import os
import time
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from typer.testing import CliRunner

from rrsis_geo import cli
from rrsis_geo.geo.grid.rasters import Georeference, RasterWriter, encode_probability

pytestmark = pytest.mark.usefixtures("own_logging")


@pytest.fixture
def probability(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A raster with one object above 0.5 and two above 0.25, in the current folder."""
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
    result = run("--from-probability", probability, "--threshold", 0.25)
    assert result.exit_code == 0, result.stderr
    assert 'objects above 0.25 for "the white van"' in result.stdout
    layer = gpd.read_file("van.gpkg", layer="the_white_van")
    assert layer.n_pixels.tolist() == [36, 100]
    assert set(layer.model) == {"lite"}


def test_every_other_output_and_option(probability: Path) -> None:
    result = run(
        *("--from-probability", probability, "-o", "o.geojson", "--mask", "m.tif", "--preview"),
        *("p.png", "--report", "r.html", "--min-area", 5, "--simplify", 1, "--json"),
    )
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["n_objects"] == 1
    assert sorted(record["outputs"]) == ["mask", "preview", "report", "vector"]
    assert all(Path(path).exists() for path in record["outputs"].values())
    assert "rrsis-geo segment --from-probability" in Path("r.html").read_text(encoding="utf-8")


def test_creation_options(probability: Path) -> None:
    options = ("--co", "compress=LZW", "--co", "COORDINATE_PRECISION=7")
    result = run("--from-probability", probability, "-o", "o.geojson", "--mask", "m.tif", *options)
    assert result.exit_code == 0, result.stderr
    with rasterio.open("m.tif") as dataset:
        assert dataset.compression.name == "lzw"
    (corners, *_) = json.loads(Path("o.geojson").read_text())["features"][0]["geometry"][
        "coordinates"
    ]
    assert corners == [[round(number, 7) for number in corner] for corner in corners]
    result = run("--from-probability", probability, "-o", "p.fgb", "--co", "TILED=YES")
    assert result.exit_code == 2
    assert "TILED is unknown, or set by rrsis-geo itself; .fgb has SPATIAL_INDEX, TITLE" in (
        " ".join(result.stderr.split())
    )
    assert not Path("p.fgb").exists()


def test_options_of_the_model_are_errors(probability: Path) -> None:
    result = run("--from-probability", probability, "--device", "cpu", "--bbox", "1,2,3,4")
    assert result.exit_code == 2
    assert "--device, --bbox: has no effect with --from-probability" in result.stderr
    assert [path.name for path in Path.cwd().iterdir() if path.suffix == ".gpkg"] == []


def test_several_expressions_are_an_error(probability: Path) -> None:
    result = run("--from-probability", probability, "scene.tif", "a van", "a bus")
    assert result.exit_code == 2
    assert "a probability raster belongs to one expression, got 2" in result.stderr
    (Path.cwd() / "list.txt").write_text("a van")
    result = run("--from-probability", probability, "--expressions", "list.txt")
    assert result.exit_code == 2
    assert "--expressions: has no effect with --from-probability" in result.stderr


def test_without_the_option_scene_and_expression_are_required(probability: Path) -> None:
    for arguments in ((), (probability,)):
        result = run(*arguments)
        assert result.exit_code == 2
        assert "give a SCENE and an EXPRESSION" in result.stderr


def test_the_time_in_the_report_counts_from_the_start_of_the_program(
    probability: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Imports are most of a short run."""
    arguments = ["segment", "--from-probability", str(probability), "--json", "-o", "v.gpkg"]
    monkeypatch.setattr("sys.argv", ["rrsis-geo", *arguments, "--report", "v.html"])
    began = time.perf_counter() - 7200
    monkeypatch.setitem(cli.main.__globals__, "PROGRAM_STARTED", began)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("os.environ", {**os.environ})
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    assert 7200 <= json.loads(capsys.readouterr().out)["seconds"] < 10_000
    assert "2 h" in Path("v.html").read_text(encoding="utf-8")
