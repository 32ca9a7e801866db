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
from pyproj import CRS as ProjCRS
from rasterio._err import CPLE_AppDefinedError
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import BandOverviewError, RasterioIOError
from repository import ROOT, SUPPORT
from rio_cogeo.cogeo import cog_validate

from rrsis_geo.errors import OutputError
from rrsis_geo.geo.grid.rasters import (
    NODATA,
    PROBABILITY_STEP,
    Georeference,
    Kind,
    RasterWriter,
    check_raster_path,
    encode_mask,
    encode_probability,
)
from rrsis_geo.geo.styles import OUTLINE_RGB

UTM = CRS.from_epsg(32632)
TRANSFORM = Affine(0.5, 0.1, 500_000, 0.1, -0.5, 5_200_000)


def georeference(height: int, width: int) -> Georeference:
    return Georeference((height, width), UTM, TRANSFORM)


def random_mask(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.choice(np.array([0, 1, NODATA], np.uint8), (height, width), p=[0.6, 0.3, 0.1])


def write(path: Path, values: np.ndarray, kind: Kind = "mask", cut: int = 384) -> None:
    with RasterWriter(path, kind, georeference(*values.shape), tags={"EXPRESSION": "a car"}) as out:
        for row in range(0, len(values), cut):
            out.write_band(row, values[row : row + cut])


@pytest.mark.parametrize(
    ("height", "width", "cut"), [(1300, 700, 384), (512, 512, 512), (1, 1, 1), (600, 3, 1)]
)
def test_round_trip(tmp_path: Path, height: int, width: int, cut: int) -> None:
    values = random_mask(height, width)
    write(tmp_path / "mask.tif", values, cut=cut)
    with rasterio.open(tmp_path / "mask.tif") as dataset:
        assert (dataset.read(1) == values).all()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["mask.qml", "mask.tif"]


@pytest.mark.parametrize("kind", ["mask", "probability"])
@pytest.mark.parametrize(("height", "width"), [(1300, 700), (100, 513), (1, 1), (512, 512)])
def test_valid_cog(tmp_path: Path, kind: Kind, height: int, width: int) -> None:
    path = tmp_path / f"{kind}.tif"
    write(path, random_mask(height, width), kind)
    is_valid, errors, warnings = cog_validate(path, strict=True, quiet=True)
    assert is_valid, (errors, warnings)
    with rasterio.open(path) as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_gdalinfo_and_rio_cogeo(tmp_path: Path) -> None:
    program = shutil.which("gdalinfo")
    if program is None:
        pytest.skip("gdalinfo is not installed")
    path = tmp_path / "probability.tif"
    write(path, random_mask(1300, 700), "probability")
    done = subprocess.run([program, "-checksum", path], capture_output=True, text=True, check=True)
    assert not done.stderr
    for text in ("LAYOUT=COG", "NoData Value=255", "Scale:0.004", "Overviews: 350x650, 175x325"):
        assert text in done.stdout
    rio = Path(sys.executable).with_name("rio")
    done = subprocess.run(
        [rio, "cogeo", "validate", "--strict", path], capture_output=True, text=True, check=True
    )
    assert "is a valid cloud optimized GeoTIFF" in done.stdout


def test_raster_to_merge_has_no_overviews_and_no_style(tmp_path: Path) -> None:
    path = tmp_path / "part.tif"
    with RasterWriter(path, "mask", georeference(700, 600), cog=False) as out:
        out.write_band(0, random_mask(700, 600))
    with rasterio.open(path) as dataset:
        assert not dataset.overviews(1)
    assert [file.name for file in tmp_path.iterdir()] == ["part.tif"]


def test_existing_style_is_kept(tmp_path: Path) -> None:
    style = tmp_path / "mask.qml"
    style.write_text("my own")
    write(tmp_path / "mask.tif", random_mask(3, 3))
    assert style.read_text() == "my own"


def test_bytes_do_not_depend_on_gdal_threads(tmp_path: Path) -> None:
    np.save(tmp_path / "values.npy", random_mask(2100, 1700))
    script = (
        "import sys, numpy as np; from pathlib import Path; sys.path[:0] = sys.argv[3:]; "
        "from test_rasters import write; folder = Path(sys.argv[1]); "
        "[write(folder / f'{kind}-{sys.argv[2]}.tif', np.load(folder / 'values.npy'), kind)"
        " for kind in ('mask', 'probability')]"
    )
    folders = [str(Path(__file__).parent), str(SUPPORT)]
    for threads in ("1", "4"):  # in new processes: GDAL threads do not survive a fork
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path), threads, *folders],
            env={**os.environ, "GDAL_NUM_THREADS": threads},
            check=True,
        )
    for kind in ("mask", "probability"):
        one, four = (tmp_path / f"{kind}-{threads}.tif" for threads in ("1", "4"))
        assert one.read_bytes() == four.read_bytes()


def test_mask_has_a_colour_table(tmp_path: Path) -> None:
    write(tmp_path / "mask.tif", random_mask(3, 3))
    with rasterio.open(tmp_path / "mask.tif") as dataset:
        assert dataset.colormap(1)[1] == (*OUTLINE_RGB, 255)
        assert dataset.nodata == NODATA


def test_metadata(tmp_path: Path) -> None:
    write(tmp_path / "mask.tif", random_mask(1300, 700))
    with rasterio.open(tmp_path / "mask.tif") as dataset:
        assert dataset.nodata == NODATA
        assert dataset.crs == UTM
        assert dataset.transform.almost_equals(TRANSFORM)
        assert dataset.profile["tiled"]
        assert dataset.block_shapes == [(512, 512)]
        assert dataset.compression.value == "DEFLATE"
        assert dataset.tags()["EXPRESSION"] == "a car"
        assert dataset.overviews(1) == [2, 4]
        assert dataset.descriptions == ("mask",)
        assert (dataset.read_masks(1) == 255 * (dataset.read(1) != NODATA)).all()


def test_overviews_of_a_mask_have_mask_values(tmp_path: Path) -> None:
    values = np.zeros((1024, 1024), np.uint8)
    values[:, 500:] = 1
    values[:100] = NODATA
    write(tmp_path / "mask.tif", values)
    with rasterio.open(tmp_path / "mask.tif", overview_level=0) as dataset:
        small = dataset.read(1)
        assert set(np.unique(small)) == {0, 1, NODATA}
        assert (small[:50] == NODATA).all()
        assert (small[50:, 250:] == 1).all()


def test_probability_has_a_scale_and_averaged_overviews(tmp_path: Path) -> None:
    probability = np.linspace(0, 1, 1024 * 600, dtype=np.float32).reshape(1024, 600)
    valid = np.ones_like(probability, bool)
    valid[:10] = False
    path = tmp_path / "probability.tif"
    write(path, encode_probability(probability, valid), "probability")
    with rasterio.open(path) as dataset:
        assert dataset.scales == (PROBABILITY_STEP,)
        assert dataset.offsets == (0,)
        values = dataset.read(1, masked=True)
        assert (values.mask == ~valid).all()
        np.testing.assert_allclose(values[10:] * dataset.scales[0], probability[10:], atol=0.00201)
        small = dataset.read(1, out_shape=(512, 300), resampling=Resampling.nearest)
        assert abs(small[300, 200] * 0.004 - probability[601, 401]) < 0.004


def test_encoding() -> None:
    valid = np.array([[True, True, False, False]])
    mask = np.array([[True, False, True, False]])
    assert encode_mask(mask, valid).tolist() == [[1, 0, NODATA, NODATA]]
    probability = np.array([[0, 1, 0.5, 1]], np.float32)
    assert encode_probability(probability, valid).tolist() == [[0, 250, NODATA, NODATA]]


@given(arrays(np.float32, (1, 5), elements=st.floats(0, 1, width=32)))
def test_probabilities_are_rounded_to_the_nearest_step(probability: np.ndarray) -> None:
    steps = encode_probability(probability, np.ones((1, 5), bool))
    assert steps.max() <= 250
    np.testing.assert_allclose(steps * PROBABILITY_STEP, probability, atol=0.002001)


def test_every_block_is_written_once(tmp_path: Path) -> None:
    """Rewritten blocks would make the file larger than one written in a single band."""
    values = random_mask(1100, 600)
    write(tmp_path / "bands.tif", values, cut=100)
    write(tmp_path / "whole.tif", values, cut=1100)
    assert (tmp_path / "bands.tif").stat().st_size == (tmp_path / "whole.tif").stat().st_size


def test_error_keeps_the_existing_file(tmp_path: Path) -> None:
    path = tmp_path / "mask.tif"
    path.write_text("old")

    def write_and_fail() -> None:
        with RasterWriter(path, "mask", georeference(600, 600)) as out:
            out.write_band(0, np.zeros((600, 600), np.uint8))
            assert len(list(tmp_path.iterdir())) == 2
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_and_fail()
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["mask.tif"]


def test_missing_rows_and_rows_out_of_order(tmp_path: Path) -> None:
    row = np.zeros((2, 4), np.uint8)
    out = RasterWriter(tmp_path / "mask.tif", "mask", georeference(3, 4))
    with pytest.raises(ValueError, match="rows from 1 are out of order: expected 0"):
        out.write_band(1, row)
    out.write_band(0, row)
    with pytest.raises(ValueError, match="out of order"):
        out.write_band(2, row)
    with pytest.raises(ValueError, match="1 rows were not written"):
        out.__exit__(None, None, None)
    assert not list(tmp_path.iterdir())


def test_unwritable_path(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"mask\.tif: the folder .*/no/such/folder does not"):
        RasterWriter(tmp_path / "no/such/folder/mask.tif", "mask", georeference(3, 4))
    (tmp_path / "folder.tif").mkdir()
    with pytest.raises(OutputError, match=r"folder\.tif: this is a folder"):
        write(tmp_path / "folder.tif", random_mask(3, 4))
    assert [file.name for file in tmp_path.iterdir()] == ["folder.tif"]


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np
import rasterio
from affine import Affine
from rrsis_geo.errors import OutputError
from rrsis_geo.geo.grid.rasters import Georeference, RasterWriter

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder, kind, is_plain = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "plain"
high = 1 if is_plain else 2 if kind == "mask" else 251
values = np.random.default_rng(0).integers(0, high, (1100, 700), np.uint8)
georeference = Georeference(values.shape, None, Affine.identity())

def write():
    tags = {"text": "x" * (90 if is_plain else 9000)}
    with RasterWriter(folder / "a.tif", kind, georeference, tags=tags) as out:
        for row in range(0, 1100, 500):
            out.write_band(row, values[row : row + 500])

for limit in map(int, sys.argv[4:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        write()
    except OutputError as err:
        print(err)
        assert not list(folder.iterdir())
    else:
        print("written")
        with rasterio.open(folder / "a.tif") as dataset:
            assert (dataset.read(1) == values).all()
        for file in folder.iterdir():
            file.unlink()
"""


@pytest.mark.parametrize(
    ("kind", "content", "n_bytes"),
    [
        ("mask", "noise", 200_000),
        ("probability", "noise", 1_100_000),
        ("mask", "plain", 8000),  # GDAL writes so few bytes when the file is closed
        ("probability", "plain", 4000),
    ],
)
def test_full_disk(tmp_path: Path, kind: Kind, content: str, n_bytes: int) -> None:
    """A limit of the file size acts like a full disk, at any moment of the writing."""
    limits = [0, 100, 4096, *range(n_bytes // 20, n_bytes, n_bytes // 20), 2 * n_bytes]
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path), kind, content, *map(str, limits)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert len(told) == len(limits)
    assert told[-1] == "written"
    failures = [text for text in told if text != "written"]
    assert len(failures) > 5
    assert all("a.tif: cannot be written (" in text and "disk" in text for text in failures)


@pytest.mark.parametrize(
    "err",
    [
        BandOverviewError("Building overviews failed"),
        CPLE_AppDefinedError(3, 1, "TIFFAppendToStrip:Seek error at scanline 0"),
        RasterioIOError("Write failed"),
    ],
)
def test_errors_of_gdal_in_making_the_cog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, err: Exception
) -> None:
    def fail(writer: RasterWriter) -> None:
        raise err

    monkeypatch.setattr(RasterWriter, "_copy_to_cog", fail)
    with pytest.raises(OutputError, match=r"mask\.tif: cannot be written"):
        write(tmp_path / "mask.tif", random_mask(3, 4))
    assert not list(tmp_path.iterdir())


ROTATED_POLE = CRS.from_wkt(
    ProjCRS(
        "+proj=ob_tran +o_proj=longlat +o_lon_p=-162 +o_lat_p=39.25 +lon_0=180 "
        "+to_meter=0.0174532925199433"
    ).to_wkt()
)
CRSS_OUTSIDE_GEOTIFF = {
    "rotated pole": ROTATED_POLE,
    "Airy": CRS.from_wkt(ProjCRS("+proj=airy").to_wkt()),
    "near-sided perspective": CRS.from_wkt(ProjCRS("+proj=nsper +h=3000000 +lat_0=20").to_wkt()),
    "engineering": CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]'),
}


@pytest.mark.parametrize("name", CRSS_OUTSIDE_GEOTIFF)
@pytest.mark.parametrize("size", [3, 600])
def test_crs_that_geotiff_cannot_hold_is_kept(tmp_path: Path, name: str, size: int) -> None:
    crs = CRSS_OUTSIDE_GEOTIFF[name]
    path = tmp_path / "mask.tif"
    with RasterWriter(path, "mask", Georeference((size, size), crs, TRANSFORM)) as out:
        out.write_band(0, np.zeros((size, size), np.uint8))
    with rasterio.open(path) as dataset:
        assert dataset.crs is not None
        kept, given = (
            {
                name: value
                for name, value in each.to_dict().items()
                if name not in ("units", "wktext")
            }
            for each in (dataset.crs, crs)
        )
        assert kept == given
        assert dataset.transform.almost_equals(TRANSFORM)
    assert {file.name for file in tmp_path.iterdir()} <= {
        "mask.tif",
        "mask.tif.aux.xml",
        "mask.qml",
    }


def test_sidecars_of_a_replaced_raster_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "mask.tif"
    with RasterWriter(path, "mask", Georeference((3, 4), ROTATED_POLE, TRANSFORM)) as out:
        out.write_band(0, np.zeros((3, 4), np.uint8))
    (tmp_path / "mask.tif.msk").touch()
    write(path, random_mask(3, 4))
    with rasterio.open(path) as dataset:
        assert dataset.crs == UTM
    assert sorted(file.name for file in tmp_path.iterdir()) == ["mask.qml", "mask.tif"]


def test_sidecars_of_a_missing_raster_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mask.tif"
    check_raster_path(path)
    (tmp_path / "mask.tif.aux.xml").touch()
    with pytest.raises(OutputError, match=r"mask\.tif\.aux\.xml: exists already"):
        check_raster_path(path)
    check_raster_path(path, overwrite=True)


def test_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    path, real = tmp_path / "link.tif", tmp_path / "real" / "mask.tif"
    path.symlink_to(real)
    values = random_mask(3, 4)
    for _ in range(2):
        write(path, values)
        assert path.is_symlink()
        with rasterio.open(real) as dataset:
            assert (dataset.read(1) == values).all()
