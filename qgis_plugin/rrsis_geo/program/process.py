"""Runs a program, passes its lines on as they come, and stops it on request."""

from __future__ import annotations

import os
import queue
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Callable

POLL_S = 0.1
_FOREIGN = (
    *("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__"),
    *("GDAL_DATA", "GDAL_DRIVER_PATH", "PROJ_LIB", "PROJ_DATA"),
    *("QT_PLUGIN_PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FRAMEWORK_PATH"),
)
"""Variables that QGIS sets for its own Python, GDAL, PROJ and Qt. They break those of others."""


@dataclass(frozen=True)
class Finished:
    """A program that ended.

    Attributes:
        exit_code: negative for the number of a signal.
        out: its stdout.
        is_canceled: whether it was asked to stop and did so before its work was done.
    """

    exit_code: int
    out: str
    is_canceled: bool


def program_environment(program: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Environment variables for a program that is not part of QGIS.

    Args:
        program: its path. Programs of a conda environment find the libraries of that environment.
        environ: variables of QGIS.
    """
    variables = {name: value for name, value in environ.items() if name not in _FOREIGN}
    variables["PYTHONUTF8"] = "1"
    variables["PYTHONUNBUFFERED"] = "1"
    prefix = program.parent.parent
    if (prefix / "conda-meta").is_dir():
        folders = (prefix, prefix / "Library" / "bin", prefix / "Scripts", prefix / "bin")
        own = [str(folder) for folder in folders if folder.is_dir()]
        variables["PATH"] = os.pathsep.join([*own, variables.get("PATH", "")])
        variables["CONDA_PREFIX"] = str(prefix)
    return variables


def run_program(
    command: Sequence[str],
    environ: Mapping[str, str],
    *,
    on_line: Callable[[str], None],
    is_canceled: Callable[[], bool],
) -> Finished:
    """Run a program to its end.

    Once ``is_canceled`` returns True, the program gets SIGTERM, on which rrsis-geo ends after the
    current row of windows. Windows has no such signal: the program ends at once there. Completed
    shards are on disk in both cases.

    Args:
        command: the program and its arguments.
        environ: its environment variables.
        on_line: called in this thread with each line of stderr.
        is_canceled: called several times per second.

    Raises:
        OSError: the program cannot be started.
    """
    with subprocess.Popen(
        list(command),
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # no console beside QGIS
    ) as process:
        return _follow(process, on_line, is_canceled)


def _follow(
    process: subprocess.Popen[str], on_line: Callable[[str], None], is_canceled: Callable[[], bool]
) -> Finished:
    """Pass on the lines of a process until it ends."""
    assert process.stdout is not None
    assert process.stderr is not None
    out: list[str] = []
    lines: queue.Queue[str | None] = queue.Queue()
    readers = [
        threading.Thread(target=_read_all, args=(process.stdout, out), daemon=True),
        threading.Thread(target=_read_lines, args=(process.stderr, lines), daemon=True),
    ]
    for reader in readers:
        reader.start()
    is_stopping = False
    while True:
        if not is_stopping and is_canceled():
            is_stopping = True
            process.terminate()
        try:
            line = lines.get(timeout=POLL_S)
        except queue.Empty:
            continue
        if line is None:
            break
        on_line(line)
    for reader in readers:
        reader.join()
    exit_code = process.wait()
    return Finished(exit_code, "".join(out), is_stopping and exit_code != 0)


def _read_all(stream: IO[str], into: list[str]) -> None:
    into.append(stream.read())


def _read_lines(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)
