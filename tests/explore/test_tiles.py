"""Tiles show the pixels of the scene in the colours that the model sees."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from rasterio.windows import Window

from rrsis_geo.explore import tiles as module
from rrsis_geo.explore.tiles import Tiles
from rrsis_geo.geo.scene.options import SceneOptions, open_part
from rrsis_geo.geo.scene.radiometry import measure_stretch


def pixels_of(tile: tuple[bytes, str] | None) -> NDArray[np.uint8]:
    assert tile is not None
    picture, media_type = tile
    image = Image.open(io.BytesIO(picture))
    assert image.get_format_mimetype() == media_type
    return np.asarray(image.convert("RGBA"))


def test_a_tile_is_exact_where_it_has_transparent_parts(make_scene: Callable[..., Path]) -> None:
    """JPEG, for whole tiles, changes colours a little."""
    path = make_scene(300, 400, dtype="uint16", scale=40.0)
    with open_part(path, SceneOptions()) as (whole, part):
        stretch = measure_stretch(whole)
        tiles = Tiles(part, stretch)
        tile = pixels_of(tiles.read(0, 1, 1))
        pixels, valid = part.read(Window(256, 256, 144, 44))
        assert np.array_equal(tile[:44, :144, :3], stretch.apply(pixels, valid))
        assert (tile[:44, :144, 3] == 255).all()
        assert not tile[44:].any()
        assert not tile[:, 144:].any()
        first = pixels_of(tiles.read(0, 0, 0))[..., :3].astype(int)
        pixels, valid = part.read(Window(0, 0, 258, 258))
        assert np.abs(first - stretch.apply(pixels, valid)).mean() < 4


def test_pixels_without_data_are_transparent(make_scene: Callable[..., Path]) -> None:
    invalid = np.zeros((300, 400), bool)
    invalid[:100, :50] = True
    path = make_scene(300, 400, nodata=0, invalid=invalid)
    with open_part(path, SceneOptions()) as (whole, part):
        tile = pixels_of(Tiles(part, measure_stretch(whole)).read(0, 0, 0))
    assert not tile[:100, :50, 3].any()
    assert (tile[100:, :, 3] == 255).all()


def test_coarse_tiles_are_means(make_scene: Callable[..., Path]) -> None:
    path = make_scene(300, 401, content=lambda row, col, band: 10 * band + row // 4 % 2 * 100)
    with open_part(path, SceneOptions()) as (whole, part):
        tiles = Tiles(part, measure_stretch(whole))
        assert tiles.min_zoom == -1
        tile = pixels_of(tiles.read(-1, 0, 0))
        assert (tile[:150, :201, 3] == 255).all()
        assert not tile[150:].any()
        assert not tile[:, 201:].any()
        assert tile[0, 0].tolist() == [10, 20, 30, 255]
        assert tile[2, 0].tolist() == [110, 120, 130, 255]
        assert tiles.read(-2, 0, 0) is None
        assert tiles.read(1, 0, 0) is None


def test_tiles_overlap(make_scene: Callable[..., Path]) -> None:
    with open_part(make_scene(700, 1100), SceneOptions()) as (whole, part):
        tiles = Tiles(part, measure_stretch(whole))
        left, right = (pixels_of(tiles.read(-1, col, 1))[:94] for col in (0, 1))
        assert np.abs(left[:, 256:, :3].astype(int) - right[:, :2, :3]).max() < 8  # JPEG and PNG
        assert (left[:, 256:, 3] == 255).all()


def test_the_coarsest_tiles_are_cut_from_one_picture(
    make_scene: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same colours, in the same places, as tiles that are read one by one."""
    path = make_scene(700, 1100)
    with open_part(path, SceneOptions()) as (whole, part):
        stretch = measure_stretch(whole)
        own = [pixels_of(Tiles(part, stretch).read(-2, col, 0)) for col in (0, 1)]
        monkeypatch.setattr(module, "OVERVIEW_PX", 600)
        tiles = Tiles(part, stretch)
        cut = [pixels_of(tiles.read(-2, col, 0)) for col in (0, 1)]
    for one, other in zip(own, cut, strict=True):
        assert np.array_equal(one[..., 3], other[..., 3])
        inside = one[..., 3] > 0
        difference = np.abs(one.astype(int) - other)[inside]
        assert difference.mean() < 3


def test_a_part_of_a_scene_has_its_own_pixels(make_scene: Callable[..., Path]) -> None:
    path = make_scene(300, 400)
    options = SceneOptions(bbox=(500_050, 5_199_900, 500_150, 5_199_980))  # 200 x 160 pixels
    with open_part(path, options) as (whole, part):
        tile = pixels_of(Tiles(part, measure_stretch(whole)).read(0, 0, 0))
        pixels, _ = whole.read(Window(100, 40, 200, 160))
    assert np.array_equal(tile[:160, :200, :3], pixels.transpose(1, 2, 0))
    assert not tile[160:].any()
