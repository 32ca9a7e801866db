"""One shard of a run: read, predict, blend, and leave its rasters and its objects in a folder.

A shard is computed from the scene and the plan alone, so shards can run one after the other, on
several machines, or again after a crash, and give the same pixels.
"""

import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from rrsis_geo.errors import OutputError
from rrsis_geo.geo.blend import BandMosaic
from rrsis_geo.geo.masks import Kind, RasterWriter, encode_mask, encode_probability
from rrsis_geo.geo.objects import Objects
from rrsis_geo.geo.pixels import geo_env
from rrsis_geo.geo.resample import RowResampler
from rrsis_geo.geo.rows import ValidRows, WindowRow, read_window_rows
from rrsis_geo.geo.scene import Scene
from rrsis_geo.geo.strips import OpenStrip
from rrsis_geo.geo.vectorize import BandVectorizer
from rrsis_geo.geo.windows import Shard
from rrsis_geo.pipeline.plan import Plan, WindowPredictor

T = TypeVar("T")
READ_AHEAD = 1
"""Window rows that wait, read, while the network runs."""
OBJECTS_HELD = 100_000
"""Closed objects that are kept in memory, about, before they are saved."""


@dataclass(slots=True)
class ShardStats:
    """What happened in a shard.

    Attributes:
        windows: that the network saw.
        skipped: that hold no valid pixel.
        network_seconds: spent in the predictor.
        presence_max: the highest log-odds that the target is in a window, None where the predictor
            does not say.
    """

    windows: int = 0
    skipped: int = 0
    network_seconds: float = 0.0
    presence_max: float | None = None

    def add(self, other: "ShardStats") -> None:
        """Count another shard in."""
        self.windows += other.windows
        self.skipped += other.skipped
        self.network_seconds += other.network_seconds
        self.saw_presence(other.presence_max)

    def saw_presence(self, presence: float | None) -> None:
        """Keep the highest."""
        if presence is not None:
            self.presence_max = max(presence, self.presence_max or -np.inf)


@dataclass(frozen=True, slots=True)
class ShardFiles:
    """Where the results of a shard lie.

    Attributes:
        folder: of the job.
        index: of the shard.
    """

    folder: Path
    index: int

    def part(self, number: int) -> Path:
        """Closed objects and open pieces of a run of its rows."""
        return self.folder / f"shard-{self.index:04d}.objects-{number:05d}.npz"

    def parts(self) -> list[Path]:
        """All of these that there are, from the top down."""
        return sorted(self.folder.glob(f"shard-{self.index:04d}.objects-*.npz"))

    def raster(self, kind: Kind) -> Path:
        """Its rows of the mask or of the probability."""
        return self.folder / f"shard-{self.index:04d}.{kind}.tif"


def run_shard(
    scene: Scene,
    plan: Plan,
    shard: Shard,
    predictor: WindowPredictor,
    words: Any,
    files: ShardFiles,
    *,
    rasters: tuple[Kind, ...] = (),
    batch_size: int = 4,
    on_window_row: Callable[[], None] = lambda: None,
) -> ShardStats:
    """Compute one shard and write its files.

    Args:
        scene: the part of the scene that the plan was made for.
        plan: of the run.
        shard: which of its shards.
        predictor: sees the windows.
        words: the expression, as the predictor encoded it.
        files: where results go.
        rasters: which of them are wanted.
        batch_size: windows given to the predictor at once, at most.
        on_window_row: called after each.

    Raises:
        InputError: the scene cannot be read.
        DeviceError: the device cannot do the work.
        OutputError: the files cannot be written.
    """
    stats = ShardStats()
    grid = plan.grid
    mosaic = BandMosaic(grid, shard.window_row_start, shard.window_row_stop)
    window_rows = read_window_rows(
        scene,
        plan.stretch,
        grid,
        shard.window_row_start,
        shard.window_row_stop,
        model=plan.model_px,
    )
    with ExitStack() as stack:
        writers = {
            kind: stack.enter_context(_raster_writer(plan, shard, files.raster(kind), kind))
            for kind in rasters
        }
        sink = _BandSink(plan, shard, files, writers)
        for row in stack.enter_context(read_ahead(window_rows)):
            for col_j, logits in _predict(row, predictor, words, batch_size, stats):
                mosaic.add(row.row_i, col_j, logits)
            sink.push(*mosaic.finish_row(row.row_i), row.source_valid)
            on_window_row()
        sink.finish()
    return stats


def _predict(
    row: WindowRow, predictor: WindowPredictor, words: Any, batch_size: int, stats: ShardStats
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Column and logits [S, S] of each window of a row that holds a valid pixel, in order."""
    wanted = row.wanted_cols()
    stats.windows += len(wanted)
    stats.skipped += row.grid.n_cols - len(wanted)
    if not wanted:
        return
    for cols in np.array_split(wanted, -(-len(wanted) // batch_size)):
        images = np.stack([row.image(col_j) for col_j in cols])
        started = time.perf_counter()
        output = predictor.logits(images, words)
        stats.network_seconds += time.perf_counter() - started
        if output.presence is not None:
            stats.saw_presence(float(output.presence.max()))
        yield from zip(cols.tolist(), output.logits, strict=True)


def _raster_writer(plan: Plan, shard: Shard, path: Path, kind: Kind) -> RasterWriter:
    """For the raster of a shard; that of the only one is the scene's, whole."""
    scene = plan.scene
    return RasterWriter(
        path,
        kind,
        (shard.n_rows, scene.width),
        scene.crs,
        scene.transform @ Affine.translation(0, shard.row_start),
        tags=plan.raster_tags(),
        overviews=len(plan.shards) == 1,
    )


class _BandSink:
    """Takes finished rows of logits on the model grid; makes masks and objects on the scene's."""

    def __init__(
        self,
        plan: Plan,
        shard: Shard,
        files: ShardFiles,
        writers: Mapping[Kind, RasterWriter],
    ) -> None:
        scene, grid, threshold = plan.scene, plan.grid, plan.options.threshold
        self._shard = shard
        self._files = files
        self._width = scene.width
        self._writers = writers
        self._limit = np.float32(math.log(threshold / (1 - threshold)))
        self._resampler = RowResampler(
            (grid.height, grid.width),
            scene.shape,
            dst_rows=(shard.row_start, shard.row_stop),
        )
        self._valid = ValidRows(scene.width)
        self._vectorizer = BandVectorizer(scene.width, row_start=shard.row_start)
        self._closed: list[Objects] = []
        self._n_closed = self._n_parts = 0

    def push(self, row_start: int, logits: NDArray[np.float32], valid: ValidRows) -> None:
        """Take the next rows, float32 [n, W] on the model grid, and the validity read for them."""
        self._valid.extend(valid)
        for start, rows in self._resampler.push(row_start, logits):
            self._write(start, rows, self._valid.take(start, start + len(rows)))

    def _write(self, row_start: int, logits: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
        """Rows of the scene's own grid."""
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

    def finish(self) -> None:
        """Save what is left, when all rows have come.

        Raises:
            OutputError: the disk is full, or the folder is gone.
        """
        assert self._resampler.done, "rows are missing"
        self._save_part(self._shard.row_stop)

    def _save_part(self, row_stop: int) -> None:
        """Write the objects closed so far, and what is open; go on below as a shard would."""
        path = self._files.part(self._n_parts)
        arrays: dict[str, Any] = {
            **Objects.concat(self._closed).to_arrays(),
            **self._vectorizer.finish().to_arrays(),
        }
        try:
            with path.open("wb") as file:
                np.savez(file, **arrays)
        except OSError as err:
            raise OutputError(f"{path}: cannot be written ({err.strerror or err})") from err
        self._vectorizer = BandVectorizer(self._width, row_start=row_stop)
        self._closed, self._n_closed = [], 0
        self._n_parts += 1


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


@contextmanager
def read_ahead(items: Iterator[T], depth: int = READ_AHEAD) -> Iterator[Iterator[T]]:
    """Draw items in a thread while the last one is worked on.

    Args:
        items: used by the thread only, until the context is left.
        depth: how many items may wait.

    Yields:
        The items, in order; what the thread raises is raised where the next item is asked for.
    """
    waiting: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: T | None, error: BaseException | None) -> bool:
        while not stopped.is_set():
            with suppress(queue.Full):
                waiting.put((item, error), timeout=0.1)
                return True
        return False

    def work() -> None:
        try:
            with geo_env():
                for item in items:
                    if not put(item, None):
                        return
            put(None, _Finished())
        except BaseException as err:
            put(None, err)

    def drawn() -> Iterator[T]:
        while True:
            item, error = waiting.get()
            if isinstance(error, _Finished):
                return
            if error is not None:
                raise error
            yield cast(T, item)

    thread = threading.Thread(target=work, name="read-ahead", daemon=True)
    thread.start()
    try:
        yield drawn()
    finally:
        stopped.set()
        thread.join()


class _Finished(Exception):
    """Marks the end of the items."""
