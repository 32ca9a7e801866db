"""Warnings about expressions, scenes and models."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from predictor_stubs import RedPredictor, make_options

from rrsis_geo.geo.scene.radiometry import Stretch
from rrsis_geo.geo.scene.scene import SceneInfo, open_scene
from rrsis_geo.images import ImageSpec
from rrsis_geo.model.facts import ModelFacts
from rrsis_geo.segment.plan.advice import (
    HighestScores,
    advise_after_run,
    advise_before_run,
    advise_on_threshold,
)
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.plan import make_plan


@pytest.fixture
def info(make_scene: Callable[..., Path]) -> SceneInfo:
    with open_scene(make_scene(1000, 800)) as scene:
        return scene.info


def advice_for(
    info: SceneInfo,
    expression: str = "the bus",
    *,
    gsd_m: float | None = 0.5,
    image: ImageSpec | None = None,
    about: dict[str, Any] | None = None,
    estimates_presence: bool = True,
    presence: float | None = None,
    **options: Any,
) -> list[str]:
    model = ModelFacts(
        name="m",
        image=image or ImageSpec(),
        about=about or {},
        estimates_presence=estimates_presence,
        presence=presence,
    )
    scene = replace(info, gsd_m=gsd_m, gsd_row_m=gsd_m, gsd_col_m=gsd_m)
    plan = make_plan(scene, (expression,), model, make_options(**options), Stretch("identity"))
    return list(advise_before_run(plan, RedPredictor()))


def test_no_advice(info: SceneInfo) -> None:
    assert advice_for(info) == []


@pytest.mark.parametrize(
    "expression",
    ["the largest building", "the car in the top left", "the northernmost house"],
)
def test_no_advice_on_what_rules_resolve(info: SceneInfo, expression: str) -> None:
    assert advice_for(info, expression) == []


def test_a_model_that_finds_something_everywhere(info: SceneInfo) -> None:
    (text,) = advice_for(info, estimates_presence=False)
    assert text.startswith("m finds something in most windows")
    assert "--presence" in text
    assert "fit-presence" in text
    assert advice_for(info, estimates_presence=False, presence=0.9) == []


def test_category_that_is_not_in_the_bundle(info: SceneInfo) -> None:
    about = {"categories": ["car", "building"]}
    assert advice_for(info, "the car by the building", about=about) == []
    (text,) = advice_for(info, "the harbor", about=about)
    assert text == "m was not trained on harbor; the result may be wrong"
    assert advice_for(info, "the harbor") == []


@pytest.mark.parametrize(
    "expression",
    ["solar panels", "the big Solar Panels on the left there", "solar panels on the building"],
)
def test_target_without_a_category(info: SceneInfo, expression: str) -> None:
    about = {"categories": ["car", "building", "water", "semi-trailer"]}
    texts = advice_for(info, expression, about=about)
    assert "m was not trained on" in texts[-1]
    assert "olar" in texts[-1]
    assert advice_for(info, expression) == advice_for(
        info, expression, about={"categories": ["solar panel", "building"]}
    )


def test_synonyms_of_categories_of_the_bundle(info: SceneInfo) -> None:
    about = {"categories": ["car", "building", "water", "semi-trailer"]}
    known = ("the river", "sedans", "rooftops by a car", "semi-trailers", "Bodies of water")
    for expression in known:
        assert advice_for(info, expression, about=about) == [], expression


def test_category_that_the_bundle_lists_under_a_synonym(info: SceneInfo) -> None:
    """The benchmarks' "soccer ball field" is the "soccer field" of our training data."""
    assert advice_for(info, "the football pitch", about={"categories": ["soccer field"]}) == []


def test_resampling(info: SceneInfo) -> None:
    image = ImageSpec(gsd_m=0.2, gsd_range_m=(0.1, 0.3))
    (text,) = advice_for(info, image=image)
    assert "ground pixel of 50 cm is outside the range of the model (10 cm to 30 cm)" in text
    assert "resampled to 30 cm" in text
    (text,) = advice_for(info, image=image, resample=False)
    assert text == (
        "the model gets a ground pixel of 50 cm, outside its range of 10 cm to 30 cm: "
        "expect worse results"
    )
    (text,) = advice_for(info, image=image, gsd_m=None)
    assert "its ground pixel is unknown" in text
    assert advice_for(info, image=image, gsd_m=0.2) == []


def test_scene_that_resampling_cannot_bring_into_range(info: SceneInfo) -> None:
    texts = advice_for(info, image=ImageSpec(gsd_m=0.2, gsd_range_m=(0.1, 0.3)), gsd_m=10.0)
    assert any("gets a ground pixel of 2.5 m" in text for text in texts)


def test_expression_that_is_too_long(info: SceneInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ModelFacts(name="m", image=ImageSpec())
    plan = make_plan(info, ("the bus",), model, SegmentOptions(), Stretch("identity"))
    predictor = RedPredictor()
    monkeypatch.setattr(predictor, "cut_words", lambda expression: " by the old road")
    (text,) = advise_before_run(plan, predictor)
    assert 'its end "by the old road" is ignored' in text


def test_low_presence(info: SceneInfo) -> None:
    model = ModelFacts(name="m", image=ImageSpec())
    plan = make_plan(info, ("the bus",), model, SegmentOptions(), Stretch("identity"))
    assert list(advise_after_run(plan, [HighestScores()])) == []
    assert list(advise_after_run(plan, [HighestScores(0.1, 0.1)])) == []
    (text,) = advise_after_run(plan, [HighestScores(-3.0)])
    assert "a probability of at most 5% in every window" in text
    assert list(advise_after_run(plan, [HighestScores(-3.0, -80.0)])) == [text]
    (_, advice) = advise_after_run(plan, [HighestScores(-3.0, -0.5)])
    assert advice.endswith("the highest pixel is 0.37: try --threshold 0.3")


@pytest.mark.parametrize(
    ("highest", "words"),
    [
        (0.436, "the highest pixel is 0.43: try --threshold 0.4"),
        (0.4, "the highest pixel is 0.40: try --threshold 0.3"),
        (0.5, "the highest pixel is 0.50: try --threshold 0.4"),
        (0.15, "the highest pixel is 0.15: try --threshold 0.1"),
        (0.1, "the highest pixel is 0.10"),
        (0.004, "the highest pixel is 0.00"),
    ],
)
def test_nothing_above_the_threshold(highest: float, words: str) -> None:
    (text,) = advise_on_threshold("the bus", highest, 0.5)
    assert text == f'"the bus": nothing is above the threshold of 0.5; {words}'


def test_something_above_the_threshold() -> None:
    assert list(advise_on_threshold("the bus", 0.51, 0.5)) == []
    assert list(advise_on_threshold("the bus", 0.15, 0.1)) == []
