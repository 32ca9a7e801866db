"""Names in the documentation exist in the code."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from repository import ROOT

REFERENCE = re.compile(r"((?:`[\w.]+`(?:, )?)+) in \[\w+\.py\]\(\.\./([\w/]+\.py)\)")


def references() -> list[tuple[str, str]]:
    """Every name of the paper map with the file it refers to."""
    text = (ROOT / "docs" / "paper_map.md").read_text(encoding="utf-8")
    return [
        (name, path)
        for names, path in REFERENCE.findall(text)
        for name in re.findall(r"`([\w.]+)`", names)
    ]


def defined_names(path: str) -> set[str]:
    """Functions, classes and methods (``Class.method``) that a file defines."""
    names = set()
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = (item for item in node.body if isinstance(item, ast.FunctionDef))
            names |= {f"{node.name}.{method.name}" for method in methods}
    return names


def test_the_paper_map_has_references():
    assert len(references()) > 15


def test_every_link_of_the_paper_map_to_code_has_a_name():
    text = (ROOT / "docs" / "paper_map.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(\.\./([\w/]+\.py)\)", text)
    assert len(links) == len(REFERENCE.findall(text))


@pytest.mark.parametrize(("name", "path"), references())
def test_each_name_of_the_paper_map_exists(name, path):
    assert name in defined_names(path)


@pytest.mark.slow
def test_the_python_quick_start_runs_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (tmp_path / "sample_data").symlink_to(ROOT / "sample_data")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)
    assert len(blocks) == 7
    assert set(names["trucks"]["scene"]) == {"scene.tif"}
    assert len(names["trucks"]) > 50
    assert len(names["cars"]) > 0
    assert len(names["buildings"]) > 5
    assert (tmp_path / "more_cars.gpkg").is_file()
