"""A probability raster as input: its band, its tags and the objects in it."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from rrsis_geo.errors import InputError
from rrsis_geo.geo.grid.rasters import Georeference, RasterWriter, encode_mask
from rrsis_geo.geo.grid.windows import BLOCK_PX
from rrsis_geo.geo.objects.objects import Objects
from rrsis_geo.geo.objects.strips import close_strip
from rrsis_geo.geo.objects.vectorize import BandVectorizer
from rrsis_geo.geo.scene.scene import Scene
from rrsis_geo.progress import Progress
from rrsis_geo.segment.plan.options import SMALLEST_MODEL_PX
from rrsis_geo.segment.plan.plan import SMALLEST_OBJECT_TAG
from rrsis_geo.version import __version__

BAND_PX = 2**24
"""Pixels read at once, approximately."""
_ROUNDING = 1e-6  # 175 x 0.004 is slightly less than 0.7


def check_bands(raster: Scene) -> None:
    """Check that the raster has one band besides alpha: the first of several is only a guess.

    Raises:
        InputError: it has more.
    """
    path, colours = raster.info.path, raster.reader.dataset.colorinterp
    n_bands = sum(colour != ColorInterp.alpha for colour in colours)
    if n_bands > 1:
        raise InputError(
            f"{path}: has {n_bands} bands, but a probability raster has one; give a raster that "
            'was written with --probability, or extract a band first: "rio stack IN --bidx 2 OUT"'
        )


def model_of(raster: Scene) -> str:
    """Name of the model that wrote the raster, "" if the raster does not tell."""
    model: str = raster.reader.dataset.tags().get("model", "")
    return model


def smallest_object_px(raster: Scene) -> int:
    """The size below which a run drops objects by default, in pixels of the raster."""
    text = raster.reader.dataset.tags().get(SMALLEST_OBJECT_TAG, "")
    return int(text) if text.isdecimal() else SMALLEST_MODEL_PX


class ObjectReader:
    """Reads the closed objects of a raster band by band, and writes the mask if it is an output.

    Attributes:
        highest: highest probability of the pixels that were read.
    """

    def __init__(self, raster: Scene, mask_writer: RasterWriter | None, threshold: float) -> None:
        self._raster = raster
        self._mask_writer = mask_writer
        self._threshold = threshold
        self.highest = 0.0

    def read(self, progress: Progress) -> Iterator[Objects]:
        """Yield the objects, from top to bottom."""
        info, mask_writer = self._raster.info, self._mask_writer
        vectorizer = BandVectorizer(info.width)
        n_rows = max(BAND_PX // info.width, 1)
        if n_rows > BLOCK_PX:
            n_rows -= n_rows % BLOCK_PX  # read each block only once
        for row in range(0, info.height, n_rows):
            progress("rows", row, info.height)
            window = Window(0, row, info.width, min(n_rows, info.height - row))
            probability, valid = _read_probability(self._raster, window)
            self.highest = max(self.highest, float(probability.max()))
            mask = valid & (probability > self._threshold + _ROUNDING)
            if mask_writer is not None:
                mask_writer.write_band(row, encode_mask(mask, valid))
            yield vectorizer.add_band(row, mask, probability).in_reading_order()
        progress("rows", info.height, info.height)
        if mask_writer is not None:
            mask_writer.finish()
        yield close_strip(vectorizer.finish())


def open_mask_writer(
    raster: Scene, path: Path, creation_options: Mapping[str, str]
) -> RasterWriter:
    """A writer for the mask of the raster, with the tags that tell its origin."""
    info, tags = raster.info, raster.reader.dataset.tags()
    copied = {name: text for name, text in tags.items() if name in ("expression", "model")}
    return RasterWriter(
        path,
        "mask",
        Georeference(info.shape, info.crs, info.transform),
        tags={"software": f"rrsis-geo {__version__}", **copied},
        creation_options=creation_options,
    )


def _read_probability(
    raster: Scene, window: Window
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Probabilities, float32 [h, w], and where they are valid, bool [h, w]."""
    dataset = raster.reader.dataset
    values, valid = raster.read(window)
    probability = values[0] * np.float32(dataset.scales[0]) + np.float32(dataset.offsets[0])
    probability[~valid] = 0
    lowest, highest = float(probability.min()), float(probability.max())
    if lowest < 0 or highest > 1 + _ROUNDING:
        raise InputError(
            f"{raster.info.path}: contains values from {lowest:g} to {highest:g}, but "
            "probabilities are 0 to 1; give a raster that was written with --probability"
        )
    return probability, valid
