"""Open a georeferenced raster as a scene, check it, and read its pixels by window.

GDAL datasets are not thread-safe: read a scene from one thread at a time.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry

from rrsis_geo.errors import InputError, RrsisError
from rrsis_geo.geo.scene.ground import pixel_size_m
from rrsis_geo.geo.scene.local_files import local_path
from rrsis_geo.geo.scene.pixels import BandsBy, PixelReader, Validity, plan_pixels
from rrsis_geo.geo.scene.sources import Source, open_source
from rrsis_geo.geo.scene.vrt import uncovered_share

logger = logging.getLogger(__name__)


_MASK_BLOCK = 256, 4096
"""Rows and columns of the blocks in which polygons are rasterized."""

MAX_COORDINATE = 1e12
"""Larger coordinates are rejected, because their squares lose precision."""


@dataclass(frozen=True, slots=True)
class SceneInfo:
    """Properties of a scene, or of a part of it made by ``Scene.crop``.

    Attributes:
        path: as given by the user.
        width: number of columns.
        height: number of rows.
        crs: None only if that was allowed.
        transform: pixel to world; any affine.
        dtypes: type of each band of the file.
        bands: 1-based; the bands used as red, green and blue, or the one used as gray.
        bands_by: how the bands were chosen.
        validity: how pixels without data are marked.
        nodata: nodata value of the first band, or None.
        gsd_m: metres on the ground per pixel at the centre of the scene, mean of both axes; None
            without CRS.
        gsd_row_m: metres on the ground from one row to the next.
        gsd_col_m: metres on the ground from one column to the next.
        size_bytes: size of the file; 0 if it is not a local file.
        mtime: modification time of the file in seconds; 0 if it is not a local file.
        row_off: first row of this part in the whole scene.
        col_off: first column of this part in the whole scene.
        aoi: area of interest in pixels of this part (x = column, y = row); None if the part is a
            whole rectangle.
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
    aoi: BaseGeometry | None = field(default=None, repr=False, compare=False)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width


@dataclass(frozen=True, slots=True)
class Area:
    """An area of interest of a scene.

    Attributes:
        window: bounding window of the area, in whole pixels, inside the scene.
        polygon: in pixel coordinates (x = column, y = row) of the whole scene; all pixels that it
            touches belong to the area. None means the whole window.
    """

    window: Window
    polygon: BaseGeometry | None = None

    def mask(self, window: Window) -> NDArray[np.bool_]:
        """Mask of the pixels in the area, bool [h, w], for a window of the whole scene."""
        shape = int(window.height), int(window.width)
        inside = np.ones(shape, np.bool_)
        rows = np.arange(shape[0]) + window.row_off - self.window.row_off
        cols = np.arange(shape[1]) + window.col_off - self.window.col_off
        inside &= ((rows >= 0) & (rows < self.window.height))[:, None]
        inside &= ((cols >= 0) & (cols < self.window.width))[None, :]
        if self.polygon is not None and inside.any():
            inside &= self._polygon_mask(window)
        return inside

    def _polygon_mask(self, window: Window) -> NDArray[np.bool_]:
        """Mask of the pixels that the polygon touches, bool [h, w].

        It is rasterized in blocks at fixed positions of the scene: for an edge along a pixel
        border, GDAL's result depends on the origin of its raster.
        """
        top, left = int(window.row_off), int(window.col_off)
        mask = np.zeros((int(window.height), int(window.width)), np.bool_)
        height, width = _MASK_BLOCK
        bottom, right = top + mask.shape[0], left + mask.shape[1]
        for row in range(top // height * height, bottom, height):
            for col in range(left // width * width, right, width):
                block = geometry_mask(
                    [self.polygon],
                    out_shape=_MASK_BLOCK,
                    transform=Affine.translation(col, row),
                    all_touched=True,
                    invert=True,
                )
                rows = slice(max(row, top), min(row + height, bottom))
                cols = slice(max(col, left), min(col + width, right))
                mask[rows.start - top : rows.stop - top, cols.start - left : cols.stop - left] = (
                    block[rows.start - row : rows.stop - row, cols.start - col : cols.stop - col]
                )
        return mask


def open_scene(
    path: str | Path,
    *,
    bands: Sequence[int] | None = None,
    nodata: float | None = None,
    allow_no_crs: bool = False,
) -> "Scene":
    """Open a raster and check that it can be processed. Use the scene as a context manager.

    Args:
        path: a path or address that GDAL can open, or a STAC item (see `rrsis_geo.geo.scene.stac`).
        bands: 1-based, red, green and blue, or one band used as gray. None uses the bands of the
            STAC item or the colour interpretation of the file. Without either, the first three
            bands are used, with a warning.
        nodata: nodata value, in place of the value of the file.
        allow_no_crs: accept a raster without a CRS. Results are then in the coordinates of its
            transform, or in pixels if it has none.

    Raises:
        InputError: the file does not exist, is not a raster, cannot be reached, has no CRS, or its
            bands cannot be used as an image.
        ConfigError: bands or nodata do not fit the raster.
    """
    dataset, source_bands = _open_dataset(str(path))
    try:
        _check_georeference(dataset, path, allow_no_crs)
        plan = plan_pixels(dataset, str(path), source_bands if bands is None else bands, nodata)
    except RrsisError:
        dataset.close()
        raise
    if plan.validity == "all":
        _warn_of_gaps(dataset, plan.bands, path)
    size_m = pixel_size_m(dataset.crs, dataset.transform, dataset.height / 2, dataset.width / 2)
    file = Path(local_path(str(path)))
    stat = file.stat() if file.is_file() else None
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
            raise InputError(
                f"{path}: contains several rasters; give one of them, such as {parts[0]}"
            )
        raise InputError(f"{path}: has no bands")
    return source


def _check_georeference(
    dataset: rasterio.DatasetReader, path: str | Path, allow_no_crs: bool
) -> None:
    """Reject rasters without a position on the ground."""
    if dataset.transform.is_degenerate:
        raise InputError(f"{path}: its transform maps all pixels to a line; assign a valid one")
    if not _separates_pixels(dataset.transform, dataset.shape):
        numbers = ", ".join(f"{value:g}" for value in dataset.transform[:6])
        raise InputError(
            f"{path}: its transform ({numbers}) gives neighbouring pixels the same coordinates; "
            'assign a valid one with "rio edit-info --transform"'
        )
    if allow_no_crs:
        return
    if dataset.crs is not None and not dataset.transform.is_identity:
        return
    if dataset.gcps[0] or dataset.rpcs is not None:
        how = "-tps" if dataset.gcps[0] else "-rpc"
        raise InputError(
            f"{path}: has only {'ground control points' if dataset.gcps[0] else 'RPCs'}; "
            f"warp it first: gdalwarp {how} -t_srs EPSG:... {path} warped.tif"
        )
    if dataset.crs is not None:
        raise InputError(
            f"{path}: has a CRS but no transform; assign one with "
            '"rio edit-info --transform", or work in pixels with --allow-no-crs'
        )
    raise InputError(
        f'{path}: no CRS; assign one with "rio edit-info --crs EPSG:...", '
        "or work in pixels with --allow-no-crs"
    )


def _warn_of_gaps(dataset: rasterio.DatasetReader, bands: Sequence[int], path: str | Path) -> None:
    share = uncovered_share(dataset, bands)
    if share:
        logger.warning(
            "%s: %.2g%% of this virtual raster lies outside all of its files and will be taken for "
            "black ground; build it with gdalbuildvrt -addalpha, or give --nodata 0",
            path,
            100 * share,
        )


def _separates_pixels(transform: Affine, shape: tuple[int, int]) -> bool:
    """Whether all coordinates are finite, and those of neighbouring pixels differ."""
    height, width = shape
    corners = [(0, 0), (width, 0), (0, height), (width, height)]
    furthest = max(abs(value) for corner in corners for value in transform @ corner)
    step = math.sqrt(abs(transform.determinant))
    return math.isfinite(furthest) and furthest < MAX_COORDINATE and step > 4 * math.ulp(furthest)


class Scene:
    """An open scene or a part of one. Rows and columns count from the top left of the part.

    Attributes:
        info: properties of this part.
        whole: properties of the whole scene.
        reader: reads pixels of the whole scene.
    """

    def __init__(self, info: SceneInfo, reader: PixelReader) -> None:
        """Use ``open_scene`` instead."""
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
        """Close the file for this scene and all its parts."""
        self.reader.dataset.close()

    def crop(self, area: Area) -> "Scene":
        """The part of the whole scene inside an area. It is closed together with this scene.

        Pixels around the part can still be read, as context; see ``area_mask``.
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
                aoi=None if area.polygon is None else translate(area.polygon, -col, -row),
            ),
            self.reader,
        )
        part.whole = self.whole
        part._area = area
        return part

    def read(self, window: Window) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Read pixels [B, h, w] in the type of the file, and their validity, bool [h, w].

        Args:
            window: may extend beyond this part, but not beyond the whole scene.

        Raises:
            InputError: the window cannot be read.
        """
        row, col = self.info.row_off + window.row_off, self.info.col_off + window.col_off
        return self.reader.read(Window(col, row, window.width, window.height))

    def area_mask(self, window: Window) -> NDArray[np.bool_]:
        """Mask of the pixels of a window inside this part and its area of interest, bool [h, w]."""
        row, col = self.info.row_off + window.row_off, self.info.col_off + window.col_off
        return self._area.mask(Window(col, row, window.width, window.height))

    def thumbnail(self, max_px: int) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Read this part downsampled, with a longer side of at most ``max_px``.

        GDAL averages the pixels, using overviews if the file has them.

        Returns:
            Pixels [B, h, w] and their validity, bool [h, w].

        Raises:
            InputError: the file cannot be read.
        """
        scale = min(1.0, max_px / max(self.info.shape))
        height, width = (max(1, round(side * scale)) for side in self.info.shape)
        info = self.info
        window = Window(info.col_off, info.row_off, info.width, info.height)
        return self.reader.read(window, out_shape=(height, width))
