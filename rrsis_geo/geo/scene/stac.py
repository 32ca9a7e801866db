"""STAC items as scenes: which asset is looked at, or which three.

An item is the JSON file by which catalogues describe a scene and list its files. Both its versions
are read: band names in ``eo:bands`` (1.0) and in ``bands`` (1.1).
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

MOST_BYTES = 2**24
TIMEOUT_S = 30
RETRIES = 3
RETRY_S = 0.5
COLOURS = "red", "green", "blue"


class StacAssets(NamedTuple):
    """What of an item is looked at.

    Attributes:
        hrefs: one raster, or those of red, green and blue; as GDAL may open them.
        bands: 1-based; of the one raster, None where it is to say itself; else one of each.
    """

    hrefs: tuple[str, ...]
    bands: tuple[int, ...] | None


def may_be_item(path: str) -> bool:
    """Whether a name or an address looks like that of an item."""
    place = urlsplit(path).path if "://" in path else path
    return place.endswith((".json", ".geojson")) or ("://" in path and "/items/" in place)


def read_item(path: str) -> dict[str, Any]:
    """An item, from a file or from the web.

    Raises:
        InputError: it cannot be read, or is none.
    """
    text = _fetch(path) if path.startswith(("http://", "https://")) else _read(path)
    try:
        item = json.loads(text)
    except (ValueError, RecursionError) as err:
        raise InputError(f"{path}: not JSON, so no STAC item ({err})") from err
    if not isinstance(item, dict) or not isinstance(item.get("assets"), dict):
        raise InputError(f"{path}: no STAC item: it lists no assets; give a raster or an item")
    return item


def choose_assets(item: Mapping[str, Any], path: str) -> StacAssets:
    """What to look at: the visual asset; or the one or the three that hold red, green and blue; or
    the only raster that there is.

    Args:
        item: as read.
        path: of the item, which hrefs may be relative to.

    Raises:
        InputError: none of these.
    """
    assets = {
        name: asset
        for name, asset in item["assets"].items()
        if isinstance(asset, dict) and isinstance(asset.get("href"), str)
    }
    rasters = {name: asset for name, asset in assets.items() if _is_raster(asset)}

    def href(name: str) -> str:
        return _located(rasters[name]["href"], path)

    for name, asset in rasters.items():
        if name == "visual" or "visual" in _list(asset.get("roles")):
            return StacAssets((href(name),), None)
    names = {name: tuple(_band_names(name, asset)) for name, asset in rasters.items()}
    for name, bands in names.items():
        if all(colour in bands for colour in COLOURS):
            found = tuple(bands.index(colour) + 1 for colour in COLOURS)
            return StacAssets((href(name),), found)
    single = {bands[0]: name for name, bands in reversed(names.items()) if len(bands) == 1}
    if all(colour in single for colour in COLOURS):
        return StacAssets(tuple(href(single[colour]) for colour in COLOURS), (1, 1, 1))
    data = [name for name, asset in rasters.items() if "data" in _list(asset.get("roles"))]
    for only in (data, list(rasters)):
        if len(only) == 1:
            return StacAssets((href(only[0]),), None)
    raise InputError(
        f"{path}: no asset is called visual, and none holds red, green and blue; give the address "
        f"of one of its files (assets: {', '.join(assets) or 'none'})"
    )


def _is_raster(asset: Mapping[str, Any]) -> bool:
    if {"thumbnail", "overview", "metadata"} & set(map(str, _list(asset.get("roles")))):
        return False
    kind, href = str(asset.get("type", "")), str(asset["href"])
    if kind:
        return kind.startswith(("image/tiff", "image/jp2", "image/vnd.stac.geotiff"))
    return urlsplit(href).path.lower().endswith((".tif", ".tiff", ".jp2", ".vrt"))


def _band_names(name: str, asset: Mapping[str, Any]) -> Iterator[str]:
    """The common name of each band, "" where it has none; an asset without bands is named so."""
    bands = _list(asset.get("eo:bands")) or _list(asset.get("bands"))
    for band in bands:
        known = band if isinstance(band, dict) else {}
        yield str(known.get("common_name") or known.get("eo:common_name") or known.get("name", ""))
    if not bands:
        yield name


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _located(href: str, path: str) -> str:
    """An href as GDAL may open it; what is relative is so to the item."""
    if "://" in href or href.startswith("/vsi"):
        return href
    if "://" in path:
        return urljoin(path, href)
    return str(Path(path).parent / href)


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return _bounded(file.read(MOST_BYTES + 1), path)
    except OSError as err:
        raise InputError(f"{path}: cannot be read ({err.strerror or err})") from err


def _fetch(url: str) -> bytes:
    """What lies at an address; tried again where a server has trouble of its own."""
    request = Request(url, headers={"User-Agent": f"rrsis-geo/{__version__}"})
    for left in range(RETRIES, -1, -1):
        try:
            with urlopen(request, timeout=TIMEOUT_S) as answer:
                return _bounded(answer.read(MOST_BYTES + 1), url)
        except (HTTPError, URLError, TimeoutError, OSError) as err:
            lasting = isinstance(err, HTTPError) and err.code < 500 and err.code != 429
            if lasting or not left:
                reason = getattr(err, "reason", None) or err
                raise InputError(f"{url}: cannot be reached ({reason})") from err
            time.sleep(RETRY_S * 2 ** (RETRIES - left))
    raise AssertionError("the last attempt returns or raises")


def _bounded(text: bytes, path: str) -> bytes:
    if len(text) > MOST_BYTES:
        raise InputError(f"{path}: too large for a STAC item; give one item, not a collection")
    return text
