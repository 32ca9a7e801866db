"""What rrsis-geo reports while it runs: lines of ``--progress json``, shown to the user."""

from __future__ import annotations

import json
from typing import Any, Protocol

STAGES = {
    "windows": (0.0, 95.0, "running the model on {} windows"),
    "outputs": (95.0, 100.0, "writing the results"),
    "rows": (0.0, 95.0, "reading {} rows"),
}
"""Stage -> its beginning and end on the bar, in percent, and its text; {} is the total."""


class Feedback(Protocol):
    """The part of `QgsProcessingFeedback` that is used here."""

    def setProgress(self, progress: float) -> None: ...
    def setProgressText(self, text: str) -> None: ...
    def pushInfo(self, info: str) -> None: ...
    def pushWarning(self, warning: str) -> None: ...
    def pushConsoleInfo(self, info: str) -> None: ...


def read_event(line: str) -> dict[str, Any] | None:
    """The event of a line, None for other text."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and isinstance(value.get("event"), str) else None


class EventLog:
    """Shows lines of stderr in the dialog, and keeps what the end of the run depends on.

    Attributes:
        errors: messages of level "error".
        last_text: last line of plain text, such as that of a traceback.
        is_resumable: whether the program was stopped and can continue.
        stopped: what the program said when it was stopped, "" if it was not.
    """

    def __init__(self, feedback: Feedback) -> None:
        self.errors: list[str] = []
        self.last_text = ""
        self.is_resumable = False
        self.stopped = ""
        self._feedback = feedback
        self._stage = ""

    def read(self, line: str) -> None:
        """Take one line."""
        event = read_event(line)
        if event is None:
            self._take_text(line)
        elif event["event"] == "progress":
            self._show_progress(str(event["stage"]), int(event["done"]), int(event["total"]))
        elif event["event"] == "message":
            self._take_message(str(event["level"]), str(event["text"]))
        elif event["event"] == "stopping":
            self._feedback.setProgressText(str(event["text"]))
        elif event["event"] == "stopped":
            self.stopped, self.is_resumable = str(event["text"]), event["resume"] is not None

    def _take_text(self, line: str) -> None:
        if line.strip():
            self.last_text = line.strip()
            self._feedback.pushConsoleInfo(line.rstrip())

    def _take_message(self, level: str, text: str) -> None:
        if level == "error":
            self.errors.append(text)
        elif level == "warning":
            self._feedback.pushWarning(text)
        else:
            self._feedback.pushInfo(text)

    def _show_progress(self, stage: str, done: int, total: int) -> None:
        if stage not in STAGES or total <= 0:
            return
        start, end, text = STAGES[stage]
        self._feedback.setProgress(start + (end - start) * min(done, total) / total)
        if stage != self._stage:
            self._stage = stage
            self._feedback.setProgressText(text.format(total))
