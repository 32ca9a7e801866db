"""Worker processes of this machine: start them, send them tasks, receive their answers."""

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

from rrsis_geo.errors import ConfigError, RrsisError, Stopped

POLL_S = 0.25

MAIN_GUARD = (
    "worker processes import the script that starts them, so it must not start them when it is "
    'imported; put the call under: if __name__ == "__main__":'
)

OpenHandler = Callable[[Any], AbstractContextManager[Callable[[Any], Any]]]
"""Takes the setup of a worker; opens what it needs and gives the function that does one task.
Pickled by its name, so it must be a function of a module."""


class Answer(NamedTuple):
    """What a worker sends back after a task, and once when it has started."""

    result: Any
    was_stopped: bool = False
    is_start: bool = False


@dataclass(slots=True)
class Worker:
    """A worker process.

    Attributes:
        number: unique among the running workers, from 0.
        process: the process.
        connection: carries tasks to the process, and its answers back.
        task: the last task that was sent.
        has_started: the process has imported what it needs.
    """

    number: int
    process: BaseProcess
    connection: Connection
    task: Any = None
    has_started: bool = False

    def send(self, task: Any) -> None:
        """Send a task to the worker."""
        self.task = task
        with suppress(OSError):  # the worker has died; `receive` reports it
            self.connection.send(task)

    def receive(self) -> Answer | RrsisError | None:
        """Receive the answer of a worker that is ready; None if its process has died."""
        try:
            answer: Answer | RrsisError = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            return None
        return answer

    def describe_death(self) -> str:
        """Say how the process died."""
        code = self.process.exitcode or 0
        reason = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        return f"worker {self.number + 1} died ({reason})"

    @property
    def was_killed(self) -> bool:
        """Whether a signal ended the process; systems send one when memory runs out."""
        return (self.process.exitcode or 0) < 0

    @property
    def cannot_start(self) -> bool:
        """Whether the process ended with an error while it was starting."""
        return not self.has_started and (self.process.exitcode or 0) > 0

    def stop(self) -> None:
        """Let the process end, and wait for it."""
        with suppress(OSError):
            self.connection.send(None)
        self.process.join()

    def kill(self) -> None:
        """End the process at once."""
        self.process.kill()
        self.process.join()


def refuse_to_start_again() -> None:
    """Refuse to start workers in a worker that is only importing the script of its parent.

    Raises:
        ConfigError: the script starts workers wherever it is imported.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise ConfigError(MAIN_GUARD)


def start_worker(number: int, open_handler: OpenHandler, setup: Any) -> Worker:
    """Start a process that does one task after the other.

    Args:
        number: unique among the running workers.
        open_handler: called in the process with `setup`.
        setup: sent to the process.
    """
    context = multiprocessing.get_context("spawn")  # CUDA and GDAL do not survive a fork
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_serve, args=(theirs, open_handler, setup), name=f"worker-{number}"
    )
    process.start()
    theirs.close()  # otherwise the end of the process would not close the connection
    return Worker(number, process, ours)


def ready_workers(workers: Sequence[Worker]) -> list[Worker]:
    """Workers that have sent an answer or have died. Waits a moment if there are none."""
    ready = wait([worker.connection for worker in workers], timeout=POLL_S)
    return [worker for worker in workers if worker.connection in ready]


def _serve(connection: Connection, open_handler: OpenHandler, setup: Any) -> None:
    """Do tasks until None is received. Runs in the worker process."""
    _end_with_parent()
    try:
        connection.send(Answer(None, is_start=True))
        with open_handler(setup) as handle:
            while (task := connection.recv()) is not None:
                try:
                    answer = Answer(handle(task))
                except Stopped:
                    answer = Answer(None, was_stopped=True)
                connection.send(answer)
    except RrsisError as err:
        connection.send(err)
    except (EOFError, BrokenPipeError):
        pass  # the parent process has ended


def _end_with_parent() -> None:
    """End this process when its parent ends. Ctrl-C and log messages are left to the parent."""

    def wait_for_parent() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal
    threading.Thread(target=wait_for_parent, daemon=True).start()
    logging.getLogger("rrsis_geo").addHandler(logging.NullHandler())
