"""``rrsis-geo dataset`` as users call it."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import pytest
from shapely.geometry import box
from typer.testing import CliRunner

from rrsis_geo import cli, console

runner = CliRunner()
pytestmark = pytest.mark.usefixtures("own_logging")


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = runner.invoke(cli.app, ["dataset", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    left, top = 500_000.0, 5_200_000.0
    places = [(row, col) for row in range(10, 120, 30) for col in range(10, 120, 30)]
    shapes = [box(left + col, top - row - 8, left + col + 12, top - row) for row, col in places]
    table = gpd.GeoDataFrame({"kind": ["truck"] * len(shapes)}, geometry=shapes, crs="EPSG:32632")
    table.to_file(tmp_path / "labels.gpkg", engine="pyogrio")
    return tmp_path / "labels.gpkg"


def test_from_vectors_then_check(
    make_scene: Callable[..., Path], labels: Path, tmp_path: Path
) -> None:
    scene, root = make_scene(256, 256), tmp_path / "dataset"
    options = ["--category-column", "kind", "--complete", "--chip", "64", "-o", root]
    code, out, err = run("from-vectors", scene, labels, *options)
    assert code == 0, err
    assert "64 x 64 pixels of 50 cm" in out
    assert "kind category" in out
    assert "category truck" in out
    assert re.search(r"labels +\d+ +\d+", out)
    assert "the val split has only" in err
    code, out, err = run("check", root, "--layout", "triplets", "--sheet", tmp_path / "s.png")
    assert code == 0, err
    assert "damaged or missing" in out
    assert (tmp_path / "s.png").stat().st_size > 10_000
    code, out, _ = run("check", root, "--layout", "triplets", "--json")
    record = json.loads(out)
    assert record["n_problems"] == 0
    assert record["splits"]["train"]["categories"].keys() == {"truck"}
    code, _, err = run("from-vectors", scene, labels, *options)
    assert code == 5
    assert "--overwrite" in err


def test_json_runs_show_their_progress(
    make_scene: Callable[..., Path],
    labels: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(console, "LOG_EVERY_S", 1e-9)
    options = ["--category", "truck", "--chip", "64", "-o", tmp_path / "made", "--json"]
    code, out, err = run("from-vectors", make_scene(256, 256), labels, *options)
    assert code == 0, err
    assert json.loads(out)["splits"]
    assert re.search(r"chips: \d+ of \d+", err)
    code, out, err = run("check", tmp_path / "made", "--layout", "triplets", "--json")
    assert json.loads(out)["n_problems"] == 0
    assert "train samples: " in err


def test_check_names_damaged_files_and_fails(
    make_benchmark: Callable[..., Path],
) -> None:
    root = make_benchmark("refsegrs")
    damaged = sorted((root / "images").iterdir())[0]
    damaged.write_bytes(b"no image")
    code, out, err = run("check", root, "--layout", "refsegrs")
    assert code == 3
    assert str(damaged) in err.replace("\n", "")
    assert "published" in out
    code, _, err = run("check", root, "--layout", "refseg")
    assert code == 2
    assert "did you mean" in err


def test_invalid_options_are_errors(
    make_scene: Callable[..., Path], labels: Path, tmp_path: Path
) -> None:
    code, _, err = run("from-vectors", make_scene(), labels, "-o", tmp_path / "dataset")
    assert code == 2
    assert "--category-column" in err
    assert "neither was given" in err
    code, _, err = run("from-coco", tmp_path / "none.json", "-o", tmp_path / "dataset")
    assert code == 3
    assert "none.json" in err
    assert not (tmp_path / "dataset").exists()
