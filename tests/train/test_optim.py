"""Parameter groups and the learning-rate schedule."""

import pytest
import torch
from torch import nn

from rrsis_geo.errors import ConfigError
from rrsis_geo.train.optim import OptimConfig, Schedule, make_optimizer, set_rates


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Conv2d(3, 4, 3)
        self.trunk.relative_position_bias_table = nn.Parameter(torch.zeros(169, 4))
        self.text = nn.ModuleDict({"embeddings": nn.Embedding(5, 4), "layer": nn.Linear(4, 4)})
        self.head = nn.Sequential(nn.Linear(4, 2), nn.LayerNorm(2))
        self.learned = nn.Parameter(torch.zeros(3, 4))


def test_groups_have_the_configured_rates_and_decay():
    net = Net()
    config = OptimConfig(lr=1e-3, encoder_lr=1e-5, weight_decay=0.1)
    optimizer = make_optimizer(net, config)
    facts = {
        id(p): (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for p in group["params"]
    }
    assert len(facts) == len(list(net.parameters()))
    assert facts[id(net.trunk.weight)] == (1e-5, 0.1)
    assert facts[id(net.trunk.bias)] == (1e-5, 0.0)
    assert facts[id(net.trunk.relative_position_bias_table)] == (1e-5, 0.0)
    assert facts[id(net.text["embeddings"].weight)] == (1e-5, 0.0)
    assert facts[id(net.text["layer"].weight)] == (1e-5, 0.1)
    assert facts[id(net.head[0].weight)] == (1e-3, 0.1)
    assert facts[id(net.head[1].weight)] == (1e-3, 0.0)
    assert facts[id(net.learned)] == (1e-3, 0.0)


def test_rates_warm_up_and_fall_to_zero():
    config = OptimConfig(lr=1.0, encoder_lr=0.1, warmup_steps=4, power=0.9)
    optimizer = make_optimizer(Net(), config)
    rates = [set_rates(optimizer, config, step + 1, step / 10) for step in range(10)]
    warmup = [min(1, (t + 1) / 5) for t in range(10)]
    expected = [w * (1 - t / 10) ** 0.9 for t, w in enumerate(warmup)]
    assert [group["rest"] for group in rates] == pytest.approx(expected)
    assert [group["encoder"] for group in rates] == pytest.approx([0.1 * x for x in expected])
    assert {group["lr"] for group in optimizer.param_groups} == set(rates[-1].values())
    assert set_rates(optimizer, config, 11, 1.0)["rest"] == 0


@pytest.mark.parametrize("wrong", [{"lr": 0}, {"clip_norm": -1}, {"warmup_steps": -1}])
def test_invalid_settings_are_refused(wrong):
    with pytest.raises(ConfigError):
        OptimConfig(**wrong)


def test_parameters_that_the_network_fixes_are_in_no_group():
    net = Net()
    net.head.requires_grad_(False)
    trained = {
        id(p) for group in make_optimizer(net, OptimConfig()).param_groups for p in group["params"]
    }
    assert not trained & {id(p) for p in net.head.parameters()}


def test_frozen_parameters_are_in_no_group_and_need_no_gradient():
    net = Net()
    optimizer = make_optimizer(net, OptimConfig(frozen=("text.embeddings", "trunk.bias")))
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in net.named_parameters():
        is_frozen = name in ("text.embeddings.weight", "trunk.bias")
        assert parameter.requires_grad == (not is_frozen)
        assert (id(parameter) in trained) == (not is_frozen)


def test_an_unknown_frozen_prefix_is_refused():
    with pytest.raises(ConfigError, match=r"trunk\.stage9"):
        make_optimizer(Net(), OptimConfig(frozen=("trunk.stage9",)))


def test_without_a_time_limit_progress_is_that_of_the_steps():
    schedule = Schedule(10, None)
    assert [schedule.progress(done) for done in (0, 5, 10)] == [0, 0.5, 1]
    assert schedule.seconds_left == float("inf")


def test_time_counts_from_the_first_step_and_ends_the_run():
    seconds = iter([100.0, 100.0, 130.0, 145.0, 145.0, 170.0])
    schedule = Schedule(100, 1.0, lambda: next(seconds))
    assert schedule.progress(0) == 0
    assert schedule.progress(10) == 0.5
    assert schedule.progress(90) == 0.9  # the steps are further than the time
    assert schedule.seconds_left == 15
    assert schedule.progress(91) == 1


def test_a_resumed_run_has_the_rest_of_its_time():
    seconds = iter([0.0, 0.0, 6.0])
    schedule = Schedule(100, 1.0, lambda: next(seconds))
    schedule.resume(30)
    assert schedule.progress(1) == 0.5
    assert schedule.progress(2) == 0.6
