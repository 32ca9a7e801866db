"""The Typer app, its error boundary, and Ctrl-C during work that can be resumed."""

import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from rrsis_geo import console
from rrsis_geo.clock import PROGRAM_STARTED
from rrsis_geo.errors import ConfigError, RrsisError, Stopped
from rrsis_geo.version import __version__

INTERRUPTED = 130
ARGUMENTS = "rrsis_geo.arguments"
"""Key of the command line's arguments in the context's ``meta``."""
STARTED = "rrsis_geo.started"
"""Key of the time at which the command began."""


class ErrorBoundary(TyperGroup):
    """Turns each `RrsisError` into one line on stderr and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments, and keep a copy for `command_line`."""
        ctx.meta[ARGUMENTS] = list(args)
        ctx.meta[STARTED] = time.perf_counter() if ctx.obj is None else ctx.obj
        _hide_flag_types(self, ctx)
        parsed: list[str] = super().parse_args(ctx, join_bbox(args))
        return parsed

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; a scene in its place gets advice."""
        name, *rest = args
        if name not in self.commands and ("." in name or "/" in name):
            words = " ".join(quote(word) for word in (name, *(rest or ["EXPRESSION"])))
            raise ConfigError(f"{name}: is no command; did you mean: rrsis-geo segment {words}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except RrsisError as err:
            console.print_error(err)
            raise typer.Exit(err.exit_code) from err
        except KeyboardInterrupt as err:
            console.print_interrupted()
            raise typer.Exit(INTERRUPTED) from err


app = typer.Typer(
    cls=ErrorBoundary,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def quote(text: str) -> str:
    """The text as one word of a command, in the quotes that all shells know."""
    return f'"{text}"' if not text or any(c.isspace() for c in text) else text


def _hide_flag_types(command: Any, context: Any) -> None:
    """Keep ``<bool>`` out of the help of flags, which take no value. Typer shows it."""
    for option in (*command.params, command.get_help_option(context)):
        if getattr(option, "is_flag", False):
            option.metavar = ""
    for each in getattr(command, "commands", {}).values():
        _hide_flag_types(each, type(context)(each, parent=context))


def join_bbox(args: Sequence[str]) -> list[str]:
    """The arguments, with the numbers of ``--bbox L B R T`` joined by commas."""
    joined: list[str] = []
    rest = list(args)
    while rest:
        word = rest.pop(0)
        numbers = rest[:4]
        if word == "--bbox" and len(numbers) == 4 and all(map(_is_number, numbers)):
            del rest[:4]
            word = f"--bbox={','.join(numbers)}"
        joined.append(word)
    return joined


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def command_line(context: typer.Context) -> str:
    """The command as the user typed it, quoted for a shell."""
    return shlex.join(["rrsis-geo", *context.meta[ARGUMENTS]])


def start_time(context: typer.Context) -> float:
    """`time.perf_counter` when the command began: with the program, if that is `main`."""
    return float(context.meta[STARTED])


@contextmanager
def resumable(
    context: typer.Context, job: Path | None, *, flag: str | None = None
) -> Iterator[Callable[[], bool]]:
    """Stop the work in the ``with`` block cleanly on SIGINT or SIGTERM, at the second one at once.

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


def _print_version(is_given: bool) -> None:
    if is_given:
        typer.echo(f"rrsis-geo {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Find objects in georeferenced images by describing them in English."""


def main() -> None:
    """Run the command line as the main program of this process.

    A termination request cleans up like Ctrl-C. GDAL uses all cores unless `GDAL_NUM_THREADS` is
    set. Threads of OpenMP sleep while they wait for each other unless `OMP_WAIT_POLICY` is set: by
    default they spin, and where other programs run, they keep the thread that they wait for from
    its core. `app` itself does none of this, because a program that embeds it may fork, and forking
    a process with GDAL threads can deadlock.
    """
    signal.signal(signal.SIGTERM, _exit_on_signal)
    os.environ.setdefault("GDAL_NUM_THREADS", "ALL_CPUS")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app(obj=PROGRAM_STARTED)


def _exit_on_signal(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)
