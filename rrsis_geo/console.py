"""Terminal output: results on stdout; messages and progress on stderr, as text or as JSON lines."""

import codecs
import json
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from rrsis_geo.errors import RrsisError
from rrsis_geo.progress import Progress
from rrsis_geo.units import format_duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A small table of numbers on a board.

    Attributes:
        title: title of the table.
        columns: column names.
        rows: row name -> one cell per column. The name is "" if there is only one row.
    """

    title: str
    columns: Sequence[str]
    rows: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The state of a long run.

    Attributes:
        title: name of the run.
        done: completed steps.
        total: number of steps.
        notes: texts beside the progress bar, such as the remaining time.
        sections: tables below the bar.
        message: a line that a log file gets at once, "" for none.
    """

    title: str
    done: int
    total: int
    notes: Sequence[str]
    sections: Sequence[Section]
    message: str = ""


BoardCallback = Callable[[Board], None]


class ProgressFormat(StrEnum):
    """How messages and progress are written to stderr."""

    AUTO = "auto"
    """For people: bars in a terminal, a line every 30 seconds in a log file."""

    JSON = "json"
    """For programs: one JSON object per line, as docs/jobs.md describes."""


LOG_EVERY_S = 30.0
JSON_EVERY_S = 0.1
_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)
_format = ProgressFormat.AUTO
"""Format of stderr. `setup_logging` sets it once per command."""

_STYLES: Final = {"error": "bold red", "warning": "yellow", "info": "", "debug": "dim"}
_PREFIXES: Final = {"error": "error: ", "warning": "warning: "}


class LineHandler(logging.Handler):
    """Prints log records as single lines on stderr, above a running progress bar."""

    LEVELS = (
        (logging.ERROR, "error"),
        (logging.WARNING, "warning"),
        (logging.INFO, "info"),
        (logging.NOTSET, "debug"),
    )

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        level = next(name for number, name in self.LEVELS if record.levelno >= number)
        _print_message(level, self.format(record))


def setup_logging(
    *,
    quiet: bool = False,
    verbose: bool = False,
    progress_format: ProgressFormat = ProgressFormat.AUTO,
) -> None:
    """Send the package's log to stderr.

    Args:
        quiet: show errors only. The default also shows warnings.
        verbose: show all messages, and the warnings of other libraries.
        progress_format: how messages and progress are written.
    """
    global _format
    _format = progress_format
    if quiet:  # huggingface_hub reads this on import; no command imports it earlier
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    handler = LineHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.setLevel(logging.ERROR if quiet else logging.NOTSET)
    package = logging.getLogger("rrsis_geo")
    package.handlers = [handler]
    package.propagate = False
    package.setLevel(logging.DEBUG if verbose else logging.WARNING)  # reports list warnings too
    foreign = logging.getLogger("py.warnings")
    foreign.handlers = [handler] if verbose else [logging.NullHandler()]
    foreign.propagate = False
    logging.captureWarnings(True)
    warnings.simplefilter("default" if verbose else "ignore")


def print_error(error: RrsisError) -> None:
    """Print one line on stderr."""
    _print_message("error", str(error))


def print_interrupted(consequence: str = "unfinished output removed") -> None:
    """Print that Ctrl-C ended the command, and what happened to its work."""
    if _format is ProgressFormat.JSON:
        _print_event("stopped", text=f"interrupted; {consequence}", resume=None)
    else:
        _print_line("", "yellow", f"interrupted; {consequence}")


def print_stopping() -> None:
    """Print the answer to the first Ctrl-C during resumable work."""
    if _format is ProgressFormat.JSON:
        _print_event("stopping", text="stopping after the current row of windows")
    else:
        text = "stopping after the current row of windows; press Ctrl-C again to stop at once"
        _print_line("", "yellow", text)


def print_stopped(message: str, command: str) -> None:
    """Print how to resume a run that was stopped."""
    if _format is ProgressFormat.JSON:
        _print_event("stopped", text=message, resume=command)
    else:
        _print_line("", "yellow", f"{message}; to resume, run:")
        _print_line("", "", f"  {command}")


def print_json(value: object) -> None:
    """Print a JSON document on stdout."""
    is_utf8 = codecs.lookup(_encoding(_out)).name == "utf-8"
    text = json.dumps(value, indent=2, ensure_ascii=not is_utf8, allow_nan=False)
    _out.file.write(_printable(text, _out) + "\n")  # an escape such as \udcff is valid JSON


def print_text(text: str) -> None:
    """Print a text on stdout as it is."""
    _out.file.write(_printable(text, _out))


def print_facts(title: str, facts: Sequence[tuple[str, str]]) -> None:
    """Print names and values below a title on stdout."""
    _out.print(Text(_printable(title, _out), style="bold"), soft_wrap=True)
    width = max((len(name) for name, _ in facts), default=0)
    for name, value in facts:
        _out.print(
            Text(f"  {name:<{width}}  ", style="dim") + Text(_printable(value, _out)),
            soft_wrap=True,
        )


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on stdout. Lines are not wrapped if stdout is not a terminal."""
    folding = (Column(_printable(name, _out), overflow="fold") for name in columns)
    table = Table(*folding, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(_printable(cell, _out)) for cell in row))
    wide = _out if _out.is_terminal else Console(file=_out.file, highlight=False, width=10_000)
    wide.print(table)


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Progress | None]:
    """Yield a callback that shows progress on stderr. Yields None if ``quiet``.

    A terminal shows bars, which disappear at the end. A log file gets a line every 30 seconds. With
    JSON lines, each step is an event, but at most ten are written per second.
    """
    if quiet:
        yield None
    elif _format is ProgressFormat.JSON:
        yield _JsonProgress()
    elif not _err.is_terminal:
        yield _LogProgress()
    else:
        with Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeRemainingColumn(),
            console=_err,
            transient=True,
        ) as bars:
            yield _BarProgress(bars)


@contextmanager
def board(*, quiet: bool = False) -> Iterator[BoardCallback | None]:
    """Yield a callback that shows a board on stderr. Yields None if ``quiet``.

    A terminal shows a live table, which stays at the end. A log file gets a line every 30 seconds
    and every message.
    """
    if quiet:
        yield None
    elif not _err.is_terminal:
        yield _LogBoard()
    else:
        live = _LiveBoard()
        try:
            yield live
        finally:
            live.stop()


def _print_message(level: str, message: str) -> None:
    """Print a message of a level of `_STYLES`."""
    if _format is ProgressFormat.JSON:
        _print_event("message", level=level, text=message)
    else:
        _print_line(_PREFIXES.get(level, ""), _STYLES[level], message)


def _print_event(event: str, **fields: str | int | None) -> None:
    """Print one JSON object on a line of its own. ASCII, so that every stream can encode it."""
    _err.file.write(json.dumps({"event": event, **fields}) + "\n")
    _err.file.flush()


def _print_line(prefix: str, style: str, message: str) -> None:
    _err.print(Text(prefix, style=style) + Text(_printable(message, _err)), soft_wrap=True)


def _printable(text: str, console: Console) -> str:
    """The text with escapes for what the stream cannot encode, such as file names not in UTF-8."""
    encoding = _encoding(console)
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _encoding(console: Console) -> str:
    return getattr(console.file, "encoding", None) or "utf-8"


class _RateColumn(ProgressColumn):
    """Steps per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "", style="dim")


class _BarProgress:
    """Shows one bar per stage."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total)
        self._bars.update(self._tasks[stage], completed=done, total=total)


class _JsonProgress:
    """Prints an event for the first step of a stage, the last, and one every `JSON_EVERY_S`."""

    def __init__(self) -> None:
        self._last_printed: dict[str, float] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        since = now - self._last_printed.get(stage, -JSON_EVERY_S)
        if since >= JSON_EVERY_S or done == total:
            self._last_printed[stage] = now
            _print_event("progress", stage=stage, done=done, total=total)


class _LogProgress:
    """Prints a line every `LOG_EVERY_S` seconds. Shorter stages print nothing."""

    def __init__(self) -> None:
        self._started: dict[str, float] = {}
        self._last_printed: dict[str, float] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        started = self._started.setdefault(stage, now)
        if now - self._last_printed.setdefault(stage, now) < LOG_EVERY_S or not done:
            return
        self._last_printed[stage] = now
        rate = done / (now - started)
        left = format_duration((total - done) / rate)
        _print_line("", "", f"{stage}: {done} of {total}, {rate:.1f}/s, {left} left")


class _LiveBoard:
    """Redraws a table. It starts with the first board, so earlier errors leave no empty table."""

    def __init__(self) -> None:
        self._live = Live(console=_err, refresh_per_second=4)

    def __call__(self, board: Board) -> None:
        self._live.start()
        self._live.update(_render_board(board))

    def stop(self) -> None:
        self._live.stop()


class _LogBoard:
    """Prints the first board, the last, one every `LOG_EVERY_S` seconds, and every message."""

    def __init__(self) -> None:
        self._last_printed = -LOG_EVERY_S

    def __call__(self, board: Board) -> None:
        now = time.monotonic()
        if now - self._last_printed >= LOG_EVERY_S or board.done in (1, board.total):
            self._last_printed = now
            numbers = [
                f"{section.title} "
                + " ".join(f"{name} {n}" for name, n in zip(section.columns, row, strict=True))
                for section in board.sections
                for name, row in section.rows.items()
                if not name
            ]
            facts = [f"{board.done} of {board.total}", *board.notes, *numbers]
            _print_line("", "", f"{board.title}: {', '.join(facts)}")
        if board.message:
            _print_line("", "", board.message)


def _render_board(board: Board) -> RenderableType:
    """A progress bar with its notes, and the sections below it, aligned with each other."""
    bar = Table.grid(padding=(0, 2))
    bar.add_row(
        Text(board.title, style="bold"),
        ProgressBar(total=board.total, completed=board.done, width=30),
        f"{board.done}/{board.total}",
        ", ".join(board.notes),
    )
    names = [name for section in board.sections for name in (section.title, *section.rows)]
    width = max(map(len, names), default=0) + 2
    tables: list[RenderableType] = []
    for section in board.sections:
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column(section.title, min_width=width, header_style="bold")
        for column in section.columns:
            table.add_column(column, justify="right", min_width=9)
        for name, row in section.rows.items():
            table.add_row(Text(f"  {name}"), *row)
        tables.append(Padding(table, (1, 0, 0, 0)))
    return Group(bar, *tables)
