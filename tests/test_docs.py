"""What the documents say of the code is true."""

import re

import pytest
from repository import ROOT

REFERENCE = re.compile(r"`([\w.]+)` \[\w+\.py:(\d+)\]\(\.\./([\w/]+\.py)\)")


def references() -> list[tuple[str, int, str]]:
    text = (ROOT / "docs" / "paper_map.md").read_text(encoding="utf-8")
    return [(name, int(line), path) for name, line, path in REFERENCE.findall(text)]


def test_the_paper_map_has_references():
    assert len(references()) > 15


@pytest.mark.parametrize(("name", "line", "path"), references())
def test_each_reference_of_the_paper_map_points_at_its_code(name, line, path):
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    last = name.split(".")[-1]
    near = "\n".join(lines[max(line - 2, 0) : line])
    assert re.search(rf"(class|def) {last}\b", near), f"{path}:{line} is not {name}"
