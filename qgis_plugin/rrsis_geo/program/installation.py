"""Makes a virtual environment and installs rrsis-geo in it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .location import Machine, programs_folder

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
OLDEST, NEWEST = (3, 11), (3, 13)
_PROBE = "import ensurepip, sys, venv; print(*sys.version_info[:2])"


class NoPython(Exception):
    """No Python that rrsis-geo supports was found."""


@dataclass(frozen=True)
class Step:
    """One command of an installation.

    Attributes:
        title: what it does.
        command: the program and its arguments.
    """

    title: str
    command: list[str]


def choose_python(
    candidates: Iterable[Sequence[str]], environ: Mapping[str, str]
) -> tuple[str, ...]:
    """The first Python from 3.11 to 3.13 that can make virtual environments.

    Args:
        candidates: commands that may start a Python.
        environ: environment variables for it.

    Raises:
        NoPython: none of them is one.
    """
    for candidate in candidates:
        try:
            done = subprocess.run(
                [*candidate, "-c", _PROBE],
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError:
            continue
        version = tuple(int(word) for word in done.stdout.split() if done.returncode == 0)
        if OLDEST <= version <= NEWEST:
            return tuple(candidate)
    raise NoPython(
        "no Python 3.11, 3.12 or 3.13 with the modules venv and ensurepip was found; install one "
        "(python.org; on Debian and Ubuntu the package python3-venv), or give its path"
    )


def installation_steps(
    python: Sequence[str], folder: Path, package: str, machine: Machine, *, is_cpu_only: bool
) -> list[Step]:
    """Commands that make an environment with rrsis-geo.

    Args:
        python: command of the Python to use.
        folder: folder of the environment.
        package: what pip installs: a folder with the sources, a wheel, or an address.
        machine: where it is made.
        is_cpu_only: install the build of PyTorch without CUDA first, which is much smaller.
    """
    name = "python.exe" if machine.is_windows else "python"
    pip = [str(folder / programs_folder(machine) / name), "-m", "pip", "install"]
    pip += ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    torch = Step("installing PyTorch for the CPU", [*pip, "torch", "--index-url", CPU_INDEX])
    return [
        Step(f"making the environment {folder}", [*python, "-m", "venv", str(folder)]),
        *([torch] if is_cpu_only else []),
        Step(f"installing {package}", [*pip, package]),
    ]
