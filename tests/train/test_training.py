"""Training runs: they save a bundle, and they resume exactly."""

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
from rrsis_geo.evaluate.evaluation import evaluate_bundle
from rrsis_geo.evaluate.options import EvaluateOptions
from rrsis_geo.metrics import ScoreMeter
from rrsis_geo.model.bundle import load_bundle
from rrsis_geo.train import training as train
from rrsis_geo.train.checkpoint import list_checkpoints, load_checkpoint
from rrsis_geo.train.journal import Journal
from rrsis_geo.train.samples import BenchmarkConfig
from rrsis_geo.train.training import TrainConfig, TrainProgress, train_model
from rrsis_geo.train.validation import Validator

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
    """Seven training and two validation samples of 64 x 80 pixels."""
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
    net = {f"net.{name}": value for name, value in state["net"].items()}
    return net | {f"average.{name}": value for name, value in state.get("average", {}).items()}


def assert_same(one: Path, other: Path) -> None:
    expected, got = weights(one), weights(other)
    assert expected.keys() == got.keys()
    assert [name for name in expected if not torch.equal(expected[name], got[name])] == []


def interrupt_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Interrupt runs as by Ctrl-C in the step after ``steps``."""
    step, calls = train.train_step, []

    def interrupt(*args):
        if len(calls) == steps:
            raise KeyboardInterrupt
        calls.append(1)
        return step(*args)

    monkeypatch.setattr(train, "train_step", interrupt)


def test_a_run_writes_a_bundle_its_config_and_a_log(config, tmp_path):
    reports: list[TrainProgress] = []
    scores = train_model(config, tmp_path / "run", progress=reports.append)
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
    assert [report.step for report in reports] == [1, 4]
    assert reports[0].scores is None
    assert reports[1].scores == scores
    assert reports[1].seconds_left == 0
    assert (reports[1].epoch, reports[1].epochs) == (0, 0)
    assert reports[1].losses["total"] == pytest.approx(
        sum(value for name, value in reports[1].losses.items() if name != "total"), rel=1e-5
    )


@pytest.mark.parametrize(("precision", "dtype"), [("int8", "fp32"), ("fp32", "bf16")])
def test_what_is_scored_is_what_is_stored(config, triplets, tmp_path, precision, dtype):
    """The validation scores in the bundle are those of its rounded weights, read in fp32."""
    benchmark = BenchmarkConfig(layout="triplets", root=triplets, size_px=64)
    settings = {"precision": precision, "dtype": dtype, "ema_decay": 0.0, "val_every": 20}
    rates = replace(config.optim, lr=3e-3, encoder_lr=3e-3)
    config = replace(config, data=None, benchmark=benchmark, optim=rates, steps=20, **settings)
    scores = train_model(config, tmp_path / "run")
    options = EvaluateOptions(model=str(tmp_path / "run" / "model"), size_px=64, device="cpu")
    report = evaluate_bundle(triplets, "triplets", "val", options)
    assert scores is not None
    assert report.scores.miou == scores.miou
    assert scores.miou > 0


def prescribe_scores(monkeypatch, *shares):
    """Validations find these (mIoU, oIoU), in turn."""
    left = list(shares)

    def score(self, net):
        miou, oiou = left.pop(0)
        meter = ScoreMeter()
        meter.add(np.ones((1, 1), bool), np.ones((1, 1), bool))
        return replace(meter.scores(), miou=miou, giou=miou, oiou=oiou), []

    monkeypatch.setattr(Validator, "score", score)
    monkeypatch.setattr(Journal, "write_pictures", lambda *args: None)


@pytest.mark.parametrize(("best_by", "step"), [("gIoU", 1), ("mIoU", 1), ("oIoU", 2)])
def test_the_weights_are_chosen_by_a_score(config, tmp_path, monkeypatch, best_by, step):
    prescribe_scores(monkeypatch, (0.5, 0.3), (0.4, 0.6), (0.2, 0.1))
    run = tmp_path / "run"
    settings = {"best_by": best_by, "save_last": True, "val_every": 1, "steps": 3}
    train_model(replace(config, **settings), run)
    best, last = (load_bundle(str(run / name)) for name in ("model", "last"))
    assert (best.about["steps"], last.about["steps"]) == (step, 3)
    assert f"by {best_by} |" in (run / "model" / "README.md").read_text()
    assert "the last that was validated" in (run / "last" / "README.md").read_text()
    stored = last.net.state_dict()
    final = load_checkpoint(run / "checkpoints")["average"]
    name = "decoder.prototype.0.bias"
    assert torch.equal(stored[name], final[f"module.{name}"])
    assert not torch.equal(stored[name], best.net.state_dict()[name])


def test_the_last_weights_are_saved_on_request_only(config, tmp_path):
    train_model(replace(config, steps=1), tmp_path / "run")
    assert not (tmp_path / "run" / "last").exists()


@pytest.mark.parametrize("workers", [0, 2])
def test_two_deterministic_runs_give_the_same_bundle(config, triplets, tmp_path, workers):
    benchmark = BenchmarkConfig(
        layout="triplets", root=triplets, size_px=64, augment=True, black_squares=0.5
    )
    settings = {"deterministic": True, "workers": workers, "batch_size": 4, "dtype": "bf16"}
    config = replace(config, data=None, benchmark=benchmark, **settings)
    sums = set()
    for name in ("one", "two"):
        torch.rand(3)  # the state of the global generator must not matter
        train_model(config, tmp_path / name)
        sums.add(load_bundle(str(tmp_path / name / "model")).sha256)
    assert len(sums) == 1
    train_model(replace(config, seed=1), tmp_path / "three")
    assert load_bundle(str(tmp_path / "three" / "model")).sha256 not in sums


@pytest.mark.parametrize("deterministic", [False, True])
def test_settings_of_the_process_are_put_back(config, tmp_path, monkeypatch, deterministic):
    step, modes = train.train_step, []

    def record_mode(*args):
        modes.append(torch.are_deterministic_algorithms_enabled())
        return step(*args)

    monkeypatch.setattr(train, "train_step", record_mode)
    before = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    train_model(replace(config, steps=1, deterministic=deterministic), tmp_path / "run")
    assert modes == [deterministic]
    assert not torch.are_deterministic_algorithms_enabled()
    assert (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic) == before


def test_an_operation_without_a_deterministic_version_is_reported(config, tmp_path, monkeypatch):
    def fail(*args):
        raise RuntimeError("x_backward_cuda does not have a deterministic implementation, but ...")

    monkeypatch.setattr(train, "train_step", fail)
    with pytest.raises(DeviceError, match=r"x_backward_cuda .* Set deterministic = false, or"):
        train_model(replace(config, deterministic=True), tmp_path / "run")


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_the_network_is_in_training_mode_after_a_validation(
    config, triplets, tmp_path, monkeypatch, ema_decay
):
    step, modes = train.train_step, []

    def record_mode(model, *args):
        modes.append(model.training and model.net.training)
        return step(model, *args)

    monkeypatch.setattr(train, "train_step", record_mode)
    benchmark = BenchmarkConfig(layout="triplets", root=triplets, size_px=64)
    settings = {"ema_decay": ema_decay, "steps": 2, "val_every": 1}
    train_model(replace(config, data=None, benchmark=benchmark, **settings), tmp_path / "run")
    assert modes == [True, True]


def test_an_fp32_bundle_has_the_validated_weights(config, tmp_path):
    run = tmp_path / "run"
    train_model(replace(config, precision="fp32", steps=1), run)
    validated = load_checkpoint(run / "checkpoints")["average"]
    stored = load_bundle(str(run / "model")).net.state_dict()
    for name, value in stored.items():
        if not name.startswith("reconstruction."):  # used only in training, not stored
            assert torch.equal(value, validated[f"module.{name}"]), name


def test_a_benchmark_is_trained_in_epochs_and_validated_after_each(config, triplets, tmp_path):
    benchmark = {"layout": "triplets", "root": triplets, "size_px": 64, "augment": True}
    settings = {
        **{key: value for key, value in SETTINGS.items() if key not in ("data", "steps")},
        **{"init": {"vocabulary": str(tmp_path)}, "benchmark": benchmark, "epochs": 2},
        **{"val_every": None, "ema_decay": 0.0, "accumulate": 2, "batch_size": 1},
    }
    reports: list[TrainProgress] = []
    scores = train_model(build(TrainConfig, settings), tmp_path / "run", progress=reports.append)
    assert scores is not None
    assert scores.n == 2
    assert [(now.step, now.epoch) for now in reports if now.scores is not None] == [(3, 1), (7, 2)]
    assert reports[-1].steps == 7
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
    ids=["step 1, a worker", "no average", "accumulation", "bf16, recomputation"],
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
    assert len(list_checkpoints(tmp_path / "cut" / "checkpoints")) == 2


def test_resuming_a_finished_run_returns_its_scores(config, tmp_path):
    scores = train_model(config, tmp_path / "run")
    assert train_model(config, tmp_path / "run", resume=True) == scores


def test_a_folder_with_a_run_is_not_overwritten(config, tmp_path):
    config = replace(config, steps=1)
    train_model(config, tmp_path / "run")
    with pytest.raises(OutputError, match=r"run: contains a run.*--resume"):
        train_model(config, tmp_path / "run")


def test_a_folder_that_cannot_be_created_is_reported(config, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file.run: cannot be written \(Not a directory\)"):
        train_model(config, tmp_path / "file" / "run")


def test_a_run_is_resumed_only_with_its_own_settings(config, tmp_path):
    train_model(replace(config, steps=1), tmp_path / "run")
    other = replace(config, steps=2, optim=replace(config.optim, lr=1e-3))
    with pytest.raises(ConfigError, match=r"optim\.lr was 0\.0001 and is 0\.001; steps was 1"):
        train_model(other, tmp_path / "run", resume=True)
    train_model(
        replace(config, steps=1, checkpointing=True, workers=1), tmp_path / "run", resume=True
    )


def test_a_run_of_an_earlier_version_can_be_resumed(config, tmp_path):
    """It had no setting of those that were added since."""
    config = replace(config, steps=1)
    train_model(config, tmp_path / "run")
    (path,) = list_checkpoints(tmp_path / "run" / "checkpoints")
    state = torch.load(path, weights_only=True)
    added = ("best_by", "batch_per_gpu", "sync_batch_norm", "deterministic", "save_last")
    for name in (*added, "text_rules"):
        del state["config"][name]
    del state["config"]["data"]["whole_share"]
    del state["best"]["t_acc"], state["best"]["intervals"]
    torch.save(state, path)
    train_model(config, tmp_path / "run", resume=True)
    with pytest.raises(ConfigError, match=r"best_by was 'unset' and is 'oIoU'"):
        train_model(replace(config, best_by="oIoU"), tmp_path / "run", resume=True)


def test_a_loss_that_is_not_finite_stops_the_run(config, tmp_path, monkeypatch):
    step, calls = train.train_step, []

    def step_with_nan(model, *args):
        calls.append(1)
        if len(calls) == 3:
            torch.nn.init.constant_(model.net.decoder.prototype[-1].bias, float("nan"))
        return step(model, *args)

    monkeypatch.setattr(train, "train_step", step_with_nan)
    with pytest.raises(
        InputError, match=r"step 3: the loss is not finite .* painted: .*step-00000002\.pt$"
    ):
        train_model(config, tmp_path / "run")


def test_too_little_memory_is_reported_with_settings_that_help(config, tmp_path, monkeypatch):
    def run_out_of_memory(*args):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(train, "train_step", run_out_of_memory)
    with pytest.raises(DeviceError) as caught:
        train_model(config, tmp_path / "run")
    for setting in ("batch_size = 1 with accumulate = 2", "checkpointing = true", "data.size_px"):
        assert setting in str(caught.value)


def test_a_run_can_start_from_a_bundle(config, tmp_path):
    train_model(config, tmp_path / "first")
    first = {"bundle": str(tmp_path / "first" / "model")}
    again = {**SETTINGS, "init": first, "steps": 1}
    train_model(build(TrainConfig, again), tmp_path / "second")
    assert (tmp_path / "second" / "model" / "weights.safetensors").is_file()
    train_model(build(TrainConfig, {**again, "net": {}}), tmp_path / "third")
    assert_same(tmp_path / "second", tmp_path / "third")
    other = {**again, "net": {**NET, "width": 64}}
    with pytest.raises(ConfigError, match=r"its network differs from \[net\]"):
        train_model(build(TrainConfig, other), tmp_path / "fourth")


def language_of(run: Path) -> str:
    return load_bundle(str(run / "model")).language


def test_the_language_comes_from_the_configuration_or_the_bundle(config, tmp_path):
    short = {**SETTINGS, "steps": 1, "init": {"vocabulary": str(config.init.vocabulary)}}
    train_model(build(TrainConfig, short), tmp_path / "plain")
    assert language_of(tmp_path / "plain") == "network"
    train_model(build(TrainConfig, {**short, "language": "resolved"}), tmp_path / "resolved")
    assert language_of(tmp_path / "resolved") == "resolved"
    start = {"bundle": str(tmp_path / "resolved" / "model")}
    train_model(build(TrainConfig, {**short, "init": start}), tmp_path / "further")
    assert language_of(tmp_path / "further") == "resolved"
    back = {**short, "init": start, "language": "network"}
    train_model(build(TrainConfig, back), tmp_path / "back")
    assert language_of(tmp_path / "back") == "network"


@pytest.mark.slow
def test_training_loads_no_raster_library():
    """Also not through other libraries; tests/test_architecture.py checks our own modules."""
    code = (
        "import sys, rrsis_geo.train.training;"
        "bad = {'rasterio', 'geopandas', 'shapely', 'pyproj'} & set(sys.modules);"
        "sys.exit(', '.join(bad) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_run_ends_when_its_minutes_are_over(config, tmp_path):
    limited = replace(config, steps=100_000, minutes=0.02, val_every=None)
    scores = train_model(limited, tmp_path / "run")
    assert scores is not None
    entries = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").open()]
    last = max(entry["step"] for entry in entries)
    assert 0 < last < 100_000
    assert any("val" in entry for entry in entries if entry["step"] == last)
    rates = [entry["rates"]["rest"] for entry in entries if "rates" in entry]
    assert rates[-1] < 0.5 * config.optim.lr
    assert train_model(limited, tmp_path / "run", resume=True) == scores
