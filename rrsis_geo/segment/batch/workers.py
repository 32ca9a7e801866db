"""Scenes worked on one by one: in this process, or in several, each of which takes whole scenes."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from rrsis_geo.errors import ConfigError, InputError, RrsisError, Stopped
from rrsis_geo.model.facts import ModelFacts
from rrsis_geo.progress import Progress
from rrsis_geo.segment.batch.job import SceneResult
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
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.predictor import WindowPredictor
from rrsis_geo.segment.scene import segment_scene

logger = logging.getLogger(__name__)


class SceneRun(NamedTuple):
    """What is done with every scene."""

    expressions: tuple[str, ...]
    options: SegmentOptions
    model: ModelFacts
    keep_job: bool
    command: str


def run_scene(
    task: SceneTask,
    what: SceneRun,
    predictor: WindowPredictor,
    *,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> SceneResult:
    """Work on one scene, or go on with it; trouble with it is its own, and no other's.

    Args:
        task: whose files may be replaced.
        what: to do.
        predictor: loaded.
        progress: told how far the scene is.
        stop: asked now and then.

    Raises:
        DeviceError: the device cannot do the work.
        OutputError: a result cannot be written.
        Stopped: `stop` said so.
    """
    try:
        report = segment_scene(
            task.scene.path,
            what.expressions,
            replace(task.outputs, overwrite=True),
            what.options,
            run=RunOptions(existing="resume", keep_job=what.keep_job, command=what.command),
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
    what: SceneRun,
    n_workers: int,
    stop_file: Path,
    *,
    predictor: WindowPredictor | None = None,
    on_begin: Callable[[SceneTask], None] = lambda task: None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[SceneTask, SceneResult]]:
    """Work on scenes in processes of this machine; gives each as it is done, in any order.

    A scene in which a process dies is tried once more, and has failed if the next one dies too.

    Args:
        tasks: scenes.
        what: to do with each.
        n_workers: processes, at most.
        stop_file: if it exists, they are to end after the shard in hand.
        predictor: in place of the bundle that the options name; each process gets a copy.
        on_begin: called with a scene before it is handed out.
        stop: asked now and then.

    Raises:
        Stopped: `stop` said so.
        RrsisError: what one of the processes raised.
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
                own = what._replace(options=options_of_worker(what.options, number, n_workers))
                arguments = own, stop_file, predictor
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
                        yield task, _failed(task, reason)
                    else:
                        died.add(task.scene.path)
                        logger.warning("%s; the scene is tried once more", told)
                        waiting.appendleft(task)
                    continue
                if answer.state != "begun":
                    yield task, answer
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


def _serve(line: Connection, arguments: tuple[SceneRun, Path, WindowPredictor | None]) -> None:
    """What a worker does all its life."""
    what, stop_file, predictor = arguments
    keep_to_parent()
    try:
        predictor = predictor or load_predictor(what.options)
        check_same_model(what.model, predictor, stop_file.parent)
        while (task := line.recv()) is not None:
            try:
                result = run_scene(task, what, predictor, stop=stop_file.exists)
            except Stopped:
                result = SceneResult(scene=task.scene.path, state="begun", report={})
            line.send(result)
    except RrsisError as err:
        line.send(err)
    except EOFError:
        pass  # the first process is gone
