"""Segment scenes one by one in this process, or in several processes at the same time."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from rrsis_geo.errors import ConfigError, InputError, RrsisError, Stopped
from rrsis_geo.progress import Progress
from rrsis_geo.segment.batch.job import BatchSettings, SceneResult, TaskResult
from rrsis_geo.segment.batch.tasks import SceneTask
from rrsis_geo.segment.jobs.engines import RunOptions
from rrsis_geo.segment.jobs.prepare import check_same_model, load_predictor
from rrsis_geo.segment.jobs.processes import (
    Worker,
    free_number,
    keep_to_parent,
    ready_workers,
    start_worker,
)
from rrsis_geo.segment.jobs.workers import options_of_worker
from rrsis_geo.segment.plan.predictor import WindowPredictor
from rrsis_geo.segment.scene import segment_scene

logger = logging.getLogger(__name__)


class SceneRun(NamedTuple):
    """How every scene of a batch is segmented."""

    settings: BatchSettings
    keep_job: bool
    command: str


def run_scene(
    task: SceneTask,
    run: SceneRun,
    predictor: WindowPredictor,
    *,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> SceneResult:
    """Segment one scene, or resume it. An error of the scene becomes a failed result.

    Args:
        task: the scene. Its files may be replaced.
        run: settings of the batch.
        predictor: of the batch.
        progress: called with the progress of the scene.
        stop: polled between shards. Return True to stop after the current shard.

    Raises:
        DeviceError: the device cannot run the model.
        OutputError: an output cannot be written.
        Stopped: `stop` returned True.
    """
    try:
        report = segment_scene(
            task.scene.path,
            run.settings.expressions,
            replace(task.outputs, overwrite=True),
            run.settings.options,
            run=RunOptions(existing="resume", keep_job=run.keep_job, command=run.command),
            predictor=predictor,
            progress=progress,
            stop=stop,
        )
    except (InputError, ConfigError) as err:
        return _failed(task, str(err))
    return SceneResult(
        scene=task.scene.path,
        state="gaps" if report.failed else "done",
        report=report.to_dict(),
    )


def _failed(task: SceneTask, reason: str) -> SceneResult:
    return SceneResult(scene=task.scene.path, state="failed", reason=reason, report={})


def run_in_processes(
    tasks: Sequence[SceneTask],
    run: SceneRun,
    n_workers: int,
    stop_file: Path,
    *,
    predictor: WindowPredictor | None = None,
    on_begin: Callable[[SceneTask], None] = lambda task: None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[TaskResult]:
    """Segment scenes in several processes; yield each with its result, in any order.

    If a process dies, its scene is tried once more in another one. If that dies too, the scene has
    failed.

    Args:
        tasks: the scenes.
        run: settings of the batch.
        n_workers: maximum number of processes.
        stop_file: while it exists, the processes stop after the current shard.
        predictor: used instead of the bundle that the options name. Each process gets a copy.
        on_begin: called with each scene before it is sent to a process.
        stop: polled between scenes. Return True to stop after the current shards.

    Raises:
        Stopped: `stop` returned True.
        RrsisError: an error of one of the processes.
    """
    waiting = deque(tasks)
    died: set[str] = set()
    workers: list[Worker] = []

    def next_task() -> SceneTask:
        task = waiting.popleft()
        on_begin(task)
        return task

    stop_file.unlink(missing_ok=True)
    try:
        while waiting or workers:
            while waiting and len(workers) < n_workers:
                number = free_number(workers, n_workers)
                arguments = _run_of_worker(run, number, n_workers), stop_file, predictor
                workers.append(start_worker(number, _serve, arguments, next_task()))
            for worker in ready_workers(workers):
                task, answer = worker.task, worker.answer()
                if isinstance(answer, RrsisError):
                    raise answer
                if answer is None:
                    workers.remove(worker)
                    told = f"{worker.death()} in {task.scene.path}"
                    if task.scene.path in died:
                        reason = f"{told}, {worker.death_again()}"
                        yield TaskResult(task, _failed(task, reason))
                    else:
                        died.add(task.scene.path)
                        logger.warning("%s; the scene is tried once more", told)
                        waiting.appendleft(task)
                    continue
                if answer.state != "started":
                    yield TaskResult(task, answer)
                if waiting:
                    worker.hand(next_task())
                else:
                    workers.remove(worker)
                    worker.dismiss()
            if stop():
                stop_file.touch()
                waiting.clear()
        if stop_file.exists():
            raise Stopped("stopped")
    finally:
        for worker in workers:
            worker.kill()
        stop_file.unlink(missing_ok=True)


def _run_of_worker(run: SceneRun, number: int, n_workers: int) -> SceneRun:
    options = options_of_worker(run.settings.options, number, n_workers)
    return run._replace(settings=replace(run.settings, options=options))


def _serve(line: Connection, arguments: tuple[SceneRun, Path, WindowPredictor | None]) -> None:
    """Main function of a worker process."""
    run, stop_file, predictor = arguments
    keep_to_parent()
    try:
        predictor = predictor or load_predictor(run.settings.options)
        check_same_model(run.settings.model, predictor, stop_file.parent)
        while (task := line.recv()) is not None:
            try:
                result = run_scene(task, run, predictor, stop=stop_file.exists)
            except Stopped:
                result = SceneResult(scene=task.scene.path, state="started", report={})
            line.send(result)
    except RrsisError as err:
        line.send(err)
    except EOFError:
        pass  # the main process has ended
