"""What a shard leaves in its folder: rows of rasters, objects, and what happened."""

import math
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from rrsis_geo.errors import OutputError
from rrsis_geo.files import sync
from rrsis_geo.geo.grid.rasters import (
    Georeference,
    Kind,
    RasterWriter,
    encode_mask,
    encode_probability,
)
from rrsis_geo.geo.grid.windows import Shard
from rrsis_geo.geo.objects.objects import Objects
from rrsis_geo.geo.objects.strips import OpenStrip
from rrsis_geo.geo.objects.vectorize import BandVectorizer
from rrsis_geo.log_odds import sigmoid, to_log_odds
from rrsis_geo.segment.plan.plan import Plan
from rrsis_geo.segment.shards.failures import FailedWindow

OBJECTS_HELD = 100_000
"""Closed objects that are kept in memory, about, before they are saved."""


@dataclass(slots=True)
class ShardStats:
    """What happened in a shard, or in several, with one expression.

    Attributes:
        windows: that the network saw.
        skipped: that hold no valid pixel.
        network_seconds: spent in the predictor; what expressions share is shared out evenly.
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
    """What lies in the folder of a shard; expressions go by their number, from 0.

    Attributes:
        folder: of this shard alone.
    """

    folder: Path

    def part(self, expression_i: int, number: int) -> Path:
        """Closed objects and open pieces of a run of its rows."""
        return self.folder / f"objects-{expression_i:03d}-{number:05d}.npz"

    def parts(self, expression_i: int) -> list[Path]:
        """All of these that there are, from the top down."""
        return sorted(self.folder.glob(f"objects-{expression_i:03d}-*.npz"))

    def raster(self, expression_i: int, kind: Kind) -> Path:
        """Its rows of the mask or of the probability."""
        return self.folder / f"{kind}-{expression_i:03d}.tif"


class FinishedShard(NamedTuple):
    """A shard whose files are whole."""

    shard: Shard
    files: ShardFiles
    stats: tuple[ShardStats, ...]  # of each expression


class ShardSink:
    """Makes masks and objects of the rows of one shard, for one expression."""

    def __init__(
        self,
        plan: Plan,
        number: int,
        shard: Shard,
        files: ShardFiles,
        rasters: tuple[Kind, ...],
    ) -> None:
        self._files = files
        self._number = number
        self._shard = shard
        self._width = plan.scene.width
        threshold = plan.options.threshold
        self._limit = np.float32(to_log_odds(threshold))
        self._vectorizer = BandVectorizer(self._width, row_start=shard.row_start)
        self._closed: list[Objects] = []
        self._n_closed = self._n_parts = 0
        with ExitStack() as stack:
            self._writers = {
                kind: stack.enter_context(
                    _raster_writer(plan, shard, files.raster(number, kind), kind)
                )
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
        path = self._files.part(self._number, self._n_parts)
        try:
            np.savez(path, **arrays)
            sync(path)
        except OSError as err:
            raise OutputError(f"{path}: cannot be written ({err.strerror or err})") from err
        self._vectorizer = BandVectorizer(self._width, row_start=row_stop)
        self._closed, self._n_closed = [], 0
        self._n_parts += 1


class _Abandoned(Exception):
    """Tells writers that the rest does not come."""


def _raster_writer(plan: Plan, shard: Shard, path: Path, kind: Kind) -> RasterWriter:
    scene = plan.scene
    transform = scene.transform @ Affine.translation(0, shard.row_start)
    georeference = Georeference((shard.n_rows, scene.width), scene.crs, transform)
    return RasterWriter(path, kind, georeference, cog=False)


def load_objects(path: Path) -> tuple[Objects, OpenStrip]:
    """The closed objects and the open pieces of a part."""
    with np.load(path) as arrays:
        return Objects.from_arrays(arrays), OpenStrip.from_arrays(arrays)
