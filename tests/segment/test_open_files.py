"""Windows refuses to move or remove a file that is open, and a folder that holds one."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from predictor_stubs import RedPredictor

from rrsis_geo import files
from rrsis_geo.segment.batch.scenes import segment_scenes
from rrsis_geo.segment.from_probability import polygonize
from rrsis_geo.segment.jobs import lock
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.scene import segment_scene

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/fd").is_dir(), reason="the open files of the process are unknown"
)


def open_files(path: Path) -> list[str]:
    """Files of this process that are open at a path or below it."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            file = descriptor.readlink()
        except OSError:  # closed in the meantime
            continue
        if file == path or path in file.parents:
            found.append(str(file))
    return found


@pytest.fixture(autouse=True)
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the branches for Windows, where there are any."""
    monkeypatch.setattr(files, "_IS_WINDOWS", True)
    monkeypatch.setattr(lock, "_IS_WINDOWS", True)


@pytest.fixture
def moves(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Moves and removals so far; a file that is open for them is an error."""
    done: list[str] = []

    def strict(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def checked(*arguments: Any, **named: Any) -> Any:
            paths = [Path(each) for each in arguments if isinstance(each, str | Path)]
            for path in paths:
                assert not open_files(path.absolute()), f"{name} {path}"
            done.append(f"{name} {paths[0].name}")
            return function(*arguments, **named)

        return checked

    for module, name in [
        (os, "rename"),
        (os, "replace"),
        (os, "unlink"),
        (os, "rmdir"),
        (shutil, "rmtree"),
    ]:
        monkeypatch.setattr(module, name, strict(name, getattr(module, name)))
    yield done
    assert done


def test_no_file_is_open_when_it_is_moved_or_removed(
    make_blobs: Callable[..., Path], tmp_path: Path, red: RedPredictor, moves: list[str]
) -> None:
    scene, options = make_blobs(), SegmentOptions(overlap_px=16, rows_per_shard=64)
    (tmp_path / "results").mkdir()
    outputs = Outputs(
        tmp_path / "o.gpkg",
        mask=tmp_path / "m.tif",
        probability=tmp_path / "p.tif",
        preview=tmp_path / "p.png",
        report=tmp_path / "r.html",
        stac_item=tmp_path / "i.json",
        windows_layer=True,
        overwrite=True,
    )
    for _ in range(2):
        segment_scene(scene, ["a disc", "the left disc"], outputs, options, predictor=red)
    for suffix in (".shp", ".geojson", ".fgb", ".parquet"):
        probability = tmp_path / "p_a_disc.tif"
        polygonize(probability, Outputs(tmp_path / f"x{suffix}"), expression="a disc")
    segment_scenes([scene], "a disc", Outputs(tmp_path / "results"), options, predictor=red)
    segment_scenes([scene], "a disc", Outputs(tmp_path / "joined.fgb"), options, predictor=red)
    assert any(move.startswith("rename shard-") or "shard-" in move for move in moves)
