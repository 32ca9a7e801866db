"""The configurations in ``configs/`` load, and their networks can be built."""

import json
import subprocess
import sys

import pytest
import torch
from repository import ROOT

from rrsis_geo.config import build, load
from rrsis_geo.data.benchmarks.layouts import LAYOUTS
from rrsis_geo.model.bundle import load_bundle
from rrsis_geo.model.catalog import find_bundle
from rrsis_geo.nets import NETS, PRESETS, build_net
from rrsis_geo.train.config import plan_training
from rrsis_geo.train.optim import make_optimizer
from rrsis_geo.train.training import TrainConfig

FILES = sorted((ROOT / "configs").glob("*.toml"))
PAPER = {"btdnet_refsegrs": "refsegrs", "btdnet_rrsisd": "rrsisd", "btdnet_risbench": "risbench"}
"""Configurations of the paper, and the layouts they read."""
FAMILY = {  # name of the file -> preset, epochs, learning rate
    "lavt_rrsisd": ("lavt", 40, 5e-5),
    "rmsin_rrsisd": ("rmsin", 40, 3e-5),
    "fianet_refsegrs": ("fianet-1", 60, 5e-5),
    "fianet_rrsisd": ("fianet", 40, 3e-5),
    "crobim_refsegrs": ("crobim", 40, 5e-5),
    "crobim_rrsisd": ("crobim", 40, 5e-5),
    "crobim_risbench": ("crobim", 40, 5e-5),
}
"""Configurations of other papers."""


def settings_of(config: TrainConfig) -> dict[str, object]:
    return {key: value for key, value in config.net.items() if key != "name"}


def test_the_documented_configurations_exist():
    others = {"btdnet_lite", "btdnet_lite_cpu", "finetune", "smoke"}
    assert {path.stem for path in FILES} == {*PAPER, *FAMILY, *others}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_configuration_loads_and_describes_a_network(path):
    config = load(path, TrainConfig)
    if config.init.bundle is not None:
        find_bundle(config.init.bundle)
        net = load_bundle(config.init.bundle).net
    else:
        with torch.device("meta"):
            net = build_net(config.net["name"], settings_of(config))
    optimizer = make_optimizer(net, config.optim)
    assert {group["name"] for group in optimizer.param_groups} == {"encoder", "rest"}
    if config.benchmark is not None:
        assert config.benchmark.layout in LAYOUTS
        assert not config.benchmark.root.is_absolute()
    if config.image is not None and config.benchmark is not None:
        assert config.image.size_px == config.benchmark.size_px


@pytest.mark.parametrize("name", PAPER)
def test_the_paper_configurations_follow_the_paper(name):
    config = load(ROOT / "configs" / f"{name}.toml", TrainConfig)
    assert build(NETS["btdnet"].config_class, settings_of(config)) == PRESETS["btdnet"]
    assert (config.epochs, config.step_samples, config.max_tokens) == (50, 8, 20)
    assert (config.optim.lr, config.optim.encoder_lr, config.optim.power) == (1e-4, 1e-5, 0.9)
    assert config.benchmark is not None
    assert (config.benchmark.size_px, config.benchmark.augment) == (512, False)
    assert config.benchmark.layout == PAPER[name]
    samples = LAYOUTS[PAPER[name]].counts["train"]
    plan = plan_training(config, samples)
    assert plan.steps == 50 * samples // 8
    assert len(plan.validate_at) == 50


@pytest.mark.parametrize("name", FAMILY)
def test_the_configurations_of_other_papers_are_their_presets(name):
    config = load(ROOT / "configs" / f"{name}.toml", TrainConfig)
    net = NETS[str(config.net["name"])]
    preset, epochs, lr = FAMILY[name]
    assert build(net.config_class, settings_of(config)) == PRESETS[preset]
    assert (config.epochs, config.precision, config.dtype) == (epochs, "fp32", "fp32")
    assert config.optim.lr == config.optim.encoder_lr == lr
    schedule = (1, 1500) if net.name == "crobim" else (0, 0)
    assert (config.optim.clip_norm, config.optim.warmup_steps) == schedule
    assert config.benchmark is not None
    assert config.benchmark.size_px == 480


@pytest.mark.parametrize("name", ["btdnet_lite", "btdnet_lite_cpu"])
def test_the_configurations_of_the_shipped_model_are_its_preset(name):
    config = load(ROOT / "configs" / f"{name}.toml", TrainConfig)
    assert build(NETS["btdnet"].config_class, settings_of(config)) == PRESETS["btdnet-lite"]


@pytest.mark.slow
def test_the_smoke_configuration_trains_on_its_dataset(tmp_path):
    root = tmp_path / "smoke"
    make = [sys.executable, str(ROOT / "benchmarks" / "make_smoke.py"), str(root)]
    subprocess.run(make, check=True, cwd=ROOT)
    train = [
        *(sys.executable, "-m", "rrsis_geo", "train", "-o", str(tmp_path / "run")),
        *("--config", str(ROOT / "configs" / "smoke.toml"), "--set", f"benchmark.root={root}"),
    ]
    subprocess.run(train, check=True, cwd=ROOT)
    load_bundle(str(tmp_path / "run" / "model"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("lavt_rrsisd", {}),
        ("rmsin_rrsisd", {}),
        ("fianet_rrsisd", {}),
        (
            "crobim_risbench",
            {"width": 32, "heads": 4, "attention_width": 64, "compensation_width": 16},
        ),
    ],
)
def test_a_configuration_made_small_trains_evaluates_and_compares(
    name, settings, make_benchmark, tmp_path
):
    path = ROOT / "configs" / f"{name}.toml"
    layout = load(path, TrainConfig).benchmark.layout
    root = make_benchmark(layout, splits={"train": 4, "val": 1, "test": 1})
    net = {"trunk": "swin_tiny_patch4_window7_224", "image_px": 96, "drop_path": 0, **settings}
    text = {"width": 64, "heads": 2, "ffn_width": 128, "stages": "[1,1,0,0]"}
    init = {"trunk": "none", "text": "none", "vocabulary": "models/btdnet-lite"}
    data = {"root": root, "size_px": 96}
    run = {"epochs": 1, "batch_size": 2, "workers": 0, "device": "cpu"}
    values = {
        **{f"net.{key}": value for key, value in net.items()},
        **{f"net.text.{key}": value for key, value in text.items()},
        **{f"init.{key}": value for key, value in init.items()},
        **{f"benchmark.{key}": value for key, value in data.items()},
        **run,
        "image.size_px": 96,
        "optim.frozen": "[]",
    }
    sets = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
    program = [sys.executable, "-m", "rrsis_geo"]
    train = [*program, "train", "--config", str(path), "-o", str(tmp_path / "run"), *sets]
    subprocess.run(train, check=True, cwd=ROOT)
    # RMSIN reads images of its own size only, and 96 px is not a size that papers score at
    compare = [] if name.startswith("rmsin") else ["--compare", "--size", "480"]
    evaluate = [
        *(*program, "evaluate", "--model", str(tmp_path / "run" / "model"), *compare),
        *("--data", str(root), "--layout", layout, "--split", "test", "--json"),
    ]
    done = subprocess.run(evaluate, check=True, cwd=ROOT, capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert bool(report["published"]) == bool(compare)
    assert load_bundle(str(tmp_path / "run" / "model")).net.name == name.partition("_")[0]
