"""Compute consecutive shards in one pass over the scene.

A shard is computed from the scene and the plan alone. Shards can therefore be computed one after
the other, on several machines, or again after a crash, with the same pixels as result. Consecutive
shards are computed in one pass, so that no row of windows is computed twice. All expressions share
the pass; the result of each is the same as in a run of its own.

Three threads share the work: one reads rows of windows ahead, the thread of the caller predicts,
and one blends and writes.

If the outputs of the predictor stay on a device, the thread of the caller queues their blending
there, and the third thread waits for finished rows and writes them.
"""

import functools
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial

from rrsis_geo.geo.grid.rasters import Kind
from rrsis_geo.geo.grid.rows import read_window_rows
from rrsis_geo.geo.grid.windows import Shard
from rrsis_geo.segment.plan.plan import PreparedRun
from rrsis_geo.segment.plan.predictor import EncodedPredictor
from rrsis_geo.segment.shards.failures import FailureLimit
from rrsis_geo.segment.shards.shard_files import FinishedShard, ShardFiles
from rrsis_geo.segment.shards.threads import read_ahead, run_in_background
from rrsis_geo.segment.shards.track import BlendedRow, ExpressionTrack
from rrsis_geo.segment.shards.window_batches import (
    RowFacts,
    RowPart,
    RowUploader,
    predict_rows,
)

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
    arrays = predictor.arrays
    with ExitStack() as stack:
        tracks = [
            stack.enter_context(
                ExpressionTrack(plan, expression_i, shards, new_files, rasters, arrays=arrays)
            )
            for expression_i in range(len(predictor.words))
        ]
        uploader = RowUploader(arrays)
        rows = stack.enter_context(read_ahead(map(uploader.start, window_rows)))
        parts = predict_rows(rows, uploader, plan, predictor)
        scene_pass = _ScenePass(prepared, new_files, tracks, is_here=not arrays.is_host)
        tasks = scene_pass.make_tasks(parts, on_window_row)
        for finished in stack.enter_context(closing(run_in_background(tasks))):
            yield from finished


class _ScenePass:
    """Makes the tasks that blend and write the results of rows of windows."""

    def __init__(
        self,
        prepared: PreparedRun,
        new_files: Callable[[Shard], ShardFiles],
        tracks: Sequence[ExpressionTrack],
        *,
        is_here: bool,
    ) -> None:
        """Prepare a pass.

        Args:
            prepared: the scene, its plan and the shards.
            new_files: gives the folder of a shard.
            tracks: of the expressions.
            is_here: blend in the thread of the caller, for which that is only to queue work.
        """
        self._new_files = new_files
        self._tracks = tracks
        self._is_here = is_here
        self._limits = [FailureLimit(prepared.plan) for _ in tracks]
        self._errors: list[list[Exception]] = []
        self._counted_rows = prepared.plan.own_window_rows(prepared.shards[0]).start

    def make_tasks(
        self, parts: Iterator[RowPart], on_window_row: Callable[[], None]
    ) -> Iterator[Task]:
        """Yields the tasks of the background thread, in order."""
        for part in parts:
            row, is_counted = part.row, part.row.row_i >= self._counted_rows
            self._count_errors(part)
            if not self._is_here:
                yield partial(self._blend, part)
                if part.is_last:
                    yield partial(self._finish_and_write, row, is_counted=is_counted)
            else:
                self._blend(part)
                if part.is_last:
                    blended = [each.start() for each in self._finish_row(row)]
                    yield partial(self._write, blended, is_counted=is_counted)
            if part.is_last and is_counted:
                on_window_row()

    def _count_errors(self, part: RowPart) -> None:
        """Count the errors of each row, and check at its end that not everything fails."""
        if part.is_first:
            self._errors = [list(part.row.unreadable.values()) for _ in self._tracks]
        for known, results in zip(self._errors, part.results, strict=True):
            known += [each.logits for each in results if isinstance(each.logits, Exception)]
        if part.is_last:
            for limit, known in zip(self._limits, self._errors, strict=True):
                limit.check_row(len(part.row.cols), known)

    def _blend(self, part: RowPart) -> list[FinishedShard]:
        row = part.row
        for track, results in zip(self._tracks, part.results, strict=True):
            if part.is_first:
                track.begin_row(row.row_i, row.cols, row.unreadable)
            for col_j, result in zip(part.cols, results, strict=True):
                track.add_result(row.row_i, col_j, result)
        return []

    def _finish_row(self, row: RowFacts) -> list[BlendedRow]:
        return [track.finish_row(row.row_i, row.source_valid) for track in self._tracks]

    def _finish_and_write(self, row: RowFacts, *, is_counted: bool) -> list[FinishedShard]:
        return self._write(self._finish_row(row), is_counted=is_counted)

    def _write(self, blended: Sequence[BlendedRow], *, is_counted: bool) -> list[FinishedShard]:
        """Write the pixels that no later row covers. All expressions complete the same shards."""
        finished = [
            track.write(row, is_counted=is_counted)
            for track, row in zip(self._tracks, blended, strict=True)
        ]
        return [
            FinishedShard(
                parts[0][0], self._new_files(parts[0][0]), tuple(stats for _, stats in parts)
            )
            for parts in zip(*finished, strict=True)
        ]
