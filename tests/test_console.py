"""Progress of long runs in a terminal and in a log file."""

import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from rich.console import Console

from rrsis_geo import console
from rrsis_geo.console import Board, ProgressFormat, Section
from rrsis_geo.errors import InputError


def make_board(done: int, *, message: str = "", total: int = 100) -> Board:
    return Board(
        title="training",
        done=done,
        total=total,
        notes=["31.2 images/s", "3 min 05 s left"],
        sections=[
            Section(title="loss", columns=("total", "dice"), rows={"": ("0.5321", "0.2100")}),
            Section(
                title="validation",
                columns=("mIoU",),
                rows={"last": ("0.4000",), "best": ("0.5000",)},
            ),
        ],
        message=message,
    )


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Standard error as a log file."""
    file = io.StringIO()
    monkeypatch.setattr(console, "_err", Console(file=file, width=200, highlight=False))
    return file


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Standard error as a terminal with 100 columns."""
    file = io.StringIO()
    screen = Console(file=file, force_terminal=True, width=100, height=40, highlight=False)
    monkeypatch.setattr(console, "_err", screen)
    return file


def split_lines(file: io.StringIO) -> list[list[str]]:
    """The words of each line, without escape sequences."""
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", file.getvalue()).replace("\r", "\n")
    return [line.split() for line in plain.splitlines() if line.strip()]


def test_quiet_shows_nothing(stderr: io.StringIO) -> None:
    with console.board(quiet=True) as show:
        assert show is None
    assert stderr.getvalue() == ""


def test_quiet_downloads_show_no_bars() -> None:
    code = (
        "from rrsis_geo import console; console.setup_logging(quiet=True)\n"
        "from huggingface_hub.utils import are_progress_bars_disabled\n"
        "assert are_progress_bars_disabled()"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr


def test_a_log_file_gets_the_first_board_the_last_and_one_every_30_seconds(
    stderr: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.board() as show:
        assert show is not None
        for done in range(1, 101):
            show(make_board(done))
            now[0] += 1  # the last is reported 99 s after the first
    lines = stderr.getvalue().splitlines()
    assert [int(line.split()[1]) for line in lines] == [1, 31, 61, 91, 100]
    assert lines[0] == (
        "training: 1 of 100, 31.2 images/s, 3 min 05 s left, loss total 0.5321 dice 0.2100"
    )


def test_a_log_file_gets_messages_at_once(stderr: io.StringIO) -> None:
    with console.board() as show:
        assert show is not None
        for done in range(1, 6):
            show(make_board(done, message="a new best" if done == 3 else ""))
    assert stderr.getvalue().splitlines()[1:] == ["a new best"]


def test_a_terminal_shows_a_table_that_stays(terminal: io.StringIO) -> None:
    with console.board() as show:
        assert show is not None
        show(make_board(1))
        show(make_board(60))
    lines = split_lines(terminal)
    bar = next(line for line in reversed(lines) if line[0] == "training")
    assert bar[2:] == ["60/100", "31.2", "images/s,", "3", "min", "05", "s", "left"]
    assert lines[-5:] == [
        ["loss", "total", "dice"],
        ["0.5321", "0.2100"],
        ["validation", "mIoU"],
        ["last", "0.4000"],
        ["best", "0.5000"],
    ]


def test_log_messages_are_printed_above_the_table(terminal: io.StringIO) -> None:
    record = logging.LogRecord("rrsis_geo", logging.WARNING, "", 0, "careful", None, None)
    with console.board() as show:
        assert show is not None
        show(make_board(1))
        console.LineHandler().handle(record)
        show(make_board(2))
    lines = split_lines(terminal)
    assert lines.count(["warning:", "careful"]) == 1
    assert lines[-1] == ["best", "0.5000"]


def test_a_run_that_fails_before_its_first_step_prints_no_table(terminal: io.StringIO) -> None:
    with pytest.raises(KeyboardInterrupt), console.board():
        raise KeyboardInterrupt
    assert terminal.getvalue() == ""


def test_the_cursor_is_shown_again_after_a_failure(terminal: io.StringIO) -> None:
    def fail() -> None:
        with console.board() as show:
            assert show is not None
            show(make_board(1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    n_hidden, n_shown = (
        terminal.getvalue().count("\x1b[?25l"),
        terminal.getvalue().count("\x1b[?25h"),
    )
    assert n_hidden == n_shown == 1


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
def test_text_that_the_stream_cannot_encode_is_escaped(
    monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    value = {"scene": "scène-名-\N{AUTOMOBILE}-\udcff.tif"}
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, write_through=True)
    for name in ("_out", "_err"):
        monkeypatch.setattr(console, name, Console(file=file, width=200, highlight=False))
    console.print_json(value)
    assert json.loads(raw.getvalue().decode(encoding)) == value
    console.print_facts(value["scene"], [("mask", value["scene"])])
    console.print_table(["scene", value["scene"]], [[value["scene"], "1"]])
    console.print_error(InputError(value["scene"]))
    text = raw.getvalue().decode(encoding)
    assert text.count(r"-\udcff.tif") == 6


@pytest.fixture
def json_stderr(stderr: io.StringIO, own_logging: None) -> Iterator[io.StringIO]:
    """Standard error with JSON lines, as a command with ``--progress json`` sets it up."""
    console.setup_logging(progress_format=ProgressFormat.JSON)
    yield stderr
    console.setup_logging()


def read_events(file: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.getvalue().splitlines()]


def test_json_lines_show_the_first_step_the_last_and_ten_per_second(
    json_stderr: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.progress() as show:
        assert show is not None
        for done in range(51):
            show("windows", done, 50)
            now[0] += 1 / 32  # exact in binary; every fourth step is 0.125 s after the last event
        show("outputs", 0, 2)
    events = read_events(json_stderr)
    assert {tuple(event) for event in events} == {("event", "stage", "done", "total")}
    assert {event["event"] for event in events} == {"progress"}
    windows = [event["done"] for event in events if event["stage"] == "windows"]
    assert windows == [*range(0, 49, 4), 50]
    assert events[-1] == {"event": "progress", "stage": "outputs", "done": 0, "total": 2}


def test_json_lines_have_the_level_of_messages(json_stderr: io.StringIO) -> None:
    logging.getLogger("rrsis_geo.geo").warning("the scene is dark \N{LAST QUARTER MOON}")
    console.print_error(InputError("scene.tif: no CRS"))
    assert json_stderr.getvalue().isascii()
    assert read_events(json_stderr) == [
        {
            "event": "message",
            "level": "warning",
            "text": "the scene is dark \N{LAST QUARTER MOON}",
        },
        {"event": "message", "level": "error", "text": "scene.tif: no CRS"},
    ]


def test_json_lines_say_how_a_run_stopped(json_stderr: io.StringIO) -> None:
    console.print_stopping()
    console.print_stopped("1 of 2 shards are saved in o.gpkg.job", "rrsis-geo segment --resume")
    console.print_interrupted()
    assert read_events(json_stderr) == [
        {"event": "stopping", "text": "stopping after the current row of windows"},
        {
            "event": "stopped",
            "text": "1 of 2 shards are saved in o.gpkg.job",
            "resume": "rrsis-geo segment --resume",
        },
        {"event": "stopped", "text": "interrupted; unfinished output removed", "resume": None},
    ]


def test_quiet_json_lines_show_errors_only(
    json_stderr: io.StringIO,
) -> None:
    console.setup_logging(quiet=True, progress_format=ProgressFormat.JSON)
    with console.progress(quiet=True) as show:
        assert show is None
    logging.getLogger("rrsis_geo").warning("careful")
    console.print_error(InputError("scene.tif: no CRS"))
    assert [event["text"] for event in read_events(json_stderr)] == ["scene.tif: no CRS"]
