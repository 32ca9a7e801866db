"""What the terminal shows: results on stdout, all else (messages, progress) on stderr."""

import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table
from rich.text import Text

from rrsis_geo.errors import RrsisError

ProgressCallback = Callable[[str, int, int], None]
"""Called with the name of a stage, how many of its steps are done, and how many there are."""

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


def print_interrupted() -> None:
    """What the user sees after Ctrl-C."""
    _line("", "yellow", "interrupted; unfinished output removed")


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
def progress(*, quiet: bool = False) -> Iterator[ProgressCallback | None]:
    """A callback that shows rate and remaining time on stderr; None with ``quiet``.

    A terminal gets bars that vanish when done; a log file gets a line every half minute.
    """
    if quiet:
        yield None
    elif not _err.is_terminal:
        yield _LogProgress()
    else:
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeRemainingColumn(),
            console=_err,
            transient=True,
        ) as bars:
            yield _BarProgress(bars)


def duration(seconds: float) -> str:
    """Seconds as people say them: ``0.4 s``, ``12 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(n_bytes: float) -> str:
    """Bytes as people say them: ``12 KiB``, ``1.5 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.0f} {unit}" if n_bytes >= 10 else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.1f} TiB"


def area(area_m2: float | None) -> str:
    """An area as people say it: ``12.5 m²``, ``3.42 ha``, ``1.20 km²``."""
    if area_m2 is None:
        return "unknown"
    if area_m2 < 1e4:
        return f"{area_m2:.1f} m²"
    return f"{area_m2 / 1e4:.2f} ha" if area_m2 < 1e6 else f"{area_m2 / 1e6:.2f} km²"


def _line(prefix: str, style: str, message: str) -> None:
    _err.print(Text(prefix, style=style) + Text(message), soft_wrap=True)


class _RateColumn(ProgressColumn):
    """Steps a second of the stage."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "", style="dim")


class _BarProgress:
    """One bar a stage."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total)
        self._bars.update(self._tasks[stage], completed=done, total=total)


class _LogProgress:
    """A line now and then, for logs; stages that are done sooner print nothing."""

    def __init__(self) -> None:
        self._stage = ""
        self._started = self._shown = time.monotonic()

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._started, self._shown = stage, now, now
        if now - self._shown < LOG_EVERY_S or not done:
            return
        self._shown = now
        rate = done / (now - self._started)
        left = duration((total - done) / rate)
        _line("", "", f"{stage}: {done} of {total}, {rate:.1f}/s, {left} left")
