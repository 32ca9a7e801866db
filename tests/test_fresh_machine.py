"""Packing, training and joining in ``benchmarks/fresh_machine.py``."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rrsis_geo.data.instances.coco import InstanceSource
from rrsis_geo.model.bundle import load_bundle

SCRIPT = Path(__file__).parents[1] / "benchmarks/fresh_machine.py"
CONFIG = """
name = "tiny"
steps = 100000
batch_size = 2
dtype = "fp32"

[net]
name = "btdnet"
trunk = "test_efficientnet"
freeze_batch_norm = true
drop_path = 0.0
bsc_text_width = 16
width = 32
heads = 4
mci_layers = 1
mixing = "convolution"
smoothing = "depthwise"
presence = true

[net.text]
vocab_size = 61
width = 32
heads = 4
ffn_width = 32
stages = [1, 1, 1, 1]

[init]
vocabulary = "words"

[data]
instances = "labels/instances.json"
size_px = 64
painted_share = 0.0
val_samples = 2
"""


def write_run(folder: Path) -> Path:
    """A configuration, its vocabulary, and one image of two cars."""
    (folder / "words").mkdir()
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "car", "cars", "the", "all"]
    pieces += [*letters, *(f"##{letter}" for letter in letters)]
    (folder / "words/vocab.txt").write_text("\n".join(pieces) + "\n")
    (folder / "labels/images").mkdir(parents=True)
    Image.new("RGB", (80, 80), (90, 90, 90)).save(folder / "labels/images/a.png")
    outlines = [[[5, 5, 40, 5, 40, 20, 5, 20]], [[50, 50, 70, 50, 70, 75, 50, 75]]]
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": 80, "width": 80}],
        "annotations": [
            {"id": i, "image_id": 1, "category_id": 1, "segmentation": outline}
            for i, outline in enumerate(outlines)
        ],
        "categories": [{"id": 1, "name": "car"}],
    }
    (folder / "labels/instances.json").write_text(json.dumps(content))
    (folder / "run.toml").write_text(CONFIG)
    return folder / "run.toml"


def run(*arguments: object, folder: Path, script: Path = SCRIPT) -> str:
    env = os.environ | {"PYTHONPATH": "" if script != SCRIPT else str(SCRIPT.parents[1])}
    done = subprocess.run(
        [sys.executable, script, *map(str, arguments)],
        cwd=folder,
        env=env | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_run_is_packed_trained_in_an_empty_folder_and_joined(tmp_path: Path) -> None:
    config = write_run(tmp_path)
    run("pack", "parts", "--config", config.name, "--part-mib", 0.2, folder=tmp_path)
    parts = sorted(path.name for path in (tmp_path / "parts").glob("part_*"))
    assert len(parts) > 1
    assert max(path.stat().st_size for path in (tmp_path / "parts").iterdir()) <= 0.2 * 2**20
    (tmp_path / "empty").mkdir()
    log = run(
        *("train", "../parts", "../results", "--minutes", 10),
        *("--part-mib", 0.1, "--set", "workers=0", "device=cpu", "steps=3"),
        folder=tmp_path / "empty",
        script=tmp_path / "parts/fresh_machine.py",
    )
    assert "minutes for steps" in log
    assert not list((tmp_path / "empty").iterdir())
    run("join", "results", "joined", folder=tmp_path)
    assert load_bundle(str(tmp_path / "joined/model")).about["steps"] == 3
    steps = [json.loads(line)["step"] for line in (tmp_path / "joined/metrics.jsonl").open()]
    assert max(steps) == 3


def test_packed_instances_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write_run(tmp_path)
    monkeypatch.syspath_prepend(SCRIPT.parent)
    from fresh_machine import collect, read_parts, write_parts

    packed = tmp_path / "packed"
    packed.mkdir()
    monkeypatch.chdir(tmp_path)
    collect(packed, config, [], None)
    write_parts(packed, tmp_path / "parts", 0.05)
    read_parts(tmp_path / "parts", tmp_path / "unpacked")
    settings = json.loads((tmp_path / "unpacked/config.json").read_text())
    assert settings["data"]["instances"] == ["data/labels/instances.json"]
    assert settings["init"]["vocabulary"] == "init/words"
    one = InstanceSource(tmp_path / "labels/instances.json").read(0)
    other = InstanceSource(tmp_path / "unpacked/data/labels/instances.json").read(0)
    assert [item.bbox for item in one.instances] == [item.bbox for item in other.instances]
    assert all(
        np.array_equal(a.mask, b.mask) for a, b in zip(one.instances, other.instances, strict=True)
    )
    assert np.abs(one.image.astype(int) - other.image).max() <= 4  # WebP loses a little
