"""The main job: a scene and expressions in, polygons and rasters out.

Everything that can be checked is checked before the first window is read. What is finished is kept
in a job's folder beside the output until all of it is, so that a run that was stopped, or killed,
can go on where it was.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from rrsis_geo.errors import ConfigError, InputError, Stopped
from rrsis_geo.files import remove_leftovers
from rrsis_geo.geo.scene.options import open_part
from rrsis_geo.log_odds import to_probability
from rrsis_geo.progress import Progress, no_progress
from rrsis_geo.segment.jobs.engines import RunOptions, have_computed
from rrsis_geo.segment.jobs.job import (
    Job,
    clear,
    is_merging,
    job_path,
    numbers,
    outputs_of,
    refuse_existing,
)
from rrsis_geo.segment.jobs.lock import locked
from rrsis_geo.segment.jobs.prepare import (
    Work,
    checked,
    load_predictor,
    load_to_plan,
    plan_run,
    reopened,
)
from rrsis_geo.segment.jobs.session import check_space, held, made
from rrsis_geo.segment.plan.advice import after_run, before_run, given_again
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.plan.predictor import WindowPredictor
from rrsis_geo.segment.results.merge import Merger
from rrsis_geo.segment.results.report import PartReport, SegmentReport, collected_warnings
from rrsis_geo.segment.results.run_page import write_run_page
from rrsis_geo.segment.results.stac_item import write_run_item
from rrsis_geo.segment.shards.failures import count_of, merged
from rrsis_geo.segment.shards.shard_files import ShardStats

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
    """Find what expressions say in a scene, and write it as polygons and rasters.

    Several expressions are looked for in one pass over the scene; the result of each is that of a
    run of its own. A GeoPackage holds a layer of each; see `Outputs` for other files.

    A run that ends before its time keeps the shards that it has finished, if any, in a folder
    beside the polygons; `RunOptions.existing` says what the next one does about it.

    Args:
        scene: anything that GDAL opens.
        expression: what to look for, in English: one, or several in a sequence.
        outputs: files to write.
        options: None takes all defaults.
        run: None takes all defaults.
        predictor: what looks, in place of the bundle that the options name.
        progress: told how far the run is.
        stop: asked now and then; True ends the run after the shard in hand.

    Raises:
        ConfigError: options that do not make sense, or not for this scene or the job there.
        InputError: the scene, the area of interest or the expression cannot be used.
        ModelError: the bundle is missing or damaged.
        OutputError: a result cannot be written, or a job lies there.
        DeviceError: the device cannot do the work.
        Stopped: `stop` said so.
    """
    started = time.perf_counter()
    options, run = options or SegmentOptions(), run or RunOptions()
    expressions = checked(expression)
    folder = job_path(outputs.vector)
    if run.existing == "refuse":
        refuse_existing(folder)
    is_ours = run.existing != "refuse" and is_merging(folder)
    outputs = replace(outputs, overwrite=outputs.overwrite or is_ours)
    outputs.check([Path(scene), *options.scene.input_files()], expressions)
    with (
        collected_warnings() as warnings,
        made(folder),
        _begun(scene, expressions, options, run, predictor) as (work, predictor, load_seconds),
        held(folder, work, outputs, run) as job,
    ):
        progress, plan = progress or no_progress, work.plan
        merger = Merger(plan, [job.files(shard) for shard in plan.shards], outputs)
        _tell([*given_again(expression), *before_run(plan, predictor)])
        have_computed(job, work, plan.shards, options, run, predictor, progress=progress, stop=stop)
        stats = _merge(job, work, merger, outputs, progress=progress, stop=stop)
        _tell(after_run(plan, [each.presence_max for each in stats]))
        report = _report(str(scene), work, merger, outputs, stats, tuple(warnings))
        report = replace(report, seconds=time.perf_counter() - started, load_seconds=load_seconds)
        write_run_page(report, plan, merger.layers, outputs, run.command)
        write_run_item(report, plan, work.scene, outputs)
    return replace(report, seconds=time.perf_counter() - started)


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
    """Compute one of several parts of the shards; `merge_job` joins them when all are done.

    All parts are begun with the same arguments, in any order, at once or one by one, on machines
    that see the scene and the outputs under the same path. A part that was done, in part or whole,
    is gone on with.

    Args:
        scene: anything that GDAL opens.
        expression: what to look for, in English: one, or several in a sequence.
        outputs: files that the merge will write; the job lies beside them.
        part: (k, n): the k-th of n parts, k from 1.
        options: None takes all defaults.
        run: None takes all defaults; `existing` is always to resume, and the job is kept.
        predictor: what looks, in place of the bundle that the options name.
        progress: told how far this part is.
        stop: asked now and then; True ends the run after the shard in hand.

    Raises:
        ConfigError: options that do not make sense, or not for this scene or the job there.
        RrsisError: as `segment_scene`.
    """
    options, run = options or SegmentOptions(), run or RunOptions()
    number, n_parts = part
    if not 1 <= number <= n_parts:
        raise ConfigError(f"part must be 1/{n_parts} to {n_parts}/{n_parts}, got {number}")
    expressions = checked(expression)
    folder = job_path(outputs.vector)
    is_ours = is_merging(folder)
    replace(outputs, overwrite=outputs.overwrite or is_ours).check(
        [Path(scene), *options.scene.input_files()], expressions
    )
    with (
        collected_warnings() as warnings,
        made(folder),
        _begun(scene, expressions, options, run, predictor) as (work, predictor, _),
    ):
        n_shards = len(work.plan.shards)
        own = range((number - 1) * n_shards // n_parts, number * n_shards // n_parts)
        shards = work.plan.shards[own.start : own.stop]
        job = Job.begin(folder, work.plan, outputs)
        if shards:
            with locked(folder, own):
                job.tidy(shards)
                check_space(job, work, outputs, shards)
                _tell([*given_again(expression), *before_run(work.plan, predictor)])
                have_computed(
                    *(job, work, shards, options, run, predictor),
                    progress=progress or no_progress,
                    stop=stop,
                )
    stats = [each for shard in shards for each in job.stats(shard) or ()]
    failed = merged(window for each in stats for window in each.failed)
    return PartReport(
        job=folder,
        shards=(own.start + 1, own.stop) if shards else (),
        missing=len(job.missing()),
        failed=failed,
        warnings=tuple(warnings),
    )


def merge_job(
    folder: str | Path,
    *,
    overwrite: bool = False,
    keep_job: bool = False,
    command: str = "",
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> SegmentReport:
    """Write the outputs of a job whose shards are all done.

    Args:
        folder: of the job.
        overwrite: replace outputs that exist.
        keep_job: keep the folder when all is done.
        command: that began this, for the report.
        progress: told how far it is.
        stop: asked now and then; True ends it before the next output.

    Raises:
        InputError: it is no job, its scene is gone, or shards are missing; says which.
        ConfigError: the scene was changed since.
        OutputError: a result cannot be written, or another process works on the job.
        Stopped: `stop` said so.
    """
    started = time.perf_counter()
    folder = Path(folder)
    job = Job.open(folder)
    missing = job.missing()
    if missing:
        raise InputError(
            f"{folder}: shards {numbers(missing)} of {len(job.shards)} are missing; "
            "compute them first, with the --shard that was given for them or with --resume"
        )
    outputs = outputs_of(job.record, overwrite=overwrite or is_merging(folder))
    outputs.check([], job.record["expressions"])
    with (
        collected_warnings() as warnings,
        made(folder),
        reopened(job) as work,
        locked(folder, range(len(job.shards))),
    ):
        merger = Merger(work.plan, [job.files(shard) for shard in job.shards], outputs)
        stats = _merge(job, work, merger, outputs, progress=progress or no_progress, stop=stop)
        _tell(after_run(work.plan, [each.presence_max for each in stats]))
        report = _report(job.record["scene"]["path"], work, merger, outputs, stats, tuple(warnings))
        report = replace(report, seconds=time.perf_counter() - started)
        write_run_page(report, work.plan, merger.layers, outputs, command)
        write_run_item(report, work.plan, work.scene, outputs)
        if not keep_job and not report.failed:
            clear(folder)
    return replace(report, seconds=time.perf_counter() - started)


@contextmanager
def _begun(
    scene: str | Path,
    expressions: Sequence[str],
    options: SegmentOptions,
    run: RunOptions,
    predictor: WindowPredictor | None,
) -> Iterator[tuple[Work, WindowPredictor, float]]:
    """The scene opened, the model loaded, the run planned."""
    with open_part(scene, options.scene) as (whole, part):
        before = time.perf_counter()
        if predictor is None and not run.is_alone:
            predictor, model = load_to_plan(options)
        else:
            predictor = predictor or load_predictor(options)
            model = predictor.facts
        load_seconds = time.perf_counter() - before
        yield plan_run(whole, part, expressions, model, options), predictor, load_seconds


def _merge(
    job: Job,
    work: Work,
    merger: Merger,
    outputs: Outputs,
    *,
    progress: Progress,
    stop: Callable[[], bool],
) -> list[ShardStats]:
    """Write the outputs from the shards; what happened in all of them, for each expression."""
    expressions = work.plan.expressions
    stats = [ShardStats() for _ in expressions]
    for done in job.done().values():
        for total, each in zip(stats, done, strict=True):
            total.add(each)
    for total in stats:
        total.failed = list(merged(total.failed))
    if not is_merging(job.folder):
        outputs.check([], expressions)  # somebody may have put something there in the meantime
        job.begin_merge()
    for path in outputs.all_files(expressions).values():
        remove_leftovers(path)
    steps: list[Callable[[], None]] = [
        *(
            partial(merger.write_raster, number, kind)
            for number in range(len(expressions))
            for kind in outputs.rasters()
        ),
        partial(merger.write_layers, work.scene, stats),
    ]
    for number, step in enumerate(steps):
        if stop():
            raise Stopped("stopped")
        progress("outputs", number, len(steps))
        step()
    progress("outputs", len(steps), len(steps))
    failed = merged(window for total in stats for window in total.failed)
    if failed:
        logger.warning(
            "%s could not be done, such as that at row %d, column %d (%s): the pixels are without "
            "data (255) in the rasters, and no object is known there",
            count_of(failed),
            failed[0].row_start,
            failed[0].col_start,
            failed[0].reason,
        )
    return stats


def _report(
    scene: str,
    work: Work,
    merger: Merger,
    outputs: Outputs,
    stats: Sequence[ShardStats],
    warnings: tuple[str, ...],
) -> SegmentReport:
    plan = work.plan
    results = tuple(
        layer.result(
            tuple(each.failed),
            None if each.presence_max is None else to_probability(each.presence_max),
        )
        for layer, each in zip(merger.layers, stats, strict=True)
    )
    return SegmentReport(
        scene=scene,
        model=plan.model.name,
        results=results,
        outputs=outputs.all_files(plan.expressions),
        windows=max(each.windows for each in stats),
        skipped=stats[0].skipped,
        seconds=0.0,
        load_seconds=0.0,
        network_seconds=sum(each.network_seconds for each in stats),
        plan_hash=plan.hash,
        warnings=warnings,
    )


def _tell(advice: Iterable[str]) -> None:
    for text in advice:
        logger.warning(text)
