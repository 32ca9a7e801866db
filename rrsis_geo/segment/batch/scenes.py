"""Several scenes in one call: the model is loaded once, and each scene is a job of its own.

What is wrong with any scene is told before the first is worked on. A scene that fails later does
not keep the others from being done. A call that is stopped, or killed, can be gone on with.
"""

import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from glob import has_magic
from pathlib import Path
from typing import Any

from rrsis_geo.errors import ConfigError, InputError, RrsisError, Stopped
from rrsis_geo.geo.scene.radiometry import Stretch
from rrsis_geo.geo.scene.scene_list import NamedScene, find_scenes, name_scenes
from rrsis_geo.model.facts import ModelFacts
from rrsis_geo.progress import Progress, no_progress
from rrsis_geo.segment.batch.job import SceneResult, ScenesJob, manifest_of
from rrsis_geo.segment.batch.join_layers import write_joined
from rrsis_geo.segment.batch.report import ScenesReport, one_warning_a_kind
from rrsis_geo.segment.batch.tasks import ScenesOutputs, SceneTask, check_files, find_tasks
from rrsis_geo.segment.batch.workers import SceneRun, run_in_processes, run_scene
from rrsis_geo.segment.jobs.engines import RunOptions
from rrsis_geo.segment.jobs.job import STOP, is_merging, job_path, refuse_existing
from rrsis_geo.segment.jobs.lock import lock_shards
from rrsis_geo.segment.jobs.prepare import clean_expressions, load_for_planning, load_predictor
from rrsis_geo.segment.jobs.session import make_folder
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs, default_output
from rrsis_geo.segment.plan.plan import make_plan
from rrsis_geo.segment.plan.predictor import WindowPredictor

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
    """Find what expressions say in several scenes.

    Each scene gets files of its own in the folders that `outputs` names, or, where its vector is a
    file, all share that one: a layer an expression, whose rows name their scene.

    What is done is kept until all is, in a folder ``scenes.job`` among the results or beside the
    joined file; `RunOptions.existing` says what the next call does about it.

    Args:
        scenes: a folder, a pattern or a list in a text file, see
            `rrsis_geo.geo.scene.scene_list.find_scenes`; or paths.
        expression: what to look for, in English: one, or several in a sequence.
        outputs: folders, or a file for the polygons of all.
        options: of every scene; None takes all defaults.
        run: None takes all defaults; its workers take whole scenes.
        predictor: what looks, in place of the bundle that the options name.
        progress: told how far the run is.
        stop: asked now and then; True ends the run after the shard in hand.

    Raises:
        ConfigError: options that do not make sense, or not for these scenes or the job there.
        InputError: a scene, the area of interest or the expression cannot be used; or all failed.
        ModelError: the bundle is missing or damaged.
        OutputError: a result cannot be written, or a job lies there.
        DeviceError: the device cannot do the work.
        Stopped: `stop` said so.
    """
    started = time.perf_counter()
    options, run, progress = (
        options or SegmentOptions(),
        run or RunOptions(),
        progress or no_progress,
    )
    if run.scheduler is not None:
        raise ConfigError(
            "a scheduler computes one scene a call; segment the scenes one by one, or with workers"
        )
    expressions = clean_expressions(expression)
    found, where = _found(scenes), ScenesOutputs(outputs)
    where.check()

    def look(done: int) -> None:
        _stop_if(stop)
        progress("scenes looked at", done, len(found))

    if run.existing == "refuse":
        refuse_existing(where.job)
    with one_warning_a_kind(), ExitStack() as stack:
        tasks = find_tasks(found, where, options, look)
        _make_folders(where, stack)
        stack.enter_context(lock_shards(where.job, range(1)))
        job = ScenesJob(where.job)
        _check_files(job, tasks, where, expressions, run)
        before = time.perf_counter()
        facts, predictor = _model(options, run, predictor)
        load_seconds = time.perf_counter() - before
        n_windows = _n_windows(tasks, expressions, facts, options)
        if run.existing == "restart":
            job.restart(tasks)
        job = job.begin(manifest_of(expressions, facts, options, outputs))
        with _kept(job, tasks):
            results = _done(job, tasks, expressions)
            todo = [task for task in tasks if task.scene.name not in results]
            _check_space(todo, len(expressions))
            what = SceneRun(expressions, options, facts, run.keep_job, run.command)
            counter = _Counter(progress, n_windows, results)
            steps = _worked_on(todo, job, what, run, predictor, counter=counter, stop=stop)
            with closing(steps):
                for task, result in steps:
                    result = _without_layers(result) if where.joined else result
                    job.mark(task, result)
                    results[task.scene.name] = result
                    counter.finish(task)
            ordered = [(task, results[task.scene.name]) for task in tasks]
            _refuse_if_all_failed(ordered)
            if where.joined:
                _stop_if(stop)
                job.begin_merge()
                write_joined(ordered, where, expressions, facts, options)
        report = ScenesReport(
            expressions=expressions,
            model=facts.name,
            outputs=where.all_files(expressions),
            scenes=tuple(result for _, result in ordered),
            seconds=time.perf_counter() - started,
            load_seconds=load_seconds,
        )
        if not report.failed and not run.keep_job:
            job.clear()
    return report


def find_several(scene: str) -> list[str] | None:
    """The paths of the scenes that a folder, a pattern or a list names; None of a single scene.

    Raises:
        InputError: see `rrsis_geo.geo.scene.scene_list.find_scenes`.
    """
    found = find_scenes(scene)
    return None if found is None else [each.path for each in found]


def default_place(scene: str, expressions: Sequence[str]) -> Path:
    """Where polygons of several scenes go if nobody says: all into one file in this folder."""
    fixed = []
    for part in Path(scene).parts:
        if has_magic(part):
            break
        fixed.append(part)
    place = Path(*fixed).resolve()
    name = place.name if place.is_dir() else place.stem
    return default_output(f"{name or 'scenes'}.txt", expressions)  # which cuts a suffix


def _found(scenes: str | Path | Sequence[str | Path]) -> tuple[NamedScene, ...]:
    if not isinstance(scenes, str | Path):
        if not scenes:
            raise InputError("no scene is given")
        return name_scenes(scenes)
    return find_scenes(str(scenes)) or name_scenes([scenes])


def _make_folders(where: ScenesOutputs, stack: ExitStack) -> None:
    """Make the folders of the results; in the end those are removed that nothing lies in."""
    for folder in where.folders():
        if folder == where.job or not folder.exists():
            stack.enter_context(make_folder(folder))


def _check_files(
    job: ScenesJob,
    tasks: Sequence[SceneTask],
    where: ScenesOutputs,
    expressions: Sequence[str],
    run: RunOptions,
) -> None:
    """Refuse files and jobs that lie where ours are to be."""
    is_new = run.existing == "refuse"
    check_files(
        tasks,
        where,
        expressions,
        (lambda task: False) if is_new else job.is_begun,
        may_replace=not is_new and is_merging(job.folder),
    )
    if is_new:
        for task in tasks:
            refuse_existing(job_path(task.outputs.vector))


def _model(
    options: SegmentOptions, run: RunOptions, predictor: WindowPredictor | None
) -> tuple[ModelFacts, WindowPredictor | None]:
    """What is known of the model, and the model itself; None where each worker loads its own."""
    if predictor is not None or run.workers == 1:
        predictor = predictor or load_predictor(options)
        return predictor.facts, predictor
    return load_for_planning(options)[1], None


def _n_windows(
    tasks: Sequence[SceneTask],
    expressions: Sequence[str],
    model: ModelFacts,
    options: SegmentOptions,
) -> dict[str, int]:
    """Windows of each scene by its name, and the error of one that is too large to be planned."""
    return {
        task.scene.name: make_plan(
            task.info, expressions, model, options, _ANY_STRETCH
        ).grid.n_windows
        for task in tasks
        if not task.is_outside
    }


def _done(
    job: ScenesJob, tasks: Sequence[SceneTask], expressions: Sequence[str]
) -> dict[str, SceneResult]:
    """What needs not be worked on, by the name of the scene."""
    done = {}
    for task in tasks:
        if task.is_outside:
            outside = SceneResult(scene=task.scene.path, state="outside", report={})
            done[task.scene.name] = outside
            continue
        result = job.result(task)
        files = task.outputs.all_files(expressions).values()
        if result is not None and all(path.exists() for path in files):
            done[task.scene.name] = result
    return done


def _check_space(tasks: Sequence[SceneTask], n_expressions: int) -> None:
    """Refuse what would not fit: all results, and what one scene needs while it is worked on."""
    sizes = [task.info.width * task.info.height for task in tasks]
    if sizes:
        total, largest = sum(sizes), max(sizes)
        tasks[0].outputs.check_space(
            (total + largest) // 2, n_missing=largest, n_expressions=n_expressions
        )


def _worked_on(
    tasks: Sequence[SceneTask],
    job: ScenesJob,
    what: SceneRun,
    run: RunOptions,
    predictor: WindowPredictor | None,
    *,
    counter: "_Counter",
    stop: Callable[[], bool],
) -> Generator[tuple[SceneTask, SceneResult]]:
    """Each scene with what became of it, in the order in which they are done."""
    if run.workers > 1:
        own = None if predictor is None or predictor.facts.has_bundle else predictor
        stop_file = job.folder / STOP
        for task, result in run_in_processes(
            *(tasks, what, run.workers, stop_file),
            predictor=own,
            on_begin=job.mark_begun,
            stop=stop,
        ):
            for text in result.report.get("warnings", ()):  # nobody listens over there
                logger.warning(text)
            yield task, result
        return
    assert predictor is not None
    for task in tasks:
        _stop_if(stop)
        job.mark_begun(task)
        yield task, run_scene(task, what, predictor, progress=counter.within(task), stop=stop)


def _without_layers(result: SceneResult) -> SceneResult:
    """The same but for the polygons' file, which is gone when all are joined."""

    def others(record: Mapping[str, Any]) -> dict[str, Any]:
        outputs = record["outputs"].items()
        return {**record, "outputs": {k: v for k, v in outputs if k.split(":")[0] != "vector"}}

    if not result.report:
        return result
    results = [others(each) for each in result.report["results"]]
    return replace(result, report={**others(result.report), "results": results})


@contextmanager
def _kept(job: ScenesJob, tasks: Sequence[SceneTask]) -> Iterator[None]:
    """Within it, what is done is kept if the run ends before its time, and the error says so."""
    try:
        yield
    except BaseException as err:
        done = sum(job.is_done(task) for task in tasks)
        begun = [task for task in tasks if job.is_begun(task)]
        vectors = [task.outputs.vector for task in begun]
        if not done and not any(path.exists() or job_path(path).exists() for path in vectors):
            job.clear()
            raise
        if isinstance(err, RrsisError):
            hint = "" if isinstance(err, Stopped) else ", to go on with by --resume"
            raise type(err)(
                f"{err}; {done} of {len(tasks)} scenes are done, kept in {job.folder}{hint}"
            ) from err
        raise


def _refuse_if_all_failed(ordered: Sequence[tuple[SceneTask, SceneResult]]) -> None:
    failed = [result for _, result in ordered if result.state == "failed"]
    if len(failed) == sum(result.state != "outside" for _, result in ordered):
        raise InputError(f"all {len(failed)} scenes failed, such as {failed[0].reason}")


class _Counter:
    """Tells how far a run is: in windows of all scenes, and in scenes."""

    def __init__(
        self, progress: Progress, n_windows: dict[str, int], done: dict[str, SceneResult]
    ) -> None:
        self._progress, self._n_windows = progress, n_windows
        self._total = sum(n_windows.values())
        self._finished = {name for name in done if name in n_windows}
        self._windows = sum(n_windows[name] for name in self._finished)
        self._tell()

    def within(self, task: SceneTask) -> Progress:
        """What one scene tells how far it is."""
        own = self._n_windows[task.scene.name]

        def progress(stage: str, done: int, total: int) -> None:
            if stage == "windows" and total:
                self._progress("windows", self._windows + own * done // total, self._total)

        return progress

    def finish(self, task: SceneTask) -> None:
        """Count a scene."""
        self._finished.add(task.scene.name)
        self._windows += self._n_windows[task.scene.name]
        self._tell()

    def _tell(self) -> None:
        self._progress("windows", self._windows, self._total)
        self._progress("scenes", len(self._finished), len(self._n_windows))


def _stop_if(stop: Callable[[], bool]) -> None:
    if stop():
        raise Stopped("stopped")
