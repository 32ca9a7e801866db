import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.windows import Window
from scene_files import damage_block

from rrsis_geo.errors import InputError
from rrsis_geo.geo.scene import radiometry
from rrsis_geo.geo.scene.pixels import spread_windows
from rrsis_geo.geo.scene.radiometry import Stretch, measure_stretch
from rrsis_geo.geo.scene.scene import Area, open_scene

MakeScene = Callable[..., Path]
WHOLE = Window(0, 0, 300, 200)
ALL = np.ones((1, 4), bool)


def measure(path: Path) -> Stretch:
    with open_scene(path) as scene:
        return measure_stretch(scene)


def test_uint8_is_unchanged(make_scene: MakeScene) -> None:
    with open_scene(make_scene(200, 300)) as scene:
        stretch = measure_stretch(scene)
        pixels, valid = scene.read(WHOLE)
        assert stretch.kind == "identity"
        rgb = stretch.apply(pixels, valid)
        assert (rgb == np.moveaxis(pixels, 0, -1)).all()
        assert rgb.flags.c_contiguous
        assert np.abs(rgb.mean(axis=(0, 1)) - stretch.fill).max() <= 0.5


@pytest.mark.parametrize("dtype", ["uint16", "int16", "int32", "float32", "float64"])
def test_other_types_are_stretched_between_percentiles(make_scene: MakeScene, dtype: str) -> None:
    with open_scene(make_scene(200, 300, dtype=dtype, scale=40)) as scene:
        stretch = measure_stretch(scene)
        pixels, valid = scene.read(WHOLE)
        expected = np.percentile(pixels.reshape(3, -1).astype(float), (2, 98), axis=1)
        np.testing.assert_allclose((stretch.lo, stretch.hi), expected)
        rgb = stretch.apply(pixels, valid)
        lo, hi = (np.array(end)[:, None, None] for end in (stretch.lo, stretch.hi))
        exact = np.clip((pixels.astype(float) - lo) / (hi - lo), 0, 1) * 255
        assert np.abs(np.moveaxis(rgb, -1, 0) - exact).max() <= 0.51
        for share in ((rgb == 0).mean(), (rgb == 255).mean()):
            assert 0.01 < share < 0.04


@pytest.mark.parametrize("nodata", [float("nan"), -9999.0, 1e30])
def test_invalid_pixels_are_not_measured(make_scene: MakeScene, nodata: float) -> None:
    invalid = np.zeros((200, 300), bool)
    invalid[:150] = True
    path = make_scene(200, 300, dtype="float32", nodata=nodata, invalid=invalid)
    with open_scene(path) as scene:
        stretch = measure_stretch(scene)
        assert min(stretch.lo) > 0
        assert max(stretch.hi) < 256
        pixels, valid = scene.read(WHOLE)
        rgb = stretch.apply(pixels, valid)
        assert (rgb[:150] == stretch.fill).all()
        assert np.abs(rgb[150:].mean(axis=(0, 1)) - stretch.fill).max() <= 1


def test_single_band_is_repeated(make_scene: MakeScene) -> None:
    with open_scene(make_scene(200, 300, bands=1)) as scene:
        rgb = measure_stretch(scene).apply(*scene.read(WHOLE))
        assert rgb.shape == (200, 300, 3)
        assert (rgb == rgb[..., :1]).all()


def test_colour_indices(make_scene: MakeScene) -> None:
    palette = {0: (10, 20, 30, 255), 1: (200, 0, 0, 255), 2: (0, 99, 0, 255)}
    path = make_scene(
        200, 300, bands=1, palette=palette, content=lambda row, col, band: row // 10 % 3
    )
    with open_scene(path) as scene:
        stretch = measure_stretch(scene)
        rgb = stretch.apply(*scene.read(WHOLE))
        assert rgb[[0, 10, 20], 0].tolist() == [list(palette[k][:3]) for k in range(3)]
        assert scene.thumbnail(20)[0].max() <= 2


def test_min_is_white_is_inverted(tmp_path: Path) -> None:
    path = tmp_path / "fax.tif"
    profile = {"driver": "GTiff", "width": 4, "height": 1, "count": 1, "dtype": "uint8"}
    georeference = {"crs": "EPSG:32632", "transform": rasterio.Affine(1, 0, 0, 0, -1, 9)}
    with rasterio.open(path, "w", **profile, **georeference, photometric="MINISWHITE") as dataset:
        dataset.write(np.array([[[0, 100, 200, 255]]], np.uint8))
    with open_scene(path) as scene:
        rgb = measure_stretch(scene).apply(*scene.read(Window(0, 0, 4, 1)))
        assert rgb[0, :, 0].tolist() == [255, 155, 55, 0]


def test_part_has_the_stretch_of_the_whole_scene(make_scene: MakeScene) -> None:
    with open_scene(make_scene(200, 300, dtype="uint16")) as scene:
        part = scene.crop(Area(Window(0, 0, 20, 20)))
        assert measure_stretch(part) == measure_stretch(scene)


def test_overviews_are_used(make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(radiometry, "_SAMPLE_LOW_PX", 2**12)
    monkeypatch.setattr(radiometry, "_ENOUGH_PX", 2**12)
    path = make_scene(200, 300, dtype="uint16", scale=40, bands=1, overviews=[2, 4, 8])
    plain = make_scene(200, 300, dtype="uint16", scale=40, bands=1)
    levels = []
    plain_open = rasterio.open

    def spy(*args: object, **options: object) -> object:
        levels.append(options.get("overview_level"))
        return plain_open(*args, **options)

    monkeypatch.setattr(rasterio, "open", spy)
    fast, slow = measure(path), measure(plain)
    assert levels == [None, 0, None]  # 100 x 150 is the coarsest with enough pixels
    assert fast.lo == pytest.approx(slow.lo, abs=100)
    assert fast.hi == pytest.approx(slow.hi, abs=100)


def test_scene_with_few_valid_pixels(
    make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spread_small_windows(height: int, width: int, *, n: int, size_px: int) -> list[Window]:
        return spread_windows(height, width, n=n, size_px=2)

    monkeypatch.setattr(radiometry, "spread_windows", spread_small_windows)
    invalid = np.ones((200, 300), bool)
    invalid[150:152, 61:64] = False
    path = make_scene(
        200, 300, bands=1, dtype="uint16", nodata=0, invalid=invalid,
        content=lambda row, col, band: 500 + col,
    )  # fmt: skip
    stretch = measure(path)
    assert 561 <= stretch.lo[0] < 562
    assert 562 < stretch.hi[0] <= 563


def test_constant_scene_and_scene_without_valid_pixels(
    make_scene: MakeScene, caplog: pytest.LogCaptureFixture
) -> None:
    flat = make_scene(50, 50, dtype="uint16", content=lambda row, col, band: 77 + 0 * row)
    with open_scene(flat) as scene:
        rgb = measure_stretch(scene).apply(*scene.read(Window(0, 0, 50, 50)))
        assert (rgb == 0).all()
    assert not caplog.records
    empty = make_scene(50, 50, dtype="float32", nodata=0, invalid=np.ones((50, 50), bool))
    with open_scene(empty) as scene:
        stretch = measure_stretch(scene)
        assert (stretch.apply(*scene.read(Window(0, 0, 50, 50))) == stretch.fill).all()
    assert "no valid pixels" in caplog.text


STRETCHES = [
    Stretch("identity", fill=(1, 2, 3)),
    Stretch("linear", lo=(0.5, 1, 2), hi=(9.25, 8, 7), fill=(4, 5, 6)),
    Stretch("palette", palette=((1, 2, 3), (4, 5, 6))),
]


@pytest.mark.parametrize("stretch", STRETCHES, ids=lambda stretch: stretch.kind)
def test_json_round_trip(stretch: Stretch) -> None:
    assert Stretch.from_dict(json.loads(json.dumps(stretch.to_dict()))) == stretch


@given(st.lists(st.integers(0, 2**16 - 1), min_size=4, max_size=4), st.data())
def test_linear_stretch_is_monotonic(values: list[int], data: st.DataObject) -> None:
    lo = data.draw(st.integers(0, 2**16 - 2))
    hi = data.draw(st.integers(lo + 1, 2**16 - 1))
    stretch = Stretch("linear", lo=(lo,), hi=(hi,))
    for dtype in ("uint16", "float32", "int32"):
        pixels = np.array(values).astype(dtype)[None, None]
        levels = stretch.apply(pixels, ALL)[0, :, 0]
        assert (np.diff(levels[np.argsort(values, kind="stable")].astype(int)) >= 0).all()
        assert (levels[np.array(values) <= lo] == 0).all()
        assert (levels[np.array(values) >= hi] == 255).all()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_every_value_of_a_small_type_is_stretched(dtype: str) -> None:
    limits = np.iinfo(dtype)
    values = np.arange(limits.min, limits.max + 1, dtype=dtype)[None, None]
    stretch = Stretch("linear", lo=(-40.0,), hi=(100.0,))
    expected = np.rint(255 * np.clip((values[0].astype(float) + 40) / 140, 0, 1))
    levels = stretch.apply(values, np.ones(values.shape[1:], bool))
    np.testing.assert_array_equal(levels, expected[..., None].repeat(3, axis=2))
    assert {0, 255} & set(levels.ravel().tolist())


def test_invalid_extreme_values_raise_no_warning() -> None:
    stretch = Stretch("linear", lo=(0.0,), hi=(1.0,), fill=(9, 9, 9))
    pixels = np.array([[[np.nan, np.inf, -np.inf, 0.5]]], np.float32)
    valid = np.array([[False, False, False, True]])
    with np.errstate(all="raise"):
        assert stretch.apply(pixels, valid)[0, :, 0].tolist() == [9, 9, 9, 128]


@pytest.mark.parametrize("overviews", [None, [2]])
def test_damaged_blocks_are_left_out_of_the_sample(
    make_scene: MakeScene,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    overviews: list[int] | None,
) -> None:
    monkeypatch.setattr(radiometry, "_SAMPLE_LOW_PX", 2**12)
    path = make_scene(512, 512, dtype="uint16", scale=40, overviews=overviews)
    expected = measure(path)
    damage_block(path, 2, 3)
    assert np.abs(np.subtract(measure(path).lo, expected.lo)).max() < 200
    if overviews is None:
        assert "the colours of the scene are measured without parts that cannot be read" in (
            caplog.text
        )
        assert "rows 128 to 256 cannot be read" in caplog.text


def test_damaged_overview_is_not_sampled(
    make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(radiometry, "_SAMPLE_LOW_PX", 2**12)
    plain, path = (
        make_scene(512, 512, dtype="uint16", scale=40, overviews=levels) for levels in (None, [2])
    )
    content = bytearray(path.read_bytes())
    with rasterio.open(path, overview_level=0) as dataset:
        start = int(dataset.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", bidx=1))
        size = int(dataset.get_tag_item("BLOCK_SIZE_1_1", "TIFF", bidx=1))
    content[start + 10 : start + size] = bytes(size - 10)
    path.write_bytes(content)
    assert measure(path) == measure(plain)
    assert "overview 0" in caplog.text


def test_scene_without_a_readable_block(make_scene: MakeScene) -> None:
    path = make_scene(128, 128, dtype="uint16")
    for row in range(2):
        for col in range(2):
            damage_block(path, row, col)
    with pytest.raises(InputError, match="cannot be read"):
        measure(path)


@pytest.mark.parametrize(
    ("value", "nodata", "option"),
    [
        (-9999.0, None, "--nodata -9999.0"),
        (np.finfo("float32").min, None, "--nodata -3.4028235e+38"),
        (np.finfo("float32").min, -3.4e38, "--nodata -3.4028235e+38"),
        (1e30, None, "--nodata 1e+30"),
    ],
)
def test_untold_nodata_is_suspected(
    make_scene: MakeScene,
    caplog: pytest.LogCaptureFixture,
    value: float,
    nodata: float | None,
    option: str,
) -> None:
    path = make_scene(200, 300, dtype="float32", nodata=nodata)
    with rasterio.open(path, "r+") as dataset:
        pixels = dataset.read()
        pixels[:, :, :100] = value
        dataset.write(pixels)
    with open_scene(path) as scene:
        measure_stretch(scene)
    assert option in caplog.text
    caplog.clear()
    with open_scene(path, nodata=float(option.split()[1])) as scene:
        assert max(map(abs, measure_stretch(scene).lo)) < 300
    assert not caplog.records


def test_dark_and_bright_pixels_are_not_suspected(
    make_scene: MakeScene, caplog: pytest.LogCaptureFixture
) -> None:
    def clouds_and_water(row: np.ndarray, col: np.ndarray, band: int) -> np.ndarray:
        return np.select([col < 30, col > 270], [1, 255], 20 + (7 * row + 3 * col) % 160)

    measure(make_scene(200, 300, dtype="uint16", scale=16, content=clouds_and_water))
    measure(
        make_scene(
            200, 300, dtype="uint16", content=lambda row, col, band: 1 + col // 150 + row * 0
        )
    )
    assert not caplog.records


def black_border(row: np.ndarray, col: np.ndarray, band: int) -> np.ndarray:
    return np.where(col < 69, 0, 100 + band + (row + col) % 7)


@pytest.mark.parametrize(("bands", "zeros"), [(3, "0,0,0"), (1, "0")])
def test_black_border_without_nodata(
    make_scene: MakeScene, caplog: pytest.LogCaptureFixture, bands: int, zeros: str
) -> None:
    path = make_scene(200, 300, content=black_border, bands=bands)
    measure(path)
    (record,) = caplog.records
    assert record.getMessage().startswith(
        f"{path}: 23 % of the pixels are exactly {zeros} and no nodata is declared"
    )
    assert record.getMessage().endswith("give --nodata 0")


def test_black_that_is_declared_or_rare(
    make_scene: MakeScene, caplog: pytest.LogCaptureFixture
) -> None:
    measure(make_scene(200, 300, content=black_border, nodata=0))
    measure(make_scene(200, 300, content=lambda row, col, band: np.where(col < 9, 0, 90 + band)))
    assert not caplog.records
