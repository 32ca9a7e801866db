"""Where the plugin finds the program: the setting, PATH, and the environments of this computer."""

from collections.abc import Callable
from pathlib import Path

import pytest

from qgis_plugin.rrsis_geo.program.location import Machine, ProgramNotFound, find_program

AddProgram = Callable[[str], Path]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A computer without any program."""
    return Machine({"PATH": str(tmp_path / "usr")}, tmp_path, tmp_path / "own", is_windows=False)


@pytest.fixture
def add_program(tmp_path: Path) -> AddProgram:
    """A function that adds the program at a path below the home folder."""

    def add(path: str) -> Path:
        program = tmp_path / path
        program.parent.mkdir(parents=True, exist_ok=True)
        program.touch(mode=0o755)
        return program

    return add


@pytest.mark.parametrize(
    "path",
    [
        "own/bin/rrsis-geo",
        "usr/rrsis-geo",
        ".local/bin/rrsis-geo",
        ".local/share/pipx/venvs/rrsis-geo/bin/rrsis-geo",
        ".local/share/uv/tools/rrsis-geo/bin/rrsis-geo",
        "miniconda3/envs/gis/bin/rrsis-geo",
        "miniforge3/bin/rrsis-geo",
    ],
)
def test_usual_places_are_searched(machine: Machine, add_program: AddProgram, path: str) -> None:
    program = add_program(path)
    assert find_program("", machine) == program


def test_variables_and_the_list_of_conda_name_environments(
    machine: Machine, add_program: AddProgram, tmp_path: Path
) -> None:
    listed = add_program("data/envs/geo/bin/rrsis-geo")
    (tmp_path / ".conda").mkdir()
    text = f"{tmp_path / 'data' / 'gone'}\n{listed.parent.parent}\n"
    (tmp_path / ".conda" / "environments.txt").write_text(text)
    assert find_program("", machine) == listed
    active = add_program("active/bin/rrsis-geo")
    environ = {**machine.environ, "CONDA_PREFIX": str(tmp_path / "active")}
    assert find_program("", Machine(environ, tmp_path, tmp_path / "own", False)) == active


def test_the_setting_comes_first_and_takes_a_program_or_an_environment(
    machine: Machine, add_program: AddProgram, tmp_path: Path
) -> None:
    add_program("usr/rrsis-geo")
    program = add_program("mine/bin/rrsis-geo")
    assert find_program(str(program), machine) == program
    assert find_program(f" {tmp_path / 'mine'} ", machine) == program
    assert find_program(str(tmp_path / "mine" / "bin"), machine) == program
    (tmp_path / "mine" / "bin" / "python3").touch()
    assert find_program(str(tmp_path / "mine" / "bin" / "python3"), machine) == program


def test_path_comes_before_environments(machine: Machine, add_program: AddProgram) -> None:
    add_program("own/bin/rrsis-geo")
    program = add_program("usr/rrsis-geo")
    assert find_program("", machine) == program


def test_a_wrong_setting_is_an_error_even_if_the_program_is_elsewhere(
    machine: Machine, add_program: AddProgram
) -> None:
    add_program("usr/rrsis-geo")
    with pytest.raises(
        ProgramNotFound, match=r"/gone: is neither the program rrsis-geo nor an env"
    ):
        find_program("/gone", machine)


def test_nothing_found_says_what_to_do(machine: Machine) -> None:
    with pytest.raises(ProgramNotFound, match='run the algorithm "Install rrsis-geo", or name'):
        find_program("", machine)


def test_windows_has_other_names(add_program: AddProgram, tmp_path: Path) -> None:
    environ = {"PATH": "", "APPDATA": str(tmp_path / "AppData")}
    machine = Machine(environ, tmp_path, tmp_path / "own", is_windows=True)
    add_program("own/bin/rrsis-geo")
    program = add_program("AppData/uv/tools/rrsis-geo/Scripts/rrsis-geo.exe")
    assert find_program("", machine) == program
