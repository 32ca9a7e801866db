"""`segment` on many scenes as users call it: the table, the exit code, how to resume."""

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
    """A current folder with two scenes. The model is replaced with a stub."""
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


def assert_fails(result: Any, code: int, *words: str) -> None:
    """Check that the call printed nothing on stdout and one error with all words."""
    assert result.exit_code == code, (result.stdout, result.stderr, result.exception)
    assert result.stdout == ""
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    for word in words:
        assert word in error


def files(folder: str = ".") -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def test_folder_of_scenes_to_folder_of_results(here: Path) -> None:
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


@pytest.mark.parametrize("scenes", ["tiles", "tiles/", "./tiles/*.tif", "tiles.txt"])
def test_default_output_is_one_file(here: Path, scenes: str) -> None:
    (here / "tiles.txt").write_text("tiles/a.tif\ntiles/b.tif\n")
    result = segment(scenes, "bright spots")
    assert result.exit_code == 0, result.stderr
    layer = gpd.read_file("tiles_bright_spots.gpkg", layer="bright_spots")
    assert set(layer["scene"]) == {"a.tif", "b.tif"}
    assert files() == ["tiles", "tiles.txt", "tiles_bright_spots.gpkg"]


def test_each_expression_has_a_column(here: Path) -> None:
    result = segment("tiles", "bright spots", "white roofs", "-o", "all.gpkg")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[0].split() == [
        *("scene", "bright", "spots", "white", "roofs", "time", "state")
    ]


def test_json_is_the_only_output(here: Path) -> None:
    result = segment("tiles", "bright spots", "-o", "all.gpkg", "--json")
    record = json.loads(result.stdout)
    assert [scene["scene"] for scene in record["scenes"]] == ["tiles/a.tif", "tiles/b.tif"]
    assert record["outputs"] == {"vector": "all.gpkg"}
    assert record["n_failed"] == 0


def test_a_failed_scene_is_named_and_exits_with_7(here: Path) -> None:
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
def test_options_for_one_scene_are_errors(here: Path, option: str, value: str) -> None:
    assert_fails(segment("tiles", "x", option, value), 2, option)


def test_a_pattern_that_the_shell_expanded_is_an_error(here: Path) -> None:
    result = segment("tiles/a.tif", "tiles/b.tif", "bright spots")
    assert_fails(result, 2, "tiles/b.tif", '"tiles/*.tif"')


def test_an_expression_may_equal_a_file_name_without_suffix(here: Path) -> None:
    (here / "roofs").touch()
    assert segment("tiles", "roofs", "-o", "o.gpkg").exit_code == 0


def test_missing_scenes_are_errors(here: Path) -> None:
    assert_fails(segment("*.jp2", "x"), 3, "no rasters match")
    (here / "empty").mkdir()
    assert_fails(segment("empty", "x"), 3, "no rasters in this folder")
    assert_fails(segment("tiles", "x", "-o", "none/results"), 5, "none does not exist")
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
def test_ctrl_c_prints_how_to_resume(here: Path) -> None:
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
