"""Choose the bands of a raster, find out which pixels have data, and read both."""

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
from rrsis_geo.geo.scene.sources import geo_env, reopen

logger = logging.getLogger(__name__)

Validity = Literal["nodata", "mask", "alpha", "palette", "all"]
"""How pixels without data are marked: by a value, a mask, an alpha band, transparent colours of the
palette, or not at all."""

BandsBy = Literal["option", "palette", "gray", "colorinterp", "order"]
"""How the bands were chosen."""

_CMYK = {ColorInterp.cyan, ColorInterp.magenta, ColorInterp.yellow}


@dataclass(frozen=True, slots=True)
class PixelPlan:
    """How the pixels of a raster are read.

    Attributes:
        bands: 1-based, three (red, green, blue) or one.
        bands_by: how the bands were chosen.
        validity: how pixels without data are marked.
        nodata: nodata value of each band, or None.
        alpha: 1-based alpha band; None if there is none or it is not used.
        mask_bands: bands whose GDAL mask is read; a pixel is valid if any of the masks is set.
        transparent: indices of the transparent colours of the palette.
    """

    bands: tuple[int, ...]
    bands_by: BandsBy
    validity: Validity
    nodata: tuple[float | None, ...]
    alpha: int | None = None
    mask_bands: tuple[int, ...] = ()
    transparent: tuple[int, ...] = ()


def plan_pixels(
    dataset: rasterio.DatasetReader, name: str, bands: Sequence[int] | None, nodata: float | None
) -> PixelPlan:
    """Choose the bands and the source of validity from the metadata of the file.

    Pixel values are not used, with one exception: in some four-band imagery the infrared band is
    tagged alpha by mistake. If the alpha band has many values and most of them are neither
    transparent nor opaque, it is ignored with a warning.

    Args:
        dataset: open raster.
        name: name of the file, for messages.
        bands: 1-based, one or three; None chooses.
        nodata: replaces the nodata value of the file. A mask or an alpha band is still used.

    Raises:
        ConfigError: bands or nodata do not fit the raster.
        InputError: the bands cannot be chosen automatically.
    """
    interps = dataset.colorinterp  # before any read: GDAL would report a failed one here
    alpha = _alpha_band(dataset, name, bands, interps)
    indexes, bands_by = _choose_bands(dataset, name, bands, alpha, interps)
    dtype = pixel_type(dataset, indexes, name)
    if nodata is not None:
        if not _can_hold(dtype, nodata):
            raise ConfigError(f"{name}: nodata {nodata:g} is not a value of its pixel type {dtype}")
        nodata_of: tuple[float | None, ...] = (nodata,) * len(indexes)
    else:
        nodata_of = tuple(dataset.nodatavals[band - 1] for band in indexes)
        nodata_of = tuple(v if v is not None and _can_hold(dtype, v) else None for v in nodata_of)

    mask_bands = () if alpha is not None else _mask_bands(dataset, indexes)
    if nodata is None and (alpha is not None or mask_bands):
        nodata_of = (None,) * len(indexes)
    is_palette = interps[0] == ColorInterp.palette
    transparent = _transparent_colours(dataset) if indexes == (1,) and is_palette else ()
    validity: Validity = "all"
    if alpha is not None:
        validity = "alpha"
    elif mask_bands:
        validity = "mask"
    elif None not in nodata_of:
        validity = "nodata"
    elif transparent:
        validity = "palette"
    return PixelPlan(indexes, bands_by, validity, nodata_of, alpha, mask_bands, transparent)


def _mask_bands(dataset: rasterio.DatasetReader, bands: tuple[int, ...]) -> tuple[int, ...]:
    """The bands whose GDAL mask must be read: one if the mask is common to all bands."""
    flags = [set(dataset.mask_flag_enums[band - 1]) for band in bands]
    if any(MaskFlags.alpha in flag for flag in flags):
        return ()  # an alpha band that is ignored
    if any(MaskFlags.per_dataset in flag for flag in flags):
        return bands[:1]
    return tuple(dict.fromkeys(bands)) if not all(flags) else ()


def _transparent_colours(dataset: rasterio.DatasetReader) -> tuple[int, ...]:
    """Indices of the fully transparent colours of a palette; none if no colour is opaque.

    GDAL reports a single one as the nodata value, so that one can be replaced like any other.
    """
    alphas = {index: colour[3] for index, colour in dataset.colormap(1).items()}
    if not any(alphas.values()):
        return ()
    nodata = dataset.nodatavals[0]
    return tuple(index for index, alpha in alphas.items() if alpha == 0 and index != nodata)


def pixel_type(
    dataset: rasterio.DatasetReader, bands: Sequence[int], name: str
) -> np.dtype[np.generic]:
    """The smallest type that can hold the values of all given bands.

    Raises:
        InputError: a band has complex values, or a type that NumPy does not have.
    """
    kinds = sorted({dataset.dtypes[band - 1] for band in bands})
    for kind in kinds:
        if kind.startswith("complex"):
            raise InputError(
                f"{name}: its pixels are complex numbers ({kind}); convert them to amplitudes "
                "first, for example with gdal_calc"
            )
    try:
        return np.dtype(np.result_type(*kinds))
    except TypeError as err:
        raise InputError(f"{name}: pixels of type {', '.join(kinds)} cannot be read") from err


def _can_hold(dtype: np.dtype[np.generic], value: float) -> bool:
    """Whether a value can occur in pixels of a type."""
    if dtype.kind == "f":
        return True
    first, last = type_limits(dtype)
    return float(value).is_integer() and first <= value <= last


def type_limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    """Minimum and maximum of an integer type."""
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)


def _alpha_band(
    dataset: rasterio.DatasetReader,
    name: str,
    bands: Sequence[int] | None,
    interps: Sequence[ColorInterp],
) -> int | None:
    if ColorInterp.alpha not in interps:
        return None
    alpha: int = interps.index(ColorInterp.alpha) + 1
    if bands is not None and alpha in bands:
        return None
    if dataset.count == 4 and not _is_coverage(dataset, name, alpha):
        logger.warning(
            "%s: band %d is tagged alpha but contains image data (probably infrared); "
            "all pixels are taken as valid",
            name,
            alpha,
        )
        return None
    return alpha


def _is_coverage(dataset: rasterio.DatasetReader, name: str, alpha: int) -> bool:
    """Whether an alpha band marks pixels with data; decided on a fixed sample of windows."""
    parts = []
    error: RasterioIOError | None = None
    with reopen(dataset, name) as copy:  # because a failed read leaves its blocks in the cache
        for window in spread_windows(dataset.height, dataset.width, n=6, size_px=64):
            try:
                with geo_env():
                    parts.append(copy.read(alpha, window=window).ravel())
            except RasterioIOError as err:  # a damaged block; the others are enough
                error = err
    if not parts:
        raise InputError(
            f"{name}: band {alpha} cannot be read ({_first_line(error)}); "
            "the file may be truncated or damaged"
        ) from error
    sample = np.concatenate(parts)
    opaque = type_limits(sample.dtype)[1] if sample.dtype.kind in "ui" else 1
    between = sample[(sample > 0) & (sample < opaque)]
    return bool(2 * between.size <= sample.size or np.unique(between).size <= 16)


def _choose_bands(
    dataset: rasterio.DatasetReader,
    name: str,
    bands: Sequence[int] | None,
    alpha: int | None,
    interps: Sequence[ColorInterp],
) -> tuple[tuple[int, ...], BandsBy]:
    if bands is not None:
        if len(bands) not in (1, 3) or not all(1 <= band <= dataset.count for band in bands):
            raise ConfigError(
                f"bands must be one or three numbers from 1 to {dataset.count} "
                f"(the bands of {name}), got {','.join(map(str, bands))}"
            )
        return tuple(bands), "option"
    if interps[0] == ColorInterp.palette:
        return (1,), "palette"
    rgb = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    if all(interp in interps for interp in rgb):
        return tuple(interps.index(interp) + 1 for interp in rgb), "colorinterp"
    if _CMYK & set(interps):
        raise InputError(f"{name}: its colours are CMYK; convert it to RGB first")
    colours = tuple(band for band in range(1, dataset.count + 1) if band != alpha)
    if len(colours) == 2:
        raise InputError(
            f"{name}: has two bands; choose one with --bands {colours[0]} (shown as gray), or "
            f"three with repeats, such as --bands {colours[0]},{colours[1]},{colours[1]}"
        )
    if len(colours) == 1:
        return colours, "gray"
    logger.warning(
        "%s: no bands are tagged red, green and blue; using bands %d,%d,%d in this order "
        "(choose others with --bands)",
        name,
        *colours[:3],
    )
    return colours[:3], "order"


class PixelReader:
    """Reads pixels and their validity from an open raster.

    Attributes:
        dtype: type of the pixels that `read` returns.
    """

    def __init__(
        self,
        dataset: rasterio.DatasetReader,
        plan: PixelPlan,
        name: str,
        overview: int | None = None,
    ) -> None:
        """Keep the dataset, which is a file or the overview of this number."""
        self.dataset = dataset
        self._overview = overview
        self.plan = plan
        self.name = name
        self._indexes = plan.bands + (() if plan.alpha is None else (plan.alpha,))
        self.dtype = pixel_type(dataset, self._indexes, name)
        self._nodata = _nodata_values(plan, self.dtype)

    def read(
        self, window: Window, *, out_shape: tuple[int, int] | None = None
    ) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Read pixels [B, h, w] in the type of the file, and their validity, bool [h, w].

        A pixel is invalid if it is nodata in every band, or NaN or infinite in any band.

        Args:
            window: window inside the raster.
            out_shape: (h, w) to downsample to while reading, by the mean of valid pixels (nearest
                pixel for colour indices); None reads at full resolution.

        Raises:
            InputError: the window cannot be read.
        """
        height, width = out_shape or (int(window.height), int(window.width))
        average = out_shape is not None and self.plan.bands_by != "palette"
        # Pixel-interleaved, as in most files and as the network expects.
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
            # GDAL's threads leave damaged blocks in its cache, where the next attempt finds them.
            damaged = self.dataset
            self.dataset = reopen(damaged, self.name, self._overview)
            damaged.close()
            top, bottom = int(window.row_off), int(window.row_off + window.height)
            raise InputError(
                f"{self.name}: rows {top} to {bottom} cannot be read ({_first_line(err)}); "
                "the file may be truncated or damaged"
            ) from err
        n_bands = len(self.plan.bands)
        return pixels[:n_bands], self._valid(pixels[:n_bands], pixels[n_bands:], masks)

    def _reads(self, pixels: NDArray[Any]) -> list[tuple[Any, NDArray[Any]]]:
        """Bands to read together, with their arrays; rasterio reads one type at a time."""
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
                valid |= band != value  # NaN is handled below
        if self.plan.transparent:
            valid &= ~np.isin(pixels[0], self.plan.transparent)
        if pixels.dtype.kind == "f":
            for band in pixels:
                valid &= np.isfinite(band)
        if len(alpha):
            valid &= alpha[0] > 0
        if len(masks):
            valid &= masks.any(axis=0)
        return valid


def _nodata_values(plan: PixelPlan, dtype: np.dtype[np.generic]) -> list[Any] | None:
    """Nodata values in the type of the pixels; None unless every band has one."""
    if None in plan.nodata:
        return None
    with np.errstate(over="ignore"):
        return [np.array(value).astype(dtype)[()] for value in plan.nodata]


def _first_line(err: BaseException | None) -> str:
    """First line of GDAL's message, which rasterio keeps in the cause of its error."""
    cause = (err and err.__cause__) or err
    return str(cause).splitlines()[0] if str(cause) else str(err)


def spread_windows(height: int, width: int, *, n: int, size_px: int) -> list[Window]:
    """Up to n x n windows of side ``size_px``, evenly spaced without overlap.

    They are a fixed sample of a scene. If they would cover the scene anyway, they cover all of it.
    """
    rows, cols = _spread(height, n, size_px), _spread(width, n, size_px)
    return [Window(col, row, w, h) for row, h in rows for col, w in cols]


def _spread(length: int, n: int, size_px: int) -> list[tuple[int, int]]:
    """(start, size) of each piece along one axis."""
    if n * size_px >= length:
        return [(start, min(size_px, length - start)) for start in range(0, length, size_px)]
    return [((2 * k + 1) * length // (2 * n) - size_px // 2, size_px) for k in range(n)]
