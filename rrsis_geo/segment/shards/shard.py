"""Shards of a run: read, predict, blend, and leave the rasters and the objects of each in a folder.

A shard is computed from the scene and the plan alone, so shards can run one after the other, on
several machines, or again after a crash, and give the same pixels. Shards that follow each other
are computed in one pass, so that no row of windows is computed twice. All expressions are looked
for in that one pass; what is found of each is kept apart from then on, as if it were the only one.

Three threads share the work: one reads the rows that come, the caller's looks at windows, and one
blends and writes what was said of those before.
"""

import functools
import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.errors import RrsisError
from rrsis_geo.geo.grid.blend import BandMosaic
from rrsis_geo.geo.grid.rasters import Kind
from rrsis_geo.geo.grid.resample import RowResampler
from rrsis_geo.geo.grid.rows import read_window_rows
from rrsis_geo.geo.grid.source_rows import ValidRows
from rrsis_geo.geo.grid.windows import Shard
from rrsis_geo.geo.scene.scene import Scene
from rrsis_geo.segment.plan.plan import Plan
from rrsis_geo.segment.plan.predictor import WindowOutput, WindowPredictor
from rrsis_geo.segment.shards.failures import Failures, Patience, unreadable
from rrsis_geo.segment.shards.shard_files import FinishedShard, ShardFiles, ShardSink, ShardStats
from rrsis_geo.segment.shards.threads import read_ahead, run_in_background

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
            stack.enter_context(_Track(plan, number, shards, place, rasters))
            for number in range(len(words))
        ]
        rows = stack.enter_context(read_ahead(window_rows))
        patience = [Patience(plan) for _ in words]

        def tasks() -> Iterator[Callable[[], list[FinishedShard]]]:
            for row in rows:
                wanted = row.valid_cols()
                lost = unreadable(plan, row, wanted)
                errors: list[list[Exception]] = [list(lost.values()) for _ in words]
                yield partial(_begin, tracks, row.row_i, wanted, lost)
                readable = [col_j for col_j in wanted if col_j not in lost]
                for cols in _batches(readable, batch_size):
                    images = np.stack([row.image(col_j) for col_j in cols])
                    told = _look(predictor, images, cols, words)
                    for known, parts in zip(errors, told, strict=True):
                        known += [p.output for p in parts if isinstance(p.output, Exception)]
                    yield partial(_take, tracks, row.row_i, told)
                for each, known in zip(patience, errors, strict=True):
                    each.finish_row(len(wanted), known)
                is_counted = row.row_i >= counted_from
                valid = row.source_valid
                yield partial(_finish, tracks, row.row_i, valid, place, is_counted=is_counted)
                if is_counted:
                    on_window_row()

        for finished in stack.enter_context(closing(run_in_background(tasks()))):
            yield from finished


def _batches(cols: Sequence[int], batch_size: int) -> list[list[int]]:
    """Columns in runs of about equal length, none longer than ``batch_size``."""
    parts = np.array_split(cols, -(-len(cols) // batch_size) or 1)
    return [part.tolist() for part in parts if len(part)]


class _Told(NamedTuple):
    """What is said of some windows for one expression, or why nothing is of a single one."""

    cols: Sequence[int]
    output: WindowOutput | Exception
    seconds: float


def _look(
    predictor: WindowPredictor, images: NDArray[np.uint8], cols: Sequence[int], words: Sequence[Any]
) -> list[list[_Told]]:
    """What is said of windows for each expression.

    A window that fails in a batch is tried once more by itself, for each expression by itself.
    """
    started = time.perf_counter()
    try:
        outputs = predictor.predict_all(images, words)
    except _PREDICTOR_ERRORS as err:
        logger.info("%s; trying again, one window at a time", err)
    else:
        seconds = (time.perf_counter() - started) / len(words)
        return [[_Told(cols, output, seconds)] for output in outputs]
    return [
        [
            _look_again(predictor, image, col_j, each)
            for image, col_j in zip(images, cols, strict=True)
        ]
        for each in words
    ]


def _look_again(
    predictor: WindowPredictor, image: NDArray[np.uint8], col_j: int, words: Any
) -> _Told:
    """Look at a window alone; if that fails, it has."""
    started = time.perf_counter()
    output: WindowOutput | Exception
    try:
        output = predictor.predict_all(image[None], [words])[0]
    except _PREDICTOR_ERRORS as err:
        output = err
    return _Told([col_j], output, time.perf_counter() - started)


def _begin(
    tracks: Sequence["_Track"], row_i: int, wanted: Sequence[int], lost: Mapping[int, Exception]
) -> list[FinishedShard]:
    """A row of windows begins, of which those in the ``wanted`` columns hold a valid pixel."""
    for track in tracks:
        track.begin_row(row_i, wanted, lost)
    return []


def _take(
    tracks: Sequence["_Track"], row_i: int, told: Sequence[Sequence[_Told]]
) -> list[FinishedShard]:
    """Blend what was said of some windows for each expression."""
    for track, parts in zip(tracks, told, strict=True):
        for part in parts:
            track.take(row_i, part)
    return []


def _finish(
    tracks: Sequence["_Track"],
    row_i: int,
    valid: ValidRows,
    place: Callable[[Shard], ShardFiles],
    *,
    is_counted: bool,
) -> list[FinishedShard]:
    """Write the pixels that no later row of windows touches -> the shards that end with them."""
    finished = [track.finish_row(row_i, valid, is_counted=is_counted) for track in tracks]
    return [  # they all end a shard after the same row
        FinishedShard(parts[0][0], place(parts[0][0]), tuple(stats for _, stats in parts))
        for parts in zip(*finished, strict=True)
    ]


class _Track:
    """What is found of one expression, from the logits of windows to the files of shards."""

    def __init__(
        self,
        plan: Plan,
        number: int,
        shards: Sequence[Shard],
        place: Callable[[Shard], ShardFiles],
        rasters: tuple[Kind, ...],
    ) -> None:
        self._n_cols = plan.grid.n_cols
        self._failures = Failures(plan)
        self._mosaic = BandMosaic(plan.grid, shards[0].window_row_start, shards[-1].window_row_stop)
        self._cutter = _Cutter(plan, number, shards, place, rasters, self._failures)
        self._stats = ShardStats()  # of the row in hand

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._cutter.abandon()

    def begin_row(self, row_i: int, wanted: Sequence[int], lost: Mapping[int, Exception]) -> None:
        """Begin a row of windows; those in the ``lost`` columns have failed."""
        self._stats = ShardStats(skipped=self._n_cols - len(wanted))
        for col_j, error in lost.items():
            self._failures.add(row_i, col_j, error)

    def take(self, row_i: int, told: _Told) -> None:
        """Blend what was said of windows, or note that they failed."""
        if isinstance(told.output, Exception):
            for col_j in told.cols:
                self._failures.add(row_i, col_j, told.output)
            return
        stats, output = self._stats, told.output
        stats.network_seconds += told.seconds
        stats.windows += len(told.cols)
        presence = [None] * len(told.cols) if output.presence is None else output.presence.tolist()
        highest = output.logits.max(axis=(1, 2)).tolist()
        for i, col_j in enumerate(told.cols):
            stats.saw_presence(presence[i])
            stats.scores.append((row_i, col_j, presence[i], highest[i]))
            self._mosaic.add(row_i, col_j, output.logits[i])

    def finish_row(
        self, row_i: int, valid: ValidRows, *, is_counted: bool
    ) -> list[tuple[Shard, ShardStats]]:
        """Write the pixels that no later row of windows touches; the shards that end with them.

        Args:
            row_i: of the row whose windows have all been taken.
            valid: which pixels of the scene hold data, as far as was read for this row.
            is_counted: for these shards; False where another run of shards counts it.
        """
        if is_counted:
            self._cutter.stats.add(self._stats)
        return list(self._cutter.push(*self._mosaic.finish_row(row_i), valid))


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
