"""Ctrl-C during resumable work: the first one stops cleanly, the second one at once."""

import shlex
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import typer

from rrsis_geo import console
from rrsis_geo.cli.app import ARGUMENTS, INTERRUPTED
from rrsis_geo.errors import Stopped


@contextmanager
def resumable(
    context: typer.Context, job: Path | None, *, flag: str | None = None
) -> Iterator[Callable[[], bool]]:
    """Stop the work in the ``with`` block cleanly on SIGINT or SIGTERM.

    Args:
        context: context of the command.
        job: folder where completed work is saved; None if it is not kept.
        flag: option that resumes the same command. None if it needs no option.

    Yields:
        A function that returns True once the user has asked to stop.

    Raises:
        typer.Exit: the work stopped. The command to resume it is printed.
        KeyboardInterrupt: the work stopped before anything was saved.
    """
    try:
        with _stop_on_signals() as stop:
            yield stop
    except (Stopped, KeyboardInterrupt) as err:
        if job is None or not job.exists():
            raise KeyboardInterrupt from err
        command = shlex.join(["rrsis-geo", *_resuming(context.meta[ARGUMENTS], flag)])
        console.print_stopped(str(err) or f"stopped; completed work is saved in {job}", command)
        raise typer.Exit(INTERRUPTED) from err


def _resuming(arguments: Sequence[str], flag: str | None) -> list[str]:
    """The arguments with the option that resumes, which is before "--", the end of options."""
    words = [word for word in arguments if word not in ("--resume", "--restart")]
    end = words.index("--") if "--" in words else len(words)
    return [*words[:end], *([flag] if flag else []), *words[end:]]


@contextmanager
def _stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns True after the first signal. A second signal interrupts."""
    stop_requested = threading.Event()

    def handle_signal(number: int, frame: FrameType | None) -> None:
        if stop_requested.is_set():
            raise KeyboardInterrupt
        stop_requested.set()
        console.print_stopping()

    if threading.current_thread() is not threading.main_thread():  # Python allows handlers there
        yield stop_requested.is_set
        return
    before = {
        number: signal.signal(number, handle_signal) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop_requested.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
