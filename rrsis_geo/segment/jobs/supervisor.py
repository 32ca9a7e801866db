"""Distribute tasks over worker processes, and try a task again when its worker dies."""

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from rrsis_geo.errors import ConfigError, DeviceError, RrsisError, Stopped
from rrsis_geo.segment.jobs.processes import (
    MAIN_GUARD,
    OpenHandler,
    Worker,
    ready_workers,
    start_worker,
)

logger = logging.getLogger(__name__)

Task = TypeVar("Task")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskKind(Generic[Task]):
    """How workers do tasks of one kind.

    Attributes:
        open_handler: called in each worker; see `processes.OpenHandler`.
        make_setup: gives the setup of the worker with a number.
        describe: names a task in messages. A task with the same name is tried twice at most.
        unfinished: what is left of a task whose worker died, or None.
        on_start: called before a task is sent to a worker.
    """

    open_handler: OpenHandler
    make_setup: Callable[[int], Any]
    describe: Callable[[Task], str]
    unfinished: Callable[[Task], Task | None] = lambda task: task
    on_start: Callable[[Task], None] = lambda task: None


class Supervisor(Generic[Task]):
    """Worker processes that share the tasks of one kind."""

    def __init__(self, kind: TaskKind[Task], n_workers: int, stop_file: Path) -> None:
        """Start no worker yet.

        Args:
            kind: how tasks are done.
            n_workers: maximum number of processes.
            stop_file: created to tell workers to stop after the current shard.
        """
        self._kind = kind
        self._n_workers = n_workers
        self._stop_file = stop_file
        self._waiting: deque[Task] = deque()
        self._workers: list[Worker] = []
        self._died_in: set[str] = set()

    def run(
        self,
        tasks: Iterable[Task],
        *,
        on_poll: Callable[[], None] = lambda: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Generator[tuple[Task, Any]]:
        """Do the tasks, in any order. Close the iterator to end early.

        Args:
            tasks: the first ones are started first.
            on_poll: called several times a second.
            stop: polled as often. Return True to stop after the current shards.

        Yields:
            Each task with its result, or with a DeviceError if two workers died in it.

        Raises:
            ConfigError: workers cannot start, because the main script would start them again.
            Stopped: `stop` returned True.
            RrsisError: an error of a worker.
        """
        self._waiting = deque(tasks)
        self._stop_file.unlink(missing_ok=True)
        try:
            while self._waiting or self._workers:
                while self._waiting and len(self._workers) < self._n_workers:
                    self._start_worker()
                for worker in ready_workers(self._workers):
                    yield from self._receive(worker)
                on_poll()
                if stop():
                    self._stop_file.touch()
                    self._waiting.clear()
            if self._stop_file.exists():
                raise Stopped("stopped")
        finally:
            for worker in self._workers:
                worker.kill()
            self._stop_file.unlink(missing_ok=True)

    def _start_worker(self) -> None:
        number = min(set(range(self._n_workers)) - {worker.number for worker in self._workers})
        worker = start_worker(number, self._kind.open_handler, self._kind.make_setup(number))
        self._workers.append(worker)
        self._send_next(worker)

    def _send_next(self, worker: Worker) -> None:
        """Send the next task to a worker; stop the worker if there is none."""
        if self._waiting:
            task = self._waiting.popleft()
            self._kind.on_start(task)
            worker.send(task)
        else:
            self._workers.remove(worker)
            worker.stop()

    def _receive(self, worker: Worker) -> Iterator[tuple[Task, Any]]:
        """Receive the answer of a worker, and send it the next task."""
        answer = worker.receive()
        if isinstance(answer, RrsisError):
            raise answer
        if answer is None:
            self._workers.remove(worker)
            if worker.cannot_start:
                raise ConfigError(f"{worker.describe_death()} when it started; {MAIN_GUARD}")
            yield from self._retry(worker)
            return
        if answer.is_start:
            worker.has_started = True
            return
        if not answer.was_stopped:
            yield worker.task, answer.result
        self._send_next(worker)

    def _retry(self, worker: Worker) -> Iterator[tuple[Task, DeviceError]]:
        """Queue the task of a dead worker again; give up if another worker has died in it."""
        task = self._kind.unfinished(worker.task)
        if task is None:
            return
        name = self._kind.describe(task)
        message = f"{worker.describe_death()} in {name}"
        if name not in self._died_in:
            self._died_in.add(name)
            logger.warning("%s; trying again", message)
            self._waiting.appendleft(task)
            return
        hint = (
            "memory may be too small; use fewer workers"
            if worker.was_killed
            else "see its traceback"
        )
        yield task, DeviceError(f"{message}, as another worker did before; {hint}")
