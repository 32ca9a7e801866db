"""The plan of a run: everything that decides its result, fixed before the first window is read.

A plan is made from the facts of the scene and the model, and the options. It is written as JSON to
the manifest of a job. Two runs whose plans have the same hash write the same pixels.
"""

import hashlib
import json
import math
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
from rrsis_geo.segment.plan.landmarks import asked_phrases, read_queries
from rrsis_geo.segment.plan.memory import usable_memory
from rrsis_geo.segment.plan.options import SMALLEST_MODEL_PX, SegmentOptions
from rrsis_geo.text.query.records import Query
from rrsis_geo.units import format_bytes
from rrsis_geo.version import __version__

MAX_SIDE_PX = 2**24
"""Maximum number of rows or columns of a run: 1600 km at 10 cm."""
BYTES_PER_ROW_PX = 30
"""Memory per pixel of a row of windows: its colours three times, sums, logits and masks."""
BYTES_PER_ROW_PX_MORE = 21
"""Memory per pixel for each further phrase: all of the above but the colours."""
SHARD_PX = 2**25
"""Approximate number of pixels in a shard. A small network needs half a minute for them on a CPU,
so an interruption costs no more. Many shards cost nothing: consecutive ones share window rows."""

SMALLEST_OBJECT_TAG = "smallest_object_px"
"""Tag of a raster: `Plan.smallest_object_px`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that decides the result of a run, and how it is divided into shards.

    Attributes:
        scene: the part of the scene that is segmented.
        expressions: one or more.
        model: facts of the model.
        options: as chosen.
        stretch: conversion of the values of the scene to 8-bit colours.
        model_px: the model grid: the extent of the scene in the pixels that the model sees.
        grid: windows on the model grid.
        shards: runs of rows on the grid of the scene.
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
        """The plan, ready for JSON."""
        return {**self._result_facts(), "shards": [asdict(shard) for shard in self.shards]}

    @property
    def hash(self) -> str:
        """Sha256 of everything that decides the result. The shards do not change it."""
        text = json.dumps(self._result_facts(), sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def queries(self) -> tuple[Query, ...]:
        """What each expression asks for."""
        return read_queries(self.expressions, self.options.landmarks, self.model.language)

    @property
    def phrases(self) -> tuple[str, ...]:
        """What the network is asked for: the expressions themselves if no rule is in them."""
        return asked_phrases(self.queries, self.options.landmarks)

    @property
    def smallest_object_px(self) -> int:
        """Pixels of the scene that are `SMALLEST_MODEL_PX` pixels of the model."""
        return math.ceil(SMALLEST_MODEL_PX / (self.model_px.scale_row * self.model_px.scale_col))

    def own_window_rows(self, shard: Shard) -> range:
        """Window rows that are counted for a shard: those that the shards above do not need."""
        above = self.shards[shard.index - 1].window_row_stop if shard.index else 0
        return range(max(above, shard.window_row_start), shard.window_row_stop)

    def footprint(self, row_i: int, col_j: int) -> Window:
        """Pixels of the scene that a window covers; may extend beyond the scene."""
        grid, model = self.grid, self.model_px
        top, left = (
            start - grid.margin_px for start, _ in (grid.rows_of(row_i), grid.cols_of(col_j))
        )
        row_start, row_stop = _scaled(top, grid.size_px, model.scale_row)
        col_start, col_stop = _scaled(left, grid.size_px, model.scale_col)
        return Window(col_start, row_start, col_stop - col_start, row_stop - row_start)

    def provenance(self, expression: str) -> dict[str, Any]:
        """Provenance of the result of an expression, ready for JSON: enough to repeat the run."""
        return {
            "software": f"rrsis-geo {__version__}",
            "plan_hash": self.hash,
            "expression": expression,
            **reading_fact(self.queries[self.expressions.index(expression)]),
            **self.to_dict(),
        }

    def landmark_provenance(self, landmark: str) -> dict[str, Any]:
        """The same for the layer of a landmark."""
        software = f"rrsis-geo {__version__}"
        facts = {"software": software, "plan_hash": self.hash, "landmark": landmark}
        return {**facts, **self.to_dict()}

    def raster_tags(self, expression: str) -> dict[str, str]:
        """Short provenance, for the metadata of a raster."""
        return {
            "software": f"rrsis-geo {__version__}",
            "plan_hash": self.hash,
            "expression": expression,
            "model": self.model.name,
            SMALLEST_OBJECT_TAG: str(self.smallest_object_px),
        }

    def _result_facts(self) -> dict[str, Any]:
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
                "language": self.model.language,
                "image": self.model.image.to_dict(),
                # what is not set is left out, as in the records of earlier releases
                **({} if self.model.presence is None else {"presence": self.model.presence}),
                **self.model.calibration.to_record(),
                **({"tta": True} if self.model.tta else {}),
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


def reading_fact(query: Query) -> dict[str, str]:
    """How an expression was understood, by name; {} where the network alone answers it."""
    return {} if query.is_plain else {"reading": str(query)}


def make_plan(
    scene: SceneInfo,
    expressions: Sequence[str],
    model: ModelFacts,
    options: SegmentOptions,
    stretch: Stretch,
) -> Plan:
    """Divide a scene into windows on the model grid, and into shards.

    Args:
        scene: the part of the scene to segment.
        expressions: one or more.
        model: facts of the model.
        options: as chosen.
        stretch: of the whole scene.

    Raises:
        ConfigError: an option does not fit the scene or the model.
        InputError: the scene is too large, or too wide for the memory of this machine.
    """
    check_size(scene)
    model_px = model_grid(scene, working_gsd_m(scene, options.scene, model.image.gsd_range_m))
    grid = WindowGrid(
        height=model_px.height,
        width=model_px.width,
        size_px=model.image.size_px,
        overlap_px=options.overlap_px,
    )
    rows = options.rows_per_shard or _rows_per_shard(scene)
    plan = Plan(
        scene=scene,
        expressions=tuple(expressions),
        model=model,
        options=options,
        stretch=stretch,
        model_px=model_px,
        grid=grid,
        shards=tuple(plan_shards(grid, rows, scene_height=scene.height)),
    )
    _check_memory(scene, grid, len(plan.phrases))
    return plan


def check_size(scene: SceneInfo) -> None:
    """Check the size of a scene. Larger ones are most likely files with a damaged header.

    Raises:
        InputError: the scene is too large.
    """
    if max(scene.shape) > MAX_SIDE_PX:
        raise InputError(
            f"{scene.path}: {scene.width} x {scene.height} pixels are too many for one run; the "
            "file may be damaged. If it is not, segment a part of it with --bbox or --aoi"
        )


def _check_memory(scene: SceneInfo, grid: WindowGrid, n_phrases: int) -> None:
    """Check that a row of windows fits into the memory that this process may use."""
    usable = usable_memory()
    row_px = grid.size_px * grid.padded_width
    needed = (BYTES_PER_ROW_PX + (n_phrases - 1) * BYTES_PER_ROW_PX_MORE) * row_px
    if usable is None or needed <= usable:
        return
    n_possible = 1 + (usable - BYTES_PER_ROW_PX * row_px) // (BYTES_PER_ROW_PX_MORE * row_px)
    if n_possible >= 1:
        raise InputError(
            f"{scene.path}: {n_phrases} expressions at once need about {format_bytes(needed)} "
            f"of memory, this machine has {format_bytes(usable)}; give at most {n_possible} at "
            "once, or segment narrower parts with --bbox"
        )
    raise InputError(
        f"{scene.path}: the scene is too wide with {scene.width} pixels: a row of windows "
        f"needs about {format_bytes(BYTES_PER_ROW_PX * row_px)} of memory, this machine has "
        f"{format_bytes(usable)}; segment narrower parts with --bbox"
    )


def _rows_per_shard(scene: SceneInfo) -> int:
    """Height of shards of equal height, each of about `SHARD_PX` pixels."""
    max_rows = max(SHARD_PX // scene.width, 1)
    n_shards = -(-scene.height // max_rows)
    return -(-scene.height // n_shards)


def _scaled(start: int, length: int, scale: float) -> tuple[int, int]:
    """Pixels [start, stop) of the scene that some pixels of the model grid cover."""
    return math.floor(start / scale), math.ceil((start + length) / scale)
