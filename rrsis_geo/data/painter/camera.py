"""Sun, sky and camera of painted scenes."""

import io
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.float32]

_TO_GRAY = (0.3, 0.59, 0.11)


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """Sun, sky and camera of one scene.

    Attributes:
        shadow_x: length to the right of the shadow of an object 1 m tall, metres.
        shadow_y: length downwards of this shadow, metres.
        shadow_depth: fraction of the light that a shadow removes.
        lean_x: displacement to the right of the top of an object 1 m tall, metres.
        lean_y: displacement downwards of this top, metres.
        gain: brightness factor of each band.
        gamma: exponent of the brightness.
        haze: fraction of haze in the image.
        saturation: 1 keeps colours, 0 removes them.
        blur_px: radius of the lens blur.
        noise: standard deviation of the sensor noise, in gray values.
        jpeg_quality: quality of the JPEG compression, None for none.
    """

    shadow_x: float
    shadow_y: float
    shadow_depth: float
    lean_x: float = 0.0
    lean_y: float = 0.0
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gamma: float = 1.0
    haze: float = 0.0
    saturation: float = 1.0
    blur_px: float = 0.4
    noise: float = 1.5
    jpeg_quality: int | None = None

    @property
    def facing(self) -> tuple[float, float]:
        """Unit vector (x, y) towards the sun."""
        length = math.hypot(self.shadow_x, self.shadow_y) or 1.0
        return -self.shadow_x / length, -self.shadow_y / length


def draw_light(rng: np.random.Generator) -> Light:
    """Draw light at random."""
    azimuth = rng.uniform(0, 2 * math.pi)
    length = 1.0 / math.tan(math.radians(rng.uniform(28, 72)))
    overcast = rng.random() < 0.12
    lean = min(0.2, max(0.0, rng.normal(0.02, 0.1)))
    towards = rng.uniform(0, 2 * math.pi)
    cast = rng.normal(1.0, 0.035, 3) * rng.normal(1.0, 0.14)
    return Light(
        shadow_x=length * math.cos(azimuth),
        shadow_y=length * math.sin(azimuth),
        shadow_depth=rng.uniform(0.03, 0.2) if overcast else rng.uniform(0.45, 0.8),
        lean_x=lean * math.cos(towards),
        lean_y=lean * math.sin(towards),
        gain=(float(cast[0]), float(cast[1]), float(cast[2])),
        gamma=float(np.clip(rng.normal(1.03, 0.13), 0.75, 1.45)),
        haze=float(np.clip(rng.normal(0.04, 0.08), 0.0, 0.3)),
        saturation=float(np.clip(rng.normal(0.85, 0.2), 0.3, 1.3)),
        blur_px=float(max(0.0, rng.normal(0.5, 0.3))),
        noise=float(rng.uniform(0.5, 5.0)),
        jpeg_quality=int(rng.integers(35, 96)) if rng.random() < 0.7 else None,
    )


def apply_light(pixels: Pixels, shadow: NDArray[np.uint8], light: Light) -> Pixels:
    """Apply shadow, gain, gamma and haze to surfaces.

    Args:
        pixels: float32 [H, W, 3] in 0 to 255, surfaces in the sun.
        shadow: uint8 [H, W], 255 in full shadow.
        light: light of the scene.

    Returns:
        float32 [H, W, 3] in 0 to about 255; saturated pixels are slightly above.
    """
    depth = shadow.astype(np.float32)[..., None] * np.float32(light.shadow_depth / 255)
    pixels = pixels * (
        1.0 - depth * np.array((1.03, 1.0, 0.9), np.float32)
    )  # the blue sky lights shadows
    # Not a matrix product, which would round differently on different processors.
    red, green, blue = (pixels[..., band] * np.float32(w) for band, w in enumerate(_TO_GRAY))
    gray = red + green + blue
    gain = np.array(light.gain, dtype=np.float32) / np.float32(255)
    pixels *= np.float32(light.saturation) * gain
    pixels += gray[..., None] * (np.float32(1 - light.saturation) * gain)
    np.clip(pixels, 0, 1.2, out=pixels)
    if abs(light.gamma - 1) > 0.02:
        pixels **= np.float32(light.gamma)
    pixels += np.float32(light.haze) * (np.array((0.78, 0.82, 0.86), np.float32) - pixels)
    pixels *= np.float32(255)
    return pixels


def take_picture(pixels: Pixels, rng: np.random.Generator, light: Light) -> NDArray[np.uint8]:
    """Apply lens blur, sensor noise and JPEG: float32 [H, W, 3] in 0 to 255 -> uint8."""
    if light.blur_px > 0.15:
        pixels = blur(pixels, light.blur_px)
    height, width = pixels.shape[:2]
    noisy = pixels + np.float32(light.noise) * rng.standard_normal((height, width, 1), np.float32)
    image = np.clip(noisy, 0, 255, out=noisy).astype(np.uint8)
    if light.jpeg_quality is None:
        return image
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=light.jpeg_quality)
    return np.array(Image.open(stream))


def blur(pixels: Pixels, sigma_px: float) -> Pixels:
    """Gaussian blur of up to about 1.5 px, float32 [H, W, C], with repeated three-tap filters."""
    turns = max(1, math.ceil(sigma_px**2 / 0.64))
    side = np.float32(sigma_px**2 / turns / 2)
    for _ in range(turns):
        for axis in (0, 1):
            wide = pixels.swapaxes(0, axis)
            sums = np.empty_like(wide)
            np.add(wide[:-2], wide[2:], out=sums[1:-1])
            np.add(wide[0], wide[1], out=sums[0])
            np.add(wide[-1], wide[-2], out=sums[-1])
            sums *= side
            sums += wide * (1 - 2 * side)
            pixels = sums.swapaxes(0, axis)
    return pixels
