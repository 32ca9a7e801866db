"""``rrsis-geo train`` as users call it: progress, results, push to the Hub, files."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
from command_run import Run
from PIL import Image

from rrsis_geo.errors import InputError
from rrsis_geo.metrics import ScoreMeter, Scores
from rrsis_geo.model import hub
from rrsis_geo.model.bundle import load_bundle
from rrsis_geo.train import publish
from rrsis_geo.train import training as train
from rrsis_geo.train.training import TrainProgress

pytestmark = pytest.mark.usefixtures("own_logging")


def scores_of(share: float) -> Scores:
    meter, target = ScoreMeter(), np.ones((10, 10), bool)
    meter.add(np.arange(100).reshape(10, 10) < round(100 * share), target)
    return meter.scores()


BEST, WORSE = scores_of(0.75), scores_of(0.5)
PROGRESS = TrainProgress(
    step=1,
    steps=40,
    epoch=1,
    epochs=2,
    losses={"total": 0.75, "dice": 0.25},
    rates={"encoder": 1e-5, "rest": 3e-4},
    images_per_second=31.24,
    seconds_left=185.0,
    scores=None,
    best=None,
)


class Training:
    """Replaces `train_model`: sends prepared progress reports and returns scores."""

    def __init__(self) -> None:
        self.reports: list[TrainProgress] = []
        self.result: Scores | None = BEST
        self.error: BaseException | None = None
        self.calls: list[tuple[Any, Path, bool]] = []

    def __call__(self, config: Any, run_dir: Path, *, resume: bool, progress: Any) -> Any:
        self.calls.append((config, run_dir, resume))
        for report in self.reports:
            if progress is not None:
                progress(report)
        if self.error is not None:
            raise self.error
        return self.result


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> Training:
    stub = Training()
    monkeypatch.setattr(train, "train_model", stub)
    return stub


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "c.toml"
    path.write_text(
        'name = "x"\nsteps = 40\n[net]\nname = "btdnet"\n[init]\nvocabulary = "v"\n[data]\n'
    )
    return path


def test_every_option_reaches_train_model(training: Training, config: Path, tmp_path: Path) -> None:
    run = Run("train", "--config", config, "-o", tmp_path / "run", "--set", "steps=7", "--resume")
    assert run.code == 0, (run.err, run.result.exception)
    ((settings, run_dir, resume),) = training.calls
    assert (settings.steps, run_dir, resume) == (7, tmp_path / "run", True)


def test_invalid_settings_are_errors(training: Training, config: Path, tmp_path: Path) -> None:
    unknown = Run("train", "-c", config, "-o", tmp_path, "--set", "stepps=7")
    unknown.failed(2, 'unknown setting "stepps"; did you mean "steps"?')
    Run("train", "-c", tmp_path / "none.toml", "-o", tmp_path).failed(2, "none.toml")
    assert training.calls == []


# --- progress and results


def test_a_log_file_gets_losses_rates_speed_time_and_scores(
    training: Training, config: Path, tmp_path: Path
) -> None:
    training.reports = [
        PROGRESS,
        replace(PROGRESS, step=20, scores=BEST, best=BEST),
        replace(PROGRESS, step=21, scores=BEST, best=BEST),  # no new scores
        replace(PROGRESS, step=40, epoch=2, seconds_left=0.0, scores=WORSE, best=BEST),
    ]
    run = Run("train", "-c", config, "-o", tmp_path / "run")
    assert run.code == 0, (run.err, run.result.exception)
    assert run.err.splitlines() == [
        "training: 1 of 40, epoch 1 of 2, 31.2 images/s, 3 min 05 s left, "
        "loss total 0.7500 dice 0.2500, learning rate encoder 1.00e-05 rest 3.00e-04",
        "validation after step 20: mIoU 0.7500, oIoU 0.7500, Pr@0.5 1.0000, Pr@0.7 1.0000, "
        "Pr@0.9 0.0000, gIoU 0.7500; the best so far",
        "training: 40 of 40, epoch 2 of 2, 31.2 images/s, "
        "loss total 0.7500 dice 0.2500, learning rate encoder 1.00e-05 rest 3.00e-04",
        "validation after step 40: mIoU 0.5000, oIoU 0.5000, Pr@0.5 1.0000, Pr@0.7 0.0000, "
        "Pr@0.9 0.0000, gIoU 0.5000",
    ]
    assert run.out.splitlines()[0] == f"best scores of {tmp_path / 'run' / 'model'}"
    assert re.search(r"mIoU +0\.7500", run.out)


def test_a_stream_has_no_epochs(training: Training, config: Path, tmp_path: Path) -> None:
    training.reports = [replace(PROGRESS, epoch=0, epochs=0)]
    assert "epoch" not in Run("train", "-c", config, "-o", tmp_path / "run").err


def test_quiet_prints_only_the_result(training: Training, config: Path, tmp_path: Path) -> None:
    training.reports = [PROGRESS]
    run = Run("train", "-c", config, "-o", tmp_path / "run", "--quiet")
    assert (run.code, run.err) == (0, "")
    assert "mIoU" in run.out


def test_json_is_the_only_output(training: Training, config: Path, tmp_path: Path) -> None:
    training.reports = [PROGRESS]
    run = Run("train", "-c", config, "-o", tmp_path / "run", "--json")
    model = str(tmp_path / "run" / "model")
    assert json.loads(run.out) == {"model": model, "scores": BEST.to_dict(), "page": None}
    assert run.err.startswith("training: 1 of 40")


def test_only_the_first_of_several_processes_prints(
    training: Training, config: Path, tmp_path: Path
) -> None:
    training.result = None
    run = Run("train", "-c", config, "-o", tmp_path / "run", "--json")
    assert (run.code, run.out, run.err) == (0, "", "")


def test_ctrl_c_prints_how_to_resume(training: Training, config: Path, tmp_path: Path) -> None:
    training.error = KeyboardInterrupt()
    run = Run("train", "-c", config, "-o", tmp_path / "run")
    assert run.code == 130
    assert "--resume continues from the newest checkpoint" in run.err
    assert "removed" not in run.err


def test_seeds_print_each_run_and_their_mean(
    training: Training, config: Path, tmp_path: Path
) -> None:
    run = Run("train", "-c", config, "-o", tmp_path / "runs", "--seeds", "2")
    assert run.code == 0, (run.err, run.result.exception)
    assert [(settings.seed, out.name) for settings, out, _ in training.calls] == [
        (0, "seed-0"),
        (1, "seed-1"),
    ]
    lines = run.out.splitlines()
    assert lines[0] == f"best validation scores of 2 runs in {tmp_path / 'runs'}"
    assert lines[1].split() == ["mIoU", "oIoU", "Pr@0.5", "Pr@0.7", "Pr@0.9", "gIoU"]
    assert [line.split()[-6] for line in lines[2:]] == ["0.7500", "0.7500", "0.7500", "0.0000"]
    as_json = Run("train", "-c", config, "-o", tmp_path / "more", "--seeds", "2", "--json")
    written = json.loads((tmp_path / "more" / "seeds.json").read_text())
    assert json.loads(as_json.out) == written


def test_seeds_push_no_model(training: Training, config: Path, tmp_path: Path) -> None:
    options = ("--seeds", "2", "--push-to-hub", "me/trucks")
    run = Run("train", "-c", config, "-o", tmp_path / "runs", *options)
    run.failed(2, "--push-to-hub pushes one model, so it does not go with --seeds")
    assert training.calls == []


# --- the Hub


@pytest.fixture
def hub_calls(monkeypatch: pytest.MonkeyPatch, training: Training) -> list[str]:
    """The calls to the Hub, in order."""
    calls: list[str] = []

    def create_repository(repository: str) -> str:
        calls.append(f"create {repository} before {len(training.calls)} trainings")
        return f"https://huggingface.co/{repository}"

    monkeypatch.setattr(hub, "create_repository", create_repository)
    monkeypatch.setattr(hub, "upload", lambda folder, *_: calls.append(f"upload {folder.name}"))
    monkeypatch.setattr(publish, "find_bundle", Path)
    return calls


def test_push_to_hub_creates_the_repository_first_and_uploads_last(
    training: Training, config: Path, tmp_path: Path, hub_calls: list[str]
) -> None:
    run = Run("train", "-c", config, "-o", tmp_path / "run", "--push-to-hub", "me/trucks")
    assert run.code == 0, (run.err, run.result.exception)
    assert hub_calls == ["create me/trucks before 0 trainings", "upload model"]
    assert re.search(r"pushed to +https://huggingface\.co/me/trucks", run.out)


def test_failed_runs_and_other_processes_upload_nothing(
    training: Training, config: Path, tmp_path: Path, hub_calls: list[str]
) -> None:
    arguments = ("train", "-c", config, "-o", tmp_path / "run", "--push-to-hub", "me/trucks")
    training.result = None
    assert Run(*arguments).code == 0
    training.error = InputError("the loss is nan")
    Run(*arguments).failed(3, "the loss is nan")
    assert not any(call.startswith("upload") for call in hub_calls)


def test_training_does_not_start_without_a_token(
    training: Training, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    arguments = ("train", "-c", config, "-o", tmp_path / "run", "--push-to-hub")
    Run(*arguments, "me/trucks").failed(5, "hf auth login", "HF_TOKEN")
    Run(*arguments, "trucks").failed(2, "write owner/name")
    assert training.calls == []


# --- end to end

WORDS = ("the", "all", "road", "truck", "car", "building", "tree", "on", "white", "red")
SMALLEST = """
name = "smallest"
summary = "an untrained model"
seed = 3
steps = 3
val_every = 2
batch_size = 2
workers = 0
device = "cpu"
dtype = "fp32"

[net]
name = "btdnet"
trunk = "test_efficientnet"
freeze_batch_norm = true
bsc_text_width = 16
width = 32
heads = 4
mci_layers = 1
mixing = "convolution"
smoothing = "depthwise"
presence = true
text = {vocab_size = 67, width = 32, heads = 4, ffn_width = 32, stages = [1, 1, 1, 1]}

[image]
size_px = 64
gsd_m = 0.5
gsd_range_m = [0.25, 1.0]

[data]
size_px = 64
painted_share = 1.0
val_samples = 3

[optim]
warmup_steps = 1
"""


def test_train_then_segment(
    make_scene: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    letters = "abcdefghijklmnopqrstuvwxyz"
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = [*special, *WORDS, *letters, *(f"##{letter}" for letter in letters)]
    Path("vocab.txt").write_text("\n".join(pieces) + "\n")
    Path("c.toml").write_text(SMALLEST + f'[init]\nvocabulary = "{tmp_path}"\n')
    run = Run("train", "--config", "c.toml", "--set", "optim.lr=3e-5", "-o", "runs/a", "--json")
    assert run.code == 0, (run.err, run.result.exception)
    result = json.loads(run.out)
    assert result["model"] == str(Path("runs", "a", "model"))
    assert result["scores"]["n"] == 3

    lines = [json.loads(line) for line in Path("runs/a/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "val" in line] == [2, 3]
    assert lines[-2]["rates"].keys() == {"encoder", "rest"}
    assert max(line["val"]["giou"] for line in lines if "val" in line) == result["scores"]["giou"]
    pictures = sorted(Path("runs/a/pictures").iterdir())
    assert [path.name for path in pictures] == ["step-00000002.png", "step-00000003.png"]
    assert Image.open(pictures[0]).width == 800

    card = Path("runs/a/model/README.md").read_text()
    for words in (
        "# smallest",
        "an untrained model",
        "| painted scenes | 100 % of the samples |",
        "| validation | 3 samples",
        "| seed | 3 |",
        f"| all | 3 | {result['scores']['miou']:.3f} |",
        '"lr": 3e-05',
        "64 px, 0.25 to 1 m per pixel",
    ):
        assert words in card
    assert load_bundle("runs/a/model").about["trained_with"]["seed"] == 3

    scene = make_scene(100, 120)
    run = Run(
        *("segment", scene, "the truck", "--model", "runs/a/model", "-o", "o.gpkg", "--json"),
        *("--overlap", 16, "--threads", 1, "--device", "cpu", "--dtype", "fp32"),
    )
    assert run.code == 0, (run.err, run.result.exception)
    assert len(gpd.read_file("o.gpkg")) == json.loads(run.out)["n_objects"]
