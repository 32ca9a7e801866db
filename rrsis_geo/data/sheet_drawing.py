"""Helpers to draw sheets of samples: tinted images and truncated text."""

import unicodedata
from bisect import bisect
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

BACKGROUND: Final = (22, 24, 28)
TEXT: Final = (238, 240, 243)
LEAST_COVER: Final = 48
"""Least coverage, of 255, of a drawn pixel in a shrunk mask. A low value keeps small targets."""

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def scale_image(image: NDArray[np.uint8], most_px: int) -> Image.Image:
    """Scale an RGB image [H, W, 3] so that its longer side is ``most_px``."""
    height, width = image.shape[:2]
    scale = most_px / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)


def tint_masks(
    image: Image.Image,
    *layers: tuple[NDArray[np.bool_], Colour],
    brightness: float,
    tint: float,
) -> Image.Image:
    """Dim an RGB image, and draw masks over it, tinted and outlined.

    Args:
        image: the RGB image.
        layers: pairs of a mask, bool [H, W], and its colour. Masks are stretched over the image.
            Later masks lie on top.
        brightness: brightness factor of pixels without a mask.
        tint: opacity of the colour of a mask.
    """
    bright = np.asarray(image, np.float32)
    picture = brightness * bright
    for mask, colour in layers:
        cover = Image.fromarray(mask).convert("L").resize(image.size, Image.Resampling.BOX)
        shape = cover.point(lambda value: 255 * (value >= LEAST_COVER))
        inside = np.asarray(shape, bool)
        edge = np.asarray(shape.filter(ImageFilter.MaxFilter(3)), bool) & ~inside
        picture[inside] = (1 - tint) * bright[inside] + tint * np.array(colour, np.float32)
        picture[edge] = colour
    return Image.fromarray(picture.astype(np.uint8))


def to_ascii(text: str) -> str:
    """Convert a text to one line of ASCII for Pillow's default font, with "?" for the rest."""
    letters = (c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(letters).encode("ascii", "replace").decode().replace("\n", " ")


def truncate_text(text: str, most_px: float, draw: ImageDraw.ImageDraw, font: Font) -> str:
    """The text, or its beginning and dots if it is wider than ``most_px``."""
    if draw.textlength(text, font) <= most_px:
        return text
    fits = bisect(range(len(text)), most_px, key=lambda n: draw.textlength(text[:n] + "...", font))
    return text[: max(0, fits - 1)].rstrip() + "..."
