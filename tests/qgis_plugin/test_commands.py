"""The command lines of the plugin, and that rrsis-geo takes them."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from command_run import Run
from typer.main import get_command

from qgis_plugin.rrsis_geo.program.commands import (
    OUTLINES,
    Network,
    Result,
    SceneOptions,
    info_arguments,
    polygon_arguments,
    read_expressions,
    segment_arguments,
    split_options,
    stop_message,
)
from rrsis_geo import cli
from rrsis_geo.model.names import DEFAULT_BUNDLE

pytestmark = pytest.mark.usefixtures("own_logging")


def test_everything_that_a_user_can_set() -> None:
    arguments = segment_arguments(
        "s.tif",
        ["the bus", "-5 degrees"],
        Result("o.gpkg", 0.4, 2.0, 0.0, {"mask": "m.tif", "report": ""}, has_windows_layer=True),
        options=SceneOptions((-10.5, 0, 1e-9, 2.0), bands="3,2,1"),
        network=Network("hf://a/b", "cuda"),
        further=["--resume", "--split"],
    )
    assert arguments == [
        *("segment", "--json", "--progress", "json", "--model=hf://a/b", "--device=cuda"),
        *("--bbox=-10.5,0.0,1e-09,2.0", "--bands=3,2,1"),
        *("--out=o.gpkg", "--threshold=0.4", "--min-area=2.0", "--simplify=0.0"),
        *("--mask=m.tif", "--windows-layer", "--overwrite", "--resume", "--split"),
        *("--", "s.tif", "the bus", "-5 degrees"),
    ]


def test_numbers_that_are_not_given_are_left_to_the_program() -> None:
    arguments = segment_arguments(
        "s.tif", ["the bus"], Result("o.gpkg"), options=SceneOptions(), network=Network()
    )
    options = [word for word in arguments if word.startswith("--")]
    assert options == [
        *("--json", "--progress", "--model=btdnet-lite", "--device=auto"),
        *("--out=o.gpkg", "--threshold=0.5", "--overwrite", "--"),
    ]


@pytest.mark.parametrize("outline", OUTLINES)
def test_outlines(outline: str) -> None:
    options = [f"--{outline}"] if outline else []
    assert Result("o.gpkg", outline=outline).arguments() == [
        *("--out=o.gpkg", "--threshold=0.5", *options, "--overwrite"),
    ]
    command = get_command(cli.app).commands["segment"]
    assert set(options) <= {name for parameter in command.params for name in parameter.opts}


def test_append() -> None:
    result = Result("o.gpkg", is_appended=True)
    assert result.arguments()[-2:] == ["--append", "--overwrite"]
    arguments = polygon_arguments("p.tif", "", result)
    assert "--append" in arguments


def test_the_default_model_is_that_of_the_program() -> None:
    assert Network().model == DEFAULT_BUNDLE


def test_polygons_as_the_area() -> None:
    options = SceneOptions(aoi="a.gpkg", aoi_layer="town")
    assert info_arguments("s.tif", options, "m") == [
        *("info", "--model=m", "--aoi=a.gpkg", "--aoi-layer=town", "--", "s.tif")
    ]


def test_expressions_are_lines() -> None:
    assert read_expressions("the bus \n\n# not this\n  all cars") == ["the bus", "all cars"]


def test_further_options_are_split_as_in_a_shell() -> None:
    assert split_options('--split --landmark "the pier=my piers.gpkg"') == [
        *("--split", "--landmark", "the pier=my piers.gpkg")
    ]
    with pytest.raises(ValueError, match="quotation"):
        split_options('--landmark "the pier')


def test_a_canceled_run_says_how_it_continues_in_a_terminal(tmp_path: Path) -> None:
    out = str(tmp_path / "o.gpkg")
    command = [
        "/venv/bin/rrsis-geo",
        *segment_arguments(
            "my scene.tif",
            ["the bus"],
            Result(out),
            options=SceneOptions(),
            network=Network(),
            further=["--restart"],
        ),
    ]
    assert stop_message("", command, out) == "stopped; nothing was saved"
    (tmp_path / "o.gpkg.job").mkdir()
    first, hint, line = stop_message("1 of 2 shards are saved", command, out).splitlines()
    assert first == "1 of 2 shards are saved"
    assert f"the same settings and {out} as its file" in hint
    assert shlex.split(line) == [
        *("/venv/bin/rrsis-geo", "segment", "--resume", "--model=btdnet-lite", "--device=auto"),
        *(f"--out={out}", "--threshold=0.5", "--overwrite", "--", "my scene.tif", "the bus"),
    ]
    killed = stop_message("", command, out).splitlines()[0]
    assert killed == f"stopped; completed work is saved in {out}.job"


def test_a_canceled_description_of_a_scene_saved_nothing() -> None:
    command = ["rrsis-geo", *info_arguments("s.tif", SceneOptions(), "m")]
    assert stop_message("", command, "") == "stopped; nothing was saved"


def test_rrsis_geo_takes_the_arguments(make_scene: Callable[..., Path], tmp_path: Path) -> None:
    """With an area far away, so that the program reads all options and runs no model."""
    options = SceneOptions((1.0, 2.0, 3.0, 4.0), bands="3,2,1")
    result = Result(str(tmp_path / "o.gpkg"), 0.4, 2.0, 0.5, {"mask": str(tmp_path / "m.tif")})
    run = Run(
        *segment_arguments(
            str(make_scene()),
            ["the bus"],
            result,
            options=options,
            network=Network(),
            further=["--resume"],
        )
    )
    assert run.code == 3
    assert "outside the scene" in json.loads(run.err)["text"]
    run = Run(*info_arguments(str(make_scene()), options, "btdnet-lite"))
    run.failed(3, "outside the scene")
    missing = str(tmp_path / "p.tif")
    run = Run(*polygon_arguments(missing, "the largest bus", result))
    assert run.code == 3
    assert json.loads(run.err)["text"].startswith(missing)
