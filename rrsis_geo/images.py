"""The only preprocessing: what training, evaluation and segmentation alike do to an image."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from rrsis_geo.errors import ModelError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSpec:
    """What a network expects of its images.

    Attributes:
        size_px: height and width.
        mean: of red, green, blue, on the scale 0 to 1.
        std: of red, green, blue, on the scale 0 to 1.
        gsd_m: metres on the ground per pixel that the network sees best, None where unknown.
        gsd_range_m: the finest and the coarsest metres per pixel that it takes without resampling,
            None where unknown.
    """

    size_px: int = 512
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    gsd_m: float | None = None
    gsd_range_m: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.size_px < 32 or self.size_px % 32:
            raise ModelError(f"size_px must be a positive multiple of 32, got {self.size_px}")
        if len(self.mean) != 3 or len(self.std) != 3 or not all(map(math.isfinite, self.mean)):
            raise ModelError("mean and std must be three finite numbers each")
        if not all(math.isfinite(value) and value > 0 for value in self.std):
            raise ModelError(f"std must be positive, got {self.std}")
        if self.gsd_m is not None and not 0 < self.gsd_m < math.inf:
            raise ModelError(f"gsd_m must be positive, got {self.gsd_m}")
        if self.gsd_range_m is not None:
            finest, coarsest = self.gsd_range_m
            if not 0 < finest <= coarsest < math.inf:
                raise ModelError(f"gsd_range_m must be (finest, coarsest), got {self.gsd_range_m}")

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ImageSpec":
        """The spec that ``to_dict`` wrote, also after a way through JSON.

        Raises:
            ModelError: a field is unknown, of the wrong type or out of range.
        """
        fields: dict[str, Any] = {
            key: tuple(v) if isinstance(v, list) else v for key, v in values.items()
        }
        try:
            return cls(**fields)
        except (TypeError, ValueError) as err:
            raise ModelError(f"the image settings do not make sense: {err}") from err


def to_input(
    images: NDArray[np.uint8] | Tensor, spec: ImageSpec, device: torch.device | str = "cpu"
) -> Tensor:
    """Images as a network reads them: float32 [B, 3, H, W], normalised, channels last in memory.

    Args:
        images: uint8 RGB [B, H, W, 3], or one [H, W, 3].
        spec: mean and std are used; the size is not changed.
        device: where the result shall be; bytes travel there, a quarter of what floats would.
    """
    if not isinstance(images, Tensor):
        images = torch.from_numpy(np.ascontiguousarray(images))
    if images.dtype != torch.uint8 or images.ndim not in (3, 4) or images.shape[-1] != 3:
        raise ValueError(f"expected uint8 [B, H, W, 3], got {images.dtype} {tuple(images.shape)}")
    images_BHWC = images if images.ndim == 4 else images[None]
    scale = torch.tensor([1 / (255 * value) for value in spec.std], device=device)
    shift = torch.tensor([-m / s for m, s in zip(spec.mean, spec.std, strict=True)], device=device)
    pixels_BHWC = images_BHWC.to(device, non_blocking=True).float()
    return pixels_BHWC.mul_(scale).add_(shift).permute(0, 3, 1, 2)  # BHWC -> BCHW


def to_size(
    image: NDArray[np.uint8], mask: NDArray[np.bool_], size_px: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """An image and its mask, squashed to a square as the benchmarks' protocol does.

    Args:
        image: uint8 RGB [H, W, 3]; resampled bilinearly with antialiasing.
        mask: bool, of the image's size or, in some benchmarks, nearly so; nearest neighbour.
        size_px: side of the square.

    Returns:
        uint8 [size_px, size_px, 3] and bool [size_px, size_px].
    """
    square = (size_px, size_px)
    resized = Image.fromarray(image).resize(square, Image.Resampling.BILINEAR)
    resized_mask = Image.fromarray(mask.astype(np.uint8)).resize(square, Image.Resampling.NEAREST)
    return np.asarray(resized).copy(), np.asarray(resized_mask).astype(bool)
