"""Generate scenes of any size with their true masks, and count the errors of a mask.

A scene is a part of larger generated ground, so the correct mask is known at its border too: the
answer of a network that sees the ground beyond the scene. Programs cannot see that ground; they pad
with zeros or mirrored pixels.

The last band has some pixels of 1 and 255 everywhere, so that programs that stretch each window by
itself do not change it.
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
"""Many small objects; a few huge ones; noise around the limit; small objects, 60% without data."""

BLOCK_PX = 512
PERIOD_PX = 64
"""Side of the square that contains one small object."""
BORDER_PX = 32
"""Pixels closer than this to the edge of the scene or to missing data form the border."""
CACHE_MB = 128
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


class MaskErrors(NamedTuple):
    """Counts of wrong pixels of a mask.

    Attributes:
        border: wrong pixels in the border.
        border_px: pixels in the border.
        inside: wrong pixels elsewhere on data.
        inside_px: pixels elsewhere on data.
        outside: target pixels where the scene has no data.
    """

    border: int
    border_px: int
    inside: int
    inside_px: int
    outside: int


def make_scene(path: Path, pattern: Pattern, height: int, width: int) -> None:
    """Write a scene, and its true mask next to it (see `truth_path`), by strips of rows."""
    shape = {"height": height, "width": width, "dtype": "uint8", "crs": "EPSG:32632"}
    place = {"transform": Affine(GSD_M, 0, 5e5, 0, -GSD_M, 5.2e6)}
    nodata = {"nodata": 0} if pattern == "nodata" else {}
    colours = {"count": 3, "photometric": "rgb", "interleave": "pixel", **nodata}
    with (
        rasterio.Env(GDAL_CACHEMAX=CACHE_MB * 2**20),
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
            target = _true_mask(around)[:n_rows]
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
    """The file of a scene's true mask: 1 target, 0 background, 255 no data."""
    return scene.with_name(scene.stem + "-truth.tif")


def count_errors(scene: Path, mask: Path) -> MaskErrors:
    """Compare a mask with the true one. Values 1 to 254 of the mask are target.

    Raises:
        ValueError: the sizes differ.
    """
    counts = np.zeros(5, np.int64)
    with (
        rasterio.Env(GDAL_CACHEMAX=CACHE_MB * 2**20),
        rasterio.open(truth_path(scene)) as truth,
        rasterio.open(mask) as predicted,
    ):
        if truth.shape != predicted.shape:
            raise ValueError(
                f"{mask} has {predicted.shape} pixels, but the scene has {truth.shape}"
            )
        height, width = truth.shape
        for top in range(0, height, 2 * BLOCK_PX):
            stop = min(top + 2 * BLOCK_PX, height)
            values = predicted.read(1, window=Window(0, top, width, stop - top))
            first, last = max(top - BORDER_PX, 0), min(stop + BORDER_PX, height)
            true = truth.read(1, window=Window(0, first, width, last - first))
            missing_rows = BORDER_PX - (top - first), BORDER_PX - (last - stop)
            true = np.pad(true, (missing_rows, (BORDER_PX, BORDER_PX)), constant_values=_NO_DATA)
            counts += _count((values > 0) & (values != _NO_DATA), true)
    return MaskErrors(*counts.tolist())


def _count(predicted: NDArray[np.bool_], true: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The counts of `MaskErrors`: bool [n, W], and uint8 with a border of 32 px around it."""
    core = true[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX]
    empty = torch.from_numpy(true == _NO_DATA)
    is_near = box_sums(empty.float(), BORDER_PX).numpy() > 0
    valid = core != _NO_DATA
    wrong = (predicted != (core == 1)) & valid
    masks = (
        wrong & is_near,
        valid & is_near,
        wrong & ~is_near,
        valid & ~is_near,
        predicted & ~valid,
    )
    return np.array([np.count_nonzero(mask) for mask in masks])


def _true_mask(around: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Output of the stub with complete surroundings: [n + 2 r, w + 2 r] -> 0 or 1, [n, w]."""
    sums = box_sums(torch.from_numpy(around.astype(np.float32)), RADIUS_PX)
    mask: NDArray[np.uint8] = (sums > LIMIT * (2 * RADIUS_PX + 1) ** 2).numpy().astype(np.uint8)
    return mask


def _ground(pattern: Pattern, strip: int, width: int) -> NDArray[np.uint8]:
    """First band of the ground in a strip of rows, with margins: uint8 [512, width + 2 r]."""
    rng = np.random.default_rng([7, strip + 1])
    row = np.arange(strip * BLOCK_PX, (strip + 1) * BLOCK_PX)
    col = np.arange(-RADIUS_PX, width + RADIUS_PX)
    shape = len(row), len(col)
    if pattern == "speckle":
        return rng.integers(32, 256, shape, dtype=np.uint8)
    bright = _blobs(row, col) if pattern == "huge" else _discs(row, col)
    return np.where(bright, np.uint8(220), rng.integers(60, 92, shape, dtype=np.uint8))


def _last_band(red: NDArray[np.uint8], strip: int) -> NDArray[np.uint8]:
    """The third band, uint8 of the same shape, with a few pixels of 1 and 255."""
    blue = red // 4 + 10
    rng = np.random.default_rng([8, strip])
    n = red.size // 2048
    for value in (1, 255):
        blue[rng.integers(0, red.shape[0], n), rng.integers(0, red.shape[1], n)] = value
    return blue


def _discs(row: NDArray[np.int64], col: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Discs with a radius of 8 to 22 pixels, at a different place in each cell; bool [n, w]."""
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
    """A diagonal swath that covers two fifths of the scene; bool [n, width]."""
    col = np.arange(width)[None, :]
    middle = width * (0.3 + 0.4 * row[:, None] / height)
    return np.abs(col - middle) < 0.2 * width
