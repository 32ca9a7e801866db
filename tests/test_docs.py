"""Names in the documentation exist in the code."""

import ast
import re

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
