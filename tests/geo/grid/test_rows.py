from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.windows import Window

from rrsis_geo.geo.grid import rows as rows_module
from rrsis_geo.geo.grid import source_rows
from rrsis_geo.geo.grid.model_grid import ModelGrid, model_grid
from rrsis_geo.geo.grid.resample import make_taps, resample_cols, resample_rows
from rrsis_geo.geo.grid.rows import WindowRow, read_window_rows
from rrsis_geo.geo.grid.source_rows import ValidRows
from rrsis_geo.geo.grid.windows import WindowGrid
from rrsis_geo.geo.scene.radiometry import Stretch, measure_stretch
from rrsis_geo.geo.scene.scene import Area, Scene, open_scene

MakeScene = Callable[..., Path]
IDENTITY = Stretch("identity", fill=(90, 100, 110))
FUNCTION_SCOPED = HealthCheck.function_scoped_fixture


def grid_of(model: ModelGrid, size: int = 32, overlap: int = 10) -> WindowGrid:
    return WindowGrid(model.height, model.width, size, overlap)


def read_whole(scene: Scene, stretch: Stretch = IDENTITY) -> tuple[np.ndarray, np.ndarray]:
    info = scene.info
    pixels, valid = scene.read(Window(0, 0, info.width, info.height))
    inside = scene.area_mask(Window(0, 0, info.width, info.height))
    return stretch.apply(pixels, valid), valid & inside


def read_all(
    scene: Scene,
    grid: WindowGrid,
    model: ModelGrid | None = None,
    span: tuple[int, int] | None = None,
) -> list[WindowRow]:
    start, stop = span or (0, grid.n_rows)
    rows = list(read_window_rows(scene, IDENTITY, grid, start, stop, model=model))
    assert [row.row_i for row in rows] == list(range(start, stop))
    for row in rows:
        assert row.rgb.shape == (grid.size_px, grid.padded_width, 3)
        assert row.valid.shape == row.rgb.shape[:2]
    return rows


def pad(values: np.ndarray, grid: WindowGrid, mode: str) -> np.ndarray:
    margin = grid.margin_px
    pads = [
        (margin, grid.padded_height - margin - grid.height),
        (margin, grid.padded_width - margin - grid.width),
    ]
    return np.pad(values, pads + [(0, 0)] * (values.ndim - 2), mode=mode)  # type: ignore[call-overload]


@given(
    st.integers(1, 90), st.integers(1, 90), st.integers(8, 40), st.data(),
)  # fmt: skip
@settings(max_examples=40, suppress_health_check=[FUNCTION_SCOPED])
def test_windows_of_the_mirror_padded_scene(
    make_scene: MakeScene, height: int, width: int, size: int, data: st.DataObject
) -> None:
    overlap = 2 * data.draw(st.integers(1, size // 4))
    blocks = data.draw(st.sampled_from([16, None]))
    with open_scene(make_scene(height, width, blocks=blocks)) as scene:
        grid = WindowGrid(height, width, size, overlap)
        start = data.draw(st.integers(0, grid.n_rows - 1))
        rgb = pad(read_whole(scene)[0], grid, "reflect")
        valid = pad(np.ones((height, width), bool), grid, "constant")
        for row in read_all(scene, grid, span=(start, grid.n_rows)):
            place = slice(*grid.rows_of(row.row_i))
            assert (row.rgb == rgb[place]).all()
            assert (row.valid == valid[place]).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 70), (70, 1), (33, 31), (20, 90)])
def test_odd_shapes(make_scene: MakeScene, shape: tuple[int, int]) -> None:
    with open_scene(make_scene(*shape)) as scene:
        for gsd_m in (None, 0.2, 1.3):
            model = model_grid(scene.info, gsd_m)
            rows = read_all(scene, grid_of(model), model)
            valid_rows = ValidRows(shape[1])
            for row in rows:
                valid_rows.extend(row.source_valid)
            assert valid_rows.take(0, shape[0]).all()
            assert sum(row.valid[5:-5].sum() for row in rows) <= model.height * model.width


def model_image(scene: Scene, model: ModelGrid) -> tuple[np.ndarray, np.ndarray]:
    """The scene resampled to the model grid in one piece."""
    rgb, valid = read_whole(scene)
    taps = [
        make_taps(n_in, n_out, 0, n_out, "cubic")
        for n_in, n_out in ((model.scene_height, model.height), (model.scene_width, model.width))
    ]
    resampled = resample_cols(resample_rows(rgb, 0, taps[0]), 0, taps[1])
    for axis, tap in enumerate(taps):
        coarser = len(tap.index) < valid.shape[axis]
        index = tap.index if coarser else tap.nearest[:, None]
        valid = np.take(valid, index, axis=axis).any(axis=axis + 1)
    return np.clip(np.rint(resampled), 0, 255).astype(np.uint8), valid


@pytest.mark.parametrize("gsd_m", [0.13, 0.21, 0.49, 0.51, 1.0, 1.7, 20.0])
def test_resampling_does_not_depend_on_pieces(
    make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch, gsd_m: float
) -> None:
    invalid = np.zeros((140, 90), bool)
    invalid[30:75, 20:50] = True
    with open_scene(make_scene(140, 90, nodata=0, invalid=invalid)) as scene:
        model = model_grid(scene.info, gsd_m)
        grid = grid_of(model)
        rgb, valid = model_image(scene, model)
        rgb, valid = pad(rgb, grid, "reflect"), pad(valid, grid, "constant")
        for piece_bytes in (2**25, 20_000, 1):
            for module in (rows_module, source_rows):
                monkeypatch.setattr(module, "PIECE_BYTES", piece_bytes)
            for start in {0, grid.n_rows // 2, grid.n_rows - 1}:
                for row in read_all(scene, grid, model, (start, grid.n_rows)):
                    place = slice(*grid.rows_of(row.row_i))
                    assert (row.rgb == rgb[place]).all()
                    assert (row.valid == valid[place]).all()


def test_valid_pixels_are_in_valid_model_pixels(make_scene: MakeScene) -> None:
    invalid = np.random.default_rng(0).random((61, 83)) < 0.97
    with open_scene(make_scene(61, 83, nodata=0, invalid=invalid)) as scene:
        for gsd_m in (0.2, 0.6, 3.1):
            model = model_grid(scene.info, gsd_m)
            _, valid = model_image(scene, model)
            row, col = np.nonzero(~invalid)
            centre_row = ((row + 0.5) * model.scale_row).astype(int)
            centre_col = ((col + 0.5) * model.scale_col).astype(int)
            assert valid[centre_row, centre_col].all()


def test_model_grid_has_square_pixels_on_the_ground(make_scene: MakeScene) -> None:
    with open_scene(make_scene(200, 300, crs="EPSG:4326")) as scene:
        model = model_grid(scene.info, 1.0)
        assert model.height == round(200 * 1.1118)
        assert model.width == pytest.approx(300 * 0.7591, abs=1)
        assert model.gsd_m == 1.0
        own = model_grid(scene.info)
        assert own.is_scene
        assert own.gsd_m == scene.info.gsd_m


def test_upsampling_limit(make_scene: MakeScene, caplog: pytest.LogCaptureFixture) -> None:
    with open_scene(make_scene(20, 30)) as scene:
        model = model_grid(scene.info, 0.01)
        assert (model.height, model.width) == (80, 120)
        assert model.gsd_m == pytest.approx(0.5002 / 4, rel=1e-4)
    assert "upsampled only 4 times" in caplog.text


def test_model_grid_of_unknown_ground_pixel_size(make_scene: MakeScene) -> None:
    with open_scene(make_scene(20, 30, crs=None), allow_no_crs=True) as scene:
        assert model_grid(scene.info, 0.3).is_scene


@pytest.mark.parametrize("gsd_m", [None, 0.3, 1.1])
def test_part_is_surrounded_by_pixels_of_the_scene(
    make_scene: MakeScene, gsd_m: float | None
) -> None:
    """Windows of a part equal those of the scene where the grids agree."""
    with open_scene(make_scene(200, 220)) as scene:
        part = scene.crop(Area(Window(60, 50, 100, 110)))
        whole = model_grid(scene.info, gsd_m)
        model = model_grid(part.info, gsd_m)
        grid = grid_of(model)
        scale = model.scale_row
        first = read_all(part, grid, model)[0]
        assert not first.valid[: grid.margin_px].any()
        assert first.valid[grid.margin_px :, grid.margin_px : grid.margin_px + 5].all()
        rgb, _ = model_image(scene, whole)
        top, left = round(50 * scale) - grid.margin_px, round(60 * scale) - grid.margin_px
        expected = rgb[top : top + 32, left : left + 60].astype(int)
        off = np.abs(first.rgb[:, :60].astype(int) - expected)
        assert off.max() <= (0 if gsd_m is None else 40)  # grids may be half a pixel apart
        assert off.mean() <= (0 if gsd_m is None else 8)


def test_part_at_the_edge_is_mirrored(make_scene: MakeScene) -> None:
    with open_scene(make_scene(100, 100)) as scene:
        part = scene.crop(Area(Window(60, 0, 40, 30)))
        grid = WindowGrid(30, 40, 32, 10)
        rgb, _ = read_whole(scene)
        mirrored = np.pad(rgb, ((5, 0), (0, 60), (0, 0)), mode="reflect")
        expected = mirrored[: grid.padded_height, 55 : 55 + grid.padded_width]
        rows = read_all(part, grid)
        assert (rows[0].rgb == expected[:32]).all()
        assert (rows[1].rgb == expected[22:54]).all()


def test_area_of_interest_does_not_change_the_windows(make_scene: MakeScene) -> None:
    with open_scene(make_scene(100, 100)) as scene:
        polygon = shapely.Polygon([(20, 20), (80, 20), (20, 80)])
        part = scene.crop(Area(Window(20, 20, 60, 60), polygon))
        grid = WindowGrid(60, 60, 32, 10)
        plain = scene.crop(Area(Window(20, 20, 60, 60)))
        valid_rows = ValidRows(60)
        for row, without in zip(read_all(part, grid), read_all(plain, grid), strict=True):
            assert (row.rgb == without.rgb).all()
            valid_rows.extend(row.source_valid)
        assert row.valid_cols() == [0, 1]
        assert (valid_rows.take(0, 60) == part.area_mask(Window(0, 0, 60, 60))).all()


def test_invalid_pixels_are_filled_and_their_windows_skipped(make_scene: MakeScene) -> None:
    invalid = np.zeros((100, 150), bool)
    invalid[:, 60:] = True
    with open_scene(make_scene(100, 150, alpha=True, invalid=invalid)) as scene:
        grid = WindowGrid(100, 150, 32, 10)
        for row in read_all(scene, grid):
            assert row.valid_cols() == [0, 1, 2]
            assert (row.rgb[:, 65:] == IDENTITY.fill).all()
            assert (row.image(1) == row.rgb[:, 22:54]).all()


@pytest.mark.parametrize("gsd_m", [None, 0.31, 0.9])
@pytest.mark.parametrize("cache_mb", [256, 0])
def test_each_row_of_the_file_is_read_once(
    make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch, gsd_m: float | None, cache_mb: int
) -> None:
    monkeypatch.setattr(source_rows, "CACHE_MB", cache_mb)
    invalid = np.random.default_rng(1).random((300, 70)) < 0.5
    with open_scene(make_scene(300, 70, nodata=0, invalid=invalid)) as scene:
        n_read = np.zeros(300, int)
        plain = scene.reader.read

        def spy(window: Window) -> tuple[np.ndarray, np.ndarray]:
            n_read[int(window.row_off) : int(window.row_off + window.height)] += 1
            if cache_mb == 0:
                assert window.row_off % 64 == 0  # whole rows of blocks
            return plain(window)

        monkeypatch.setattr(scene.reader, "read", spy)
        model = model_grid(scene.info, gsd_m)
        valid_rows = ValidRows(70)
        for row in read_window_rows(scene, IDENTITY, grid_of(model), model=model):
            valid_rows.extend(row.source_valid)
        assert (n_read == 1).all()
        assert (valid_rows.take(0, 300) == ~invalid).all()


@pytest.mark.parametrize("blocks", [32, None])
def test_large_rows_are_read_in_pieces(
    make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch, blocks: int | None
) -> None:
    monkeypatch.setattr(source_rows, "PIECE_BYTES", 20_000)
    path = make_scene(100, 200, dtype="uint16", scale=100, blocks=blocks)
    with open_scene(path) as scene:
        stretch = measure_stretch(scene)
        grid = WindowGrid(100, 200, 64, 16)
        sizes = []
        plain = scene.reader.read

        def spy(window: Window) -> tuple[np.ndarray, np.ndarray]:
            sizes.append(window.height * window.width * 6)
            return plain(window)

        expected = pad(read_whole(scene, stretch)[0], grid, "reflect")
        monkeypatch.setattr(scene.reader, "read", spy)
        for row in read_window_rows(scene, stretch, grid):
            assert (row.rgb == expected[slice(*grid.rows_of(row.row_i))]).all()
        assert max(sizes) <= 20_000


def test_valid_rows() -> None:
    valid = np.random.default_rng(0).random((50, 13)) < 0.5
    rows = ValidRows(13)
    for start in range(0, 50, 7):
        rows.push(start, valid[start : start + 7])
    assert (rows.take(3, 10) == valid[3:10]).all()
    assert rows.take(10, 10).shape == (0, 13)
    assert (rows.take(10, 36) == valid[10:36]).all()
    with pytest.raises(ValueError, match="rows 35 to 37 are not all stored"):
        rows.take(35, 37)
    assert (rows.take(36, 50) == valid[36:]).all()
    with pytest.raises(ValueError, match="not all stored"):
        rows.take(50, 51)


def test_window_grid_must_fit_the_model_grid(make_scene: MakeScene) -> None:
    with open_scene(make_scene(20, 30)) as scene:
        rows: Iterator[WindowRow] = read_window_rows(scene, IDENTITY, WindowGrid(30, 20))
        with pytest.raises(ValueError, match="does not fit the model grid"):
            next(rows)
