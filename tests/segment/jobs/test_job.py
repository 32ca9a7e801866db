"""Jobs: what an interrupted run keeps, and when it can be resumed."""

import errno
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio.shutil
from job_stubs import (
    EXPRESSION,
    OPTIONS,
    Scenario,
    is_same,
    run_in_child,
    stop_after,
    wait_for_exit,
)
from predictor_stubs import RedPredictor, blobs, make_options
from rasterio.enums import Compression

from rrsis_geo.errors import ConfigError, InputError, OutputError, Stopped
from rrsis_geo.geo.grid.windows import Shard
from rrsis_geo.model.facts import ModelFacts
from rrsis_geo.segment.jobs import ending
from rrsis_geo.segment.jobs.engines import RunOptions
from rrsis_geo.segment.jobs.job import Job, format_shards
from rrsis_geo.segment.jobs.manifest import find_differences
from rrsis_geo.segment.jobs.prepare import reopen_run
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.results.report import SegmentReport
from rrsis_geo.segment.scene import merge_job, segment_scene

MakeScene = Callable[..., Path]


@pytest.fixture
def scene(make_blobs: MakeScene) -> Path:
    return make_blobs(1300, 130)  # three shards


def stop_run(run: Scenario, n_shards: int = 1) -> None:
    """Stop a run after some shards."""
    with pytest.raises(Stopped, match=rf"{n_shards} of 3 shards are saved in .*o\.gpkg\.job"):
        run.run(stop=stop_after(n_shards + 1))


WRITTEN = ["m.qml", "m.tif", "o.gpkg", "p.qml", "p.tif"]


# --- stop and resume


@pytest.mark.parametrize("n_shards", [1, 2, 3])
def test_stop_between_shards_and_resume(scene: Path, tmp_path: Path, n_shards: int) -> None:
    reference, run = Scenario(scene, tmp_path / "reference"), Scenario(scene, tmp_path / "run")
    reference_report = reference.run()
    stop_run(run, n_shards)
    assert run.file_names() == ["o.gpkg.job"]
    rest = RedPredictor(position_dependent=True)
    report = run.run("resume", rest)
    assert is_same(run.result(), reference.result())
    assert (report.windows, report.skipped) == (reference_report.windows, reference_report.skipped)
    assert report.presence_max == reference_report.presence_max
    left = max(1300 - 512 * n_shards, 0) / 48 + 2 * (n_shards < 3)  # rows of windows, and a halo
    assert sum(rest.batches) <= 3 * (left + 1)


def test_stop_before_the_first_shard_leaves_nothing(scene: Path, tmp_path: Path) -> None:
    run = Scenario(scene, tmp_path / "run")
    with pytest.raises(Stopped, match=r"^stopped$"):
        run.run(stop=lambda: True)
    assert run.file_names() == []


@pytest.mark.parametrize("n_outputs", [0, 1, 2])
def test_stopped_while_outputs_are_written(scene: Path, tmp_path: Path, n_outputs: int) -> None:
    """The rasters appear with the polygons, which are written last."""
    reference, run = Scenario(scene, tmp_path / "reference"), Scenario(scene, tmp_path / "run")
    reference.run()
    # polled before the run, after each of three shards, and before each output
    with pytest.raises(Stopped, match="3 of 3 shards"):
        run.run(stop=stop_after(5 + n_outputs))
    assert run.file_names() == ["o.gpkg.job"]
    run.run("resume")
    assert is_same(run.result(), reference.result())


def test_existing_job_is_refused(scene: Path, tmp_path: Path) -> None:
    run = Scenario(scene, tmp_path / "run")
    stop_run(run)
    with pytest.raises(OutputError, match=r"o\.gpkg\.job: .*--resume, .*--restart"):
        run.run()
    assert (run.job / "shard-00000").exists()


def test_resume_without_a_job_starts_one(scene: Path, tmp_path: Path) -> None:
    run = Scenario(scene, tmp_path / "run")
    assert run.run("resume").n_objects > 0


def test_restart_computes_everything_again(scene: Path, tmp_path: Path) -> None:
    reference, run = Scenario(scene, tmp_path / "reference"), Scenario(scene, tmp_path / "run")
    reference_report = reference.run()
    stop_run(run)
    red = RedPredictor(position_dependent=True)
    run.run("restart", red)
    assert sum(red.batches) == reference_report.windows
    assert is_same(run.result(), reference.result())


@pytest.mark.parametrize("existing", ["refuse", "resume", "restart"])
def test_files_of_others_in_the_job_are_left_alone(
    scene: Path, tmp_path: Path, existing: str
) -> None:
    reference, run = Scenario(scene, tmp_path / "reference"), Scenario(scene, tmp_path / "run")
    reference.run()
    names = (".DS_Store", "thesis.doc", "shard-plans", "manifest.json.txt", "lock-smith")
    (run.job / "shard-plans").mkdir(parents=True)
    for name in names:
        place = run.job / name
        (place / "plan.txt" if place.is_dir() else place).write_text("irreplaceable")
    run.run(existing)
    assert sorted(path.name for path in run.job.iterdir()) == sorted(names)
    assert (run.job / "shard-plans" / "plan.txt").read_text() == "irreplaceable"
    shutil.rmtree(run.job)
    assert is_same(run.result(), reference.result())


# --- done, but killed before the job was removed


def finish_but_die(run: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run to the end, except that what is left of the job is not removed."""
    with monkeypatch.context() as patch:
        patch.setattr(ending, "clear_job", lambda folder: None)
        patch.setattr(ending, "forget_finished", lambda folder: None)
        run.run()
    assert run.file_names() == sorted([".o.gpkg.job-done", "o.gpkg.job", *WRITTEN])


def test_a_job_that_is_done_is_not_done_again(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Scenario(scene, tmp_path / "run")
    finish_but_die(run, monkeypatch)
    red = RedPredictor(position_dependent=True)
    report = run.run("resume", red)
    assert not red.batches
    assert report.n_objects == len(run.result()[2])
    assert report.outputs == run.outputs.all_files([EXPRESSION])
    assert run.file_names() == WRITTEN


def test_a_job_that_is_done_is_merged_already(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Scenario(scene, tmp_path / "run")
    finish_but_die(run, monkeypatch)
    assert merge_job(run.job).n_objects == len(run.result()[2])
    assert run.file_names() == WRITTEN


def test_a_new_run_tidies_up_after_one_that_is_done(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Scenario(scene, tmp_path / "run")
    finish_but_die(run, monkeypatch)
    with pytest.raises(OutputError, match=r"o\.gpkg: exists already; .*--overwrite"):
        run.run()
    assert run.file_names() == WRITTEN


def test_a_job_that_is_done_starts_over(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Scenario(scene, tmp_path / "run")
    finish_but_die(run, monkeypatch)
    with pytest.raises(ConfigError, match="expressions was"):
        run.run("resume", expression="blue discs")
    with pytest.raises(Stopped):
        run.run("restart", stop=stop_after(2))
    run.run("resume")  # whose outputs are still its own
    assert run.file_names() == WRITTEN


def test_a_lost_output_of_a_job_that_is_done_is_written_again(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Scenario(scene, tmp_path / "run")
    finish_but_die(run, monkeypatch)
    (run.folder / "m.tif").unlink()
    run.run("resume")
    assert run.file_names() == WRITTEN


# --- damaged jobs


def test_damaged_manifest(scene: Path, tmp_path: Path) -> None:
    run = Scenario(scene, tmp_path / "run")
    stop_run(run)
    for text in ("", "[]", "{}", '{"format": 2}', '{"format": 2, "outputs": 3}', "null", '"job"'):
        (run.job / "manifest.json").write_text(text)
        for work in (lambda: run.run("resume"), lambda: merge_job(run.job)):
            with pytest.raises(InputError, match=r"manifest\.json: .*--restart"):
                work()
    assert run.run("restart").n_objects > 0


@pytest.mark.parametrize("key", ["outputs", "shards", "scene", "options", "model", "stretch"])
def test_damaged_value_in_the_manifest(scene: Path, tmp_path: Path, key: str) -> None:
    run = Scenario(scene, tmp_path / "run")
    stop_run(run)
    path = run.job / "manifest.json"
    record = json.loads(path.read_text())
    for value in (None, 7, {}, {"x": 1}, [[]]):
        path.write_text(json.dumps({**record, key: value}))
        with pytest.raises((InputError, ConfigError)):
            merge_job(run.job)
        with pytest.raises((InputError, ConfigError), match="--restart"):
            run.run("resume")
        with pytest.raises((InputError, ConfigError)), reopen_run(Job.open(run.job)):
            pass


def test_damaged_shard_is_computed_again(scene: Path, tmp_path: Path) -> None:
    reference, run = Scenario(scene, tmp_path / "reference"), Scenario(scene, tmp_path / "run")
    reference.run()
    stop_run(run, 2)
    shard = run.job / "shard-00001"
    contents = {path: path.read_bytes() for path in shard.iterdir()}
    assert len(contents) > 3
    for path, content in contents.items():
        path.unlink()
        assert missing_shards(run) == [1, 2]
        path.mkdir()
        assert missing_shards(run) == [1, 2]
        path.rmdir()
        path.write_bytes(content[: len(content) // 2])
        assert missing_shards(run) == [1, 2]
        path.write_bytes(content)
        assert missing_shards(run) == [2]
    (shard / "done.json").unlink()
    (shard / "done.json").mkdir()
    run.run("resume")
    assert is_same(run.result(), reference.result())


def missing_shards(run: Scenario) -> list[int]:
    return [shard.index for shard in Job.open(run.job).missing_shards()]


@pytest.mark.parametrize("what", ["o.gpkg.job", "."])
def test_folder_is_removed_while_a_run_works(scene: Path, tmp_path: Path, what: str) -> None:
    run = Scenario(scene, tmp_path / "run")

    def remove_folder() -> bool:
        if (run.job / "shard-00000").exists():
            shutil.rmtree((run.folder / what).resolve())
        return False

    with pytest.raises(OutputError, match=r"o\.gpkg\.job/.*: cannot be (created|written)"):
        run.run(stop=remove_folder)
    assert not run.job.exists()


def test_job_can_be_kept(scene: Path, tmp_path: Path) -> None:
    run = Scenario(scene, tmp_path / "run")
    run.run(keep_job=True)
    assert Job.open(run.job).missing_shards() == []
    red = RedPredictor()
    run.run("resume", red)  # the job may replace its own outputs
    assert not red.batches
    assert not run.job.exists()


def test_resume_does_not_replace_other_files(scene: Path, tmp_path: Path) -> None:
    run = Scenario(scene, tmp_path / "run")
    stop_run(run)
    (run.folder / "m.tif").write_text("another file")
    with pytest.raises(OutputError, match=r"m\.tif: exists already"):
        run.run("resume")
    assert (run.folder / "m.tif").read_text() == "another file"


# --- changed settings


def test_changed_scene(scene: Path, tmp_path: Path) -> None:
    run = Scenario(scene, tmp_path / "run")
    stop_run(run)
    os.utime(scene, (1, 1))
    with pytest.raises(
        ConfigError, match=r"scene\.mtime was .*, is 1\.0\. Use the same .*--restart"
    ):
        run.run("resume")
    assert (run.job / "shard-00000").exists()
    assert run.run("restart").n_objects > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"threshold": 0.4}, r"options\.threshold was 0\.5, is 0\.4"),
        ({"overlap_px": 32}, r"options\.overlap_px was 16, is 32"),
        ({"min_area_m2": 3.0}, r"options\.min_area_m2 was null, is 3\.0"),
        ({"nodata": 7.0}, r"options\.nodata was null, is 7\.0"),
        ({"rows_per_shard": 1024}, "the shards have other rows"),
    ],
)
def test_changed_option(scene: Path, tmp_path: Path, options: dict[str, Any], words: str) -> None:
    run = Scenario(scene, tmp_path / "run")
    stop_run(run)
    with pytest.raises(ConfigError, match=words):
        run.run(
            "resume", options=make_options(**{"overlap_px": 16, "rows_per_shard": 512, **options})
        )


def test_changed_model_expression_and_outputs(scene: Path, tmp_path: Path) -> None:
    class OtherPredictor(RedPredictor):
        @property
        def facts(self) -> ModelFacts:
            return replace(super().facts, dtype="bfloat16")

    run = Scenario(scene, tmp_path / "run")
    stop_run(run)
    with pytest.raises(ConfigError, match=r'model\.name was "RedPredictor", is "OtherPredictor"'):
        run.run("resume", OtherPredictor())
    with pytest.raises(ConfigError, match=r'model\.dtype was "", is "bfloat16"'):
        run.run("resume", OtherPredictor())
    with pytest.raises(ConfigError, match=r'expressions was \["red discs"\], is \["blue discs"\]'):
        run.run("resume", expression="blue discs")
    without = replace(run.outputs, probability=None)
    resume = RunOptions(existing="resume")
    with pytest.raises(ConfigError, match=r"outputs\.probability was .*p\.tif\", is none"):
        segment_scene(scene, EXPRESSION, without, OPTIONS, run=resume, predictor=RedPredictor())


def test_options_that_do_not_change_the_result_may_change(scene: Path, tmp_path: Path) -> None:
    reference, run = Scenario(scene, tmp_path / "reference"), Scenario(scene, tmp_path / "run")
    reference.run()
    stop_run(run)
    run.run("resume", options=replace(OPTIONS, batch_size=1, threads=1, device="cpu"))
    assert is_same(run.result(), reference.result())


def test_manifest_of_another_release(scene: Path, tmp_path: Path) -> None:
    run = Scenario(scene, tmp_path / "run")
    stop_run(run)
    (run.job / "manifest.json").write_text('{"format": 0}')
    with pytest.raises(
        InputError, match="was written by another release; start over with --restart"
    ):
        run.run("resume")
    (run.job / "manifest.json").write_text("{")
    with pytest.raises(InputError, match=r"manifest\.json: cannot be read"):
        run.run("resume")


def test_differences() -> None:
    nan = float("nan")
    assert find_differences({"a": {"b": nan}}, {"a": {"b": nan}}) == []
    assert find_differences({"a": {"b": 1}}, {"a": {}}) == ["a.b was 1, is none"]
    assert find_differences({"shards": [1]}, {"shards": [2]}) == ["the shards have other rows"]
    assert find_differences({"a": 1, "shards": [1]}, {"a": 2, "shards": [2]}) == ["a was 1, is 2"]


def test_format_shards() -> None:
    shards = [Shard(index, 0, 1, 0, 1) for index in (2, 4, 5, 6, 9)]
    assert format_shards(shards) == "3, 5-7, 10"


# --- several processes


def without_paths(report: SegmentReport) -> SegmentReport:
    """A report without times and paths, to compare runs."""
    results = tuple(replace(result, outputs={}) for result in report.results)
    return replace(
        report, seconds=0, load_seconds=0, network_seconds=0, outputs={}, results=results
    )


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_parts_are_computed_and_merged(scene: Path, tmp_path: Path, order: tuple[int, ...]) -> None:
    reference, run = Scenario(scene, tmp_path / "reference"), Scenario(scene, tmp_path / "run")
    reference_report = reference.run()
    for number in order:
        part = run.part(number, 3)
        assert part.shards == (number, number)
        assert part.job == run.job
    assert part.missing == 0
    report = merge_job(str(run.job))
    assert is_same(run.result(), reference.result())
    assert without_paths(report) == without_paths(reference_report)


def test_creation_options_are_part_of_a_job(scene: Path, tmp_path: Path) -> None:
    options = {"COMPRESS": "LZW", "VERSION": "1.3"}
    run = Scenario(scene, tmp_path / "run", options)
    stop_run(run)
    other = replace(run, creation_options={**options, "COMPRESS": "ZSTD"})
    with pytest.raises(ConfigError, match=r'creation_options\.COMPRESS was "LZW", is "ZSTD"'):
        other.run("resume")
    run.part(1, 1)
    merge_job(run.job)
    with rasterio.open(run.folder / "m.tif") as dataset:
        assert dataset.compression == Compression.lzw
    with closing(sqlite3.connect(run.outputs.vector)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (10300,)


def test_parts_at_the_same_time(scene: Path, tmp_path: Path) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("forks")
    reference, run = Scenario(scene, tmp_path / "reference"), Scenario(scene, tmp_path / "run")
    reference.run()
    run.folder.mkdir()
    children = [run_in_child(lambda k=k: run.part(k, 3)) for k in (1, 2, 3)]  # type: ignore[misc]
    assert [wait_for_exit(pid) for pid in children] == [0, 0, 0]
    merge_job(run.job)
    assert is_same(run.result(), reference.result())


def test_more_parts_than_shards(scene: Path, tmp_path: Path) -> None:
    run = Scenario(scene, tmp_path / "run")
    shards = [run.part(number, 7).shards for number in range(1, 8)]
    assert [each for each in shards if each] == [(1, 1), (2, 2), (3, 3)]
    assert merge_job(run.job).n_objects > 0
    with pytest.raises(ConfigError, match="part must be 1/7 to 7/7, got 8"):
        run.part(8, 7)


def test_part_is_not_computed_twice(scene: Path, tmp_path: Path) -> None:
    run = Scenario(scene, tmp_path / "run")
    run.part(2, 3)
    written = (run.job / "shard-00001").stat().st_mtime_ns
    run.part(2, 3)
    assert (run.job / "shard-00001").stat().st_mtime_ns == written


def test_merge_reports_missing_shards(scene: Path, tmp_path: Path) -> None:
    run = Scenario(scene, tmp_path / "run")
    run.part(2, 3)
    with pytest.raises(InputError, match="shards 1, 3 of 3 are missing"):
        merge_job(run.job)
    with pytest.raises(InputError, match=r"is not a job; it has no manifest\.json"):
        merge_job(tmp_path)


def test_merge_with_a_changed_scene(scene: Path, tmp_path: Path) -> None:
    run = Scenario(scene, tmp_path / "run")
    run.part(1, 1)
    os.utime(scene, (1, 1))
    with pytest.raises(ConfigError, match=r"scene\.mtime was"):
        merge_job(run.job)


def test_merge_of_a_foreign_job_replaces_no_file_elsewhere(scene: Path, tmp_path: Path) -> None:
    run, thesis = Scenario(scene, tmp_path / "run"), tmp_path / "elsewhere" / "thesis.tif"
    thesis.parent.mkdir()
    thesis.write_text("irreplaceable")
    run.part(1, 1)
    path = run.job / "manifest.json"
    path.write_text(path.read_text().replace(str(run.folder / "m.tif"), str(thesis)))
    key = hashlib.sha256(path.read_bytes()).hexdigest()
    for marker in run.job.glob("shard-*/done.json"):
        marker.write_text(json.dumps({**json.loads(marker.read_text()), "job": key}))
    (run.job / "merging").write_text("{}")
    with pytest.raises(OutputError, match=r"thesis\.tif: exists already, .*--overwrite"):
        merge_job(run.job)
    (run.folder / "m.tif").symlink_to(thesis)
    path.write_text(path.read_text().replace(str(thesis), str(run.folder / "m.tif")))
    key = hashlib.sha256(path.read_bytes()).hexdigest()
    for marker in run.job.glob("shard-*/done.json"):
        marker.write_text(json.dumps({**json.loads(marker.read_text()), "job": key}))
    with pytest.raises(OutputError, match=r"m\.tif: exists already, .*--overwrite"):
        merge_job(run.job)
    assert thesis.read_text() == "irreplaceable"


def test_merge_of_a_job_that_was_moved(scene: Path, tmp_path: Path) -> None:
    run = Scenario(scene, tmp_path / "run")
    run.part(1, 1)
    moved = run.job.rename(tmp_path / "o.gpkg.job")
    with pytest.raises(InputError, match=r"this job belongs beside .*run/o\.gpkg; move it back"):
        merge_job(moved)
    assert not (run.folder / "o.gpkg").exists()


@pytest.mark.parametrize("keeps_time", [False, True])
@pytest.mark.parametrize("is_virtual", [False, True])
def test_scene_changes_while_it_is_segmented(
    make_blobs: MakeScene, tmp_path: Path, keeps_time: bool, is_virtual: bool
) -> None:
    path = scene = make_blobs(1300, 130, compress=None)
    other = make_blobs(1300, 130, content=blobs(period=31), compress=None)
    if is_virtual:
        path = tmp_path / "scene.vrt"
        rasterio.shutil.copy(scene, path, driver="VRT")
    run, stat = Scenario(path, tmp_path / "run"), scene.stat()

    def replace_scene() -> bool:
        if (run.job / "shard-00000").exists():
            scene.write_bytes(other.read_bytes())
            if keeps_time:
                os.utime(scene, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        return False

    with pytest.raises(InputError, match="changed while it was segmented, so its results"):
        run.run(stop=replace_scene)
    assert run.file_names() == []
    assert run.run().n_objects > 0


def test_scene_changes_between_two_runs_but_keeps_its_time(
    make_blobs: MakeScene, scene: Path, tmp_path: Path
) -> None:
    run, stat = Scenario(scene, tmp_path / "run"), scene.stat()
    stop_run(run)
    scene.write_bytes(make_blobs(1300, 130, content=blobs(period=31)).read_bytes())
    os.utime(scene, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(ConfigError, match="scene_pixels was"):
        run.run("resume")


def test_run_uses_shards_of_parts(scene: Path, tmp_path: Path) -> None:
    reference, run = Scenario(scene, tmp_path / "reference"), Scenario(scene, tmp_path / "run")
    reference.run()
    run.part(2, 3)
    run.run("resume")
    assert is_same(run.result(), reference.result())


def test_job_of_another_process(scene: Path, tmp_path: Path) -> None:
    run = Scenario(scene, tmp_path / "run")
    stop_run(run)
    (run.job / "lock-00001-00002.json").write_text('{"pid": 1, "host": "node-17"}')
    with pytest.raises(OutputError, match="process 1 on node-17 works on this job"):
        run.run("resume")
    with pytest.raises(OutputError, match="process 1 on node-17"):
        run.run("restart")
    assert run.part(1, 3).shards == (1, 1)


def test_shards_of_another_manifest_do_not_count(scene: Path, tmp_path: Path) -> None:
    run = Scenario(scene, tmp_path / "run")
    stop_run(run, 2)
    marker = run.job / "shard-00001" / "done.json"
    marker.write_text(marker.read_text().replace('"job": "', '"job": "0'))
    assert [shard.index for shard in Job.open(run.job).missing_shards()] == [1, 2]


# --- full disk


def test_completed_shards_survive_a_full_disk(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference, run = Scenario(scene, tmp_path / "reference"), Scenario(scene, tmp_path / "run")
    reference.run()
    savez, left = np.savez, 1

    def fail_later(*arguments: Any, **named: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        savez(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", fail_later)
        with pytest.raises(OutputError) as raised:
            run.run()
    assert "No space left on device" in str(raised.value)
    assert "1 of 3 shards are saved in" in str(raised.value)
    assert "--resume" in str(raised.value)
    run.run("resume")
    assert is_same(run.result(), reference.result())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 500 kB. Skips the test if it cannot be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=500k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False)
    except OSError:
        pytest.skip("no mount")
    if done.returncode:
        pytest.skip("mounting is not allowed")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_small_disk(
    scene: Path, tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference, run = Scenario(scene, tmp_path / "reference"), Scenario(scene, small_disk)
    reference.run(keep_job=True)
    first = reference.job / "shard-00000"
    n_bytes = sum(-(-path.stat().st_size // 4096) * 4096 for path in first.iterdir())
    reference.run("resume")
    with pytest.raises(OutputError, match=r"MiB are needed, [\d.]+ \w+ are free; free some space"):
        run.run()
    monkeypatch.setattr(Outputs, "check_space", lambda *_, **__: None)
    free = shutil.disk_usage(small_disk).free
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"0" * (free - n_bytes * 3 // 2 - 8 * 4096))
    with pytest.raises(OutputError, match=r"[12] of 3 shards are saved in .*--resume"):
        run.run()
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    run.run("resume")
    assert is_same(run.result(), reference.result())


# --- options that do not change the result


@pytest.mark.parametrize("rows_per_shard", [512, 1024, 4096])
@pytest.mark.parametrize("batch_size", [1, 7])
def test_result_does_not_depend_on_shards_and_batches(
    scene: Path, tmp_path: Path, rows_per_shard: int, batch_size: int
) -> None:
    reference, run = Scenario(scene, tmp_path / "reference"), Scenario(scene, tmp_path / "run")
    reference.run()
    run.run(options=replace(OPTIONS, rows_per_shard=rows_per_shard, batch_size=batch_size))
    assert is_same(run.result(), reference.result())


def test_run_options_are_checked() -> None:
    with pytest.raises(ConfigError, match="workers must be at least 1"):
        RunOptions(workers=0)
    with pytest.raises(ConfigError, match="give one of them"):
        RunOptions(workers=2, scheduler="tcp://host:1")
