"""Two processes train the network that one would."""

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
from rrsis_geo.train.distributed import World, joined, mean_over_processes, shared

SCRIPT = """
import json, sys
from pathlib import Path
import torch
from rrsis_geo.config import build
from rrsis_geo.train import training as train

settings, out = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
step, models = train.train_step, []

def remember(model, *args, **kwargs):
    models[:] = [model]
    return step(model, *args, **kwargs)

train.train_step = remember
scores = train.train_model(build(train.TrainConfig, settings), out / "run")
model = models[0]
net = getattr(model, "module", model).net
name = "first" if scores is not None else "second"
torch.save({"kind": type(model).__name__, "net": net.state_dict()}, out / f"{name}.pt")
"""
WORDS = ["the", "red", "blue", "car", "on", "left", "right"]
SETTINGS = {
    "name": "tiny",
    "net": {
        **{"name": "btdnet", "trunk": "test_convnext", "image_px": 64, "drop_path": 0.0},
        **{"width": 32, "heads": 4, "mci_layers": 1, "presence": True},
        "reconstruction_weight": 0.0,  # it has dropout, whose chance is each process's own
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


def test_a_process_of_its_own_shares_nothing():
    with joined("cpu") as world:
        assert world == World(0, 1, 0)
        model = torch.nn.Linear(2, 2)
        assert shared(model, torch.device("cpu")) is model
        values = torch.tensor([1.0, 2.0])
        assert mean_over_processes(values) is values


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A script, its settings, a vocabulary, and eight samples of every kind to train on."""
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
def test_two_processes_end_with_the_weights_of_one(files):
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    one, two = run(files, "one"), run(files, "two", *torchrun)
    alone, first, second = (
        torch.load(path) for path in (one / "first.pt", two / "first.pt", two / "second.pt")
    )
    assert (alone["kind"], first["kind"]) == ("WithLoss", "DistributedDataParallel")
    assert [n for n, w in first["net"].items() if not torch.equal(w, second["net"][n])] == []
    apart, expected = (
        torch.cat([net["net"][name].flatten() for name in alone["net"]]) for net in (first, alone)
    )
    # gradients are summed in another order, and AdamW's first steps are as long as the rate
    # whatever the gradient: where it is all but zero they may go either way, 6e-3 apart at most
    far = (apart - expected).abs() > 1e-4
    assert far.float().mean() < 0.02
    told, told_alone = (
        [json.loads(x) for x in (out / "run" / "metrics.jsonl").read_text().splitlines()]
        for out in (two, one)
    )
    assert [(line["step"], *line) for line in told] == [(x["step"], *x) for x in told_alone]
    losses, losses_alone = (
        [line["total"] for line in lines if "total" in line] for lines in (told, told_alone)
    )
    assert losses == pytest.approx(losses_alone, rel=1e-3)
    assert (two / "run" / "model" / "weights.safetensors").is_file()
