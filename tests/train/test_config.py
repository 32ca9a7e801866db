"""Settings of a run: what is refused, how long it is, what a resumed run may change."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrsis_geo.config import build, to_dict
from rrsis_geo.errors import ConfigError
from rrsis_geo.train.config import (
    HARMLESS,
    TrainConfig,
    check_resumable,
    load_train_config,
    memory_advice,
    plan_training,
)

BENCHMARK = {"layout": "triplets", "root": "data"}


def config_of(**settings: Any) -> TrainConfig:
    base = {"name": "a", "init": {"bundle": "b"}, "benchmark": BENCHMARK, "epochs": 3}
    return build(TrainConfig, {k: v for k, v in {**base, **settings}.items() if v is not None})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data": {}}, r"one of \[data\]"),
        ({"benchmark": None}, r"one of \[data\]"),
        ({"steps": 5}, "either epochs or steps: both are set"),
        ({"epochs": None}, "either epochs or steps: neither is set"),
        ({"benchmark": None, "data": {}}, "set steps"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"accumulate": 0}, "accumulate must be at least 1"),
        ({"workers": -1}, "workers must be at least 0, got -1"),
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"init": {}}, "vocabulary"),
        ({"init": {"vocabulary": "v"}}, r"net\.name"),
        ({"net": {"width": 64}}, r"net\.name"),
        ({"dtype": "fp8"}, "dtype"),
        ({"compile": True}, 'unknown setting "compile"'),
    ],
    ids=str,
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        config_of(**settings)


@pytest.mark.parametrize("length", ["epochs = 3", "steps = 90"])
@pytest.mark.parametrize(("name", "other"), [("steps", "epochs"), ("epochs", "steps")])
def test_a_length_set_over_the_file_takes_the_place_of_the_other(tmp_path, length, name, other):
    path = tmp_path / "run.toml"
    tables = '[init]\nbundle = "b"\n[benchmark]\nlayout = "triplets"\nroot = "data"\n'
    path.write_text(f'name = "a"\n{length}\n{tables}')
    config = load_train_config(path, [f"{name}=7", "seed=5"])
    assert (getattr(config, name), getattr(config, other), config.seed) == (7, None, 5)
    assert load_train_config(path, ["seed=5"]).epochs == (3 if "epochs" in length else None)
    with pytest.raises(ConfigError, match="both are set"):
        load_train_config(path, ["steps=7", "epochs=7"])


@given(
    samples=st.integers(1, 300),
    epochs=st.integers(1, 12),
    batch_size=st.integers(1, 9),
    accumulate=st.integers(1, 4),
)
def test_a_run_of_epochs_shows_every_sample_as_often_and_is_scored_after_each(
    samples, epochs, batch_size, accumulate
):
    config = config_of(epochs=epochs, batch_size=batch_size, accumulate=accumulate)
    plan = plan_training(config, samples)
    seen = plan.steps * config.step_samples
    assert seen <= epochs * samples or plan.steps == 1
    assert seen > epochs * samples - config.step_samples
    assert max(plan.validate_at) == plan.steps
    assert min(plan.validate_at) >= 1
    assert len(plan.validate_at) <= epochs + 1
    if samples % config.step_samples == 0:
        each = samples // config.step_samples
        assert plan.validate_at == {each * n for n in range(1, epochs + 1)}
        assert [plan.epochs_begun(step) for step in plan.validate_at] == [
            step // each for step in plan.validate_at
        ]


def test_a_run_of_steps_is_scored_every_so_often_and_at_its_end():
    plan = plan_training(config_of(epochs=None, steps=10, val_every=4), 100)
    assert plan.validate_at == {4, 8, 10}
    stream = config_of(benchmark=None, data={}, epochs=None, steps=10)
    assert plan_training(stream, None).validate_at == {10}
    assert plan_training(stream, None).epochs_begun(7) == 0


def test_a_resumed_run_may_change_what_is_harmless_and_nothing_else():
    was = config_of()
    changed = {"workers": 7, "device": "cpu", "precision": "fp16"}
    check_resumable(to_dict(was), to_dict(config_of(**changed)), Path("run"))
    check_resumable({**to_dict(was), "compile": True}, to_dict(was), Path("run"))
    assert changed.keys() <= HARMLESS
    other = config_of(epochs=4, benchmark={**BENCHMARK, "augment": True}, val_every=5)
    with pytest.raises(ConfigError) as caught:
        check_resumable(to_dict(was), to_dict(other), Path("run"))
    for words in (
        "benchmark.augment was False and is True",
        "epochs was 3 and is 4",
        "val_every was 'unset' and is 5",
    ):
        assert words in str(caught.value)
    assert "batch_size" not in str(caught.value)


def test_advice_about_memory_names_only_what_helps():
    roomy = memory_advice(config_of(dtype="fp32"), "cuda:0", 3)
    for words in (
        "cuda:0",
        "step 3",
        "batch_size = 4 with accumulate = 2",
        "checkpointing",
        "bf16",
    ):
        assert words in roomy
    tight = memory_advice(config_of(batch_size=1, checkpointing=True), "cuda", 1)
    assert "batch_size" not in tight
    assert "checkpointing" not in tight
    assert "benchmark.size_px" in tight
