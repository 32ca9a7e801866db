"""Rows of windows become batches for the predictor, and its results become parts of rows again.

Without a device, a batch has windows of one row, and is predicted before the next one is made. On a
device, a batch takes windows of as many rows as it has room for, and its results are awaited when
the next batch is queued, so that the device is never without work.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

from rrsis_geo.errors import InputError
from rrsis_geo.geo.grid.arrays import Array, Arrays, Upload
from rrsis_geo.geo.grid.rows import WindowRow
from rrsis_geo.geo.grid.source_rows import ValidRows
from rrsis_geo.segment.plan.plan import Plan
from rrsis_geo.segment.plan.predictor import EncodedPredictor
from rrsis_geo.segment.shards.failures import find_unreadable
from rrsis_geo.segment.shards.predict import StartedBatch, WindowResult, split_batches

T = TypeVar("T")
QUEUED_BATCHES = 1
"""Batches that are queued on a device before the results of the one before them are awaited."""


class RowUploader:
    """Uploads rows of windows. Pixels that two rows share are uploaded once."""

    def __init__(self, arrays: Arrays) -> None:
        """Upload to the device of some arrays."""
        self._arrays = arrays
        self._is_first = True
        self._last: Array = None

    def start(self, row: WindowRow) -> tuple[WindowRow, Upload]:
        """Start to upload the next row. Called for one row after the other, in any one thread."""
        n_shared = 0 if self._is_first or self._arrays.is_host else row.grid.overlap_px
        self._is_first = False
        return row, self._arrays.start_upload(row.rgb[n_shared:])

    def finish(self, row: WindowRow, fresh: Upload) -> Array:
        """The pixels of the row, uint8 [S, padded width, 3]. Called in the same order."""
        pixels = fresh()
        if len(pixels) < len(row.rgb):
            pixels = self._arrays.concatenate([self._last[row.grid.stride_px :], pixels])
        if not self._arrays.is_host:
            self._last = pixels
        return pixels


class RowFacts(NamedTuple):
    """What is known about a row of windows, without its pixels.

    Attributes:
        row_i: number of the row.
        cols: columns of windows with valid pixels.
        unreadable: errors of windows that could not be read, by column.
        source_valid: validity of the rows of the scene that were read for it.
    """

    row_i: int
    cols: Sequence[int]
    unreadable: Mapping[int, InputError]
    source_valid: ValidRows


class RowPart(NamedTuple):
    """Results of neighbouring windows of a row.

    Attributes:
        row: the row.
        cols: columns of the windows; empty if nothing in the row was predicted.
        results: of each expression, of each window.
        is_first: whether it begins the row.
        is_last: whether it ends the row.
    """

    row: RowFacts
    cols: Sequence[int]
    results: Sequence[Sequence[WindowResult]]
    is_first: bool
    is_last: bool


def predict_rows(
    rows: Iterator[tuple[WindowRow, Upload]],
    uploader: RowUploader,
    plan: Plan,
    encoded: EncodedPredictor,
) -> Iterator[RowPart]:
    """Predict rows of windows, in order.

    Args:
        rows: results of `RowUploader.start`.
        uploader: that made them.
        plan: of the run.
        encoded: the predictor.
    """
    is_host = encoded.arrays.is_host
    to_predict = (_RowToPredict(plan, row, uploader.finish(row, fresh)) for row, fresh in rows)
    n_together = 1 if is_host else max(1, encoded.batch_size // plan.grid.n_cols)
    batches = _start_batches(to_predict, n_together, encoded)
    for batch in _keep_ahead(batches, 0 if is_host else QUEUED_BATCHES):
        yield from batch.parts()


class _RowToPredict:
    """A row of windows with its pixels.

    Attributes:
        facts: the rest.
        readable: columns of the windows to predict.
    """

    def __init__(self, plan: Plan, row: WindowRow, pixels: Array) -> None:
        """Find out what to predict in a row, whose pixels are where the predictor takes them."""
        cols = row.valid_cols()
        unreadable = find_unreadable(plan, row, cols)
        self.facts = RowFacts(row.row_i, cols, unreadable, row.source_valid)
        self.readable = [col_j for col_j in cols if col_j not in unreadable]
        self._grid = row.grid
        self._pixels = pixels

    def image(self, col_j: int) -> Array:
        """The window in a column: uint8 RGB [S, S, 3], a view."""
        start, stop = self._grid.cols_of(col_j)
        return self._pixels[:, start:stop]


class _Batch(NamedTuple):
    """Windows that are predicted together, and the empty rows between them.

    Attributes:
        empty_parts: the parts of rows, without results.
        n_expressions: number of expressions.
        started: None if there are no windows.
    """

    empty_parts: Sequence[RowPart]
    n_expressions: int
    started: StartedBatch | None

    def parts(self) -> Iterator[RowPart]:
        """Wait for the results; yields those of each row."""
        results = [[]] * self.n_expressions if self.started is None else self.started.results()
        start = 0
        for part in self.empty_parts:
            stop = start + len(part.cols)
            yield part._replace(results=[each[start:stop] for each in results])
            start = stop


def _start_batches(
    rows: Iterator[_RowToPredict], n_together: int, encoded: EncodedPredictor
) -> Iterator[_Batch]:
    """Start batches, each with windows of up to `n_together` rows."""
    while group := list(islice(rows, n_together)):
        n_windows = sum(len(row.readable) for row in group)
        for batch in split_batches(n_windows, encoded.batch_size) or [range(0)]:
            found = list(_find_parts(group, batch, is_last=batch.stop == n_windows))
            images = [row.image(col_j) for row, part in found for col_j in part.cols]
            started = StartedBatch(encoded, encoded.arrays.stack(images)) if images else None
            yield _Batch([part for _, part in found], len(encoded.words), started)


def _find_parts(
    group: Sequence[_RowToPredict], batch: range, *, is_last: bool
) -> Iterator[tuple[_RowToPredict, RowPart]]:
    """The rows in a batch, without results. An empty row is in the batch of the window after it.

    Args:
        group: rows.
        batch: numbers of its windows; those of all rows are counted from 0.
        is_last: whether it is the last batch, which has the empty rows at the end.
    """
    start = 0
    for row in group:
        stop = start + len(row.readable)
        first, last = max(start, batch.start), min(stop, batch.stop)
        is_empty_here = start == stop and (start in batch or (is_last and start == batch.stop))
        if first < last or is_empty_here:
            cols = row.readable[first - start : last - start]
            yield row, RowPart(row.facts, cols, [], first == start, last == stop)
        start = stop


def _keep_ahead(items: Iterator[T], depth: int) -> Iterator[T]:
    """The items, each after `depth` more have been made."""
    waiting: deque[T] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) > depth:
            yield waiting.popleft()
    yield from waiting
