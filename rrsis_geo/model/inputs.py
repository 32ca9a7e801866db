"""Images become the input of a network, in the same way for training, scoring and segmenting."""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rrsis_geo.images import ImageSpec


def to_input(
    images: NDArray[np.uint8] | Tensor, spec: ImageSpec, device: torch.device | str = "cpu"
) -> Tensor:
    """Normalise images for a network.

    Args:
        images: uint8 RGB [B, H, W, 3], or a single image [H, W, 3].
        spec: its mean and std are used. The size is not changed.
        device: device of the result. Images are copied to it as uint8, a quarter of the bytes of
            float32.

    Returns:
        float32 [B, 3, H, W], channels last in memory.
    """
    if not isinstance(images, Tensor):
        images = torch.from_numpy(np.ascontiguousarray(images))
    if images.dtype != torch.uint8 or images.ndim not in (3, 4) or images.shape[-1] != 3:
        raise ValueError(f"expected uint8 [B, H, W, 3], got {images.dtype} {tuple(images.shape)}")
    images_BHWC = images if images.ndim == 4 else images[None]
    scale, shift = _scale_and_shift(spec, torch.device(device))
    pixels_BHWC = images_BHWC.to(device, non_blocking=True).float()
    return pixels_BHWC.mul_(scale).add_(shift).permute(0, 3, 1, 2)  # BHWC -> BCHW


@lru_cache
def _scale_and_shift(spec: ImageSpec, device: torch.device) -> tuple[Tensor, Tensor]:
    """Scale and shift of each band. Kept, because copying them to a GPU would wait for it."""
    with torch.inference_mode(False):  # also for tensors that are trained on
        scale = torch.tensor([1 / (255 * value) for value in spec.std], device=device)
        shift = [-m / s for m, s in zip(spec.mean, spec.std, strict=True)]
        return scale, torch.tensor(shift, device=device)
