"""Segment one scene: a scene and expressions in, polygons and rasters out.

Everything that can be checked is checked before the first window is read. Completed shards are
saved in a job folder beside the output until the run is done, so a run that was stopped or killed
can be resumed.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from rrsis_geo.errors import ConfigError, InputError
from rrsis_geo.files import remove_leftovers
from rrsis_geo.geo.scene.options import open_part
from rrsis_geo.geo.scene.scene import Scene
from rrsis_geo.model.facts import ModelFacts
from rrsis_geo.progress import Progress, no_progress
from rrsis_geo.segment.jobs.ending import finish_job, finished_report, is_finished, tidy_up
from rrsis_geo.segment.jobs.engines import RunOptions, run_missing_shards
from rrsis_geo.segment.jobs.fingerprint import is_unchanged
from rrsis_geo.segment.jobs.job import (
    Job,
    clear_job,
    format_shards,
    is_merging,
    job_path,
    manifest_of,
    refuse_existing,
)
from rrsis_geo.segment.jobs.lock import lock_shards
from rrsis_geo.segment.jobs.prepare import (
    check_model,
    load_for_planning,
    load_predictor,
    prepare_run,
    reopen_run,
)
from rrsis_geo.segment.jobs.session import check_space, job_session, make_folder, outputs_of_merge
from rrsis_geo.segment.plan.advice import advise_before_run, advise_on_repeats
from rrsis_geo.segment.plan.expressions import clean_expressions
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.plan.plan import Plan, PreparedRun
from rrsis_geo.segment.plan.predictor import WindowPredictor
from rrsis_geo.segment.results.finish import RunContext, finish_run
from rrsis_geo.segment.results.given import read_given
from rrsis_geo.segment.results.merge import Merger
from rrsis_geo.segment.results.phrase_stats import expression_stats
from rrsis_geo.segment.results.report import PartReport, SegmentReport, collect_warnings
from rrsis_geo.segment.shards.failures import merge_failed

logger = logging.getLogger(__name__)


def segment_scene(
    scene: str | Path,
    expression: str | Sequence[str],
    outputs: Outputs,
    options: SegmentOptions | None = None,
    *,
    run: RunOptions | None = None,
    predictor: WindowPredictor | None = None,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> SegmentReport:
    """Find the objects that expressions refer to, and write polygons and rasters.

    Several expressions are found in one pass over the scene. The result of each is the same as in
    a run of its own. A GeoPackage holds one layer per expression; see `Outputs` for other files.

    A run that ends early keeps its completed shards in a folder beside the polygons.
    `RunOptions.existing` selects what the next run does with them.

    Args:
        scene: any raster that GDAL opens.
        expression: what to find, in English: one expression or a sequence of them.
        outputs: files to write.
        options: None takes all defaults.
        run: None takes all defaults.
        predictor: used instead of the bundle that the options name.
        progress: called with progress.
        stop: polled between shards. Return True to stop after the current shard.

    Raises:
        ConfigError: an option is invalid, or does not fit the scene or the existing job.
        InputError: the scene, the area of interest or an expression cannot be used.
        ModelError: the bundle is missing or damaged.
        OutputError: an output cannot be written, or an unfinished job exists.
        DeviceError: the device cannot run the model.
        Stopped: `stop` returned True.
    """
    options, run = options or SegmentOptions(), run or RunOptions()
    started = run.started or time.perf_counter()
    run.check_start()
    progress = progress or no_progress
    folder = job_path(outputs.vector)
    if run.existing == "refuse":
        tidy_up(folder)
        refuse_existing(folder)
    else:
        outputs = _allow_replacing(outputs, folder)
    with _open_run(scene, expression, outputs, options, run, predictor) as opened_run:
        work, report = opened_run.work, None
        if run.existing == "resume":
            report = _finished_report(folder, manifest_of(work, outputs))
        if report is None:
            with job_session(folder, work, outputs, run) as job:
                merger = _make_merger(job, work.plan)
                _compute(opened_run, job, run, progress=progress, stop=stop)
                context = RunContext(
                    scene=str(scene),
                    command=run.command,
                    started=started,
                    load_seconds=opened_run.load_seconds,
                    warnings=opened_run.warnings,
                )
                report = _finish(job, work.scene, merger, context, progress=progress, stop=stop)
                _end_job(job, report, keep_job=run.keep_job)
    tidy_up(folder)
    return report


def segment_part(
    scene: str | Path,
    expression: str | Sequence[str],
    outputs: Outputs,
    part: tuple[int, int],
    options: SegmentOptions | None = None,
    *,
    run: RunOptions | None = None,
    predictor: WindowPredictor | None = None,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> PartReport:
    """Compute one part of the shards. `merge_job` writes the outputs when all parts are done.

    Call it with the same arguments for every part, in any order or at the same time, on machines
    that see the scene and the outputs under the same path. A part that was interrupted is resumed.

    Args:
        scene: any raster that GDAL opens.
        expression: what to find, in English: one expression or a sequence of them.
        outputs: files that the merge will write. The job folder is beside them.
        part: (k, n): the k-th of n parts, k from 1.
        options: None takes all defaults.
        run: None takes all defaults. The part is always resumed and the job is always kept.
        predictor: used instead of the bundle that the options name.
        progress: called with the progress of this part.
        stop: polled between shards. Return True to stop after the current shard.

    Raises:
        ConfigError: the part or an option is invalid, or an option does not fit the scene or the
            existing job.
        RrsisError: see `segment_scene`.
    """
    options, run = options or SegmentOptions(), run or RunOptions()
    run.check_start()
    progress = progress or no_progress
    folder = job_path(outputs.vector)
    tidy_up(folder)
    outputs = _allow_replacing(outputs, folder)
    _check_part(part)
    with _open_run(scene, expression, outputs, options, run, predictor) as opened_run:
        plan = opened_run.work.plan
        read_given(plan.queries, plan.options.landmarks, [plan.scene])  # checked before the work
        indexes = _indexes_of_part(part, len(plan.shards))
        shards = plan.shards[indexes.start : indexes.stop]
        part_of_run = opened_run._replace(work=opened_run.work._replace(shards=shards))
        job = Job.begin(folder, opened_run.work, outputs)
        if shards:
            with lock_shards(folder, indexes):
                job.remove_incomplete(shards)
                check_space(job, part_of_run.work)
                _compute(part_of_run, job, run, progress=progress, stop=stop)
    stats = [each for shard in shards for each in job.stats(shard) or ()]
    return PartReport(
        job=folder,
        part=part,
        n_shards=len(plan.shards),
        shards=(indexes.start + 1, indexes.stop) if shards else (),
        missing=len(job.missing_shards()),
        failed=merge_failed(window for each in stats for window in each.failed),
        warnings=tuple(opened_run.warnings),
    )


def merge_job(
    folder: str | Path,
    *,
    overwrite: bool = False,
    keep_job: bool = False,
    command: str = "",
    started: float | None = None,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> SegmentReport:
    """Write the outputs of a job whose shards are all completed.

    Args:
        folder: of the job.
        overwrite: replace existing outputs.
        keep_job: keep the folder afterwards.
        command: command line, for the report.
        started: as in `RunOptions`.
        progress: called with progress.
        stop: polled before each output. Return True to stop.

    Raises:
        InputError: the folder is not a job, its scene is missing, or shards are missing.
        ConfigError: the scene changed after the job started.
        OutputError: an output cannot be written, or another process uses the job.
        Stopped: `stop` returned True.
    """
    started = started or time.perf_counter()
    folder = Path(folder)
    finished = _finished_report(folder)
    if finished is not None:
        tidy_up(folder)
        return finished
    job = Job.open(folder)
    missing = job.missing_shards()
    if missing:
        raise InputError(
            f"{folder}: shards {format_shards(missing)} of {len(job.shards)} are missing; "
            "compute them first with --shard or --resume"
        )
    job = replace(job, outputs=outputs_of_merge(job, overwrite=overwrite))
    job.outputs.check([], job.record["expressions"])
    with (
        collect_warnings() as warnings,
        make_folder(folder),
        reopen_run(job) as work,
        lock_shards(folder, range(len(job.shards))),
    ):
        context = RunContext(
            scene=job.record["scene"]["path"], command=command, started=started, warnings=warnings
        )
        merger, progress = _make_merger(job, work.plan), progress or no_progress
        report = _finish(job, work.scene, merger, context, progress=progress, stop=stop)
        _end_job(job, report, keep_job=keep_job)
    tidy_up(folder)
    return report


class _OpenedRun(NamedTuple):
    """An open scene, a loaded model and the plan of a run."""

    expression: str | Sequence[str]  # as given
    work: PreparedRun
    predictor: WindowPredictor
    load_seconds: float
    warnings: list[str]  # grows during the run


@contextmanager
def _open_run(
    scene: str | Path,
    expression: str | Sequence[str],
    outputs: Outputs,
    options: SegmentOptions,
    run: RunOptions,
    predictor: WindowPredictor | None,
) -> Iterator[_OpenedRun]:
    """Check the inputs and outputs, open the scene, load the model and plan the run."""
    expressions = clean_expressions(expression)
    outputs.check([Path(scene), *options.input_files()], expressions)
    with (
        collect_warnings() as warnings,
        make_folder(job_path(outputs.vector)),
        open_part(scene, options.scene) as open_scene,
    ):
        outputs.check_crs(open_scene.part.info)
        before = time.perf_counter()
        with _load_model(options, run, predictor) as (predictor, model):
            load_seconds = time.perf_counter() - before
            work = prepare_run(open_scene, expressions, model, options)
            yield _OpenedRun(expression, work, predictor, load_seconds, warnings)


@contextmanager
def _load_model(
    options: SegmentOptions, run: RunOptions, predictor: WindowPredictor | None
) -> Iterator[tuple[WindowPredictor, ModelFacts]]:
    """The predictor of this process, and the facts of the model that computes."""
    if predictor is not None:
        yield predictor, predictor.facts
        return
    options = check_model(options)
    from rrsis_geo.model.predictor import restore_threads

    with restore_threads():
        if run.is_alone:
            predictor = load_predictor(options)
            yield predictor, predictor.facts
        else:
            yield load_for_planning(options)


def _allow_replacing(outputs: Outputs, job_folder: Path) -> Outputs:
    """The same outputs. They may be replaced if this job has started to write them."""
    may_replace = is_merging(job_folder) or is_finished(job_folder)
    return replace(outputs, overwrite=outputs.overwrite or may_replace)


def _finished_report(
    folder: Path, manifest: Mapping[str, Any] | None = None
) -> SegmentReport | None:
    """The report of a job that was killed after its outputs were whole; None without one."""
    report = finished_report(folder, manifest, SegmentReport.from_dict)
    if report is None or not all(path.exists() for path in report.outputs.values()):
        return None
    return report


def _check_part(part: tuple[int, int]) -> None:
    number, n_parts = part
    if not 1 <= number <= n_parts:
        raise ConfigError(f"part must be 1/{n_parts} to {n_parts}/{n_parts}, got {number}")


def _indexes_of_part(part: tuple[int, int], n_shards: int) -> range:
    number, n_parts = part
    return range((number - 1) * n_shards // n_parts, number * n_shards // n_parts)


def _compute(
    opened_run: _OpenedRun,
    job: Job,
    run: RunOptions,
    *,
    progress: Progress,
    stop: Callable[[], bool],
) -> None:
    """Warn of what may spoil the result, and compute the shards that are missing."""
    work, predictor = opened_run.work, opened_run.predictor
    for text in advise_on_repeats(opened_run.expression):
        logger.warning(text)
    for text in advise_before_run(work.plan, predictor):
        logger.warning(text)
    run_missing_shards(job, work, predictor, run, progress=progress, stop=stop)


def _make_merger(job: Job, plan: Plan) -> Merger:
    """The merger of all shards of a job, which need not exist yet."""
    return Merger(plan, [job.files(shard) for shard in plan.shards], job.outputs)


def _finish(
    job: Job,
    scene: Scene,
    merger: Merger,
    context: RunContext,
    *,
    progress: Progress,
    stop: Callable[[], bool],
) -> SegmentReport:
    """Write the outputs of a job whose shards are all completed."""
    plan, outputs = merger.plan, merger.outputs
    _refuse_changed_scene(job, plan)
    if not is_merging(job.folder):
        outputs.check([], plan.expressions)  # files may have appeared during the run
        job.begin_merge()
    for path in outputs.all_files(plan.expressions).values():
        remove_leftovers(path)
    stats = expression_stats(plan, job.total_stats(len(plan.phrases)))
    report = finish_run(merger, scene, stats, context, progress=progress, stop=stop)
    return replace(report, seconds=context.seconds)


def _refuse_changed_scene(job: Job, plan: Plan) -> None:
    """Check that the scene did not change during the run; otherwise remove the useless shards.

    Raises:
        InputError: it changed, or cannot be opened any more.
    """
    if not is_unchanged(plan.scene, job.record["scene_pixels"]):
        clear_job(job.folder, keep_marker=True)
        raise InputError(
            f"{plan.scene.path}: changed while it was segmented, so its results would be a mix of "
            "both states and are not written; run again"
        )


def _end_job(job: Job, report: SegmentReport, *, keep_job: bool) -> None:
    """End a job, unless windows failed or the job is to be kept."""
    if not keep_job and not report.failed:
        finish_job(job.folder, job.record, report.to_dict())
