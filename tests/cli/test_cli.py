"""Commands as users call them: results on stdout, errors as one line on stderr, exit codes."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
import typer
from bright_stub import BrightPredictor
from command_run import Run
from repository import ROOT, SUPPORT
from typer.testing import CliRunner

from rrsis_geo import __version__, cli
from rrsis_geo.errors import ConfigError, DeviceError, RrsisError
from rrsis_geo.images import ImageSpec

MakeScene = Callable[..., Path]
runner = CliRunner()
pytestmark = pytest.mark.usefixtures("own_logging")


@pytest.fixture
def bright(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> BrightPredictor:
    """Replace the model with a stub, and make an empty folder the current one."""
    from rrsis_geo.segment import scene as segment

    predictor = BrightPredictor()
    monkeypatch.setattr(segment, "load_predictor", lambda options: predictor)
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return predictor


# --- segment


def test_segment_writes_to_the_current_folder(
    make_scene: MakeScene, bright: BrightPredictor
) -> None:
    scene = make_scene(200, 300)
    run = Run("segment", scene, "The bright spots!", "--overlap", 16)
    assert run.code == 0, run.err
    assert [path.name for path in Path.cwd().iterdir()] == ["scene-0_the_bright_spots.gpkg"]
    layer = gpd.read_file("scene-0_the_bright_spots.gpkg", layer="the_bright_spots")
    assert run.out.startswith(f'{len(layer)} objects for "The bright spots!" in ')
    assert "scene-0_the_bright_spots.gpkg" in run.out
    assert run.err == ""


def test_every_option_reaches_segment_scene(
    make_scene: MakeScene, bright: BrightPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rrsis_geo.segment import scene as segment

    recorded: dict[str, Any] = {}

    def fake(*arguments: Any, **named: Any) -> Any:
        recorded["arguments"] = arguments
        raise ConfigError("called")

    monkeypatch.setattr(segment, "segment_scene", fake)
    Run(
        *(
            "segment",
            "/vsicurl/https://host/s.tif",
            "the bus",
            "-o",
            "o.fgb",
            "--model",
            "m",
            "--device",
            "cpu",
        ),
        *("--dtype", "bf16", "--batch-size", 3, "--overlap", 64, "--threshold", 0.4),
        *("--min-area", 5, "--simplify", 0.5, "--bbox", "-1,2,3e0,4,EPSG:4326", "--bands", "3,2,1"),
        *("--nodata", "nan", "--gsd", 0.3, "--mask", "m.tif", "--probability", "p.tif"),
        *("--preview", "p.png", "--overwrite", "--allow-no-crs", "--threads", 2),
    ).failed(2, "called")
    scene, expression, outputs, options = recorded["arguments"]
    assert (scene, expression) == ("/vsicurl/https://host/s.tif", ["the bus"])
    assert outputs.files() == {
        "vector": Path("o.fgb"),
        "mask": Path("m.tif"),
        "probability": Path("p.tif"),
        "preview": Path("p.png"),
    }
    assert outputs.overwrite
    assert (options.model, options.device, options.dtype) == ("m", "cpu", "bf16")
    assert (options.batch_size, options.threads, options.overlap_px) == (3, 2, 64)
    assert (options.threshold, options.min_area_m2, options.simplify_m) == (0.4, 5, 0.5)
    assert (options.scene.bbox, options.scene.bbox_crs) == ((-1, 2, 3, 4), "EPSG:4326")
    assert options.scene.bands == (3, 2, 1)
    assert np.isnan(options.scene.nodata)
    assert options.scene.gsd_m == 0.3
    assert options.scene.resample
    assert options.scene.allow_no_crs


def test_several_expressions(make_scene: MakeScene, bright: BrightPredictor) -> None:
    lines = "\ufeff# a comment\r\nthe roofs\r\n\r\n  the cars \r\nthe spots\r\n"
    Path("list.txt").write_bytes(lines.encode())
    scene = make_scene(200, 300)
    run = Run(
        "segment", scene, "the spots", "all trees", "--expressions", "list.txt", "--overlap", 16
    )
    assert run.code == 0, run.err
    assert '"the spots" is given more than once; it is segmented once' in run.err
    (layers,) = Path.cwd().glob("*.gpkg")
    assert layers.name == "scene-0_4_expressions.gpkg"
    rows = run.out.splitlines()
    assert rows[0].split() == ["expression", "objects", "area", "highest", "presence"]
    expressions = ["the spots", "all trees", "the roofs", "the cars"]
    assert [row.split("  ")[0] for row in rows[1:5]] == expressions
    assert "for 4 expressions in " in rows[5]
    for name in ("the_spots", "all_trees", "the_roofs", "the_cars"):
        assert len(gpd.read_file(layers, layer=name)) > 0


def test_json_of_several_expressions(make_scene: MakeScene, bright: BrightPredictor) -> None:
    run = Run(
        "segment", make_scene(200, 300), "cars", "roofs", "-o", "o.fgb", "--json", "--overlap", 16
    )
    record = json.loads(run.out)
    assert "expression" not in record
    assert record["outputs"] == {"vector:cars": "o_cars.fgb", "vector:roofs": "o_roofs.fgb"}
    assert [result["expression"] for result in record["results"]] == ["cars", "roofs"]
    assert record["n_objects"] == sum(result["n_objects"] for result in record["results"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        (b"# nothing\n\n", "has no expressions; write one per line"),
        ("caf\xe9".encode("latin-1"), "is not UTF-8 text"),
    ],
)
def test_invalid_expression_files_are_errors(
    make_scene: MakeScene, bright: BrightPredictor, content: bytes | None, words: str
) -> None:
    if content is not None:
        Path("list.txt").write_bytes(content)
    Run("segment", make_scene(), "--expressions", "list.txt").failed(2, "list.txt", words)


def test_json_is_the_only_output(make_scene: MakeScene, bright: BrightPredictor) -> None:
    run = Run(
        *(
            "segment",
            make_scene(),
            "the 99 largest spots",
            "--json",
            "--overlap",
            16,
            "-o",
            "o.gpkg",
        ),
        *("--mask", "m.tif"),
    )
    record = json.loads(run.out)
    assert record["outputs"] == {"vector": "o.gpkg", "mask": "m.tif"}
    assert len(record["warnings"]) == 1
    assert run.err.startswith("warning: the 99 largest: only ")


def test_explain_needs_no_scene() -> None:
    run = Run("segment", "none.tif", "cars within 20 m of the largest building", "--explain")
    assert "within 20 m of (buildings ; the largest)" in run.out
    assert "cars; buildings" in run.out
    assert "landmarks" in run.out
    assert "below 0.6 come last" in run.out
    leftmost = Run("segment", "none.tif", "the leftmost car", "--explain")
    assert "below 0.85 come last" in leftmost.out
    record = json.loads(Run("segment", "none.tif", "the car", "--explain", "--json").out)
    assert record[0]["phrases"] == ["cars"]
    Run("segment", "none.tif", "the largset car", "--explain").failed(3, "largest")


def test_landmarks_of_the_user(make_scene: MakeScene, bright: BrightPredictor) -> None:
    scene, expression = make_scene(), "the spot closest to the pier"
    with rasterio.open(scene) as dataset:
        place = shapely.Point(dataset.transform @ (5, 5))
        gpd.GeoSeries([place], crs=dataset.crs).to_file("piers.gpkg", layer="north")
    given = ("--landmark", "the piers=piers.gpkg:north")
    explained = json.loads(Run("segment", scene, expression, *given, "--explain", "--json").out)
    (phrase,) = explained[0]["phrases"]
    assert "spot" in phrase
    files = ("-o", "o.gpkg", "--keep-candidates", "--json", "--overlap", 16)
    (result,) = json.loads(Run("segment", scene, expression, *given, *files).out)["results"]
    assert result["n_objects"] == 1
    layer = gpd.read_file("o.gpkg", layer=result["layer"])
    assert len(layer) == result["n_candidates"] > 1
    assert layer[layer.chosen].distance_m.tolist() == [layer.distance_m.min()]
    other = ("--landmark", "jetty=piers.gpkg", "--overlap", 16)
    Run("segment", scene, expression, *other).failed(2, "jetty", "pier")


def test_quiet_prints_only_the_result(make_scene: MakeScene, bright: BrightPredictor) -> None:
    run = Run("segment", make_scene(), "the 99 largest spots", "--quiet", "--overlap", 16)
    assert run.code == 0
    assert run.err == ""


def test_progress_as_json_lines(make_scene: MakeScene, bright: BrightPredictor) -> None:
    scene = make_scene()
    arguments = ("segment", scene, "spots", "--overlap", 16, "-o", "o.gpkg", "--progress", "json")
    run = Run(*arguments, "--json")
    assert run.code == 0, run.err
    assert json.loads(run.out)["outputs"] == {"vector": "o.gpkg"}
    events = [json.loads(line) for line in run.err.splitlines()]
    steps = [(event["stage"], event["done"], event["total"]) for event in events]
    windows = [step for step in steps if step[0] == "windows"]
    assert (windows[0], windows[-1]) == (("windows", 0, 35), ("windows", 35, 35))
    assert steps[-1][0] == "outputs"
    assert steps[-1][1] == steps[-1][2] > 0
    run = Run(*arguments)
    assert run.code == 5
    (error,) = map(json.loads, run.err.splitlines())
    assert (error["event"], error["level"]) == ("message", "error")
    assert error["text"].startswith("o.gpkg: exists")
    Run(*arguments[:-2]).failed(5, "o.gpkg: exists")  # text again


def test_no_objects_is_not_an_error(make_scene: MakeScene, bright: BrightPredictor) -> None:
    scene = make_scene(content=lambda row, col, band: 0 * row + 50)
    run = Run("segment", scene, "spots", "--overlap", 16)
    assert run.code == 0
    assert run.out.startswith("0 objects")


# --- errors: exit codes and messages


def test_missing_scene(bright: BrightPredictor) -> None:
    Run("segment", "none.tif", "the bus").failed(3, "none.tif: no such file")
    Run("info", "none.tif", "--model", "none").failed(4)


def test_not_a_raster(bright: BrightPredictor) -> None:
    Path("notes.tif").write_text("not a raster")
    Run("segment", "notes.tif", "the bus").failed(3, "notes.tif", "not a raster")


def test_truncated_raster(make_scene: MakeScene, bright: BrightPredictor) -> None:
    scene = make_scene(600, 600, compress=None)
    scene.write_bytes(scene.read_bytes()[:300_000])
    Run("segment", scene, "the bus", "--overlap", 16).failed(3, str(scene))
    assert not list(Path.cwd().iterdir())


def test_no_crs(make_scene: MakeScene, bright: BrightPredictor) -> None:
    scene = make_scene(crs=None)
    Run("segment", scene, "the bus").failed(3, "no CRS", "--allow-no-crs")
    run = Run("segment", scene, "the bus", "--allow-no-crs", "--overlap", 16)
    assert run.code == 0
    assert "unknown" in run.out


def test_two_bands(make_scene: MakeScene, bright: BrightPredictor) -> None:
    Run("segment", make_scene(bands=2), "the bus").failed(3, "two bands", "--bands")


@pytest.mark.parametrize("expression", ["", "   ", "..."])
def test_empty_expression(make_scene: MakeScene, bright: BrightPredictor, expression: str) -> None:
    Run("segment", make_scene(), expression).failed(3, "expression is empty")


def test_unknown_model(make_scene: MakeScene, tmp_path: Path) -> None:
    output = tmp_path / "o.gpkg"
    run = Run("segment", make_scene(), "the bus", "--model", "yolo", "-o", output)
    run.failed(4, 'no model bundle "yolo"')
    assert not output.exists()


def test_damaged_bundle(make_scene: MakeScene, tmp_path: Path) -> None:
    bundle = tmp_path / "broken"
    bundle.mkdir()
    (bundle / "model.json").write_text('{"format": 1')
    run = Run("segment", make_scene(), "bus", "--model", bundle, "-o", tmp_path / "o.gpkg")
    run.failed(4, "model.json", "is not JSON")
    Run("info", make_scene(), "--model", bundle).failed(4, "model.json")


def test_area_outside_the_scene(
    make_scene: MakeScene, bright: BrightPredictor, tmp_path: Path
) -> None:
    scene = make_scene()
    Run("segment", scene, "the bus", "--bbox", "0,0,1,1").failed(
        3, "lies outside the scene", "look like degrees", "--bbox L,B,R,T,EPSG:4326"
    )
    far = gpd.GeoSeries.from_wkt(["POLYGON ((0 0, 0 1, 1 1, 0 0))"], crs="EPSG:4326")
    far.to_file(tmp_path / "far.geojson")
    Run("segment", scene, "the bus", "--aoi", tmp_path / "far.geojson").failed(3, "far.geojson")
    Run("segment", scene, "the bus", "--aoi", tmp_path / "none.shp").failed(3, "no such file")


def test_output_exists(make_scene: MakeScene, bright: BrightPredictor) -> None:
    Path("o.gpkg").touch()
    scene = make_scene()
    Run("segment", scene, "bus", "-o", "o.gpkg").failed(5, "o.gpkg: exists", "--overwrite")
    assert Path("o.gpkg").stat().st_size == 0
    assert Run("segment", scene, "bus", "-o", "o.gpkg", "--overwrite", "--overlap", 16).code == 0
    assert Path("o.gpkg").stat().st_size > 0


def test_the_scene_is_never_overwritten(make_scene: MakeScene, bright: BrightPredictor) -> None:
    scene = make_scene()
    before = scene.read_bytes()
    Run("segment", scene, "bus", "--mask", scene, "--overwrite").failed(5, "is an input")
    assert scene.read_bytes() == before


def test_output_folder_must_be_writable(make_scene: MakeScene, bright: BrightPredictor) -> None:
    Run("segment", make_scene(), "bus", "-o", "none/o.gpkg").failed(5, "none", "does not exist")
    if Path("/proc").is_dir():  # even root cannot write there
        Run("segment", make_scene(), "bus", "-o", "/proc/o.gpkg").failed(5, "/proc")


def test_disk_full(
    make_scene: MakeScene, bright: BrightPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numpy.savez", full)
    Run("segment", make_scene(), "bus", "--overlap", 16).failed(5, "No space left on device")
    assert not list(Path.cwd().iterdir())


def test_out_of_memory(make_scene: MakeScene, bright: BrightPredictor) -> None:
    def fail(images: Any, words: Any) -> Any:
        raise DeviceError("cuda: too little free memory for one window")

    bright.predict = fail  # type: ignore[method-assign]
    Run("segment", make_scene(), "bus", "--overlap", 16).failed(6, "too little free memory")
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize(
    ("words", "first"),
    [
        (["the", "red", "car"], "the"),
        (["red", "car"], "red"),
        (["cars", "on", "roads"], "on"),
        (["A"], "A"),
        (["two", "cars", "--explain"], "two"),
    ],
)
def test_words_without_quotes(bright: BrightPredictor, words: list[str], first: str) -> None:
    sentence = " ".join(word for word in words if word != "--explain")
    Run("segment", "scene.tif", *words).failed(
        2, f'"{first}" is no object', f'quote the expression: segment SCENE "{sentence}"'
    )


def test_single_words_that_are_objects(bright: BrightPredictor) -> None:
    for words in (["cars", "trucks"], ["concrete", "grass"], ["cars", "the red truck"]):
        assert Run("segment", "scene.tif", *words, "--explain").code == 0


def test_a_scene_in_place_of_the_command(bright: BrightPredictor) -> None:
    Run("scene.tif", "the red car").failed(
        2, 'scene.tif: is no command; did you mean: rrsis-geo segment scene.tif "the red car"'
    )
    Run("scenes/").failed(2, "did you mean: rrsis-geo segment scenes/ EXPRESSION")


@pytest.mark.parametrize(
    "box", [["-1,2,3e0,4"], ["-1", "2", "3e0", "4"], ["-1 2 3e0 4"], [" -1, 2, 3, 4"]]
)
def test_forms_of_a_bbox(
    bright: BrightPredictor, monkeypatch: pytest.MonkeyPatch, box: list[str]
) -> None:
    from rrsis_geo.segment import scene as segment

    recorded: list[Any] = []

    def fake(*arguments: Any, **_: Any) -> Any:
        recorded.extend(arguments)
        raise ConfigError("called")

    monkeypatch.setattr(segment, "segment_scene", fake)
    Run("segment", "s.tif", "--bbox", *box, "the bus", "--output", "o.fgb").failed(2, "called")
    _, expressions, outputs, options = recorded
    assert options.scene.bbox == (-1, 2, 3, 4)
    assert expressions == ["the bus"]
    assert outputs.vector == Path("o.fgb")


def test_geojson_on_stdout(make_scene: MakeScene, bright: BrightPredictor) -> None:
    scene = make_scene(200, 300)
    arguments = ("segment", scene, "the bright spots", "--overlap", 16)
    run = Run(*arguments, "-o", "-", "--preview", "p.png")
    assert run.code == 0, run.err
    printed = gpd.GeoDataFrame.from_features(json.loads(run.out), crs="EPSG:4326")
    assert Run(*arguments, "-o", "o.geojson").code == 0
    assert len(printed) == len(gpd.read_file("o.geojson")) > 0
    assert Path("p.png").exists()
    assert not list(Path.cwd().glob("*.job")) + list(Path.cwd().glob("-*"))
    assert run.err == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["the cars"], "prints one layer, got 2 expressions"),
        (["--json"], "has no file for --json"),
        (["--report", "r.html"], "has no file for"),
        (["--resume"], "one run on one scene, got --resume"),
        (["--shard", "1/2"], "one run on one scene, got --shard"),
    ],
)
def test_geojson_on_stdout_is_one_layer_of_one_run(
    make_scene: MakeScene, bright: BrightPredictor, arguments: list[object], words: str
) -> None:
    Run("segment", make_scene(), "the bus", "-o", "-", *arguments).failed(2, words)


def test_flags_have_no_type_in_help() -> None:
    for command in (["segment"], ["dataset", "check"], []):
        text = Run(*command, "--help").out
        assert "--help" in text
        assert "bool" not in text


def test_completion_is_offered() -> None:
    assert "--install-completion" in Run("--help").out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--threshold", 1.5], "threshold must be between 0 and 1"),
        (["--overlap", 33], "overlap must be an even number"),
        (["--bands", "1,2"], "--bands takes one or three"),
        (["--bands", "red"], "--bands takes one or three"),
        (["--bands", "1,2,9"], "bands"),
        (["--bbox", "1,2,3"], "--bbox takes left,bottom,right,top"),
        (["--bbox", "1,2,3,x"], "--bbox takes"),
        (["--gsd", 0.5, "--no-resample"], "contradict"),
        (["--bbox", "1,2,3,4", "--aoi", "a.gpkg"], "give one of them"),
        (["--min-area", -1], "min_area_m2 must be 0 or more"),
    ],
)
def test_invalid_options_are_errors(
    make_scene: MakeScene, bright: BrightPredictor, arguments: list[object], words: str
) -> None:
    Run("segment", make_scene(), "the bus", *arguments).failed(2, words)


def test_segment_without_arguments_asks_for_them() -> None:
    Run("segment").failed(2, "give a SCENE and an EXPRESSION")


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["segment", "a", "b", "--batch-size", "0"], ["--no"]]
)
def test_usage_errors(arguments: list[str]) -> None:
    run = Run(*arguments)
    assert run.code == 2
    assert "Usage" in run.err
    assert "Traceback" not in run.err


# --- the error boundary


def run_failing_command(error: BaseException) -> Any:
    app = typer.Typer(cls=cli.ErrorBoundary, pretty_exceptions_enable=False)

    @app.callback()
    def root() -> None:
        pass

    @app.command()
    def fail() -> None:
        raise error

    return runner.invoke(app, ["fail"])


@pytest.mark.parametrize("kind", RrsisError.__subclasses__())
def test_each_error_has_its_exit_code(kind: type[RrsisError]) -> None:
    result = run_failing_command(kind("a [bold]file[/bold].tif: what, " + "long " * 60))
    assert result.exit_code == kind.exit_code
    assert result.stderr.startswith("error: a [bold]file[/bold].tif: what, long")
    assert len(result.stderr.strip().splitlines()) == 1


def test_other_exceptions_are_not_caught() -> None:
    result = run_failing_command(ZeroDivisionError("bug"))
    assert result.exit_code == 1
    assert isinstance(result.exception, ZeroDivisionError)


def test_interrupt_exits_with_130() -> None:
    result = run_failing_command(KeyboardInterrupt())
    assert result.exit_code == 130
    assert "interrupted" in result.stderr


SMALL_SHARDS = """
from rrsis_geo.segment.plan import plan
plan.SHARD_PX = 1
"""
SLOW_RUN = """
import sys, time
import numpy as np
sys.path.insert(0, sys.argv.pop(1))
from bright_stub import BrightPredictor
from rrsis_geo import cli
from rrsis_geo.segment import scene

Slow = type("BrightPredictor", (BrightPredictor,), {})

def predict_slowly(self, images, words):
    print("predicting", flush=True)
    time.sleep(0.2)
    return BrightPredictor.predict(self, images, words)

Slow.predict = predict_slowly
scene.load_predictor = lambda options: Slow()
cli.main()
"""


def wait_for(path: Path, seconds: float = 120) -> None:
    """Wait until a file or folder exists."""
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} does not appear"
        time.sleep(0.01)


class SmallShards:
    """Shards of 512 rows in a scene of any size."""

    @pytest.fixture(autouse=True)
    def _small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from rrsis_geo.segment.plan import plan

        monkeypatch.setattr(plan, "SHARD_PX", 1)


class TestJobs(SmallShards):
    """Runs that are interrupted, and runs that compute a part of the shards."""

    @pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_first_signal_saves_the_work_and_prints_how_to_resume(
        self, make_scene: MakeScene, bright: BrightPredictor, number: signal.Signals
    ) -> None:
        scene = make_scene(1000, 100)
        tests = str(SUPPORT)
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", SMALL_SHARDS + SLOW_RUN, tests),
                *("segment", str(scene), "the bright spots", "--overlap", "16", "-o", "o.gpkg"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        try:
            wait_for(Path("o.gpkg.job/shard-00000"))
            process.send_signal(number)
            _, err = process.communicate(timeout=120)
        finally:
            process.kill()
        assert process.returncode == 130, err
        assert "1 of 2 shards are saved in o.gpkg.job" in err
        command = shlex.split(err.splitlines()[-1])
        assert command[0] == "rrsis-geo"
        assert command[-1] == "--resume"
        assert [path.name for path in Path.cwd().iterdir()] == ["o.gpkg.job"]
        Run(*command[1:-1]).failed(5, "--resume", "--restart")
        done = Run(*command[1:])
        assert done.code == 0, done.err
        assert [path.name for path in Path.cwd().iterdir()] == ["o.gpkg"]

    @pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
    def test_a_signal_is_answered_as_json(self, make_scene: MakeScene, tmp_path: Path) -> None:
        scene, out = make_scene(1000, 100), tmp_path / "o.gpkg"
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", SMALL_SHARDS + SLOW_RUN, str(SUPPORT), "segment"),
                *(
                    "--overlap",
                    "16",
                    "-o",
                    str(out),
                    "--progress",
                    "json",
                    "--",
                    str(scene),
                    "spots",
                ),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        try:
            wait_for(tmp_path / "o.gpkg.job/shard-00000")
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=120)
        finally:
            process.kill()
        assert process.returncode == 130, err
        events = [json.loads(line) for line in err.splitlines()]
        named = [event for event in events if event["event"] != "progress"]
        assert [event["event"] for event in named] == ["stopping", "stopped"]
        assert named[1]["text"].endswith(f"1 of 2 shards are saved in {out}.job")
        assert shlex.split(named[1]["resume"])[-4:] == ["--resume", "--", str(scene), "spots"]

    @pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
    def test_a_signal_ends_a_shard_after_the_row_of_windows(
        self, make_scene: MakeScene, tmp_path: Path
    ) -> None:
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", SLOW_RUN, str(SUPPORT), "segment"),
                *(str(make_scene(1000, 100)), "spots", "--overlap", "16"),
                *("-o", str(tmp_path / "o.gpkg"), "--batch-size", "1"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "predicting\n"
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=120)
        finally:
            process.kill()
        assert process.returncode == 130, err
        assert out.count("predicting") <= 4  # of 42 windows, two in a row
        assert "interrupted; unfinished output removed" in err  # its only shard was not complete
        assert not list(tmp_path.glob("o.gpkg*"))

    def test_a_part_without_shards(self, make_scene: MakeScene, bright: BrightPredictor) -> None:
        arguments = ("segment", make_scene(100, 100), "spots", "--overlap", 16, "-o", "o.gpkg")
        run = Run(*arguments, "--shard", "1/2")
        assert run.code == 0, run.err
        assert run.out.startswith("this scene has 1 shard; part 1 of 2 is empty\n")
        assert Run(*arguments, "--shard", "2/2").out.startswith("completed shards 1-1 of ")

    def test_failed_windows_exit_with_7(
        self, make_scene: MakeScene, bright: BrightPredictor
    ) -> None:
        predict = bright.predict

        def fail(images: Any, words: Any) -> Any:
            if (images == 255).any():
                raise RuntimeError("cuDNN error")
            return predict(images, words)

        bright.predict = fail  # type: ignore[method-assign]

        def content(row: Any, col: Any, band: int) -> Any:
            return np.where((row == 120) & (col == 120), 255, 100 + 90 * (col % 50 < 9))

        scene = make_scene(content=content)
        arguments = ("segment", scene, "spots", "--overlap", 16, "-o", "o.gpkg", "--mask", "m.tif")
        run = Run(*arguments)
        assert run.code == 7
        assert ", 1 failed" in run.out
        assert "error: 1 window failed and left no data" in run.err
        assert "cuDNN error" in run.err
        assert Path("o.gpkg").exists()
        assert Path("m.tif").exists()
        assert json.loads(Run(*arguments, "--resume", "--json").out)["failed"] != []
        bright.predict = predict  # type: ignore[method-assign]
        assert Run(*arguments, "--resume").code == 0
        assert not Path("o.gpkg.job").exists()

    def test_compute_shards_one_by_one_and_merge_them(
        self, make_scene: MakeScene, bright: BrightPredictor
    ) -> None:
        scene = make_scene(1000, 100)
        arguments = ("segment", scene, "spots", "--overlap", 16, "-o", "o.gpkg")
        first = Run(*arguments, "--shard", "1/2")
        assert first.code == 0, first.err
        assert "completed shards 1-1 of o.gpkg.job" in first.out
        assert re.search(r"missing in the job +1 shard\n", first.out)
        Run("merge", "o.gpkg.job").failed(3, "shards 2 of 2 are missing")
        second = json.loads(Run(*arguments, "--shard", "2/2", "--json").out)
        assert (second["shards"], second["missing"]) == ([2, 2], 0)
        merged = Run("merge", "o.gpkg.job", "--json")
        assert merged.code == 0, merged.err
        assert json.loads(merged.out)["n_objects"] > 0
        assert [path.name for path in Path.cwd().iterdir()] == ["o.gpkg"]
        Run("merge", "o.gpkg.job").failed(3, "is not a job")

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--resume", "--restart"], "contradict each other"),
            (["--shard", "1/2", "--restart"], "--shard continues an existing job"),
            (["--shard", "0/2"], "--shard takes K/N"),
            (["--shard", "3/2"], "--shard takes K/N"),
            (["--shard", "half"], "--shard takes K/N"),
            (["--workers", 2, "--scheduler", "tcp://a:1"], "give one of them"),
        ],
    )
    def test_contradicting_run_options_are_errors(
        self,
        make_scene: MakeScene,
        bright: BrightPredictor,
        arguments: list[object],
        words: str,
    ) -> None:
        Run("segment", make_scene(), "the bus", *arguments).failed(2, words)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_second_signal_stops_at_once_in_a_shell(
    make_scene: MakeScene, tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    scene = make_scene(1000, 100)
    tests = str(SUPPORT)
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_RUN, tests, "segment", str(scene), "bus", "--overlap", "16"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "predicting\n"
        assert [path.is_dir() for path in folder.iterdir()] == [True]
        time.sleep(0.1)
        process.send_signal(number)
        assert process.stderr is not None
        assert "press Ctrl-C again to stop at once" in process.stderr.readline()
        process.send_signal(number)
        _, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert not list(folder.iterdir())  # no shard was completed


# --- the other commands


def test_version() -> None:
    run = Run("--version")
    assert (run.code, run.out) == (0, f"rrsis-geo {__version__}\n")


def write_bundle(folder: Path, **image: Any) -> Path:
    """Write a bundle without a network, enough for `info` and `models`."""
    folder.mkdir(parents=True)
    facts = {
        "format": 1,
        "net": {"name": "btdnet-lite", "config": {}},
        "image": ImageSpec(**image).to_dict(),
        "text": {"sha256": "0", "max_tokens": 22, "lower_case": True},
        "weights": {"sha256": "abc", "precision": "int8"},
        "about": {"summary": "vehicles and buildings", "seconds_per_window": 0.1},
    }
    (folder / "model.json").write_text(json.dumps(facts))
    (folder / "weights.safetensors").write_bytes(b"0" * 2048)
    return folder


def test_info(make_scene: MakeScene, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "tiny", gsd_m=0.3, gsd_range_m=(0.2, 0.4))
    scene = make_scene(1000, 2000, nodata=0, dtype="uint16", scale=10.0)
    run = Run("info", scene, "--model", bundle)
    assert run.code == 0, run.err
    for words in ("1000 rows x 2000 columns, uint16", "EPSG:32632", "50 cm", "1,2,3 (marked red"):
        assert words in run.out
    assert "by nodata value 0" in run.out
    assert re.search(r"presence +none", run.out)
    assert re.search(r"sees 125\d x 250\d pixels of 40 cm \(resampled\)", run.out)
    assert "at most 28" in run.out  # strides of 384 pixels: 4 x 7
    record = json.loads(Run("info", scene, "--model", bundle, "--json").out)
    assert record["windows"] == 28
    assert record["seconds"] == pytest.approx(3.0 + 2.8)  # loading, and 28 windows
    assert record["stretch"]["kind"] == "linear"
    no_resample = Run("info", scene, "--model", bundle, "--no-resample", "--json")
    assert json.loads(no_resample.out)["model_width"] == 2000


def test_info_errors(make_scene: MakeScene, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "tiny")
    Run("info", "none.tif", "--model", bundle).failed(3, "none.tif: no such file")
    Run("info", make_scene(crs=None), "--model", bundle).failed(3, "no CRS")
    Run("info", make_scene(bands=2), "--model", bundle).failed(3, "two bands")


def test_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rrsis_geo.model import catalog

    monkeypatch.setattr(catalog, "bundle_folders", lambda: [tmp_path])
    write_bundle(tmp_path / "tiny")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "model.json").write_text("{")
    run = Run("models")
    assert run.code == 0
    assert "tiny" in run.out
    assert "vehicles and buildings" in run.out
    records = {record["name"]: record for record in json.loads(Run("models", "--json").out)}
    assert records["tiny"]["size_bytes"] == 2048
    assert "is not JSON" in records["broken"]["problem"]


def test_models_without_any_bundle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from rrsis_geo.model import catalog

    monkeypatch.setattr(catalog, "bundle_folders", lambda: [tmp_path])
    Run("models").failed(4, "no model bundle", str(tmp_path))
    assert Run("models", "--json").out.strip() == "[]"


def test_real_bundle_from_end_to_end(
    make_scene: MakeScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Saves, loads and runs a small untrained network."""
    import tiny_net

    from rrsis_geo.model.bundle import save_bundle

    monkeypatch.chdir(tmp_path)
    about = {"categories": ["truck"]}
    scene = make_scene(200, 300)
    with tiny_net.register():
        save_bundle(tiny_net.make_bundle(tmp_path / "tiny", about=about))
        run = Run(
            *("segment", scene, "the truck on the road beside all the old buildings there"),
            *("--model", "tiny", "-o", "o.gpkg", "--overlap", 16, "--json", "--threads", 1),
            *("--dtype", "fp32"),
        )
        wrong = Run("segment", scene, "truck", "--model", "tiny", "--device", "gpu")
    wrong.failed(2, "device must be")
    assert run.code == 0, (run.err, run.result.exception)
    record = json.loads(run.out)
    assert record["model"] == "tiny"
    assert 0 < record["presence_max"] < 1
    assert 'its end "' in run.err
    assert "not trained on" in run.err
    layer = gpd.read_file(
        "o.gpkg", layer="the_truck_on_the_road_beside_all_the_old_buildings_there"
    )
    assert len(layer) == record["n_objects"]


@pytest.mark.parametrize(("given", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_sleep_while_they_wait_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, given: str | None, expected: str
) -> None:
    if given is None:
        monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    else:
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
    seen = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, sys; from rrsis_geo.cli import main; sys.argv = ['x', '--version']\n"
            "try: main()\n"
            "except SystemExit: print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)",
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert seen[-2:] == [expected, "False"]
