"""Ctrl-C during work that can be gone on with: the first ends it well, the second at once."""

import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import typer

from rrsis_geo import console
from rrsis_geo.cli.app import ARGUMENTS, INTERRUPTED
from rrsis_geo.errors import Stopped


@contextmanager
def resumable(
    context: typer.Context, job: Path, *, flag: str | None = None
) -> Iterator[Callable[[], bool]]:
    """Within it, Ctrl-C and a termination request stop the work, and what was finished is kept.

    Args:
        context: of the command.
        job: the folder in which it is kept.
        flag: with which the same command goes on, None where it needs none.

    Yields:
        What tells whether to stop.

    Raises:
        typer.Exit: the work was stopped; how to go on with it is told.
        KeyboardInterrupt: it was stopped before anything was finished.
    """
    try:
        with _stop_on_signals() as stop:
            yield stop
    except (Stopped, KeyboardInterrupt) as err:
        if not job.exists():
            raise KeyboardInterrupt from err
        words = [word for word in context.meta[ARGUMENTS] if word not in ("--resume", "--restart")]
        command = shlex.join(["rrsis-geo", *words, *([flag] if flag else [])])
        console.print_stopped(str(err) or f"stopped; what is finished is kept in {job}", command)
        raise typer.Exit(INTERRUPTED) from err


@contextmanager
def _stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Within it, a first SIGINT or SIGTERM makes the callable say True; a second one interrupts."""
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        console.print_stopping()

    if threading.current_thread() is not threading.main_thread():  # Python's rule for handlers
        yield asked.is_set
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
