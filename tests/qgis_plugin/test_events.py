"""What the dialog shows of the lines of ``--progress json``."""

import json
from typing import Any

import pytest

from qgis_plugin.rrsis_geo.program.events import EventLog, read_event


class Dialog:
    """Records what a `QgsProcessingFeedback` is told, as (method, value)."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda value: self.calls.append((name, value))


@pytest.fixture
def dialog() -> Dialog:
    return Dialog()


def read_all(dialog: Dialog, *lines: object) -> EventLog:
    """Read events, and strings as lines of text."""
    log = EventLog(dialog)
    for line in lines:
        log.read(line if isinstance(line, str) else json.dumps(line) + "\n")
    return log


def progress(stage: str, done: int, total: int) -> dict[str, object]:
    return {"event": "progress", "stage": stage, "done": done, "total": total}


@pytest.mark.parametrize("line", ["", "Traceback", "12", "[1]", '{"a": 1}', '{"event": 1}', "{"])
def test_other_lines_are_no_events(line: str) -> None:
    assert read_event(line) is None


def test_windows_are_most_of_the_bar(dialog: Dialog) -> None:
    read_all(
        dialog,
        progress("windows", 0, 4),
        progress("windows", 2, 4),
        progress("windows", 4, 4),
        progress("outputs", 1, 2),
        progress("outputs", 2, 2),
    )
    assert dialog.calls == [
        ("setProgress", 0.0),
        ("setProgressText", "running the model on 4 windows"),
        ("setProgress", 47.5),
        ("setProgress", 95.0),
        ("setProgress", 97.5),
        ("setProgressText", "writing the results"),
        ("setProgress", 100.0),
    ]


def test_unknown_stages_and_events_are_ignored(dialog: Dialog) -> None:
    read_all(dialog, progress("naps", 1, 2), progress("windows", 0, 0), {"event": "lunch"})
    assert dialog.calls == []


def test_messages_by_their_level(dialog: Dialog) -> None:
    log = read_all(
        dialog,
        {"event": "message", "level": "warning", "text": "dark"},
        {"event": "message", "level": "info", "text": "reading"},
        {"event": "message", "level": "error", "text": "s.tif: no CRS"},
        "Traceback:\n",
        "ValueError: bug\n",
    )
    assert dialog.calls == [
        ("pushWarning", "dark"),
        ("pushInfo", "reading"),
        ("pushConsoleInfo", "Traceback:"),
        ("pushConsoleInfo", "ValueError: bug"),
    ]
    assert log.errors == ["s.tif: no CRS"]  # shown once, by the exception
    assert log.last_text == "ValueError: bug"


def test_a_stop_is_kept_for_the_end(dialog: Dialog) -> None:
    log = read_all(
        dialog,
        {"event": "stopping", "text": "stopping after the current row of windows"},
        {"event": "stopped", "text": "1 of 2 shards are saved", "resume": "rrsis-geo"},
    )
    assert dialog.calls == [("setProgressText", "stopping after the current row of windows")]
    assert log.stopped == "1 of 2 shards are saved"
