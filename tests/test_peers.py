"""Parts of the comparison with other programs: stub network, scenes and their true masks."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import rasterio
import torch
from repository import ROOT

BENCHMARKS = ROOT / "benchmarks"
PATTERNS = ("small", "huge", "speckle", "nodata")


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    """The scripts, which import each other by name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return {name: importlib.import_module(name) for name in ("stub", "scenes", "peers")}


@pytest.mark.parametrize("radius", [1, 2, 8])
def test_box_sums_equal_sums_over_squares(scripts: dict[str, ModuleType], radius: int) -> None:
    values = np.random.default_rng(0).integers(0, 256, (30, 41)).astype(np.float32)
    side = 2 * radius + 1
    expected = np.lib.stride_tricks.sliding_window_view(values, (side, side)).sum((-2, -1))
    sums = scripts["stub"].box_sums(torch.from_numpy(values), radius)
    assert (sums.numpy() == expected).all()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_true_mask_is_the_output_of_the_stub_where_its_square_has_data(
    scripts: dict[str, ModuleType], tmp_path: Path, pattern: str
) -> None:
    stub, scenes = scripts["stub"], scripts["scenes"]
    scene = tmp_path / "scene.tif"
    scenes.make_scene(scene, pattern, 700, 1100)
    with rasterio.open(scene) as dataset:
        pixels, valid = dataset.read(), dataset.dataset_mask() > 0
    with rasterio.open(scenes.truth_path(scene)) as dataset:
        true = dataset.read(1)
    predicted = (stub.BoxNet()(torch.from_numpy(pixels)[None])[0, 0] > 0).numpy()
    is_complete = np.zeros_like(valid)
    squares = np.lib.stride_tricks.sliding_window_view(valid, (17, 17))
    is_complete[8:-8, 8:-8] = squares.all((-2, -1))
    assert ((true == 255) == ~valid).all()
    assert (valid.mean() < 0.45) == (pattern == "nodata")
    assert (predicted == true)[is_complete].all()
    assert 0.03 < predicted[is_complete].mean() < 0.97


def test_errors_are_counted_at_the_border_inside_and_outside(
    scripts: dict[str, ModuleType], tmp_path: Path
) -> None:
    scenes = scripts["scenes"]
    scene, mask = tmp_path / "scene.tif", tmp_path / "mask.tif"
    scenes.make_scene(scene, "nodata", 1200, 1500)
    with rasterio.open(scenes.truth_path(scene)) as dataset:
        true, profile = dataset.read(1), dataset.profile
    valid = true != 255
    border = np.pad(~valid, 32, constant_values=True)
    for axis in (0, 1):
        border = np.lib.stride_tricks.sliding_window_view(border, 65, axis).any(-1)
    border &= valid
    predicted = true.copy()
    changed = np.random.default_rng(1).random(true.shape) < 0.01
    predicted[changed & valid] = 1 - true[changed & valid]
    predicted[changed & ~valid] = 1
    with rasterio.open(mask, "w", **profile) as dataset:
        dataset.write(predicted, 1)
    inside = valid & ~border
    expected = (changed & border, border, changed & inside, inside, changed & ~valid)
    assert tuple(scenes.count_errors(scene, mask)) == tuple(map(np.count_nonzero, expected))


def test_program_is_skipped_if_a_smaller_scene_predicts_that_it_exceeds_a_limit(
    scripts: dict[str, ModuleType],
) -> None:
    peers = scripts["peers"]
    scene, limits = peers.Scene("small", 20_000), peers.Limits(100, 2**30)

    def predict_failure(**before: object) -> object:
        return peers.predict_failure({"small-8000": {"geoai": before}}, "geoai", scene, limits)

    assert predict_failure(after_imports=10, memory=2**20) is None
    assert predict_failure(after_imports=20, memory=2**30) == {
        "failed": "not tried: expected 125 s and 6 GiB"
    }
    assert predict_failure(failed="stopped after 100 s") == {"failed": "not tried: see 8,000 px"}
    assert peers.predict_failure({}, "geoai", scene, limits) is None


@pytest.mark.slow
def test_rrsis_geo_and_the_baseline_are_measured(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "peers.py"), "--folder", str(tmp_path)]
    done = subprocess.run(
        [*command, "--scenes", "small-600"], check=True, capture_output=True, text=True
    )
    runs = json.loads((tmp_path / "results.json").read_text())["runs"]["small-600"]
    assert "errors" not in runs["rasterio"]
    errors = runs["rrsis-geo"]["errors"]
    assert errors["inside"] <= 5
    assert 0 < errors["border"] < 0.01 * errors["border_px"]
    assert "| rrsis-geo |" in done.stdout
