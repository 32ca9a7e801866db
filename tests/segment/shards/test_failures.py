"""Failed windows: they are reported, have no data, and are tried again by the next run."""

import json
import re
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from job_stubs import OPTIONS, FailingPredictor, Scenario, add_marks, is_marked, is_same
from numpy.typing import NDArray
from predictor_stubs import RedPredictor, StubOutput, blobs

from rrsis_geo.errors import DeviceError, InputError, ModelError
from rrsis_geo.geo.scene.options import SceneOptions
from rrsis_geo.geo.scene.radiometry import measure_stretch
from rrsis_geo.geo.scene.scene import Scene, open_scene
from rrsis_geo.segment.jobs import prepare
from rrsis_geo.segment.results.report import SegmentReport
from rrsis_geo.segment.shards.failures import FailedWindow, merge_failed

MakeScene = Callable[..., Path]
PLACE = 300, 120
"""A pixel in the middle of a window: row 6, column 2 of strides of 48."""
STRIDE, MARGIN, SIZE = 48, 8, 64


@pytest.fixture
def scene(make_blobs: MakeScene) -> Path:
    return make_blobs(700, 200, content=add_marks(blobs(), PLACE))


def mask_of(run: Scenario) -> NDArray[np.uint8]:
    with rasterio.open(run.folder / "m.tif") as dataset:
        mask: NDArray[np.uint8] = dataset.read(1)
    return mask


def footprints(report: SegmentReport, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels of failed windows, bool."""
    failed_px = np.zeros(shape, bool)
    for failed in report.failed:
        failed_px[failed.row_start : failed.row_stop, failed.col_start : failed.col_stop] = True
    return failed_px


def check_gaps(run: Scenario, reference: Scenario, report: SegmentReport) -> None:
    """Pixels of failed windows have no data; all others are as in the reference."""
    mask, expected = mask_of(run), mask_of(reference)
    failed_px = footprints(report, mask.shape)
    assert (mask[failed_px] == 255).all()
    assert np.array_equal(mask[~failed_px], expected[~failed_px])
    assert not (expected == 255).any()
    layer = gpd.read_file(run.folder / "o.gpkg", layer="red_discs")
    assert layer.n_pixels.sum() == (mask == 1).sum() > 0
    with sqlite3.connect(run.folder / "o.gpkg") as base:
        texts = base.execute("SELECT metadata FROM gpkg_metadata").fetchall()
    assert any('"failed_windows"' in text for (text,) in texts)


def test_failed_window_has_no_data(scene: Path, tmp_path: Path) -> None:
    reference, run = Scenario(scene, tmp_path / "reference"), Scenario(scene, tmp_path / "run")
    reference_report = reference.run()
    report = run.run(predictor=FailingPredictor())
    (failed,) = report.failed
    assert (failed.window_row, failed.window_col) == (6, 2)
    assert (failed.row_start, failed.row_stop) == (6 * STRIDE - MARGIN, 6 * STRIDE - MARGIN + SIZE)
    assert (failed.col_start, failed.col_stop) == (2 * STRIDE - MARGIN, 2 * STRIDE - MARGIN + SIZE)
    assert failed.reason == "cuDNN error"
    assert report.windows == reference_report.windows - 1
    check_gaps(run, reference, report)
    (warning,) = report.warnings
    assert "1 window failed, such as that at row 280, column 88" in warning
    assert json.loads(json.dumps(report.to_dict()))["failed"] == [failed.to_dict()]
    assert FailedWindow.from_dict(failed.to_dict()) == failed


def test_resume_computes_failed_windows(scene: Path, tmp_path: Path) -> None:
    reference, run = Scenario(scene, tmp_path / "reference"), Scenario(scene, tmp_path / "run")
    reference.run()
    run.run(predictor=FailingPredictor())
    assert run.job.exists()
    again = FailingPredictor(times=0)
    report = run.run("resume", again)
    assert report.failed == ()
    assert report.windows == 15 * 5
    assert sum(again.batches) < 15 * 5  # the other shard was kept
    assert is_same(run.result(), reference.result())


@pytest.mark.parametrize("error", [RuntimeError("once"), DeviceError("once")])
def test_window_that_fails_once_is_tried_again(
    scene: Path, tmp_path: Path, error: Exception
) -> None:
    reference, run = Scenario(scene, tmp_path / "reference"), Scenario(scene, tmp_path / "run")
    reference.run()
    report = run.run(predictor=FailingPredictor(1, error))
    assert report.failed == report.warnings == ()
    assert is_same(run.result(), reference.result())


def test_failed_window_in_two_shards(make_blobs: MakeScene, tmp_path: Path) -> None:
    scene = make_blobs(700, 200, content=add_marks(blobs(), (508, 120)))
    reference, run = Scenario(scene, tmp_path / "reference"), Scenario(scene, tmp_path / "run")
    reference.run()
    report = run.run(predictor=FailingPredictor())
    assert [f.window_row for f in report.failed] == [10]  # rows 472 to 536
    check_gaps(run, reference, report)
    run.run("resume")
    assert is_same(run.result(), reference.result())


def test_failed_window_of_a_resampled_scene(make_blobs: MakeScene, tmp_path: Path) -> None:
    def content(row: Any, col: Any, band: int) -> Any:  # a mark that survives resampling
        values = blobs()(row, col, band)
        inside = (abs(row - 300) < 8) & (abs(col - 120) < 8)
        return np.where(inside, (0, 0, 255)[band - 1], values)

    scene = make_blobs(700, 200, content=content)
    options = replace(OPTIONS, scene=SceneOptions(gsd_m=0.8), min_area_m2=0)
    reference, run = Scenario(scene, tmp_path / "reference"), Scenario(scene, tmp_path / "run")
    reference.run(options=options)
    report = run.run(predictor=FailingPredictor(), options=options)
    assert 1 <= len(report.failed) <= 4
    assert footprints(report, (700, 200))[PLACE]
    check_gaps(run, reference, report)


def test_device_that_always_fails(scene: Path, tmp_path: Path) -> None:
    class Broken(RedPredictor):
        calls = 0

        def predict(self, images: Any, words: Any) -> Any:
            self.calls += 1
            raise DeviceError("the device is gone")

    run, broken = Scenario(scene, tmp_path / "run"), Broken()
    with pytest.raises(DeviceError, match="the device is gone"):
        run.run(predictor=broken)
    assert run.file_names() == []
    assert broken.calls <= 2 * (2 + 5)  # two rows of windows, in batches and one by one


class OddPredictor(RedPredictor):
    """Gives an odd output for every batch that contains a mark."""

    def __init__(self, change: Callable[[StubOutput], StubOutput]) -> None:
        super().__init__(position_dependent=True)
        self.change = change

    def predict(self, images: NDArray[np.uint8], words: Any) -> StubOutput:
        output = super().predict(images, words)
        return self.change(output) if is_marked(images).any() else output


OddPredictor.__name__ = RedPredictor.__name__


def with_nan(output: StubOutput) -> StubOutput:
    logits = output.logits.copy()
    logits[0, 5, 5] = np.nan
    return output._replace(logits=logits)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (with_nan, "logits that are not finite"),
        (lambda o: o._replace(logits=o.logits - np.inf), "logits that are not finite"),
        (lambda o: o._replace(presence=o.presence * np.nan), "presence that are not finite"),
        (lambda o: o._replace(logits=o.logits[:, :32]), r"shape \(1, 32, 64\); \(1, 64, 64\)"),
        (lambda o: o._replace(logits=o.logits[0]), r"shape \(64, 64\)"),
        (lambda o: o._replace(presence=o.presence[:, None]), r"presence of shape \(1, 1\)"),
        (lambda o: o._replace(logits=o.logits > 0), "logits of bool"),
        (lambda o: o._replace(logits=o.logits.tolist()), "logits of list"),
    ],
)
def test_odd_output_fails_only_its_window(
    scene: Path, tmp_path: Path, change: Callable[[StubOutput], StubOutput], reason: str
) -> None:
    reference, run = Scenario(scene, tmp_path / "reference"), Scenario(scene, tmp_path / "run")
    reference.run()
    report = run.run(predictor=OddPredictor(change))
    (failed,) = report.failed
    assert re.search(reason, failed.reason)
    check_gaps(run, reference, report)


def test_odd_number_of_outputs_is_a_model_error(scene: Path, tmp_path: Path) -> None:
    class Short(RedPredictor):
        def predict_all(self, images: NDArray[np.uint8], words: Any) -> list[StubOutput]:
            return []

    with pytest.raises(ModelError, match="gave 0 outputs for 1 expressions"):
        Scenario(scene, tmp_path / "run").run(predictor=Short())


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("bad values"), "bad values"),
        (ZeroDivisionError("by zero"), "by zero"),
        (MemoryError(), "too little free memory"),
    ],
)
def test_error_of_another_kind_fails_only_its_window(
    scene: Path, tmp_path: Path, error: Exception, reason: str
) -> None:
    report = Scenario(scene, tmp_path / "run").run(predictor=FailingPredictor(error=error))
    (failed,) = report.failed
    assert reason in failed.reason


@pytest.mark.parametrize(
    ("error", "expected", "reason"),
    [
        (RuntimeError("cuDNN error"), ModelError, "fails on every window .cuDNN error"),
        (ValueError(), ModelError, "fails on every window .ValueError"),
        (MemoryError(), DeviceError, "too little free memory"),
    ],
)
def test_model_that_always_fails(
    scene: Path, tmp_path: Path, error: Exception, expected: type[Exception], reason: str
) -> None:
    class Broken(RedPredictor):
        def predict(self, images: Any, words: Any) -> Any:
            raise error

    with pytest.raises(expected, match=reason):
        Scenario(scene, tmp_path / "run").run(predictor=Broken())


def break_block(path: Path, row: int, col: int) -> None:
    """Damage a block of a compressed file."""
    with rasterio.open(path) as dataset:
        where = (row // 64, col // 64)
        name = f"{where[1]}_{where[0]}"
        offset = int(dataset.get_tag_item(f"BLOCK_OFFSET_{name}", "TIFF", bidx=1))
        size = int(dataset.get_tag_item(f"BLOCK_SIZE_{name}", "TIFF", bidx=1))
    content = bytearray(path.read_bytes())
    content[offset : offset + size] = b"\xff" * size
    path.write_bytes(bytes(content))


@pytest.fixture
def wide(make_blobs: MakeScene, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wide scene. Its stretch is fixed, so that measuring it does not find damaged blocks."""
    path = make_blobs(700, 1400)
    with open_scene(path) as scene:
        stretch = measure_stretch(scene)
    monkeypatch.setattr(prepare, "measure_stretch", lambda scene: stretch)
    return path


def test_damaged_block_fails_only_its_windows(
    wide: Path, make_blobs: MakeScene, tmp_path: Path
) -> None:
    reference = Scenario(wide, tmp_path / "reference")
    reference.run()
    damaged = make_blobs(700, 1400)
    break_block(damaged, 600, 1300)
    run = Scenario(damaged, tmp_path / "run")
    report = run.run()
    assert all("rows" in failed.reason for failed in report.failed)
    failed_px = footprints(report, (700, 1400))
    assert failed_px[576:640, 1280:1344].all()
    assert not failed_px[:500].any()
    assert not failed_px[:, :900].any()  # read again in columns of 512 pixels or more
    check_gaps(run, reference, report)


def test_damaged_block_in_the_sample_of_the_stretch(make_blobs: MakeScene, tmp_path: Path) -> None:
    damaged = make_blobs(700, 1400)
    break_block(damaged, 600, 600)
    report = Scenario(damaged, tmp_path / "run").run()
    failed_px = footprints(report, (700, 1400))
    assert failed_px[576:640, 576:640].all()
    assert not failed_px.all()


def test_read_that_fails_once_is_tried_again(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference, run = Scenario(scene, tmp_path / "reference"), Scenario(scene, tmp_path / "run")
    reference.run()
    read, left = Scene.read, 1

    def fail_once(self: Scene, window: Any) -> Any:
        nonlocal left
        if window.row_off > 300 and left:
            left -= 1
            raise InputError("the network is down")
        return read(self, window)

    monkeypatch.setattr(Scene, "read", fail_once)
    report = run.run()
    assert left == 0
    assert report.failed == ()
    assert is_same(run.result(), reference.result())


def test_truncated_scene(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Scene.read

    def read_truncated(self: Scene, window: Any) -> Any:
        if window.row_off + window.height > 560:
            raise InputError("the file may be truncated")
        return read(self, window)

    monkeypatch.setattr(Scene, "read", read_truncated)
    run = Scenario(scene, tmp_path / "run")
    with pytest.raises(InputError, match="truncated; 1 of 2 shards are saved"):
        run.run()
    assert run.file_names() == ["o.gpkg.job"]


def test_merge_failed_keeps_each_window_once() -> None:
    def window(row: int, col: int) -> FailedWindow:
        return FailedWindow(
            window_row=row,
            window_col=col,
            row_start=0,
            row_stop=1,
            col_start=0,
            col_stop=1,
            reason="",
        )

    assert merge_failed([window(2, 1), window(1, 5), window(2, 1)]) == (window(1, 5), window(2, 1))


def test_unreadable_pixels_outside_the_part_do_not_count(
    wide: Path, make_blobs: MakeScene, tmp_path: Path
) -> None:
    damaged = make_blobs(700, 1400)
    break_block(damaged, 600, 1300)
    run = Scenario(damaged, tmp_path / "run")
    # columns 0 to 800, rows 0 to 700, of half a metre each
    bbox = (500000.0, 5199650.0, 500400.0, 5200000.0)
    assert run.run(options=replace(OPTIONS, scene=SceneOptions(bbox=bbox))).failed == ()
