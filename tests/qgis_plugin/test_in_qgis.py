"""The plugin in QGIS, where QGIS is installed: headless runs, cancelling, and styled layers."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import pyogrio
import pytest
import rasterio
import shapely
from repository import ROOT, SUPPORT
from stand_in_wheel import write_stand_in

QGIS_PROCESS = shutil.which("qgis_process.bin") or shutil.which("qgis_process")
"""Debian calls the program itself .bin; its wrapper passes options that qgis_process refuses."""
PYTHONS = ("/usr/bin/python3", "python3")
PROGRAM = """\
#!{python}
import sys, time
sys.path[:0] = [{root!r}, {support!r}]
from bright_stub import BrightPredictor
from rrsis_geo import cli
from rrsis_geo.segment import scene
from rrsis_geo.segment.plan import plan

Slow = type("BrightPredictor", (BrightPredictor,), {{}})

def predict_slowly(self, images, words):
    time.sleep({seconds})
    return BrightPredictor.predict(self, images, words)

Slow.predict = predict_slowly
scene.load_predictor = lambda options: Slow()
plan.SHARD_PX = 1
cli.main()
"""
"""rrsis-geo with shards of 512 rows and a model that finds bright pixels."""

MakeProgram = Callable[..., Path]
MakeScene = Callable[..., Path]


def qgis_python() -> str | None:
    """A Python that has the modules of QGIS."""
    for python in PYTHONS:
        command = [python, "-c", "import qgis.core"]
        try:
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return python
        except OSError:
            continue
    return None


QGIS_PYTHON = qgis_python() if QGIS_PROCESS else None
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(QGIS_PYTHON is None, reason="QGIS is not installed"),
]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Variables for QGIS with an empty profile and without this environment's Python."""
    names = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    return {
        **{name: value for name, value in os.environ.items() if name not in names},
        "QT_QPA_PLATFORM": "offscreen",
        "QGIS_CUSTOM_CONFIG_PATH": str(tmp_path / "profile"),
        "QGIS_PLUGINPATH": str(ROOT / "qgis_plugin"),
        "XDG_RUNTIME_DIR": str(runtime),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


@pytest.fixture
def make_program(tmp_path: Path) -> MakeProgram:
    """A factory of programs named rrsis-geo that take some time for each window."""

    def make(*, seconds: float = 0.0) -> Path:
        path = tmp_path / "bin" / "rrsis-geo"
        path.parent.mkdir(exist_ok=True)
        places = {"root": str(ROOT), "support": str(SUPPORT)}
        path.write_text(PROGRAM.format(python=sys.executable, seconds=seconds, **places))
        path.chmod(0o755)
        return path

    return make


@pytest.fixture
def run_in_qgis(environ: dict[str, str]) -> Callable[..., dict[str, Any]]:
    """A function that runs an algorithm in QGIS; see `qgis_session`."""

    def run(algorithm: str, program: Path | str, **request: Any) -> dict[str, Any]:
        defaults = {"to_load": [], "selected": None, "cancel_at": None}
        where = {"plugins": str(ROOT / "qgis_plugin"), "program": str(program)}
        text = json.dumps({**defaults, **where, "algorithm": algorithm, **request})
        assert QGIS_PYTHON is not None
        done = subprocess.run(
            [QGIS_PYTHON, SUPPORT / "qgis_session.py", text],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return report

    return run


def test_qgis_process(
    make_scene: MakeScene, make_program: MakeProgram, environ: dict[str, str], tmp_path: Path
) -> None:
    """The program is found on PATH, and the result has the objects of the command line."""
    assert QGIS_PROCESS is not None
    environ["PATH"] = os.pathsep.join([str(make_program().parent), environ["PATH"]])
    scene, out, mask = make_scene(), tmp_path / "o.gpkg", tmp_path / "m.tif"
    enable = [QGIS_PROCESS, "plugins", "enable", "rrsis_geo"]
    subprocess.run(enable, env=environ, check=True, capture_output=True)
    values = {
        "INPUT": scene,
        "EXPRESSIONS": "bright spots",
        "FURTHER": "--overlap 16",
        "MASK": mask,
        "OUTPUT": out,
    }
    words = [f"--{name}={value}" for name, value in values.items()]
    done = subprocess.run(
        [QGIS_PROCESS, "run", "rrsis_geo:segment", *words],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    layer = gpd.read_file(out, layer="bright_spots")
    assert len(layer) > 0
    assert f'"bright spots": {len(layer)} objects' in done.stdout
    assert f"N_OBJECTS:\t{len(layer)}\n" in done.stdout
    assert f"MASK:\t{mask}\n" in done.stdout
    assert mask.exists()


def test_layers_have_their_names_and_styles(
    make_scene: MakeScene, make_program: MakeProgram, run_in_qgis: Any, tmp_path: Path
) -> None:
    program, probability = make_program(), tmp_path / "p.tif"
    done = run_in_qgis(
        "rrsis_geo:segment",
        program,
        parameters={
            "INPUT": str(make_scene()),
            "EXPRESSIONS": "bright spots\n# a comment\ndark spots",
            "FURTHER": "--overlap 16",
            "OUTPUT": str(tmp_path / "o.gpkg"),
            "PROBABILITY": str(probability),
        },
        to_load=["OUTPUT", "PROBABILITY"],
    )
    assert done["ok"], done["log"]
    names = ["bright spots", "bright spots: probability", "dark spots", "dark spots: probability"]
    assert [layer["name"] for layer in done["layers"]] == names
    vectors, rasters = done["layers"][::2], done["layers"][1::2]
    assert [layer["labels"] for layer in vectors] == [True, True]
    assert [layer["renderer"] for layer in rasters] == ["singlebandpseudocolor"] * 2
    n_objects = [layer["features"] for layer in vectors]
    assert sum(n_objects) == done["results"]["N_OBJECTS"] > 0
    assert len(done["results"]["LAYERS"]) == 4
    first = tmp_path / "p_bright_spots.tif"
    assert done["results"]["PROBABILITY"] == str(first)
    polygons = run_in_qgis(
        "rrsis_geo:polygons",
        program,
        parameters={
            "INPUT": str(first),
            "THRESHOLD": 0.5,
            "OUTPUT": str(tmp_path / "again.gpkg"),
        },
        to_load=["OUTPUT"],
    )
    assert polygons["ok"], polygons["log"]
    assert polygons["layers"] == [vectors[0]]


def test_layers_are_added_to_a_geopackage(
    make_scene: MakeScene, make_program: MakeProgram, run_in_qgis: Any, tmp_path: Path
) -> None:
    """From the model and from a probability raster; the layer of the same sentence is replaced."""
    program, out, probability = make_program(), tmp_path / "o.gpkg", tmp_path / "p.tif"
    parcels = gpd.GeoDataFrame({"owner": ["Ana"]}, geometry=[shapely.box(0, 0, 1, 1)], crs=4326)
    parcels.to_file(out, layer="parcels")
    parameters = {
        "INPUT": str(make_scene()),
        "FURTHER": "--overlap 16",
        "APPEND": True,
        "OUTPUT": str(out),
    }
    for expression in ("bright spots", "all spots", "bright spots"):
        values = {**parameters, "EXPRESSIONS": expression, "PROBABILITY": str(probability)}
        done = run_in_qgis("rrsis_geo:segment", program, parameters=values, to_load=["OUTPUT"])
        assert done["ok"], done["log"]
        (layer,) = done["layers"]
        assert (layer["name"], layer["labels"]) == (expression, True)
    done = run_in_qgis(
        "rrsis_geo:polygons",
        program,
        parameters={
            "INPUT": str(probability),
            "EXPRESSIONS": "the two largest spots",
            "APPEND": True,
            "OUTPUT": str(out),
        },
        to_load=["OUTPUT"],
    )
    assert done["ok"], done["log"]
    (layer,) = done["layers"]
    assert (layer["name"], layer["features"]) == ("the two largest spots", 2)
    names = {name for name, kind in pyogrio.list_layers(out) if kind is not None}
    assert names == {"parcels", "bright_spots", "all_spots", "the_two_largest_spots"}


def test_the_area_is_an_extent_or_selected_polygons(
    make_scene: MakeScene, make_program: MakeProgram, run_in_qgis: Any, tmp_path: Path
) -> None:
    scene, program, aoi = make_scene(), make_program(), tmp_path / "areas.gpkg"
    with rasterio.open(scene) as source:
        left, bottom, right, top = source.bounds
        crs = source.crs
    middle = (left + right) / 2
    halves = [shapely.box(left, bottom, middle, top), shapely.box(middle, bottom, right, top)]
    gpd.GeoDataFrame({"side": ["left", "right"]}, geometry=halves, crs=crs).to_file(aoi)
    parameters = {"INPUT": str(scene), "EXPRESSIONS": "spots", "FURTHER": "--overlap 16"}

    def segment(name: str, **more: Any) -> tuple[gpd.GeoDataFrame, str]:
        out = tmp_path / f"{name}.gpkg"
        request = {"parameters": {**parameters, "OUTPUT": str(out), **more.pop("values")}, **more}
        done = run_in_qgis("rrsis_geo:segment", program, **request)
        assert done["ok"], done["log"]
        return gpd.read_file(out), done["log"]

    extent = f"{left},{middle},{bottom},{top} [{crs.to_string()}]"
    in_extent, _ = segment("extent", values={"EXTENT": extent})
    selected, log = segment("selected", values={"AOI": str(aoi)}, selected="side = 'left'")
    assert in_extent.total_bounds[2] <= middle
    assert list(selected.area_m2) == list(in_extent.area_m2)
    assert "cannot be resumed" in log
    whole_file, log = segment("file", values={"AOI": str(aoi)})
    assert "cannot be resumed" not in log
    assert whole_file.area_m2.sum() > in_extent.area_m2.sum()
    both = {**parameters, "EXTENT": extent, "AOI": str(aoi), "OUTPUT": str(tmp_path / "b.gpkg")}
    done = run_in_qgis("rrsis_geo:segment", program, parameters=both)
    assert not done["ok"]
    assert "give an extent or polygons as the area, not both" in done["log"]


def test_cancel_saves_the_work_and_the_same_run_resumes(
    make_scene: MakeScene, make_program: MakeProgram, run_in_qgis: Any, tmp_path: Path
) -> None:
    out = tmp_path / "o.gpkg"
    request = {
        "parameters": {
            "INPUT": str(make_scene(1000, 100)),  # two shards; the second is canceled
            "EXPRESSIONS": "spots",
            "FURTHER": "--overlap 16",
            "OUTPUT": str(out),
        },
        "to_load": ["OUTPUT"],
    }
    canceled = run_in_qgis("rrsis_geo:segment", make_program(seconds=0.2), cancel_at=60, **request)
    assert "1 of 2 shards are saved" in canceled["log"]
    assert "To resume, run the algorithm again with the same settings" in canceled["log"]
    assert (canceled["results"], canceled["layers"]) == ({}, [])
    assert not out.exists()
    assert (tmp_path / "o.gpkg.job").is_dir()
    changed = {**request, "parameters": {**request["parameters"], "THRESHOLD": 0.4}}
    refused = run_in_qgis("rrsis_geo:segment", make_program(), **changed)
    assert not refused["ok"]
    assert "threshold" in refused["log"]
    assert "--restart" in refused["log"]  # the tick box has this name too
    done = run_in_qgis("rrsis_geo:segment", make_program(), **request)
    assert done["ok"], done["log"]
    assert [layer["name"] for layer in done["layers"]] == ["spots"]
    assert not (tmp_path / "o.gpkg.job").exists()


def test_what_the_tool_sees(
    make_scene: MakeScene, make_program: MakeProgram, run_in_qgis: Any, tmp_path: Path
) -> None:
    parameters = {"INPUT": str(make_scene()), "WINDOWS": str(tmp_path / "w.gpkg")}
    done = run_in_qgis("rrsis_geo:view", make_program(), parameters=parameters)
    assert done["ok"], done["log"]
    assert "ground pixel" in done["log"]
    assert not (tmp_path / "w.gpkg").exists()


def test_errors_of_the_program_and_of_its_setting(
    make_scene: MakeScene, make_program: MakeProgram, run_in_qgis: Any, tmp_path: Path
) -> None:
    parameters = {
        "INPUT": str(make_scene(crs=None)),
        "EXPRESSIONS": "spots",
        "OUTPUT": str(tmp_path / "o.gpkg"),
    }
    done = run_in_qgis("rrsis_geo:segment", make_program(), parameters=parameters)
    assert not done["ok"]
    assert "rrsis-geo (exit code 3): " in done["log"]
    assert "no CRS" in done["log"]
    folder = tmp_path / "empty"
    folder.mkdir()
    done = run_in_qgis("rrsis_geo:segment", folder, parameters=parameters)
    assert not done["ok"]
    assert f"{folder}: is neither the program rrsis-geo nor an environment" in done["log"]


def test_install(run_in_qgis: Any, environ: dict[str, str], tmp_path: Path) -> None:
    """With a small wheel in place of rrsis-geo, and no network."""
    environ["PIP_NO_INDEX"] = "1"
    parameters = {
        "PACKAGE": str(write_stand_in(tmp_path)),
        "CPU_ONLY": False,
        "PYTHON": sys.executable,
    }
    done = run_in_qgis("rrsis_geo:install", "", parameters=parameters)
    assert done["ok"], done["log"]
    program = Path(done["results"]["PROGRAM"])
    assert tmp_path / "profile" in program.parents
    assert done["program"] == str(program)
    called = subprocess.run([program], check=True, capture_output=True, text=True)
    assert called.stdout == "stand-in\n"
    parameters["PYTHON"] = str(tmp_path / "gone")
    done = run_in_qgis("rrsis_geo:install", "", parameters=parameters)
    assert not done["ok"]
    assert "no Python 3.11, 3.12 or 3.13" in done["log"]
