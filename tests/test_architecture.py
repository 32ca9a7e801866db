"""Who may import whom: the table of docs/design.md, held against the source of every module.

Imports inside functions and under TYPE_CHECKING count too: they are how a cycle begins.
"""

import ast
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "rrsis_geo"
RASTERS = {"rasterio", "geopandas", "shapely", "pyogrio", "pyproj", "affine"}
NETWORKS = {"torch", "torchvision", "timm", "transformers"}
TERMINAL = {"typer", "rich", "click"}
BELOW_PIPELINE = {
    *(
        "errors",
        "folders",
        "config",
        "geo",
        "text",
        "images",
        "metrics",
        "published",
        "nets",
        "data",
    ),
    *("heap", "hub", "bundle", "predictor", "training"),
}


class Rule(NamedTuple):
    """What a part may import of ours (itself always), and what it must not of others'."""

    ours: set[str]
    never: set[str]


TABLE = {
    "errors": Rule(set(), RASTERS | NETWORKS | TERMINAL | {"numpy", "nltk", "PIL"}),
    "folders": Rule(set(), RASTERS | NETWORKS | TERMINAL | {"numpy", "nltk", "PIL"}),
    "config": Rule({"errors"}, RASTERS | NETWORKS | TERMINAL | {"numpy"}),
    "geo": Rule({"errors"}, NETWORKS | TERMINAL | {"nltk"}),
    "text": Rule({"errors"}, RASTERS | TERMINAL),
    "images": Rule({"errors"}, RASTERS | TERMINAL),
    "metrics": Rule({"errors"}, RASTERS | NETWORKS | TERMINAL),
    "published": Rule({"errors"}, RASTERS | NETWORKS | TERMINAL | {"numpy"}),
    "nets": Rule({"errors", "config", "text"}, RASTERS | TERMINAL | {"nltk"}),
    "data": Rule({"errors", "folders", "text", "images"}, RASTERS | TERMINAL | {"timm"}),
    "heap": Rule(set(), RASTERS | NETWORKS | TERMINAL | {"numpy", "nltk", "PIL"}),
    "hub": Rule({"errors"}, RASTERS | NETWORKS | TERMINAL | {"numpy"}),
    "bundle": Rule({"errors", "folders", "text", "images", "nets", "hub"}, RASTERS | TERMINAL),
    "predictor": Rule({"errors", "heap", "text", "images", "nets", "bundle"}, RASTERS | TERMINAL),
    "training": Rule({"errors", "text", "images", "metrics", "nets", "data"}, RASTERS | TERMINAL),
    "pipeline": Rule(BELOW_PIPELINE, TERMINAL),
    "console": Rule({"errors"}, RASTERS | NETWORKS | {"numpy"}),
    "cli": Rule({"errors", "config", "console", "pipeline"}, RASTERS | NETWORKS),
    "__main__": Rule({"cli"}, RASTERS | NETWORKS),
    "__init__": Rule({"errors", "geo", "bundle", "predictor", "pipeline"}, RASTERS | NETWORKS),
}
RASTER_FREE_PIPELINE = {"train.py", "evaluate.py", "coco.py", "dataset.py"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    """The row of the table that a file stands in: its folder, or itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imports_of(path: Path) -> set[str]:
    """Every module that the file imports, anywhere in it, as a dotted name."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            names.update(f"{module}.{alias.name}" for alias in node.names)
    return names


def parts_of_ours(names: set[str]) -> set[str]:
    """The parts of the package among dotted names; its version is everybody's."""
    ours = {name.split(".")[1] for name in names if name.startswith("rrsis_geo.")}
    return ours - {"__version__"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_keep_to_the_table(path: Path) -> None:
    part = part_of(path)
    assert part in TABLE, f"{part} stands in no row of the table; add it here and in docs/design.md"
    rule = TABLE[part]
    names = imports_of(path)
    assert parts_of_ours(names) <= rule.ours | {part}
    never = rule.never | (
        RASTERS if part == "pipeline" and path.name in RASTER_FREE_PIPELINE else set()
    )
    assert not {name.split(".")[0] for name in names} & never


def test_raster_free_pipeline_stays_so_through_its_imports() -> None:
    """`train` runs where no raster library is installed, so no module it reaches may want one."""
    for name in RASTER_FREE_PIPELINE:
        path = PACKAGE / "pipeline" / name
        if not path.exists():
            continue
        reached, todo = set(), [path]
        while todo:
            current = todo.pop()
            if current in reached:
                continue
            reached.add(current)
            todo.extend(files_of(imports_of(current)))
        for current in reached:
            foreign = {imported.split(".")[0] for imported in imports_of(current)}
            assert not foreign & RASTERS, f"pipeline/{name} reaches {current}"


def files_of(names: set[str]) -> list[Path]:
    found = []
    for name in names:
        parts = name.split(".")[1:] if name.startswith("rrsis_geo") else []
        for length in range(1, len(parts) + 1):
            base = PACKAGE.joinpath(*parts[:length])
            found += [p for p in (base.with_suffix(".py"), base / "__init__.py") if p.exists()]
    return found


def test_no_part_imports_a_part_that_imports_it() -> None:
    graph: dict[str, set[str]] = {}
    for path in MODULES:
        part = part_of(path)
        if part != "__init__":
            graph.setdefault(part, set()).update(parts_of_ours(imports_of(path)) - {part})
    done: set[str] = set()
    while len(done) < len(graph):
        free = {part for part in graph if part not in done and graph[part] & graph.keys() <= done}
        assert free, f"a cycle among {sorted(graph.keys() - done)}"
        done |= free


def test_two_folders_deep_at_most() -> None:
    assert all(len(path.relative_to(PACKAGE).parts) <= 2 for path in MODULES)


HEAVY = sorted(RASTERS | NETWORKS | {"numpy", "pandas", "nltk", "PIL", "pyarrow", "scipy"})


@pytest.mark.parametrize(
    "arguments", [["--help"], ["segment", "--help"], ["--version"]], ids=lambda a: " ".join(a)
)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    """Half a second at most: measured by what is imported, since a busy machine's clock lies."""
    code = (
        "import sys\n"
        "from rrsis_geo.cli import app\n"
        "try:\n"
        f"    app({arguments!r})\n"
        "except SystemExit as end:\n"
        "    assert end.code in (0, None), end.code\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=PACKAGE.parent,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip().splitlines()[-1] == "[]"
