"""Training runs: they learn, they resume exactly, and what they leave is a bundle."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rrsis_geo.config import build
from rrsis_geo.data.benchmarks.triplets import TripletWriter
from rrsis_geo.data.sample import Sample
from rrsis_geo.errors import ConfigError, DeviceError, InputError, OutputError
from rrsis_geo.model.bundle import load_bundle
from rrsis_geo.train import training as train
from rrsis_geo.train.checkpoint import checkpoints, load_checkpoint
from rrsis_geo.train.samples import BenchmarkConfig
from rrsis_geo.train.training import TrainConfig, TrainProgress, train_model

WORDS = ("the", "all", "road", "truck", "car", "building", "tree", "on", "white", "red")
NET = {
    "name": "btdnet",
    "trunk": "test_efficientnet",
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
}
SETTINGS = {
    "name": "tiny",
    "net": NET,
    "data": {"size_px": 64, "painted_share": 1.0, "val_samples": 4},
    "optim": {"warmup_steps": 2},
    "steps": 4,
    "batch_size": 2,
    "workers": 0,
    "device": "cpu",
    "dtype": "fp32",
    "ema_decay": 0.9,
    "val_every": 4,
    "checkpoint_minutes": 0.0,
}


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    letters = "abcdefghijklmnopqrstuvwxyz"
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = [*special, *WORDS, *letters, *(f"##{letter}" for letter in letters)]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces) + "\n")
    return tmp_path


@pytest.fixture
def config(vocabulary: Path) -> TrainConfig:
    return build(TrainConfig, {**SETTINGS, "init": {"vocabulary": str(vocabulary)}})


@pytest.fixture
def triplets(tmp_path: Path) -> Path:
    """Seven samples to train on and two to be judged by, 64 x 80 pixels."""
    root = tmp_path / "triplets"
    for split, count in (("train", 7), ("val", 2)):
        with TripletWriter(root, split) as writer:
            for number in range(count):
                mask = np.zeros((64, 80), bool)
                mask[8 * number : 8 * number + 8, 20:40] = True
                image = np.where(mask[..., None], (200, 40, 40), (90, 110, 90)).astype(np.uint8)
                writer.add(Sample(image, "the red car", mask, category="car"))
    return root


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    state = load_checkpoint(run_dir / "checkpoints")
    named = {f"net.{name}": value for name, value in state["net"].items()}
    return named | {f"average.{name}": value for name, value in state.get("average", {}).items()}


def assert_same(one: Path, other: Path) -> None:
    expected, got = weights(one), weights(other)
    assert expected.keys() == got.keys()
    assert [name for name in expected if not torch.equal(expected[name], got[name])] == []


def interrupt_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Let runs die of Ctrl-C in the step after ``steps``."""
    step, calls = train.train_step, []

    def interrupted(*args, **kwargs):
        if len(calls) == steps:
            raise KeyboardInterrupt
        calls.append(1)
        return step(*args, **kwargs)

    monkeypatch.setattr(train, "train_step", interrupted)


def test_a_run_leaves_a_bundle_its_config_and_a_log(config, tmp_path):
    told: list[TrainProgress] = []
    scores = train_model(config, tmp_path / "run", progress=told.append)
    assert scores is not None
    assert scores.n == 4
    bundle = load_bundle(str(tmp_path / "run" / "model"))
    assert bundle.about["steps"] == 4
    assert "truck" in bundle.about["categories"]
    assert build(TrainConfig, json.loads((tmp_path / "run" / "config.json").read_text())) == config
    lines = [json.loads(x) for x in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["val"]["n"] == 4
    assert [path.name for path in (tmp_path / "run" / "pictures").iterdir()] == [
        "step-00000004.png"
    ]
    assert [now.step for now in told] == [1, 4]
    assert told[0].scores is None
    assert told[1].scores == scores
    assert told[1].seconds_left == 0
    assert (told[1].epoch, told[1].epochs) == (0, 0)
    assert told[1].losses["total"] == pytest.approx(
        sum(value for name, value in told[1].losses.items() if name != "total"), rel=1e-5
    )


def test_a_bundle_of_fp32_is_what_was_scored(config, tmp_path):
    run = tmp_path / "run"
    train_model(replace(config, precision="fp32", steps=1), run)
    scored = load_checkpoint(run / "checkpoints")["average"]
    stored = load_bundle(str(run / "model")).net.state_dict()
    names = [name for name in stored if not name.startswith("reconstruction.")]  # not stored
    assert [name for name in names if not torch.equal(stored[name], scored[f"module.{name}"])] == []


def test_a_benchmark_is_passed_over_and_validated_each_epoch(config, triplets, tmp_path):
    benchmark = {"layout": "triplets", "root": triplets, "size_px": 64, "augment": True}
    settings = {
        **{key: value for key, value in SETTINGS.items() if key not in ("data", "steps")},
        **{"init": {"vocabulary": str(tmp_path)}, "benchmark": benchmark, "epochs": 2},
        **{"val_every": None, "ema_decay": 0.0, "accumulate": 2, "batch_size": 1},
    }
    told: list[TrainProgress] = []
    scores = train_model(build(TrainConfig, settings), tmp_path / "run", progress=told.append)
    assert scores is not None
    assert scores.n == 2
    assert [(now.step, now.epoch) for now in told if now.scores is not None] == [(3, 1), (7, 2)]
    assert told[-1].steps == 7
    assert load_bundle(str(tmp_path / "run" / "model")).about["categories"] == ["car"]
    assert "average" not in load_checkpoint(tmp_path / "run" / "checkpoints")


@pytest.mark.parametrize(
    ("stop", "settings"),
    [
        (1, {"workers": 1}),
        (3, {"ema_decay": 0.0}),
        (2, {"accumulate": 2}),
        (3, {"dtype": "bf16", "checkpointing": True}),
    ],
    ids=["step 1, a worker", "no average", "accumulated", "bf16, recomputed"],
)
def test_an_interrupted_run_resumes_to_the_same_weights(
    config, triplets, tmp_path, monkeypatch, stop, settings
):
    benchmark = BenchmarkConfig(layout="triplets", root=triplets, size_px=64, augment=True)
    config = replace(config, data=None, benchmark=benchmark, **settings)
    check_resume(config, tmp_path, monkeypatch, stop)


@pytest.mark.slow
def test_an_interrupted_run_on_the_stream_resumes_to_the_same_weights(
    config, tmp_path, monkeypatch
):
    check_resume(replace(config, workers=1), tmp_path, monkeypatch, 2)


def check_resume(config, tmp_path, monkeypatch, stop):
    whole = train_model(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupt_after(patch, stop)
        with pytest.raises(KeyboardInterrupt):
            train_model(config, tmp_path / "cut")
    assert load_checkpoint(tmp_path / "cut" / "checkpoints")["step"] == stop
    assert train_model(config, tmp_path / "cut", resume=True) == whole
    assert_same(tmp_path / "whole", tmp_path / "cut")
    assert len(checkpoints(tmp_path / "cut" / "checkpoints")) == 2


def test_a_run_that_is_done_is_resumed_to_its_scores(config, tmp_path):
    scores = train_model(config, tmp_path / "run")
    assert train_model(config, tmp_path / "run", resume=True) == scores


def test_a_folder_that_holds_a_run_is_not_written_over(config, tmp_path):
    config = replace(config, steps=1)
    train_model(config, tmp_path / "run")
    with pytest.raises(OutputError, match=r"run: holds a run already.*--resume"):
        train_model(config, tmp_path / "run")


def test_a_folder_that_cannot_be_made_is_named(config, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file.run: cannot be written \(Not a directory\)"):
        train_model(config, tmp_path / "file" / "run")


def test_a_run_is_resumed_with_its_own_settings_only(config, tmp_path):
    train_model(replace(config, steps=1), tmp_path / "run")
    other = replace(config, steps=2, optim=replace(config.optim, lr=1e-3))
    with pytest.raises(ConfigError, match=r"optim\.lr was 0\.0001 and is 0\.001; steps was 1"):
        train_model(other, tmp_path / "run", resume=True)
    train_model(
        replace(config, steps=1, checkpointing=True, workers=1), tmp_path / "run", resume=True
    )


def test_a_loss_that_is_no_number_stops_the_run(config, tmp_path, monkeypatch):
    step, calls = train.train_step, []

    def broken(model, *args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            torch.nn.init.constant_(model.net.decoder.prototype[-1].bias, float("nan"))
        return step(model, *args, **kwargs)

    monkeypatch.setattr(train, "train_step", broken)
    with pytest.raises(InputError, match=r"step 3: the loss .* painted: .*step-00000002\.pt$"):
        train_model(config, tmp_path / "run")


def test_too_little_memory_names_the_settings_to_lower(config, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(train, "train_step", full)
    with pytest.raises(DeviceError) as caught:
        train_model(config, tmp_path / "run")
    for setting in ("batch_size = 1 with accumulate = 2", "checkpointing = true", "data.size_px"):
        assert setting in str(caught.value)


def test_a_run_may_start_from_a_bundle(config, tmp_path):
    train_model(config, tmp_path / "first")
    first = {"bundle": str(tmp_path / "first" / "model")}
    again = {**SETTINGS, "init": first, "steps": 1}
    train_model(build(TrainConfig, again), tmp_path / "second")
    assert (tmp_path / "second" / "model" / "weights.safetensors").is_file()
    train_model(build(TrainConfig, {**again, "net": {}}), tmp_path / "third")
    assert_same(tmp_path / "second", tmp_path / "third")
    other = {**again, "net": {**NET, "width": 64}}
    with pytest.raises(ConfigError, match="another network"):
        train_model(build(TrainConfig, other), tmp_path / "fourth")


@pytest.mark.slow
def test_training_loads_no_raster_library():
    """Nor do libraries that it imports; of our own modules tests/test_architecture.py tells."""
    code = (
        "import sys, rrsis_geo.train.training;"
        "bad = {'rasterio', 'geopandas', 'shapely', 'pyproj'} & set(sys.modules);"
        "sys.exit(', '.join(bad) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
