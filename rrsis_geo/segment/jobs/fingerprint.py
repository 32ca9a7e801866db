"""Notice that a scene changes between the first shard and the outputs.

Size and time of a file tell most changes. A virtual raster, an address, or a copy that keeps the
time of its source does not, so a few pixels are compared too.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window

from rrsis_geo.geo.scene.scene import SceneInfo
from rrsis_geo.geo.scene.sources import geo_env, open_source, reopen

_PLACES = 3  # in each direction
_SIDE_PX = 16


def fingerprint(dataset: rasterio.DatasetReader, info: SceneInfo) -> list[str]:
    """Digests of a few blocks of pixels, from all over a scene; "" for one that is unreadable."""
    height, width = min(_SIDE_PX, info.height), min(_SIDE_PX, info.width)
    digests = []
    with reopen(dataset, info.path) as copy:  # a failed read leaves its blocks in the cache
        for place in range(_PLACES**2):
            row = (info.height - height) * (2 * (place // _PLACES) + 1) // (2 * _PLACES)
            col = (info.width - width) * (2 * (place % _PLACES) + 1) // (2 * _PLACES)
            window = Window(info.col_off + col, info.row_off + row, width, height)
            try:
                with geo_env():
                    pixels = copy.read(info.bands, window=window)
            except RasterioError:
                digests.append("")
            else:
                digests.append(hashlib.sha256(pixels.tobytes()).hexdigest()[:16])
    return digests


def is_unchanged(info: SceneInfo, expected: Sequence[str]) -> bool:
    """Whether a scene is what it was when a run started. It is opened again to find out.

    Args:
        info: the part of the scene, as it was.
        expected: `fingerprint` as it was.

    Raises:
        InputError: the scene cannot be opened any more.
    """
    path = Path(info.path)
    if path.is_file() and (path.stat().st_size, path.stat().st_mtime) != (
        info.size_bytes,
        info.mtime,
    ):
        return False
    with open_source(info.path).dataset as dataset:
        if (
            dataset.height < info.row_off + info.height
            or dataset.width < info.col_off + info.width
            or dataset.count < max(info.bands)
        ):
            return False
        found = fingerprint(dataset, info)
    return all(old == new for old, new in zip(expected, found, strict=True) if old and new)
