"""Two processes train the same network as one process."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from repository import ROOT

from rrsis_geo.data.benchmarks.triplets import TripletWriter
from rrsis_geo.data.sample import Sample
from rrsis_geo.train.distributed import (
    World,
    average_gradients,
    average_over_processes,
    init_processes,
    synchronize_batch_norms,
)

SCRIPT = """
import json, sys
from pathlib import Path
import torch
from rrsis_geo.config import build
from rrsis_geo.train import training as train

settings, out = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
step, models = train.train_step, []

def record_model(model, *args, **kwargs):
    models[:] = [model]
    return step(model, *args, **kwargs)

train.train_step = record_model
scores = train.train_model(build(train.TrainConfig, settings), out / "run")
model = models[0]
net = getattr(model, "module", model).net
name = "first" if scores is not None else "second"
torch.save({"kind": type(model).__name__, "net": net.state_dict()}, out / f"{name}.pt")
"""
SEEDS_SCRIPT = """
import json, sys
from pathlib import Path
from rrsis_geo.config import build
from rrsis_geo.train.config import TrainConfig
from rrsis_geo.train.seeds import train_seeds

settings, out = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
settings |= {"steps": 1, "batch_size": 2, "batch_per_gpu": True}
train_seeds(build(TrainConfig, settings), out, 2)
"""
WORDS = ["the", "red", "blue", "car", "on", "left", "right"]
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
SETTINGS = {
    "name": "tiny",
    "net": {
        **{"name": "btdnet", "trunk": "test_convnext", "image_px": 64, "drop_path": 0.0},
        **{"width": 32, "heads": 4, "mci_layers": 1, "presence": True},
        "reconstruction_weight": 0.0,  # its dropout differs between processes
        "text": {
            **{"vocab_size": 5 + len(WORDS), "width": 32, "heads": 4, "ffn_width": 32},
            **{"stages": [1, 1, 1, 1], "dropout": 0.0},
        },
    },
    "optim": {"warmup_steps": 0, "lr": 1e-3, "encoder_lr": 1e-3},
    "steps": 3,
    "batch_size": 4,
    "accumulate": 2,
    "workers": 0,
    "device": "cpu",
    "dtype": "fp32",
    "ema_decay": 0.5,
}


def test_a_single_process_needs_no_communication():
    with init_processes("cpu") as world:
        assert world == World(0, 1, 0)
        model = torch.nn.Linear(2, 2)
        assert average_gradients(model, torch.device("cpu")) is model
        values = torch.tensor([1.0, 2.0])
        assert average_over_processes(values) is values


def test_batch_norms_are_synchronized_between_gpus_only():
    def norms_of(world, device):
        net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
        names = list(net.state_dict())
        synchronize_batch_norms(net, world, torch.device(device))
        assert list(net.state_dict()) == names
        return type(net[1])

    two = World(0, 2, 0)
    assert norms_of(two, "cuda") is torch.nn.SyncBatchNorm
    assert norms_of(two, "cpu") is norms_of(World(), "cuda") is torch.nn.BatchNorm2d


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with a script, its settings, a vocabulary, and eight training samples."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (tmp_path / "vocab.txt").write_text("\n".join([*special, *WORDS]) + "\n")
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 2)):
        with TripletWriter(tmp_path, split) as writer:
            for number in range(count):
                image = rng.integers(0, 255, (64, 64, 3), np.uint8)
                mask = np.zeros((64, 64), bool)
                mask[10:40, 5 * number : 5 * number + 20] = number != 3
                writer.add(Sample(image, "the red car on the left", mask))
    benchmark = {"layout": "triplets", "root": str(tmp_path), "size_px": 64}
    settings = {**SETTINGS, "init": {"vocabulary": str(tmp_path)}, "benchmark": benchmark}
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path


def run(files: Path, out: str, *launcher: str) -> Path:
    (files / out).mkdir()
    script = [str(files / "script.py"), str(files / "settings.json"), str(files / out)]
    done = subprocess.run(
        [sys.executable, *launcher, *script],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return files / out


@pytest.mark.slow
def test_two_processes_train_several_seeds(files):
    (files / "script.py").write_text(SEEDS_SCRIPT)
    out = run(files, "seeds", *TORCHRUN)
    report = json.loads((out / "seeds.json").read_text())
    assert [one["seed"] for one in report["runs"]] == [0, 1]
    config = json.loads((out / "seed-1" / "config.json").read_text())
    assert (config["seed"], config["batch_size"]) == (1, 4)  # two of each process


@pytest.mark.slow
def test_two_processes_end_with_the_weights_of_one(files):
    one, two = run(files, "one"), run(files, "two", *TORCHRUN)
    alone, first, second = (
        torch.load(path) for path in (one / "first.pt", two / "first.pt", two / "second.pt")
    )
    assert (alone["kind"], first["kind"]) == ("NetWithLoss", "DistributedDataParallel")
    assert [n for n, w in first["net"].items() if not torch.equal(w, second["net"][n])] == []
    weights, expected = (
        torch.cat([net["net"][name].flatten() for name in alone["net"]]) for net in (first, alone)
    )
    # Gradients are summed in another order, and the first steps of AdamW have the length of the
    # learning rate. If a gradient is almost zero, its sign may differ, and weights by up to 6e-3.
    differs = (weights - expected).abs() > 1e-4
    assert differs.float().mean() < 0.02
    lines_two, lines_one = (
        [json.loads(x) for x in (out / "run" / "metrics.jsonl").read_text().splitlines()]
        for out in (two, one)
    )
    assert [(x["step"], *x) for x in lines_two] == [(x["step"], *x) for x in lines_one]
    losses_two, losses_one = (
        [line["total"] for line in lines if "total" in line] for lines in (lines_two, lines_one)
    )
    assert losses_two == pytest.approx(losses_one, rel=1e-3)
    assert (two / "run" / "model" / "weights.safetensors").is_file()
