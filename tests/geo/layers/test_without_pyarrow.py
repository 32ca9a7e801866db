"""Only GeoParquet needs pyarrow, which is an extra of the package."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from rrsis_geo.geo.grid.rasters import Georeference, RasterWriter, encode_probability
from rrsis_geo.geo.layers.layer_files import SUFFIXES


def run(arguments: list[str], folder: Path, *, then: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command where pyarrow cannot be imported."""
    code = (
        "import sys\n"
        "sys.modules['pyarrow'] = None\n"
        "from rrsis_geo.cli import app\n"
        f"try:\n    app({arguments!r})\n"
        f"except SystemExit as end:\n    if end.code:\n        raise\n{then}"
    )
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=folder
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a probability raster of one object."""
    values = np.zeros((40, 60), np.float32)
    values[4:10, 4:10] = 0.9
    place = Georeference(values.shape, CRS.from_epsg(32632), Affine(0.5, 0, 5e5, 0, -0.5, 52e5))
    tags = {"expression": "the white van", "model": "lite"}
    with RasterWriter(tmp_path / "van.tif", "probability", place, tags=tags) as out:
        out.write_band(0, encode_probability(values, np.ones(values.shape, bool)))
    return tmp_path


@pytest.mark.parametrize("suffix", [suffix for suffix in SUFFIXES if suffix != ".parquet"])
def test_other_formats_are_written_and_read(folder: Path, suffix: str) -> None:
    arguments = ["segment", "--from-probability", "van.tif", "-o", f"van{suffix}"]
    then = (
        "import geopandas\n"
        f"print(geopandas.read_file('van{suffix}').to_crs(32632).area.round(2).tolist())\n"
        "print('pyarrow' in sys.modules and sys.modules['pyarrow'] is not None)"
    )
    done = run(arguments, folder, then=then)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["[9.0]", "False"]


def test_geoparquet_names_the_extra(folder: Path) -> None:
    done = run(["segment", "--from-probability", "van.tif", "-o", "van.parquet"], folder)
    assert done.returncode == 5
    assert "van.parquet: GeoParquet needs pyarrow, which is not installed" in done.stderr
    assert "pip install 'rrsis-geo[parquet]'" in " ".join(done.stderr.split())
    assert [path.name for path in folder.glob("van.p*")] == []


def test_an_area_in_geoparquet_names_the_extra(folder: Path) -> None:
    (folder / "area.parquet").write_bytes(b"PAR1")
    done = run(["info", "van.tif", "--aoi", "area.parquet"], folder)
    assert done.returncode == 3
    assert "pip install 'rrsis-geo[parquet]'" in " ".join(done.stderr.split())
