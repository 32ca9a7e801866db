"""Compute consecutive shards in one pass over the scene.

A shard is computed from the scene and the plan alone. Shards can therefore be computed one after
the other, on several machines, or again after a crash, with the same pixels as result. Consecutive
shards are computed in one pass, so that no row of windows is computed twice. All expressions share
the pass; the result of each is the same as in a run of its own.

Three threads share the work: one reads rows of windows ahead, the thread of the caller predicts,
and one blends and writes.
"""

import functools
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial

import numpy as np

from rrsis_geo.geo.grid.rasters import Kind
from rrsis_geo.geo.grid.rows import WindowRow, read_window_rows
from rrsis_geo.geo.grid.source_rows import ValidRows
from rrsis_geo.geo.grid.windows import Shard
from rrsis_geo.segment.plan.plan import PreparedRun
from rrsis_geo.segment.plan.predictor import EncodedPredictor
from rrsis_geo.segment.shards.failures import FailureLimit, find_unreadable
from rrsis_geo.segment.shards.predict import WindowResult, predict_windows, split_batches
from rrsis_geo.segment.shards.shard_files import FinishedShard, ShardFiles
from rrsis_geo.segment.shards.threads import read_ahead, run_in_background
from rrsis_geo.segment.shards.track import ExpressionTrack

Task = Callable[[], list[FinishedShard]]
"""Work for the background thread. Returns the shards that are complete after it."""


def run_shards(
    prepared: PreparedRun,
    predictor: EncodedPredictor,
    new_files: Callable[[Shard], ShardFiles],
    *,
    rasters: tuple[Kind, ...] = (),
    on_window_row: Callable[[], None] = lambda: None,
) -> Generator[FinishedShard, None, None]:
    """Compute consecutive shards in one pass over the scene.

    Args:
        prepared: the scene, its plan and the shards: at least one, without a gap.
        predictor: with the expressions of the plan.
        new_files: creates an empty folder for the files of a shard.
        rasters: rasters to write.
        on_window_row: called after each row of windows that is counted for these shards.

    Yields:
        Each shard as soon as its files are complete. Close the iterator to end early.

    Raises:
        OutputError: the files cannot be written.
        RrsisError: an error of the scene or the predictor, if whole rows of windows fail.
    """
    plan, shards = prepared.plan, prepared.shards
    new_files = functools.cache(new_files)  # one folder for all expressions
    window_rows = read_window_rows(
        prepared.scene,
        plan.stretch,
        plan.grid,
        shards[0].window_row_start,
        shards[-1].window_row_stop,
        model=plan.model_px,
    )
    with ExitStack() as stack:
        tracks = [
            stack.enter_context(ExpressionTrack(plan, expression_i, shards, new_files, rasters))
            for expression_i in range(len(predictor.words))
        ]
        rows = stack.enter_context(read_ahead(window_rows))
        scene_pass = _ScenePass(prepared, predictor, new_files, tracks)
        tasks = scene_pass.make_tasks(rows, on_window_row)
        for finished in stack.enter_context(closing(run_in_background(tasks))):
            yield from finished


class _ScenePass:
    """Predicts rows of windows, and makes the tasks that blend and write them."""

    def __init__(
        self,
        prepared: PreparedRun,
        predictor: EncodedPredictor,
        new_files: Callable[[Shard], ShardFiles],
        tracks: Sequence[ExpressionTrack],
    ) -> None:
        self._plan = prepared.plan
        self._predictor = predictor
        self._new_files = new_files
        self._tracks = tracks
        self._limits = [FailureLimit(prepared.plan) for _ in tracks]
        self._counted_rows = prepared.plan.own_window_rows(prepared.shards[0]).start

    def make_tasks(
        self, rows: Iterator[WindowRow], on_window_row: Callable[[], None]
    ) -> Iterator[Task]:
        """Predict rows in this thread; yields the tasks of the background thread, in order."""
        for row in rows:
            is_counted = row.row_i >= self._counted_rows
            yield from self._predict_row(row)
            yield partial(self._finish_row, row.row_i, row.source_valid, is_counted=is_counted)
            if is_counted:
                on_window_row()

    def _predict_row(self, row: WindowRow) -> Iterator[Task]:
        cols = row.valid_cols()
        unreadable = find_unreadable(self._plan, row, cols)
        errors: list[list[Exception]] = [list(unreadable.values()) for _ in self._tracks]
        yield partial(self._begin_row, row.row_i, cols, unreadable)
        readable = [col_j for col_j in cols if col_j not in unreadable]
        for batch in split_batches(readable, self._predictor.batch_size):
            images = np.stack([row.image(col_j) for col_j in batch])
            results = predict_windows(self._predictor, images, batch)
            for known, parts in zip(errors, results, strict=True):
                known += [part.output for part in parts if isinstance(part.output, Exception)]
            yield partial(self._add_results, row.row_i, results)
        for limit, known in zip(self._limits, errors, strict=True):
            limit.check_row(len(cols), known)

    def _begin_row(
        self, row_i: int, cols: Sequence[int], errors: Mapping[int, Exception]
    ) -> list[FinishedShard]:
        for track in self._tracks:
            track.begin_row(row_i, cols, errors)
        return []

    def _add_results(
        self, row_i: int, results: Sequence[Sequence[WindowResult]]
    ) -> list[FinishedShard]:
        for track, parts in zip(self._tracks, results, strict=True):
            for part in parts:
                track.add_result(row_i, part)
        return []

    def _finish_row(self, row_i: int, valid: ValidRows, *, is_counted: bool) -> list[FinishedShard]:
        """Write the pixels that no later row covers. All expressions complete the same shards."""
        finished = [track.finish_row(row_i, valid, is_counted=is_counted) for track in self._tracks]
        return [
            FinishedShard(
                parts[0][0], self._new_files(parts[0][0]), tuple(stats for _, stats in parts)
            )
            for parts in zip(*finished, strict=True)
        ]
