"""The public names of the package, and that importing it loads nothing else."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import rrsis_geo


def test_version_is_a_release_number() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", rrsis_geo.__version__)


@pytest.mark.parametrize("name", rrsis_geo.__all__)
def test_public_names_exist_and_are_documented(name: str) -> None:
    value = getattr(rrsis_geo, name)
    assert name == "__version__" or value.__doc__


def test_every_lazy_name_is_public() -> None:
    assert {*rrsis_geo._PUBLIC, "__version__"} == set(rrsis_geo.__all__)
    assert set(rrsis_geo.__all__) <= set(dir(rrsis_geo))


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'segmentation'"):
        _ = rrsis_geo.segmentation


def test_import_loads_nothing_else() -> None:
    code = "import sys, rrsis_geo; print([m for m in sys.modules if m.startswith('rrsis_geo')])"
    process = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(rrsis_geo.__file__).parents[1],
    )
    assert process.stdout.strip() == "['rrsis_geo.version', 'rrsis_geo']"


def test_every_public_name_is_in_the_docstring() -> None:
    errors = {name for name in rrsis_geo.__all__ if rrsis_geo._PUBLIC.get(name) == "errors"}
    names = set(rrsis_geo.__all__) - errors - {"__version__"}
    assert {name for name in names if f"`{name}`" not in (rrsis_geo.__doc__ or "")} == set()
