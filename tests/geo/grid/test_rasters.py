import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.crs import CRS
from rasterio.enums import Resampling
from repository import ROOT, SUPPORT
from rio_cogeo.cogeo import cog_validate

from rrsis_geo.errors import OutputError
from rrsis_geo.geo.grid.rasters import (
    NODATA,
    PROBABILITY_STEP,
    Kind,
    RasterWriter,
    encode_mask,
    encode_probability,
)
from rrsis_geo.geo.styles import OUTLINE_RGB

UTM = CRS.from_epsg(32632)
PLACE = Affine(0.5, 0.1, 500_000, 0.1, -0.5, 5_200_000)


def some_mask(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.choice(np.array([0, 1, NODATA], np.uint8), (height, width), p=[0.6, 0.3, 0.1])


def write(path: Path, values: np.ndarray, kind: Kind = "mask", cut: int = 384) -> None:
    with RasterWriter(path, kind, values.shape, UTM, PLACE, tags={"EXPRESSION": "a car"}) as out:
        for row in range(0, len(values), cut):
            out.write_band(row, values[row : row + cut])


@pytest.mark.parametrize(
    ("height", "width", "cut"), [(1300, 700, 384), (512, 512, 512), (1, 1, 1), (600, 3, 1)]
)
def test_what_is_written_is_read_back(tmp_path: Path, height: int, width: int, cut: int) -> None:
    values = some_mask(height, width)
    write(tmp_path / "mask.tif", values, cut=cut)
    with rasterio.open(tmp_path / "mask.tif") as dataset:
        assert (dataset.read(1) == values).all()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["mask.qml", "mask.tif"]


@pytest.mark.parametrize("kind", ["mask", "probability"])
@pytest.mark.parametrize(("height", "width"), [(1300, 700), (100, 513), (1, 1), (512, 512)])
def test_it_is_a_valid_cog(tmp_path: Path, kind: Kind, height: int, width: int) -> None:
    path = tmp_path / f"{kind}.tif"
    write(path, some_mask(height, width), kind)
    is_valid, errors, warnings = cog_validate(path, strict=True, quiet=True)
    assert is_valid, (errors, warnings)
    with rasterio.open(path) as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_gdalinfo_and_rio_are_satisfied(tmp_path: Path) -> None:
    program = shutil.which("gdalinfo")
    if program is None:
        pytest.skip("gdalinfo is not installed")
    path = tmp_path / "probability.tif"
    write(path, some_mask(1300, 700), "probability")
    done = subprocess.run([program, "-checksum", path], capture_output=True, text=True, check=True)
    assert not done.stderr
    for told in ("LAYOUT=COG", "NoData Value=255", "Scale:0.004", "Overviews: 350x650, 175x325"):
        assert told in done.stdout
    rio = Path(sys.executable).with_name("rio")
    done = subprocess.run(
        [rio, "cogeo", "validate", "--strict", path], capture_output=True, text=True, check=True
    )
    assert "is a valid cloud optimized GeoTIFF" in done.stdout


def test_pieces_are_neither_cogs_nor_styled(tmp_path: Path) -> None:
    path = tmp_path / "piece.tif"
    with RasterWriter(path, "mask", (700, 600), UTM, PLACE, cog=False) as out:
        out.write_band(0, some_mask(700, 600))
    with rasterio.open(path) as dataset:
        assert not dataset.overviews(1)
    assert [file.name for file in tmp_path.iterdir()] == ["piece.tif"]


def test_a_style_of_the_users_own_stays(tmp_path: Path) -> None:
    style = tmp_path / "mask.qml"
    style.write_text("my own")
    write(tmp_path / "mask.tif", some_mask(3, 3))
    assert style.read_text() == "my own"


def test_the_bytes_do_not_depend_on_gdals_threads(tmp_path: Path) -> None:
    np.save(tmp_path / "values.npy", some_mask(2100, 1700))
    script = (
        "import sys, numpy as np; from pathlib import Path; sys.path[:0] = sys.argv[3:]; "
        "from test_rasters import write; folder = Path(sys.argv[1]); "
        "[write(folder / f'{kind}-{sys.argv[2]}.tif', np.load(folder / 'values.npy'), kind)"
        " for kind in ('mask', 'probability')]"
    )
    places = [str(Path(__file__).parent), str(SUPPORT)]
    for threads in ("1", "4"):  # in processes of their own: GDAL's threads do not outlive a fork
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path), threads, *places],
            env={**os.environ, "GDAL_NUM_THREADS": threads},
            check=True,
        )
    for kind in ("mask", "probability"):
        one, four = (tmp_path / f"{kind}-{threads}.tif" for threads in ("1", "4"))
        assert one.read_bytes() == four.read_bytes()


def test_a_mask_has_colours(tmp_path: Path) -> None:
    write(tmp_path / "mask.tif", some_mask(3, 3))
    with rasterio.open(tmp_path / "mask.tif") as dataset:
        assert dataset.colormap(1)[1] == (*OUTLINE_RGB, 255)
        assert dataset.nodata == NODATA


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    write(tmp_path / "mask.tif", some_mask(1300, 700))
    with rasterio.open(tmp_path / "mask.tif") as dataset:
        assert dataset.nodata == NODATA
        assert dataset.crs == UTM
        assert dataset.transform.almost_equals(PLACE)
        assert dataset.profile["tiled"]
        assert dataset.block_shapes == [(512, 512)]
        assert dataset.compression.value == "DEFLATE"
        assert dataset.tags()["EXPRESSION"] == "a car"
        assert dataset.overviews(1) == [2, 4]
        assert dataset.descriptions == ("mask",)
        assert (dataset.read_masks(1) == 255 * (dataset.read(1) != NODATA)).all()


def test_overviews_of_a_mask_hold_its_values_only(tmp_path: Path) -> None:
    values = np.zeros((1024, 1024), np.uint8)
    values[:, 500:] = 1
    values[:100] = NODATA
    write(tmp_path / "mask.tif", values)
    with rasterio.open(tmp_path / "mask.tif", overview_level=0) as dataset:
        small = dataset.read(1)
        assert set(np.unique(small)) == {0, 1, NODATA}
        assert (small[:50] == NODATA).all()
        assert (small[50:, 250:] == 1).all()


def test_probability_has_its_scale_and_averages(tmp_path: Path) -> None:
    probability = np.linspace(0, 1, 1024 * 600, dtype=np.float32).reshape(1024, 600)
    valid = np.ones_like(probability, bool)
    valid[:10] = False
    path = tmp_path / "probability.tif"
    write(path, encode_probability(probability, valid), "probability")
    with rasterio.open(path) as dataset:
        assert dataset.scales == (PROBABILITY_STEP,)
        assert dataset.offsets == (0,)
        read = dataset.read(1, masked=True)
        assert (read.mask == ~valid).all()
        np.testing.assert_allclose(read[10:] * dataset.scales[0], probability[10:], atol=0.00201)
        small = dataset.read(1, out_shape=(512, 300), resampling=Resampling.nearest)
        assert abs(small[300, 200] * 0.004 - probability[601, 401]) < 0.004


def test_encoding() -> None:
    valid = np.array([[True, True, False, False]])
    mask = np.array([[True, False, True, False]])
    assert encode_mask(mask, valid).tolist() == [[1, 0, NODATA, NODATA]]
    probability = np.array([[0, 1, 0.5, 1]], np.float32)
    assert encode_probability(probability, valid).tolist() == [[0, 250, NODATA, NODATA]]


@given(arrays(np.float32, (1, 5), elements=st.floats(0, 1, width=32)))
def test_probabilities_survive_to_half_a_step(probability: np.ndarray) -> None:
    steps = encode_probability(probability, np.ones((1, 5), bool))
    assert steps.max() <= 250
    np.testing.assert_allclose(steps * PROBABILITY_STEP, probability, atol=0.002001)


def test_every_block_is_written_once(tmp_path: Path) -> None:
    """Rewritten blocks leave holes: the same pixels in one piece make a file of the same size."""
    values = some_mask(1100, 600)
    write(tmp_path / "bands.tif", values, cut=100)
    write(tmp_path / "whole.tif", values, cut=1100)
    assert (tmp_path / "bands.tif").stat().st_size == (tmp_path / "whole.tif").stat().st_size


def test_an_error_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "mask.tif"
    path.write_text("the old one")

    def write_and_fail() -> None:
        with RasterWriter(path, "mask", (600, 600), UTM, PLACE) as out:
            out.write_band(0, np.zeros((600, 600), np.uint8))
            assert (tmp_path / "mask.tif.part").exists()
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_and_fail()
    assert path.read_text() == "the old one"
    assert [file.name for file in tmp_path.iterdir()] == ["mask.tif"]


def test_rows_must_come_in_order_and_all(tmp_path: Path) -> None:
    row = np.zeros((2, 4), np.uint8)
    out = RasterWriter(tmp_path / "mask.tif", "mask", (3, 4), UTM, PLACE)
    with pytest.raises(ValueError, match="rows from 1 are out of order: 0 is next"):
        out.write_band(1, row)
    out.write_band(0, row)
    with pytest.raises(ValueError, match="out of order"):
        out.write_band(2, row)
    with pytest.raises(ValueError, match="1 rows were not written"):
        out.__exit__(None, None, None)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"no/such/folder/mask\.tif: cannot be written"):
        RasterWriter(tmp_path / "no/such/folder/mask.tif", "mask", (3, 4), UTM, PLACE)
    (tmp_path / "taken.tif").mkdir()
    with pytest.raises(OutputError, match=r"taken\.tif: cannot be written"):
        write(tmp_path / "taken.tif", some_mask(3, 4))
    assert [file.name for file in tmp_path.iterdir()] == ["taken.tif"]


FULL_DISK = """
import resource, signal, sys
import numpy as np
from affine import Affine
from rrsis_geo.errors import OutputError
from rrsis_geo.geo.grid.rasters import RasterWriter

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
noise = np.random.default_rng(0).integers(0, 251, (1500, 1500), dtype=np.uint8)
try:
    with RasterWriter(sys.argv[1], "probability", noise.shape, None, Affine.identity()) as out:
        for row in range(0, 1500, 500):
            out.write_band(row, noise[row : row + 500])
except OutputError as err:
    print(err)
"""


@pytest.mark.parametrize("limit", [1_000_000, 2_500_000])
def test_a_full_disk_is_an_output_error(tmp_path: Path, limit: int) -> None:
    """A limit on file size stands in for a full disk: amid the blocks, amid the overviews."""
    path = tmp_path / "probability.tif"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path), str(limit)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert "probability.tif: cannot be written" in done.stdout
    assert not list(tmp_path.iterdir())
