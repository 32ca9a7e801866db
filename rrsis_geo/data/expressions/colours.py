"""Colour names of pixels, measured in CIE L*a*b*.

A colour between two names has no name.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

COLOURS: Final = (
    "white",
    "black",
    "gray",
    "red",
    "orange",
    "brown",
    "yellow",
    "green",
    "turquoise",
    "blue",
    "purple",
    "beige",
)
"""Every colour that can be named."""

COLOUR_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "white": ("white",),
    "black": ("black", "dark"),
    "gray": ("gray", "grey", "silver"),
    "red": ("red",),
    "orange": ("orange",),
    "brown": ("brown",),
    "yellow": ("yellow",),
    "green": ("green",),
    "turquoise": ("turquoise", "cyan", "blue-green"),
    "blue": ("blue",),
    "purple": ("purple", "violet"),
    "beige": ("beige", "tan", "sand-colored"),
}
"""Colour -> its names, the most common first."""

DARKISH: Final = len(COLOURS)
LIGHTISH: Final = len(COLOURS) + 1
"""Shades between black and gray, and between gray and white. They have no name of their own."""

NEIGHBOURS: Final[dict[str, frozenset[str]]] = {
    "white": frozenset({"gray", "beige"}),
    "black": frozenset({"gray", "brown", "blue"}),
    "gray": frozenset({"white", "black", "beige", "blue"}),
    "red": frozenset({"orange", "brown", "purple"}),
    "orange": frozenset({"red", "yellow", "brown", "beige"}),
    "brown": frozenset({"red", "orange", "black", "beige"}),
    "yellow": frozenset({"orange", "beige", "green"}),
    "green": frozenset({"turquoise", "yellow"}),
    "turquoise": frozenset({"green", "blue"}),
    "blue": frozenset({"turquoise", "purple", "black", "gray"}),
    "purple": frozenset({"blue", "red"}),
    "beige": frozenset({"white", "gray", "brown", "yellow", "orange"}),
}
"""Colour -> colours that people confuse with it."""

_TO_XYZ: Final = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], np.float32
)
_WHITE_XYZ: Final = np.array([0.9505, 1.0, 1.089], np.float32)
_LINEAR: Final = np.where(
    np.arange(256) / 255 <= 0.04045,
    np.arange(256) / 255 / 12.92,
    ((np.arange(256) / 255 + 0.055) / 1.055) ** 2.4,
).astype(np.float32)


def rgb_to_lab(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """CIE L*a*b* (D65) of sRGB pixels, [..., 3] -> float32 [..., 3]; L from 0 to 100."""
    xyz = _LINEAR[pixels] @ _TO_XYZ.T / _WHITE_XYZ
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    lightness = 116 * root[..., 1] - 16
    red_green = 500 * (root[..., 0] - root[..., 1])
    yellow_blue = 200 * (root[..., 1] - root[..., 2])
    return np.stack([lightness, red_green, yellow_blue], -1).astype(np.float32)


class Brightness(NamedTuple):
    """Brightness of an image, which separates gray from white and black.

    Attributes:
        middle: median L* of the image; black is much darker.
        bright: L* of the 92nd percentile; gray is darker.
    """

    middle: float = 50.0
    bright: float = 100.0


DEFAULT_BRIGHTNESS: Final = Brightness()
"""Brightness to assume if the image is unknown."""


def measure_brightness(image: NDArray[np.uint8]) -> Brightness:
    """Brightness of an image, uint8 [H, W, 3]."""
    lightness = _sparse_lab(image)[..., 0]
    return Brightness(float(np.median(lightness)), float(np.percentile(lightness, 92)))


def name_pixels(
    pixels: NDArray[np.uint8], brightness: Brightness = DEFAULT_BRIGHTNESS
) -> NDArray[np.int8]:
    """Colour of each pixel as an index in :data:`COLOURS`, uint8 [n, 3] -> int8 [n].

    An index can also be :data:`DARKISH` or :data:`LIGHTISH`. It is -1 if the colour has no name.
    """
    lab = rgb_to_lab(pixels)
    lightness = lab[:, 0]
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    hue = np.degrees(np.arctan2(lab[:, 2], lab[:, 1])) % 360
    names = np.full(len(pixels), -1, np.int8)

    def name(colour: str, where: NDArray[np.bool_]) -> None:
        names[where & (names < 0)] = COLOURS.index(colour)

    dull = chroma < 10 + 0.04 * lightness
    name("black", (lightness < min(30, 0.75 * brightness.middle)) & (chroma < 12))
    name("white", dull & (lightness > 79))
    name("gray", (chroma < 10) & (lightness > 38) & (lightness < min(73, brightness.bright)))
    names[(names < 0) & (chroma < 8) & (lightness < 50)] = DARKISH
    names[(names < 0) & (chroma < 8)] = LIGHTISH
    vivid = chroma > 20
    warm = (hue > 35) & (hue < 95)
    name("red", ((hue < 40) | (hue > 350)) & (chroma > 30) & (lightness < 68))
    name("yellow", (hue >= 78) & (hue < 104) & (chroma > 42) & (lightness > 62))
    name("orange", (hue >= 46) & (hue < 74) & (chroma > 46) & (lightness > 50))
    name("brown", (hue > 20) & (hue < 85) & (chroma > 12) & (chroma < 42) & (lightness < 46))
    name("beige", warm & (chroma > 11) & (chroma < 32) & (lightness > 62) & (lightness < 90))
    name("green", vivid & (hue >= 112) & (hue < 168))
    name("green", (chroma > 12) & (hue >= 112) & (hue < 168) & (lightness < 55))
    name("turquoise", vivid & (hue >= 178) & (hue < 232))
    name("blue", (chroma > 16) & (hue >= 240) & (hue < 298))
    name("purple", vivid & (hue >= 305) & (hue < 340))
    return names


def colour_shares(
    image: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    bbox: tuple[int, int, int, int],
    *,
    is_box: bool = False,
    brightness: Brightness = DEFAULT_BRIGHTNESS,
    max_pixels: int = 600,
) -> NDArray[np.float32]:
    """Fraction of an object's pixels in each colour, float32 [len(COLOURS) + 2].

    The sum is at most 1. The last two entries are :data:`DARKISH` and :data:`LIGHTISH`.

    Args:
        image: uint8 RGB [H, W, 3].
        mask: bool [height, width] inside the box.
        bbox: (row, col, height, width), pixels.
        is_box: the mask is the bounding box, so only its middle is measured.
        brightness: brightness of the image, see :func:`measure_brightness`.
        max_pixels: a larger object is measured on a regular sample of its pixels.
    """
    row, col, height, width = bbox
    inner = _core(mask, is_box)
    pixels = image[row : row + height, col : col + width][inner]
    if len(pixels) > max_pixels:
        pixels = pixels[:: len(pixels) // max_pixels + 1]
    names = name_pixels(pixels, brightness)
    counts = np.bincount(names[names >= 0], minlength=len(COLOURS) + 2)
    return (counts / max(len(pixels), 1)).astype(np.float32)


def _core(mask: NDArray[np.bool_], is_box: bool) -> NDArray[np.bool_]:
    """The mask without its rim, whose pixels mix with the background. Thin masks stay whole."""
    height, width = mask.shape
    if is_box:
        middle = np.zeros_like(mask)
        middle[
            height * 3 // 10 : max(height * 7 // 10, height * 3 // 10 + 1),
            width * 3 // 10 : max(width * 7 // 10, width * 3 // 10 + 1),
        ] = True
        return middle & mask if (middle & mask).any() else mask
    step = max(1, min(height, width) // 12)
    inner = mask.copy()
    inner[:step] = inner[-step:] = False
    inner[:, :step] = inner[:, -step:] = False
    inner[step:] &= mask[:-step]
    inner[:-step] &= mask[step:]
    inner[:, step:] &= mask[:, :-step]
    inner[:, :-step] &= mask[:, step:]
    return inner if int(inner.sum()) >= 8 else mask


def is_colourless(image: NDArray[np.uint8]) -> bool:
    """Whether an image is grayscale or of one tint, so that expressions cannot name colours."""
    lab = _sparse_lab(image)
    return bool(np.hypot(lab[..., 1].std(), lab[..., 2].std()) < 1.5)


def _sparse_lab(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """L*a*b* of about 24 x 24 pixels spread over the image."""
    return rgb_to_lab(image[:: max(1, image.shape[0] // 24), :: max(1, image.shape[1] // 24)])
