"""Convert pixel values of a scene to the 8-bit RGB that networks expect.

The conversion of a pixel must not depend on the window, so the stretch is measured once over the
whole scene and stored with the run.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from rrsis_geo.errors import InputError
from rrsis_geo.geo.scene.pixels import PixelReader, spread_windows, type_limits
from rrsis_geo.geo.scene.scene import Scene
from rrsis_geo.geo.scene.sources import read_tags, reopen

logger = logging.getLogger(__name__)

PERCENTILES = (2.0, 98.0)

_SAMPLE_LOW_PX = 2**18
_SAMPLE_HIGH_PX = 2**22
_ENOUGH_PX = 2**14
_PIECE_PX = 2**22
_SENTINEL_SHARE = 0.01
"""A value of fewer pixels does not move the ends of the stretch."""
_BLACK_SHARE = 0.05
"""Dark ground is rarely exactly 0 in all bands in so many pixels."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Conversion of pixel values to 8-bit RGB.

    Attributes:
        kind: "identity" for 8-bit pixels, "linear" between lo and hi, or "palette".
        lo: value of each band that becomes 0; empty unless linear.
        hi: value of each band that becomes 255; below lo if 0 is white in the file.
        palette: RGB of each colour index; empty unless palette.
        fill: RGB of pixels without data: the mean of all valid pixels.
    """

    kind: Literal["identity", "linear", "palette"]
    lo: tuple[float, ...] = ()
    hi: tuple[float, ...] = ()
    palette: tuple[tuple[int, int, int], ...] = ()
    fill: tuple[int, int, int] = (0, 0, 0)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {
            "kind": self.kind,
            "lo": list(self.lo),
            "hi": list(self.hi),
            "palette": [list(colour) for colour in self.palette],
            "fill": list(self.fill),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """The inverse of ``to_dict``."""
        red, green, blue = record["fill"]
        return cls(
            kind=record["kind"],
            lo=tuple(record["lo"]),
            hi=tuple(record["hi"]),
            palette=tuple((r, g, b) for r, g, b in record["palette"]),
            fill=(red, green, blue),
        )

    def apply(self, pixels: NDArray[np.generic], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Convert pixels [B, h, w] with validity bool [h, w] to uint8 RGB [h, w, 3].

        A single band is repeated. Invalid pixels get the fill colour.
        """
        if self.kind == "palette":
            colours = self._colours(pixels[0])
        elif self.kind == "identity":
            colours = pixels.transpose(1, 2, 0).astype(np.uint8, copy=False)
        else:
            bands = [self._scale(band, valid, k) for k, band in enumerate(pixels)]
            colours = np.stack(bands, axis=-1)
        is_gray = colours.shape[2] == 1
        rgb = colours.repeat(3, axis=2) if is_gray else np.ascontiguousarray(colours)
        if not valid.all():
            rgb[~valid] = self.fill
        return rgb

    def _colours(self, index: NDArray[np.generic]) -> NDArray[np.uint8]:
        table = np.array(self.palette, np.uint8)
        colours: NDArray[np.uint8] = np.take(table, index.astype(np.int64), axis=0, mode="clip")
        return colours

    def _scale(
        self, band: NDArray[np.generic], valid: NDArray[np.bool_], k: int
    ) -> NDArray[np.uint8]:
        lo, hi = self.lo[k], self.hi[k]
        if band.dtype.kind in "ui" and band.dtype.itemsize <= 2:
            first, last = type_limits(band.dtype)
            table = _to_uint8(np.arange(first, last + 1, dtype=np.float64), lo, hi)
            levels: NDArray[np.uint8] = np.roll(table, first)[band]  # -1 indexes the last level
            return levels
        kind = np.float32 if band.dtype.itemsize <= 4 and band.dtype.kind == "f" else np.float64
        return _to_uint8(np.where(valid, band, lo).astype(kind, copy=False), lo, hi)


def _to_uint8(values: NDArray[np.floating[Any]], lo: float, hi: float) -> NDArray[np.uint8]:
    share = np.clip((values - lo) / (hi - lo), 0, 1)
    levels: NDArray[np.uint8] = np.rint(255 * share).astype(np.uint8)
    return levels


def measure_stretch(scene: Scene) -> Stretch:
    """Measure the stretch of the whole scene, also if ``scene`` is a part of it.

    8-bit pixels are used unchanged. Other types are stretched, band by band, between the 2nd and
    the 98th percentile of the valid pixels of the coarsest overview that has enough of them, or of
    windows spread evenly over the scene. The result is the same for the same file.

    Raises:
        InputError: the file cannot be read.
    """
    reader = scene.reader
    sample = _sample(scene)
    if not sample.shape[1]:
        logger.warning("%s: has no valid pixels", scene.whole.path)
    is_inverted = read_tags(reader.dataset, "IMAGE_STRUCTURE").get("MINISWHITE") == "YES"
    if reader.plan.bands_by == "palette":
        table = reader.dataset.colormap(1)
        default = (0, 0, 0, 0)
        colours = tuple(table.get(index, default)[:3] for index in range(max(table) + 1))
        stretch = Stretch("palette", palette=colours)
    elif reader.dtype == np.uint8 and not is_inverted:
        stretch = Stretch("identity")
    elif reader.dtype == np.uint8:
        stretch = Stretch("linear", lo=(255.0,) * len(sample), hi=(0.0,) * len(sample))
    else:
        stretch = _percentile_stretch(sample, is_inverted)
        _warn_of_sentinels(scene, sample)
    if reader.plan.validity == "all" and stretch.kind != "palette":
        _warn_of_black(scene, sample)
    return _with_fill(stretch, sample)


def _percentile_stretch(sample: NDArray[np.generic], is_inverted: bool) -> Stretch:
    if not sample.shape[1]:
        return Stretch("linear", lo=(0.0,) * len(sample), hi=(1.0,) * len(sample))
    ends = np.percentile(sample.astype(np.float64), PERCENTILES, axis=1)
    lo, hi = ends[0].tolist(), ends[1].tolist()
    hi = [high if high > low else low + 1 for low, high in zip(lo, hi, strict=True)]
    if is_inverted:
        lo, hi = hi, lo
    return Stretch("linear", lo=tuple(lo), hi=tuple(hi))


def _warn_of_black(scene: Scene, sample: NDArray[np.generic]) -> None:
    """Warn if many pixels are exactly 0 in all bands: a border that the file does not declare."""
    if not sample.shape[1]:
        return
    share = float((sample == 0).all(axis=0).mean())
    if share >= _BLACK_SHARE:
        logger.warning(
            "%s: %.0f %% of the pixels are exactly %s and no nodata is declared, so objects are "
            "found there too; if they are a border without data, give --nodata 0",
            scene.whole.path,
            100 * share,
            ",".join("0" * len(sample)),
        )


def _warn_of_sentinels(scene: Scene, sample: NDArray[np.generic]) -> None:
    """Warn if one value far from all others spans the stretch: it probably means no data."""
    found = dict.fromkeys(value for band in sample for value in _sentinels(band))
    if not found:
        return
    told = scene.whole.nodata
    logger.warning(
        "%s: the value %s lies far from all others and decides the stretch, so the picture has "
        "little contrast; if it means no data, give --nodata %s%s",
        scene.whole.path,
        " and ".join(found),
        next(iter(found)),
        "" if told is None else f" (the file states {told!r})",
    )


def _sentinels(values: NDArray[np.generic]) -> Iterator[str]:
    """The values at an end of a stretch that are frequent and far from all others."""
    for value in (values.min(), values.max()) if values.size else ():
        is_value = values == value
        others = values[~is_value].astype(np.float64)
        if not others.size or is_value.mean() < _SENTINEL_SHARE:
            continue
        lo, hi = np.percentile(others, PERCENTILES)
        with np.errstate(over="ignore"):
            if max(lo - float(value), float(value) - hi) > hi - lo > 0:
                yield str(value)


def _with_fill(stretch: Stretch, sample: NDArray[np.generic]) -> Stretch:
    if not sample.shape[1]:
        return stretch
    colours = stretch.apply(sample[:, None, :], np.ones((1, sample.shape[1]), np.bool_))
    red, green, blue = np.rint(colours[0].mean(axis=0)).astype(int).tolist()
    return Stretch(stretch.kind, stretch.lo, stretch.hi, stretch.palette, (red, green, blue))


def _sample(scene: Scene) -> NDArray[np.generic]:
    """A sample of the valid pixels of the whole scene, [B, n]; n is 0 only if there are none.

    What cannot be read is left out, with a warning: a run marks such pixels as not read.

    Raises:
        InputError: nothing but pixels without data can be read.
    """
    errors: list[InputError] = []
    sample = _sample_overview(scene, errors)
    if sample is None:
        sample = _sample_windows(scene, errors)
    if errors and not sample.shape[1]:
        raise errors[-1]
    if errors:
        logger.warning(
            "the colours of the scene are measured without parts that cannot be read: %s%s",
            errors[0],
            f"; and {len(errors) - 1} more" if len(errors) > 1 else "",
        )
    return sample


def _sample_overview(scene: Scene, errors: list[InputError]) -> NDArray[np.generic] | None:
    """The valid pixels of an overview, [B, n]; None if no overview has enough of them."""
    level = _overview_level(scene)
    if level is None:
        return None
    label = f"{scene.whole.path}: overview {level}"
    try:
        dataset = reopen(scene.reader.dataset, label, level)
    except InputError as err:
        errors.append(err)
        return None
    reader = PixelReader(dataset, scene.reader.plan, label, level)
    window = Window(0, 0, dataset.width, dataset.height)
    sample = _valid_pixels(reader, [window], errors)
    reader.dataset.close()
    return sample if sample.shape[1] >= _ENOUGH_PX else None


def _sample_windows(scene: Scene, errors: list[InputError]) -> NDArray[np.generic]:
    """The valid pixels of windows spread over the scene, [B, n]."""
    height, width = scene.whole.shape
    for n, size_px in ((8, 128), (32, 64)):
        windows = spread_windows(height, width, n=n, size_px=size_px)
        sample = _valid_pixels(scene.reader, windows, errors)
        if sample.shape[1] >= min(_ENOUGH_PX, height * width // 2) or len(errors) >= len(windows):
            return sample
    # Few pixels have data, as in the corner of a mosaic: read all rows until there are enough.
    rows = max(1, _PIECE_PX // width)
    strips = (Window(0, top, width, min(rows, height - top)) for top in range(0, height, rows))
    return _valid_pixels(scene.reader, strips, errors, max_pixels=_SAMPLE_LOW_PX)


def _overview_level(scene: Scene) -> int | None:
    """Level of the coarsest overview with enough but not too many pixels; None if there is none."""
    plan = scene.reader.plan
    if plan.mask_bands or plan.bands_by == "palette":
        return None  # masks may lack overviews, and colour indices cannot be averaged
    pixels = scene.whole.height * scene.whole.width
    factors = scene.reader.dataset.overviews(plan.bands[0])
    for level in reversed(range(len(factors))):
        if _SAMPLE_LOW_PX <= pixels // factors[level] ** 2 <= _SAMPLE_HIGH_PX:
            return level
    return None


def _valid_pixels(
    reader: PixelReader,
    windows: Iterable[Window],
    errors: list[InputError],
    max_pixels: int | None = None,
) -> NDArray[np.generic]:
    """The valid pixels of windows, [B, n]; stops after the window that reaches ``max_pixels``.

    The errors of windows that cannot be read in two attempts are added to ``errors``.
    """
    parts = [np.empty((len(reader.plan.bands), 0), reader.dtype)]
    count = 0
    for window in windows:
        try:
            pixels, valid = _read_twice(reader, window)
        except InputError as err:
            errors.append(err)
            continue
        parts.append(pixels[:, valid])
        count += parts[-1].shape[1]
        if max_pixels is not None and count >= max_pixels:
            break
    return np.concatenate(parts, axis=1)


def _read_twice(
    reader: PixelReader, window: Window
) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """Read a window, again if the first attempt fails.

    Raises:
        InputError: the window cannot be read.
    """
    try:
        return reader.read(window)
    except InputError:
        return reader.read(window)
