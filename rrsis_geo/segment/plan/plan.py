"""The plan of a run: everything that decides its result, fixed before the first window is read.

A plan is made of the scene's facts, the model's facts and the user's options. It can be written as
JSON (the manifest of a run) and has a hash: two runs with one hash write the same pixels.
"""

import hashlib
import json
import logging
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from rasterio.windows import Window

from rrsis_geo.errors import InputError
from rrsis_geo.files import absolute_path
from rrsis_geo.geo.grid.model_grid import ModelGrid, model_grid
from rrsis_geo.geo.grid.windows import Shard, WindowGrid, plan_shards
from rrsis_geo.geo.scene.options import working_gsd_m
from rrsis_geo.geo.scene.radiometry import Stretch
from rrsis_geo.geo.scene.scene import Scene, SceneInfo
from rrsis_geo.model.facts import ModelFacts
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.units import format_bytes
from rrsis_geo.version import __version__

logger = logging.getLogger(__name__)

MOST_SIDE_PX = 2**24
"""Rows or columns of a part of a scene that is worked on: 1600 km at 10 cm."""
BYTES_PER_ROW_PX = 30
"""Held for each pixel of a row of windows: its colours three times, sums, logits, masks."""
BYTES_PER_ROW_PX_MORE = 21
"""Held for each of them by each expression but the first: all but the colours."""
SHARD_PX = 2**25
"""Output pixels of a shard, about: half a minute of a small network's work on a processor, which is
what an interruption may cost. Shards that follow each other share their window rows, so that it
costs nothing to have many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run does, whole and fixed.

    Attributes:
        scene: the part of the scene that is worked on.
        expressions: what is looked for.
        model: what looks.
        options: as chosen.
        stretch: how the scene's values become colours.
        model_px: the model grid: the scene's extent in the pixels that the model sees.
        grid: windows on the model grid.
        shards: runs of rows, on the scene's grid.
    """

    scene: SceneInfo
    expressions: tuple[str, ...]
    model: ModelFacts
    options: SegmentOptions
    stretch: Stretch
    model_px: ModelGrid
    grid: WindowGrid
    shards: tuple[Shard, ...]

    def to_dict(self) -> dict[str, Any]:
        """The manifest of the run, ready for JSON."""
        return {**self._deciding(), "shards": [asdict(shard) for shard in self.shards]}

    @property
    def hash(self) -> str:
        """Sha256 of all that decides the result; the shards do not."""
        text = json.dumps(self._deciding(), sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def own_window_rows(self, shard: Shard) -> range:
        """The window rows that are counted for a shard: those that no shard above it needs."""
        above = self.shards[shard.index - 1].window_row_stop if shard.index else 0
        return range(max(above, shard.window_row_start), shard.window_row_stop)

    def footprint(self, row_i: int, col_j: int) -> Window:
        """Where a window lies on the scene's own grid, in whole pixels; may reach beyond it."""
        grid, model = self.grid, self.model_px
        top, left = (
            start - grid.margin_px for start, _ in (grid.rows_of(row_i), grid.cols_of(col_j))
        )
        row_start, row_stop = _scaled(top, grid.size_px, model.scale_row)
        col_start, col_stop = _scaled(left, grid.size_px, model.scale_col)
        return Window(col_start, row_start, col_stop - col_start, row_stop - row_start)

    def provenance(self, expression: str) -> dict[str, Any]:
        """What made the result of an expression, ready for JSON: enough to make it again."""
        return {
            "software": f"rrsis-geo {__version__}",
            "plan_hash": self.hash,
            "expression": expression,
            **self.to_dict(),
        }

    def raster_tags(self, expression: str) -> dict[str, str]:
        """The same in short."""
        return {
            "software": f"rrsis-geo {__version__}",
            "plan_hash": self.hash,
            "expression": expression,
            "model": self.model.name,
        }

    def _deciding(self) -> dict[str, Any]:
        scene = self.scene
        return {
            "scene": {
                "path": absolute_path(scene.path),
                "size_bytes": scene.size_bytes,
                "mtime": scene.mtime,
                "bands": list(scene.bands),
                "validity": scene.validity,
                "nodata": None if scene.nodata is None else repr(scene.nodata),
                "window": [scene.row_off, scene.col_off, scene.height, scene.width],
            },
            "expressions": list(self.expressions),
            "model": {
                "name": self.model.name,
                "sha256": self.model.sha256,
                "dtype": self.model.dtype,
                "image": self.model.image.to_dict(),
            },
            "options": self.options.to_manifest(),
            "stretch": self.stretch.to_dict(),
            "grid": asdict(self.grid),
        }


class PreparedRun(NamedTuple):
    """An open scene with its plan, and the shards to compute.

    Attributes:
        scene: the part of the scene that the plan covers.
        plan: of the run.
        shards: those of the plan that have to be computed: all, or one part of them.
    """

    scene: Scene
    plan: Plan
    shards: tuple[Shard, ...]


def make_plan(
    scene: SceneInfo,
    expressions: Sequence[str],
    model: ModelFacts,
    options: SegmentOptions,
    stretch: Stretch,
) -> Plan:
    """Lay the model grid, its windows and the shards over a scene.

    Raises:
        ConfigError: options that do not fit the scene or the model.
        InputError: the scene is larger than any, or wider than this machine's memory allows.
    """
    check_size(scene)
    model_px = model_grid(scene, working_gsd_m(scene, options.scene, model.image.gsd_range_m))
    grid = WindowGrid(
        height=model_px.height,
        width=model_px.width,
        size_px=model.image.size_px,
        overlap_px=options.overlap_px,
    )
    _check_memory(scene, grid, len(expressions))
    rows = options.rows_per_shard or _rows_per_shard(scene)
    return Plan(
        scene=scene,
        expressions=tuple(expressions),
        model=model,
        options=options,
        stretch=stretch,
        model_px=model_px,
        grid=grid,
        shards=tuple(plan_shards(grid, rows, scene_height=scene.height)),
    )


def check_size(scene: SceneInfo) -> None:
    """Refuse what is larger than any scene, most likely by a damaged header.

    Raises:
        InputError: it is.
    """
    if max(scene.shape) > MOST_SIDE_PX:
        raise InputError(
            f"{scene.path}: {scene.width} x {scene.height} pixels are too many for one run; is it "
            "damaged? If not, work on a part of it: --bbox or --aoi"
        )


def _check_memory(scene: SceneInfo, grid: WindowGrid, n_expressions: int) -> None:
    """Refuse a row of windows that is larger than the memory of this machine."""
    if not hasattr(os, "sysconf"):
        return
    per_px = BYTES_PER_ROW_PX + (n_expressions - 1) * BYTES_PER_ROW_PX_MORE
    needed = per_px * grid.size_px * grid.padded_width
    present = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > present:
        raise InputError(
            f"{scene.path}: {scene.width} pixels are too wide: a row of windows needs about "
            f"{format_bytes(needed)} of memory, this machine has {format_bytes(present)}; "
            "work on parts of it, side by side: --bbox"
            + (", or look for fewer expressions at once" if n_expressions > 1 else "")
        )


def _rows_per_shard(scene: SceneInfo) -> int:
    """Shards of equal height, each of about `SHARD_PX` pixels."""
    most = max(SHARD_PX // scene.width, 1)
    return -(-scene.height // -(-scene.height // most))


def _scaled(start: int, length: int, scale: float) -> tuple[int, int]:
    """Pixels [start, stop) of the scene that pixels of the model grid lie on."""
    return math.floor(start / scale), math.ceil((start + length) / scale)
