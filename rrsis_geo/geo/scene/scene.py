"""Open a georeferenced raster as a scene: its facts, checked, and its pixels, a window at a time.

A dataset of GDAL must not be used by two threads at once: one reading thread a scene, at any time.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.features import geometry_mask
from rasterio.windows import Window
from shapely.geometry.base import BaseGeometry

from rrsis_geo.errors import InputError, RrsisError
from rrsis_geo.geo.scene.ground import pixel_size_m
from rrsis_geo.geo.scene.pixels import BandsBy, PixelReader, Validity, plan_pixels
from rrsis_geo.geo.scene.sources import Source, open_source

logger = logging.getLogger(__name__)


_BURN_SHAPE = 256, 4096

_FURTHEST = 1e12
"""No coordinate is larger: squares of it are still numbers."""


@dataclass(frozen=True, slots=True)
class SceneInfo:
    """What is known of a scene, or of the part of it that ``Scene.crop`` keeps.

    Attributes:
        path: as it was given.
        width: columns.
        height: rows.
        crs: None only where that was allowed.
        transform: pixel to world; any affine.
        dtypes: type of every band of the file.
        bands: 1-based, the bands shown as red, green and blue, or the one shown as gray.
        bands_by: what they were chosen by.
        validity: what tells which pixels hold data.
        nodata: the value that means "no data" (of the first band), None where there is none.
        gsd_m: metres on the ground per pixel at the scene's centre, the mean of both axes; None
            without CRS.
        gsd_row_m: from one row to the next.
        gsd_col_m: from one column to the next.
        size_bytes: of the file; 0 where it is not a plain file.
        mtime: when it was last changed, seconds; 0 likewise.
        row_off: row of the whole scene at which this part begins.
        col_off: likewise.
    """

    path: str
    width: int
    height: int
    crs: CRS | None
    transform: Affine
    dtypes: tuple[str, ...]
    bands: tuple[int, ...]
    bands_by: BandsBy
    validity: Validity
    nodata: float | None
    gsd_m: float | None
    gsd_row_m: float | None
    gsd_col_m: float | None
    size_bytes: int
    mtime: float
    row_off: int = 0
    col_off: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width


@dataclass(frozen=True, slots=True)
class Area:
    """The part of a scene that results are wanted for.

    Attributes:
        window: the rows and columns it lies in, whole pixels, inside the scene.
        polygon: in pixel coordinates (x = column, y = row) of the whole scene; every pixel that it
            touches belongs to the area. None means all of the window.
    """

    window: Window
    polygon: BaseGeometry | None = None

    def mask(self, window: Window) -> NDArray[np.bool_]:
        """Bool [h, w]: which pixels of a window of the whole scene belong to the area."""
        shape = int(window.height), int(window.width)
        inside = np.ones(shape, np.bool_)
        rows = np.arange(shape[0]) + window.row_off - self.window.row_off
        cols = np.arange(shape[1]) + window.col_off - self.window.col_off
        inside &= ((rows >= 0) & (rows < self.window.height))[:, None]
        inside &= ((cols >= 0) & (cols < self.window.width))[None, :]
        if self.polygon is not None and inside.any():
            inside &= self._under_polygon(window)
        return inside

    def _under_polygon(self, window: Window) -> NDArray[np.bool_]:
        """Bool [h, w]: which pixels of a window of the whole scene the polygon touches.

        Burnt in tiles that lie fast in the scene: where an edge runs just along pixels, what GDAL
        burns depends on where its raster begins.
        """
        top, left = int(window.row_off), int(window.col_off)
        under = np.zeros((int(window.height), int(window.width)), np.bool_)
        height, width = _BURN_SHAPE
        bottom, right = top + under.shape[0], left + under.shape[1]
        for row in range(top // height * height, bottom, height):
            for col in range(left // width * width, right, width):
                tile = geometry_mask(
                    [self.polygon],
                    out_shape=_BURN_SHAPE,
                    transform=Affine.translation(col, row),
                    all_touched=True,
                    invert=True,
                )
                rows = slice(max(row, top), min(row + height, bottom))
                cols = slice(max(col, left), min(col + width, right))
                under[rows.start - top : rows.stop - top, cols.start - left : cols.stop - left] = (
                    tile[rows.start - row : rows.stop - row, cols.start - col : cols.stop - col]
                )
        return under


def open_scene(
    path: str | Path,
    *,
    bands: Sequence[int] | None = None,
    nodata: float | None = None,
    allow_no_crs: bool = False,
) -> "Scene":
    """Open a raster and check that it can be worked on. Use as a context manager.

    Args:
        path: anything GDAL opens, an address too, or a STAC item (see `rrsis_geo.geo.scene.stac`).
        bands: 1-based, red first, or one shown as gray; None goes by what a STAC item says, by the
            file's colour interpretation, and failing that takes the first three, with a warning.
        nodata: value that means "no data", in place of what the file says.
        allow_no_crs: take a raster without a CRS; results are then in the coordinates of its
            transform, which are pixels where it has none.

    Raises:
        InputError: no such file, not a raster, cannot be reached, no CRS, or bands that make no
            image.
        ConfigError: bands or nodata that the raster does not have.
    """
    dataset, named_bands = _open_dataset(str(path))
    try:
        _check_georeference(dataset, path, allow_no_crs)
        plan = plan_pixels(dataset, str(path), named_bands if bands is None else bands, nodata)
    except RrsisError:
        dataset.close()
        raise
    size_m = pixel_size_m(dataset.crs, dataset.transform, dataset.height / 2, dataset.width / 2)
    stat = Path(path).stat() if Path(path).is_file() else None
    info = SceneInfo(
        path=str(path),
        width=dataset.width,
        height=dataset.height,
        crs=dataset.crs,
        transform=dataset.transform,
        dtypes=tuple(dataset.dtypes),
        bands=plan.bands,
        bands_by=plan.bands_by,
        validity=plan.validity,
        nodata=plan.nodata[0],
        gsd_m=sum(size_m) / 2 if size_m else None,
        gsd_row_m=size_m[0] if size_m else None,
        gsd_col_m=size_m[1] if size_m else None,
        size_bytes=stat.st_size if stat else 0,
        mtime=stat.st_mtime if stat else 0.0,
    )
    return Scene(info, PixelReader(dataset, plan, str(path)))


def _open_dataset(path: str) -> Source:
    source = open_source(path)
    dataset = source.dataset
    if dataset.count == 0:
        parts = dataset.subdatasets
        dataset.close()
        if parts:
            raise InputError(f"{path}: holds several rasters; give one of them, such as {parts[0]}")
        raise InputError(f"{path}: a raster without bands")
    return source


def _check_georeference(
    dataset: rasterio.DatasetReader, path: str | Path, allow_no_crs: bool
) -> None:
    """Refuse what has no place on the ground."""
    if dataset.transform.is_degenerate:
        raise InputError(f"{path}: its transform maps every pixel onto a line; assign a right one")
    if not _tells_pixels_apart(dataset.transform, dataset.shape):
        place = ", ".join(f"{value:g}" for value in dataset.transform[:6])
        raise InputError(
            f"{path}: its transform ({place}) gives no places that can be told apart; assign a "
            'right one with "rio edit-info --transform"'
        )
    if allow_no_crs:
        return
    if dataset.crs is not None and not dataset.transform.is_identity:
        return
    if dataset.gcps[0] or dataset.rpcs is not None:
        how = "-tps" if dataset.gcps[0] else "-rpc"
        raise InputError(
            f"{path}: placed by {'ground control points' if dataset.gcps[0] else 'RPCs'} only; "
            f"warp it first: gdalwarp {how} -t_srs EPSG:... {path} warped.tif"
        )
    if dataset.crs is not None:
        raise InputError(
            f"{path}: has a CRS but no transform from pixels to it; assign one with "
            '"rio edit-info --transform", or work in pixels with --allow-no-crs'
        )
    raise InputError(
        f'{path}: no CRS; assign one with "rio edit-info --crs EPSG:...", '
        "or work in pixels with --allow-no-crs"
    )


def _tells_pixels_apart(transform: Affine, shape: tuple[int, int]) -> bool:
    """Whether every corner of a pixel has coordinates, and neighbours have different ones."""
    height, width = shape
    corners = [(0, 0), (width, 0), (0, height), (width, height)]
    furthest = max(abs(value) for corner in corners for value in transform @ corner)
    step = math.sqrt(abs(transform.determinant))
    return math.isfinite(furthest) and furthest < _FURTHEST and step > 4 * math.ulp(furthest)


class Scene:
    """An open scene, or a part of one. Rows and columns count from the part's upper left corner.

    Attributes:
        info: the facts of this part.
        whole: the facts of the whole scene.
    """

    def __init__(self, info: SceneInfo, reader: PixelReader) -> None:
        """Call ``open_scene`` instead."""
        self.info = info
        self.whole = info
        self.reader = reader
        self._area = Area(Window(info.col_off, info.row_off, info.width, info.height))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, for this scene and all its parts."""
        self.reader.dataset.close()

    def crop(self, area: Area) -> "Scene":
        """The part of the whole scene inside an area. It lives as long as this scene is open.

        What lies around the part stays readable, as context; see ``area_mask``.
        """
        row, col = int(area.window.row_off), int(area.window.col_off)
        part = Scene(
            replace(
                self.whole,
                width=int(area.window.width),
                height=int(area.window.height),
                transform=self.whole.transform @ Affine.translation(col, row),
                row_off=row,
                col_off=col,
            ),
            self.reader,
        )
        part.whole = self.whole
        part._area = area
        return part

    def read(self, window: Window) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Pixels [B, h, w] as in the file, and bool [h, w]: which hold data.

        Args:
            window: may reach beyond this part, but not beyond the whole scene.

        Raises:
            InputError: the file cannot be read there.
        """
        row, col = self.info.row_off + window.row_off, self.info.col_off + window.col_off
        return self.reader.read(Window(col, row, window.width, window.height))

    def area_mask(self, window: Window) -> NDArray[np.bool_]:
        """Bool [h, w]: which pixels lie in this part, and in its area of interest if it has one."""
        row, col = self.info.row_off + window.row_off, self.info.col_off + window.col_off
        return self._area.mask(Window(col, row, window.width, window.height))

    def thumbnail(self, max_px: int) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """This part made small: pixels [B, h, w] and validity, the longer side at most ``max_px``.

        Averaged by GDAL, from overviews where the file has them.

        Raises:
            InputError: the file cannot be read.
        """
        scale = min(1.0, max_px / max(self.info.shape))
        height, width = (max(1, round(side * scale)) for side in self.info.shape)
        info = self.info
        window = Window(info.col_off, info.row_off, info.width, info.height)
        return self.reader.read(window, out_shape=(height, width))
