"""Options and plans of runs."""

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from predictor_stubs import make_options

from rrsis_geo.errors import ConfigError, InputError
from rrsis_geo.geo.scene.radiometry import Stretch
from rrsis_geo.geo.scene.scene import SceneInfo, open_scene
from rrsis_geo.images import ImageSpec
from rrsis_geo.model.calibration import Calibration
from rrsis_geo.model.facts import ModelFacts
from rrsis_geo.segment.plan import plan as plan_module
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.plan import Plan, make_plan

MODEL = ModelFacts(name="m", image=ImageSpec(gsd_m=0.3, gsd_range_m=(0.2, 0.4)), sha256="abc")
MakeScene = Callable[..., Path]


@pytest.fixture
def info(make_scene: MakeScene) -> SceneInfo:
    with open_scene(make_scene(1000, 800)) as scene:
        return scene.info


def plan_of(info: SceneInfo, model: ModelFacts = MODEL, **options: Any) -> Plan:
    return make_plan(info, ("the bus",), model, make_options(**options), Stretch("identity"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0.0}, "threshold must be between 0 and 1, got 0"),
        ({"threshold": 1.0}, "threshold"),
        ({"threshold": float("nan")}, "threshold"),
        ({"presence": 1.0}, "presence must be between 0 and 1, got 1"),
        ({"min_area_m2": -1.0}, "min_area_m2 must be 0 or more"),
        ({"simplify_m": float("inf")}, "simplify_m"),
        ({"outline": "round"}, "outline must be pixels or smooth or regular"),
        ({"outline": "smooth", "simplify_m": 1.0}, "give one of the two"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"rows_per_shard": 0}, "rows_per_shard"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_options(**options)


def test_the_language_of_the_model_decides_what_it_is_asked(info: SceneInfo) -> None:
    sentences = plan_of(info, replace(MODEL, language="network"))
    assert (plan_of(info).phrases, sentences.phrases) == (("buses",), ("the bus",))
    assert plan_of(info).hash != sentences.hash


def test_mirrored_windows_and_calibration_are_part_of_the_plan(info: SceneInfo) -> None:
    record = json.loads(json.dumps(make_options(tta=True).to_manifest()))
    assert SegmentOptions.from_manifest(record).tta is True
    assert "tta" not in make_options().to_manifest()
    plain = plan_of(info)
    for facts, expected in (
        ({"tta": True}, {"tta": True}),
        (
            {"calibration": Calibration(scale=2.0, offset=-1.0)},
            {"calibration": {"scale": 2.0, "offset": -1.0}},
        ),
    ):
        other = plan_of(info, replace(MODEL, **facts))
        assert other.to_dict()["model"].items() >= expected.items()
        assert other.hash != plain.hash
        assert not plain.to_dict()["model"].keys() & expected.keys()


def test_a_threshold_of_presence_is_part_of_the_plan(info: SceneInfo) -> None:
    record = json.loads(json.dumps(make_options(presence=0.9).to_manifest()))
    assert SegmentOptions.from_manifest(record).presence == 0.9
    assert "presence" not in make_options().to_manifest()
    fitted = plan_of(info, replace(MODEL, presence=0.9))
    assert fitted.to_dict()["model"]["presence"] == 0.9
    assert "presence" not in plan_of(info).to_dict()["model"]
    assert fitted.hash != plan_of(info).hash


def test_pixels_become_square(info: SceneInfo) -> None:
    scene = replace(info, gsd_m=0.3, gsd_row_m=0.4, gsd_col_m=0.2)
    plan = plan_of(scene)
    assert plan.model_px.gsd_m == pytest.approx(0.3)
    assert (plan.grid.height, plan.grid.width) == (1333, 533)


def test_model_without_a_range_never_resamples(info: SceneInfo) -> None:
    model = replace(MODEL, image=ImageSpec())
    assert plan_of(info, model).model_px.is_scene


def test_unknown_ground_pixel(info: SceneInfo) -> None:
    scene = replace(info, gsd_m=None, gsd_row_m=None, gsd_col_m=None)
    assert plan_of(scene).model_px.is_scene
    with pytest.raises(ConfigError, match="--gsd cannot be used: the ground pixel"):
        plan_of(scene, gsd_m=0.3)


def test_shards_cover_the_scene_in_blocks(info: SceneInfo) -> None:
    shards = plan_of(info, rows_per_shard=1).shards
    assert [(shard.row_start, shard.row_stop) for shard in shards] == [(0, 512), (512, 1000)]
    assert len(plan_of(info).shards) == 1


def test_shards_of_a_large_scene_have_similar_heights(
    info: SceneInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_module, "SHARD_PX", 2**22)
    heights = [shard.n_rows for shard in plan_of(replace(info, height=20_000)).shards]
    assert sum(heights) == 20_000
    assert len(heights) == 4
    assert max(heights) - min(heights) < 1024


def test_hash_depends_on_everything_that_decides_the_result(info: SceneInfo) -> None:
    base = plan_of(info).hash
    same = [{"batch_size": 9}, {"threads": 2}, {"rows_per_shard": 512}, {"device": "cuda"}]
    assert {plan_of(info, **options).hash for options in same} == {base}
    other: list[dict[str, Any]] = [
        {"threshold": 0.4},
        {"overlap_px": 64},
        {"min_area_m2": 1.0},
        {"gsd_m": 0.3},
        {"dtype": "bf16"},
    ]
    hashes = {plan_of(info, **options).hash for options in other}
    hashes |= {plan_of(replace(info, mtime=1.0)).hash}
    hashes |= {plan_of(info, replace(MODEL, sha256="xyz")).hash}
    assert len(hashes | {base}) == len(other) + 3


def test_provenance_is_json(info: SceneInfo) -> None:
    plan = plan_of(replace(info, nodata=float("nan")), aoi=Path("a.gpkg"))
    record = json.loads(json.dumps(plan.provenance("the bus"), allow_nan=False))
    assert record["expression"] == "the bus"
    assert record["expressions"] == ["the bus"]
    assert record["options"]["aoi"] == ["a.gpkg", None, None]
    assert record["scene"]["nodata"] == "nan"
    assert record["plan_hash"] == plan.hash
    assert record["shards"][0]["row_start"] == 0


def test_scene_that_is_too_large(info: SceneInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    for size in ({"height": 2**31}, {"width": 2_000_000_000}):
        with pytest.raises(InputError, match="too many for one run; the file may be damaged"):
            plan_of(replace(info, **size))
    monkeypatch.setattr(os, "sysconf", lambda name: 2**15)  # a machine of one GiB
    plan_of(info)
    with pytest.raises(InputError, match=r"a row of windows needs about [\d.]+ GiB"):
        plan_of(replace(info, width=2_000_000))


def test_expressions_that_need_too_much_memory(
    info: SceneInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    stretch, options = Stretch("identity"), make_options()
    wide = replace(info, width=3000)

    def plan(n_expressions: int) -> Plan:
        expressions = [f"car {number}" for number in range(n_expressions)]
        return make_plan(wide, expressions, MODEL, options, stretch)

    monkeypatch.setattr(os, "sysconf", lambda name: 2**15)  # a machine of one GiB
    with pytest.raises(InputError, match="200 expressions at once need about") as caught:
        plan(200)
    match = re.search(r"give at most (\d+) at once", str(caught.value))
    assert match is not None
    plan(int(match[1]))
    with pytest.raises(InputError, match="give at most"):
        plan(int(match[1]) + 1)
