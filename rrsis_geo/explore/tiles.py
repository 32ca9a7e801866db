"""The scene as tiles of a map, in its own pixel grid: nothing is reprojected."""

import io
import math
import threading

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rasterio.windows import Window

from rrsis_geo.geo.scene.radiometry import Stretch
from rrsis_geo.geo.scene.scene import Scene

TILE_PX = 256
"""Distance of tiles."""
OVERLAP_PX = 2
"""Pixels that a tile repeats of the next ones, since browsers leave gaps between tiles that they
scale. It is at least a pixel of the screen: tiles are scaled by 0.7 to 1.4."""
OVERVIEW_PX = 2048
"""Longest side of the picture that coarse tiles are cut from, so that a scene without overviews is
read once for all of them."""


class Tiles:
    """Tiles of a scene in the colours that the model sees.

    At zoom 0 a pixel of a tile is a pixel of the scene; at zoom -1 it is two by two, and so on.

    Attributes:
        min_zoom: at which the scene is about a tile.
        is_slow: whether the first coarse tile reads the whole scene, which has no overviews.
    """

    def __init__(self, scene: Scene, stretch: Stretch) -> None:
        """Nothing is read yet.

        Args:
            scene: the part that is explored. It is used by no other thread.
            stretch: of the whole scene.
        """
        self._scene = scene
        self._stretch = stretch
        self._reading = threading.Lock()
        self._overview: NDArray[np.uint8] | None = None
        longest = max(scene.info.shape)
        self.is_slow = longest > OVERVIEW_PX and not scene.reader.dataset.overviews(1)
        self.min_zoom = -max(math.ceil(math.log2(longest / TILE_PX)), 0)
        self._overview_zoom = -max(math.ceil(math.log2(longest / OVERVIEW_PX)), 0)

    def read(self, zoom: int, col: int, row: int) -> tuple[bytes, str] | None:
        """A tile as a picture, and its media type; None outside the scene.

        Args:
            zoom: from `min_zoom` to 0.
            col: column of the tile.
            row: row of the tile.

        Raises:
            InputError: the scene cannot be read.
        """
        if not self.min_zoom <= zoom <= 0:
            return None
        height, width = self._scene.info.shape
        scale = 2**-zoom
        left, top = col * TILE_PX * scale, row * TILE_PX * scale
        side = (TILE_PX + OVERLAP_PX) * scale
        if not (0 <= left < width and 0 <= top < height):
            return None
        window = Window(left, top, min(side, width - left), min(side, height - top))
        with self._reading:
            rgba = self._read_part(window, zoom)
        return _encode(rgba)

    def _read_part(self, window: Window, zoom: int) -> NDArray[np.uint8]:
        """The pixels of a window at a zoom, uint8 RGBA [h, w, 4]."""
        if zoom >= self._overview_zoom:
            return self._read_window(window, zoom)
        if self._overview is None:
            height, width = self._scene.info.shape
            self._overview = self._read_window(Window(0, 0, width, height), self._overview_zoom)
        scale = 2**self._overview_zoom
        rows = slice(
            int(window.row_off * scale), math.ceil((window.row_off + window.height) * scale)
        )
        cols = slice(
            int(window.col_off * scale), math.ceil((window.col_off + window.width) * scale)
        )
        picture = Image.fromarray(self._overview[rows, cols])
        return np.asarray(picture.resize(_size(window, zoom)[::-1], Image.Resampling.BOX))

    def _read_window(self, window: Window, zoom: int) -> NDArray[np.uint8]:
        info = self._scene.info
        place = Window(
            info.col_off + window.col_off,
            info.row_off + window.row_off,
            window.width,
            window.height,
        )
        pixels, valid = self._scene.reader.read(place, out_shape=_size(window, zoom))
        rgb = self._stretch.apply(pixels, valid)
        return np.dstack([rgb, np.where(valid, 255, 0).astype(np.uint8)])


def _size(window: Window, zoom: int) -> tuple[int, int]:
    """Rows and columns of a window at a zoom."""
    scale = 2.0**zoom
    return max(math.ceil(window.height * scale), 1), max(math.ceil(window.width * scale), 1)


def _encode(rgba: NDArray[np.uint8]) -> tuple[bytes, str]:
    """The picture as a file: PNG if parts are transparent, otherwise JPEG. Padded to a tile."""
    side = TILE_PX + OVERLAP_PX
    padded = np.zeros((side, side, 4), np.uint8)
    padded[: len(rgba), : rgba.shape[1]] = rgba
    file = io.BytesIO()
    if padded[..., 3].all():
        Image.fromarray(padded[..., :3]).save(file, "JPEG", quality=90)
        return file.getvalue(), "image/jpeg"
    Image.fromarray(padded).save(file, "PNG", compress_level=1)
    return file.getvalue(), "image/png"
