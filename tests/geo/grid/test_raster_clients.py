"""Result rasters in QGIS; skipped if it is not installed."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from PIL import Image
from rasterio.crs import CRS

from rrsis_geo.geo.grid.rasters import (
    Georeference,
    Kind,
    RasterWriter,
    encode_mask,
    encode_probability,
)
from rrsis_geo.geo.styles import OUTLINE_RGB

SYSTEM_PYTHON = "/usr/bin/python3"  # the Python of Debian's python3-qgis

IN_QGIS = """
import json, os, sys
from qgis.core import (QgsApplication, QgsMapRendererParallelJob, QgsMapSettings, QgsPointXY,
                       QgsRasterLayer)
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor
app = QgsApplication([], False)
app.initQgis()
facts = []
for path in sys.argv[1:]:
    layer = QgsRasterLayer(path, "result")
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setBackgroundColor(QColor(0, 0, 255))
    settings.setDestinationCrs(layer.crs())
    settings.setExtent(layer.extent())
    settings.setOutputSize(QSize(300, 200))
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    job.renderedImage().save(path + ".png")
    middle = layer.extent().center()
    value, is_data = layer.dataProvider().sample(QgsPointXY(middle), 1)
    facts.append(dict(valid=layer.isValid(), crs=layer.crs().authid(),
                      renderer=layer.renderer().type(), opacity=layer.renderer().opacity(),
                      middle=value if is_data else None))
print(json.dumps(facts))
sys.stdout.flush()
os._exit(0)  # QGIS crashes at exit after rendering a raster
"""


def write(path: Path, kind: Kind) -> None:
    """200 x 300 pixels: no target at the left, target in the middle, no data at the right."""
    target, valid = np.zeros((200, 300), bool), np.ones((200, 300), bool)
    target[:, 100:200] = True
    valid[:, 200:] = False
    probability = np.where(target, np.float32(0.9), np.float32(0.04))
    rows = encode_mask(target, valid) if kind == "mask" else encode_probability(probability, valid)
    transform = Affine(0.5, 0, 500_000, 0, -0.5, 5_200_000)
    georeference = Georeference((200, 300), CRS.from_epsg(32632), transform)
    with RasterWriter(path, kind, georeference) as out:
        out.write_band(0, rows)


@pytest.mark.slow
def test_qgis_applies_the_style(tmp_path: Path) -> None:
    if not Path(SYSTEM_PYTHON).exists():
        pytest.skip("python3-qgis is not installed")
    if subprocess.run([SYSTEM_PYTHON, "-c", "import qgis.core"], capture_output=True).returncode:
        pytest.skip("python3-qgis is not installed")
    kinds: tuple[Kind, ...] = ("mask", "probability")
    paths = [tmp_path / f"{kind}.tif" for kind in kinds]
    for path, kind in zip(paths, kinds, strict=True):
        write(path, kind)
    done = subprocess.run(
        [SYSTEM_PYTHON, "-c", IN_QGIS, *map(str, paths)],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    mask, probability = json.loads(done.stdout.splitlines()[-1])
    assert (mask["valid"], mask["crs"], mask["renderer"]) == (True, "EPSG:32632", "paletted")
    assert mask["opacity"] == pytest.approx(0.6)
    assert probability["valid"]
    assert probability["renderer"] == "singlebandpseudocolor"
    assert probability["middle"] == pytest.approx(0.9)
    for path in paths:
        picture = np.asarray(Image.open(f"{path}.png").convert("RGB")).astype(int)
        assert (picture[:, :98] == (0, 0, 255)).all(), "pixels without target are transparent"
        assert (picture[:, 202:] == (0, 0, 255)).all(), "pixels without data are transparent"
        target = picture[:, 102:198]
        assert (target[..., 0] > 140).all()
        if path.stem == "mask":
            pink = 0.6 * np.array(OUTLINE_RGB) + 0.4 * np.array((0, 0, 255))
            assert (np.abs(target - pink) < 3).all()
