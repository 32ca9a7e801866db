"""Search a part of the scene for a sentence, with the windows of `segment`."""

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import shapely
from numpy import uint8
from numpy.typing import NDArray
from rasterio.windows import Window
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry

from rrsis_geo.explore.kept import KeptProbability
from rrsis_geo.explore.sentence import Sentence
from rrsis_geo.geo.grid.arrays import Array
from rrsis_geo.geo.grid.windows import BLOCK_PX, Shard
from rrsis_geo.geo.scene.scene import Area, Scene
from rrsis_geo.segment.jobs.compute import count_windows, split_consecutive
from rrsis_geo.segment.plan.plan import Plan, PreparedRun, make_plan
from rrsis_geo.segment.plan.predictor import (
    DeviceOutput,
    DevicePredictor,
    EncodedPredictor,
    WindowOutput,
    WindowPredictor,
)
from rrsis_geo.segment.shards.failures import format_window_count, merge_failed
from rrsis_geo.segment.shards.shard import run_shards
from rrsis_geo.segment.shards.shard_files import FinishedShard, ShardFiles


class SearchStopped(BaseException):
    """A search was stopped. No `Exception`, since failed windows would be tried again."""


class Watcher(NamedTuple):
    """What a search reports to, and asks.

    Attributes:
        progress: called with the number of windows that are done, and their total.
        area_added: called after each area that the sentence gets.
        stop: polled before each batch of windows. Return True to stop.
    """

    progress: Callable[[int, int], None]
    area_added: Callable[[], None]
    stop: Callable[[], bool]


def missing_window(plan: Plan, view: BaseGeometry, searched: BaseGeometry) -> Window | None:
    """The part of the scene to search, so that all of a view is searched.

    It is moved outwards to whole steps of the windows of the scene. Where the model sees the pixels
    of the scene, its windows are those of a run on the whole scene.

    Args:
        plan: of the scene.
        view: rectangle, in pixels of the scene.
        searched: what was searched before, in pixels of the scene.

    Returns:
        The part, in pixels of the scene; None if all of the view was searched, or none of it is in
        the scene.
    """
    height, width = plan.scene.shape
    missing = shapely.intersection(view, shapely.box(0, 0, width, height)).difference(searched)
    if missing.area <= 0:
        return None
    left, top, right, bottom = missing.bounds
    step_row = plan.grid.stride_px / plan.model_px.scale_row
    step_col = plan.grid.stride_px / plan.model_px.scale_col
    row_start, row_stop = _whole_steps(top, bottom, step_row, height)
    col_start, col_stop = _whole_steps(left, right, step_col, width)
    return Window(col_start, row_start, col_stop - col_start, row_stop - row_start)


def _whole_steps(start: float, stop: float, step: float, length: int) -> tuple[int, int]:
    first, last = math.floor(start / step), math.ceil(stop / step)
    return round(first * step), min(round(last * step), length)


def crop(part: Scene, window: Window) -> Scene:
    """A window of a part of a scene, within its area of interest."""
    info, polygon = part.info, part.info.aoi
    if polygon is not None:
        polygon = translate(polygon, info.col_off, info.row_off)
    row, col = info.row_off + window.row_off, info.col_off + window.col_off
    return part.crop(Area(Window(col, row, window.width, window.height), polygon))


def search(
    part: Scene, sentence: Sentence, window: Window, predictor: WindowPredictor, watcher: Watcher
) -> list[str]:
    """Predict a window of a scene and keep the probabilities of all phrases of a sentence.

    Rows of the window that were searched before are left out.

    Args:
        part: the scene, or the part of it that is explored.
        sentence: with its plan; it gets the probabilities and the areas, one after another.
        window: to search, in pixels of the part.
        predictor: the model.
        watcher: of the search.

    Returns:
        Warnings.

    Raises:
        SearchStopped: `watcher.stop` returned True. What was completed is kept.
        RrsisError: a part cannot be read, predicted or kept.
    """
    plan = sentence.known_plan()
    cropped = crop(part, window)
    options = replace(plan.options, rows_per_shard=BLOCK_PX)
    own = make_plan(cropped.info, plan.expressions, plan.model, options, plan.stretch)
    shards = [each for each in own.shards if not sentence.searched.covers(_area_of(each, window))]
    counter = _Counter(watcher, count_windows(own, shards))
    counted = _CountingPredictor(predictor, counter)
    encoded = EncodedPredictor.encode(counted, own.phrases, batch_size=options.batch_size)
    failed = []
    for run in split_consecutive(shards):
        prepared = PreparedRun(cropped, own, tuple(run))
        finished_shards = run_shards(
            prepared,
            encoded,
            lambda shard: _new_files(sentence.folder, shard),
            rasters=("probability",),
            on_window_row=lambda: counter.end_row(own.grid.n_cols),
        )
        with closing(finished_shards):
            for finished in finished_shards:
                _keep(finished, own.phrases, sentence.rasters, window)
                sentence.add_area(_area_of(finished.shard, window))
                watcher.area_added()
                failed += [each for stats in finished.stats for each in stats.failed]
    windows = merge_failed(failed)
    if not windows:
        return []
    return [f"{format_window_count(windows)} failed and have no data: {windows[0].reason}"]


def _area_of(shard: Shard, window: Window) -> BaseGeometry:
    """The pixels of a shard of a window, as a rectangle in pixels of the scene."""
    left, top = window.col_off, window.row_off
    right, bottom = left + window.width, top + shard.row_stop
    area: BaseGeometry = shapely.box(left, top + shard.row_start, right, bottom)
    return area


def _new_files(folder: Path, shard: Shard) -> ShardFiles:
    place = folder / f"shard-{shard.index}"
    shutil.rmtree(place, ignore_errors=True)  # of a search that was stopped
    place.mkdir()
    return ShardFiles(place)


def _keep(
    finished: FinishedShard,
    phrases: Sequence[str],
    rasters: Mapping[str, KeptProbability],
    window: Window,
) -> None:
    row_start = int(window.row_off) + finished.shard.row_start
    for number, phrase in enumerate(phrases):
        part = finished.files.raster(number, "probability")
        rasters[phrase].add(part, row_start, int(window.col_off))
    shutil.rmtree(finished.files.folder, ignore_errors=True)


class _Counter:
    """Counts windows, batch by batch; those that are skipped count at the end of their row."""

    def __init__(self, watcher: Watcher, total: int) -> None:
        self._watcher, self._total = watcher, total
        self._whole_rows = self._in_row = 0
        watcher.progress(0, total)

    def add(self, n_windows: int) -> None:
        self._in_row += n_windows
        self._watcher.progress(min(self._whole_rows + self._in_row, self._total), self._total)

    def end_row(self, n_windows: int) -> None:
        self._whole_rows, self._in_row = self._whole_rows + n_windows, 0
        self.add(0)

    def check(self) -> None:
        if self._watcher.stop():
            raise SearchStopped


class _CountingPredictor:
    """A predictor that counts its windows, and that can be stopped before each batch.

    Attributes:
        arrays: see `DevicePredictor`.
        default_batch: see `DevicePredictor`.
    """

    def __init__(self, predictor: WindowPredictor, counter: _Counter) -> None:
        self._predictor, self._counter = predictor, counter
        self.facts = predictor.facts
        self.encode = predictor.encode
        self.cut_words = predictor.cut_words
        on_device = predictor if isinstance(predictor, DevicePredictor) else None
        self.arrays = on_device.arrays if on_device else None
        self.default_batch = on_device.default_batch if on_device else None

    def predict_all(self, images: NDArray[uint8], words: Sequence[Any]) -> Sequence[WindowOutput]:
        self._counter.check()
        outputs = self._predictor.predict_all(images, words)
        self._counter.add(len(images))
        return outputs

    def predict_on_device(self, images: Array, words: Sequence[Any]) -> Sequence[DeviceOutput]:
        assert isinstance(self._predictor, DevicePredictor), "it has no arrays otherwise"
        self._counter.check()
        outputs = self._predictor.predict_on_device(images, words)
        self._counter.add(len(images))
        return outputs
