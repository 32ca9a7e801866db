"""What the terminal shows: results on stdout, all else (messages, progress) on stderr."""

import json
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

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
    """Some numbers of a board, in columns.

    Attributes:
        title: what they are.
        columns: their names.
        rows: name of the row, "" where there is but one -> its numbers, one a column.
    """

    title: str
    columns: Sequence[str]
    rows: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """Where a long run stands.

    Attributes:
        title: what is done.
        done: steps that are done.
        total: steps in all.
        notes: what stands beside the bar, such as the time left.
        sections: numbers below it.
        news: what a log is told at once, "" for nothing.
    """

    title: str
    done: int
    total: int
    notes: Sequence[str]
    sections: Sequence[Section]
    news: str = ""


BoardCallback = Callable[[Board], None]

LOG_EVERY_S = 30.0
_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)


class LineHandler(logging.Handler):
    """Log records as single lines on stderr, above a running progress bar."""

    STYLES = (
        (logging.ERROR, "error: ", "bold red"),
        (logging.WARNING, "warning: ", "yellow"),
        (logging.INFO, "", ""),
        (logging.NOTSET, "", "dim"),
    )

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        _, prefix, style = next(row for row in self.STYLES if record.levelno >= row[0])
        _line(prefix, style, self.format(record))


def setup_logging(*, quiet: bool = False, verbose: bool = False) -> None:
    """Send the package's log to stderr.

    Warnings and errors are shown; only errors with ``quiet``; everything, and the warnings of the
    libraries below us, with ``verbose``.
    """
    if quiet:  # read when huggingface_hub is imported, which no command does before this
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    handler = LineHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.setLevel(logging.ERROR if quiet else logging.NOTSET)
    package = logging.getLogger("rrsis_geo")
    package.handlers = [handler]
    package.propagate = False
    package.setLevel(logging.DEBUG if verbose else logging.WARNING)  # results list warnings too
    foreign = logging.getLogger("py.warnings")
    foreign.handlers = [handler] if verbose else [logging.NullHandler()]
    foreign.propagate = False
    logging.captureWarnings(True)
    warnings.simplefilter("default" if verbose else "ignore")


def print_error(error: RrsisError) -> None:
    """One line on stderr."""
    _line("error: ", "bold red", str(error))


def print_interrupted(left: str = "unfinished output removed") -> None:
    """What the user sees after Ctrl-C: among other things, what is left of the work."""
    _line("", "yellow", f"interrupted; {left}")


def print_stopping() -> None:
    """What the user sees after the first Ctrl-C, where the work can be gone on with."""
    _line("", "yellow", "stopping when the rows in hand are done; Ctrl-C again stops at once")


def print_stopped(message: str, command: str) -> None:
    """How a run that was stopped can be gone on with."""
    _line("", "yellow", f"{message}; go on with:")
    _line("", "", f"  {command}")


def print_json(value: object) -> None:
    """A JSON document on stdout, for programs."""
    _out.file.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def print_facts(title: str, facts: Sequence[tuple[str, str]]) -> None:
    """Names and values below a title, on stdout."""
    _out.print(Text(title, style="bold"), soft_wrap=True)
    width = max((len(name) for name, _ in facts), default=0)
    for name, value in facts:
        _out.print(Text(f"  {name:<{width}}  ", style="dim") + Text(value), soft_wrap=True)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout; lines are as long as need be where no terminal bounds them."""
    folding = (Column(name, overflow="fold") for name in columns)
    table = Table(*folding, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    wide = _out if _out.is_terminal else Console(file=_out.file, highlight=False, width=10_000)
    wide.print(table)


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Progress | None]:
    """A callback that shows rate and remaining time on stderr; None with ``quiet``.

    A terminal gets bars that vanish when done; a log file gets a line every half minute.
    """
    if quiet:
        yield None
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
    """A callback that shows a board on stderr; None with ``quiet``.

    A terminal gets a live table, which stays when done as it was at last; a log file gets a line
    every half minute and all news.
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


def _line(prefix: str, style: str, message: str) -> None:
    _err.print(Text(prefix, style=style) + Text(message), soft_wrap=True)


class _RateColumn(ProgressColumn):
    """Steps a second of the stage."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "", style="dim")


class _BarProgress:
    """One bar a stage."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total)
        self._bars.update(self._tasks[stage], completed=done, total=total)


class _LogProgress:
    """A line now and then, for logs; stages that are done sooner print nothing."""

    def __init__(self) -> None:
        self._started: dict[str, float] = {}
        self._shown: dict[str, float] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        started = self._started.setdefault(stage, now)
        if now - self._shown.setdefault(stage, now) < LOG_EVERY_S or not done:
            return
        self._shown[stage] = now
        rate = done / (now - started)
        left = format_duration((total - done) / rate)
        _line("", "", f"{stage}: {done} of {total}, {rate:.1f}/s, {left} left")


class _LiveBoard:
    """A table that is drawn anew; it begins with the first board, so that errors come before it."""

    def __init__(self) -> None:
        self._live = Live(console=_err, refresh_per_second=4)

    def __call__(self, board: Board) -> None:
        self._live.start()
        self._live.update(_drawn(board))

    def stop(self) -> None:
        self._live.stop()


class _LogBoard:
    """A line now and then, the first and the last among them, and each piece of news."""

    def __init__(self) -> None:
        self._shown = -LOG_EVERY_S

    def __call__(self, board: Board) -> None:
        now = time.monotonic()
        if now - self._shown >= LOG_EVERY_S or board.done in (1, board.total):
            self._shown = now
            numbers = [
                f"{section.title} "
                + " ".join(f"{name} {n}" for name, n in zip(section.columns, row, strict=True))
                for section in board.sections
                for name, row in section.rows.items()
                if not name
            ]
            facts = [f"{board.done} of {board.total}", *board.notes, *numbers]
            _line("", "", f"{board.title}: {', '.join(facts)}")
        if board.news:
            _line("", "", board.news)


def _drawn(board: Board) -> RenderableType:
    """A bar with its notes, and the sections below it in line with one another."""
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
