"""Open rasters with GDAL: files, addresses, and the assets of STAC items."""

import re
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import rasterio
from rasterio.enums import MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

from rrsis_geo.errors import InputError
from rrsis_geo.geo.scene.local_files import check_file, is_remote, local_path
from rrsis_geo.geo.scene.stac import COLOURS, StacAssets, choose_assets, may_be_item, read_item

CACHE_MB = 128
"""Size of GDAL's block cache. Its default is 5 % of the memory of the machine. Twice what a scene
20,000 pixels wide needs; `benchmarks/cache.py` measures it."""

NETWORK = {
    "GDAL_HTTP_MAX_RETRY": 4,  # for temporary errors: 429, 500, 502, 503, 504
    "GDAL_HTTP_RETRY_DELAY": 0.5,  # seconds; doubled after each attempt
    "GDAL_HTTP_CONNECTTIMEOUT": 15,
    "GDAL_HTTP_LOW_SPEED_TIME": 30,  # seconds below the speed limit before GDAL gives up
    "GDAL_HTTP_LOW_SPEED_LIMIT": 1000,  # bytes per second
    "CPL_VSIL_CURL_CACHE_SIZE": 2**26,
}
"""GDAL settings for scenes that are read over a network."""

_GDAL_NAMES = {"uint8": "Byte", "int8": "Int8", "float16": "Float16"} | {
    f"{kind}{bits}": f"{name}{bits}"
    for kind, name in (("uint", "UInt"), ("int", "Int"), ("float", "Float"))
    for bits in (16, 32, 64)
}


def geo_env() -> rasterio.Env:
    """GDAL settings for reading and writing. Enter it around every call that accesses pixels.

    Entering takes about 50 microseconds. Do not keep it open as long as a file: rasterio requires
    that environments are left in reverse order.
    """
    return rasterio.Env(GDAL_CACHEMAX=CACHE_MB * 2**20, **NETWORK)


class Source(NamedTuple):
    """An open raster.

    Attributes:
        dataset: the open dataset.
        bands: red, green and blue according to a STAC item, 1-based; None if unknown.
    """

    dataset: rasterio.DatasetReader
    bands: tuple[int, ...] | None


def open_source(path: str) -> Source:
    """Open a raster by any path or address that GDAL supports, or by a STAC item.

    Raises:
        InputError: it cannot be reached or is not a raster, or the item has no suitable asset.
    """
    if not may_be_item(path):
        return Source(_open(local_path(path), path), None)
    if is_remote(path) and not path.startswith(("http://", "https://")):
        raise InputError(f"{path}: STAC items are read from local files or http(s) addresses")
    assets = choose_assets(read_item(path), path)
    if len(assets.hrefs) == 1:
        return Source(_open(assets.hrefs[0], f"{path}: asset {assets.hrefs[0]}"), assets.bands)
    return Source(_open(_stack_vrt(assets, path), path), (1, 2, 3))


def read_tags(dataset: rasterio.DatasetReader, namespace: str | None = None) -> dict[str, str]:
    """The metadata tags of a raster; none if they are not UTF-8, as in files of old programs."""
    try:
        return dict(dataset.tags(ns=namespace))
    except UnicodeDecodeError:
        return {}


def reopen(
    dataset: rasterio.DatasetReader, label: str, overview: int | None = None
) -> rasterio.DatasetReader:
    """Open a raster again, or one of its overviews as a raster of its own.

    Args:
        dataset: from `open_source`. Its name differs from the path if that is a STAC item.
        label: what to call it in messages.
        overview: number of the overview, from 0; None opens the raster.

    Raises:
        InputError: it cannot be opened.
    """
    return _open(dataset.name, label, **({} if overview is None else {"overview_level": overview}))


def _open(name: str, label: str, **options: int) -> rasterio.DatasetReader:
    check_file(name, label=label)
    settings: dict[str, Any] = {}
    if is_remote(name):
        # Do not list the folder, which may be large; sidecar files (.ovr, .msk) are requested.
        settings = {"GDAL_DISABLE_READDIR_ON_OPEN": "YES", "VSI_CACHE": True}
    try:
        with (
            geo_env(),
            rasterio.Env(**settings),
            warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
        ):
            dataset = rasterio.open(name, **options)
    except RasterioIOError as err:
        if is_remote(name):
            raise InputError(f"{label}: {_explain_failure(str(err.__cause__ or err))}") from err
        if not name.startswith(("/vsi", "<")) and not Path(name).exists():
            raise InputError(f"{label}: no such file") from err
        raise InputError(f"{label}: not a raster that GDAL can read ({err})") from err
    if is_remote(name) and dataset.driver == "VRT" and not name.startswith("<"):
        _refuse_local_parts(dataset, label)
    return dataset


def _refuse_local_parts(dataset: rasterio.DatasetReader, label: str) -> None:
    """Refuse a remote VRT that reads files of this machine."""
    local = next((file for file in dataset.files if not is_remote(file)), None)
    if local is not None:
        dataset.close()
        raise InputError(
            f"{label}: reads {local}, a file of this machine; download it if you trust its author"
        )


def _explain_failure(message: str) -> str:
    """Explain a message of GDAL about a remote file, and what to do about it."""
    cause = re.sub(r"(/vsi|\w+://)\S+", "", message)  # digits in the address are not status codes
    if re.search(r"\b404\b|does not exist", cause):
        return "not found; check the address"
    if re.search(r"\b40[13]\b|AccessDenied|InvalidCredentials", cause):
        return (
            f"access denied ({message}); set credentials for GDAL, such as AWS_ACCESS_KEY_ID, or "
            "AWS_NO_SIGN_REQUEST=YES for public data"
        )
    if any(text in message for text in ("CURL error", "HTTP response code", "HTTP error")):
        return f"cannot be reached after several attempts ({message})"
    return f"not a raster that GDAL can read ({message})"


def _stack_vrt(assets: StacAssets, path: str) -> str:
    """The XML of a VRT with the three rasters as its bands.

    Raises:
        InputError: the rasters have different grids, or one cannot be read.
    """
    with ExitStack() as stack:
        rasters = [
            stack.enter_context(_open(href, f"{path}: asset {href}")) for href in assets.hrefs
        ]
        first = rasters[0]
        grids = {(raster.shape, raster.transform, str(raster.crs)) for raster in rasters}
        if len(grids) > 1:
            raise InputError(
                f"{path}: its assets {', '.join(assets.hrefs)} have different grids; combine them "
                "with gdalbuildvrt -separate"
            )
        bands = "".join(
            _vrt_band(number, raster, href)
            for number, (raster, href) in enumerate(zip(rasters, assets.hrefs, strict=True), 1)
        )
        crs = "" if first.crs is None else f"<SRS>{escape(first.crs.to_wkt())}</SRS>"
        geotransform = ", ".join(repr(value) for value in first.transform.to_gdal())
        return (
            f'<VRTDataset rasterXSize="{first.width}" rasterYSize="{first.height}">{crs}'
            f"<GeoTransform>{geotransform}</GeoTransform>{bands}</VRTDataset>"
        )


def _gdal_name(href: str) -> str:
    """An address in the notation of GDAL's virtual file systems."""
    for scheme, prefix in (("s3://", "/vsis3/"), ("gs://", "/vsigs/")):
        if href.startswith(scheme):
            return prefix + href.removeprefix(scheme)
    return f"/vsicurl/{href}" if href.startswith(("http://", "https://")) else href


def _vrt_band(number: int, dataset: rasterio.DatasetReader, href: str) -> str:
    kind = _GDAL_NAMES.get(dataset.dtypes[0])
    if kind is None:  # a VRT would drop the imaginary parts of complex numbers
        raise InputError(f"{href}: pixels of type {dataset.dtypes[0]} cannot be used")
    nodata = dataset.nodatavals[0]
    nodata_xml = "" if nodata is None else f"<NoDataValue>{nodata!r}</NoDataValue>"
    file = f'<SourceFilename relativeToVRT="0">{escape(_gdal_name(href))}</SourceFilename>'
    mask_xml = ""
    if MaskFlags.per_dataset in dataset.mask_flag_enums[0]:
        mask = f"<SimpleSource>{file}<SourceBand>mask,1</SourceBand></SimpleSource>"
        mask_xml = f'<MaskBand><VRTRasterBand dataType="Byte">{mask}</VRTRasterBand></MaskBand>'
    return (
        f'<VRTRasterBand dataType="{kind}" band="{number}">{nodata_xml}'
        f"<ColorInterp>{COLOURS[number - 1].title()}</ColorInterp>{mask_xml}"
        f"<SimpleSource>{file}<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
    )
