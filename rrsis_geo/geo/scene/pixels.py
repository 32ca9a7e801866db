"""Which bands of a raster are looked at and which of its pixels hold data; reads both together."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import RasterioIOError
from rasterio.windows import Window

from rrsis_geo.errors import ConfigError, InputError

logger = logging.getLogger(__name__)

CACHE_MB = 256
"""GDAL's block cache. Its default, 5 % of the machine's memory, would grow with the machine."""

NETWORK = {
    "GDAL_HTTP_MAX_RETRY": 4,  # of what a server says is temporary: 429, 500, 502, 503, 504
    "GDAL_HTTP_RETRY_DELAY": 0.5,  # seconds, twice as many each time
    "GDAL_HTTP_CONNECTTIMEOUT": 15,
    "GDAL_HTTP_LOW_SPEED_TIME": 30,  # give up on what has been slower for so many seconds
    "GDAL_HTTP_LOW_SPEED_LIMIT": 1000,  # than so many bytes a second
    "CPL_VSIL_CURL_CACHE_SIZE": 2**26,
}
"""GDAL's settings for scenes that are read over a network."""

Validity = Literal["nodata", "mask", "alpha", "all"]
"""What tells which pixels hold data: a value, a mask, an alpha band, or nothing."""

BandsBy = Literal["option", "palette", "gray", "colorinterp", "order"]
"""What the bands were chosen by."""

_CMYK = {ColorInterp.cyan, ColorInterp.magenta, ColorInterp.yellow}


def geo_env() -> rasterio.Env:
    """The GDAL settings that we read and write under: every call that touches pixels enters it.

    Entering takes some 50 microseconds. It is not held for as long as a file is open, because
    rasterio refuses environments that end in another order than they began.
    """
    return rasterio.Env(GDAL_CACHEMAX=CACHE_MB, **NETWORK)


@dataclass(frozen=True, slots=True)
class PixelPlan:
    """How pixels of a raster are read.

    Attributes:
        bands: 1-based, three (red, green, blue) or one.
        bands_by: what they were chosen by.
        validity: what tells which pixels hold data.
        nodata: for each band the value that means "no data", or None.
        alpha: 1-based band of coverage, None where there is none or it is not used.
        mask_bands: the bands whose GDAL mask is read; a pixel is valid where any is.
    """

    bands: tuple[int, ...]
    bands_by: BandsBy
    validity: Validity
    nodata: tuple[float | None, ...]
    alpha: int | None = None
    mask_bands: tuple[int, ...] = ()


def plan_pixels(
    dataset: rasterio.DatasetReader, name: str, bands: Sequence[int] | None, nodata: float | None
) -> PixelPlan:
    """Choose bands and the source of validity from what the file says; never from pixel values.

    One exception guards against a common mistake: four-band imagery whose infrared band was tagged
    alpha by the program that wrote it. An alpha band that takes many values, most of them neither
    clear nor opaque, is no coverage; it is then not used, and a warning says so.

    Args:
        dataset: open raster.
        name: of the file, for messages.
        bands: 1-based, one or three; None chooses.
        nodata: used in place of the file's value; a mask or an alpha band of the file still holds.

    Raises:
        ConfigError: bands or nodata do not fit the raster.
        InputError: no sensible choice of bands.
    """
    alpha = _alpha_band(dataset, name, bands)
    chosen, bands_by = _choose_bands(dataset, name, bands, alpha)
    dtype = _common_type(dataset, chosen)
    if dtype.kind not in "uif":
        raise InputError(f"{name}: pixels of type {dtype} cannot be shown as an image")
    if nodata is not None:
        if not _holds(dtype, nodata):
            raise ConfigError(f"nodata {nodata:g} is no value of {name}, whose pixels are {dtype}")
        nodata_of: tuple[float | None, ...] = (nodata,) * len(chosen)
    else:
        nodata_of = tuple(dataset.nodatavals[band - 1] for band in chosen)
        nodata_of = tuple(v if v is not None and _holds(dtype, v) else None for v in nodata_of)

    mask_bands = () if alpha is not None else _mask_bands(dataset, chosen)
    if nodata is None and (alpha is not None or mask_bands):
        nodata_of = (None,) * len(chosen)
    validity: Validity = "all"
    if alpha is not None:
        validity = "alpha"
    elif mask_bands:
        validity = "mask"
    elif None not in nodata_of:
        validity = "nodata"
    return PixelPlan(chosen, bands_by, validity, nodata_of, alpha, mask_bands)


def _mask_bands(dataset: rasterio.DatasetReader, chosen: tuple[int, ...]) -> tuple[int, ...]:
    """The bands whose GDAL mask must be read: one for a mask of the whole file, else each."""
    flags = [set(dataset.mask_flag_enums[band - 1]) for band in chosen]
    if any(MaskFlags.alpha in flag for flag in flags):
        return ()  # an alpha band that is not used for coverage
    if any(MaskFlags.per_dataset in flag for flag in flags):
        return chosen[:1]
    return tuple(dict.fromkeys(chosen)) if not all(flags) else ()


def _common_type(dataset: rasterio.DatasetReader, bands: Sequence[int]) -> np.dtype[Any]:
    """The type that holds the values of all of some bands."""
    return np.dtype(np.result_type(*(dataset.dtypes[band - 1] for band in bands)))


def _holds(dtype: np.dtype[np.generic], value: float) -> bool:
    """Whether pixels of a type can have a value."""
    if dtype.kind == "f":
        return True
    first, last = type_limits(dtype)
    return float(value).is_integer() and first <= value <= last


def type_limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    """The least and the greatest value of an integer type."""
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)


def _alpha_band(
    dataset: rasterio.DatasetReader, name: str, bands: Sequence[int] | None
) -> int | None:
    interps = dataset.colorinterp
    if ColorInterp.alpha not in interps:
        return None
    alpha: int = interps.index(ColorInterp.alpha) + 1
    if bands is not None and alpha in bands:
        return None
    if dataset.count == 4 and not _is_coverage(dataset, name, alpha):
        logger.warning(
            "%s: band %d is tagged alpha but holds image data (infrared, most likely); "
            "every pixel is taken as valid",
            name,
            alpha,
        )
        return None
    return alpha


def _is_coverage(dataset: rasterio.DatasetReader, name: str, alpha: int) -> bool:
    """Whether an alpha band says where there is data; read from a fixed sample of places."""
    places = spread_windows(dataset.height, dataset.width, n=6, size_px=64)
    try:
        with geo_env():
            sample = np.concatenate([dataset.read(alpha, window=w).ravel() for w in places])
    except RasterioIOError as err:
        raise InputError(
            f"{name}: band {alpha} cannot be read ({_first_line(err)}); "
            "the file may be truncated or damaged"
        ) from err
    opaque = type_limits(sample.dtype)[1] if sample.dtype.kind in "ui" else 1
    between = sample[(sample > 0) & (sample < opaque)]
    return bool(2 * between.size <= sample.size or np.unique(between).size <= 16)


def _choose_bands(
    dataset: rasterio.DatasetReader, name: str, bands: Sequence[int] | None, alpha: int | None
) -> tuple[tuple[int, ...], BandsBy]:
    interps = dataset.colorinterp
    if bands is not None:
        if len(bands) not in (1, 3) or not all(1 <= band <= dataset.count for band in bands):
            raise ConfigError(
                f"bands must be one or three numbers from 1 to {dataset.count} "
                f"(the bands of {name}), got {','.join(map(str, bands))}"
            )
        return tuple(bands), "option"
    if interps[0] == ColorInterp.palette:
        return (1,), "palette"
    wanted = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    if all(interp in interps for interp in wanted):
        return tuple(interps.index(interp) + 1 for interp in wanted), "colorinterp"
    if _CMYK & set(interps):
        raise InputError(f"{name}: colours are CMYK; convert to RGB first")
    colours = tuple(band for band in range(1, dataset.count + 1) if band != alpha)
    if len(colours) == 2:
        raise InputError(
            f"{name}: two bands make no colour image; choose one with --bands {colours[0]} "
            f"(shown as gray), or three with repeats, such as --bands "
            f"{colours[0]},{colours[1]},{colours[1]}"
        )
    if len(colours) == 1:
        return colours, "gray"
    logger.warning(
        "%s: no band is marked red, green or blue; bands %d,%d,%d are taken for them "
        "(choose others with --bands, red first)",
        name,
        *colours[:3],
    )
    return colours[:3], "order"


class PixelReader:
    """Reads pixels and their validity from one open raster."""

    def __init__(self, dataset: rasterio.DatasetReader, plan: PixelPlan, name: str) -> None:
        """The dataset stays the caller's to close; ``dtype`` is what pixels come in."""
        self.dataset = dataset
        self.plan = plan
        self.name = name
        self._indexes = plan.bands + (() if plan.alpha is None else (plan.alpha,))
        self.dtype = _common_type(dataset, self._indexes)
        self._nodata = _as_pixels(plan, self.dtype)

    def read(
        self, window: Window, *, out_shape: tuple[int, int] | None = None
    ) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Pixels [B, h, w] in the file's own type, and bool [h, w]: which hold data.

        A pixel with nodata in every band is invalid, and so is one with NaN or infinity in any.

        Args:
            window: inside the raster.
            out_shape: (h, w) to shrink to while reading, by the mean of valid pixels (colour
                indices: the nearest); None reads pixel by pixel.

        Raises:
            InputError: the file cannot be read there.
        """
        height, width = out_shape or (int(window.height), int(window.width))
        average = out_shape is not None and self.plan.bands_by != "palette"
        # Pixel-interleaved memory: what most files hold, and what the network is given.
        pixels = np.empty((height, width, len(self._indexes)), self.dtype).transpose(2, 0, 1)
        masks = np.empty((len(self.plan.mask_bands), height, width), np.uint8)
        try:
            with geo_env():
                for indexes, out in self._reads(pixels):
                    self.dataset.read(
                        indexes,
                        window=window,
                        out=out,
                        resampling=Resampling.average if average else Resampling.nearest,
                    )
                if len(masks):
                    self.dataset.read_masks(list(self.plan.mask_bands), window=window, out=masks)
        except RasterioIOError as err:
            top, bottom = int(window.row_off), int(window.row_off + window.height)
            raise InputError(
                f"{self.name}: rows {top} to {bottom} cannot be read ({_first_line(err)}); "
                "the file may be truncated or damaged"
            ) from err
        n_bands = len(self.plan.bands)
        return pixels[:n_bands], self._valid(pixels[:n_bands], pixels[n_bands:], masks)

    def _reads(self, pixels: NDArray[Any]) -> list[tuple[Any, NDArray[Any]]]:
        """The bands to read at once, and into what; rasterio reads no two types at once."""
        if len({self.dataset.dtypes[index - 1] for index in self._indexes}) == 1:
            return [(list(self._indexes), pixels)]
        return list(zip(self._indexes, pixels, strict=True))

    def _valid(
        self,
        pixels: NDArray[np.generic],
        alpha: NDArray[np.generic],
        masks: NDArray[np.uint8],
    ) -> NDArray[np.bool_]:
        valid = np.ones(pixels.shape[1:], np.bool_)
        if self._nodata is not None:
            valid = np.zeros_like(valid)
            for band, value in zip(pixels, self._nodata, strict=True):
                valid |= band != value  # NaN is dealt with below
        if pixels.dtype.kind == "f":
            for band in pixels:
                valid &= np.isfinite(band)
        if len(alpha):
            valid &= alpha[0] > 0
        if len(masks):
            valid &= masks.any(axis=0)
        return valid


def _as_pixels(plan: PixelPlan, dtype: np.dtype[np.generic]) -> list[Any] | None:
    """The nodata values as pixels have them; None where not every band has one."""
    if None in plan.nodata:
        return None
    with np.errstate(over="ignore"):
        return [np.array(value).astype(dtype)[()] for value in plan.nodata]


def _first_line(err: BaseException) -> str:
    """What GDAL said, which rasterio keeps in the cause."""
    cause = err.__cause__ or err
    return str(cause).splitlines()[0] if str(cause) else str(err)


def spread_windows(height: int, width: int, *, n: int, size_px: int) -> list[Window]:
    """At most n x n windows of at most ``size_px`` a side, evenly spread; no two overlap.

    The same for the same arguments: a fixed sample of a scene. One that it would cover anyway
    comes back whole.
    """
    rows, cols = _spread(height, n, size_px), _spread(width, n, size_px)
    return [Window(col, row, w, h) for row, h in rows for col, w in cols]


def _spread(length: int, n: int, size_px: int) -> list[tuple[int, int]]:
    """(start, size) of each piece along one axis."""
    if n * size_px >= length:
        return [(start, min(size_px, length - start)) for start in range(0, length, size_px)]
    return [((2 * k + 1) * length // (2 * n) - size_px // 2, size_px) for k in range(n)]
