"""Processes of this machine that serve: each is handed one task after the other, and heard of."""

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

POLL_S = 0.25


@dataclass(slots=True)
class Worker:
    """A process, the line to it, and what it has in hand.

    Attributes:
        number: that no other one at work has.
        process: it.
        line: what is handed to it, and what it answers, goes over this.
        task: in hand.
    """

    number: int
    process: BaseProcess
    line: Connection
    task: Any

    def hand(self, task: Any) -> None:
        """Give it something to do."""
        self.task = task
        with suppress(OSError):  # it has died: that is heard next
            self.line.send(task)

    def answer(self) -> Any:
        """What it says, once it was heard of: never None, but where it has died."""
        try:
            return self.line.recv()
        except (EOFError, OSError):
            self.process.join()
            return None

    def death(self) -> str:
        """How it has died."""
        code = self.process.exitcode or 0
        how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        return f"worker {self.number + 1} died ({how})"

    def death_again(self) -> str:
        """What to make of it where another one has died over the same task."""
        was_killed = (self.process.exitcode or 0) < 0  # as systems do when memory runs out
        hint = "is the memory too small for so many?" if was_killed else "its traceback tells why"
        return f"as one did before; {hint}"

    def dismiss(self) -> None:
        """Let it end."""
        with suppress(OSError):
            self.line.send(None)
        self.process.join()

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.join()


Serve = Callable[[Connection, Any], None]
"""What a worker does all its life, with the line to the first process and with its arguments."""


def start_worker(number: int, serve: Serve, arguments: Any, task: Any) -> Worker:
    """A process with something to do."""
    context = multiprocessing.get_context("spawn")  # CUDA and GDAL do not outlive a fork
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, arguments), name=f"worker-{number}")
    process.start()
    theirs.close()  # or its end would not be heard of
    worker = Worker(number, process, ours, None)
    worker.hand(task)
    return worker


def free_number(workers: Sequence[Worker], n_workers: int) -> int:
    """The lowest number that none of the workers has."""
    return min(set(range(n_workers)) - {worker.number for worker in workers})


def ready_workers(workers: Sequence[Worker]) -> list[Worker]:
    """Those that have something to say, or have died; waits for a moment where none has."""
    ready = wait([worker.line for worker in workers], timeout=POLL_S)
    return [worker for worker in workers if worker.line in ready]


def keep_to_parent() -> None:
    """Have this worker end with the first process, which alone hears Ctrl-C and tells the user."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the first process decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logging.getLogger("rrsis_geo").addHandler(logging.NullHandler())  # the first process has told


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
