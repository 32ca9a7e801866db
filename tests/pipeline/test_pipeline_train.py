"""Training runs: they learn, they resume exactly, and what they leave is a bundle."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rrsis_geo.bundle import load_bundle
from rrsis_geo.config import build, load
from rrsis_geo.errors import ConfigError, InputError
from rrsis_geo.nets import build_net
from rrsis_geo.pipeline import train
from rrsis_geo.pipeline.train import TrainConfig, train_model
from rrsis_geo.training.checkpoint import load_checkpoint

WORDS = ("the", "all", "road", "truck", "car", "building", "tree", "on", "white", "red")
SETTINGS = {
    "name": "tiny",
    "net": {
        "name": "btdnet",
        "trunk": "tf_efficientnet_lite0",
        "freeze_batch_norm": True,
        "drop_path": 0.0,
        "bsc_text_width": 16,
        "width": 32,
        "heads": 4,
        "mci_layers": 1,
        "mixing": "convolution",
        "smoothing": "depthwise",
        "presence": True,
        "text": {
            "vocab_size": 5 + len(WORDS) + 2 * 26,
            "width": 32,
            "heads": 4,
            "ffn_width": 32,
            "stages": [1, 1, 1, 1],
        },
    },
    "data": {"size_px": 64, "painted_share": 1.0, "val_samples": 4},
    "optim": {"warmup_steps": 2},
    "steps": 4,
    "batch_size": 2,
    "workers": 0,
    "dtype": "fp32",
    "val_every": 4,
    "checkpoint_minutes": 0.0,
}


@pytest.fixture
def config(tmp_path) -> TrainConfig:
    letters = "abcdefghijklmnopqrstuvwxyz"
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = [*special, *WORDS, *letters, *(f"##{letter}" for letter in letters)]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    return build(TrainConfig, {**SETTINGS, "init": {"vocabulary": str(tmp_path)}})


def test_a_run_leaves_a_bundle_its_config_and_a_log(config, tmp_path):
    scores = train_model(config, tmp_path / "run")
    assert scores.n == 4
    bundle = load_bundle(str(tmp_path / "run" / "model"))
    assert bundle.about["steps"] == 4
    assert "truck" in bundle.about["categories"]
    assert build(TrainConfig, json.loads((tmp_path / "run" / "config.json").read_text())) == config
    lines = [json.loads(x) for x in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["val"]["n"] == 4


def test_an_interrupted_run_resumes_to_the_same_weights(config, tmp_path, monkeypatch):
    train_model(config, tmp_path / "whole")
    step, calls = train.train_step, []

    def interrupted(*args, **kwargs):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(1)
        return step(*args, **kwargs)

    monkeypatch.setattr(train, "train_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_model(config, tmp_path / "cut")
    monkeypatch.setattr(train, "train_step", step)
    train_model(config, tmp_path / "cut", resume=True)
    whole, cut = (load_checkpoint(tmp_path / name / "checkpoints") for name in ("whole", "cut"))
    assert whole["step"] == cut["step"] == 4
    for part in ("net", "average"):
        for name, value in whole[part].items():
            assert torch.equal(value, cut[part][name]), name


def test_a_loss_that_is_no_number_stops_the_run(config, tmp_path, monkeypatch):
    def broken(config):
        net, tokenizer = start(config)
        torch.nn.init.constant_(net.decoder.prototype[-1].bias, float("nan"))
        return net, tokenizer

    start = train._start
    monkeypatch.setattr(train, "_start", broken)
    with pytest.raises(InputError, match="painted: "):
        train_model(config, tmp_path / "run")


def test_a_run_may_start_from_a_bundle(config, tmp_path):
    train_model(config, tmp_path / "first")
    again = {**SETTINGS, "init": {"bundle": str(tmp_path / "first" / "model")}, "steps": 1}
    train_model(build(TrainConfig, again), tmp_path / "second")
    assert (tmp_path / "second" / "model" / "weights.safetensors").is_file()
    other = {**again, "net": {**SETTINGS["net"], "width": 64}}
    with pytest.raises(ConfigError, match="another network"):
        train_model(build(TrainConfig, other), tmp_path / "third")


def test_shipped_configurations_load_and_their_networks_build():
    folder = Path(__file__).parents[2] / "configs"
    files = sorted(folder.glob("*.toml"))
    assert files
    for path in files:
        loaded = load(path, TrainConfig)
        with torch.device("meta"):
            build_net(loaded.net["name"], {k: v for k, v in loaded.net.items() if k != "name"})


def test_training_loads_no_raster_library():
    code = (
        "import sys, rrsis_geo.pipeline.train;"
        "bad = {'rasterio', 'geopandas', 'shapely', 'pyproj'} & set(sys.modules);"
        "sys.exit(', '.join(bad) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
