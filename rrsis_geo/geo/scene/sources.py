"""Where scenes come from: files, addresses, and items of STAC catalogues, as GDAL opens them."""

import re
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

from rrsis_geo.errors import InputError
from rrsis_geo.geo.scene.pixels import geo_env
from rrsis_geo.geo.scene.stac import COLOURS, StacAssets, choose_assets, may_be_item, read_item

_GDAL_NAMES = {"uint8": "Byte", "int8": "Int8"} | {
    f"{kind}{bits}": f"{name}{bits}"
    for kind, name in (("uint", "UInt"), ("int", "Int"), ("float", "Float"))
    for bits in (16, 32, 64)
}


class Source(NamedTuple):
    """An open raster.

    Attributes:
        dataset: it.
        bands: what a catalogue calls red, green and blue, 1-based; None where none says.
    """

    dataset: rasterio.DatasetReader
    bands: tuple[int, ...] | None


def is_remote(name: str) -> bool:
    """Whether reading goes over a network."""
    return "://" in name or name.startswith(("/vsicurl", "/vsis3", "/vsigs", "/vsiaz", "/vsiadls"))


def open_source(path: str) -> Source:
    """Open what a user names: a file, an address, anything GDAL opens, or a STAC item.

    Raises:
        InputError: it cannot be reached or is no raster; an item without a fitting asset.
    """
    if not may_be_item(path):
        return Source(_open(path, path), None)
    if not is_remote(path) and not Path(path).exists():
        raise InputError(f"{path}: no such file")
    if is_remote(path) and not path.startswith(("http://", "https://")):
        raise InputError(f"{path}: STAC items are read from files and from http(s) addresses only")
    assets = choose_assets(read_item(path), path)
    if len(assets.hrefs) == 1:
        return Source(_open(assets.hrefs[0], f"{path}: asset {assets.hrefs[0]}"), assets.bands)
    return Source(_open(_stacked(assets, path), path), (1, 2, 3))


def _open(name: str, told: str) -> rasterio.DatasetReader:
    settings: dict[str, Any] = {}
    if is_remote(name):
        # No listing of the folder, which may be large; files beside it (.ovr, .msk) are asked for.
        settings = {"GDAL_DISABLE_READDIR_ON_OPEN": "YES", "VSI_CACHE": True}
    try:
        with (
            geo_env(),
            rasterio.Env(**settings),
            warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
        ):
            return rasterio.open(name)
    except RasterioIOError as err:
        if is_remote(name):
            raise InputError(f"{told}: {_trouble(str(err.__cause__ or err))}") from err
        if not name.startswith(("/vsi", "<")) and not Path(name).exists():
            raise InputError(f"{told}: no such file") from err
        raise InputError(f"{told}: not a raster that GDAL can read ({err})") from err


def _trouble(said: str) -> str:
    """What is wrong with an address, and what to do about it."""
    cause = re.sub(r"(/vsi|\w+://)\S+", "", said)  # an address may hold any number
    if re.search(r"\b404\b|does not exist", cause):
        return "nothing lies there; check the address"
    if re.search(r"\b40[13]\b|AccessDenied|InvalidCredentials", cause):
        return (
            f"access is refused ({said}); give credentials as GDAL reads them, such as "
            "AWS_ACCESS_KEY_ID, or AWS_NO_SIGN_REQUEST=YES for what is public"
        )
    if "CURL error" in said or "HTTP response code" in said or "HTTP error" in said:
        return f"cannot be reached ({said}); tried several times"
    return f"not a raster that GDAL can read ({said})"


def _stacked(assets: StacAssets, path: str) -> str:
    """Three rasters as the bands of one: a VRT, as text.

    Raises:
        InputError: they lie on different grids, or one cannot be read.
    """
    with ExitStack() as stack:
        opened = [
            stack.enter_context(_open(href, f"{path}: asset {href}")) for href in assets.hrefs
        ]
        first = opened[0]
        grids = {(raster.shape, raster.transform, str(raster.crs)) for raster in opened}
        if len(grids) > 1:
            raise InputError(
                f"{path}: its assets {', '.join(assets.hrefs)} lie on different grids; bring them "
                "onto one with gdalbuildvrt -separate"
            )
        bands = "".join(
            _vrt_band(number, raster, href)
            for number, (raster, href) in enumerate(zip(opened, assets.hrefs, strict=True), 1)
        )
        crs = "" if first.crs is None else f"<SRS>{escape(first.crs.to_wkt())}</SRS>"
        place = ", ".join(repr(value) for value in first.transform.to_gdal())
        return (
            f'<VRTDataset rasterXSize="{first.width}" rasterYSize="{first.height}">{crs}'
            f"<GeoTransform>{place}</GeoTransform>{bands}</VRTDataset>"
        )


def _gdal_name(href: str) -> str:
    """An address as GDAL itself writes it."""
    for scheme, prefix in (("s3://", "/vsis3/"), ("gs://", "/vsigs/")):
        if href.startswith(scheme):
            return prefix + href.removeprefix(scheme)
    return f"/vsicurl/{href}" if href.startswith(("http://", "https://")) else href


def _vrt_band(number: int, dataset: rasterio.DatasetReader, href: str) -> str:
    kind = _GDAL_NAMES.get(dataset.dtypes[0], "Float64")
    nodata = dataset.nodatavals[0]
    told = "" if nodata is None else f"<NoDataValue>{nodata!r}</NoDataValue>"
    return (
        f'<VRTRasterBand dataType="{kind}" band="{number}">{told}'
        f"<ColorInterp>{COLOURS[number - 1].title()}</ColorInterp>"
        '<SimpleSource><SourceFilename relativeToVRT="0">'
        f"{escape(_gdal_name(href))}</SourceFilename>"
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
    )
