"""The main job: a scene and an expression in, polygons and rasters out.

Everything that can be checked is checked before the first window is read. Results are kept in a
hidden folder beside the output until they are whole.
"""

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rasterio.crs import CRS
from rasterio.errors import CRSError

from rrsis_geo.bundle import load_bundle
from rrsis_geo.errors import ConfigError, InputError
from rrsis_geo.geo.aoi import aoi_area, bbox_area
from rrsis_geo.geo.masks import Kind
from rrsis_geo.geo.radiometry import measure_stretch
from rrsis_geo.geo.scene import Scene, open_scene
from rrsis_geo.pipeline.advice import after_run, before_run, probability
from rrsis_geo.pipeline.merge import Merger
from rrsis_geo.pipeline.outputs import Outputs, job_folder
from rrsis_geo.pipeline.plan import ModelFacts, Plan, SegmentOptions, WindowPredictor, make_plan
from rrsis_geo.pipeline.shard import ShardFiles, ShardStats, run_shard
from rrsis_geo.predictor import Predictor

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
"""Called with the name of a stage, how many of its steps are done, and how many there are."""

CPU_BATCH = 4
"""Windows at once: enough to keep some cores busy, little against a network's memory."""
GPU_BATCH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentReport:
    """What a run did.

    Attributes:
        scene: as given.
        expression: as looked for.
        model: name of the bundle, or of the predictor's class.
        outputs: files written, by kind.
        n_objects: polygons written.
        area_m2: of all of them on the ground; None where unknown, for want of a CRS.
        windows: that the network saw.
        skipped: windows that hold no valid pixel.
        presence_max: the highest probability that the target is in a window, None where the model
            does not say.
        seconds: of the whole run.
        load_seconds: of it to load the model.
        network_seconds: of it in the network.
        plan_hash: of all that decides the result.
        warnings: what the user was told.
    """

    scene: str
    expression: str
    model: str
    outputs: dict[str, Path]
    n_objects: int
    area_m2: float | None
    windows: int
    skipped: int
    presence_max: float | None
    seconds: float
    load_seconds: float
    network_seconds: float
    plan_hash: str
    warnings: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        outputs = {name: str(path) for name, path in self.outputs.items()}
        return {**fields, "outputs": outputs, "warnings": list(self.warnings)}


def segment_scene(
    scene: str | Path,
    expression: str,
    outputs: Outputs,
    options: SegmentOptions | None = None,
    *,
    predictor: WindowPredictor | None = None,
    progress: Progress | None = None,
) -> SegmentReport:
    """Find what an expression says in a scene, and write it as polygons and rasters.

    Args:
        scene: anything that GDAL opens.
        expression: what to look for, in English.
        outputs: files to write.
        options: None takes all defaults.
        predictor: what looks, in place of the bundle that the options name.
        progress: told how far the run is.

    Raises:
        ConfigError: options that do not make sense, or not for this scene.
        InputError: the scene, the area of interest or the expression cannot be used.
        ModelError: the bundle is missing or damaged.
        OutputError: a result cannot be written; no trace of it is left then.
        DeviceError: the device cannot do the work.
    """
    started = time.perf_counter()
    options = options or SegmentOptions()
    expression = _checked(expression)
    outputs.check([Path(scene), *([options.aoi] if options.aoi else [])])
    with (
        _collected_warnings() as warnings,
        open_scene(
            scene, bands=options.bands, nodata=options.nodata, allow_no_crs=options.allow_no_crs
        ) as whole,
        job_folder(outputs.vector) as folder,
    ):
        part = part_of(whole, options)
        outputs.check_space(part.info.width * part.info.height)
        before_load = time.perf_counter()
        predictor = predictor or _load_predictor(options)
        load_seconds = time.perf_counter() - before_load
        words = predictor.encode(expression)
        model = ModelFacts.of(predictor)
        plan = make_plan(part.info, expression, model, options, measure_stretch(whole))
        files = [ShardFiles(folder, shard.index) for shard in plan.shards]
        merger = Merger(plan, files, outputs)
        _tell(before_run(plan, predictor))

        rasters = outputs.rasters()
        stats = _run_shards(
            part, plan, predictor, words, files, rasters=rasters, progress=progress or _silent
        )
        for kind in rasters:
            merger.write_raster(kind)
        merger.write_layer(part)
        _tell(after_run(plan, stats.presence_max))
    return SegmentReport(
        scene=str(scene),
        expression=expression,
        model=model.name,
        outputs=outputs.files(),
        n_objects=merger.n_objects,
        area_m2=merger.area_m2 if math.isfinite(merger.area_m2) else None,
        windows=stats.windows,
        skipped=stats.skipped,
        presence_max=None if stats.presence_max is None else probability(stats.presence_max),
        seconds=time.perf_counter() - started,
        load_seconds=load_seconds,
        network_seconds=stats.network_seconds,
        plan_hash=plan.hash,
        warnings=tuple(warnings),
    )


def _checked(expression: str) -> str:
    """The expression with single blanks.

    Raises:
        InputError: there is no word in it.
    """
    if not any(char.isalnum() for char in expression):
        raise InputError('the expression is empty; say what to look for, as in "the red car"')
    return " ".join(expression.split())


def _tell(advice: Iterable[str]) -> None:
    for text in advice:
        logger.warning(text)


def part_of(scene: Scene, options: SegmentOptions) -> Scene:
    """The part of a scene that the options ask for.

    Raises:
        ConfigError: the CRS of the bbox is none.
        InputError: the area lies outside the scene, or cannot be read.
    """
    if options.aoi is not None:
        return scene.crop(aoi_area(scene.info, options.aoi))
    if options.bbox is None:
        return scene
    crs = None
    if options.bbox_crs is not None:
        try:
            crs = CRS.from_user_input(options.bbox_crs)
        except (CRSError, ValueError) as err:
            raise ConfigError(
                f'"{options.bbox_crs}" is no CRS; write EPSG:4326 or the like'
            ) from err
    return scene.crop(bbox_area(scene.info, options.bbox, crs))


def _load_predictor(options: SegmentOptions) -> WindowPredictor:
    bundle = load_bundle(options.model)
    return Predictor(bundle, options.device, options.dtype, threads=options.threads)


def _run_shards(
    scene: Scene,
    plan: Plan,
    predictor: WindowPredictor,
    words: Any,
    files: Sequence[ShardFiles],
    *,
    rasters: tuple[Kind, ...],
    progress: Progress,
) -> ShardStats:
    """Every shard of a plan, one after the other."""
    total = ShardStats()
    done = 0
    n_windows = sum(s.window_row_stop - s.window_row_start for s in plan.shards) * plan.grid.n_cols

    def count_row() -> None:
        nonlocal done
        done += plan.grid.n_cols
        progress("windows", done, n_windows)

    progress("windows", 0, n_windows)
    batch_size = plan.options.batch_size or _batch_size(predictor)
    for shard, file in zip(plan.shards, files, strict=True):
        stats = run_shard(
            scene,
            plan,
            shard,
            predictor,
            words,
            file,
            rasters=rasters,
            batch_size=batch_size,
            on_window_row=count_row,
        )
        total.add(stats)
    return total


def _batch_size(predictor: WindowPredictor) -> int:
    device = getattr(predictor, "device", None)
    return GPU_BATCH if device is not None and device.type != "cpu" else CPU_BATCH


def _silent(stage: str, done: int, total: int) -> None:
    pass


@contextmanager
def _collected_warnings() -> Iterator[list[str]]:
    """The texts of all warnings that are logged below us, each once."""
    texts: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = record.getMessage()
            if text not in texts:
                texts.append(text)

    package = logging.getLogger("rrsis_geo")
    collector = Collector(logging.WARNING)
    package.addHandler(collector)
    try:
        yield texts
    finally:
        package.removeHandler(collector)
