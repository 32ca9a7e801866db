"""Random samples from COCO instances."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from repository import SHARED

from rrsis_geo.data.expressions.kinds import ALL_CLAUSES, KIND_WEIGHTS, ExpressionKinds
from rrsis_geo.data.instances.coco import InstanceSource
from rrsis_geo.data.instances.referring import ReferringInstances, validation_samples

DATA = SHARED / "data"


def test_rare_categories_are_drawn_as_often_as_common_ones(coco: Path) -> None:
    referring = ReferringInstances(InstanceSource(coco), 64)
    rng = np.random.default_rng(1)
    samples = [referring.sample(rng) for _ in range(400)]
    kinds = Counter(sample.kind for sample in samples)
    present = Counter(sample.category for sample in samples if sample.kind != "absent")
    assert present["bus"] + present["car"] > 0.2 * sum(present.values())
    assert set(kinds) == set(KIND_WEIGHTS)
    for sample in samples:
        assert sample.image.shape == (64, 64, 3)
        assert sample.mask.shape == (64, 64)
        assert sample.mask.any() == (sample.kind != "absent")


def test_draws_repeat(coco: Path) -> None:
    source = InstanceSource(coco)
    first, second = ReferringInstances(source, 64), ReferringInstances(source, 64)
    first_rng, second_rng = np.random.default_rng(5), np.random.default_rng(5)
    for _ in range(10):
        one, other = first.sample(first_rng), second.sample(second_rng)
        assert one.expression == other.expression
        assert (one.image == other.image).all()
        assert (one.mask == other.mask).all()


def test_validation_samples_are_fixed_whatever_their_number(coco: Path) -> None:
    source = InstanceSource(coco)
    short, long = validation_samples(source, 5, 3, 64), validation_samples(source, 9, 3, 64)
    for one, other in zip(short, long, strict=False):
        assert one.expression == other.expression
        assert (one.image == other.image).all()
    assert len(long) == 9


def test_kinds_can_be_chosen(coco: Path) -> None:
    referring = ReferringInstances(
        InstanceSource(coco), 64, kinds=ExpressionKinds({"category": 1.0}, ALL_CLAUSES)
    )
    rng = np.random.default_rng(0)
    assert {referring.sample(rng).kind for _ in range(30)} == {"category"}


def test_images_without_objects_are_absent_samples(coco: Path, tmp_path: Path) -> None:
    content = json.loads(coco.read_text())
    del content["images"][60:64]  # no other image is fully labelled
    for entry in content["images"][:30]:
        entry["labels_complete"] = True
    content["annotations"] = [
        entry for entry in content["annotations"] if 30 <= entry["image_id"] < 60
    ]
    path = tmp_path / "empty.json"
    path.write_text(json.dumps(content))
    source = InstanceSource(path, coco.parent / "images")
    kinds = ExpressionKinds({"category": 0.5, "absent": 0.5}, ALL_CLAUSES)
    referring = ReferringInstances(source, 64, kinds=kinds)
    rng = np.random.default_rng(0)
    samples = [referring.sample(rng) for _ in range(40)]
    absent = {int(sample.id) for sample in samples if sample.kind == "absent"}
    assert len(absent) > 8
    assert max(absent) < 30


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared instances are not on this machine")
def test_samples_of_real_instances() -> None:
    source = InstanceSource(DATA / "instances_val.json")
    samples = validation_samples(source, 120, 0, 256)
    kinds = Counter(sample.kind for sample in samples)
    assert set(kinds) == set(KIND_WEIGHTS)
    assert kinds["absent"] < 40
    assert len({sample.category for sample in samples}) >= 12
    assert Counter(sample.category for sample in samples)["tree"] < 25
    for sample in samples:
        assert sample.mask.any() == (sample.kind != "absent")
