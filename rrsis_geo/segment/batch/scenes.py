"""Segment many scenes in one call: the model is loaded once, and each scene is a job of its own.

All scenes are checked before the first is segmented. A scene that fails does not stop the others.
A run that was stopped or killed can be resumed.
"""

import json
import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from glob import has_magic
from pathlib import Path
from typing import Any, NamedTuple

from rrsis_geo.errors import ConfigError, InputError, OutputError, RrsisError, Stopped
from rrsis_geo.geo.scene.radiometry import Stretch
from rrsis_geo.geo.scene.scene_list import NamedScene, find_scenes, name_scenes
from rrsis_geo.model.facts import ModelFacts
from rrsis_geo.progress import Progress, no_progress
from rrsis_geo.segment.batch.job import (
    BatchJob,
    BatchSettings,
    SceneResult,
    TaskResult,
    make_manifest,
)
from rrsis_geo.segment.batch.join_layers import join_layers
from rrsis_geo.segment.batch.progress import BatchProgress
from rrsis_geo.segment.batch.report import ScenesReport, hide_repeated_warnings
from rrsis_geo.segment.batch.tasks import (
    BatchOutputs,
    SceneTask,
    check_files,
    check_space,
    make_tasks,
)
from rrsis_geo.segment.batch.workers import SceneRun, SceneWorkerSetup, run_in_processes, run_scene
from rrsis_geo.segment.jobs.ending import finish_job, finished_report, is_finished, tidy_up
from rrsis_geo.segment.jobs.engines import RunOptions
from rrsis_geo.segment.jobs.job import STOP, clear_job, is_merging, job_path, refuse_existing
from rrsis_geo.segment.jobs.lock import lock_shards
from rrsis_geo.segment.jobs.prepare import load_for_planning, load_predictor
from rrsis_geo.segment.jobs.session import make_folder
from rrsis_geo.segment.plan.expressions import clean_expressions
from rrsis_geo.segment.plan.landmarks import asked_phrases, read_queries
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs, default_output
from rrsis_geo.segment.plan.plan import make_plan
from rrsis_geo.segment.plan.predictor import WindowPredictor
from rrsis_geo.segment.results.report import collect_warnings

logger = logging.getLogger(__name__)

_ANY_STRETCH = Stretch(kind="linear", lo=(0.0,), hi=(1.0,))


def segment_scenes(
    scenes: str | Path | Sequence[str | Path],
    expression: str | Sequence[str],
    outputs: Outputs,
    options: SegmentOptions | None = None,
    *,
    run: RunOptions | None = None,
    predictor: WindowPredictor | None = None,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> ScenesReport:
    """Find the objects that expressions refer to in many scenes.

    Each scene gets its own files in the folders of `outputs`. If the vector path is a file, the
    polygons of all scenes go into it: one layer per expression, with the scene's name in each row.

    Completed scenes are saved in the folder ``scenes.job`` among the results, or beside the joined
    file, until all are done. `RunOptions.existing` selects what the next run does with them.

    Args:
        scenes: a folder, a pattern or a text file of paths, see
            `rrsis_geo.geo.scene.scene_list.find_scenes`; or a sequence of paths.
        expression: what to find, in English: one expression or a sequence of them.
        outputs: folders; or a file for the polygons of all scenes.
        options: of every scene; None takes all defaults.
        run: None takes all defaults. Each worker process segments whole scenes.
        predictor: used instead of the bundle that the options name.
        progress: called with progress.
        stop: polled between shards. Return True to stop after the current shard.

    Raises:
        ConfigError: an option is invalid, or does not fit the scenes or the existing job.
        InputError: a scene, the area of interest or an expression cannot be used; or all scenes
            failed.
        ModelError: the bundle is missing or damaged.
        OutputError: an output cannot be written, or an unfinished job exists.
        DeviceError: the device cannot run the model.
        Stopped: `stop` returned True.
    """
    options, run = options or SegmentOptions(), run or RunOptions()
    started = run.started or time.perf_counter()
    run.check_start()
    if run.scheduler is not None:
        raise ConfigError(
            "a scheduler computes one scene per run; segment the scenes one by one, or use workers"
        )
    batch = _Batch(
        clean_expressions(expression),
        BatchOutputs(outputs),
        options,
        run,
        progress or no_progress,
        stop,
    )
    named_scenes = _name_scenes(scenes)
    batch.outputs.check_folders()
    folder = batch.outputs.job_folder
    if run.existing == "refuse":
        tidy_up(folder)
        refuse_existing(folder)
    with hide_repeated_warnings(), ExitStack() as stack:
        tasks = _open_tasks(batch, named_scenes)
        _create_folders(batch.outputs, stack)
        job = BatchJob(folder)
        with lock_shards(folder, range(1)):
            _check_files(batch, job, tasks)
            before = time.perf_counter()
            model, predictor = _load_model(options, run, predictor)
            load_seconds = time.perf_counter() - before
            settings = BatchSettings(expressions=batch.expressions, model=model, options=options)
            manifest = make_manifest(settings, outputs)
            report = _finished_report(batch, tasks, manifest)
            if report is None:
                results, warnings = _run_job(batch, job, tasks, settings, predictor)
                report = ScenesReport(
                    expressions=batch.expressions,
                    model=model.name,
                    outputs=batch.outputs.all_files(batch.expressions),
                    scenes=tuple(result for _, result in results),
                    warnings=tuple(warnings),
                    seconds=time.perf_counter() - started,
                    load_seconds=load_seconds,
                )
                if not report.failed and not run.keep_job:
                    files = [task.file_facts() for task in tasks]
                    finish_job(folder, manifest, {**report.to_dict(), "files": files})
    tidy_up(folder)
    return report


def list_scenes(scene: str) -> list[str] | None:
    """Paths of the scenes of a folder, a pattern or a list; None for a single scene.

    Raises:
        InputError: see `rrsis_geo.geo.scene.scene_list.find_scenes`.
    """
    scenes = find_scenes(scene)
    return None if scenes is None else [each.path for each in scenes]


def default_joined_output(scene: str, expressions: Sequence[str]) -> Path:
    """The default vector file of many scenes: one file for all, in the current folder.

    It is named after the folder or the list of the scenes.
    """
    fixed_parts = []
    for part in Path(scene).parts:
        if has_magic(part):
            break
        fixed_parts.append(part)
    place = Path(*fixed_parts).resolve()
    name = place.name if place.is_dir() else place.stem
    return default_output(f"{name or 'scenes'}.txt", expressions)  # which removes the suffix


class _Batch(NamedTuple):
    """The arguments of a call, which all of its steps use."""

    expressions: tuple[str, ...]
    outputs: BatchOutputs
    options: SegmentOptions
    run: RunOptions
    progress: Progress
    stop: Callable[[], bool]


def _name_scenes(scenes: str | Path | Sequence[str | Path]) -> tuple[NamedScene, ...]:
    if not isinstance(scenes, str | Path):
        if not scenes:
            raise InputError("the list of scenes is empty")
        return name_scenes(scenes)
    return find_scenes(str(scenes)) or name_scenes([scenes])


def _open_tasks(batch: _Batch, scenes: Sequence[NamedScene]) -> list[SceneTask]:
    def on_scene(n_done: int) -> None:
        _raise_if_stopped(batch.stop)
        batch.progress("scenes checked", n_done, len(scenes))

    return make_tasks(scenes, batch.outputs, batch.options.scene, on_scene)


def _create_folders(outputs: BatchOutputs, stack: ExitStack) -> None:
    """Create the folders of the results. Those that stay empty are removed at the end."""
    for folder in outputs.folders():
        if folder == outputs.job_folder or not folder.exists():
            stack.enter_context(make_folder(folder))


def _check_files(batch: _Batch, job: BatchJob, tasks: Sequence[SceneTask]) -> None:
    """Refuse files and jobs of others."""
    is_new = batch.run.existing == "refuse"
    is_done = not is_new and is_finished(job.folder)
    check_files(
        tasks,
        batch.outputs,
        batch.expressions,
        lambda task: is_done or (not is_new and job.is_started(task)),
        may_replace_joined=is_done or (not is_new and is_merging(job.folder)),
        inputs=batch.options.input_files(),
    )
    if is_new:
        for task in tasks:
            tidy_up(job_path(task.outputs.vector))
            refuse_existing(job_path(task.outputs.vector))


def _finished_report(
    batch: _Batch, tasks: Sequence[SceneTask], manifest: Mapping[str, Any]
) -> ScenesReport | None:
    """The report of a batch that was killed after all scenes were done; None without one."""
    if batch.run.existing != "resume":
        return None

    def from_dict(record: Mapping[str, Any]) -> ScenesReport:
        if record["files"] != json.loads(json.dumps([task.file_facts() for task in tasks])):
            raise ValueError("scenes were added, removed or changed")
        return ScenesReport.from_dict(record)

    report = finished_report(batch.outputs.job_folder, manifest, from_dict)
    files = [*batch.outputs.all_files(batch.expressions).values()]
    if not batch.outputs.joins_layers:
        own = [task.outputs.all_files(batch.expressions) for task in tasks if not task.is_outside]
        files += [path for paths in own for path in paths.values()]
    return report if all(path.exists() for path in files) else None


def _load_model(
    options: SegmentOptions, run: RunOptions, predictor: WindowPredictor | None
) -> tuple[ModelFacts, WindowPredictor | None]:
    """The facts of the model, and the predictor; None if each worker loads its own."""
    if predictor is not None or run.workers == 1:
        predictor = predictor or load_predictor(options)
        return predictor.facts, predictor
    return load_for_planning(options)[1], None


def _run_job(
    batch: _Batch,
    job: BatchJob,
    tasks: Sequence[SceneTask],
    settings: BatchSettings,
    predictor: WindowPredictor | None,
) -> tuple[list[TaskResult], list[str]]:
    """Segment all scenes that are not done yet, and join their layers: results and warnings."""
    n_windows = _count_windows(tasks, settings)
    if batch.run.existing == "restart":
        job.restart(tasks)
    job = job.begin(make_manifest(settings, batch.outputs.paths))
    if is_finished(job.folder):
        job.reclaim(tasks, has_joined_layer=batch.outputs.joins_layers)
    with _keep_completed(job, tasks):
        by_name = _load_results(job, tasks, batch.expressions)
        missing = [task for task in tasks if task.scene.name not in by_name]
        given = batch.options.landmarks
        queries = read_queries(batch.expressions, given, settings.model.language)
        phrases = asked_phrases(queries, given)
        check_space(missing, len(phrases))
        progress = BatchProgress(batch.progress, n_windows, by_name)
        with closing(_segment(batch, job, missing, settings, predictor, progress)) as steps:
            for task, result in steps:
                if batch.outputs.joins_layers:
                    result = _without_vector(result)
                job.save_result(task, result)
                by_name[task.scene.name] = result
                progress.finish(task)
        warnings: list[str] = []
        results = [TaskResult(task, by_name[task.scene.name]) for task in tasks]
        _raise_if_all_failed(results)
        if batch.outputs.joins_layers:
            _raise_if_stopped(batch.stop)
            job.begin_merge()
            with collect_warnings() as warnings:
                results = join_layers(results, batch.outputs.paths, settings)
    return results, warnings


def _count_windows(tasks: Sequence[SceneTask], settings: BatchSettings) -> dict[str, int]:
    """Number of windows of each scene by its name; refuses scenes that are too large."""
    counts = {}
    for task in tasks:
        if not task.is_outside:
            plan = make_plan(
                task.info, settings.expressions, settings.model, settings.options, _ANY_STRETCH
            )
            counts[task.scene.name] = plan.grid.n_windows
    return counts


def _load_results(
    job: BatchJob, tasks: Sequence[SceneTask], expressions: Sequence[str]
) -> dict[str, SceneResult]:
    """Results of scenes that need not be segmented, by the name of the scene."""
    results = {}
    for task in tasks:
        if task.is_outside:
            outside = SceneResult(scene=task.scene.path, state="outside", report={})
            results[task.scene.name] = outside
            continue
        result = job.load_result(task)
        files = task.outputs.all_files(expressions).values()
        if result is not None and all(path.exists() for path in files):
            results[task.scene.name] = result
    return results


def _segment(
    batch: _Batch,
    job: BatchJob,
    tasks: Sequence[SceneTask],
    settings: BatchSettings,
    predictor: WindowPredictor | None,
    progress: BatchProgress,
) -> Generator[TaskResult]:
    """Segment scenes; yield each with its result, in the order in which they are done."""
    run = SceneRun(settings, batch.run.keep_job, batch.run.command)
    if batch.run.workers > 1:
        setup = SceneWorkerSetup(
            run=run,
            stop_file=job.folder / STOP,
            predictor=None if predictor is None or predictor.facts.has_bundle else predictor,
        )
        for task, result in run_in_processes(
            tasks, setup, batch.run.workers, on_begin=job.mark_started, stop=batch.stop
        ):
            for text in result.report.get("warnings", ()):  # logged in the worker process only
                logger.warning(text)
            yield TaskResult(task, result)
        return
    assert predictor is not None
    for task in tasks:
        _raise_if_stopped(batch.stop)
        job.mark_started(task)
        on_progress = progress.of_scene(task)
        result = run_scene(task, run, predictor, progress=on_progress, stop=batch.stop)
        yield TaskResult(task, result)


def _without_vector(result: SceneResult) -> SceneResult:
    """The same result without its vector file, which is removed after the layers are joined."""

    def drop_vector(record: Mapping[str, Any]) -> dict[str, Any]:
        outputs = record["outputs"].items()
        return {**record, "outputs": {k: v for k, v in outputs if k.split(":")[0] != "vector"}}

    if not result.report:
        return result
    results = [drop_vector(each) for each in result.report["results"]]
    return replace(result, report={**drop_vector(result.report), "results": results})


@contextmanager
def _keep_completed(job: BatchJob, tasks: Sequence[SceneTask]) -> Iterator[None]:
    """If the block raises, keep completed scenes and say so in the error."""
    try:
        yield
    except BaseException as err:
        n_done = sum(job.is_done(task) for task in tasks)
        vectors = [task.outputs.vector for task in tasks if job.is_started(task)]
        has_files = any(path.exists() or job_path(path).exists() for path in vectors)
        if not (n_done or has_files or is_merging(job.folder)):
            with suppress(OutputError):  # the first error is more important
                clear_job(job.folder)
            raise
        if isinstance(err, RrsisError):
            hint = "" if isinstance(err, Stopped) else "; run again with --resume to continue"
            raise type(err)(
                f"{err}; {n_done} of {len(tasks)} scenes are done and saved in {job.folder}{hint}"
            ) from err
        raise


def _raise_if_all_failed(results: Sequence[TaskResult]) -> None:
    failed = [result for _, result in results if result.state == "failed"]
    if len(failed) == sum(result.state != "outside" for _, result in results):
        raise InputError(f"all {len(failed)} scenes failed, such as {failed[0].reason}")


def _raise_if_stopped(stop: Callable[[], bool]) -> None:
    if stop():
        raise Stopped("stopped")
