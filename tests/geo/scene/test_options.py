"""Options of reading a scene."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rrsis_geo.errors import ConfigError
from rrsis_geo.geo.scene.options import SceneOptions, open_part, working_gsd_m
from rrsis_geo.geo.scene.scene import SceneInfo, open_scene

MakeScene = Callable[..., Path]


@pytest.fixture
def info(make_scene: MakeScene) -> SceneInfo:
    with open_scene(make_scene(100, 80)) as scene:
        return scene.info


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gsd_m": 0.0}, "gsd must be above 0"),
        ({"gsd_m": 0.3, "resample": False}, "contradict"),
        ({"bbox": (0, 0, 1, 1), "aoi": Path("a")}, "give one of them"),
        ({"bbox": (0, 0, 1, float("nan"))}, "finite"),
        ({"bbox": (-1e308, -1e308, 1e308, 1e308)}, r"finite numbers below 1e\+12"),
        ({"aoi_layer": "a"}, "give aoi too"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SceneOptions(**options)


def test_options_survive_json(tmp_path: Path) -> None:
    options = [
        SceneOptions(),
        SceneOptions(bbox=(0.0, 1.0, 2.0, 3.0), bbox_crs="EPSG:4326", bands=(3, 2, 1), gsd_m=0.5),
        SceneOptions(aoi=tmp_path / "a.gpkg", aoi_layer="field"),
        SceneOptions(aoi=tmp_path / "a.gpkg", nodata=7.0, resample=False, allow_no_crs=True),
    ]
    for each in options:
        assert SceneOptions.from_dict(json.loads(json.dumps(each.to_dict()))) == each


def test_part_of_a_scene(make_scene: MakeScene) -> None:
    path = make_scene(100, 80)
    with open_scene(path) as scene:
        left, top = scene.info.transform @ (10, 20)
        right, bottom = scene.info.transform @ (40, 60)
    options = SceneOptions(bbox=(left, bottom, right, top), bands=(2,))
    with open_part(path, options) as (whole, part):
        assert whole.info.shape == (100, 80)
        assert part.info.shape == (40, 30)
        assert (part.info.row_off, part.info.col_off) == (20, 10)
        assert part.info.bands == (2,)


@pytest.mark.parametrize(
    ("scene_m", "options", "expected"),
    [
        (0.3, {}, None),  # in the range of the model
        (0.2, {}, None),
        (0.1, {}, 0.2),
        (0.8, {}, 0.4),
        (0.405, {}, None),  # within 2% of 0.4
        (0.3, {"gsd_m": 0.25}, 0.25),
        (0.25, {"gsd_m": 0.25}, None),
        (0.8, {"resample": False}, None),
    ],
)
def test_working_gsd(
    info: SceneInfo, scene_m: float, options: dict[str, Any], expected: float | None
) -> None:
    scene = replace(info, gsd_m=scene_m, gsd_row_m=scene_m, gsd_col_m=scene_m)
    assert working_gsd_m(scene, SceneOptions(**options), (0.2, 0.4)) == expected
