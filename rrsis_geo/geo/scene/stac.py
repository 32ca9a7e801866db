"""Read STAC items and choose the assets to use as a scene.

A STAC item is a JSON file that describes a scene and lists its files (assets). Versions 1.0 (band
names in ``eo:bands``) and 1.1 (``bands``) are supported.
"""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urljoin, urlsplit
from urllib.request import Request, urlopen

from rrsis_geo.errors import InputError
from rrsis_geo.version import __version__

MAX_BYTES = 2**24
TIMEOUT_S = 30
RETRIES = 3
RETRY_S = 0.5
"""Delay before the first retry; doubled after each."""
COLOURS = "red", "green", "blue"


class StacAssets(NamedTuple):
    """The assets of an item to use as a scene.

    Attributes:
        hrefs: one raster, or one each for red, green and blue; paths that GDAL can open.
        bands: 1-based; the bands of the single raster (None: chosen from its metadata), or one
            band of each raster.
    """

    hrefs: tuple[str, ...]
    bands: tuple[int, ...] | None


def may_be_item(path: str) -> bool:
    """Whether a path or address looks like a STAC item."""
    name = urlsplit(path).path if "://" in path else path
    return name.endswith((".json", ".geojson")) or ("://" in path and "/items/" in name)


def read_item(path: str) -> dict[str, Any]:
    """Read an item from a file or an http(s) address.

    Raises:
        InputError: it cannot be read or is not a STAC item.
    """
    text = _fetch(path) if path.startswith(("http://", "https://")) else _read_file(path)
    try:
        item = json.loads(text)
    except (ValueError, RecursionError) as err:
        raise InputError(f"{path}: not a STAC item, because it is not valid JSON ({err})") from err
    if not isinstance(item, dict) or not isinstance(item.get("assets"), dict):
        raise InputError(
            f"{path}: not a STAC item, because it has no assets; give a raster or a STAC item"
        )
    return item


def choose_assets(item: Mapping[str, Any], path: str) -> StacAssets:
    """Choose the assets of an item to use as a scene.

    In this order: the visual asset, an asset with the bands red, green and blue, three assets for
    red, green and blue, or the only raster.

    Args:
        item: the item.
        path: path or address of the item; hrefs may be relative to it.

    Raises:
        InputError: none of these exists.
    """
    assets = {
        name: asset
        for name, asset in item["assets"].items()
        if isinstance(asset, dict) and isinstance(asset.get("href"), str)
    }
    rasters = {name: asset for name, asset in assets.items() if _is_raster(asset)}

    def href(name: str) -> str:
        return _resolve_href(rasters[name]["href"], path)

    for name, asset in rasters.items():
        if name == "visual" or "visual" in _as_list(asset.get("roles")):
            return StacAssets((href(name),), None)
    names = {name: tuple(_band_names(name, asset)) for name, asset in rasters.items()}
    for name, bands in names.items():
        if all(colour in bands for colour in COLOURS):
            rgb = tuple(bands.index(colour) + 1 for colour in COLOURS)
            return StacAssets((href(name),), rgb)
    single = {bands[0]: name for name, bands in reversed(names.items()) if len(bands) == 1}
    if all(colour in single for colour in COLOURS):
        return StacAssets(tuple(href(single[colour]) for colour in COLOURS), (1, 1, 1))
    data = [name for name, asset in rasters.items() if "data" in _as_list(asset.get("roles"))]
    for candidates in (data, list(rasters)):
        if len(candidates) == 1:
            return StacAssets((href(candidates[0]),), None)
    raise InputError(
        f"{path}: has no visual asset and no red, green and blue bands; give the address of one "
        f"of its files (assets: {', '.join(assets) or 'none'})"
    )


def _is_raster(asset: Mapping[str, Any]) -> bool:
    if {"thumbnail", "overview", "metadata"} & set(map(str, _as_list(asset.get("roles")))):
        return False
    kind, href = str(asset.get("type", "")), str(asset["href"])
    if kind:
        return kind.startswith(("image/tiff", "image/jp2", "image/vnd.stac.geotiff"))
    return urlsplit(href).path.lower().endswith((".tif", ".tiff", ".jp2", ".vrt"))


def _band_names(name: str, asset: Mapping[str, Any]) -> Iterator[str]:
    """Common name of each band, or ""; for an asset without bands, the name of the asset."""
    bands = _as_list(asset.get("eo:bands")) or _as_list(asset.get("bands"))
    for band in bands:
        fields = band if isinstance(band, dict) else {}
        name_fields = fields.get("common_name") or fields.get("eo:common_name")
        yield str(name_fields or fields.get("name", ""))
    if not bands:
        yield name


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _resolve_href(href: str, path: str) -> str:
    """A path that GDAL can open; relative hrefs are relative to the item."""
    if "://" in href or href.startswith("/vsi"):
        return href
    if "://" in path:
        return urljoin(path, href)
    return str(Path(path).parent / href)


def _read_file(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return _check_size(file.read(MAX_BYTES + 1), path)
    except OSError as err:
        raise InputError(f"{path}: cannot be read ({err.strerror or err})") from err


def _fetch(url: str) -> bytes:
    """Fetch an address; temporary errors of the server are retried."""
    request = Request(url, headers={"User-Agent": f"rrsis-geo/{__version__}"})
    for attempt in range(RETRIES + 1):
        try:
            with urlopen(request, timeout=TIMEOUT_S) as response:
                return _check_size(response.read(MAX_BYTES + 1), url)
        except (HTTPError, URLError, TimeoutError, OSError) as err:
            is_permanent = isinstance(err, HTTPError) and err.code < 500 and err.code != 429
            if is_permanent or attempt == RETRIES:
                reason = getattr(err, "reason", None) or err
                raise InputError(f"{url}: cannot be reached ({reason})") from err
            time.sleep(RETRY_S * 2**attempt)
    raise AssertionError("the last attempt returns or raises")


def _check_size(text: bytes, path: str) -> bytes:
    if len(text) > MAX_BYTES:
        raise InputError(f"{path}: too large for a STAC item; give a single item, not a collection")
    return text
