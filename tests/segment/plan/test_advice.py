"""What users are told, once, in plain words."""

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
from rrsis_geo.segment.plan.advice import advise_after_run, advise_before_run
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.plan import make_plan


@pytest.fixture
def info(make_scene: Callable[..., Path]) -> SceneInfo:
    with open_scene(make_scene(1000, 800)) as scene:
        return scene.info


def told(
    info: SceneInfo,
    expression: str = "the bus",
    *,
    gsd_m: float | None = 0.5,
    image: ImageSpec | None = None,
    about: dict[str, Any] | None = None,
    **options: Any,
) -> list[str]:
    model = ModelFacts(name="m", image=image or ImageSpec(), about=about or {})
    scene = replace(info, gsd_m=gsd_m, gsd_row_m=gsd_m, gsd_col_m=gsd_m)
    plan = make_plan(scene, (expression,), model, make_options(**options), Stretch("identity"))
    return list(advise_before_run(plan, RedPredictor()))


def test_nothing_to_say(info: SceneInfo) -> None:
    assert told(info) == []


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("the largest building", '"the largest"'),
        ("the car in the top left", '"in the top left"'),
        ("the northernmost house", "northernmost"),
    ],
)
def test_scene_wide_words(info: SceneInfo, expression: str, words: str) -> None:
    (text,) = told(info, expression)
    assert words in text
    assert "within each window of 512 pixels (256 m) by itself" in text


def test_scene_wide_words_are_right_in_a_scene_of_one_window(info: SceneInfo) -> None:
    assert told(replace(info, height=300, width=300), "the largest building") == []


def test_category_that_the_card_does_not_list(info: SceneInfo) -> None:
    about = {"categories": ["car", "building"]}
    assert told(info, "the car by the building", about=about) == []
    (text,) = told(info, "the harbor", about=about)
    assert text == "m was not trained on harbor; take the result with caution"
    assert told(info, "the harbor") == []


@pytest.mark.parametrize(
    "expression",
    ["solar panels", "the big Solar Panels on the left there", "solar panels on the building"],
)
def test_thing_that_no_category_is_called(info: SceneInfo, expression: str) -> None:
    about = {"categories": ["car", "building", "water", "semi-trailer"]}
    texts = told(info, expression, about=about)
    assert "m was not trained on" in texts[-1]
    assert "olar" in texts[-1]
    assert told(info, expression) == told(
        info, expression, about={"categories": ["solar panel", "building"]}
    )


def test_other_names_of_what_the_card_lists(info: SceneInfo) -> None:
    about = {"categories": ["car", "building", "water", "semi-trailer"]}
    known = ("the river", "sedans", "rooftops by a car", "semi-trailers", "Bodies of water")
    for expression in known:
        assert told(info, expression, about=about) == [], expression


def test_resampling_is_told(info: SceneInfo) -> None:
    image = ImageSpec(gsd_m=0.2, gsd_range_m=(0.1, 0.3))
    (text,) = told(info, image=image)
    assert "ground pixel of 50 cm is outside what the model knows (10 cm to 30 cm)" in text
    assert "resampled to 30 cm" in text
    (text,) = told(info, image=image, resample=False)
    assert text == "the model works at 50 cm a pixel and knows 10 cm to 30 cm: expect worse results"
    (text,) = told(info, image=image, gsd_m=None)
    assert "its ground pixel is unknown" in text
    assert told(info, image=image, gsd_m=0.2) == []


def test_scene_too_coarse_to_be_helped(info: SceneInfo) -> None:
    texts = told(info, image=ImageSpec(gsd_m=0.2, gsd_range_m=(0.1, 0.3)), gsd_m=10.0)
    assert any("works at 2.5 m a pixel" in text for text in texts)


def test_words_that_are_not_read(info: SceneInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ModelFacts(name="m", image=ImageSpec())
    plan = make_plan(info, ("the bus",), model, SegmentOptions(), Stretch("identity"))
    predictor = RedPredictor()
    monkeypatch.setattr(predictor, "cut_words", lambda expression: " by the old road")
    (text,) = advise_before_run(plan, predictor)
    assert 'its end "by the old road" is not read' in text


def test_doubt(info: SceneInfo) -> None:
    model = ModelFacts(name="m", image=ImageSpec())
    plan = make_plan(info, ("the bus",), model, SegmentOptions(), Stretch("identity"))
    assert list(advise_after_run(plan, [None])) == []
    assert list(advise_after_run(plan, [0.1])) == []
    (text,) = advise_after_run(plan, [-3.0])
    assert "in no window is it more than 5% sure" in text
