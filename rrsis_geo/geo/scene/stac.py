"""Read STAC items and choose the assets to use as a scene.

A STAC item is a JSON file that describes a scene and lists its files (assets). Versions 1.0 (band
names in ``eo:bands``) and 1.1 (``bands``) are supported.
"""

import json
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from http.client import HTTPException, IncompleteRead
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import quote, unquote, urljoin
from urllib.request import Request, urlopen

from rrsis_geo.errors import InputError
from rrsis_geo.geo.scene.local_files import address_path, check_file, local_path
from rrsis_geo.version import __version__

MAX_BYTES = 2**24
TIMEOUT_S = 30
"""Time for one attempt to fetch an item, however slowly it arrives."""
RETRIES = 3
RETRY_S = 0.5
"""Delay before the first retry; doubled after each."""
COLOURS = "red", "green", "blue"
_NOT_JSON = json.JSONDecodeError, UnicodeError, RecursionError
_REMOTE_HREFS = (
    *("http://", "https://", "s3://", "gs://", "az://"),
    *("/vsis3/", "/vsigs/", "/vsiaz/", "/vsiadls/"),
)
"""How the hrefs of a remote item may begin; others would name files of this machine."""


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
    name = address_path(path) if "://" in path else path
    return name.endswith((".json", ".geojson")) or ("://" in path and "/items/" in name)


def read_item(path: str) -> dict[str, Any]:
    """Read an item from a file or an http(s) address.

    Raises:
        InputError: it cannot be read or is not a STAC item.
    """
    is_remote = path.startswith(("http://", "https://"))
    try:
        item = _fetch(path) if is_remote else json.loads(_read_file(path))
        json.dumps(item, ensure_ascii=False).encode()  # loads accepts text that is not Unicode
    except _NOT_JSON as err:
        raise _not_json(path, err) from err
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
    names = href.lower(), address_path(href).lower()
    return any(name.endswith((".tif", ".tiff", ".jp2", ".vrt")) for name in names)


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
    """A path or address that GDAL can open. Hrefs are URI references, relative to the item.

    Raises:
        InputError: a remote item names a file of this machine, or the href is not valid.
    """
    if path.startswith(("http://", "https://")):
        try:
            address = href if href.startswith("/vsi") else urljoin(path, href)
        except ValueError as err:
            raise InputError(f"{path}: its asset {href} is not a valid address ({err})") from err
        if not address.startswith(_REMOTE_HREFS):
            raise InputError(
                f"{path}: its asset {href} is not on a network; a remote item must not name files "
                "of this machine"
            )
        return address
    href = local_path(href)
    if "://" in href or href.startswith("/vsi"):
        return href
    folder = Path(local_path(path)).parent
    decoded = folder / unquote(address_path(href))
    # Some items hold plain paths, in which a percent sign means itself.
    return str(folder / href if not decoded.exists() and (folder / href).exists() else decoded)


def _read_file(path: str) -> bytes:
    file_path = Path(local_path(path))
    check_file(file_path, label=path)
    try:
        with file_path.open("rb") as file:
            return _check_size(file.read(MAX_BYTES + 1), path)
    except FileNotFoundError as err:
        raise InputError(f"{path}: no such file") from err
    except OSError as err:
        raise InputError(f"{path}: cannot be read ({err.strerror or err})") from err


def _fetch(url: str) -> Any:
    """Fetch and parse an address. Temporary errors of the server and damaged answers are retried.

    Raises:
        InputError: the address is not valid or cannot be reached, or its content is not JSON.
    """
    for attempt in range(RETRIES + 1):
        try:
            return json.loads(_download(url))
        except (HTTPException, OSError, ValueError, RecursionError) as err:
            is_permanent = isinstance(err, HTTPError) and err.code < 500 and err.code != 429
            if is_permanent or attempt == RETRIES:
                if isinstance(err, _NOT_JSON):
                    raise _not_json(url, err) from err
                reason = getattr(err, "reason", None) or str(err) or type(err).__name__
                raise InputError(f"{url}: cannot be reached ({reason})") from err
            time.sleep(RETRY_S * 2**attempt)
    raise AssertionError("the last attempt returns or raises")


def _download(url: str) -> bytes:
    """Fetch an address in a limited time.

    Raises:
        InputError: the address is not valid, or its content is too large.
        HTTPException, OSError: the server cannot be reached, or its answer is damaged.
    """
    try:
        request = Request(
            quote(url, safe="%/:=&?~#+!$,;'@()*[]"),
            headers={"User-Agent": f"rrsis-geo/{__version__}"},
        )
        request.host.encode("idna")  # host names have limits that urlopen checks too late
    except ValueError as err:
        raise InputError(f"{url}: is not a valid address ({err})") from err
    answers: queue.Queue[bytes | BaseException] = queue.Queue()

    def receive() -> None:
        try:
            with urlopen(request, timeout=TIMEOUT_S) as response:
                content = response.read(MAX_BYTES + 1)
                if len(content) <= MAX_BYTES and response.length:  # bytes that did not arrive
                    raise IncompleteRead(content, response.length)
                answers.put(content)
        except BaseException as err:
            answers.put(err)

    # A timeout of a socket starts again with every byte, so a thread is left behind instead.
    threading.Thread(target=receive, name="fetch-item", daemon=True).start()
    try:
        answer = answers.get(timeout=TIMEOUT_S)
    except queue.Empty:
        raise TimeoutError(f"no complete answer in {TIMEOUT_S} seconds") from None
    if isinstance(answer, BaseException):
        raise answer
    return _check_size(answer, url)


def _not_json(path: str, err: Exception) -> InputError:
    return InputError(f"{path}: not a STAC item, because it is not valid JSON ({err})")


def _check_size(text: bytes, path: str) -> bytes:
    if len(text) > MAX_BYTES:
        raise InputError(f"{path}: too large for a STAC item; give a single item, not a collection")
    return text
