"""The zip of the plugin: what plugins.qgis.org checks when a plugin is uploaded.

The checks are those of qgis-app/plugins/validator.py in github.com/qgis/QGIS-Django, without the
requests to the addresses.
"""

import ast
import configparser
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from urllib.parse import urlparse

import pytest
from repository import ROOT

from rrsis_geo import __version__

MAX_BYTES = 25_000_000
REQUIRED = (
    *("name", "description", "version", "qgisMinimumVersion", "author", "email", "about"),
    *("tracker", "repository"),
)
TEMPLATE_ADDRESSES = {"http://bugs", "http://repo", "http://homepage"}
PURE = ROOT / "qgis_plugin" / "rrsis_geo" / "program"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The zip as `make plugin` writes it, without the packages of this environment."""
    path = tmp_path_factory.mktemp("plugin") / "rrsis_geo.zip"
    script = ROOT / "qgis_plugin" / "make_zip.py"
    subprocess.run([sys.executable, "-I", "-S", script, path], check=True, capture_output=True)
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def metadata(archive: zipfile.ZipFile) -> dict[str, str]:
    parser = configparser.ConfigParser()
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(archive.read("rrsis_geo/metadata.txt").decode())
    return dict(parser.items("general"))


def test_files_of_the_zip(archive: zipfile.ZipFile) -> None:
    names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"rrsis_geo"}
    assert {"rrsis_geo/__init__.py", "rrsis_geo/metadata.txt", "rrsis_geo/LICENSE"} <= set(names)
    assert "rrsis_geo/program/location.py" in names
    forbidden = {"__MACOSX", ".git", "__pycache__"}
    assert not [name for name in names if forbidden & set(name.split("/"))]
    assert not [name for name in names if ".." in name or ".pyc" in name or name.startswith("/")]
    assert archive.testzip() is None
    assert archive.filename is not None
    assert Path(archive.filename).stat().st_size < MAX_BYTES


def test_the_same_sources_give_the_same_zip(archive: zipfile.ZipFile, tmp_path: Path) -> None:
    script = ROOT / "qgis_plugin" / "make_zip.py"
    subprocess.run([sys.executable, script, tmp_path / "p.zip"], check=True, capture_output=True)
    assert archive.filename is not None
    assert (tmp_path / "p.zip").read_bytes() == Path(archive.filename).read_bytes()


def test_addresses_are_those_of_the_package(metadata: dict[str, str]) -> None:
    """Without addresses of the project, those of the plugin are placeholders that nobody owns."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    urls = project.get("urls", {})
    for name, field in (
        ("Homepage", "homepage"),
        ("Repository", "repository"),
        ("Issues", "tracker"),
    ):
        if name in urls:
            assert metadata[field] == urls[name]
        else:
            assert metadata[field].startswith("https://example.org/")


def test_required_metadata(metadata: dict[str, str]) -> None:
    assert not [name for name in REQUIRED if not metadata.get(name, "").strip()]
    assert metadata["version"] == __version__
    assert metadata["qgisMinimumVersion"] == "3.22"
    assert metadata["hasProcessingProvider"] == "yes"
    assert "/" not in metadata["author"]
    assert re.fullmatch(r"[^@\s]+@[^@\s]+\.\w+", metadata["email"])
    assert "plugin" not in metadata["name"].lower()
    assert "<" not in metadata["description"] + metadata["about"]
    for name in ("experimental", "deprecated", "server"):
        assert metadata[name] in ("True", "False")


@pytest.mark.parametrize("name", ["tracker", "repository", "homepage"])
def test_addresses(metadata: dict[str, str], name: str) -> None:
    address = urlparse(metadata[name])
    assert address.scheme == "https"
    assert address.netloc
    assert metadata[name] not in TEMPLATE_ADDRESSES


def test_the_icon_exists(archive: zipfile.ZipFile, metadata: dict[str, str]) -> None:
    assert archive.read(f"rrsis_geo/{metadata['icon']}").startswith(b"<svg")


def test_the_code_is_that_of_python_3_9(archive: zipfile.ZipFile) -> None:
    """QGIS 3.22 comes with Python 3.9 on Windows."""
    for name in archive.namelist():
        if name.endswith(".py"):
            ast.parse(archive.read(name), name, feature_version=(3, 9))


@pytest.mark.parametrize("path", sorted(PURE.glob("*.py")), ids=lambda path: path.name)
def test_the_program_room_needs_only_the_standard_library(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert {alias.name for alias in node.names} <= sys.stdlib_module_names
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            assert (node.module or "").split(".")[0] in sys.stdlib_module_names
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 1, "only modules beside it"
