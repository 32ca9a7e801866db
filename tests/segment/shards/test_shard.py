"""Shards and the threads that compute them."""

import functools
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from predictor_stubs import RedPredictor, make_options, red_logits

from rrsis_geo.geo.grid.windows import Shard
from rrsis_geo.geo.objects.objects import Objects
from rrsis_geo.geo.objects.vectorize import merge_shards
from rrsis_geo.geo.scene.radiometry import measure_stretch
from rrsis_geo.geo.scene.scene import open_scene
from rrsis_geo.log_odds import sigmoid
from rrsis_geo.segment.plan.plan import PreparedRun, make_plan
from rrsis_geo.segment.plan.predictor import EncodedPredictor
from rrsis_geo.segment.shards import shard_writer
from rrsis_geo.segment.shards.shard import run_shards
from rrsis_geo.segment.shards.shard_files import ShardFiles, ShardStats, load_objects
from rrsis_geo.segment.shards.threads import read_ahead, run_in_background

MakeScene = Callable[..., Path]


def all_shards(
    path: Path,
    folder: Path,
    predictor: RedPredictor,
    *,
    batch_size: int = 4,
    apart: bool = False,
    **options: Any,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Objects, ShardStats]:
    """Mask, probability, objects and statistics of a scene, from its shards.

    The shards are computed in one pass or, with ``apart``, each in a pass of its own.
    """
    total = ShardStats()
    with open_scene(path) as scene:
        plan = make_plan(
            scene.info,
            ("red things",),
            predictor.facts,
            make_options(**{"overlap_px": 16, **options}),
            measure_stretch(scene),
        )
        folder.mkdir()

        def place(each: Shard) -> ShardFiles:
            (folder / str(each.index)).mkdir()
            return ShardFiles(folder / str(each.index))

        encoded = EncodedPredictor.encode(predictor, plan.expressions, batch_size=batch_size)
        for run in [[each] for each in plan.shards[::-1]] if apart else [plan.shards]:
            for finished in run_shards(
                PreparedRun(scene, plan, tuple(run)),
                encoded,
                place,
                rasters=("mask", "probability"),
            ):
                total.add(*finished.stats)
    files = [ShardFiles(folder / str(each.index)) for each in plan.shards]
    rasters = [
        np.concatenate([rasterio.open(file.raster(0, kind)).read(1) for file in files])
        for kind in ("mask", "probability")
    ]
    objects = Objects.concat(
        list(merge_shards(load_objects(part) for file in files for part in file.parts(0)))
    )
    return rasters[0], rasters[1], objects, total


def rgb_of(path: Path) -> NDArray[np.uint8]:
    with rasterio.open(path) as dataset:
        return dataset.read([1, 2, 3]).transpose(1, 2, 0)


def test_result_of_a_pixelwise_predictor(
    make_blobs: MakeScene, tmp_path: Path, red: RedPredictor
) -> None:
    path = make_blobs(200, 300)
    mask, probability, objects, stats = all_shards(path, tmp_path / "job", red)
    logits = red_logits(rgb_of(path))
    assert np.array_equal(mask, logits > 0)
    assert np.abs(probability * 0.004 - sigmoid(logits)).max() < 0.0021  # half a step, and rounding
    assert objects.n_pixels.sum() == (logits > 0).sum() > 0
    assert stats.windows == 5 * 7
    assert stats.skipped == 0
    assert stats.presence_max == pytest.approx(3.0)


@pytest.mark.parametrize("size", [(1100, 90), (513, 511), (1100, 1)])
@pytest.mark.parametrize(
    "how", [{"batch_size": 1}, {"rows_per_shard": 512}, {"rows_per_shard": 512, "apart": True}]
)
def test_result_does_not_depend_on_shards_and_batches(
    make_blobs: MakeScene, tmp_path: Path, size: tuple[int, int], how: dict[str, Any]
) -> None:
    path = make_blobs(*size)
    whole = all_shards(
        path, tmp_path / "whole", RedPredictor(position_dependent=True), batch_size=7
    )
    parts = all_shards(path, tmp_path / "parts", RedPredictor(position_dependent=True), **how)
    assert np.array_equal(whole[0], parts[0])
    assert np.array_equal(whole[1], parts[1])
    for name, array in whole[2].to_arrays().items():
        assert np.array_equal(array, parts[2].to_arrays()[name]), name
    assert (whole[3].windows, whole[3].skipped) == (parts[3].windows, parts[3].skipped)


@pytest.mark.parametrize("gsd_m", [0.3, 0.8, 1.7])
@pytest.mark.parametrize("apart", [False, True])
def test_resampled_shards_join_without_a_seam(
    make_blobs: MakeScene, tmp_path: Path, gsd_m: float, apart: bool
) -> None:
    path = make_blobs(1100, 90)
    whole = all_shards(path, tmp_path / "whole", RedPredictor(position_dependent=True), gsd_m=gsd_m)
    parts = all_shards(
        path,
        tmp_path / "parts",
        RedPredictor(position_dependent=True),
        gsd_m=gsd_m,
        rows_per_shard=512,
        apart=apart,
    )
    assert whole[3].windows == parts[3].windows
    assert whole[0].shape == (1100, 90)
    assert np.array_equal(whole[1], parts[1])
    for name, array in whole[2].to_arrays().items():
        assert np.array_equal(array, parts[2].to_arrays()[name]), name


def test_result_does_not_depend_on_how_often_objects_are_saved(
    make_blobs: MakeScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_blobs(600, 200)
    whole = all_shards(path, tmp_path / "whole", RedPredictor(position_dependent=True))
    monkeypatch.setattr(shard_writer, "MAX_OBJECTS", 5)
    parts = all_shards(
        path, tmp_path / "parts", RedPredictor(position_dependent=True), rows_per_shard=512
    )
    assert len(list((tmp_path / "whole").glob("*/*.npz"))) == 1
    assert len(list((tmp_path / "parts").glob("*/*.npz"))) > 4
    for name, array in whole[2].to_arrays().items():
        assert np.array_equal(array, parts[2].to_arrays()[name]), name


def test_batches_do_not_exceed_the_batch_size(
    make_blobs: MakeScene, tmp_path: Path, red: RedPredictor
) -> None:
    *_, stats = all_shards(make_blobs(100, 300), tmp_path / "job", red, batch_size=3)
    assert max(red.batches) <= 3
    assert sum(red.batches) == stats.windows
    assert set(red.batches) == {2, 3}  # seven windows in three batches, none of them of one


def test_windows_without_data_are_skipped(
    make_blobs: MakeScene, tmp_path: Path, red: RedPredictor
) -> None:
    invalid = np.zeros((200, 300), bool)
    invalid[:, 150:] = True
    path = make_blobs(200, 300, nodata=0, invalid=invalid)
    mask, probability, objects, stats = all_shards(path, tmp_path / "job", red)
    assert (mask[invalid] == 255).all()
    assert (probability[invalid] == 255).all()
    assert (mask[~invalid] <= 1).all()
    assert np.array_equal(mask[~invalid], red_logits(rgb_of(path))[~invalid] > 0)
    assert objects.n_pixels.sum() == (mask == 1).sum() > 0
    assert stats.skipped == 5 * 3
    assert stats.windows == sum(red.batches) == 5 * 4


def test_read_ahead_keeps_the_order_and_uses_a_thread() -> None:
    threads = set()

    def items() -> Iterator[int]:
        for number in range(20):
            threads.add(threading.current_thread())
            yield number

    with read_ahead(items()) as read:
        assert list(read) == list(range(20))
    assert threads.isdisjoint({threading.current_thread()})


def test_read_ahead_stays_within_its_depth() -> None:
    started: list[int] = []

    def items() -> Iterator[int]:
        for number in range(20):
            started.append(number)
            yield number

    with read_ahead(items(), depth=2) as read:
        for number in read:
            time.sleep(0.01)
            assert len(started) <= number + 4  # one in use, two in the queue, one blocked


def test_read_ahead_raises_errors_of_the_thread() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("truncated")

    with read_ahead(items()) as read:
        assert next(read) == 1
        with pytest.raises(ValueError, match="truncated"):
            next(read)


def test_read_ahead_ends_its_thread_when_the_work_fails() -> None:
    def items() -> Iterator[int]:
        while True:
            yield 1

    def use() -> None:
        with read_ahead(items()) as read:
            next(read)
            raise RuntimeError("network")

    with pytest.raises(RuntimeError, match="network"):
        use()
    assert not [thread for thread in threading.enumerate() if thread.name == "read-ahead"]


def test_run_in_background_keeps_the_order_and_uses_a_thread() -> None:
    here = threading.current_thread()
    started: list[int] = []
    done: list[int] = []

    def task(number: int) -> int:
        assert threading.current_thread() is not here
        time.sleep(0.002)
        done.append(number)
        return number

    def tasks() -> Iterator[Callable[[], int]]:
        for number in range(20):
            assert threading.current_thread() is here
            assert len(started) - len(done) <= 3  # one running, two waiting
            started.append(number)
            yield functools.partial(task, number)

    assert list(run_in_background(tasks(), depth=2)) == list(range(20)) == done


def test_run_in_background_raises_in_order_and_starts_no_more_tasks() -> None:
    done: list[int] = []

    def task(number: int) -> int:
        if number == 3:
            raise OSError("disk full")
        done.append(number)
        return number

    results = run_in_background((functools.partial(task, number) for number in range(9)), depth=1)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="disk full"):
        next(results)
    assert done == [0, 1, 2]
    assert not [one for one in threading.enumerate() if one.name.startswith("run-in-background")]


def test_run_in_background_yields_results_before_an_error_of_the_iterator() -> None:
    def tasks() -> Iterator[Callable[[], int]]:
        yield from (functools.partial(int, number) for number in range(3))
        raise ValueError("truncated")

    results = run_in_background(tasks(), depth=5)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="truncated"):
        next(results)


def test_closing_run_in_background_waits_for_the_task() -> None:
    started, ended = [], []

    def task() -> None:
        started.append(1)
        time.sleep(0.05)
        ended.append(1)

    results = run_in_background(itertools.repeat(task), depth=2)
    next(results)
    results.close()
    assert len(started) == len(ended)
