"""Outputs that cannot be written are refused before the run starts."""

import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rrsis_geo.errors import OutputError
from rrsis_geo.segment.plan.outputs import Outputs, default_output


def test_files_in_order(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path / "a.gpkg", probability=tmp_path / "p.tif")
    assert list(outputs.files()) == ["vector", "probability"]
    assert outputs.rasters() == ("probability",)


def test_strings_are_paths_too(tmp_path: Path) -> None:
    outputs = Outputs(str(tmp_path / "a.gpkg"))  # type: ignore[arg-type]
    assert outputs.vector == tmp_path / "a.gpkg"
    outputs.check([])


def test_valid_outputs_pass(tmp_path: Path) -> None:
    (tmp_path / "a.GPKG").touch()
    outputs = Outputs(
        tmp_path / "a.GPKG", mask=tmp_path / "m.tif", preview=tmp_path / "p.png", overwrite=True
    )
    outputs.check([])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"vector": "a.xyz"}, r"a\.xyz: unknown suffix '\.xyz'; a layer can be written as \.gpkg"),
        ({"vector": "a"}, "unknown suffix ''"),
        ({"vector": "a.gpkg", "mask": "m.png"}, r"m\.png: unknown suffix"),
        ({"vector": "a.gpkg", "preview": "m.jpg"}, r"m\.jpg: unknown suffix"),
        ({"vector": "none/a.gpkg"}, r"the folder .*none does not exist"),
        ({"vector": "there.gpkg/a.gpkg"}, "does not exist"),
        ({"vector": "folder.gpkg"}, "this is a folder"),
        ({"vector": "there.gpkg"}, "exists already; choose another name, or --overwrite"),
        (
            {"vector": "a.gpkg", "mask": "m.tif", "probability": "m.tif"},
            "is the path of both the mask",
        ),
        ({"vector": "a.gpkg", "mask": "scene.tif", "overwrite": True}, "is an input of this run"),
    ],
)
def test_invalid_outputs_are_refused(tmp_path: Path, files: dict[str, Any], message: str) -> None:
    (tmp_path / "there.gpkg").touch()
    (tmp_path / "folder.gpkg").mkdir()
    (tmp_path / "scene.tif").touch()
    paths = {k: tmp_path / v if isinstance(v, str) else v for k, v in files.items()}
    with pytest.raises(OutputError, match=message):
        Outputs(**paths).check([tmp_path / "scene.tif"])


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_folder_not_writable(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="is not writable"):
        Outputs(tmp_path / "a.gpkg").check([])


def test_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(40 * 2**20))
    outputs = Outputs(tmp_path / "a.gpkg", probability=tmp_path / "p.tif")
    outputs.check_space(10**7)
    with pytest.raises(OutputError, match="about 159 MiB are needed, 40 MiB are free"):
        outputs.check_space(10**8)
    outputs.check_space(2 * 10**7, n_missing=0)  # completed shards are on the disk already
    Outputs(tmp_path / "a.gpkg").check_space(10**8)


def test_default_output_is_in_this_folder() -> None:
    assert default_output("/data/a.b.tif", ["the bus"]) == Path("a.b_the_bus.gpkg")


def test_default_output_of_a_long_scene_name_can_be_written(tmp_path: Path) -> None:
    for stem in ("s" * 250, "é" * 120, "名" * 80, "s\udcff"):
        path = default_output(f"/data/{stem}.tif", ["the bus " * 20])
        assert path.name.endswith(".gpkg")
        Outputs(tmp_path / path).check([])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("n" * 240 + ".gpkg", "the name has 245 bytes; choose one of at most 230"),
        ("名" * 80 + ".gpkg", "the name has 245 bytes"),
        ("a\udcff.gpkg", "the name is not UTF-8 text"),
        ("a\0b.gpkg", "control characters"),
        ("a\nb.gpkg", "control characters"),
        ("a\tb/c.gpkg", "control characters"),
    ],
)
def test_names_that_cannot_be_written(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(OutputError, match=message):
        Outputs(tmp_path / name)


def test_a_link_that_leads_to_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "o.gpkg"
    path.symlink_to(path)
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="leads back to itself"):
            Outputs(path, overwrite=overwrite).check(["buildings"])
    assert path.is_symlink()


def test_long_names_of_expressions_are_found_before_the_work(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path / "a.gpkg", mask=tmp_path / ("m" * 200 + ".tif"))
    outputs.check([], ["the bus"])
    with pytest.raises(OutputError, match="the name has 231 bytes"):
        outputs.check([], ["the bus at the longer stop", "all"])
