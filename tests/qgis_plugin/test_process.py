"""The plugin runs a program: its lines, its output, and how it is stopped."""

import os
import sys
import time
from pathlib import Path

import pytest

from qgis_plugin.rrsis_geo.program.process import Finished, program_environment, run_program

SLOW = """
import signal, sys, time
def stop(number, frame):
    print("saved", file=sys.stderr, flush=True)
    sys.exit(130)
signal.signal(signal.SIGTERM, stop)
print("ready", file=sys.stderr, flush=True)
time.sleep(60)
"""


def run_python(code: str, lines: list[str], *, cancel_at: str = "") -> Finished:
    """Run Python code, and cancel it once it printed a line."""
    return run_program(
        [sys.executable, "-c", code],
        os.environ,
        on_line=lines.append,
        is_canceled=lambda: bool(cancel_at) and f"{cancel_at}\n" in lines,
    )


def test_lines_and_output_and_exit_code() -> None:
    lines: list[str] = []
    code = "import sys; print('é' * 200_000); print('ä\\nb', file=sys.stderr); sys.exit(7)"
    finished = run_program(
        [sys.executable, "-c", code],
        program_environment(Path(sys.executable), os.environ),
        on_line=lines.append,
        is_canceled=lambda: False,
    )
    assert lines == ["ä\n", "b\n"]
    assert finished == Finished(7, "é" * 200_000 + "\n", is_canceled=False)


def test_lines_come_while_the_program_runs() -> None:
    arrivals: list[float] = []
    code = "import sys, time\nfor i in range(2):\n print(i, file=sys.stderr, flush=True)\n"
    run_program(
        [sys.executable, "-c", code + " time.sleep(1)"],
        os.environ,
        on_line=lambda line: arrivals.append(time.monotonic()),
        is_canceled=lambda: False,
    )
    assert arrivals[1] - arrivals[0] > 0.5


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_cancel_lets_the_program_save_its_work() -> None:
    lines: list[str] = []
    finished = run_python(SLOW, lines, cancel_at="ready")
    assert lines == ["ready\n", "saved\n"]
    assert finished == Finished(130, "", is_canceled=True)


def test_a_cancel_after_the_work_is_done_changes_nothing() -> None:
    lines: list[str] = []
    code = SLOW.replace("sys.exit(130)", "sys.exit(0)")
    assert run_python(code, lines, cancel_at="ready") == Finished(0, "", is_canceled=False)


def test_a_missing_program_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        run_program([str(tmp_path / "gone")], {}, on_line=print, is_canceled=lambda: False)


def test_variables_of_qgis_are_not_passed_on(tmp_path: Path) -> None:
    environ = {
        "PYTHONHOME": "C:/QGIS/apps/Python39",
        "PYTHONPATH": "C:/QGIS/python",
        "GDAL_DATA": "C:/QGIS/share/gdal",
        "PROJ_LIB": "C:/QGIS/share/proj",
        "AWS_PROFILE": "mine",
        "PATH": "/usr/bin",
    }
    passed = program_environment(tmp_path / "bin" / "rrsis-geo", environ)
    assert passed == {
        "AWS_PROFILE": "mine",
        "PATH": "/usr/bin",
        "PYTHONUTF8": "1",
        "PYTHONUNBUFFERED": "1",
    }


def test_a_conda_environment_is_on_path(tmp_path: Path) -> None:
    for name in ("conda-meta", "bin", "Library/bin"):
        (tmp_path / name).mkdir(parents=True)
    passed = program_environment(tmp_path / "bin" / "rrsis-geo", {"PATH": "/usr/bin"})
    assert passed["CONDA_PREFIX"] == str(tmp_path)
    folders = [tmp_path, tmp_path / "Library" / "bin", tmp_path / "bin", "/usr/bin"]
    assert passed["PATH"].split(os.pathsep) == [str(folder) for folder in folders]
