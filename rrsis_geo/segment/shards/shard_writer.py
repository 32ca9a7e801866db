"""Write the rasters and the objects of one shard, for one expression."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine

from rrsis_geo.errors import OutputError
from rrsis_geo.files import sync
from rrsis_geo.geo.grid.finish import FinishedRows
from rrsis_geo.geo.grid.rasters import Georeference, Kind, RasterWriter, encode_mask
from rrsis_geo.geo.grid.windows import Shard
from rrsis_geo.geo.objects.objects import Objects
from rrsis_geo.geo.objects.vectorize import BandVectorizer
from rrsis_geo.segment.plan.plan import Plan
from rrsis_geo.segment.shards.shard_files import ShardFiles

MAX_OBJECTS = 100_000
"""Closed objects are saved when about this many are in memory."""


class ShardWriter:
    """Writes finished rows as rasters and objects."""

    def __init__(
        self,
        plan: Plan,
        expression_i: int,
        shard: Shard,
        files: ShardFiles,
        rasters: tuple[Kind, ...],
    ) -> None:
        """Create the raster files.

        Args:
            plan: of the run.
            expression_i: index of the expression in the plan.
            shard: to be written.
            files: paths in an existing folder.
            rasters: rasters to write.

        Raises:
            OutputError: a file cannot be created.
        """
        self._files = files
        self._expression_i = expression_i
        self._shard = shard
        self._width = plan.scene.width
        self._vectorizer = BandVectorizer(self._width, row_start=shard.row_start)
        self._closed: list[Objects] = []
        self._n_closed = self._n_parts = 0
        with ExitStack() as stack:
            self._rasters = {
                kind: stack.enter_context(
                    _create_raster(plan, shard, files.raster(expression_i, kind), kind)
                )
                for kind in rasters
            }
            self._open_files = stack.pop_all()

    def write(self, row_start: int, rows: FinishedRows) -> None:
        """Write the next rows on the grid of the scene."""
        if "probability" in self._rasters:
            assert rows.steps is not None
            self._rasters["probability"].write_band(row_start - self._shard.row_start, rows.steps)
        if "mask" in self._rasters:
            encoded = encode_mask(rows.mask, rows.valid)
            self._rasters["mask"].write_band(row_start - self._shard.row_start, encoded)
        closed = self._vectorizer.add_band(row_start, rows.mask, rows.probability)
        self._closed.append(closed)
        self._n_closed += len(closed)
        if self._n_closed >= MAX_OBJECTS:
            self._save_part(row_start + len(rows.mask))

    def close(self) -> None:
        """Complete the files after the last row.

        Raises:
            OutputError: the disk is full, or the folder is missing.
        """
        self._save_part(self._shard.row_stop)
        self._open_files.close()

    def discard(self) -> None:
        """Close the files of a shard that will not be completed."""
        error = _Discarded()
        self._open_files.__exit__(type(error), error, None)

    def _save_part(self, row_stop: int) -> None:
        """Save the objects above a row, and start again below it, as at the top of a shard."""
        arrays: dict[str, Any] = {
            **Objects.concat(self._closed).to_arrays(),
            **self._vectorizer.finish().to_arrays(),
        }
        path = self._files.part(self._expression_i, self._n_parts)
        try:
            np.savez(path, **arrays)
            sync(path)
        except OSError as err:
            raise OutputError(f"{path}: cannot be written ({err.strerror or err})") from err
        self._vectorizer = BandVectorizer(self._width, row_start=row_stop)
        self._closed, self._n_closed = [], 0
        self._n_parts += 1


class _Discarded(Exception):
    """Makes raster writers remove their temporary files."""


def _create_raster(plan: Plan, shard: Shard, path: Path, kind: Kind) -> RasterWriter:
    scene = plan.scene
    transform = scene.transform @ Affine.translation(0, shard.row_start)
    georeference = Georeference((shard.n_rows, scene.width), scene.crs, transform)
    return RasterWriter(path, kind, georeference, cog=False)
