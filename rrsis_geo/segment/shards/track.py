"""One expression in a pass over the scene: from the logits of windows to the files of shards.

The first half blends windows into rows of the scene, where the predictor leaves its outputs. The
second half writes rows, and needs nothing but the rows.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np

from rrsis_geo.geo.grid.arrays import HOST, Array, Arrays
from rrsis_geo.geo.grid.blend import BandMosaic
from rrsis_geo.geo.grid.finish import FinishedRows, finish_rows
from rrsis_geo.geo.grid.rasters import Kind
from rrsis_geo.geo.grid.resample import RowResampler
from rrsis_geo.geo.grid.source_rows import ValidRows
from rrsis_geo.geo.grid.windows import Shard
from rrsis_geo.log_odds import to_log_odds
from rrsis_geo.segment.plan.plan import Plan
from rrsis_geo.segment.shards.failures import Failures
from rrsis_geo.segment.shards.predict import WindowResult
from rrsis_geo.segment.shards.shard_files import ShardFiles, ShardStats
from rrsis_geo.segment.shards.shard_writer import ShardWriter


class Piece(NamedTuple):
    """Finished rows of one shard.

    Attributes:
        shard: of the plan.
        row_start: first row, on the grid of the scene.
        rows: waits for the rows and returns them.
    """

    shard: Shard
    row_start: int
    rows: Callable[[], FinishedRows]


class BlendedRow(NamedTuple):
    """What a row of windows completes.

    Attributes:
        stats: of the windows of the row.
        pieces: the rows of the scene that no later window covers. An iterator makes them one by
            one, before the next row of windows begins.
    """

    stats: ShardStats
    pieces: Iterable[Piece]

    def start(self) -> Self:
        """The same, with all pieces on their way."""
        return self._replace(pieces=list(self.pieces))


class ExpressionTrack:
    """Blends the windows of one expression and writes its part of each shard.

    Use as a context manager; files of an incomplete shard are discarded at the end.
    """

    def __init__(
        self,
        plan: Plan,
        expression_i: int,
        shards: Sequence[Shard],
        new_files: Callable[[Shard], ShardFiles],
        rasters: tuple[Kind, ...],
        *,
        arrays: Arrays = HOST,
    ) -> None:
        """Start above the first shard.

        Args:
            plan: of the run.
            expression_i: index of the expression in the plan.
            shards: consecutive shards.
            new_files: gives the folder of a shard.
            rasters: rasters to write.
            arrays: where the windows are blended.
        """
        self._n_cols = plan.grid.n_cols
        self._failures = Failures(plan)
        self._mosaic = BandMosaic(
            plan.grid, shards[0].window_row_start, shards[-1].window_row_stop, arrays=arrays
        )
        self._finisher = _RowFinisher(
            plan, shards, self._failures, with_steps="probability" in rasters, arrays=arrays
        )
        self._writer = _PieceWriter(plan, expression_i, new_files, rasters, self._failures)
        self._row_stats = ShardStats()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.discard()

    def begin_row(self, row_i: int, cols: Sequence[int], errors: Mapping[int, Exception]) -> None:
        """Begin a row of windows.

        Args:
            row_i: number of the row.
            cols: columns of windows with valid pixels.
            errors: by column, of windows that could not be read.
        """
        self._row_stats = ShardStats(skipped=self._n_cols - len(cols))
        for col_j, error in errors.items():
            self._failures.add(row_i, col_j, error)

    def add_result(self, row_i: int, col_j: int, result: WindowResult) -> None:
        """Blend a window, or record that it failed."""
        if isinstance(result.logits, Exception):
            self._failures.add(row_i, col_j, result.logits)
            return
        stats = self._row_stats
        stats.network_seconds += result.seconds
        stats.windows += 1
        stats.update_presence(result.presence)
        stats.scores.append((row_i, col_j, result.presence, result.highest))
        self._mosaic.add(row_i, col_j, result.logits)

    def finish_row(self, row_i: int, valid: ValidRows) -> BlendedRow:
        """Finish the pixels that no later row of windows covers.

        Args:
            row_i: number of the row; the results of all its windows were added.
            valid: validity of the rows of the scene that were read for this row of windows.
        """
        finished = self._mosaic.finish_row(row_i)
        return BlendedRow(self._row_stats, self._finisher.push(*finished, valid))

    def write(self, row: BlendedRow, *, is_counted: bool) -> list[tuple[Shard, ShardStats]]:
        """Write what a row of windows completes. Rows are written in order, in any thread.

        Args:
            row: from `finish_row`.
            is_counted: whether the statistics of the row belong to these shards. False if the
                shards above count it.

        Returns:
            The shards that are complete now, with their statistics.
        """
        if is_counted:
            self._writer.stats.add(row.stats)
        return [done for piece in row.pieces for done in self._writer.write(piece)]


class _RowFinisher:
    """Resamples rows of logits to the grid of the scene, and cuts them into pieces of shards."""

    def __init__(
        self,
        plan: Plan,
        shards: Sequence[Shard],
        failures: Failures,
        *,
        with_steps: bool,
        arrays: Arrays,
    ) -> None:
        scene, grid = plan.scene, plan.grid
        self._waiting = list(shards)
        self._failures = failures
        self._threshold = float(np.float32(to_log_odds(plan.options.threshold)))
        self._with_steps = with_steps
        self._arrays = arrays
        self._resampler = RowResampler(
            (grid.height, grid.width),
            scene.shape,
            dst_rows=(shards[0].row_start, shards[-1].row_stop),
            arrays=arrays,
        )
        self._valid = ValidRows(scene.width)

    def push(self, row_start: int, logits: Array, valid: ValidRows) -> Iterator[Piece]:
        """Add the next rows; yields the rows of the scene that are complete.

        Args:
            row_start: first row on the model grid.
            logits: float32 [n, W] on the model grid.
            valid: validity that was read for these rows, on the grid of the scene.
        """
        self._valid.extend(valid)
        for start, rows in self._resampler.push(row_start, logits):
            while len(rows):
                shard = self._waiting[0]
                n_rows = min(len(rows), shard.row_stop - start)
                yield self._finish(shard, start, rows[:n_rows])
                start, rows = start + n_rows, rows[n_rows:]
                if start == shard.row_stop:
                    self._waiting.pop(0)

    def _finish(self, shard: Shard, row_start: int, logits: Array) -> Piece:
        valid = self._valid.take(row_start, row_start + len(logits))
        self._failures.invalidate(row_start, valid)
        rows = finish_rows(
            logits, valid, self._threshold, with_steps=self._with_steps, arrays=self._arrays
        )
        return Piece(shard, row_start, rows)


class _PieceWriter:
    """Writes pieces into the files of their shards.

    Attributes:
        stats: of the current shard.
    """

    def __init__(
        self,
        plan: Plan,
        expression_i: int,
        new_files: Callable[[Shard], ShardFiles],
        rasters: tuple[Kind, ...],
        failures: Failures,
    ) -> None:
        self._plan = plan
        self._expression_i = expression_i
        self._new_files = new_files
        self._rasters = rasters
        self._failures = failures
        self._writer: ShardWriter | None = None
        self.stats = ShardStats()

    def discard(self) -> None:
        """Close the files of a shard that will not be completed."""
        if self._writer is not None:
            self._writer.discard()

    def write(self, piece: Piece) -> Iterator[tuple[Shard, ShardStats]]:
        """Write a piece; yields its shard with its statistics if that is complete."""
        shard, rows = piece.shard, piece.rows()
        if self._writer is None:
            files = self._new_files(shard)
            self._writer = ShardWriter(self._plan, self._expression_i, shard, files, self._rasters)
        self.stats.update_pixel(rows.highest)
        self._writer.write(piece.row_start, rows)
        if piece.row_start + len(rows.mask) == shard.row_stop:
            yield self._complete(shard)

    def _complete(self, shard: Shard) -> tuple[Shard, ShardStats]:
        assert self._writer is not None
        writer, self._writer = self._writer, None
        try:
            writer.close()
        except BaseException:
            writer.discard()
            raise
        stats, self.stats = self.stats, ShardStats()
        stats.failed = self._failures.in_shard(shard)
        return shard, stats
