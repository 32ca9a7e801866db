"""Probabilities of a phrase, kept in a temporary raster on the grid of the scene."""

import threading
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from rrsis_geo.files import write_error
from rrsis_geo.geo.grid.rasters import NODATA, PROBABILITY_STEP
from rrsis_geo.geo.grid.windows import BLOCK_PX
from rrsis_geo.geo.scene.scene import Scene, SceneInfo, open_scene
from rrsis_geo.geo.scene.sources import geo_env


class KeptProbability:
    """A probability raster that grows with the parts of the scene that are searched.

    It is a raster as `segment --probability` writes it, without overviews. Parts that were not
    searched have no data and take no space on the disk. It is not compressed, so that parts can be
    replaced in place while others are read.

    Attributes:
        path: of the raster.
    """

    def __init__(self, path: Path, scene: SceneInfo, tags: Mapping[str, str]) -> None:
        """Create the raster, without data.

        Args:
            path: of the raster.
            scene: whose grid it has.
            tags: metadata, see `Plan.raster_tags`.

        Raises:
            OutputError: it cannot be created.
        """
        self.path = path
        self._directory = threading.Lock()  # held while the list of blocks is read or written
        try:
            with (
                geo_env(),
                _allow_no_position(),
                rasterio.open(path, "w", **_profile(scene)) as new,
            ):
                new.update_tags(**tags)
                new.scales, new.offsets = (PROBABILITY_STEP,), (0.0,)
        except (RasterioError, OSError) as err:
            raise write_error(path, err) from err

    def add(self, part: Path, row_start: int, col_start: int) -> None:
        """Copy a raster of a part of the scene to its place.

        Args:
            part: raster of probabilities, as `segment.shards` writes it.
            row_start: row of the scene that is the first of the part.
            col_start: column of the scene that is the first of the part.

        Raises:
            OutputError: the disk is full, for example.
        """
        try:
            with (
                self._directory,
                geo_env(),
                _allow_no_position(),
                rasterio.open(part) as source,
                rasterio.open(self.path, "r+") as target,
            ):
                for row in range(0, source.height, BLOCK_PX):
                    n_rows = min(BLOCK_PX, source.height - row)
                    values = source.read(1, window=Window(0, row, source.width, n_rows))
                    place = Window(col_start, row_start + row, source.width, n_rows)
                    target.write(values, 1, window=place)
        except (RasterioError, OSError) as err:
            raise write_error(self.path, err) from err

    def open(self) -> Scene:
        """Open the raster as `polygonize` does. Use the scene as a context manager."""
        with self._directory:
            return open_scene(self.path, bands=[1], allow_no_crs=True)


def _profile(scene: SceneInfo) -> dict[str, object]:
    return {
        "driver": "GTiff",
        "width": scene.width,
        "height": scene.height,
        "count": 1,
        "dtype": "uint8",
        "crs": scene.crs,
        "transform": scene.transform,
        "nodata": NODATA,
        "tiled": True,
        "blockxsize": BLOCK_PX,
        "blockysize": BLOCK_PX,
        "sparse_ok": True,
        "bigtiff": "if_safer",
    }


def _allow_no_position() -> AbstractContextManager[object]:
    return warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning)
