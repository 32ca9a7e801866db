"""What sheets of samples are drawn with: tinted images, and texts that find room."""

import unicodedata
from bisect import bisect
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

BACKGROUND: Final = (22, 24, 28)
TEXT: Final = (238, 240, 243)
LEAST_COVER: Final = 48
"""Of 255: a pixel of a shrunk mask that covers as much is drawn, so that small targets stay."""

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def scale_image(image: NDArray[np.uint8], most_px: int) -> Image.Image:
    """An RGB image [H, W, 3] at another size, its longer side ``most_px``."""
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
    """An RGB image dimmed, and over it masks in their colours, outlined.

    Args:
        image: what is seen.
        layers: masks, bool [H, W] of any size, stretched over the image; later ones lie on top.
        dimmed: brightness of the image where no mask is.
        tint: share of the colour where one is.
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
    """A text in the letters that Pillow's own font has: a line of ASCII, "?" for what has none."""
    letters = (c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(letters).encode("ascii", "replace").decode().replace("\n", " ")


def truncate_text(text: str, most_px: float, draw: ImageDraw.ImageDraw, font: Font) -> str:
    """A text, or its beginning and dots where it finds no room."""
    if draw.textlength(text, font) <= most_px:
        return text
    fits = bisect(range(len(text)), most_px, key=lambda n: draw.textlength(text[:n] + "...", font))
    return text[: max(0, fits - 1)].rstrip() + "..."
