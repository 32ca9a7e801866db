"""The environment that the plugin makes on request."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from stand_in_wheel import write_stand_in

from qgis_plugin.rrsis_geo.program.installation import (
    NoPython,
    choose_python,
    installation_steps,
)
from qgis_plugin.rrsis_geo.program.location import Machine, find_program, find_pythons


def test_the_first_python_that_fits_is_taken(tmp_path: Path) -> None:
    old = tmp_path / "python3.9"
    old.write_text("#!/bin/sh\necho 3 9\n")
    old.chmod(0o755)
    candidates = [("gone",), (str(old),), (sys.executable, "-I")]
    assert choose_python(candidates, os.environ) == (sys.executable, "-I")
    with pytest.raises(NoPython, match=r"no Python 3\.11, 3\.12 or 3\.13"):
        choose_python(candidates[:2], os.environ)


@pytest.mark.parametrize("is_windows", [False, True])
def test_pythons_are_tried_newest_first(tmp_path: Path, is_windows: bool) -> None:
    found = list(find_pythons(Machine({}, tmp_path, tmp_path, is_windows)))
    first = [("py", "-3.13"), ("py", "-3.12")] if is_windows else [("python3.13",), ("python3.12",)]
    assert found[:2] == first


def test_the_cpu_build_of_torch_comes_first(tmp_path: Path) -> None:
    machine = Machine({}, tmp_path, tmp_path / "own", is_windows=True)
    steps = installation_steps(["py"], tmp_path / "own", "x.whl", machine, is_cpu_only=True)
    assert [step.command[-1] for step in steps] == [
        *(str(tmp_path / "own"), "https://download.pytorch.org/whl/cpu", "x.whl")
    ]
    assert steps[1].command[0] == str(tmp_path / "own" / "Scripts" / "python.exe")
    steps = installation_steps(["py"], tmp_path / "own", "x.whl", machine, is_cpu_only=False)
    assert len(steps) == 2


@pytest.mark.slow
def test_a_real_environment_has_the_program(tmp_path: Path) -> None:
    """With a small wheel in place of rrsis-geo, and no network."""
    wheel = write_stand_in(tmp_path)
    machine = Machine({"PATH": ""}, tmp_path, tmp_path / "profile" / "own")
    python = choose_python([(sys.executable,)], os.environ)
    folder = machine.own_environment
    for step in installation_steps(python, folder, str(wheel), machine, is_cpu_only=False):
        environ = {**os.environ, "PIP_NO_INDEX": "1"}
        subprocess.run(step.command, check=True, env=environ, capture_output=True)
    program = find_program("", machine)
    assert program.parent.parent == folder
    done = subprocess.run([program], check=True, capture_output=True, text=True)
    assert done.stdout == "stand-in\n"
