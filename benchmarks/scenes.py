"""Generated scenes of any size, what the stub ought to find in them, and how right a mask is.

A scene is cut out of ground that goes on beyond it, so what is right is known at its border too:
what a network would say there that saw all around. Nobody can know it all; a program that feeds its
network zeros there, or mirrored pixels, guesses.

Every scene holds some pixels of 1 and of 255 in its last band everywhere, so that programs which
stretch each window by itself leave it as it is.
"""

from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import rasterio
import torch
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window
from stub import LIMIT, RADIUS_PX, box_sums

Pattern = Literal["small", "huge", "speckle", "nodata"]
PATTERNS: tuple[Pattern, ...] = get_args(Pattern)
"""Many small objects; few huge ones; noise about the limit; small ones in a swath, 60 % empty."""

BLOCK_PX = 512
PERIOD_PX = 64
"""One small object in a square of this side."""
FRAME_PX = 32
"""What is called the border: as far from the scene's edge, or from pixels without data."""
CACHE_MB = 256
GSD_M = 0.3
PROFILE: dict[str, Any] = {
    "driver": "GTiff",
    "tiled": True,
    "blockxsize": BLOCK_PX,
    "blockysize": BLOCK_PX,
    "compress": "deflate",
    "zlevel": 1,
    "bigtiff": "if_safer",
}
_NO_DATA = 255


class Wrong(NamedTuple):
    """Pixels of a mask that are not what they ought to be.

    Attributes:
        border: of those within 32 pixels of the scene's edge or of pixels without data.
        border_px: how many these are.
        inside: of all others that hold data.
        inside_px: how many these are.
        outside: target where there is no data.
    """

    border: int
    border_px: int
    inside: int
    inside_px: int
    outside: int


def make_scene(path: Path, pattern: Pattern, height: int, width: int) -> None:
    """Write a scene, and beside it the right mask (see `truth_path`), band of rows by band."""
    shape = {"height": height, "width": width, "dtype": "uint8", "crs": "EPSG:32632"}
    place = {"transform": Affine(GSD_M, 0, 5e5, 0, -GSD_M, 5.2e6)}
    nodata = {"nodata": 0} if pattern == "nodata" else {}
    colours = {"count": 3, "photometric": "rgb", "interleave": "pixel", **nodata}
    with (
        rasterio.Env(GDAL_CACHEMAX=CACHE_MB),
        rasterio.open(path, "w", **PROFILE, **shape, **place, **colours) as scene,
        rasterio.open(
            truth_path(path), "w", **PROFILE, **shape, **place, count=1, nodata=_NO_DATA
        ) as truth,
    ):
        above, here = (_ground(pattern, k, width) for k in (-1, 0))
        for k, top in enumerate(range(0, height, BLOCK_PX)):
            below = _ground(pattern, k + 1, width)
            n_rows = min(BLOCK_PX, height - top)
            around = np.concatenate([above[-RADIUS_PX:], here, below[:RADIUS_PX]])
            target = _right(around)[:n_rows]
            red = here[:n_rows, RADIUS_PX:-RADIUS_PX]
            rgb = np.stack([red, red // 2 + 20, _last_band(red, k)])
            if pattern == "nodata":
                empty = ~_swath(np.arange(top, top + n_rows), height, width)
                rgb[:, empty] = 0
                target[empty] = _NO_DATA
            window = Window(0, top, width, n_rows)
            scene.write(rgb, window=window)
            truth.write(target, 1, window=window)
            above, here = here, below


def truth_path(scene: Path) -> Path:
    """Where the right mask of a scene lies: 1 target, 0 not, 255 no data."""
    return scene.with_name(scene.stem + "-truth.tif")


def count_wrong(scene: Path, mask: Path) -> Wrong:
    """Compare a mask with the right one; in the mask all but 1 to 254 is "no target".

    Raises:
        ValueError: they differ in size.
    """
    counts = np.zeros(5, np.int64)
    with (
        rasterio.Env(GDAL_CACHEMAX=CACHE_MB),
        rasterio.open(truth_path(scene)) as truth,
        rasterio.open(mask) as found,
    ):
        if truth.shape != found.shape:
            raise ValueError(f"{mask} has {found.shape} pixels, the scene {truth.shape}")
        height, width = truth.shape
        for top in range(0, height, 2 * BLOCK_PX):
            stop = min(top + 2 * BLOCK_PX, height)
            values = found.read(1, window=Window(0, top, width, stop - top))
            first, last = max(top - FRAME_PX, 0), min(stop + FRAME_PX, height)
            right = truth.read(1, window=Window(0, first, width, last - first))
            beyond = FRAME_PX - (top - first), FRAME_PX - (last - stop)
            right = np.pad(right, (beyond, (FRAME_PX, FRAME_PX)), constant_values=_NO_DATA)
            counts += _count((values > 0) & (values != _NO_DATA), right)
    return Wrong(*counts.tolist())


def _count(said: NDArray[np.bool_], right: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The numbers of `Wrong`: bool [n, W], and uint8 with a frame around it."""
    core = right[FRAME_PX:-FRAME_PX, FRAME_PX:-FRAME_PX]
    empty = torch.from_numpy(right == _NO_DATA)
    is_near = box_sums(empty.float(), FRAME_PX).numpy() > 0
    valid = core != _NO_DATA
    wrong = (said != (core == 1)) & valid
    masks = (wrong & is_near, valid & is_near, wrong & ~is_near, valid & ~is_near, said & ~valid)
    return np.array([np.count_nonzero(mask) for mask in masks])


def _right(around: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What the stub says that sees all around: [n + 2 r, w + 2 r] -> 0 or 1, [n, w]."""
    sums = box_sums(torch.from_numpy(around.astype(np.float32)), RADIUS_PX)
    mask: NDArray[np.uint8] = (sums > LIMIT * (2 * RADIUS_PX + 1) ** 2).numpy().astype(np.uint8)
    return mask


def _ground(pattern: Pattern, band: int, width: int) -> NDArray[np.uint8]:
    """First band of the ground, also beyond the scene: uint8 [512, width + 2 r]."""
    rng = np.random.default_rng([7, band + 1])
    row = np.arange(band * BLOCK_PX, (band + 1) * BLOCK_PX)
    col = np.arange(-RADIUS_PX, width + RADIUS_PX)
    shape = len(row), len(col)
    if pattern == "speckle":
        return rng.integers(32, 256, shape, dtype=np.uint8)
    bright = _blobs(row, col) if pattern == "huge" else _discs(row, col)
    return np.where(bright, np.uint8(220), rng.integers(60, 92, shape, dtype=np.uint8))


def _last_band(red: NDArray[np.uint8], band: int) -> NDArray[np.uint8]:
    """The third band, uint8 of the same shape, with its few pixels of 1 and 255."""
    blue = red // 4 + 10
    rng = np.random.default_rng([8, band])
    n = red.size // 2048
    for value in (1, 255):
        blue[rng.integers(0, red.shape[0], n), rng.integers(0, red.shape[1], n)] = value
    return blue


def _discs(row: NDArray[np.int64], col: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Discs of 8 to 22 pixels, at places that differ from cell to cell; bool [n, w]."""
    inside = np.empty((len(row), len(col)), np.bool_)
    j = col // PERIOD_PX
    for i in np.unique(row // PERIOD_PX):
        mixed = (i * 7919 + j * 104729) % 1009
        y = i * PERIOD_PX + 16 + mixed % 32
        x = j * PERIOD_PX + 16 + mixed * 31 % 32
        radius = 8 + mixed % 15
        most = (radius**2 - (col - x) ** 2).astype(np.int32)
        rows = row // PERIOD_PX == i
        inside[rows] = (row[rows, None] - y).astype(np.int32) ** 2 < most
    return inside


def _blobs(row: NDArray[np.int64], col: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Shapes thousands of pixels wide with winding outlines; bool [n, w]."""
    height = 1.5 * np.outer(np.sin(row / 900), np.sin(col / 1100))
    height += 0.5 * np.outer(np.sin(row / 230 + 1), np.sin(col / 310 + 2))
    height += 0.1 * np.outer(np.sin(row / 37 + 3), np.sin(col / 41 + 4))
    return height > 0.5


def _swath(row: NDArray[np.int64], height: int, width: int) -> NDArray[np.bool_]:
    """A slanting strip over two fifths of the scene; bool [n, width]."""
    col = np.arange(width)[None, :]
    middle = width * (0.3 + 0.4 * row[:, None] / height)
    return np.abs(col - middle) < 0.2 * width
