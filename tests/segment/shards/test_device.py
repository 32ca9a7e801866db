"""Runs whose windows are blended on a device give the results of those that NumPy blends."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import tiny_net
import torch
from device_stubs import OnDevice, RecordingArrays, TensorOutput
from job_stubs import FailingPredictor, add_marks
from numpy.typing import NDArray
from predictor_stubs import RedPredictor, blobs, make_options

from rrsis_geo.model.predictor import Predictor
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.results.report import SegmentReport
from rrsis_geo.segment.scene import segment_scene

MakeScene = Callable[..., Path]
RASTERS = "mask", "probability"


def red() -> RedPredictor:
    return RedPredictor(position_dependent=True)


def run(
    scene: Path, folder: Path, predictor: Any, expressions: list[str], **options: Any
) -> SegmentReport:
    folder.mkdir()
    rasters = {kind: folder / f"{kind}.tif" for kind in RASTERS}
    outputs = Outputs(folder / "o.gpkg", **rasters, windows_layer=True)
    options = {"overlap_px": 16, **options}
    return segment_scene(scene, expressions, outputs, make_options(**options), predictor=predictor)


def read_rasters(folder: Path) -> dict[str, NDArray[np.uint8]]:
    """All rasters of a folder, by name."""
    return {path.name: rasterio.open(path).read(1) for path in sorted(folder.glob("*.tif"))}


def check_same(host: tuple[Path, SegmentReport], device: tuple[Path, SegmentReport]) -> None:
    """Masks, windows and outlines are equal; probabilities may differ by one step of 250."""
    found = [read_rasters(folder) for folder, _ in (host, device)]
    assert found[0].keys() == found[1].keys()
    for name, expected in found[0].items():
        step = 1 if name.startswith("probability") else 0
        assert np.array_equal(expected == 255, found[1][name] == 255)
        assert np.abs(expected.astype(int) - found[1][name]).max() <= step
    names = gpd.list_layers(host[0] / "o.gpkg").dropna().name.tolist()
    assert names == gpd.list_layers(device[0] / "o.gpkg").dropna().name.tolist()
    for name in names:
        one, other = (gpd.read_file(folder / "o.gpkg", layer=name) for folder, _ in (host, device))
        scores = [column for column in one if column in ("score", "score_max")]
        assert one.drop(columns=scores).equals(other.drop(columns=scores))
        if scores:
            assert len(one) > 20
            np.testing.assert_allclose(one[scores], other[scores], atol=0.0011, rtol=0)
    kept = ("windows", "skipped", "failed", "warnings")
    assert [getattr(host[1], name) for name in kept] == [getattr(device[1], name) for name in kept]
    assert [r.n_objects for r in host[1].results] == [r.n_objects for r in device[1].results]


def hole(row: NDArray[Any], col: NDArray[Any], band: int) -> NDArray[Any]:
    """Discs with a large gap, and a row of windows without any data."""
    is_hole = (row > 150) & (row < 420) & (col > 60)
    return np.where(is_hole | ((row > 500) & (row < 620)), 0, blobs()(row, col, band))


@pytest.mark.parametrize(
    ("scene_options", "options"),
    [
        ({}, {}),
        ({}, {"batch_size": 1, "rows_per_shard": 512}),
        ({"content": hole, "nodata": 0}, {"batch_size": 50, "rows_per_shard": 512}),
        ({"content": hole, "nodata": 0}, {"gsd_m": 0.35, "rows_per_shard": 512, "threshold": 0.7}),
    ],
    ids=["plain", "shards", "gaps", "resampled"],
)
def test_results_are_those_of_numpy(
    make_blobs: MakeScene, tmp_path: Path, scene_options: Any, options: Any
) -> None:
    scene = make_blobs(700, 230, **scene_options)
    expressions = ["red discs", "red things"]
    results = [
        (tmp_path / name, run(scene, tmp_path / name, predictor, expressions, **options))
        for name, predictor in (("host", red()), ("device", OnDevice(red())))
    ]
    check_same(results[0], results[1])


def test_failed_windows_are_predicted_again_and_reported(
    make_blobs: MakeScene, tmp_path: Path
) -> None:
    scene = make_blobs(400, 200, content=add_marks(blobs(), (300, 120)))
    for times, n_failed in ((1, 0), (10**9, 1)):
        host, device = tmp_path / f"host{times}", tmp_path / f"device{times}"
        on_device = OnDevice(FailingPredictor(times))
        reports = (
            run(scene, host, FailingPredictor(times), ["red discs"]),
            run(scene, device, on_device, ["red discs"], batch_size=12),
        )
        check_same((host, reports[0]), (device, reports[1]))
        assert len(reports[1].failed) == n_failed
        # a batch of windows of two rows was repeated
        assert on_device.arrays.events.count("predict one window again") > 4


class NotFinite(OnDevice):
    """Gives a NaN in the window with a mark, whose batch is computed long before it is checked."""

    def predict_on_device(self, images: Any, words: Any) -> list[TensorOutput]:
        outputs = super().predict_on_device(images, words)
        is_marked = (images == torch.tensor([0, 0, 255])).all(-1)
        for output in outputs:
            output.logits[is_marked] = torch.nan
        return outputs


def test_values_that_are_not_finite_do_not_reach_the_neighbours(
    make_blobs: MakeScene, tmp_path: Path
) -> None:
    scene = make_blobs(300, 200, content=add_marks(blobs(), (150, 120)))
    host, device = tmp_path / "host", tmp_path / "device"
    reports = (
        run(scene, host, red(), ["red discs"]),
        run(scene, device, NotFinite(red()), ["red discs"]),
    )
    check_same((host, reports[0]), (device, reports[1]))


def test_every_pixel_is_uploaded_once(make_blobs: MakeScene, tmp_path: Path) -> None:
    predictor = OnDevice(red())
    run(make_blobs(700, 200), tmp_path / "run", predictor, ["red discs"])
    rows = predictor.arrays.uploaded_rows
    assert rows == [64] + [48] * 14  # 15 rows of windows, strides of 48
    assert sum(rows) == 15 * 48 + 16  # the rows of the padded scene


def test_a_batch_is_awaited_when_the_next_one_is_queued(
    make_blobs: MakeScene, tmp_path: Path
) -> None:
    """The caller never waits for finished rows: those are 2D, and another thread's."""
    predictor = OnDevice(red())
    run(make_blobs(300, 200), tmp_path / "run", predictor, ["red discs"], batch_size=10)
    queued = [event for event in predictor.arrays.events if event != "wait for 2D"]
    queued = [event for event in queued if event != "wait for 0D"]
    # seven rows of five windows in batches of two rows
    waits = ["wait for 1D"] * 3  # finite, highest, presence
    ten = "queue 10 windows"
    assert queued == [ten, ten, *waits, ten, *waits, "queue 5 windows", *waits, *waits]


@pytest.mark.parametrize("presence", [None, 0.5])
def test_a_network_on_a_device(
    make_blobs: MakeScene, tmp_path: Path, presence: float | None
) -> None:
    scene = make_blobs(300, 200)
    results = []
    for name in ("host", "device"):
        predictor = Predictor(tiny_net.make_bundle(), "cpu", "fp32", presence=presence)
        if name == "device":
            predictor.arrays = RecordingArrays()
        report = run(scene, tmp_path / name, predictor, ["the road"], batch_size=4, threshold=0.5)
        results.append((tmp_path / name, report))
    host, device = (read_rasters(folder) for folder, _ in results)
    assert np.array_equal(host["mask.tif"], device["mask.tif"])
    steps = host["probability.tif"].astype(int)
    assert len(np.unique(steps)) > 20
    assert np.abs(steps - device["probability.tif"]).max() <= 1
    assert results[0][1].windows == results[1][1].windows == 35
