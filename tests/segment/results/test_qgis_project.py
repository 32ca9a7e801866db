"""The QGIS project of a result."""

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from predictor_stubs import RedPredictor, blobs

from rrsis_geo.geo.scene.options import SceneOptions
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.scene import segment_scene

EXPRESSIONS = ["discs", "the largest red disc"]
SYSTEM_PYTHON = "/usr/bin/python3"  # the Python of Debian's python3-qgis

QGIS_SCRIPT = """
import json, sys
from qgis.core import QgsApplication, QgsProject
QgsApplication.setPrefixPath("/usr", True)
app = QgsApplication([], False)
app.initQgis()
project = QgsProject.instance()
is_read = project.read(sys.argv[1])
nodes = project.layerTreeRoot().findLayers()
print(json.dumps({
    "is_read": is_read,
    "crs": project.crs().authid(),
    "title": project.title(),
    "layers": [[node.name(), node.isVisible(), node.layer().isValid()] for node in nodes],
    "renderers": [node.layer().renderer().type() for node in nodes],
    "sources": [node.layer().source() for node in nodes],
}))
"""


@pytest.fixture
def folder(tmp_path: Path, make_scene: Callable[..., Path]) -> Path:
    """A folder with a scene, "a & b.tif", and a folder with its result."""
    folder = tmp_path / "whole"
    out = folder / "out"
    out.mkdir(parents=True)
    shutil.move(make_scene(200, 300, content=blobs()), folder / "a & b.tif")
    segment_scene(
        folder / "a & b.tif",
        EXPRESSIONS,
        Outputs(out / "o.gpkg", mask=out / "m.tif", qgis_project=out / "p.qgz"),
        SegmentOptions(overlap_px=16),
        predictor=RedPredictor(),
    )
    return folder


def read_project(path: Path) -> ElementTree.Element:
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == [f"{path.stem}.qgs"]
        return ElementTree.fromstring(archive.read(f"{path.stem}.qgs"))


def test_layers_are_relative_and_named_by_their_expressions(folder: Path) -> None:
    project = read_project(folder / "out/p.qgz")
    layers = [
        (each.findtext("layername"), each.findtext("datasource"))
        for each in project.iter("maplayer")
    ]
    assert layers == [
        ("discs", "o.gpkg|layername=discs"),
        ("the largest red disc", "o.gpkg|layername=the_largest_red_disc"),
        ("mask: discs", "m_discs.tif"),
        ("mask: the largest red disc", "m_the_largest_red_disc.tif"),
        ("a & b.tif", "../a & b.tif"),
    ]
    ids = [each.findtext("id") or "" for each in project.iter("maplayer")]
    assert min(map(len, ids)) > 10, "QGIS replaces shorter ones"
    tree = list(project.iter("layer-tree-layer"))
    assert [each.get("id") for each in tree] == ids
    assert [each.get("checked") == "Qt::Checked" for each in tree] == [1, 1, 0, 0, 1]


def test_qgis_opens_the_project_after_the_folder_is_moved(folder: Path, tmp_path: Path) -> None:
    check = [SYSTEM_PYTHON, "-c", "import qgis.core"]
    if not Path(SYSTEM_PYTHON).exists() or subprocess.run(check, capture_output=True).returncode:
        pytest.skip("python3-qgis is not installed")
    moved = folder.rename(tmp_path / "moved")
    done = subprocess.run(
        [SYSTEM_PYTHON, "-c", QGIS_SCRIPT, str(moved / "out/p.qgz")],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert facts["is_read"]
    assert facts["crs"] == "EPSG:32632"
    assert facts["title"] == "; ".join(EXPRESSIONS)
    assert facts["layers"] == [
        ["discs", True, True],
        ["the largest red disc", True, True],
        ["mask: discs", False, True],
        ["mask: the largest red disc", False, True],
        ["a & b.tif", True, True],
    ]
    assert facts["renderers"] == ["singleSymbol"] * 2 + ["paletted"] * 2 + ["multibandcolor"]
    assert all(str(moved) in source for source in facts["sources"])


@pytest.mark.parametrize("crs", [None, "EPSG:4326"])
def test_project_of_another_crs_and_format(
    tmp_path: Path, make_scene: Callable[..., Path], crs: str | None
) -> None:
    outputs = Outputs(tmp_path / "o.fgb", qgis_project=tmp_path / "p.qgz")
    scene = make_scene(200, 300, content=blobs(), crs=crs)
    options = SegmentOptions(overlap_px=16, scene=SceneOptions(allow_no_crs=True))
    report = segment_scene(scene, "red <discs>", outputs, options, predictor=RedPredictor())
    assert report.outputs["qgis_project"] == tmp_path / "p.qgz"
    project = read_project(tmp_path / "p.qgz")
    assert project.findtext("title") == "red <discs>"
    assert (project.find("projectCrs/spatialrefsys") is None) == (crs is None)
    sources = [each.findtext("datasource") for each in project.iter("maplayer")]
    assert sources == ["o.fgb", scene.name]
