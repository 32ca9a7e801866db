"""The numbered stream of training samples."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rrsis_geo.data.instances.stream import SampleStream, StreamConfig, painted_sample
from rrsis_geo.errors import ConfigError
from rrsis_geo.text.vocabulary import kinds_of


def test_a_sample_depends_on_seed_and_number_only():
    config = StreamConfig(size_px=64, painted_share=1.0)
    stream = SampleStream(config, seed=3, length=10)
    again = SampleStream(config, seed=3, length=10)
    forward = [stream[i] for i in (0, 1, 2)]
    backward = [again[i] for i in (2, 1, 0)][::-1]
    for a, b in zip(forward, backward, strict=True):
        assert a.expression == b.expression
        assert np.array_equal(a.image, b.image)
        assert np.array_equal(a.mask, b.mask)
    other = SampleStream(config, seed=4, length=10)[0]
    assert not np.array_equal(other.image, forward[0].image)
    assert len(stream) == 10
    assert {"truck", "road", "building"} <= stream.categories


def test_painted_samples_have_a_target_unless_absent():
    kinds = set()
    for i in range(12):
        sample = painted_sample(np.random.default_rng([7, i]), 96, (0.2, 0.5))
        assert sample.image.shape == (96, 96, 3)
        assert sample.mask.shape == (96, 96)
        assert sample.mask.any() == (sample.kind != "absent"), sample.expression
        kinds.add(sample.kind)
    assert len(kinds) > 2


def test_painted_samples_follow_the_shares():
    config = StreamConfig(
        size_px=96,
        painted_share=1.0,
        absent_share=0.0,
        painted_gsd_range_m=(0.4, 0.5),
        painted_kinds={"colour": 1.0},
        painted_focus={"car": 1.0},
    )
    stream = SampleStream(config, seed=5, length=12)
    kinds = [sample.kind for sample in map(stream.__getitem__, range(12))]
    assert kinds.count("colour") > 8  # "category" where the scene has no colour to name
    assert set(kinds) <= {"colour", "category"}


def test_consecutive_samples_can_share_their_scene():
    config = StreamConfig(size_px=64, painted_share=1.0, expressions_per_scene=3)
    stream = SampleStream(config, seed=6, length=9)
    samples = [stream[i] for i in (8, 3, 4, 5, 6)][::-1]  # in any order
    last, *row, other = samples[0], *samples[1:4], samples[4]
    assert all(np.array_equal(sample.image, row[0].image) for sample in row)
    assert len({sample.expression for sample in row}) > 1
    assert np.array_equal(last.image, other.image)
    assert not np.array_equal(last.image, row[0].image)


def test_contrast_scenes_have_one_category_on_and_off_the_road():
    config = StreamConfig(
        size_px=160,
        painted_share=1.0,
        painted_kinds={"relation": 1.0},
        painted_focus={"car": 1.0},
        expressions_per_scene=6,
        painted_contrast=1.0,
        absent_share=0.0,
    )
    stream = SampleStream(config, seed=4, length=6)
    samples = [stream[i] for i in range(6)]
    assert all("car" in kinds_of(sample.category) for sample in samples)
    assert len({sample.mask.tobytes() for sample in samples}) > 1
    assert len({sample.image.tobytes() for sample in samples}) == 1


def test_absent_targets_of_contrast_scenes_can_be_other_categories():
    config = StreamConfig(
        size_px=64,
        painted_share=1.0,
        expressions_per_scene=4,
        painted_contrast=1.0,
        painted_focus={"car": 1.0},
        absent_share=1.0,
    )
    stream = SampleStream(config, seed=8, length=40)
    samples = [stream[i] for i in range(40)]
    assert {sample.kind for sample in samples} == {"absent"}
    of_cars = sum(sample.category == "car" for sample in samples)
    assert 10 < of_cars < 35


def test_some_samples_are_reworded_or_name_foreign_things():
    plain = StreamConfig(size_px=64, painted_share=1.0, absent_share=0.5)
    reworded = replace(plain, reworded_share=0.5, foreign_share=0.5)
    before, after = (SampleStream(config, seed=8, length=40) for config in (plain, reworded))
    reworded = asked = absent = 0
    for i in range(40):
        usual, sample = before[i], after[i]
        assert np.array_equal(usual.mask, sample.mask)
        assert np.array_equal(usual.image, sample.image)
        foreign = sample.kind == "absent" and not sample.category
        reworded += sample.expression != usual.expression and not foreign
        asked += foreign
        absent += sample.kind == "absent"
    assert 8 < reworded < 25
    assert 0.2 * absent < asked < 0.8 * absent


@pytest.fixture
def car_park(tmp_path: Path) -> Path:
    """Two images of four cars, one in each corner."""
    (tmp_path / "images").mkdir()
    images, annotations = [], []
    for number in range(2):
        pixels = np.full((96, 96, 3), 100 + number, np.uint8)
        for row, col in ((8, 8), (10, 70), (66, 12), (70, 68)):
            pixels[row : row + 14, col : col + 16] = (200, 30, 30)
            corners = [col, row, col + 16, row, col + 16, row + 14, col, row + 14]
            annotations.append({"image_id": number, "category_id": 1, "segmentation": [corners]})
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "height": 96, "width": 96})
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "car"}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(content))
    return tmp_path / "instances.json"


def test_the_default_stream_has_no_words_that_need_the_whole_scene():
    config = StreamConfig(size_px=96, painted_share=1.0, absent_share=0.3)
    stream = SampleStream(config, seed=9, length=60)
    samples = [stream[i] for i in range(60)]
    assert {sample.kind for sample in samples} >= {"category", "colour", "relation", "absent"}
    assert {sample.kind for sample in samples}.isdisjoint({"size", "position"})
    words = {word for sample in samples for word in sample.expression.split()}
    assert words.isdisjoint({"left", "right", "top", "bottom", "largest", "between", "north"})


def test_other_clauses_can_be_added():
    config = StreamConfig(
        size_px=160,
        painted_share=1.0,
        absent_share=0.0,
        painted_kinds={"size": 1.0, "position": 1.0},
        clauses=("colour", "contact", "position", "size"),
    )
    stream = SampleStream(config, seed=9, length=12)
    kinds = [stream[i].kind for i in range(12)]
    assert {"size", "position"} <= set(kinds)


def test_contrast_crops_differ_by_position(car_park: Path):
    config = StreamConfig(
        clauses=("colour", "contact", "position"),
        instances=car_park,
        size_px=64,
        painted_share=0.0,
        expressions_per_scene=6,
        instance_contrast=1.0,
        contrast_kinds={"position": 1.0},
        absent_share=0.0,
    )
    stream = SampleStream(config, seed=4, length=60)
    samples = [stream[i] for i in range(60)]
    for first in range(0, 60, 6):
        run = samples[first : first + 6]
        assert len({sample.image.tobytes() for sample in run}) == 1
        assert len({sample.mask.tobytes() for sample in run}) > 1
    assert {sample.kind for sample in samples} == {"position"}
    again = SampleStream(config, seed=4, length=60)[33]
    assert again.expression == samples[33].expression
    assert np.array_equal(again.mask, samples[33].mask)


def test_without_contrast_each_real_sample_has_its_own_crop(car_park: Path):
    config = StreamConfig(
        instances=car_park, size_px=64, painted_share=0.0, expressions_per_scene=4
    )
    stream = SampleStream(config, seed=4, length=4)
    assert len({stream[i].image.tobytes() for i in range(4)}) > 1


def test_some_real_samples_ask_for_vehicles_that_may_be_unlabelled(car_park: Path):
    config = StreamConfig(instances=car_park, size_px=64, painted_share=0.0, unlabelled_share=0.5)
    stream = SampleStream(config, seed=8, length=60)
    samples = [stream[index] for index in range(60)]
    unlabelled = [sample for sample in samples if not sample.kind]
    assert 15 < len(unlabelled) < 45
    for sample in unlabelled:
        assert not sample.mask.any()
        assert sample.ignored is not None
        assert not sample.ignored.all()
        assert sample.category in {"truck", "bus", "van"}  # the labelled objects are cars


def test_some_crops_of_real_images_have_false_colours(car_park: Path):
    plain = StreamConfig(instances=car_park, size_px=64, painted_share=0.0)
    streams = [
        SampleStream(replace(plain, false_colour_share=share), seed=8, length=10)
        for share in (0.0, 1.0)
    ]
    assert "colour" in {streams[0][index].kind for index in range(10)}
    assert "colour" not in {streams[1][index].kind for index in range(10)}


def test_absent_targets_have_weights_of_their_own(car_park: Path):
    content = json.loads(car_park.read_text())
    content["categories"].append({"id": 2, "name": "bus"})
    for image in content["images"]:
        image["labels_complete"] = True
    for annotation in content["annotations"]:
        annotation["category_id"] = 1 + annotation["image_id"]  # cars in image 0, buses in image 1
    car_park.write_text(json.dumps(content))
    pictures = []
    for weights in (None, {"car": 0.0}):
        config = StreamConfig(
            instances=car_park,
            size_px=64,
            painted_share=0.0,
            absent_share=0.9,
            absent_weights=weights,
        )
        stream = SampleStream(config, seed=8, length=40)
        samples = [stream[index] for index in range(40)]
        pictures.append({sample.picture for sample in samples if sample.kind == "absent"})
    assert pictures == [{"0", "1"}, {"1"}]


@pytest.mark.parametrize(
    "wrong",
    [
        {"painted_share": 1.5},
        {"size_px": 100},
        {"painted_kinds": {"colours": 1.0}},
        {"painted_focus": {}},
        {"contrast_kinds": {"absent": 1.0}},
        {"instance_contrast": -0.1},
        {"expressions_per_scene": 0},
        {"painted_focus": {"truck": -1.0, "": 2.0}},
        {"real_kinds": {"position": 1.0}},
        {"clauses": ()},
        {"unlabelled_share": 1.2},
        {"false_colour_share": -0.1},
        {"absent_weights": {"car": -1.0}},
        {"clauses": ("colour",), "painted_kinds": {"combination": 1.0}},
    ],
)
def test_wrong_settings_raise(wrong):
    with pytest.raises(ConfigError):
        StreamConfig(**wrong)


def test_a_kind_that_rules_resolve_is_refused_with_what_to_do():
    message = "painted_kinds: 'size' needs other clauses than .*remove it, because rules"
    with pytest.raises(ConfigError, match=message):
        StreamConfig(painted_kinds={"category": 0.5, "size": 0.5})


def test_cache_mib_cannot_be_negative():
    with pytest.raises(ConfigError, match="cache_mib"):
        StreamConfig(cache_mib=-1)
