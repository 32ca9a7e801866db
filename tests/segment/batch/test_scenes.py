"""Several scenes in one call: what each gives alone, whatever happens to the others."""

import json
import logging
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
from affine import Affine
from job_stubs import DyingPredictor, StubbornPredictor, after, ended, in_child, marked
from numpy.typing import NDArray
from predictor_stubs import RedPredictor, StubOutput, blobs, make_options
from scene_files import write_scene

from rrsis_geo.errors import ConfigError, InputError, OutputError, OutsideError, Stopped
from rrsis_geo.geo.layers.vector_io import SUFFIXES
from rrsis_geo.segment.batch import scenes as module
from rrsis_geo.segment.batch import workers as workers_module
from rrsis_geo.segment.batch.report import ScenesReport
from rrsis_geo.segment.batch.scenes import segment_scenes
from rrsis_geo.segment.batch.workers import SceneRun
from rrsis_geo.segment.jobs.engines import RunOptions
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.scene import segment_scene

EXPRESSION = "red discs"
LAYER = "red_discs"
OPTIONS = SegmentOptions(overlap_px=16, rows_per_shard=512)
SIZES = (100, 130), (90, 150), (120, 110)


class CountingPredictor(RedPredictor):
    """Takes any number of expressions in turn."""

    def predict(self, images: NDArray[np.uint8], words: Any) -> StubOutput:
        self.expressions.append(words)
        return super().predict(images, words)


CountingPredictor.__name__ = RedPredictor.__name__


def tile(path: Path, number: int, **options: Any) -> Path:
    """One of some scenes that lie side by side, none like another."""
    height, width = SIZES[number]
    transform = Affine(0.5, 0, 500_000 + 100 * number, 0, -0.5, 5_200_000)
    content = blobs(period=31 + 2 * number)
    return write_scene(
        path, height, width, **{"transform": transform, "content": content, **options}
    )


@dataclass(frozen=True, slots=True)
class Batch:
    """A folder of three scenes, and a place for results."""

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
            predictor=predictor or CountingPredictor(restless=True),
            stop=stop,
            progress=progress,
        )

    def alone(self, scene: Path, expression: Any = EXPRESSION) -> Path:
        """The folder of what the scene gives in a call of its own."""
        folder = self.folder / f"alone-{scene.stem}"
        if not folder.exists():
            folder.mkdir()
            outputs = Outputs(folder / "o.gpkg", mask=folder / "m.tif")
            predictor = CountingPredictor(restless=True)
            segment_scene(scene, expression, outputs, OPTIONS, predictor=predictor)
        return folder

    def expected(self, layer: str = LAYER, expression: Any = EXPRESSION) -> gpd.GeoDataFrame:
        """What one layer of all scenes should hold."""
        frames = []
        for scene in self.scenes:
            frame = gpd.read_file(self.alone(scene, expression) / "o.gpkg", layer=layer)
            frame.insert(0, "scene", scene.name)
            frames.append(frame)
        joined = gpd.pd.concat(frames, ignore_index=True)
        joined["id"] = np.arange(1, len(joined) + 1)
        return joined

    def written(self, folder: str = "results") -> list[str]:
        place = self.folder / folder
        return sorted(str(path.relative_to(place)) for path in place.rglob("*"))

    def has(self, name: str) -> Callable[[], bool]:
        """Says whether a file was written."""
        return lambda: any(path.is_file() for path in self.folder.glob(f"**/{name}"))

    def left(self) -> list[str]:
        """All but the scenes."""
        return sorted(path.name for path in self.folder.iterdir() if path != self.tiles)


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    made = Batch(tmp_path / "batch")
    made.tiles.mkdir(parents=True)
    for number in range(3):
        tile(made.tiles / f"tile_{number}.tif", number)
    return made


def provenance(path: Path) -> dict[str, Any]:
    with closing(sqlite3.connect(path)) as connection:
        (text,) = connection.execute("SELECT metadata FROM gpkg_metadata").fetchone()
    record: dict[str, Any] = json.loads(text)
    return record


# --- what comes out


def test_each_scene_gets_what_it_gets_alone(batch: Batch) -> None:
    report = batch.run(mask="results", probability="probabilities")
    names = [f"tile_{k}{end}" for k in range(3) for end in (".gpkg", "_mask.qml", "_mask.tif")]
    assert batch.written() == sorted(names)
    assert batch.written("probabilities") == sorted(
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


def test_one_layer_of_all(batch: Batch) -> None:
    report = batch.run("all.gpkg", mask="masks")
    assert batch.left() == ["all.gpkg", "masks"]
    layer = gpd.read_file(batch.folder / "all.gpkg", layer=LAYER)
    assert layer.equals(batch.expected())
    fields = pyogrio.read_info(batch.folder / "all.gpkg", layer=LAYER)["fields"]
    assert list(fields)[:2] == ["scene", "id"]
    assert layer["id"].is_unique
    assert report.outputs == {"vector": batch.folder / "all.gpkg", "mask": batch.folder / "masks"}
    assert all("vector" not in result.report["outputs"] for result in report.scenes)
    told = provenance(batch.folder / "all.gpkg")
    assert [scene["state"] for scene in told["scenes"]] == ["done"] * 3
    assert told["expression"] == EXPRESSION


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_one_layer_in_every_format(batch: Batch, suffix: str) -> None:
    batch.run(f"all{suffix}")
    path = batch.folder / f"all{suffix}"
    layer = LAYER if suffix == ".gpkg" else None
    frame = gpd.read_parquet(path) if suffix == ".parquet" else gpd.read_file(path, layer=layer)
    expected = batch.expected()
    assert frame.sort_values("id")["scene"].tolist() == expected["scene"].tolist()
    assert frame.sort_values("id")["n_pixels"].tolist() == expected["n_pixels"].tolist()


def test_one_layer_an_expression(batch: Batch) -> None:
    expressions = ["red discs", "the blue car"]
    report = batch.run("all.gpkg", expression=expressions)
    layers = pyogrio.list_layers(batch.folder / "all.gpkg")[:, 0]
    assert {"red_discs", "the_blue_car"} <= set(layers)
    for name in ("red_discs", "the_blue_car"):
        layer = gpd.read_file(batch.folder / "all.gpkg", layer=name)
        assert layer.equals(batch.expected(name, expressions))
    assert report.n_objects == 2 * len(layer)


def test_each_expression_gets_a_file_where_a_format_holds_one(batch: Batch) -> None:
    report = batch.run("all.fgb", expression=["red discs", "the blue car"])
    assert sorted(report.outputs) == ["vector:red_discs", "vector:the_blue_car"]
    assert batch.left() == ["all_red_discs.fgb", "all_the_blue_car.fgb"]


def test_nothing_found_is_an_empty_layer(batch: Batch) -> None:
    for number, scene in enumerate(batch.scenes):
        tile(scene, number, content=lambda row, col, band: 0 * row + 50)
    report = batch.run("all.gpkg")
    assert (report.n_objects, report.area_m2, report.failed) == (0, 0, ())
    assert len(gpd.read_file(batch.folder / "all.gpkg", layer=LAYER)) == 0


def test_scenes_without_crs_share_a_layer_of_pixels(batch: Batch) -> None:
    for number, scene in enumerate(batch.scenes):
        tile(scene, number, crs=None, transform=Affine.identity())
    options = make_options(overlap_px=16, allow_no_crs=True)
    report = batch.run("all.gpkg", options=options)
    assert report.area_m2 is None
    assert gpd.read_file(batch.folder / "all.gpkg", layer=LAYER).crs is None


def test_paths_may_be_given_one_by_one(batch: Batch) -> None:
    report = batch.run(scenes=batch.scenes[1:])
    assert [Path(result.scene).stem for result in report.scenes] == ["tile_1", "tile_2"]
    with pytest.raises(InputError, match="no scene is given"):
        segment_scenes([], EXPRESSION, Outputs(batch.folder / "o"))


def test_report_is_ready_for_json(batch: Batch) -> None:
    record = json.loads(json.dumps(batch.run().to_dict(), allow_nan=False))
    assert record["expressions"] == [EXPRESSION]
    assert [scene["state"] for scene in record["scenes"]] == ["done"] * 3
    assert record["n_objects"] == sum(scene["n_objects"] for scene in record["scenes"])


def test_progress_counts_windows_of_all_scenes(batch: Batch) -> None:
    told: list[tuple[str, int, int]] = []
    report = batch.run(progress=lambda *step: told.append(step))
    windows = [done for stage, done, _ in told if stage == "windows"]
    totals = {total for stage, _, total in told if stage == "windows"}
    assert windows == sorted(windows)
    assert totals == {windows[-1]} == {sum(scene.report["windows"] for scene in report.scenes)}
    assert [step[1:] for step in told if step[0] == "scenes"] == [(k, 3) for k in range(4)]


def test_a_warning_of_all_scenes_is_told_once(
    batch: Batch, caplog: pytest.LogCaptureFixture
) -> None:
    package = logging.getLogger("rrsis_geo")
    package.addHandler(caplog.handler)
    try:
        report = batch.run(expression="the largest red disc")
    finally:
        package.removeHandler(caplog.handler)
    texts = [text for scene in report.scenes for text in scene.report["warnings"]]
    assert len([text for text in texts if "the largest" in text]) == 3
    heard = {record.getMessage() for record in caplog.records if "largest" in record.getMessage()}
    assert len(heard) == 1


# --- what is refused, before any scene is worked on


def refused(batch: Batch, error: type[Exception], match: str, out: str = "o", **how: Any) -> None:
    predictor = RedPredictor()
    with pytest.raises(error, match=match):
        batch.run(out, predictor=predictor, **how)
    assert predictor.batches == []
    assert [name for name in batch.left() if name == out or ".job" in name] == []


def test_all_that_is_wrong_is_told_at_once(batch: Batch) -> None:
    tile(batch.scenes[0], 0, crs=None)
    batch.scenes[2].write_text("no raster")
    words = r"2 of 3 scenes cannot be used: .*tile_0\.tif: no CRS.*; .*tile_2\.tif: not a raster"
    refused(batch, InputError, words)


def test_options_that_fit_no_scene_are_a_matter_of_options(batch: Batch) -> None:
    options = make_options(bands=(9, 2, 1))
    refused(batch, ConfigError, "3 of 3 scenes", options=options)


def test_several_crs_need_a_layer_each(batch: Batch) -> None:
    tile(batch.scenes[1], 1, crs="EPSG:32633")
    words = r"EPSG:32632 \(tile_0\.tif and 1 more\), EPSG:32633 \(tile_1\.tif\).*all, .*gdalwarp"
    refused(batch, InputError, words, "all.gpkg")
    assert len(batch.run().scenes) == 3


def test_a_bbox_of_several_crs_says_which(batch: Batch) -> None:
    tile(batch.scenes[1], 1, crs="EPSG:32633")
    options = make_options(bbox=(500_000.0, 5_199_950.0, 500_010.0, 5_200_000.0))
    refused(batch, ConfigError, "L,B,R,T,EPSG:4326", options=options)


def test_scenes_beside_the_area_are_left_out(batch: Batch) -> None:
    box = (500_000.0, 5_199_950.0, 500_060.0, 5_200_000.0)
    report = batch.run(options=make_options(overlap_px=16, bbox=box))
    assert [result.state for result in report.scenes] == ["done", "outside", "outside"]
    assert batch.written() == ["tile_0.gpkg"]
    assert not report.failed


def test_an_area_beside_all_scenes_is_refused(batch: Batch) -> None:
    options = make_options(bbox=(1.0, 1.0, 2.0, 2.0))
    refused(batch, OutsideError, "bbox: lies outside all of the 3 scenes", options=options)


@pytest.mark.parametrize("out", ["o", "o.gpkg"])
@pytest.mark.parametrize("kind", ["mask", "probability", "preview", "report", "stac_item"])
def test_a_file_for_the_rasters_of_all_is_refused(batch: Batch, kind: str, out: str) -> None:
    refused(batch, OutputError, rf"m\.tif: .* {kind} .*folder .*m$", out, **{kind: "m.tif"})


def test_what_is_said_of_one_scene_needs_a_file_of_its_own(batch: Batch) -> None:
    refused(batch, OutputError, r"name a folder .*o$", "o.gpkg", windows_layer=True)
    for kind in ("stac_item", "report"):
        refused(batch, OutputError, r"name a folder .*o$", "o.gpkg", **{kind: "items"})
    batch.run(windows_layer=True, stac_item="results", report="results")
    assert "tile_0.gpkg" in (batch.folder / "results/tile_0.html").read_text()
    assert (batch.folder / "results/tile_0.json").exists()
    assert "windows" in pyogrio.list_layers(batch.folder / "results/tile_0.gpkg")[:, 0]


def test_results_that_exist_are_not_replaced_unasked(batch: Batch) -> None:
    (batch.folder / "results").mkdir()
    (batch.folder / "results/tile_1.gpkg").write_text("somebody's")
    (batch.folder / "all.gpkg").write_text("somebody's")
    for out, name in (("results", "tile_1"), ("all.gpkg", "all")):
        with pytest.raises(OutputError, match=rf"{name}\.gpkg: exists already"):
            batch.run(out)
    assert batch.written() == ["tile_1.gpkg"]
    batch.run(overwrite=True)
    batch.run("all.gpkg", overwrite=True)
    assert len(gpd.read_file(batch.folder / "all.gpkg", layer=LAYER)) > 20


def test_a_scene_is_never_a_result(batch: Batch) -> None:
    tile(batch.tiles / "tile_0_mask.tif", 0)
    with pytest.raises(OutputError, match=r"tile_0_mask\.tif: is an input of this run"):
        batch.run(mask="tiles", overwrite=True)


def test_results_of_two_scenes_are_two_files(batch: Batch) -> None:
    tile(batch.tiles / "tile_0_mask_red_discs.tif", 1)
    tile(batch.tiles / "tile_0_mask.tif", 1)
    with pytest.raises(OutputError, match=r"is an input|results of both"):
        batch.run(mask="tiles", expression=["red discs", "x"], overwrite=True)


def test_results_among_the_scenes_are_no_scenes(batch: Batch) -> None:
    batch.run("tiles", mask="tiles")
    assert len(batch.run("again", scenes=str(batch.tiles)).scenes) == 3


def test_a_scheduler_is_refused(batch: Batch) -> None:
    with pytest.raises(ConfigError, match="scheduler computes one scene a call"):
        segment_scenes(
            str(batch.tiles),
            EXPRESSION,
            Outputs(batch.folder / "o"),
            run=RunOptions(scheduler="tcp://host:8786"),
        )


def test_what_cannot_fit_is_refused(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=2**20))
    refused(batch, OutputError, "MiB are needed", mask="masks")


def test_a_folder_that_cannot_be_made(batch: Batch) -> None:
    refused(batch, OutputError, r"the folder .*none does not exist", "none/o")


# --- stopped, killed, gone on with


@pytest.mark.parametrize("out", ["results", "all.gpkg"])
@pytest.mark.parametrize("n_calls", [1, 3, 6, 13])
def test_stopped_anywhere_and_gone_on_with(batch: Batch, out: str, n_calls: int) -> None:
    first = CountingPredictor(restless=True)
    try:
        batch.run(out, predictor=first, stop=after(n_calls))
    except Stopped as err:
        if "scenes are done, kept in" not in str(err):
            assert batch.left() == []
    rest = CountingPredictor(restless=True)
    job = batch.folder / ("results/scenes.job" if out == "results" else "all.gpkg.job")
    was_left = job.exists()
    if was_left:
        with pytest.raises(OutputError, match=r"\(--resume\), .*\(--restart\)"):
            batch.run(out)
    if was_left or not batch.left():
        report = batch.run(out, "resume", rest)
        windows = sum(result.report["windows"] for result in report.scenes)
        assert sum(first.batches) + sum(rest.batches) == windows
    assert not job.exists()
    if out == "all.gpkg":
        layer = gpd.read_file(batch.folder / out, layer=LAYER)
        assert layer.equals(batch.expected())
        assert sorted(name for name in batch.left() if "alone" not in name) == ["all.gpkg"]
    else:
        assert batch.written() == [f"tile_{k}.gpkg" for k in range(3)]


@pytest.mark.slow
@pytest.mark.parametrize("out", ["results", "all.gpkg"])
def test_killed_anywhere_and_gone_on_with(
    batch: Batch, out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each file that is put in place: the process ends without a word, before or after it."""
    import os

    expected = batch.expected()
    replace, at, n_deaths = os.replace, 0, 0

    def dying(source: Any, target: Any) -> None:
        nonlocal at
        at -= 1
        if at == 0:
            os._exit(9)
        replace(source, target)
        if at == -1:
            os._exit(9)

    def work(existing: str) -> Callable[[], object]:
        def child() -> None:
            monkeypatch.setattr(os, "replace", dying)
            monkeypatch.setattr(Path, "replace", lambda self, to: dying(self, to))
            batch.run(out, existing)

        return child

    at = 2
    while ended(in_child(work("resume"))) == 9:
        n_deaths += 1
        assert n_deaths < 60
        at = 2 + n_deaths % 3
    assert n_deaths > 3
    if out == "all.gpkg":
        assert gpd.read_file(batch.folder / out, layer=LAYER).equals(expected)
    names = [f"tile_{k}.gpkg" for k in range(3)] if out == "results" else [out]
    found = batch.written() if out == "results" else [n for n in batch.left() if "alone" not in n]
    assert found == names


def test_restart_does_everything_again(batch: Batch) -> None:
    with pytest.raises(Stopped, match="1 of 3 scenes are done"):
        batch.run(stop=batch.has("tile_0.gpkg"))
    again = CountingPredictor(restless=True)
    report = batch.run(existing="restart", predictor=again)
    assert sum(again.batches) == sum(result.report["windows"] for result in report.scenes)
    assert batch.written() == [f"tile_{k}.gpkg" for k in range(3)]


def test_going_on_with_something_else_is_refused(batch: Batch) -> None:
    with pytest.raises(Stopped):
        batch.run(stop=batch.has("tile_0.gpkg"))
    with pytest.raises(ConfigError, match=r"options.threshold was 0.5, is 0.4"):
        batch.run(existing="resume", options=SegmentOptions(overlap_px=16, threshold=0.4))
    with pytest.raises(ConfigError, match="expressions was"):
        batch.run(existing="resume", expression="blue discs")
    assert "scenes.job" in batch.written()


@pytest.mark.parametrize("out", ["results", "all.gpkg"])
def test_a_scene_that_was_changed_is_worked_on_again(
    batch: Batch, out: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Stopped, match="1 of 3 scenes are done"):
        batch.run(out, stop=batch.has("tile_0.gpkg"))
    tile(batch.scenes[0], 0, content=blobs(period=50))
    assert not batch.run(out, "resume").failed
    assert re.search(r"tile_0\.tif: was changed after .*size_bytes", caplog.text)
    made = batch.folder / ("results/tile_0.gpkg" if out == "results" else out)
    expected = batch.expected()
    expected = expected[expected["scene"] == "tile_0.tif"].drop(columns="scene")
    found = gpd.read_file(made, layer=LAYER).drop(columns="scene", errors="ignore")
    assert found.iloc[: len(expected)].equals(expected)


def test_what_a_killed_run_with_workers_leaves_is_removed_too(batch: Batch) -> None:
    with pytest.raises(Stopped):
        batch.run(stop=batch.has("tile_0.gpkg"))
    (batch.folder / "results/scenes.job/stop").touch()
    batch.run(existing="resume")
    assert batch.written() == [f"tile_{k}.gpkg" for k in range(3)]


def test_scenes_may_be_added_before_going_on(batch: Batch) -> None:
    with pytest.raises(Stopped):
        batch.run("all.gpkg", stop=batch.has("tile_0.gpkg"))
    write_scene(batch.tiles / "tile_9.tif", 60, 60, content=blobs())
    report = batch.run("all.gpkg", "resume")
    assert len(report.scenes) == 4
    assert gpd.read_file(batch.folder / "all.gpkg", layer=LAYER).equals(batch.expected())


def test_a_result_that_was_removed_is_made_again(batch: Batch) -> None:
    batch.run(keep_job=True)
    (batch.folder / "results/tile_1.gpkg").unlink()
    again = CountingPredictor(restless=True)
    report = batch.run(existing="resume", predictor=again, keep_job=False)
    assert (batch.folder / "results/tile_1.gpkg").exists()
    assert not report.failed


# --- scenes that fail


def damaged(path: Path, number: int) -> None:
    """Every pixel in the lower half of the file cannot be read."""
    tile(path, number, compress=None, blocks=None)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])


@pytest.mark.parametrize("out", ["results", "all.gpkg"])
def test_a_scene_that_fails_does_not_stop_the_others(batch: Batch, out: str) -> None:
    damaged(batch.scenes[1], 1)
    report = batch.run(out)
    assert [result.state for result in report.scenes] == ["done", "failed", "done"]
    (failed,) = report.failed
    assert "tile_1.tif" in failed.reason
    assert report.to_dict()["scenes"][1]["reason"] == failed.reason
    if out == "results":
        assert batch.written() == [
            *("scenes.job", "scenes.job/manifest.json"),
            *(f"scenes.job/scene-tile_{k}.json" for k in range(3)),
            *("tile_0.gpkg", "tile_2.gpkg"),
        ]
    else:
        layer = gpd.read_file(batch.folder / out, layer=LAYER)
        assert set(layer["scene"]) == {"tile_0.tif", "tile_2.tif"}
        told = provenance(batch.folder / out)["scenes"][1]
        assert (told["scene"], told["state"]) == ("tile_1.tif", "failed")
    tile(batch.scenes[1], 1)  # repaired
    rest = CountingPredictor(restless=True)
    report = batch.run(out, "resume", rest)
    assert not report.failed
    assert sum(rest.batches) == report.scenes[1].report["windows"]
    if out == "all.gpkg":
        assert gpd.read_file(batch.folder / out, layer=LAYER).equals(batch.expected())
    assert not list(batch.folder.rglob("*.job"))


def test_failed_windows_are_gaps_and_are_tried_again(batch: Batch) -> None:
    tile(batch.scenes[1], 1, content=marked(blobs(), (20, 20)))
    report = batch.run("all.gpkg", predictor=StubbornPredictor())
    assert [result.state for result in report.scenes] == ["done", "gaps", "done"]
    assert len(report.scenes[1].report["failed"]) > 0
    told = provenance(batch.folder / "all.gpkg")["scenes"][1]
    assert told["failed_windows"] == report.scenes[1].report["failed"]
    report = batch.run("all.gpkg", "resume", StubbornPredictor(times=0))
    assert not report.failed
    assert gpd.read_file(batch.folder / "all.gpkg", layer=LAYER).equals(batch.expected())


def test_where_all_fail_that_is_the_error(batch: Batch) -> None:
    for number, scene in enumerate(batch.scenes):
        damaged(scene, number)
    with pytest.raises(InputError, match=r"all 3 scenes failed, such as .*tile_0\.tif"):
        batch.run("all.gpkg")
    assert batch.left() == []


def test_a_disk_that_fills_ends_the_run_and_leaves_it_to_go_on_with(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = module.run_scene

    def full(task: Any, *rest: Any, **how: Any) -> Any:
        if task.scene.name == "tile_1":
            raise OutputError("no space left")
        return work(task, *rest, **how)

    monkeypatch.setattr(module, "run_scene", full)
    with pytest.raises(OutputError, match=r"no space left; 1 of 3 scenes are done, .*--resume"):
        batch.run()
    monkeypatch.undo()
    assert not batch.run(existing="resume").failed


# --- several processes


@pytest.mark.slow
def test_workers_take_whole_scenes(batch: Batch) -> None:
    report = batch.run("all.gpkg", workers=2)
    assert batch.left() == ["all.gpkg"]
    assert not report.failed
    assert [Path(result.scene) for result in report.scenes] == batch.scenes
    assert gpd.read_file(batch.folder / "all.gpkg", layer=LAYER).equals(batch.expected())


@pytest.mark.slow
@pytest.mark.parametrize("always", [False, True])
def test_a_worker_that_dies(batch: Batch, tmp_path: Path, always: bool) -> None:
    tile(batch.scenes[1], 1, content=marked(blobs(), (20, 20)))
    dying = DyingPredictor(tmp_path / "died", always=always)
    report = batch.run(predictor=dying, workers=2)
    assert [result.state for result in report.scenes] == [
        *("done", "failed" if always else "done", "done")
    ]
    assert ("as one did before" in report.scenes[1].reason) == always


def test_a_worker_with_another_model_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers_module, "keep_to_parent", lambda: None)
    ours, theirs = Pipe()
    facts = replace(RedPredictor().facts, sha256="of another")
    what = SceneRun((EXPRESSION,), OPTIONS, facts, keep_job=False, command="")
    workers_module._serve(theirs, (what, tmp_path / "stop", RedPredictor()))
    answer = ours.recv()
    assert isinstance(answer, ConfigError)
    assert "was started with the model RedPredictor (of another)" in str(answer)


@pytest.mark.slow
def test_workers_are_stopped_and_gone_on_with(batch: Batch) -> None:
    with pytest.raises(Stopped):
        batch.run("all.gpkg", workers=2, stop=after(2))
    batch.run("all.gpkg", "resume", workers=2)
    assert gpd.read_file(batch.folder / "all.gpkg", layer=LAYER).equals(batch.expected())
