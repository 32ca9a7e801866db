"""Small GeoTIFFs for tests."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning

LOCAL_WKT = (
    'PROJCRS["site grid",BASEGEOGCRS["WGS 84",DATUM["World Geodetic System 1984",'
    'ELLIPSOID["WGS 84",6378137,298.257223563,LENGTHUNIT["metre",1]]]],'
    'CONVERSION["site",METHOD["Transverse Mercator",ID["EPSG",9807]],'
    'PARAMETER["Latitude of natural origin",47.1,ANGLEUNIT["degree",0.0174532925199433]],'
    'PARAMETER["Longitude of natural origin",8.3,ANGLEUNIT["degree",0.0174532925199433]],'
    'PARAMETER["Scale factor at natural origin",1,SCALEUNIT["unity",1]],'
    'PARAMETER["False easting",10000,LENGTHUNIT["metre",1]],'
    'PARAMETER["False northing",20000,LENGTHUNIT["metre",1]]],'
    'CS[Cartesian,2],AXIS["easting",east],AXIS["northing",north],LENGTHUNIT["metre",1]]'
)
"""A projected CRS without an authority code."""

Content = Callable[[NDArray[np.intp], NDArray[np.intp], int], NDArray[np.generic]]


def smooth_content(row: NDArray[np.intp], col: NDArray[np.intp], band: int) -> NDArray[np.generic]:
    """Smooth values from 1 to 251 that differ between bands."""
    wave = np.sin(row / (9 + 2 * band)) + np.cos(col / (7 + band)) + np.sin((row + col) / 23)
    value: NDArray[np.generic] = 126 + 41.6 * wave
    return value


def write_scene(
    path: Path,
    height: int = 200,
    width: int = 300,
    *,
    bands: int = 3,
    dtype: str = "uint8",
    crs: str | None = "EPSG:32632",
    transform: Affine | None = None,
    content: Content = smooth_content,
    scale: float = 1.0,
    nodata: float | None = None,
    invalid: NDArray[np.bool_] | None = None,
    alpha: bool = False,
    internal_mask: bool = False,
    palette: dict[int, tuple[int, int, int, int]] | None = None,
    colorinterp: list[ColorInterp] | None = None,
    blocks: int | None = 64,
    compress: str | None = "deflate",
    overviews: list[int] | None = None,
) -> Path:
    """Write a GeoTIFF.

    Args:
        path: path of the file.
        height: number of rows.
        width: number of columns.
        bands: number of colour bands, without alpha.
        dtype: type of all bands.
        crs: any CRS that rasterio accepts, such as ``LOCAL_WKT``, or None.
        transform: None gives north-up pixels of half a metre (1e-5 degrees in a geographic CRS).
        content: pixel values by row, column and 1-based band, before ``scale``.
        scale: factor for the content.
        nodata: nodata value of the file, also written into the ``invalid`` pixels.
        invalid: bool [height, width]; marked by nodata, alpha or the mask of the file.
        alpha: add an alpha band that is 0 at invalid pixels.
        internal_mask: add an internal mask.
        palette: colour table; the only band then holds colour indices.
        colorinterp: colour interpretation of all bands; None leaves it to the driver.
        blocks: side of the tiles, a multiple of 16; None writes stripes.
        compress: codec, or None.
        overviews: overview factors.
    """
    crs_of = None if crs is None else CRS.from_user_input(crs)
    if transform is None:
        is_geographic = crs_of is not None and crs_of.is_geographic
        step = 1e-5 if is_geographic else 0.5
        x, y = (8.3, 47.1) if is_geographic else (500_000.0, 5_200_000.0)
        transform = Affine(step, 0, x, 0, -step, y)
    row, col = np.mgrid[:height, :width]
    pixels = np.stack([content(row, col, band) for band in range(1, bands + 1)]) * scale
    if np.dtype(dtype).kind in "ui":
        limits = np.iinfo(dtype)
        pixels = np.clip(np.rint(pixels), limits.min, limits.max)
    with np.errstate(over="ignore", invalid="ignore"):
        pixels = pixels.astype(dtype)
    invalid = np.zeros((height, width), bool) if invalid is None else invalid
    if nodata is not None:
        pixels[:, invalid] = nodata
    if alpha:
        opaque = np.iinfo(dtype).max if np.dtype(dtype).kind in "ui" else 1
        pixels = np.concatenate([pixels, np.where(invalid, 0, opaque)[None].astype(dtype)])
    profile: dict[str, Any] = {"tiled": False, "blockysize": 7}
    if blocks is not None:
        profile = {"tiled": True, "blockxsize": blocks, "blockysize": blocks}
    if palette is not None:
        profile["photometric"] = "palette"
    with (
        warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=height,
            width=width,
            count=len(pixels),
            dtype=dtype,
            crs=crs_of,
            transform=transform,
            nodata=nodata,
            compress=compress,
            **profile,
        ) as dataset,
    ):
        if palette is not None:
            dataset.write_colormap(1, palette)
        elif colorinterp is not None:
            dataset.colorinterp = colorinterp
        elif bands == 3:
            rgb = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
            dataset.colorinterp = rgb + [ColorInterp.alpha] * alpha
        elif alpha:
            others = [ColorInterp.gray] + [ColorInterp.undefined] * (bands - 1)
            dataset.colorinterp = [*others, ColorInterp.alpha]
        dataset.write(pixels)
        if internal_mask:
            dataset.write_mask(~invalid)
        if overviews:
            dataset.build_overviews(overviews)
    return path


def damage_block(path: Path, row: int, col: int) -> None:
    """Overwrite most of the compressed block at (row, column) of blocks with zeros."""
    with rasterio.open(path) as dataset:
        name = f"{col}_{row}"
        start, size = (
            int(dataset.get_tag_item(f"BLOCK_{kind}_{name}", "TIFF", bidx=1))
            for kind in ("OFFSET", "SIZE")
        )
    content = bytearray(path.read_bytes())
    content[start + 10 : start + size] = bytes(size - 10)
    path.write_bytes(content)
