"""Where the program rrsis-geo is: the setting, PATH, and the places of venv, pipx, uv and conda."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PROGRAM = "rrsis-geo"
CONDA_FOLDERS = ("miniconda3", "anaconda3", "miniforge3", "mambaforge", "micromamba")


class ProgramNotFound(Exception):
    """The program is not where the setting says, or nowhere."""


@dataclass(frozen=True)
class Machine:
    """Where to look on this computer.

    Attributes:
        environ: environment variables.
        home: home folder of the user.
        own_environment: environment that the plugin makes on request; it need not exist.
        is_windows: whether programs end in .exe and are in folders named Scripts.
    """

    environ: Mapping[str, str]
    home: Path
    own_environment: Path
    is_windows: bool = os.name == "nt"

    @staticmethod
    def this(own_environment: Path) -> Machine:
        """The computer that runs QGIS."""
        return Machine(os.environ, Path.home(), own_environment)


def find_program(setting: str, machine: Machine) -> Path:
    """Find rrsis-geo.

    Args:
        setting: path of the program, or of an environment that contains it or of its Python; ""
            searches.
        machine: where to search.

    Raises:
        ProgramNotFound: the message says what to do.
    """
    if setting.strip():
        path = Path(setting.strip()).expanduser()
        if path.is_file():
            is_python = path.name.lower().startswith("python")
            found = program_in(path.parent, machine) if is_python else path
        else:
            found = program_in(path, machine)
        if found is None:
            raise ProgramNotFound(
                f"{path}: is neither the program {PROGRAM} nor an environment that contains it; "
                "correct the setting in Settings > Options > Processing > Providers > rrsis-geo, "
                "or clear it to search"
            )
        return found
    on_path = shutil.which(PROGRAM, path=machine.environ.get("PATH", ""))
    if on_path is not None:
        return Path(on_path)
    for environment in environments(machine):
        found = program_in(environment, machine)
        if found is not None:
            return found
    raise ProgramNotFound(
        f"{PROGRAM} was not found on PATH, in the environment of this plugin "
        f"({machine.own_environment}), or in those of pipx, uv and conda; run the algorithm "
        '"Install rrsis-geo", or name the program in Settings > Options > Processing > Providers '
        "> rrsis-geo"
    )


def program_in(environment: Path, machine: Machine) -> Path | None:
    """The program in an environment or in its folder of programs, None if it is not there."""
    name = f"{PROGRAM}.exe" if machine.is_windows else PROGRAM
    for folder in (environment, environment / programs_folder(machine)):
        if (folder / name).is_file():
            return folder / name
    return None


def programs_folder(machine: Machine) -> str:
    """Name of the folder of an environment that has its programs."""
    return "Scripts" if machine.is_windows else "bin"


def environments(machine: Machine) -> Iterator[Path]:
    """Folders in which environments with rrsis-geo usually are, the likeliest first."""
    environ, home = machine.environ, machine.home
    yield machine.own_environment
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        if environ.get(variable):
            yield Path(environ[variable])
    yield home / ".local"  # links of pipx and uv: ~/.local/bin
    if environ.get("PIPX_HOME"):
        yield Path(environ["PIPX_HOME"]) / "venvs" / PROGRAM
    yield home / ".local" / "share" / "pipx" / "venvs" / PROGRAM
    yield home / ".local" / "pipx" / "venvs" / PROGRAM
    yield home / "pipx" / "venvs" / PROGRAM  # pipx on Windows
    yield home / ".local" / "share" / "uv" / "tools" / PROGRAM
    if environ.get("APPDATA"):
        yield Path(environ["APPDATA"]) / "uv" / "tools" / PROGRAM
    yield from conda_environments(machine)


def conda_environments(machine: Machine) -> Iterator[Path]:
    """Environments of conda: those that it lists itself, then those in its usual folders."""
    listed = machine.home / ".conda" / "environments.txt"
    if listed.is_file():
        lines = listed.read_text(encoding="utf-8", errors="replace").splitlines()
        yield from (Path(line.strip()) for line in lines if line.strip())
    for name in CONDA_FOLDERS:
        base = machine.home / name
        yield base
        if (base / "envs").is_dir():
            yield from sorted((base / "envs").iterdir())


def find_pythons(machine: Machine) -> Iterator[tuple[str, ...]]:
    """Commands that may start a Python 3.11 to 3.13, the newest first. Not all of them exist."""
    for minor in (13, 12, 11):
        if machine.is_windows:
            yield ("py", f"-3.{minor}")
        else:
            yield (f"python3.{minor}",)
    if machine.is_windows:
        yield (str(Path(sys.exec_prefix) / "python.exe"),)  # of QGIS; sys.executable is QGIS there
    else:
        yield ("python3",)
