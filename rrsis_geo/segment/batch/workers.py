"""Segment scenes one by one in this process, or in several processes at the same time."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from rrsis_geo.errors import ConfigError, DeviceError, InputError
from rrsis_geo.progress import Progress
from rrsis_geo.segment.batch.job import BatchSettings, SceneResult, TaskResult
from rrsis_geo.segment.batch.tasks import SceneTask
from rrsis_geo.segment.jobs.engines import RunOptions
from rrsis_geo.segment.jobs.prepare import check_same_model, load_predictor
from rrsis_geo.segment.jobs.supervisor import Supervisor, TaskKind
from rrsis_geo.segment.jobs.workers import options_of_worker
from rrsis_geo.segment.plan.predictor import WindowPredictor
from rrsis_geo.segment.scene import segment_scene


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
        state="gaps" if report.failed or report.unwritten else "done",
        report=report.to_dict(),
    )


def _failed(task: SceneTask, reason: str) -> SceneResult:
    return SceneResult(scene=task.scene.path, state="failed", reason=reason, report={})


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneWorkerSetup:
    """What a worker process needs to segment scenes.

    Attributes:
        run: how every scene is segmented.
        stop_file: if this file exists, the process stops after the current shard.
        predictor: used instead of the bundle that the options name.
    """

    run: SceneRun
    stop_file: Path
    predictor: WindowPredictor | None = None


def run_in_processes(
    tasks: Sequence[SceneTask],
    setup: SceneWorkerSetup,
    n_workers: int,
    *,
    on_begin: Callable[[SceneTask], None] = lambda task: None,
    stop: Callable[[], bool] = lambda: False,
) -> Generator[TaskResult]:
    """Segment scenes in processes of this machine.

    A scene in which a process dies is tried once more. It fails if the next process dies too.

    Args:
        tasks: scenes.
        setup: of the processes; each gets its own device or its share of the cores.
        n_workers: maximum number of processes.
        on_begin: called before a scene is sent to a process.
        stop: polled several times a second. Return True to stop after the current shards.

    Yields:
        Each scene with its result, in the order in which they are completed.

    Raises:
        Stopped: `stop` returned True.
        RrsisError: an error of a process.
    """

    def make_setup(number: int) -> SceneWorkerSetup:
        settings = setup.run.settings
        options = options_of_worker(settings.options, number, n_workers)
        return replace(setup, run=setup.run._replace(settings=replace(settings, options=options)))

    kind: TaskKind[SceneTask] = TaskKind(
        open_handler=scene_worker_context,
        make_setup=make_setup,
        describe=lambda task: task.scene.path,
        on_start=on_begin,
    )
    supervisor = Supervisor(kind, n_workers, setup.stop_file)
    with closing(supervisor.run(tasks, stop=stop)) as results:
        for task, result in results:
            if isinstance(result, DeviceError):
                result = _failed(task, str(result))
            yield TaskResult(task, result)


@contextmanager
def scene_worker_context(setup: SceneWorkerSetup) -> Iterator[Callable[[SceneTask], SceneResult]]:
    """Load the model in a worker process; gives the function that segments one scene.

    Raises:
        ConfigError: the model is not the one that the job was started with.
    """
    predictor = setup.predictor or load_predictor(setup.run.settings.options)
    check_same_model(setup.run.settings.model, predictor, setup.stop_file.parent)
    yield lambda task: run_scene(task, setup.run, predictor, stop=setup.stop_file.exists)
