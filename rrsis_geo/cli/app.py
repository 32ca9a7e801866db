"""The app that commands are added to, and its one error boundary."""

import os
import shlex
import signal
import sys
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from rrsis_geo import console
from rrsis_geo.errors import RrsisError
from rrsis_geo.version import __version__

INTERRUPTED = 130


ARGUMENTS = "rrsis_geo.arguments"
"""Where the context's ``meta`` keeps what was typed after the program's name."""


class ErrorBoundary(TyperGroup):
    """Turns our errors into a line on stderr and an exit code, in a shell and under test alike."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep the arguments, so that a command can tell how it is gone on with."""
        ctx.meta[ARGUMENTS] = list(args)
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed

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
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Say what you are looking for in an overhead scene; get georeferenced polygons.",
)


def typed(context: typer.Context) -> str:
    """The command as it was typed, for a shell."""
    return shlex.join(["rrsis-geo", *context.meta[ARGUMENTS]])


def _version(shown: bool) -> None:
    if shown:
        typer.echo(f"rrsis-geo {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show version and exit."),
    ] = False,
) -> None:
    """Say what you are looking for in an overhead scene; get georeferenced polygons."""


def main() -> None:
    """Entry point: like `app`, but owner of the process.

    A termination request cleans up as Ctrl-C does. GDAL reads and compresses in several threads,
    unless the environment says otherwise; where others own the process they might fork it, and
    hang.
    """
    signal.signal(signal.SIGTERM, _terminate)
    os.environ.setdefault("GDAL_NUM_THREADS", "ALL_CPUS")
    app()


def _terminate(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)
