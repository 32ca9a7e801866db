"""What the comparison with other programs rests on: the stub, the scenes, what is right in them."""

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
def benchmark(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    """The scripts, as they import each other."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return {name: importlib.import_module(name) for name in ("stub", "scenes", "peers")}


@pytest.mark.parametrize("radius", [1, 2, 8])
def test_box_sums_are_sums_over_squares(benchmark: dict[str, ModuleType], radius: int) -> None:
    values = np.random.default_rng(0).integers(0, 256, (30, 41)).astype(np.float32)
    side = 2 * radius + 1
    expected = np.lib.stride_tricks.sliding_window_view(values, (side, side)).sum((-2, -1))
    sums = benchmark["stub"].box_sums(torch.from_numpy(values), radius)
    assert (sums.numpy() == expected).all()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_right_mask_is_what_the_stub_says_where_it_sees_all_around(
    benchmark: dict[str, ModuleType], tmp_path: Path, pattern: str
) -> None:
    stub, scenes = benchmark["stub"], benchmark["scenes"]
    scene = tmp_path / "scene.tif"
    scenes.make_scene(scene, pattern, 700, 1100)
    with rasterio.open(scene) as dataset:
        pixels, valid = dataset.read(), dataset.dataset_mask() > 0
    with rasterio.open(scenes.truth_path(scene)) as dataset:
        right = dataset.read(1)
    said = (stub.BoxNet()(torch.from_numpy(pixels)[None])[0, 0] > 0).numpy()
    sees_all = np.zeros_like(valid)
    sees_all[8:-8, 8:-8] = np.lib.stride_tricks.sliding_window_view(valid, (17, 17)).all((-2, -1))
    assert ((right == 255) == ~valid).all()
    assert (valid.mean() < 0.45) == (pattern == "nodata")
    assert (said == right)[sees_all].all()
    assert 0.03 < said[sees_all].mean() < 0.97


def test_pixels_are_counted_by_where_they_are_wrong(
    benchmark: dict[str, ModuleType], tmp_path: Path
) -> None:
    scenes = benchmark["scenes"]
    scene, mask = tmp_path / "scene.tif", tmp_path / "mask.tif"
    scenes.make_scene(scene, "nodata", 1200, 1500)
    with rasterio.open(scenes.truth_path(scene)) as dataset:
        right, profile = dataset.read(1), dataset.profile
    valid = right != 255
    border = np.pad(~valid, 32, constant_values=True)
    for axis in (0, 1):
        border = np.lib.stride_tricks.sliding_window_view(border, 65, axis).any(-1)
    border &= valid
    said = right.copy()
    places = np.random.default_rng(1).random(right.shape) < 0.01
    said[places & valid] = 1 - right[places & valid]
    said[places & ~valid] = 1
    with rasterio.open(mask, "w", **profile) as dataset:
        dataset.write(said, 1)
    inside = valid & ~border
    expected = (places & border, border, places & inside, inside, places & ~valid)
    assert tuple(scenes.count_wrong(scene, mask)) == tuple(map(np.count_nonzero, expected))


def test_what_a_smaller_scene_shows_to_be_too_much_is_not_tried(
    benchmark: dict[str, ModuleType],
) -> None:
    peers = benchmark["peers"]
    scene, limits = peers.Scene("small", 20_000), peers.Limits(100, 2**30)

    def judged(**before: object) -> object:
        return peers.too_much({"small-8000": {"geoai": before}}, "geoai", scene, limits)

    assert judged(after_imports=10, memory=2**20) is None
    assert judged(after_imports=20, memory=2**30) == {
        "failed": "not tried: 125 s and 6 GiB to be expected"
    }
    assert judged(failed="stopped after 100 s") == {"failed": "not tried: see 8,000 px"}
    assert peers.too_much({}, "geoai", scene, limits) is None


@pytest.mark.slow
def test_ours_and_the_floor_are_measured(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "peers.py"), "--folder", str(tmp_path)]
    done = subprocess.run(
        [*command, "--scenes", "small-600"], check=True, capture_output=True, text=True
    )
    cells = json.loads((tmp_path / "results.json").read_text())["cells"]["small-600"]
    assert "mask" not in cells["floor"]
    wrong = cells["rrsis-geo"]["wrong"]
    assert wrong["inside"] <= 5
    assert 0 < wrong["border"] < 0.01 * wrong["border_px"]
    assert "| rrsis-geo |" in done.stdout
