"""`segment` on several scenes, as users call it: one table, one exit code, and how to go on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
from affine import Affine
from bright_stub import BrightPredictor
from scene_files import write_scene
from typer.testing import CliRunner

from rrsis_geo import cli

runner = CliRunner()
pytestmark = pytest.mark.usefixtures("own_logging")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder to work in, with two scenes, and the stand-in in place of the model."""
    from rrsis_geo.segment.batch import scenes

    monkeypatch.setattr(scenes, "load_predictor", lambda options: BrightPredictor())
    (tmp_path / "tiles").mkdir()
    for number, name in enumerate("ab"):
        transform = Affine(0.5, 0, 500_000 + 90 * number, 0, -0.5, 5_200_000)
        write_scene(tmp_path / f"tiles/{name}.tif", 80, 90, transform=transform)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def segment(*arguments: object) -> Any:
    return runner.invoke(cli.app, ["segment", *map(str, arguments), "--overlap", "16"])


def failed(result: Any, code: int, *words: str) -> None:
    """It ended with one error that holds the words, and nothing on stdout."""
    assert result.exit_code == code, (result.stdout, result.stderr, result.exception)
    assert result.stdout == ""
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    for word in words:
        assert word in error


def files(folder: str = ".") -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def test_a_folder_into_a_folder(here: Path) -> None:
    result = segment("tiles", "bright spots", "-o", "results/", "--mask", "masks")
    assert result.exit_code == 0, result.stderr
    assert files("results") == ["a.gpkg", "b.gpkg"]
    assert files("masks") == ["a_mask.qml", "a_mask.tif", "b_mask.qml", "b_mask.tif"]
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["scene", "objects", "area", "time", "state"]
    rows = {line.split()[0]: line.split() for line in lines[1:3]}
    for name in "ab":
        n_objects = len(gpd.read_file(f"results/{name}.gpkg", layer="bright_spots"))
        assert rows[f"{name}.tif"][1] == str(n_objects)
        assert rows[f"{name}.tif"][-1] == "done"
    assert 'for "bright spots" in 2 scenes' in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize("given", ["tiles", "tiles/", "./tiles/*.tif", "tiles.txt"])
def test_one_file_for_all_is_where_it_goes_if_nobody_says(here: Path, given: str) -> None:
    (here / "tiles.txt").write_text("tiles/a.tif\ntiles/b.tif\n")
    result = segment(given, "bright spots")
    assert result.exit_code == 0, result.stderr
    layer = gpd.read_file("tiles_bright_spots.gpkg", layer="bright_spots")
    assert set(layer["scene"]) == {"a.tif", "b.tif"}
    assert files() == ["tiles", "tiles.txt", "tiles_bright_spots.gpkg"]


def test_several_expressions_have_a_column_each(here: Path) -> None:
    result = segment("tiles", "bright spots", "white roofs", "-o", "all.gpkg")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[0].split() == [
        *("scene", "bright", "spots", "white", "roofs", "time", "state")
    ]


def test_json_is_all_of_stdout(here: Path) -> None:
    result = segment("tiles", "bright spots", "-o", "all.gpkg", "--json")
    record = json.loads(result.stdout)
    assert [scene["scene"] for scene in record["scenes"]] == ["tiles/a.tif", "tiles/b.tif"]
    assert record["outputs"] == {"vector": "all.gpkg"}
    assert record["n_failed"] == 0


def test_a_scene_that_fails_is_named_and_shows_in_the_exit_code(here: Path) -> None:
    scene = write_scene(here / "tiles/b.tif", 80, 90, compress=None, blocks=None)
    scene.write_bytes(scene.read_bytes()[:9000])
    result = segment("tiles", "bright spots", "-o", "results")
    assert result.exit_code == 7
    row = next(line for line in result.stdout.splitlines() if line.startswith("b.tif"))
    assert row.split()[1:5] == ["-", "-", "-", "failed:"]
    assert "1 of 2 scenes failed" in result.stderr
    assert "b.tif" in result.stderr
    assert "--resume" in result.stderr
    assert files("results") == ["a.gpkg", "scenes.job"]


@pytest.mark.parametrize(
    ("option", "value"),
    [("--shard", "1/2"), ("--scheduler", "tcp://h:1"), ("--from-probability", "p.tif")],
)
def test_what_is_about_one_scene_is_refused(here: Path, option: str, value: str) -> None:
    failed(segment("tiles", "x", option, value), 2, option)


def test_a_pattern_that_the_shell_took_apart(here: Path) -> None:
    result = segment("tiles/a.tif", "tiles/b.tif", "bright spots")
    failed(result, 2, "tiles/b.tif", '"tiles/*.tif"')


def test_a_file_that_is_called_like_the_expression(here: Path) -> None:
    (here / "roofs").touch()
    assert segment("tiles", "roofs", "-o", "o.gpkg").exit_code == 0


def test_what_is_no_scene_is_told(here: Path) -> None:
    failed(segment("*.jp2", "x"), 3, "no rasters match")
    (here / "empty").mkdir()
    failed(segment("empty", "x"), 3, "no rasters in this folder")
    failed(segment("tiles", "x", "-o", "none/results"), 5, "none does not exist")
    assert files() == ["empty", "tiles"]


SCRIPT = """
import sys, time
from pathlib import Path
from bright_stub import BrightPredictor
from rrsis_geo.cli import app
from rrsis_geo.segment.batch import scenes

class Slow(BrightPredictor):
    def predict(self, images, words):
        if Path("results/a.gpkg").exists():
            Path("second").touch()
            time.sleep({seconds})
        return super().predict(images, words)

Slow.__name__ = "BrightPredictor"
scenes.load_predictor = lambda options: Slow()
app(sys.argv[1:])
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_prints_how_to_go_on(here: Path) -> None:
    arguments = ["segment", "tiles", "bright spots", "-o", "results", "--overlap", "16"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def call(seconds: float, *more: str) -> subprocess.Popen[str]:
        code = SCRIPT.format(seconds=seconds)
        return subprocess.Popen(
            [sys.executable, "-c", code, *arguments, *more],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    process = call(3)
    wait_for(lambda: Path("second").exists())
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "of 2 scenes are done and saved in results/scenes.job" in err
    assert "rrsis-geo segment tiles 'bright spots' -o results --overlap 16 --resume" in err
    process = call(0, "--resume")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "in 2 scenes" in out
    assert files("results") == ["a.gpkg", "b.gpkg"]


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
