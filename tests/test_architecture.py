"""Who may import whom: the table of docs/design.md, held against the source of every module.

Imports inside functions and under TYPE_CHECKING count too: they are how a cycle begins.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from repository import ROOT

PACKAGE = ROOT / "rrsis_geo"
GDAL = {"rasterio", "geopandas", "pyogrio", "pyproj"}
RASTERS = GDAL | {"shapely", "affine"}
NETWORKS = {"torch", "torchvision", "timm", "transformers"}
TERMINAL = {"typer", "rich", "click"}
OTHERS = {"numpy", "nltk", "PIL", "pandas", "pyarrow", "arro3", "scipy"}
THIRD_PARTY = RASTERS | NETWORKS | TERMINAL | OTHERS
LEAVES = {"errors", "files", "log_odds", "progress", "units", "version"}
SHARED_GEO = LEAVES | {"geo.creation_options", "geo.crs", "geo.styles"}
ROOMS_OF_GEO = {"geo.scene", "geo.grid", "geo.objects", "geo.layers", "geo.chips"}
GEO = ROOMS_OF_GEO | {"geo.creation_options", "geo.crs", "geo.plane", "geo.styles"}
MODULES_A_ROOM = 15
FOLDERS_DEEP = 3


class Rule(NamedTuple):
    """What a room may import of ours (itself always), and what it must not of others'."""

    ours: set[str]
    never: set[str]


TABLE = {
    "version": Rule(set(), THIRD_PARTY),
    "clock": Rule(set(), THIRD_PARTY),
    "errors": Rule(set(), THIRD_PARTY),
    "files": Rule({"errors"}, THIRD_PARTY),
    "progress": Rule(set(), THIRD_PARTY),
    "log_odds": Rule(set(), RASTERS | NETWORKS | TERMINAL),
    "units": Rule(set(), THIRD_PARTY),
    "config": Rule({"errors"}, THIRD_PARTY),
    "pages": Rule({"errors", "files", "units"}, RASTERS | NETWORKS | TERMINAL | {"numpy"}),
    "published": Rule({"errors"}, THIRD_PARTY),
    "metrics": Rule({"errors"}, RASTERS | NETWORKS | TERMINAL),
    "images": Rule({"errors", "config"}, RASTERS | TERMINAL),
    "text": Rule({"errors"}, RASTERS | TERMINAL),
    "geo.creation_options": Rule({"errors"}, THIRD_PARTY),
    "geo.crs": Rule({"errors"}, NETWORKS | TERMINAL | {"nltk"}),
    "geo.plane": Rule({"geo.crs"}, NETWORKS | TERMINAL | {"nltk"}),
    "geo.styles": Rule(set(), THIRD_PARTY),
    "geo.scene": Rule(SHARED_GEO, NETWORKS | TERMINAL | {"nltk"}),
    "geo.grid": Rule(SHARED_GEO | {"geo.scene"}, NETWORKS | TERMINAL | {"nltk"}),
    "geo.chips": Rule(SHARED_GEO | {"geo.scene", "geo.grid"}, NETWORKS | TERMINAL | {"nltk"}),
    "geo.objects": Rule(SHARED_GEO | {"geo.plane"}, NETWORKS | TERMINAL | {"nltk"}),
    "geo.layers": Rule(SHARED_GEO | {"geo.objects"}, NETWORKS | TERMINAL | {"nltk"}),
    "resolve": Rule({"text"}, GDAL | NETWORKS | TERMINAL | {"nltk"}),
    "nets": Rule({"errors", "config", "text"}, RASTERS | TERMINAL | {"nltk"}),
    "model": Rule(LEAVES | {"config", "text", "images", "nets"}, RASTERS | TERMINAL),
    "data": Rule(LEAVES | {"text", "images"}, RASTERS | TERMINAL | {"timm"}),
    "scoring": Rule(LEAVES | {"metrics", "model", "data"}, RASTERS | TERMINAL),
    "train": Rule(
        LEAVES | {"scoring", "config", "text", "images", "metrics", "nets", "model", "data"},
        RASTERS | TERMINAL,
    ),
    "evaluate": Rule(
        LEAVES
        | {"pages", "scoring", "text", "images", "metrics", "published", "nets", "model", "data"}
        | {"resolve", "geo.objects"},
        GDAL | TERMINAL,
    ),
    "dataset": Rule(LEAVES | GEO | {"text", "images", "model", "data"}, TERMINAL),
    "export": Rule(LEAVES | {"text", "nets", "model"}, RASTERS | TERMINAL),
    "segment.plan": Rule(LEAVES | GEO | {"text", "images", "model"}, TERMINAL),
    "segment.shards": Rule(LEAVES | GEO | {"segment.plan"}, TERMINAL),
    "segment.results": Rule(
        LEAVES | GEO | {"pages", "text", "resolve", "segment.plan", "segment.shards"}, TERMINAL
    ),
    "segment.jobs": Rule(
        LEAVES | GEO | {"images", "model", "segment.plan", "segment.shards"}, TERMINAL
    ),
    "segment": Rule(
        LEAVES
        | GEO
        | {"text", "resolve", "images", "model"}
        | {"segment.plan", "segment.shards", "segment.results", "segment.jobs"},
        TERMINAL,
    ),
    "segment.batch": Rule(
        LEAVES
        | GEO
        | {"text", "images", "model", "resolve", "segment"}
        | {"segment.plan", "segment.shards", "segment.results", "segment.jobs"},
        TERMINAL,
    ),
    "explore": Rule(
        LEAVES
        | GEO
        | {"text", "resolve", "model", "segment"}
        | {"segment.plan", "segment.shards", "segment.results", "segment.jobs"},
        TERMINAL,
    ),
    "console": Rule({"errors", "progress", "units"}, RASTERS | NETWORKS | {"numpy"}),
    "cli": Rule(
        {
            "clock",
            "errors",
            "units",
            "version",
            "config",
            "console",
            "text",
            "geo.scene",
            "progress",
            "resolve",
            "geo.creation_options",
            "segment",
            "segment.plan",
            "segment.results",
        }
        | {"segment.jobs", "segment.batch", "explore", "train", "evaluate", "dataset"}
        | {"export", "model"},
        RASTERS | NETWORKS,
    ),
    "__main__": Rule({"cli"}, THIRD_PARTY),
    "__init__": Rule(
        {"errors", "version", "metrics", "geo.scene", "model", "segment", "segment.plan"}
        | {"segment.results", "segment.jobs", "segment.batch", "train", "evaluate"},
        THIRD_PARTY,
    ),
}
RASTER_FREE = {"train", "evaluate", "dataset/check.py", "dataset/from_coco.py"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(name: str) -> str:
    """The row of the table that a dotted name below the package stands in."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        if ".".join(parts[:length]) in TABLE:
            return ".".join(parts[:length])
    return parts[0]


def name_of(path: Path) -> str:
    """The dotted name of a module, without the package's own."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def imports_of(path: Path) -> Iterator[str]:
    """Every module that the file imports, anywhere in it, as a dotted name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            yield from (f"{module}.{alias.name}" for alias in node.names)


def our_rooms(path: Path) -> set[str]:
    """The rooms of the package that a file imports from."""
    names = (name.removeprefix("rrsis_geo.") for name in imports_of(path) if is_ours(name))
    return {room_of(name) for name in names}


def is_ours(name: str) -> bool:
    return name.startswith("rrsis_geo.")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_keep_to_the_table(path: Path) -> None:
    room = room_of(name_of(path))
    assert room in TABLE or not our_rooms(path), f"{room}: in no row; add it to docs/design.md too"
    rule = TABLE.get(room, Rule(set(), THIRD_PARTY))
    assert our_rooms(path) <= rule.ours | {room}
    assert not {name.split(".")[0] for name in imports_of(path)} & rule.never


def test_only_tests_import_transformers() -> None:
    """Importing it takes 1.5 s, and it is no dependency of the package."""
    for path in MODULES:
        assert "transformers" not in {name.split(".")[0] for name in imports_of(path)}, path


def test_raster_free_rooms_stay_so_through_their_imports() -> None:
    """`train` runs where GDAL is not installed, so no module it reaches may want it."""
    for part in RASTER_FREE:
        place = PACKAGE / part
        reached: set[Path] = set()
        todo = list(place.rglob("*.py")) if place.is_dir() else [place]
        while todo:
            current = todo.pop()
            if current not in reached:
                reached.add(current)
                todo.extend(files_of(imports_of(current)))
        for current in reached:
            foreign = {imported.split(".")[0] for imported in imports_of(current)}
            assert not foreign & GDAL, f"{part} reaches {current}"


def files_of(names: Iterator[str]) -> Iterator[Path]:
    for name in names:
        parts = name.split(".")[1:] if is_ours(name) else []
        for length in range(1, len(parts) + 1):
            base = PACKAGE.joinpath(*parts[:length])
            yield from (p for p in (base.with_suffix(".py"), base / "__init__.py") if p.exists())


def test_no_room_imports_a_room_that_imports_it() -> None:
    graph: dict[str, set[str]] = {}
    for path in MODULES:
        room = room_of(name_of(path))
        if room != "__init__":
            graph.setdefault(room, set()).update(our_rooms(path) - {room})
    assert_no_cycle(graph)


def test_no_module_imports_a_module_that_imports_it() -> None:
    graph = {
        path: {found for found in files_of(imports_of(path)) if found.name != "__init__.py"}
        - {path}
        for path in MODULES
        if path.name != "__init__.py"
    }
    assert_no_cycle(graph)


def assert_no_cycle(graph: dict[Any, set[Any]]) -> None:
    done: set[Any] = set()
    while len(done) < len(graph):
        free = {node for node in graph if node not in done and graph[node] & graph.keys() <= done}
        assert free, f"a cycle among {sorted(map(str, graph.keys() - done))}"
        done |= free


def test_rooms_are_small_and_not_deep() -> None:
    counts: dict[Path, int] = {}
    for path in MODULES:
        assert len(path.relative_to(ROOT).parts) <= FOLDERS_DEEP + 1
        if path.name != "__init__.py":
            counts[path.parent] = counts.get(path.parent, 0) + 1
    assert {str(p): n for p, n in counts.items() if n > MODULES_A_ROOM} == {}


HEAVY = sorted(RASTERS | NETWORKS | OTHERS)


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
