"""The plan of a run: everything that decides its result, fixed before the first window is read.

A plan is made of the scene's facts, the model's facts and the user's options. It can be written as
JSON (the manifest of a run) and has a hash: two runs with one hash write the same pixels.
"""

import hashlib
import json
import logging
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from numpy import float32, uint8
from numpy.typing import NDArray
from rasterio.windows import Window

from rrsis_geo.errors import ConfigError, InputError
from rrsis_geo.files import absolute_path
from rrsis_geo.geo.grid.model_grid import ModelGrid, model_grid
from rrsis_geo.geo.grid.windows import Shard, WindowGrid, plan_shards
from rrsis_geo.geo.scene.options import SceneOptions, working_gsd_m
from rrsis_geo.geo.scene.radiometry import Stretch
from rrsis_geo.geo.scene.scene import SceneInfo
from rrsis_geo.images import ImageSpec
from rrsis_geo.model.names import DEFAULT_BUNDLE
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


RESULT_OPTIONS = ("dtype", "overlap_px", "threshold", "min_area_m2", "simplify_m")
"""Fields of `SegmentOptions` that change the result, besides those of `SceneOptions`."""


class WindowOutput(Protocol):
    """What a predictor says of B windows."""

    @property
    def logits(self) -> NDArray[float32]:
        """Log-odds that a pixel is the target, float32 [B, S, S], finite."""

    @property
    def presence(self) -> NDArray[float32] | None:
        """Log-odds that the target is in the window, float32 [B], or None."""


class WindowPredictor(Protocol):
    """What a scene is segmented with: `rrsis_geo.model.Predictor`, or anything like it."""

    @property
    def image(self) -> ImageSpec:
        """Window size and ground pixel."""

    def encode(self, expression: str) -> Any:
        """The words of an expression, for `logits`."""

    def predict(self, images: NDArray[uint8], words: Any) -> WindowOutput:
        """What is said of windows, uint8 RGB [B, S, S, 3]."""


@runtime_checkable
class SharingPredictor(WindowPredictor, Protocol):
    """One that does for all expressions at once what they have in common."""

    def predict_all(self, images: NDArray[uint8], words: Sequence[Any]) -> Sequence[WindowOutput]:
        """What is said of windows for the words of each expression: as `logits` says it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentOptions:
    """What a user can choose.

    Attributes:
        model: name or folder of a bundle.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        dtype: "auto", "fp32", "bf16", "fp16".
        batch_size: windows run at once, for one expression after the other; None for a size that
            suits the device. Changes nothing but, maybe, the last bits of a network's arithmetic.
        threads: of the processor for the network, None leaves the choice to torch.
        overlap_px: pixels that neighbouring windows share, on the model grid.
        threshold: probability above which a pixel belongs to the target.
        min_area_m2: objects smaller than this are left out, in square metres on the ground.
        simplify_m: by how much outlines may be straightened, in metres on the ground.
        scene: how the scene is read: its area, bands and ground pixel.
        rows_per_shard: output rows of a shard, None for a size that suits the scene; never changes
            the result.
    """

    model: str = DEFAULT_BUNDLE
    device: str = "auto"
    dtype: str = "auto"
    batch_size: int | None = None
    threads: int | None = None
    overlap_px: int = 128
    threshold: float = 0.5
    min_area_m2: float = 0.0
    simplify_m: float = 0.0
    scene: SceneOptions = field(default_factory=SceneOptions)
    rows_per_shard: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise ConfigError(f"threshold must be between 0 and 1, got {self.threshold:g}")
        for name in ("min_area_m2", "simplify_m"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ConfigError(f"{name} must be 0 or more, got {value:g}")
        for name in ("batch_size", "threads", "rows_per_shard"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}")

    def to_manifest(self) -> dict[str, Any]:
        """The options that the result depends on, ready for JSON."""
        own = {name: getattr(self, name) for name in RESULT_OPTIONS}
        return {**own, **self.scene.to_dict()}

    @staticmethod
    def from_manifest(record: Mapping[str, Any]) -> "SegmentOptions":
        """The options of a manifest; those that the result does not depend on have defaults.

        Raises:
            ConfigError: the record has other fields.
        """
        own = {name: record[name] for name in RESULT_OPTIONS if name in record}
        scene = {name: value for name, value in record.items() if name not in RESULT_OPTIONS}
        try:
            return SegmentOptions(**own, scene=SceneOptions.from_dict(scene))
        except TypeError as err:
            raise ConfigError(f"the manifest holds unknown options: {err}") from err


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What is known of the model of a run.

    Attributes:
        name: of the bundle, or of the predictor's class.
        image: what its windows look like.
        sha256: of the weights, "" where there are none.
        dtype: what it computes in, "" where unknown.
        about: what the bundle says of itself.
    """

    name: str
    image: ImageSpec
    sha256: str = ""
    dtype: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def of(predictor: WindowPredictor) -> "ModelFacts":
        """The facts of a predictor's bundle, or of one without."""
        bundle = getattr(predictor, "bundle", None)
        dtype = str(getattr(predictor, "dtype", "")).removeprefix("torch.")
        if bundle is None:
            name = type(predictor).__name__
            return ModelFacts(name=name, image=predictor.image, dtype=dtype)
        return ModelFacts(
            name=bundle.name,
            image=predictor.image,
            sha256=bundle.sha256,
            dtype=dtype,
            about=bundle.about,
        )

    def refuse_other(self, predictor: WindowPredictor, job: Path) -> None:
        """See that a predictor is the one that a job was begun with.

        Raises:
            ConfigError: it has other weights, or computes in another dtype.
        """
        found = ModelFacts.of(predictor)
        if (found.sha256, found.dtype) != (self.sha256, self.dtype):
            raise ConfigError(
                f"{job}: was begun with the model {self.name} ({self.sha256[:12]}) in "
                f"{self.dtype}; here it is {found.name} ({found.sha256[:12]}) in {found.dtype}"
            )


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
