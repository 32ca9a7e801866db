"""Pixels in memory give the same results as a file of them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from predictor_stubs import RedPredictor, make_options
from pyproj import CRS as ProjCRS
from rasterio.enums import ColorInterp
from scene_files import LOCAL_WKT

from rrsis_geo.errors import ConfigError, InputError
from rrsis_geo.segment.array import segment_array
from rrsis_geo.segment.jobs.engines import RunOptions
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.scene import segment_scene

OPTIONS = make_options(overlap_px=16)
RGB = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
UTM, PLACE = "EPSG:32632", Affine(0.5, 0, 500_000, 0, -0.5, 5_200_000)
MakeScene = Callable[..., Path]


def read(path: Path) -> tuple[NDArray[Any], Affine, Any]:
    with rasterio.open(path) as dataset:
        return dataset.read(masked=True), dataset.transform, dataset.crs


def rows_of(path: Path) -> gpd.GeoDataFrame:
    return gpd.read_file(path)


@pytest.mark.parametrize(
    "scene",
    [
        {},
        {"dtype": "uint16", "scale": 20.0, "colorinterp": RGB},
        {"dtype": "float32", "scale": 1 / 255, "colorinterp": RGB},
        {"invalid": True, "nodata": 0},
        {"invalid": True, "internal_mask": True},
        {"crs": LOCAL_WKT, "transform": PLACE @ Affine.rotation(25)},
    ],
    ids=["uint8", "uint16", "float32", "nodata", "mask", "turned"],
)
def test_an_array_gives_what_its_file_gives(
    scene: dict[str, Any], make_blobs: MakeScene, tmp_path: Path
) -> None:
    if "invalid" in scene:
        invalid = np.zeros((200, 300), bool)
        invalid[40:120, 30:200] = True
        scene = {**scene, "invalid": invalid}
    path = make_blobs(**scene)
    outputs = [Outputs(tmp_path / f"{n}.gpkg", mask=tmp_path / f"{n}.tif") for n in ("a", "b")]
    expected = segment_scene(path, "a disc", outputs[0], OPTIONS, predictor=RedPredictor())
    report = segment_array(*read(path), "a disc", outputs[1], OPTIONS, predictor=RedPredictor())
    assert report.n_objects == expected.n_objects > 20
    assert report.area_m2 == expected.area_m2
    first, second = rows_of(outputs[0].vector), rows_of(outputs[1].vector)
    assert first.crs == second.crs
    assert first.equals(second)
    with rasterio.open(tmp_path / "a.tif") as one, rasterio.open(tmp_path / "b.tif") as other:
        np.testing.assert_array_equal(one.read(), other.read())
        assert one.transform == other.transform


def test_without_outputs_files_live_as_long_as_the_report(make_blobs: MakeScene) -> None:
    pixels, transform, crs = read(make_blobs())
    report = segment_array(
        pixels, transform, crs, "a disc", None, OPTIONS, predictor=RedPredictor()
    )
    folder = report.outputs["vector"].parent
    assert sorted(file.name for file in folder.iterdir()) == ["objects.gpkg", "objects.png"]
    assert len(report.to_geodataframe()) == report.n_objects
    del report
    assert not folder.exists()


def test_a_failed_run_leaves_no_folder(
    make_blobs: MakeScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    pixels, transform, crs = read(make_blobs())
    with pytest.raises(InputError, match="expression"):
        segment_array(pixels, transform, crs, "", None, OPTIONS, predictor=RedPredictor())
    assert not list((tmp_path / "temporary").iterdir())


def test_one_band_is_gray_and_further_bands_are_ignored(make_blobs: MakeScene) -> None:
    pixels, transform, crs = read(make_blobs())
    bright = np.where(pixels[0] > 150, 250, 0).astype(np.uint8)
    red = RedPredictor()
    gray = segment_array(bright, transform, crs, "a disc", None, OPTIONS, predictor=red)
    assert gray.n_objects == 0  # gray is not red
    infrared = np.concatenate(
        [pixels, np.zeros_like(pixels[:1])]
    )  # would be an alpha band of 0 in a file
    expected = segment_array(pixels, transform, crs, "a disc", None, OPTIONS, predictor=red)
    report = segment_array(infrared, transform, crs, "a disc", None, OPTIONS, predictor=red)
    assert report.n_objects == expected.n_objects > 20
    assert report.warnings == ()


def test_chosen_bands_nodata_and_other_forms_of_crs_and_bytes(make_blobs: MakeScene) -> None:
    pixels, transform, crs = read(make_blobs())
    expected = segment_array(
        pixels, transform, crs, "a disc", None, OPTIONS, predictor=RedPredictor()
    )
    turned = pixels[::-1].astype(">i2")
    options = make_options(overlap_px=16, bands=(3, 2, 1), nodata=-1)
    report = segment_array(
        turned, transform, ProjCRS(crs.to_wkt()), "a disc", None, options, predictor=RedPredictor()
    )
    assert report.n_objects == expected.n_objects


def test_runs_of_the_same_pixels_in_threads(make_blobs: MakeScene) -> None:
    pixels, transform, crs = read(make_blobs())

    def run(expression: str) -> int:
        report = segment_array(
            pixels, transform, crs, expression, None, OPTIONS, predictor=RedPredictor()
        )
        return report.n_objects

    with ThreadPoolExecutor(3) as pool:
        counts = set(pool.map(run, ["a disc", "the red disc", "discs"]))
    assert len(counts) == 1


def test_memory_is_given_back(make_blobs: MakeScene) -> None:
    pixels, transform, crs = read(make_blobs())
    report = segment_array(
        pixels, transform, crs, "a disc", None, OPTIONS, predictor=RedPredictor()
    )
    assert report.scene.startswith("/vsimem/")
    with pytest.raises(rasterio.RasterioIOError):
        rasterio.open(report.scene)


def test_an_interrupted_run_can_be_resumed(make_scene: MakeScene, tmp_path: Path) -> None:
    class Interrupted(RedPredictor):
        def predict(self, images: NDArray[np.uint8], words: Any) -> Any:
            if len(self.batches) == 3:
                raise KeyboardInterrupt
            return super().predict(images, words)

    pixels = np.full((3, 2600, 80), 100, np.uint8)
    pixels[0, ::50, 20:60] = 220
    outputs = Outputs(tmp_path / "o.gpkg")
    options = make_options(overlap_px=16, batch_size=16)
    with pytest.raises(KeyboardInterrupt):
        segment_array(pixels, PLACE, UTM, "a line", outputs, options, predictor=Interrupted())
    report = segment_array(
        pixels,
        PLACE,
        UTM,
        "a line",
        outputs,
        options,
        run=RunOptions(existing="resume"),
        predictor=RedPredictor(),
    )
    assert report.outputs == {"vector": tmp_path / "o.gpkg"}


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((64, 64, 3), np.uint8), r"got an array of \(64, 64, 3\); use np.moveaxis"),
        (np.zeros((64,), np.uint8), r"\[bands, rows, columns\], got an array of \(64,\)"),
        (np.zeros((3, 0, 5), np.uint8), r"got an array of \(3, 0, 5\)"),
        (np.zeros((3, 64, 64), bool), "pixels of type bool cannot be used"),
        (np.zeros((3, 64, 64), np.float16), "pixels of type float16 cannot be used"),
        (np.zeros((3, 64, 64), np.complex64), "pixels of type complex64 cannot be used"),
    ],
    ids=lambda value: "" if isinstance(value, str) else f"{value.dtype}-{value.shape}",
)
def test_arrays_that_are_no_scene(pixels: NDArray[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        segment_array(pixels, PLACE, UTM, "a disc", predictor=RedPredictor())


def test_what_needs_a_file_is_refused(tmp_path: Path) -> None:
    pixels, red = np.zeros((3, 64, 64), np.uint8), RedPredictor()
    with pytest.raises(ConfigError, match="other processes cannot read an array"):
        segment_array(pixels, PLACE, UTM, "a disc", run=RunOptions(workers=2), predictor=red)
    with pytest.raises(ConfigError, match="crs is None"):
        segment_array(pixels, PLACE, None, "a disc", predictor=red)
    with pytest.raises(ConfigError, match='"EPSG:0" is not a CRS'):
        segment_array(pixels, PLACE, "EPSG:0", "a disc", predictor=red)
    outputs = Outputs(tmp_path / "o.gpkg", stac_item=tmp_path / "o.json")
    with pytest.raises(ConfigError, match="stac_item names the file of the scene"):
        segment_array(pixels, PLACE, UTM, "a disc", outputs, predictor=red)


def test_without_a_crs(make_blobs: MakeScene) -> None:
    pixels, _, _ = read(make_blobs())
    options = make_options(overlap_px=16, allow_no_crs=True)
    report = segment_array(
        pixels, Affine.identity(), None, "a disc", None, options, predictor=RedPredictor()
    )
    assert report.area_m2 is None
    assert report.to_geodataframe().crs is None
    left, top, right, bottom = report.to_geodataframe().total_bounds
    assert 0 <= left < right <= 300
    assert 0 <= top < bottom <= 200
