"""Open results in programs of users: ogrinfo of GDAL, and QGIS without a screen."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from PIL import Image
from rasterio.crs import CRS

from rrsis_geo.geo.layers.layer_files import SUFFIXES
from rrsis_geo.geo.layers.vector_io import Layer, write_layers
from rrsis_geo.geo.objects.candidates import make_features
from rrsis_geo.geo.objects.features import FeatureOptions
from rrsis_geo.geo.objects.vectorize import vectorize
from rrsis_geo.geo.styles import OUTLINE_RGB

EXPRESSION = "the truck on the road"
LAYER = "the_truck_on_the_road"
SYSTEM_PYTHON = "/usr/bin/python3"  # the Python of Debian's python3-qgis
QGIS_SUFFIXES = (".gpkg", ".shp", ".geojson", ".fgb")  # GDAL of QGIS 3.22 cannot read Parquet

QGIS_NULL = "{2839923C-8B7D-419E-B84B-CA2FE9B80EC7}"  # of a list of values

QGIS_SCRIPT = """
import json, sys
from qgis.core import (QgsApplication, QgsMapRendererParallelJob, QgsMapSettings, QgsProject,
                       QgsProviderRegistry, QgsVectorLayer)
from qgis.PyQt.QtCore import QSize

def facts(path):
    layer = QgsVectorLayer(path, "found", "ogr")
    QgsProject.instance().addMapLayer(layer)
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setDestinationCrs(layer.crs())
    settings.setOutputSize(QSize(400, 300))
    extent = layer.extent()
    extent.scale(1.2)
    settings.setExtent(extent)
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    job.renderedImage().save(path + ".png")
    sublayers = QgsProviderRegistry.instance().querySublayers(path)
    return {
        "valid": layer.isValid(),
        "crs": layer.crs().authid(),
        "fields": [field.name() for field in layer.fields()],
        "count": layer.featureCount(),
        "geometry": layer.wkbType(),
        "ids": [feature["id"] for feature in layer.getFeatures()],
        "areas": [feature["area_m2"] for feature in layer.getFeatures()],
        "outline": layer.renderer().symbol().symbolLayer(0).strokeColor().getRgb()[:3],
        "labels": layer.labelsEnabled() and layer.labeling().settings().fieldName,
        "index": layer.hasSpatialIndex(),
        "title": layer.metadata().title(),
        "abstract": layer.metadata().abstract(),
        "name": layer.displayExpression(),
        "tip": layer.mapTipTemplate(),
        "styles": layer.listStylesInDatabase()[2] if path.endswith(".gpkg") else [],
        "choices": dict(kv for choice in layer.editorWidgetSetup(
            layer.fields().indexOf("status")).config()["map"] for kv in choice.items()),
        "layers": [sublayer.name() for sublayer in sublayers],
    }

QgsApplication.setPrefixPath("/usr", True)
app = QgsApplication([], False)
app.initQgis()
print(json.dumps([facts(path) for path in sys.argv[1:]]))
app.exitQgis()
"""

QgisFacts = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def qgis(tmp_path_factory: pytest.TempPathFactory) -> QgisFacts:
    """Properties of each file in QGIS, by name; "folder" is the folder of files and maps."""
    if not Path(SYSTEM_PYTHON).exists():
        pytest.skip("python3-qgis is not installed")
    check = subprocess.run([SYSTEM_PYTHON, "-c", "import qgis.core"], capture_output=True)
    if check.returncode != 0:
        pytest.skip("python3-qgis is not installed")
    folder = tmp_path_factory.mktemp("qgis")
    paths = [write(folder / f"found{suffix}") for suffix in QGIS_SUFFIXES]
    paths.append(write(folder / "none.gpkg", n_objects=0))
    done = subprocess.run(
        [SYSTEM_PYTHON, "-c", QGIS_SCRIPT, *map(str, paths)],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    facts = json.loads(done.stdout.splitlines()[-1])
    return {path.name: fact for path, fact in zip(paths, facts, strict=True)} | {
        "folder": {"path": folder}
    }


def write(path: Path, *, n_objects: int = 2) -> Path:
    mask = np.zeros((40, 60), bool)
    mask[5:20, 5:25] = n_objects > 0
    mask[10:14, 10:14] = False
    mask[22:36, 30:50] = n_objects > 1
    objects = vectorize(mask, np.full(mask.shape, 0.9, np.float32))
    crs = CRS.from_epsg(32645)
    features = make_features(
        [objects],
        FeatureOptions(
            transform=Affine(0.3, 0, 334_000, 0, -0.3, 3_065_000),
            crs=crs,
            expression=EXPRESSION,
            model="lite",
        ),
    )
    layer = Layer(
        features=features, expression=EXPRESSION, title="Trucks", provenance={"model": "lite"}
    )
    write_layers(path, [layer], crs=crs)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("suffix", QGIS_SUFFIXES)
def test_qgis_opens_every_format(qgis: QgisFacts, suffix: str) -> None:
    facts = qgis[f"found{suffix}"]
    assert facts["valid"]
    assert facts["crs"] == ("EPSG:4326" if suffix == ".geojson" else "EPSG:32645")
    assert facts["count"] == 2
    assert sorted(facts["ids"]) == [1, 2]
    assert facts["geometry"] == (6 if suffix == ".shp" else 3)  # MultiPolygon
    perimeter = "perim_m" if suffix == ".shp" else "perimeter_m"
    border = "at_border" if suffix == ".shp" else "touches_border"
    expected = ["id", "expression", "score", "score_max", "area_m2", perimeter, "n_pixels", border]
    expected += ["split_from", "model", "status"]
    assert facts["choices"] == {"not checked": QGIS_NULL, "ok": "ok", "wrong": "wrong"}
    assert [name for name in facts["fields"] if name != "fid"] == expected
    assert sorted(facts["areas"]) == pytest.approx([280 * 0.09, 284 * 0.09], rel=1e-3)
    assert tuple(facts["outline"]) == OUTLINE_RGB, "the style beside the file is applied"
    assert facts["name"].startswith("concat('#', \"id\", ', score '")
    assert "area_m2" in facts["tip"]


@pytest.mark.slow
def test_qgis_applies_the_style_of_a_geopackage(qgis: QgisFacts) -> None:
    facts = qgis["found.gpkg"]
    assert tuple(facts["outline"]) == OUTLINE_RGB
    assert facts["labels"] == "id"
    assert facts["index"] == 2  # QgsFeatureSource.SpatialIndexPresent
    assert facts["layers"] == [LAYER], "no other table is listed as a layer"
    assert facts["styles"] == ["rrsis-geo", "by score"]
    assert (facts["title"], facts["abstract"]) == ("Trucks", EXPRESSION)
    picture = Image.open(qgis["folder"]["path"] / "found.gpkg.png").convert("RGB")
    pixels = np.asarray(picture).astype(int)
    is_outline = (np.abs(pixels - OUTLINE_RGB) < 30).all(axis=2)
    is_label = (pixels < 60).all(axis=2)  # dark outlines of the numbers
    assert is_outline.sum() > 500
    assert is_label.sum() > 20


@pytest.mark.slow
def test_qgis_opens_an_empty_layer(qgis: QgisFacts) -> None:
    facts = qgis["none.gpkg"]
    assert facts["valid"]
    assert (facts["count"], facts["crs"], facts["geometry"]) == (0, "EPSG:32645", 3)


def ogrinfo(*arguments: str) -> str:
    program = shutil.which("ogrinfo")
    if program is None:
        pytest.skip("ogrinfo is not installed")
    done = subprocess.run(
        [program, "-ro", *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    assert "Warning" not in done.stderr
    assert "ERROR" not in done.stderr
    return done.stdout


@pytest.mark.parametrize("n_objects", [0, 2])
@pytest.mark.parametrize("suffix", [suffix for suffix in SUFFIXES if suffix != ".parquet"])
def test_ogrinfo_reads_every_format(tmp_path: Path, suffix: str, n_objects: int) -> None:
    path = write(tmp_path / f"found{suffix}", n_objects=n_objects)
    summary = ogrinfo("-so", "-al", str(path))
    if not (suffix == ".geojson" and n_objects == 0):
        assert "Geometry: Polygon" in summary
        assert "score_max: Real" in summary
    if not (suffix == ".fgb" and n_objects == 0):  # an empty file does not store its count
        assert f"Feature Count: {n_objects}" in summary
    assert ('ID["EPSG",4326]' if suffix == ".geojson" else 'ID["EPSG",32645]') in summary


def test_ogrinfo_lists_one_layer_with_geometry(tmp_path: Path) -> None:
    lines = ogrinfo("-q", str(write(tmp_path / "found.gpkg"))).splitlines()
    assert lines == [f"1: {LAYER} (Polygon)", "2: layer_styles (None)"]
