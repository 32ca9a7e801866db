"""The last steps of every run: write rasters and layers, then the report page and the STAC item.

A picture or a page that cannot be made is left out with a warning; all else is written.
"""

import logging
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import rasterio

from rrsis_geo.geo.scene.acquisition_time import acquisition_time
from rrsis_geo.geo.scene.scene import Scene
from rrsis_geo.log_odds import to_probability
from rrsis_geo.progress import Progress
from rrsis_geo.segment.plan.advice import HighestScores, advise_after_run
from rrsis_geo.segment.plan.options import SMALLEST_MODEL_PX
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.plan.plan import Plan
from rrsis_geo.segment.results.facts import ResultFacts
from rrsis_geo.segment.results.layers import ObjectLayer
from rrsis_geo.segment.results.merge import Merger
from rrsis_geo.segment.results.page import write_page
from rrsis_geo.segment.results.pictures import (
    DRAWING_ERRORS,
    problem_text,
    raise_unexpected,
)
from rrsis_geo.segment.results.qgis_project import write_project
from rrsis_geo.segment.results.report import SegmentReport, smallest_text
from rrsis_geo.segment.results.stac_item import ItemTimes, write_item
from rrsis_geo.segment.shards.failures import format_window_count, merge_failed
from rrsis_geo.segment.shards.shard_files import ShardStats
from rrsis_geo.units import format_duration, format_length

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """What the report needs to know besides the plan and the shards.

    Attributes:
        scene: path as given.
        command: command line of the run, "" if there was none.
        started: `time.perf_counter` at the start of the run.
        load_seconds: time spent importing torch and loading the model.
        warnings: warnings of the run so far; the list may grow.
    """

    scene: str
    command: str
    started: float
    load_seconds: float = 0.0
    warnings: Sequence[str] = ()

    @property
    def seconds(self) -> float:
        """Duration of the run so far."""
        return time.perf_counter() - self.started


def finish_run(
    merger: Merger,
    scene: Scene,
    stats: Sequence[ShardStats],
    context: RunContext,
    *,
    progress: Progress,
    stop: Callable[[], bool],
) -> SegmentReport:
    """Write all outputs of a run whose shards are completed.

    Args:
        merger: of the plan, the shards and the outputs.
        scene: the part of the scene that the plan covers, open.
        stats: of each expression, over all shards.
        context: of the run.
        progress: called before each output.
        stop: polled before each output. Return True to stop.

    Raises:
        OutputError: an output cannot be written.
        Stopped: `stop` returned True.
    """
    plan = merger.plan
    merger.write(scene, stats, progress=progress, stop=stop)
    _warn_of_failures(stats)
    for text in advise_after_run(
        plan, [HighestScores(each.presence_max, each.pixel_max) for each in stats]
    ):
        logger.warning(text)
    unwritten = warn_of_pictures(merger.layers)
    report = _make_report(merger, stats, context, unwritten)
    facts = ResultFacts(
        source=plan.scene,
        results=report.results,
        model=plan.model.name,
        threshold=plan.options.threshold,
        outputs=report.outputs,
        seconds=report.seconds,
        warnings=report.warnings,
        command=context.command,
        settings=tuple(_settings(report, plan)),
        properties={
            "model_sha256": plan.model.sha256 or None,
            "plan_hash": report.plan_hash,
            "windows": report.windows,
            "windows_failed": len(report.failed),
        },
    )
    unwritten |= write_page_and_item(facts, merger.layers, merger.outputs, scene.reader.dataset)
    return replace(
        report,
        outputs=without(report.outputs, unwritten),
        warnings=tuple(context.warnings),
        unwritten=unwritten,
    )


def warn_of_pictures(layers: Sequence[ObjectLayer]) -> dict[str, str]:
    """Warn of pictures that could not be drawn.

    Returns:
        By kind, or "kind:layer" if there are several layers, why a preview is missing.

    Raises:
        OutputError: a picture could not be written, for example to a full disk.
    """
    raise_unexpected(error for layer in layers for error in layer.picture_errors.values())
    unwritten = {}
    for layer in layers:
        prefix = f'"{layer.expression}": ' if len(layers) > 1 else ""
        for kind, error in layer.picture_errors.items():
            problem = problem_text(error)
            if kind == "preview":
                unwritten[kind if len(layers) == 1 else f"{kind}:{layer.name}"] = problem
            logger.warning("%sthe picture of the %s cannot be drawn: %s", prefix, kind, problem)
    return unwritten


def write_page_and_item(
    facts: ResultFacts,
    layers: Sequence[ObjectLayer],
    outputs: Outputs,
    dataset: rasterio.DatasetReader,
) -> dict[str, str]:
    """Write the report page, the QGIS project and the STAC item, if they are among the outputs.

    Args:
        facts: of the result. Its other outputs must exist.
        layers: of the same expressions, written.
        outputs: of the run.
        dataset: the source, open. Its metadata may contain the acquisition time.

    Returns:
        Why the page could not be made, by its kind; {} otherwise. A warning is logged too.

    Raises:
        OutputError: a file cannot be written.
    """
    unwritten: dict[str, str] = {}
    if outputs.report is not None:
        try:
            write_page(outputs.report, facts, layers, overwrite=outputs.overwrite)
        except DRAWING_ERRORS as err:
            unwritten["report"] = problem_text(err)
            logger.warning("%s: cannot be made: %s", outputs.report, unwritten["report"])
    if outputs.qgis_project is not None:
        write_project(outputs.qgis_project, facts, layers, overwrite=outputs.overwrite)
    if outputs.stac_item is not None:
        acquisition = acquisition_time(facts.source.path, dataset)
        times = ItemTimes(created=datetime.now(UTC), acquisition=acquisition)
        facts = replace(facts, outputs=without(facts.outputs, unwritten))
        write_item(outputs.stac_item, facts, times, overwrite=outputs.overwrite)
    return unwritten


def without(outputs: Mapping[str, Path], unwritten: Container[str]) -> dict[str, Path]:
    """The outputs that are written."""
    return {key: path for key, path in outputs.items() if key not in unwritten}


def _warn_of_failures(stats: Sequence[ShardStats]) -> None:
    failed = merge_failed(window for each in stats for window in each.failed)
    if failed:
        logger.warning(
            "%s failed, such as that at row %d, column %d (%s): their pixels are no data (255) in "
            "the rasters, and objects there are missing",
            format_window_count(failed),
            failed[0].row_start,
            failed[0].col_start,
            failed[0].reason,
        )


def _make_report(
    merger: Merger, stats: Sequence[ShardStats], context: RunContext, unwritten: Container[str]
) -> SegmentReport:
    plan = merger.plan
    results = tuple(
        layer.result(
            tuple(each.failed),
            None if each.presence_max is None else to_probability(each.presence_max),
        )
        for layer, each in zip(merger.layers, stats, strict=True)
    )
    return SegmentReport(
        scene=context.scene,
        model=plan.model.name,
        results=results,
        outputs=without(merger.outputs.all_files(plan.expressions), unwritten),
        windows=max(each.windows for each in stats),
        skipped=stats[0].skipped,
        seconds=context.seconds,
        load_seconds=context.load_seconds,
        network_seconds=sum(each.network_seconds for each in stats),
        plan_hash=plan.hash,
        smallest=smallest_text(plan.options.min_area_m2, plan.smallest_object_px, plan.scene.gsd_m),
        warnings=tuple(context.warnings),
    )


def _settings(report: SegmentReport, plan: Plan) -> Iterator[tuple[str, str]]:
    """Rows of the page that tell how the result of a run was made."""
    options, side_px = plan.options, plan.model.image.size_px
    if plan.model_px.gsd_m is not None:
        yield "model ground pixel", format_length(plan.model_px.gsd_m)
    skipped = f", {report.skipped:,} skipped (no data)" if report.skipped else ""
    failed = f", {len(report.failed):,} failed (objects there are missing)" if report.failed else ""
    yield (
        "windows",
        f"{report.windows:,} of {side_px} x {side_px} pixels, overlap {options.overlap_px}"
        f"{skipped}{failed}",
    )
    yield "threshold", f"{options.threshold:g}"
    for landmark in options.landmarks:
        yield f'landmark "{landmark.name}"', str(landmark.path)
    yield "minimum area", _min_area_text(options.min_area_m2)
    if report.dropped:
        yield "dropped", report.dropped
    if options.outline != "pixels":
        yield "outlines", options.outline
    if options.simplify_m:
        yield "simplified by", f"up to {options.simplify_m:g} m"
    if report.presence_max is not None and len(report.results) == 1:
        yield "highest presence", f"{report.presence_max:.0%} that the target is in a window"
    yield "network time", format_duration(report.network_seconds)
    yield "plan", report.plan_hash


def _min_area_text(min_area_m2: float | None) -> str:
    if min_area_m2 is None:
        return f"{SMALLEST_MODEL_PX} pixels of the model"
    return f"{min_area_m2:g} m\N{SUPERSCRIPT TWO}"
