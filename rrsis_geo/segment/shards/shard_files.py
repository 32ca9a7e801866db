"""Files and statistics of a completed shard."""

import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np

from rrsis_geo.errors import OutputError
from rrsis_geo.geo.grid.rasters import Kind
from rrsis_geo.geo.grid.windows import Shard
from rrsis_geo.geo.objects.objects import Objects
from rrsis_geo.geo.objects.strips import OpenStrip
from rrsis_geo.segment.shards.failures import FailedWindow


@dataclass(slots=True)
class ShardStats:
    """Statistics of one shard or several, for one expression.

    Attributes:
        windows: number of predicted windows.
        skipped: number of windows without valid pixels.
        network_seconds: time spent in the predictor, shared evenly between expressions.
        presence_max: highest log-odds that the target is in a window; None if the predictor does
            not give them.
        pixel_max: highest log-odds of a pixel, after blending; None if no pixel has data.
        failed: failed windows. A window that overlaps two shards is in both.
        scores: for each predicted window: its row and column, the log-odds that the target is in
            it (or None), and the highest log-odds of its pixels.
    """

    windows: int = 0
    skipped: int = 0
    network_seconds: float = 0.0
    presence_max: float | None = None
    pixel_max: float | None = None
    failed: list[FailedWindow] = field(default_factory=list)
    scores: list[tuple[int, int, float | None, float]] = field(default_factory=list)

    def add(self, other: "ShardStats") -> None:
        """Add the statistics of another shard."""
        self.windows += other.windows
        self.skipped += other.skipped
        self.network_seconds += other.network_seconds
        self.update_presence(other.presence_max)
        self.update_pixel(other.pixel_max)
        self.failed += other.failed
        self.scores += other.scores

    def update_presence(self, presence: float | None) -> None:
        """Update the maximum with another value."""
        self.presence_max = _highest(self.presence_max, presence)

    def update_pixel(self, logit: float | None) -> None:
        """Update the maximum with another value."""
        self.pixel_max = _highest(self.pixel_max, logit)

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> "ShardStats":
        """The inverse of `to_dict`."""
        failed = [FailedWindow.from_dict(window) for window in record["failed"]]
        return ShardStats(**{**record, "failed": failed})


def _highest(*values: float | None) -> float | None:
    """The highest value that is known."""
    return max((value for value in values if value is not None), default=None)


@dataclass(frozen=True, slots=True)
class ShardFiles:
    """Paths of the files of a shard. Expressions are numbered from 0.

    Attributes:
        folder: of this shard alone.
    """

    folder: Path

    def part(self, expression_i: int, part_i: int) -> Path:
        """Objects in some of the rows of the shard."""
        return self.folder / f"objects-{expression_i:03d}-{part_i:05d}.npz"

    def parts(self, expression_i: int) -> list[Path]:
        """All existing object files of an expression, from top to bottom."""
        return sorted(self.folder.glob(f"objects-{expression_i:03d}-*.npz"))

    def raster(self, expression_i: int, kind: Kind) -> Path:
        """Rows of a raster."""
        return self.folder / f"{kind}-{expression_i:03d}.tif"


class FinishedShard(NamedTuple):
    """A shard whose files are complete.

    Attributes:
        shard: of the plan.
        files: in the folder where the shard was computed.
        stats: one per expression.
    """

    shard: Shard
    files: ShardFiles
    stats: tuple[ShardStats, ...]


def load_objects(path: Path) -> tuple[Objects, OpenStrip]:
    """Load the closed objects of some rows, and the pieces of objects that cross their edges.

    Raises:
        OutputError: the file is missing or damaged.
    """
    try:
        with np.load(path) as arrays:
            return Objects.from_arrays(arrays), OpenStrip.from_arrays(arrays)
    except (OSError, EOFError, ValueError, KeyError, BadZipFile, zlib.error) as err:
        raise OutputError(
            f"{path}: saved objects of this job are missing or damaged ({err}); start it again "
            "with --restart"
        ) from err
