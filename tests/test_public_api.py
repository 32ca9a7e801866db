"""What `from rrsis_geo import ...` gives, and what it costs."""

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
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(rrsis_geo.__file__).parents[1],
    )
    assert done.stdout.strip() == "['rrsis_geo.version', 'rrsis_geo']"
