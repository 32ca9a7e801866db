"""Many scenes in one call: each gets the same result as alone, whatever happens to the others."""

import json
import logging
import re
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
from affine import Affine
from job_stubs import (
    DyingPredictor,
    FailingPredictor,
    add_marks,
    run_in_child,
    stop_after,
    wait_for_exit,
)
from numpy.typing import NDArray
from predictor_stubs import RedPredictor, StubOutput, blobs, make_options
from rasterio.crs import CRS
from scene_files import write_scene

from rrsis_geo.errors import ConfigError, InputError, OutputError, OutsideError, Stopped
from rrsis_geo.geo.layers.layer_files import SUFFIXES
from rrsis_geo.segment.batch import scenes as module
from rrsis_geo.segment.batch.job import BatchSettings
from rrsis_geo.segment.batch.report import ScenesReport
from rrsis_geo.segment.batch.scenes import segment_scenes
from rrsis_geo.segment.batch.workers import SceneRun, SceneWorkerSetup, scene_worker_context
from rrsis_geo.segment.jobs.engines import RunOptions
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.scene import segment_scene

EXPRESSION = "red discs"
LAYER = "red_discs"
OPTIONS = SegmentOptions(overlap_px=16, rows_per_shard=512)
SIZES = (100, 130), (90, 150), (120, 110)


class CountingPredictor(RedPredictor):
    """Accepts any number of expressions, one after the other."""

    def predict(self, images: NDArray[np.uint8], words: Any) -> StubOutput:
        self.expressions.append(words)
        return super().predict(images, words)


CountingPredictor.__name__ = RedPredictor.__name__


def tile(path: Path, number: int, **options: Any) -> Path:
    """Write one of several different scenes side by side."""
    height, width = SIZES[number]
    transform = Affine(0.5, 0, 500_000 + 100 * number, 0, -0.5, 5_200_000)
    content = blobs(period=31 + 2 * number)
    return write_scene(
        path, height, width, **{"transform": transform, "content": content, **options}
    )


@dataclass(frozen=True, slots=True)
class Batch:
    """A folder with three scenes, and folders for results."""

    folder: Path

    @property
    def tiles(self) -> Path:
        return self.folder / "tiles"

    @property
    def scenes(self) -> list[Path]:
        return sorted(self.tiles.iterdir())

    def run(
        self,
        out: str = "results",
        existing: Any = "refuse",
        predictor: RedPredictor | None = None,
        *,
        expression: Any = EXPRESSION,
        stop: Callable[[], bool] = lambda: False,
        options: SegmentOptions = OPTIONS,
        workers: int = 1,
        keep_job: bool = False,
        progress: Any = None,
        scenes: Any = None,
        **outputs: Any,
    ) -> ScenesReport:
        files = {k: self.folder / v if isinstance(v, str) else v for k, v in outputs.items()}
        return segment_scenes(
            scenes or str(self.tiles),
            expression,
            Outputs(self.folder / out, **files),
            options,
            run=RunOptions(existing=existing, workers=workers, keep_job=keep_job),
            predictor=predictor or CountingPredictor(position_dependent=True),
            stop=stop,
            progress=progress,
        )

    def alone(self, scene: Path, expression: Any = EXPRESSION) -> Path:
        """The folder with the results of a scene in a run of its own."""
        folder = self.folder / f"alone-{scene.stem}"
        if not folder.exists():
            folder.mkdir()
            outputs = Outputs(folder / "o.gpkg", mask=folder / "m.tif")
            predictor = CountingPredictor(position_dependent=True)
            segment_scene(scene, expression, outputs, OPTIONS, predictor=predictor)
        return folder

    def expected(self, layer: str = LAYER, expression: Any = EXPRESSION) -> gpd.GeoDataFrame:
        """The expected layer of all scenes."""
        frames = []
        for scene in self.scenes:
            frame = gpd.read_file(self.alone(scene, expression) / "o.gpkg", layer=layer)
            frame.insert(0, "scene", scene.name)
            frames.append(frame)
        joined = gpd.pd.concat(frames, ignore_index=True)
        joined["id"] = np.arange(1, len(joined) + 1)
        return joined

    def files_in(self, folder: str = "results") -> list[str]:
        place = self.folder / folder
        return sorted(str(path.relative_to(place)) for path in place.rglob("*"))

    def has(self, name: str) -> Callable[[], bool]:
        """A function that returns whether a file exists."""
        return lambda: any(path.is_file() for path in self.folder.glob(f"**/{name}"))

    def other_files(self) -> list[str]:
        """All files and folders except the scenes."""
        return sorted(path.name for path in self.folder.iterdir() if path != self.tiles)


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    batch = Batch(tmp_path / "batch")
    batch.tiles.mkdir(parents=True)
    for number in range(3):
        tile(batch.tiles / f"tile_{number}.tif", number)
    return batch


def read_provenance(path: Path) -> dict[str, Any]:
    with closing(sqlite3.connect(path)) as connection:
        (text,) = connection.execute("SELECT metadata FROM gpkg_metadata").fetchone()
    record: dict[str, Any] = json.loads(text)
    return record


# --- results


def test_each_scene_gets_the_same_result_as_alone(batch: Batch) -> None:
    report = batch.run(mask="results", probability="probabilities")
    names = [f"tile_{k}{end}" for k in range(3) for end in (".gpkg", "_mask.qml", "_mask.tif")]
    assert batch.files_in() == sorted(names)
    assert batch.files_in("probabilities") == sorted(
        f"tile_{k}_probability.{end}" for k in range(3) for end in ("qml", "tif")
    )
    for scene, result in zip(batch.scenes, report.scenes, strict=True):
        alone = batch.alone(scene)
        layer = gpd.read_file(batch.folder / f"results/{scene.stem}.gpkg", layer=LAYER)
        assert layer.equals(gpd.read_file(alone / "o.gpkg", layer=LAYER))
        with (
            rasterio.open(batch.folder / f"results/{scene.stem}_mask.tif") as mask,
            rasterio.open(alone / "m.tif") as expected,
        ):
            assert np.array_equal(mask.read(), expected.read())
        assert (result.scene, result.state) == (str(scene), "done")
        assert result.report["n_objects"] == len(layer) > 5
    assert report.n_objects == sum(
        len(batch.expected()[lambda f, s=s: f.scene == s.name]) for s in batch.scenes
    )
    assert not report.failed


def test_one_layer_for_all_scenes(batch: Batch) -> None:
    report = batch.run("all.gpkg", mask="masks")
    assert batch.other_files() == ["all.gpkg", "masks"]
    layer = gpd.read_file(batch.folder / "all.gpkg", layer=LAYER)
    assert layer.equals(batch.expected())
    fields = pyogrio.read_info(batch.folder / "all.gpkg", layer=LAYER)["fields"]
    assert list(fields)[:2] == ["scene", "id"]
    assert layer["id"].is_unique
    assert report.outputs == {"vector": batch.folder / "all.gpkg", "mask": batch.folder / "masks"}
    assert all("vector" not in result.report["outputs"] for result in report.scenes)
    record = read_provenance(batch.folder / "all.gpkg")
    assert [scene["state"] for scene in record["scenes"]] == ["done"] * 3
    assert record["expression"] == EXPRESSION


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_one_layer_in_every_format(batch: Batch, suffix: str) -> None:
    batch.run(f"all{suffix}")
    path = batch.folder / f"all{suffix}"
    layer = LAYER if suffix == ".gpkg" else None
    frame = gpd.read_parquet(path) if suffix == ".parquet" else gpd.read_file(path, layer=layer)
    expected = batch.expected()
    assert frame.sort_values("id")["scene"].tolist() == expected["scene"].tolist()
    assert frame.sort_values("id")["n_pixels"].tolist() == expected["n_pixels"].tolist()


def test_one_layer_per_expression(batch: Batch) -> None:
    expressions = ["red discs", "the blue car"]
    report = batch.run("all.gpkg", expression=expressions)
    layers = pyogrio.list_layers(batch.folder / "all.gpkg")[:, 0]
    assert {"red_discs", "the_blue_car"} <= set(layers)
    for name in ("red_discs", "the_blue_car"):
        layer = gpd.read_file(batch.folder / "all.gpkg", layer=name)
        assert layer.equals(batch.expected(name, expressions))
    assert report.n_objects == 2 * len(layer)


def test_each_expression_gets_a_file_if_the_format_holds_one_layer(batch: Batch) -> None:
    report = batch.run("all.fgb", expression=["red discs", "the blue car"])
    assert sorted(report.outputs) == ["vector:red_discs", "vector:the_blue_car"]
    names = ("all_red_discs", "all_the_blue_car")
    assert batch.other_files() == [f"{name}.{end}" for name in names for end in ("fgb", "qml")]


@pytest.mark.parametrize("out", ["results", "all.gpkg", "all.fgb"])
def test_reports_give_the_objects_of_all_scenes(batch: Batch, out: str) -> None:
    expressions = ["red discs", "the blue car"]
    frame = batch.run(out, expression=expressions).to_geodataframe()
    layers = [batch.expected(name, expressions) for name in ("red_discs", "the_blue_car")]
    expected = gpd.pd.concat(layers)
    assert list(frame.columns)[:2] == ["scene", "id"]
    assert frame.crs == expected.crs
    keys = ["scene", "expression", "n_pixels", "area_m2"]
    found, wanted = (
        each[keys].assign(wkb=each.geometry.to_wkb()).sort_values([*keys, "wkb"])
        for each in (frame, expected)
    )
    gpd.pd.testing.assert_frame_equal(found.reset_index(drop=True), wanted.reset_index(drop=True))


def test_reports_without_objects_to_read(batch: Batch) -> None:
    report = batch.run()
    write_scene(batch.tiles / "z.tif", 120, 120, crs=CRS.from_epsg(32633))
    with pytest.raises(InputError, match="the scenes are in several CRSs; read their files"):
        batch.run("more").to_geodataframe()
    (batch.folder / "results/tile_0.gpkg").unlink()
    with pytest.raises(InputError, match=r"tile_0\.gpkg: no such file"):
        report.to_geodataframe()


def test_no_objects_give_an_empty_layer(batch: Batch) -> None:
    for number, scene in enumerate(batch.scenes):
        tile(scene, number, content=lambda row, col, band: 0 * row + 50)
    report = batch.run("all.gpkg")
    assert (report.n_objects, report.area_m2, report.failed) == (0, 0, ())
    assert len(gpd.read_file(batch.folder / "all.gpkg", layer=LAYER)) == 0


def test_scenes_without_crs_share_a_layer_in_pixel_coordinates(batch: Batch) -> None:
    for number, scene in enumerate(batch.scenes):
        tile(scene, number, crs=None, transform=Affine.identity())
    options = make_options(overlap_px=16, allow_no_crs=True)
    report = batch.run("all.gpkg", options=options)
    assert report.area_m2 is None
    assert gpd.read_file(batch.folder / "all.gpkg", layer=LAYER).crs is None


def test_a_sequence_of_paths(batch: Batch) -> None:
    report = batch.run(scenes=batch.scenes[1:])
    assert [Path(result.scene).stem for result in report.scenes] == ["tile_1", "tile_2"]
    with pytest.raises(InputError, match="the list of scenes is empty"):
        segment_scenes([], EXPRESSION, Outputs(batch.folder / "o"))


def test_report_is_ready_for_json(batch: Batch) -> None:
    record = json.loads(json.dumps(batch.run().to_dict(), allow_nan=False))
    assert record["expressions"] == [EXPRESSION]
    assert [scene["state"] for scene in record["scenes"]] == ["done"] * 3
    assert record["n_objects"] == sum(scene["n_objects"] for scene in record["scenes"])


def test_progress_counts_windows_of_all_scenes(batch: Batch) -> None:
    calls: list[tuple[str, int, int]] = []
    report = batch.run(progress=lambda *call: calls.append(call))
    windows = [done for stage, done, _ in calls if stage == "windows"]
    totals = {total for stage, _, total in calls if stage == "windows"}
    assert windows == sorted(windows)
    assert totals == {windows[-1]} == {sum(scene.report["windows"] for scene in report.scenes)}
    assert [call[1:] for call in calls if call[0] == "scenes"] == [(k, 3) for k in range(4)]


def test_a_warning_of_all_scenes_is_shown_once(
    batch: Batch, caplog: pytest.LogCaptureFixture
) -> None:
    package = logging.getLogger("rrsis_geo")
    package.addHandler(caplog.handler)
    try:
        report = batch.run(expression="the 999 largest red discs")
    finally:
        package.removeHandler(caplog.handler)
    texts = [text for scene in report.scenes for text in scene.report["warnings"]]
    assert len([text for text in texts if "999 largest" in text]) == 3
    shown = {record.getMessage() for record in caplog.records if "largest" in record.getMessage()}
    assert len(shown) == 1


def test_a_batch_hides_no_warnings_of_other_threads(
    batch: Batch, caplog: pytest.LogCaptureFixture
) -> None:
    package = logging.getLogger("rrsis_geo")

    def warn_elsewhere(*call: object) -> None:
        thread = threading.Thread(target=package.warning, args=("of another run",))
        thread.start()
        thread.join()

    package.addHandler(caplog.handler)
    try:
        batch.run(progress=warn_elsewhere)
    finally:
        package.removeHandler(caplog.handler)
    assert sum(record.getMessage() == "of another run" for record in caplog.records) > 3


# --- checks before the first scene is segmented


def check_refused(
    batch: Batch, error: type[Exception], match: str, out: str = "o", **how: Any
) -> None:
    predictor = RedPredictor()
    with pytest.raises(error, match=match):
        batch.run(out, predictor=predictor, **how)
    assert predictor.batches == []
    assert [name for name in batch.other_files() if name == out or ".job" in name] == []


def test_all_bad_scenes_are_reported_at_once(batch: Batch) -> None:
    tile(batch.scenes[0], 0, crs=None)
    batch.scenes[2].write_text("no raster")
    message = r"2 of 3 scenes cannot be used: .*tile_0\.tif: no CRS.*; .*tile_2\.tif: not a raster"
    check_refused(batch, InputError, message)


def test_options_that_fit_no_scene_are_a_config_error(batch: Batch) -> None:
    options = make_options(bands=(9, 2, 1))
    check_refused(batch, ConfigError, "3 of 3 scenes", options=options)


def test_several_crs_need_a_layer_per_scene(batch: Batch) -> None:
    tile(batch.scenes[1], 1, crs="EPSG:32633")
    message = r"EPSG:32632 \(tile_0\.tif and 1 more\), EPSG:32633 \(tile_1\.tif\).*all, .*gdalwarp"
    check_refused(batch, InputError, message, "all.gpkg")
    assert len(batch.run().scenes) == 3


def test_a_bbox_over_several_crs_needs_a_crs(batch: Batch) -> None:
    tile(batch.scenes[1], 1, crs="EPSG:32633")
    options = make_options(bbox=(500_000.0, 5_199_950.0, 500_010.0, 5_200_000.0))
    check_refused(batch, ConfigError, "L,B,R,T,EPSG:4326", options=options)


def test_scenes_outside_the_area_are_left_out(batch: Batch) -> None:
    box = (500_000.0, 5_199_950.0, 500_060.0, 5_200_000.0)
    report = batch.run(options=make_options(overlap_px=16, bbox=box))
    assert [result.state for result in report.scenes] == ["done", "outside", "outside"]
    assert batch.files_in() == ["tile_0.gpkg"]
    assert not report.failed


def test_an_area_outside_all_scenes_is_refused(batch: Batch) -> None:
    options = make_options(bbox=(1.0, 1.0, 2.0, 2.0))
    check_refused(batch, OutsideError, "bbox: lies outside all of the 3 scenes", options=options)


@pytest.mark.parametrize("out", ["o", "o.gpkg"])
@pytest.mark.parametrize("kind", ["mask", "probability", "preview", "report", "stac_item"])
def test_a_file_for_outputs_per_scene_is_refused(batch: Batch, kind: str, out: str) -> None:
    check_refused(batch, OutputError, rf"m\.tif: .* {kind} .*folder .*m$", out, **{kind: "m.tif"})


def test_outputs_about_one_scene_need_a_vector_file_per_scene(batch: Batch) -> None:
    check_refused(batch, OutputError, r"give a folder .*o$", "o.gpkg", windows_layer=True)
    for kind in ("stac_item", "report"):
        check_refused(batch, OutputError, r"give a folder .*o$", "o.gpkg", **{kind: "items"})
    batch.run(windows_layer=True, stac_item="results", report="results")
    assert "tile_0.gpkg" in (batch.folder / "results/tile_0.html").read_text()
    assert (batch.folder / "results/tile_0.json").exists()
    assert "windows" in pyogrio.list_layers(batch.folder / "results/tile_0.gpkg")[:, 0]


def test_existing_results_are_not_replaced_by_default(batch: Batch) -> None:
    (batch.folder / "results").mkdir()
    (batch.folder / "results/tile_1.gpkg").write_text("another file")
    (batch.folder / "all.gpkg").write_text("another file")
    for out, name in (("results", "tile_1"), ("all.gpkg", "all")):
        with pytest.raises(OutputError, match=rf"{name}\.gpkg: exists already"):
            batch.run(out)
    assert batch.files_in() == ["tile_1.gpkg"]
    batch.run(overwrite=True)
    batch.run("all.gpkg", overwrite=True)
    assert len(gpd.read_file(batch.folder / "all.gpkg", layer=LAYER)) > 20


def test_a_scene_is_never_overwritten(batch: Batch) -> None:
    tile(batch.tiles / "tile_0_mask.tif", 0)
    with pytest.raises(OutputError, match=r"tile_0_mask\.tif: is an input of this run"):
        batch.run(mask="tiles", overwrite=True)


def test_results_of_two_scenes_must_be_two_files(batch: Batch) -> None:
    tile(batch.tiles / "tile_0_mask_red_discs.tif", 1)
    tile(batch.tiles / "tile_0_mask.tif", 1)
    with pytest.raises(OutputError, match=r"is an input|results of both"):
        batch.run(mask="tiles", expression=["red discs", "x"], overwrite=True)


def test_results_in_the_folder_of_the_scenes_are_not_scenes(batch: Batch) -> None:
    batch.run("tiles", mask="tiles")
    assert len(batch.run("again", scenes=str(batch.tiles)).scenes) == 3


def test_a_scheduler_is_refused(batch: Batch) -> None:
    with pytest.raises(ConfigError, match="scheduler computes one scene per run"):
        segment_scenes(
            str(batch.tiles),
            EXPRESSION,
            Outputs(batch.folder / "o"),
            run=RunOptions(scheduler="tcp://host:8786"),
        )


def test_too_little_disk_space_is_refused(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=2**20))
    check_refused(batch, OutputError, "MiB are needed", mask="masks")


def test_a_folder_that_cannot_be_created(batch: Batch) -> None:
    check_refused(batch, OutputError, r"the folder .*none does not exist", "none/o")


# --- stopped, killed, resumed


@pytest.mark.parametrize("out", ["results", "all.gpkg"])
@pytest.mark.parametrize("n_calls", [1, 3, 6, 13])
def test_stopped_anywhere_and_resumed(batch: Batch, out: str, n_calls: int) -> None:
    first = CountingPredictor(position_dependent=True)
    try:
        batch.run(out, predictor=first, stop=stop_after(n_calls))
    except Stopped as err:
        if "scenes are done and saved in" not in str(err):
            assert batch.other_files() == []
    rest = CountingPredictor(position_dependent=True)
    job = batch.folder / ("results/scenes.job" if out == "results" else "all.gpkg.job")
    is_kept = job.exists()
    if is_kept:
        with pytest.raises(OutputError, match=r"--resume, .*--restart"):
            batch.run(out)
    if is_kept or not batch.other_files():
        report = batch.run(out, "resume", rest)
        windows = sum(result.report["windows"] for result in report.scenes)
        assert sum(first.batches) + sum(rest.batches) == windows
    assert not job.exists()
    if out == "all.gpkg":
        layer = gpd.read_file(batch.folder / out, layer=LAYER)
        assert layer.equals(batch.expected())
        assert sorted(name for name in batch.other_files() if "alone" not in name) == ["all.gpkg"]
    else:
        assert batch.files_in() == [f"tile_{k}.gpkg" for k in range(3)]


@pytest.mark.slow
@pytest.mark.parametrize("out", ["results", "all.gpkg"])
def test_killed_anywhere_and_resumed(
    batch: Batch, out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process exits before or after each file that it moves into place."""
    import os

    expected = batch.expected()
    replace, at, n_deaths = os.replace, 0, 0

    def replace_and_die(source: Any, target: Any) -> None:
        nonlocal at
        at -= 1
        if at == 0:
            os._exit(9)
        replace(source, target)
        if at == -1:
            os._exit(9)

    def make_child(existing: str) -> Callable[[], object]:
        def child() -> None:
            monkeypatch.setattr(os, "replace", replace_and_die)
            monkeypatch.setattr(Path, "replace", lambda self, to: replace_and_die(self, to))
            batch.run(out, existing)

        return child

    at = 2
    while wait_for_exit(run_in_child(make_child("resume"))) == 9:
        n_deaths += 1
        assert n_deaths < 120
        at = 2 + n_deaths % 8  # the end of a scene alone takes six moves
    assert n_deaths > 3
    if out == "all.gpkg":
        assert gpd.read_file(batch.folder / out, layer=LAYER).equals(expected)
    names = [f"tile_{k}.gpkg" for k in range(3)] if out == "results" else [out]
    found = (
        batch.files_in()
        if out == "results"
        else [n for n in batch.other_files() if "alone" not in n]
    )
    assert found == names


def test_restart_segments_all_scenes_again(batch: Batch) -> None:
    with pytest.raises(Stopped, match="1 of 3 scenes are done"):
        batch.run(stop=batch.has("tile_0.gpkg"))
    again = CountingPredictor(position_dependent=True)
    report = batch.run(existing="restart", predictor=again)
    assert sum(again.batches) == sum(result.report["windows"] for result in report.scenes)
    assert batch.files_in() == [f"tile_{k}.gpkg" for k in range(3)]


def test_resuming_with_other_settings_is_refused(batch: Batch) -> None:
    with pytest.raises(Stopped):
        batch.run(stop=batch.has("tile_0.gpkg"))
    with pytest.raises(ConfigError, match=r"options.threshold was 0.5, is 0.4"):
        batch.run(existing="resume", options=SegmentOptions(overlap_px=16, threshold=0.4))
    with pytest.raises(ConfigError, match="expressions was"):
        batch.run(existing="resume", expression="blue discs")
    assert "scenes.job" in batch.files_in()


@pytest.mark.parametrize("out", ["results", "all.gpkg"])
def test_a_scene_that_changed_is_segmented_again(
    batch: Batch, out: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Stopped, match="1 of 3 scenes are done"):
        batch.run(out, stop=batch.has("tile_0.gpkg"))
    tile(batch.scenes[0], 0, content=blobs(period=50))
    assert not batch.run(out, "resume").failed
    assert re.search(r"tile_0\.tif: changed after .*size_bytes", caplog.text)
    path = batch.folder / ("results/tile_0.gpkg" if out == "results" else out)
    expected = batch.expected()
    expected = expected[expected["scene"] == "tile_0.tif"].drop(columns="scene")
    found = gpd.read_file(path, layer=LAYER).drop(columns="scene", errors="ignore")
    assert found.iloc[: len(expected)].equals(expected)


def test_leftovers_of_a_killed_run_with_workers_are_removed(batch: Batch) -> None:
    with pytest.raises(Stopped):
        batch.run(stop=batch.has("tile_0.gpkg"))
    (batch.folder / "results/scenes.job/stop").touch()
    batch.run(existing="resume")
    assert batch.files_in() == [f"tile_{k}.gpkg" for k in range(3)]


def test_scenes_may_be_added_before_resuming(batch: Batch) -> None:
    with pytest.raises(Stopped):
        batch.run("all.gpkg", stop=batch.has("tile_0.gpkg"))
    write_scene(batch.tiles / "tile_9.tif", 60, 60, content=blobs())
    report = batch.run("all.gpkg", "resume")
    assert len(report.scenes) == 4
    assert gpd.read_file(batch.folder / "all.gpkg", layer=LAYER).equals(batch.expected())


def test_a_result_that_was_removed_is_written_again(batch: Batch) -> None:
    batch.run(keep_job=True)
    (batch.folder / "results/tile_1.gpkg").unlink()
    again = CountingPredictor(position_dependent=True)
    report = batch.run(existing="resume", predictor=again, keep_job=False)
    assert (batch.folder / "results/tile_1.gpkg").exists()
    assert not report.failed


# --- scenes that fail


def write_damaged(path: Path, number: int) -> None:
    """Write a scene whose lower part cannot be read."""
    tile(path, number, compress=None, blocks=None)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])


@pytest.mark.parametrize("out", ["results", "all.gpkg"])
def test_a_scene_that_fails_does_not_stop_the_others(batch: Batch, out: str) -> None:
    write_damaged(batch.scenes[1], 1)
    report = batch.run(out)
    assert [result.state for result in report.scenes] == ["done", "failed", "done"]
    (failed,) = report.failed
    assert "tile_1.tif" in failed.reason
    assert report.to_dict()["scenes"][1]["reason"] == failed.reason
    if out == "results":
        assert batch.files_in() == [
            *("scenes.job", "scenes.job/manifest.json"),
            *(f"scenes.job/scene-tile_{k}.json" for k in range(3)),
            *("tile_0.gpkg", "tile_2.gpkg"),
        ]
    else:
        layer = gpd.read_file(batch.folder / out, layer=LAYER)
        assert set(layer["scene"]) == {"tile_0.tif", "tile_2.tif"}
        record = read_provenance(batch.folder / out)["scenes"][1]
        assert (record["scene"], record["state"]) == ("tile_1.tif", "failed")
    tile(batch.scenes[1], 1)  # repaired
    rest = CountingPredictor(position_dependent=True)
    report = batch.run(out, "resume", rest)
    assert not report.failed
    assert sum(rest.batches) == report.scenes[1].report["windows"]
    if out == "all.gpkg":
        assert gpd.read_file(batch.folder / out, layer=LAYER).equals(batch.expected())
    assert not list(batch.folder.rglob("*.job"))


def test_failed_windows_are_gaps_and_are_retried(batch: Batch) -> None:
    tile(batch.scenes[1], 1, content=add_marks(blobs(), (20, 20)))
    report = batch.run("all.gpkg", predictor=FailingPredictor())
    assert [result.state for result in report.scenes] == ["done", "gaps", "done"]
    assert len(report.scenes[1].report["failed"]) > 0
    record = read_provenance(batch.folder / "all.gpkg")["scenes"][1]
    assert record["failed_windows"] == report.scenes[1].report["failed"]
    report = batch.run("all.gpkg", "resume", FailingPredictor(times=0))
    assert not report.failed
    assert gpd.read_file(batch.folder / "all.gpkg", layer=LAYER).equals(batch.expected())


def test_an_error_if_all_scenes_fail(batch: Batch) -> None:
    for number, scene in enumerate(batch.scenes):
        write_damaged(scene, number)
    with pytest.raises(InputError, match=r"all 3 scenes failed, such as .*tile_0\.tif"):
        batch.run("all.gpkg")
    assert batch.other_files() == []


def test_a_full_disk_stops_the_run_which_can_be_resumed(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_scene = module.run_scene

    def fail_on_tile_1(task: Any, *rest: Any, **how: Any) -> Any:
        if task.scene.name == "tile_1":
            raise OutputError("no space left")
        return run_scene(task, *rest, **how)

    monkeypatch.setattr(module, "run_scene", fail_on_tile_1)
    with pytest.raises(
        OutputError, match=r"no space left; 1 of 3 scenes are done and saved in .*--resume"
    ):
        batch.run()
    monkeypatch.undo()
    assert not batch.run(existing="resume").failed


# --- several processes


@pytest.mark.slow
def test_workers_segment_whole_scenes(batch: Batch) -> None:
    report = batch.run("all.gpkg", workers=2)
    assert batch.other_files() == ["all.gpkg"]
    assert not report.failed
    assert [Path(result.scene) for result in report.scenes] == batch.scenes
    assert gpd.read_file(batch.folder / "all.gpkg", layer=LAYER).equals(batch.expected())


@pytest.mark.slow
@pytest.mark.parametrize("always", [False, True])
def test_a_worker_that_dies(batch: Batch, tmp_path: Path, always: bool) -> None:
    tile(batch.scenes[1], 1, content=add_marks(blobs(), (20, 20)))
    dying = DyingPredictor(tmp_path / "died", always=always)
    report = batch.run(predictor=dying, workers=2)
    assert [result.state for result in report.scenes] == [
        *("done", "failed" if always else "done", "done")
    ]
    assert ("as another worker did before" in report.scenes[1].reason) == always


def test_a_worker_with_another_model_is_refused(tmp_path: Path) -> None:
    facts = replace(RedPredictor().facts, sha256="of another")
    settings = BatchSettings(expressions=(EXPRESSION,), model=facts, options=OPTIONS)
    run = SceneRun(settings, keep_job=False, command="")
    setup = SceneWorkerSetup(run=run, stop_file=tmp_path / "stop", predictor=RedPredictor())
    with (
        pytest.raises(ConfigError, match=r"was started with the model RedPredictor \(of another\)"),
        scene_worker_context(setup),
    ):
        pass


@pytest.mark.slow
def test_workers_are_stopped_and_resumed(batch: Batch) -> None:
    with pytest.raises(Stopped):
        batch.run("all.gpkg", workers=2, stop=stop_after(2))
    batch.run("all.gpkg", "resume", workers=2)
    assert gpd.read_file(batch.folder / "all.gpkg", layer=LAYER).equals(batch.expected())
