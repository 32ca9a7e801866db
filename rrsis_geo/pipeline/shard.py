"""Shards of a run: read, predict, blend, and leave the rasters and the objects of each in a folder.

A shard is computed from the scene and the plan alone, so shards can run one after the other, on
several machines, or again after a crash, and give the same pixels. Shards that follow each other
are computed in one pass, so that no row of windows is computed twice.
"""

import logging
import math
import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from rrsis_geo.errors import OutputError, RrsisError
from rrsis_geo.geo.blend import BandMosaic
from rrsis_geo.geo.masks import Kind, RasterWriter, encode_mask, encode_probability
from rrsis_geo.geo.objects import Objects
from rrsis_geo.geo.resample import RowResampler
from rrsis_geo.geo.rows import ValidRows, WindowRow, read_window_rows
from rrsis_geo.geo.scene import Scene
from rrsis_geo.geo.strips import OpenStrip
from rrsis_geo.geo.vectorize import BandVectorizer
from rrsis_geo.geo.windows import Shard
from rrsis_geo.pipeline.failures import FailedWindow, Failures
from rrsis_geo.pipeline.plan import Plan, WindowPredictor
from rrsis_geo.pipeline.read_ahead import read_ahead

logger = logging.getLogger(__name__)

OBJECTS_HELD = 100_000
"""Closed objects that are kept in memory, about, before they are saved."""

_PREDICTOR_ERRORS = (RrsisError, RuntimeError)  # the latter is how torch says all that goes wrong


@dataclass(slots=True)
class ShardStats:
    """What happened in a shard, or in several.

    Attributes:
        windows: that the network saw.
        skipped: that hold no valid pixel.
        network_seconds: spent in the predictor.
        presence_max: the highest log-odds that the target is in a window, None where the predictor
            does not say.
        failed: windows that could not be done; one on a seam is told by both shards.
        scores: of each that the network saw: row and column of windows, log-odds that the target
            is in it (None where the predictor does not say), highest log-odds of its pixels.
    """

    windows: int = 0
    skipped: int = 0
    network_seconds: float = 0.0
    presence_max: float | None = None
    failed: list[FailedWindow] = field(default_factory=list)
    scores: list[tuple[int, int, float | None, float]] = field(default_factory=list)

    def add(self, other: "ShardStats") -> None:
        """Count another shard in."""
        self.windows += other.windows
        self.skipped += other.skipped
        self.network_seconds += other.network_seconds
        self.saw_presence(other.presence_max)
        self.failed += other.failed
        self.scores += other.scores

    def saw_presence(self, presence: float | None) -> None:
        """Keep the highest."""
        if presence is not None:
            known = -math.inf if self.presence_max is None else self.presence_max
            self.presence_max = max(presence, known)

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> "ShardStats":
        """The inverse of `to_dict`."""
        failed = [FailedWindow.from_dict(window) for window in record["failed"]]
        return ShardStats(**{**record, "failed": failed})


@dataclass(frozen=True, slots=True)
class ShardFiles:
    """What lies in the folder of a shard.

    Attributes:
        folder: of this shard alone.
    """

    folder: Path

    def part(self, number: int) -> Path:
        """Closed objects and open pieces of a run of its rows."""
        return self.folder / f"objects-{number:05d}.npz"

    def parts(self) -> list[Path]:
        """All of these that there are, from the top down."""
        return sorted(self.folder.glob("objects-*.npz"))

    def raster(self, kind: Kind) -> Path:
        """Its rows of the mask or of the probability."""
        return self.folder / f"{kind}.tif"


class FinishedShard(NamedTuple):
    """A shard whose files are whole."""

    shard: Shard
    files: ShardFiles
    stats: ShardStats


def run_shards(
    scene: Scene,
    plan: Plan,
    shards: Sequence[Shard],
    predictor: WindowPredictor,
    words: Any,
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
        words: the expression, as the predictor encoded it.
        place: gives an empty folder for the files of a shard, when it is begun.
        rasters: which of them are wanted.
        batch_size: windows given to the predictor at once, at most.
        on_window_row: called after each that is counted for these shards.

    Yields:
        Each shard as soon as its files are whole. Close the iterator to end before the last.

    Raises:
        OutputError: the files cannot be written.
        Exception: of the scene or the predictor, where whole rows of windows fail.
    """
    first, last, grid = shards[0], shards[-1], plan.grid
    mosaic = BandMosaic(grid, first.window_row_start, last.window_row_stop)
    failures = Failures(plan)
    counted_from = plan.own_window_rows(first).start
    window_rows = read_window_rows(
        scene,
        plan.stretch,
        grid,
        first.window_row_start,
        last.window_row_stop,
        model=plan.model_px,
    )
    with (
        _Cutter(plan, shards, place, rasters, failures) as cutter,
        read_ahead(window_rows) as drawn,
    ):
        for row in drawn:
            stats = ShardStats()
            for col_j, logits in _predict(row, predictor, words, batch_size, stats, failures):
                mosaic.add(row.row_i, col_j, logits)
            if row.row_i >= counted_from:
                cutter.stats.add(stats)
                on_window_row()
            yield from cutter.push(*mosaic.finish_row(row.row_i), row.source_valid)


def _predict(
    row: WindowRow,
    predictor: WindowPredictor,
    words: Any,
    batch_size: int,
    stats: ShardStats,
    failures: Failures,
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Column and logits [S, S] of each window of a row that holds a valid pixel, in order.

    A window that fails in a batch is tried once more by itself.
    """

    def look(cols: Sequence[int]) -> NDArray[np.float32]:
        images = np.stack([row.image(col_j) for col_j in cols])
        started = time.perf_counter()
        output = predictor.logits(images, words)
        stats.network_seconds += time.perf_counter() - started
        told = [None] * len(cols) if output.presence is None else output.presence.tolist()
        highest = output.logits.max(axis=(1, 2)).tolist()
        for col_j, presence, most in zip(cols, told, highest, strict=True):
            stats.saw_presence(presence)
            stats.scores.append((row.row_i, col_j, presence, most))
        stats.windows += len(cols)
        return output.logits

    wanted = row.wanted_cols()
    stats.skipped += row.grid.n_cols - len(wanted)
    readable = failures.take_unreadable(row, wanted)
    for batch in np.array_split(readable, -(-len(readable) // batch_size) or 1):
        cols = batch.tolist()
        try:
            found = look(cols) if cols else ()
        except _PREDICTOR_ERRORS as err:
            logger.info("%s; trying again, one window at a time", err)
        else:
            yield from zip(cols, found, strict=True)
            continue
        for col_j in cols:
            try:
                yield col_j, look([col_j])[0]
            except _PREDICTOR_ERRORS as err:
                failures.add(row.row_i, col_j, err)
    failures.finish_row(len(wanted))


class _Cutter:
    """Takes finished rows of logits on the model grid; cuts them, on the scene's, into shards.

    Attributes:
        stats: of the shard in hand.
    """

    def __init__(
        self,
        plan: Plan,
        shards: Sequence[Shard],
        place: Callable[[Shard], ShardFiles],
        rasters: tuple[Kind, ...],
        failures: Failures,
    ) -> None:
        scene, grid = plan.scene, plan.grid
        self._plan = plan
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
        self._sink: _ShardSink | None = None
        self.stats = ShardStats()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._sink is not None:
            self._sink.abandon()

    def push(
        self, row_start: int, logits: NDArray[np.float32], valid: ValidRows
    ) -> Iterator[FinishedShard]:
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
            self._sink = _ShardSink(self._plan, shard, self._place(shard), self._rasters)
        valid = self._valid.take(row_start, row_start + len(logits))
        self._failures.burn(row_start, valid)
        self._sink.write(row_start, logits, valid)

    def _finish(self, shard: Shard) -> FinishedShard:
        assert self._sink is not None
        sink, self._sink = self._sink, None
        try:
            sink.close()
        except BaseException:
            sink.abandon()
            raise
        stats, self.stats = self.stats, ShardStats()
        stats.failed = self._failures.of(shard)
        return FinishedShard(shard, sink.files, stats)


class _ShardSink:
    """Makes masks and objects of the rows of one shard."""

    def __init__(
        self, plan: Plan, shard: Shard, files: ShardFiles, rasters: tuple[Kind, ...]
    ) -> None:
        self.files = files
        self._shard = shard
        self._width = plan.scene.width
        threshold = plan.options.threshold
        self._limit = np.float32(math.log(threshold / (1 - threshold)))
        self._vectorizer = BandVectorizer(self._width, row_start=shard.row_start)
        self._closed: list[Objects] = []
        self._n_closed = self._n_parts = 0
        with ExitStack() as stack:
            self._writers = {
                kind: stack.enter_context(_raster_writer(plan, shard, files.raster(kind), kind))
                for kind in rasters
            }
            self._open = stack.pop_all()

    def write(self, row_start: int, logits: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
        """Take the next rows, float32 and bool [n, W], of the scene's own grid."""
        mask = logits > self._limit
        mask &= valid
        if "probability" in self._writers:
            probability = sigmoid(logits)
            encoded = encode_probability(probability, valid)
            self._writers["probability"].write_band(row_start - self._shard.row_start, encoded)
        else:  # where nobody looks it stays 0
            probability = np.zeros_like(logits)
            probability[mask] = sigmoid(logits[mask])
        if "mask" in self._writers:
            encoded = encode_mask(mask, valid)
            self._writers["mask"].write_band(row_start - self._shard.row_start, encoded)
        closed = self._vectorizer.add_band(row_start, mask, probability)
        self._closed.append(closed)
        self._n_closed += len(closed)
        if self._n_closed >= OBJECTS_HELD:
            self._save_part(row_start + len(mask))

    def close(self) -> None:
        """Finish the files, when all rows have come.

        Raises:
            OutputError: the disk is full, or the folder is gone.
        """
        self._save_part(self._shard.row_stop)
        self._open.close()

    def abandon(self) -> None:
        """Let go of files that will not be finished."""
        error = _Abandoned()
        self._open.__exit__(type(error), error, None)

    def _save_part(self, row_stop: int) -> None:
        """Write the objects closed so far, and what is open; go on below as a shard would."""
        arrays: dict[str, Any] = {
            **Objects.concat(self._closed).to_arrays(),
            **self._vectorizer.finish().to_arrays(),
        }
        path = self.files.part(self._n_parts)
        try:
            with path.open("wb") as file:
                np.savez(file, **arrays)
                file.flush()
                os.fsync(file.fileno())
        except OSError as err:
            raise OutputError(f"{path}: cannot be written ({err.strerror or err})") from err
        self._vectorizer = BandVectorizer(self._width, row_start=row_stop)
        self._closed, self._n_closed = [], 0
        self._n_parts += 1


class _Abandoned(Exception):
    """Tells writers that the rest does not come."""


def _raster_writer(plan: Plan, shard: Shard, path: Path, kind: Kind) -> RasterWriter:
    scene = plan.scene
    return RasterWriter(
        path,
        kind,
        (shard.n_rows, scene.width),
        scene.crs,
        scene.transform @ Affine.translation(0, shard.row_start),
        cog=False,
    )


def load_objects(path: Path) -> tuple[Objects, OpenStrip]:
    """The closed objects and the open pieces of a part."""
    with np.load(path) as arrays:
        return Objects.from_arrays(arrays), OpenStrip.from_arrays(arrays)


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log-odds to probability, float32 of any shape."""
    values = np.clip(logits, -80, 80)
    np.negative(values, out=values)
    np.exp(values, out=values)
    values += 1
    return np.divide(1, values, out=values)
