"""Shards of a run: read, predict, blend, and leave the rasters and the objects of each in a folder.

A shard is computed from the scene and the plan alone, so shards can run one after the other, on
several machines, or again after a crash, and give the same pixels. Shards that follow each other
are computed in one pass, so that no row of windows is computed twice. All expressions are looked
for in that one pass; what is found of each is kept apart from then on, as if it were the only one.
"""

import functools
import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.errors import RrsisError
from rrsis_geo.geo.blend import BandMosaic
from rrsis_geo.geo.masks import Kind
from rrsis_geo.geo.resample import RowResampler
from rrsis_geo.geo.rows import ValidRows, WindowRow, read_window_rows
from rrsis_geo.geo.scene import Scene
from rrsis_geo.geo.windows import Shard
from rrsis_geo.pipeline.failures import Failures
from rrsis_geo.pipeline.plan import Plan, SharingPredictor, WindowOutput, WindowPredictor
from rrsis_geo.pipeline.read_ahead import read_ahead
from rrsis_geo.pipeline.shard_files import FinishedShard, ShardFiles, ShardSink, ShardStats

logger = logging.getLogger(__name__)

_PREDICTOR_ERRORS = (RrsisError, RuntimeError)  # the latter is how torch says all that goes wrong


def run_shards(
    scene: Scene,
    plan: Plan,
    shards: Sequence[Shard],
    predictor: WindowPredictor,
    words: Sequence[Any],
    place: Callable[[Shard], ShardFiles],
    *,
    rasters: tuple[Kind, ...] = (),
    batch_size: int = 4,
    on_window_row: Callable[[], None] = lambda: None,
) -> Generator[FinishedShard, None, None]:
    """Compute shards that follow each other, in one pass over the scene.

    Args:
        scene: the part of the scene that the plan was made for.
        plan: of the run.
        shards: of the plan, at least one, without a gap.
        predictor: sees the windows.
        words: of each expression of the plan, as the predictor encoded them.
        place: gives an empty folder for the files of a shard, when it is begun.
        rasters: which of them are wanted.
        batch_size: windows given to the predictor at once, at most, whatever the number of
            expressions.
        on_window_row: called after each that is counted for these shards.

    Yields:
        Each shard as soon as its files are whole. Close the iterator to end before the last.

    Raises:
        OutputError: the files cannot be written.
        Exception: of the scene or the predictor, where whole rows of windows fail.
    """
    first, last = shards[0], shards[-1]
    counted_from = plan.own_window_rows(first).start
    window_rows = read_window_rows(
        scene,
        plan.stretch,
        plan.grid,
        first.window_row_start,
        last.window_row_stop,
        model=plan.model_px,
    )
    place = functools.cache(place)  # one folder for all expressions
    with ExitStack() as stack:
        tracks = [
            stack.enter_context(_Track(plan, number, each, shards, place, rasters))
            for number, each in enumerate(words)
        ]
        for row in stack.enter_context(read_ahead(window_rows)):
            _predict(row, predictor, tracks, batch_size)
            is_counted = row.row_i >= counted_from
            finished = [track.finish_row(row, is_counted=is_counted) for track in tracks]
            if is_counted:
                on_window_row()
            for parts in zip(*finished, strict=True):  # they all end a shard after the same row
                shard = parts[0][0]
                yield FinishedShard(shard, place(shard), tuple(stats for _, stats in parts))


def _predict(
    row: WindowRow, predictor: WindowPredictor, tracks: Sequence["_Track"], batch_size: int
) -> None:
    """Look at each window of a row that holds a valid pixel, in order.

    A window that fails in a batch is tried once more by itself, for each expression by itself.
    """
    wanted = row.wanted_cols()
    readable: list[int] = []
    for track in tracks:
        readable = track.begin_row(row, wanted)
    for batch in np.array_split(readable, -(-len(readable) // batch_size) or 1):
        cols = batch.tolist()
        if not cols:
            continue
        images = np.stack([row.image(col_j) for col_j in cols])
        started = time.perf_counter()
        try:
            outputs = _said(predictor, images, [track.words for track in tracks])
        except _PREDICTOR_ERRORS as err:
            logger.info("%s; trying again, one window at a time", err)
        else:
            seconds = (time.perf_counter() - started) / len(tracks)
            for track, output in zip(tracks, outputs, strict=True):
                track.take(row.row_i, cols, output, seconds)
            continue
        for track in tracks:
            for image, col_j in zip(images, cols, strict=True):
                track.try_again(row.row_i, col_j, image, predictor)
    for track in tracks:
        track.failures.finish_row(len(wanted))


def _said(
    predictor: WindowPredictor, images: NDArray[np.uint8], words: Sequence[Any]
) -> Sequence[WindowOutput]:
    """What is said of windows for each expression."""
    if len(words) > 1 and isinstance(predictor, SharingPredictor):
        return predictor.logits_all(images, words)
    return [predictor.logits(images, each) for each in words]


class _Track:
    """What is found of one expression, from the logits of windows to the files of shards.

    Attributes:
        words: of the expression.
        failures: windows that have no result for it.
    """

    def __init__(
        self,
        plan: Plan,
        number: int,
        words: Any,
        shards: Sequence[Shard],
        place: Callable[[Shard], ShardFiles],
        rasters: tuple[Kind, ...],
    ) -> None:
        self.words = words
        self.failures = Failures(plan)
        self._mosaic = BandMosaic(plan.grid, shards[0].window_row_start, shards[-1].window_row_stop)
        self._cutter = _Cutter(plan, number, shards, place, rasters, self.failures)
        self._stats = ShardStats()  # of the row in hand

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._cutter.abandon()

    def begin_row(self, row: WindowRow, wanted: Sequence[int]) -> list[int]:
        """Which of the wanted windows of a row can be looked at; the others have failed."""
        self._stats = ShardStats(skipped=row.grid.n_cols - len(wanted))
        return self.failures.take_unreadable(row, wanted)

    def take(self, row_i: int, cols: Sequence[int], output: WindowOutput, seconds: float) -> None:
        """Blend what was said of the windows in these columns."""
        stats = self._stats
        stats.network_seconds += seconds
        stats.windows += len(cols)
        told = [None] * len(cols) if output.presence is None else output.presence.tolist()
        highest = output.logits.max(axis=(1, 2)).tolist()
        for i, col_j in enumerate(cols):
            stats.saw_presence(told[i])
            stats.scores.append((row_i, col_j, told[i], highest[i]))
            self._mosaic.add(row_i, col_j, output.logits[i])

    def try_again(
        self, row_i: int, col_j: int, image: NDArray[np.uint8], predictor: WindowPredictor
    ) -> None:
        """Look at a window alone; if that fails, it has."""
        started = time.perf_counter()
        try:
            output = predictor.logits(image[None], self.words)
        except _PREDICTOR_ERRORS as err:
            self.failures.add(row_i, col_j, err)
        else:
            self.take(row_i, [col_j], output, time.perf_counter() - started)

    def finish_row(self, row: WindowRow, *, is_counted: bool) -> Iterator[tuple[Shard, ShardStats]]:
        """Write the pixels that no later row of windows touches; the shards that end with them.

        Args:
            row: whose windows have all been taken.
            is_counted: for these shards; False where another run of shards counts it.
        """
        if is_counted:
            self._cutter.stats.add(self._stats)
        yield from self._cutter.push(*self._mosaic.finish_row(row.row_i), row.source_valid)


class _Cutter:
    """Takes finished rows of logits on the model grid; cuts them, on the scene's, into shards.

    Attributes:
        stats: of the shard in hand.
    """

    def __init__(
        self,
        plan: Plan,
        number: int,
        shards: Sequence[Shard],
        place: Callable[[Shard], ShardFiles],
        rasters: tuple[Kind, ...],
        failures: Failures,
    ) -> None:
        scene, grid = plan.scene, plan.grid
        self._plan = plan
        self._number = number
        self._waiting = list(shards)
        self._place = place
        self._rasters = rasters
        self._failures = failures
        self._resampler = RowResampler(
            (grid.height, grid.width),
            scene.shape,
            dst_rows=(shards[0].row_start, shards[-1].row_stop),
        )
        self._valid = ValidRows(scene.width)
        self._sink: ShardSink | None = None
        self.stats = ShardStats()

    def abandon(self) -> None:
        """Let go of a shard that will not be finished."""
        if self._sink is not None:
            self._sink.abandon()

    def push(
        self, row_start: int, logits: NDArray[np.float32], valid: ValidRows
    ) -> Iterator[tuple[Shard, ShardStats]]:
        """Take the next rows, float32 [n, W] on the model grid, and the validity read for them."""
        self._valid.extend(valid)
        for start, rows in self._resampler.push(row_start, logits):
            while len(rows):
                shard = self._waiting[0]
                n_rows = min(len(rows), shard.row_stop - start)
                self._write(shard, start, rows[:n_rows])
                start, rows = start + n_rows, rows[n_rows:]
                if start == shard.row_stop:
                    yield self._finish(self._waiting.pop(0))

    def _write(self, shard: Shard, row_start: int, logits: NDArray[np.float32]) -> None:
        if self._sink is None:
            self._sink = ShardSink(
                self._plan, self._number, shard, self._place(shard), self._rasters
            )
        valid = self._valid.take(row_start, row_start + len(logits))
        self._failures.burn(row_start, valid)
        self._sink.write(row_start, logits, valid)

    def _finish(self, shard: Shard) -> tuple[Shard, ShardStats]:
        assert self._sink is not None
        sink, self._sink = self._sink, None
        try:
            sink.close()
        except BaseException:
            sink.abandon()
            raise
        stats, self.stats = self.stats, ShardStats()
        stats.failed = self._failures.of(shard)
        return shard, stats
