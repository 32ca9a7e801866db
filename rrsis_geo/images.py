"""Settings of the images of a network, and how benchmarks resize theirs. Loads no torch."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rrsis_geo import config
from rrsis_geo.errors import ConfigError, ModelError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


MAX_SIZE_PX = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSpec:
    """Size, normalisation and ground pixel of the images of a network.

    Attributes:
        size_px: height and width.
        mean: mean of red, green and blue, from 0 to 1.
        std: standard deviation of red, green and blue, from 0 to 1.
        gsd_m: metres on the ground per pixel at which the network works best, None if unknown.
        gsd_range_m: finest and coarsest metres per pixel at which images are not resampled, None if
            unknown.
    """

    size_px: int = 512
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    gsd_m: float | None = None
    gsd_range_m: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not 32 <= self.size_px <= MAX_SIZE_PX or self.size_px % 32:
            raise ConfigError(
                f"size_px must be a positive multiple of 32 up to {MAX_SIZE_PX}, got {self.size_px}"
            )
        if len(self.mean) != 3 or not all(0 <= value <= 1 for value in self.mean):
            raise ConfigError(f"mean must be three numbers from 0 to 1, got {self.mean}")
        if len(self.std) != 3 or not all(1e-4 <= value <= 1 for value in self.std):
            raise ConfigError(f"std must be three numbers from 0.0001 to 1, got {self.std}")
        if self.gsd_m is not None and not 1e-4 <= self.gsd_m <= 1e6:
            raise ConfigError(f"gsd_m must be from 0.0001 to 1000000, got {self.gsd_m}")
        if self.gsd_range_m is not None:
            finest, coarsest = self.gsd_range_m
            if not 0 < finest <= coarsest < math.inf:
                raise ConfigError(f"gsd_range_m must be (finest, coarsest), got {self.gsd_range_m}")

    def to_dict(self) -> dict[str, Any]:
        """The fields, JSON-able."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, source: str = "image settings") -> "ImageSpec":
        """Build a spec from the result of ``to_dict``, directly or read from JSON.

        Args:
            values: the fields.
            source: name of the settings in error messages.

        Raises:
            ModelError: a field is unknown, of the wrong type or out of range.
        """
        try:
            return config.build(cls, values, source=source)
        except ConfigError as err:
            raise ModelError(str(err)) from err


def resize_to_square(
    image: NDArray[np.uint8], mask: NDArray[np.bool_], size_px: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Resize an image and its mask to a square, as in the protocol of the benchmarks.

    Args:
        image: uint8 RGB [H, W, 3]. Resampled bilinearly with antialiasing.
        mask: bool [H, W]. In some benchmarks its size differs slightly from the image. Resampled
            by nearest neighbour.
        size_px: side of the square.

    Returns:
        uint8 [size_px, size_px, 3] and bool [size_px, size_px].
    """
    square = (size_px, size_px)
    resized = Image.fromarray(image).resize(square, Image.Resampling.BILINEAR)
    resized_mask = Image.fromarray(mask.astype(np.uint8)).resize(square, Image.Resampling.NEAREST)
    return np.asarray(resized).copy(), np.asarray(resized_mask).astype(bool)
