"""One expression in a pass over the scene: from the logits of windows to the files of shards."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.geo.grid.blend import BandMosaic
from rrsis_geo.geo.grid.rasters import Kind
from rrsis_geo.geo.grid.resample import RowResampler
from rrsis_geo.geo.grid.source_rows import ValidRows
from rrsis_geo.geo.grid.windows import Shard
from rrsis_geo.segment.plan.plan import Plan
from rrsis_geo.segment.shards.failures import Failures
from rrsis_geo.segment.shards.predict import WindowResult
from rrsis_geo.segment.shards.shard_files import ShardFiles, ShardStats
from rrsis_geo.segment.shards.shard_writer import ShardWriter


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
    ) -> None:
        """Start above the first shard.

        Args:
            plan: of the run.
            expression_i: index of the expression in the plan.
            shards: consecutive shards.
            new_files: gives the folder of a shard.
            rasters: rasters to write.
        """
        self._n_cols = plan.grid.n_cols
        self._failures = Failures(plan)
        self._mosaic = BandMosaic(plan.grid, shards[0].window_row_start, shards[-1].window_row_stop)
        self._cutter = _ShardCutter(plan, expression_i, shards, new_files, rasters, self._failures)
        self._row_stats = ShardStats()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._cutter.discard()

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

    def add_result(self, row_i: int, result: WindowResult) -> None:
        """Blend the output for some windows of the row, or record that they failed."""
        output, stats = result.output, self._row_stats
        if isinstance(output, Exception):
            for col_j in result.cols:
                self._failures.add(row_i, col_j, output)
            return
        n_windows = len(result.cols)
        stats.network_seconds += result.seconds
        stats.windows += n_windows
        presence = [None] * n_windows if output.presence is None else output.presence.tolist()
        highest = output.logits.max(axis=(1, 2)).tolist()
        for i, col_j in enumerate(result.cols):
            stats.update_presence(presence[i])
            stats.scores.append((row_i, col_j, presence[i], highest[i]))
            self._mosaic.add(row_i, col_j, output.logits[i])

    def finish_row(
        self, row_i: int, valid: ValidRows, *, is_counted: bool
    ) -> list[tuple[Shard, ShardStats]]:
        """Write the pixels that no later row of windows covers.

        Args:
            row_i: number of the row; the results of all its windows were added.
            valid: validity of the rows of the scene that were read for this row of windows.
            is_counted: whether the statistics of the row belong to these shards. False if the
                shards above count it.

        Returns:
            The shards that are complete now, with their statistics.
        """
        if is_counted:
            self._cutter.stats.add(self._row_stats)
        return list(self._cutter.push(*self._mosaic.finish_row(row_i), valid))


class _ShardCutter:
    """Resamples rows of logits to the grid of the scene and distributes them over shards.

    Attributes:
        stats: of the current shard.
    """

    def __init__(
        self,
        plan: Plan,
        expression_i: int,
        shards: Sequence[Shard],
        new_files: Callable[[Shard], ShardFiles],
        rasters: tuple[Kind, ...],
        failures: Failures,
    ) -> None:
        scene, grid = plan.scene, plan.grid
        self._plan = plan
        self._expression_i = expression_i
        self._waiting = list(shards)
        self._new_files = new_files
        self._rasters = rasters
        self._failures = failures
        self._resampler = RowResampler(
            (grid.height, grid.width),
            scene.shape,
            dst_rows=(shards[0].row_start, shards[-1].row_stop),
        )
        self._valid = ValidRows(scene.width)
        self._writer: ShardWriter | None = None
        self.stats = ShardStats()

    def discard(self) -> None:
        """Close the files of a shard that will not be completed."""
        if self._writer is not None:
            self._writer.discard()

    def push(
        self, row_start: int, logits: NDArray[np.float32], valid: ValidRows
    ) -> Iterator[tuple[Shard, ShardStats]]:
        """Add the next rows; yields the shards that are complete, with their statistics.

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
                self._write(shard, start, rows[:n_rows])
                start, rows = start + n_rows, rows[n_rows:]
                if start == shard.row_stop:
                    yield self._complete(self._waiting.pop(0))

    def _write(self, shard: Shard, row_start: int, logits: NDArray[np.float32]) -> None:
        if self._writer is None:
            files = self._new_files(shard)
            self._writer = ShardWriter(self._plan, self._expression_i, shard, files, self._rasters)
        valid = self._valid.take(row_start, row_start + len(logits))
        self._failures.invalidate(row_start, valid)
        if valid.any():
            self.stats.update_pixel(float(logits.max(where=valid, initial=-np.inf)))
        self._writer.write(row_start, logits, valid)

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
