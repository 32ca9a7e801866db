"""Settings of a run: validation, length, and changes of a resumed run."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from repository import ROOT

from rrsis_geo.config import build, to_dict
from rrsis_geo.errors import ConfigError
from rrsis_geo.train.config import (
    CHANGEABLE_SETTINGS,
    TrainConfig,
    check_resumable,
    config_folders,
    find_config,
    load_train_config,
    out_of_memory_message,
    plan_training,
)

BENCHMARK = {"layout": "triplets", "root": "data"}


def config_of(**settings: Any) -> TrainConfig:
    base = {"name": "a", "init": {"bundle": "b"}, "benchmark": BENCHMARK, "epochs": 3}
    return build(TrainConfig, {k: v for k, v in {**base, **settings}.items() if v is not None})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data": {}}, r"either \[data\]"),
        ({"benchmark": None}, r"either \[data\]"),
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
def test_invalid_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        config_of(**settings)


def test_the_batch_size_counts_all_gpus_or_each():
    total = config_of(batch_size=8, accumulate=2)
    assert total.over_processes(4) is total
    each = config_of(batch_size=8, accumulate=2, batch_per_gpu=True).over_processes(4)
    assert (each.batch_size, each.step_samples) == (32, 64)
    assert each == config_of(batch_size=32, accumulate=2)


@pytest.mark.parametrize("length", ["epochs = 3", "steps = 90"])
@pytest.mark.parametrize(("name", "other"), [("steps", "epochs"), ("epochs", "steps")])
def test_an_override_of_one_length_removes_the_other(tmp_path, length, name, other):
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
def test_a_run_of_epochs_uses_samples_equally_often_and_validates_after_each_epoch(
    samples, epochs, batch_size, accumulate
):
    config = config_of(epochs=epochs, batch_size=batch_size, accumulate=accumulate)
    plan = plan_training(config, samples)
    used = plan.steps * config.step_samples
    assert used <= epochs * samples or plan.steps == 1
    assert used > epochs * samples - config.step_samples
    assert max(plan.validate_at) == plan.steps
    assert min(plan.validate_at) >= 1
    assert len(plan.validate_at) <= epochs + 1
    if samples % config.step_samples == 0:
        each = samples // config.step_samples
        assert plan.validate_at == {each * n for n in range(1, epochs + 1)}
        assert [plan.current_epoch(step) for step in plan.validate_at] == [
            step // each for step in plan.validate_at
        ]


def test_a_run_of_steps_validates_at_intervals_and_at_its_end():
    plan = plan_training(config_of(epochs=None, steps=10, val_every=4), 100)
    assert plan.validate_at == {4, 8, 10}
    stream = config_of(benchmark=None, data={}, epochs=None, steps=10)
    assert plan_training(stream, None).validate_at == {10}
    assert plan_training(stream, None).current_epoch(7) == 0


def test_a_resumed_run_may_change_only_some_settings():
    before = config_of()
    changed = {"workers": 7, "device": "cpu", "precision": "fp16"}
    check_resumable(to_dict(before), to_dict(config_of(**changed)), Path("run"))
    removed = {"compile": True, "data": {"pasted_share": 0.0}, "net": {"place_prior": False}}
    check_resumable({**to_dict(before), **removed}, to_dict(before), Path("run"))
    with pytest.raises(ConfigError, match=r"net\.order_prior was True"):
        check_resumable({**to_dict(before), "net": {"order_prior": True}}, to_dict(before), Path())
    assert changed.keys() <= CHANGEABLE_SETTINGS
    stream = to_dict(config_of(benchmark=None, data={}, epochs=None, steps=10))
    earlier = {**stream, "data": {k: v for k, v in stream["data"].items() if k != "whole_share"}}
    check_resumable(earlier, stream, Path("run"))
    removed = {"data": {"pasted_share": 0.5}}
    with pytest.raises(ConfigError, match=r"data\.pasted_share was 0\.5"):
        check_resumable({**to_dict(before), **removed}, to_dict(before), Path("run"))
    other = config_of(epochs=4, benchmark={**BENCHMARK, "augment": True}, val_every=5)
    with pytest.raises(ConfigError) as caught:
        check_resumable(to_dict(before), to_dict(other), Path("run"))
    for words in (
        "benchmark.augment was False and is True",
        "epochs was 3 and is 4",
        "val_every was 'unset' and is 5",
    ):
        assert words in str(caught.value)
    assert "batch_size" not in str(caught.value)


def test_the_out_of_memory_message_names_only_settings_that_help():
    message = out_of_memory_message(config_of(dtype="fp32"), "cuda:0", 3)
    for words in (
        "cuda:0",
        "step 3",
        "batch_size = 4 with accumulate = 2",
        "checkpointing",
        "bf16",
    ):
        assert words in message
    message = out_of_memory_message(config_of(batch_size=1, checkpointing=True), "cuda", 1)
    assert "batch_size" not in message
    assert "checkpointing" not in message
    assert "benchmark.size_px" in message


def test_a_configuration_by_its_name():
    expected = ROOT / "configs" / "finetune.toml"
    for text in ("finetune", "finetune.toml", "configs/finetune.toml", str(expected)):
        assert find_config(Path(text)).samefile(expected)
    assert load_train_config(Path("finetune"), ["seed=3"]).seed == 3


def test_a_file_of_the_user_is_not_replaced_by_one_of_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = Path("finetune.toml")
    own.write_text("name = 'mine'")
    assert find_config(own) == own


@pytest.mark.parametrize("text", ["no_such", "other/finetune.toml"])
def test_an_unknown_configuration_lists_those_that_exist(text):
    with pytest.raises(ConfigError, match=r"give a path, or one of .*btdnet_refsegrs, .*finetune"):
        find_config(Path(text))


def test_a_wheel_contains_the_configurations():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included["configs"] == "rrsis_geo/configs"
    assert config_folders()[1] == ROOT / "rrsis_geo" / "configs"
