from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from PIL import Image
from rasterio._env import get_gdal_config
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window
from scene_files import damage_block

from rrsis_geo.errors import ConfigError, InputError
from rrsis_geo.geo.scene.scene import open_scene
from rrsis_geo.geo.scene.sources import CACHE_MB, geo_env

MakeScene = Callable[..., Path]
WHOLE = Window(0, 0, 90, 60)
RED, GREEN, BLUE = ColorInterp.red, ColorInterp.green, ColorInterp.blue
GRAY, UNDEFINED, ALPHA = ColorInterp.gray, ColorInterp.undefined, ColorInterp.alpha


@pytest.fixture
def hole() -> np.ndarray:
    """Bool [60, 90]: a corner without data."""
    invalid = np.zeros((60, 90), bool)
    invalid[:20, :31] = True
    return invalid


@pytest.mark.parametrize(
    ("options", "validity"),
    [
        ({"nodata": 0}, "nodata"),
        ({"nodata": 255}, "nodata"),
        ({"dtype": "uint16", "nodata": 65535}, "nodata"),
        ({"dtype": "int16", "nodata": -9999}, "nodata"),
        ({"dtype": "float32", "nodata": float("nan")}, "nodata"),
        ({"dtype": "float32", "nodata": -3.4028234663852886e38}, "nodata"),
        ({"alpha": True}, "alpha"),
        ({"alpha": True, "dtype": "uint16"}, "alpha"),
        ({"alpha": True, "bands": 1}, "alpha"),
        ({"internal_mask": True}, "mask"),
        ({"internal_mask": True, "blocks": None}, "mask"),
    ],
    ids=str,
)
def test_validity_follows_the_file(
    make_scene: MakeScene, hole: np.ndarray, options: dict[str, object], validity: str
) -> None:
    path = make_scene(60, 90, invalid=hole, **options)
    with open_scene(path) as scene, rasterio.open(path) as dataset:
        assert scene.info.validity == validity
        pixels, valid = scene.read(WHOLE)
        assert (valid == ~hole).all()
        assert (valid == (dataset.dataset_mask() > 0)).all()
        expected = dataset.read(list(scene.info.bands))
        assert (pixels == expected)[:, valid].all()
        part = scene.read(Window(5, 7, 40, 30))[1]
        assert (part == valid[7:37, 5:45]).all()


def test_zero_is_valid_without_nodata(make_scene: MakeScene) -> None:
    black = make_scene(60, 90, content=lambda row, col, band: 0 * row)
    with open_scene(black) as scene:
        assert scene.info.validity == "all"
        assert scene.read(WHOLE)[1].all()


def test_pixel_is_invalid_if_every_band_is_nodata(make_scene: MakeScene) -> None:
    """A pure red roof stays valid in a scene with nodata 0."""
    path = make_scene(60, 90, nodata=0, content=lambda row, col, band: (band == 1) * (row % 2))
    with open_scene(path) as scene:
        valid = scene.read(WHOLE)[1]
        assert (valid == (np.arange(60) % 2 == 1)[:, None]).all()


def test_pixel_is_invalid_if_any_band_is_not_finite(make_scene: MakeScene) -> None:
    def content(row: np.ndarray, col: np.ndarray, band: int) -> np.ndarray:
        values = row + col + 0.0
        if band == 2:
            values[3, 4], values[5, 6], values[7, 8] = np.nan, np.inf, -np.inf
        return values

    with open_scene(make_scene(60, 90, dtype="float32", content=content)) as scene:
        assert np.argwhere(~scene.read(WHOLE)[1]).tolist() == [[3, 4], [5, 6], [7, 8]]


def test_nodata_option_replaces_nodata_of_the_file_but_not_its_mask(
    make_scene: MakeScene, hole: np.ndarray
) -> None:
    def content(row: np.ndarray, col: np.ndarray, band: int) -> np.ndarray:
        return np.where(row == 50, 7, 100)

    row_50 = np.zeros_like(hole)
    row_50[50] = True
    with open_scene(make_scene(60, 90, nodata=0, invalid=hole, content=content), nodata=7) as scene:
        assert scene.info.nodata == 7
        assert (scene.read(WHOLE)[1] == ~row_50).all()
    with open_scene(make_scene(60, 90, alpha=True, invalid=hole, content=content), nodata=7) as s:
        assert (s.read(WHOLE)[1] == ~(row_50 | hole)).all()


@pytest.mark.parametrize(("dtype", "nodata"), [("uint8", -9999), ("uint8", 0.5), ("int16", 40000)])
def test_nodata_outside_the_pixel_type(make_scene: MakeScene, dtype: str, nodata: float) -> None:
    with pytest.raises(ConfigError, match=f"nodata {nodata:g} is not a value of .*{dtype}"):
        open_scene(make_scene(dtype=dtype), nodata=nodata)


def infrared(row: np.ndarray, col: np.ndarray, band: int) -> np.ndarray:
    return (40 * band + row * 2 + col) % 256


def test_infrared_tagged_alpha_is_ignored(
    make_scene: MakeScene, caplog: pytest.LogCaptureFixture
) -> None:
    path = make_scene(60, 90, bands=4, content=infrared, colorinterp=[RED, GREEN, BLUE, ALPHA])
    with open_scene(path) as scene:
        assert scene.info.validity == "all"
        assert scene.info.bands == (1, 2, 3)
        assert scene.read(WHOLE)[1].all()
    assert "band 4 is tagged alpha but contains image data" in caplog.text


def test_alpha_with_a_soft_edge_is_used(
    make_scene: MakeScene, hole: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    path = make_scene(60, 90, alpha=True, invalid=hole)
    with rasterio.open(path, "r+") as dataset:
        alpha = dataset.read(4)
        alpha[:, 31:60] = np.linspace(1, 254, 29)
        dataset.write(alpha, 4)
    with open_scene(path) as scene:
        assert scene.info.validity == "alpha"
        assert (scene.read(WHOLE)[1] == ~hole).all()
    assert not caplog.records


def test_alpha_band_chosen_as_colour(make_scene: MakeScene) -> None:
    path = make_scene(60, 90, bands=4, content=infrared, colorinterp=[RED, GREEN, BLUE, ALPHA])
    with open_scene(path, bands=(4, 1, 2)) as scene, rasterio.open(path) as dataset:
        pixels, valid = scene.read(WHOLE)
        assert (pixels == dataset.read([4, 1, 2])).all()
        assert valid.all()


@pytest.mark.parametrize(
    ("options", "bands", "bands_by"),
    [
        ({"bands": 3}, (1, 2, 3), "colorinterp"),
        ({"bands": 3, "alpha": True}, (1, 2, 3), "colorinterp"),
        ({"bands": 4, "colorinterp": [BLUE, GREEN, RED, UNDEFINED]}, (3, 2, 1), "colorinterp"),
        ({"bands": 4, "colorinterp": [UNDEFINED, RED, GREEN, BLUE]}, (2, 3, 4), "colorinterp"),
        ({"bands": 1}, (1,), "gray"),
        ({"bands": 1, "alpha": True}, (1,), "gray"),
        ({"bands": 1, "palette": {0: (1, 2, 3, 255)}}, (1,), "palette"),
    ],
    ids=str,
)
def test_bands_follow_the_colour_interpretation(
    make_scene: MakeScene,
    caplog: pytest.LogCaptureFixture,
    options: dict[str, object],
    bands: tuple[int, ...],
    bands_by: str,
) -> None:
    with open_scene(make_scene(**options)) as scene:
        assert scene.info.bands == bands
        assert scene.info.bands_by == bands_by
    assert not caplog.records


def test_bands_without_colour_interpretation_are_a_warning(
    make_scene: MakeScene, caplog: pytest.LogCaptureFixture
) -> None:
    path = make_scene(bands=5, dtype="uint16", colorinterp=[GRAY] + [UNDEFINED] * 4)
    with open_scene(path) as scene:
        assert scene.info.bands == (1, 2, 3)
        assert scene.info.bands_by == "order"
    assert "using bands 1,2,3" in caplog.text
    assert "--bands" in caplog.text


def test_two_bands(make_scene: MakeScene) -> None:
    path = make_scene(bands=2)
    with pytest.raises(InputError, match=r"has two bands.*--bands 1 .*1,2,2"):
        open_scene(path)
    with open_scene(path, bands=(2,)) as scene:
        assert scene.info.bands == (2,)


@pytest.mark.parametrize("bands", [(), (1, 2), (0, 1, 2), (1, 2, 4), (1, 2, 3, 1)])
def test_invalid_bands(make_scene: MakeScene, bands: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="one or three numbers from 1 to 3"):
        open_scene(make_scene(), bands=bands)


def make_complex(path: Path, dtype: str) -> Path:
    place = {"crs": "EPSG:32632", "transform": rasterio.Affine(1, 0, 0, 0, -1, 9)}
    with rasterio.open(
        path, "w", driver="GTiff", width=4, height=4, count=1, dtype=dtype, **place
    ) as dataset:
        dataset.write(np.ones((1, 4, 4), np.complex64))
    return path


def test_half_precision_pixels(make_scene: MakeScene, tmp_path: Path) -> None:
    with rasterio.open(make_scene(60, 90, dtype="float32")) as dataset:
        profile, values = dataset.profile, dataset.read()
    with rasterio.open(tmp_path / "half.tif", "w", **{**profile, "nbits": 16}) as dataset:
        dataset.write(values)
    with open_scene(tmp_path / "half.tif", bands=(1, 2, 3)) as scene:
        pixels, valid = scene.read(WHOLE)
        assert valid.all()
        np.testing.assert_allclose(pixels, values, rtol=1e-3)


def test_complex_pixels(tmp_path: Path) -> None:
    for dtype in ("complex64", "complex_int16"):
        with pytest.raises(InputError, match=f"complex numbers .{dtype}"):
            open_scene(make_complex(tmp_path / f"{dtype}.tif", dtype))


def test_bands_of_different_types(make_scene: MakeScene, tmp_path: Path) -> None:
    one = make_scene(60, 90, bands=1, content=lambda row, col, band: row)
    two = make_scene(60, 90, bands=1, dtype="uint16", content=lambda row, col, band: 900 + col)
    band = """<VRTRasterBand dataType="{}" band="{}"><SimpleSource>
      <SourceFilename>{}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"""
    bands = [("Byte", 1, one), ("UInt16", 2, two), ("Byte", 3, one)]
    (tmp_path / "mixed.vrt").write_text(
        '<VRTDataset rasterXSize="90" rasterYSize="60"><SRS>EPSG:32632</SRS>'
        "<GeoTransform>500000,1,0,5200000,0,-1</GeoTransform>"
        + "".join(band.format(*values) for values in bands)
        + "</VRTDataset>"
    )
    with open_scene(tmp_path / "mixed.vrt", bands=(1, 2, 3)) as scene:
        pixels, _ = scene.read(WHOLE)
        assert pixels.dtype == np.uint16
        assert pixels[:, 7, 80].tolist() == [7, 980, 7]


# --- transparent colours


def write_palette(folder: Path, alphas: list[int]) -> Path:
    """A VRT of a PNG with colour indices 0 to 3 in columns; entry k has opacity ``alphas[k]``."""
    index = np.tile(np.arange(90, dtype=np.uint8) % 4, (60, 1))
    picture = Image.fromarray(index, "P")
    picture.putpalette([value for k in range(4) for value in (60 * k, 10, 10)])
    picture.save(folder / "p.png", transparency=bytes(alphas))
    with (
        pytest.warns(NotGeoreferencedWarning),
        rasterio.open(folder / "p.png") as dataset,
    ):
        rasterio.shutil.copy(dataset, folder / "p.vrt", driver="VRT")
    xml = (folder / "p.vrt").read_text()
    place = "<SRS>EPSG:32632</SRS><GeoTransform>500000,1,0,5200000,0,-1</GeoTransform>"
    (folder / "p.vrt").write_text(xml.replace(">", f">{place}", 1))
    return folder / "p.vrt"


@pytest.mark.parametrize(
    ("alphas", "opaque", "validity"),
    [
        ([255, 255, 255, 255], [True, True, True, True], "all"),
        ([255, 0, 255, 255], [True, False, True, True], "nodata"),
        ([0, 255, 0, 0], [False, True, False, False], "palette"),
        ([255, 0, 0, 120], [True, False, False, True], "palette"),
        ([0, 0, 0, 0], [True, True, True, True], "all"),
    ],
)
def test_transparent_colours_are_not_data(
    tmp_path: Path, alphas: list[int], opaque: list[bool], validity: str
) -> None:
    path = write_palette(tmp_path, alphas)
    for bands in (None, [1]):
        with open_scene(path, bands=bands) as scene:
            _, valid = scene.read(WHOLE)
            assert valid[0, :4].tolist() == opaque
            assert scene.info.validity == validity


# --- damaged blocks


@pytest.mark.parametrize("threads", [1, 2])
def test_a_damaged_block_fails_in_every_attempt(make_scene: MakeScene, threads: int) -> None:
    """GDAL's threads leave the block in its cache, where a second attempt would find it."""
    path = make_scene(200, 300)
    damage_block(path, 1, 2)
    with rasterio.Env(GDAL_NUM_THREADS=threads), open_scene(path) as scene:
        for _ in range(3):
            with pytest.raises(InputError, match="cannot be read"):
                scene.read(Window(0, 0, 300, 150))
        scene.read(Window(0, 0, 300, 64))


def test_alpha_with_a_damaged_block(make_scene: MakeScene) -> None:
    path = make_scene(200, 300, alpha=True)
    damage_block(path, 1, 2)
    with rasterio.Env(GDAL_NUM_THREADS=2), open_scene(path) as scene:
        assert scene.info.validity == "alpha"
        with pytest.raises(InputError, match="cannot be read"):
            scene.read(Window(0, 0, 300, 150))


def test_block_cache_has_the_size_in_megabytes() -> None:
    with geo_env():
        assert get_gdal_config("GDAL_CACHEMAX") == CACHE_MB * 2**20
