"""Names of colours, measured from pixels in a space where distances are as the eye sees them.

Only clear cases are named: a colour between two names has none.
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
"""Shades between black and gray, and between gray and white: no names, but no other colour."""

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
"""Colours that one person calls so and another calls otherwise."""

_TO_XYZ: Final = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], np.float32
)
_WHITE_XYZ: Final = np.array([0.9505, 1.0, 1.089], np.float32)
_LINEAR: Final = np.where(
    np.arange(256) / 255 <= 0.04045,
    np.arange(256) / 255 / 12.92,
    ((np.arange(256) / 255 + 0.055) / 1.055) ** 2.4,
).astype(np.float32)


def to_lab(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """CIE L*a*b* (D65) of sRGB pixels, [..., 3] -> float32 [..., 3]; L from 0 to 100."""
    xyz = _LINEAR[pixels] @ _TO_XYZ.T / _WHITE_XYZ
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    lightness = 116 * root[..., 1] - 16
    red_green = 500 * (root[..., 0] - root[..., 1])
    yellow_blue = 200 * (root[..., 1] - root[..., 2])
    return np.stack([lightness, red_green, yellow_blue], -1).astype(np.float32)


class Light(NamedTuple):
    """How light the scene is, by which the eye tells gray from white and black.

    Attributes:
        middle: median L* of the scene; black is much darker than this.
        bright: L* that few pixels exceed; gray is darker than this.
    """

    middle: float = 50.0
    bright: float = 100.0


DAYLIGHT: Final = Light()
"""The light to assume where nothing is known."""


def measure_light(image: NDArray[np.uint8]) -> Light:
    """The light of an image, uint8 [H, W, 3]."""
    lightness = _sparse_lab(image)[..., 0]
    return Light(float(np.median(lightness)), float(np.percentile(lightness, 92)))


def name_pixels(pixels: NDArray[np.uint8], light: Light = DAYLIGHT) -> NDArray[np.int8]:
    """The number in :data:`COLOURS` of each pixel's colour, uint8 [n, 3] -> int8 [n].

    Also :data:`DARKISH` and :data:`LIGHTISH`; -1 where there is no clear name.
    """
    lab = to_lab(pixels)
    lightness = lab[:, 0]
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    hue = np.degrees(np.arctan2(lab[:, 2], lab[:, 1])) % 360
    names = np.full(len(pixels), -1, np.int8)

    def name(colour: str, where: NDArray[np.bool_]) -> None:
        names[where & (names < 0)] = COLOURS.index(colour)

    dull = chroma < 10 + 0.04 * lightness
    name("black", (lightness < min(30, 0.75 * light.middle)) & (chroma < 12))
    name("white", dull & (lightness > 79))
    name("gray", (chroma < 10) & (lightness > 38) & (lightness < min(73, light.bright)))
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
    core_only: bool = False,
    light: Light = DAYLIGHT,
    max_pixels: int = 600,
) -> NDArray[np.float32]:
    """How much of an object has each colour, float32 [len(COLOURS) + 2], summing to at most 1.

    The last two places are :data:`DARKISH` and :data:`LIGHTISH`.

    Args:
        image: uint8 RGB [H, W, 3].
        mask: bool [height, width] inside the box.
        bbox: (row, col, height, width), pixels.
        core_only: the mask is no outline but a box, so only its middle is looked at.
        light: of the image, see :func:`measure_light`.
        max_pixels: a larger object is looked at through a regular sample of its pixels.
    """
    row, col, height, width = bbox
    inner = _core(mask, core_only)
    pixels = image[row : row + height, col : col + width][inner]
    if len(pixels) > max_pixels:
        pixels = pixels[:: len(pixels) // max_pixels + 1]
    names = name_pixels(pixels, light)
    counts = np.bincount(names[names >= 0], minlength=len(COLOURS) + 2)
    return (counts / max(len(pixels), 1)).astype(np.float32)


def _core(mask: NDArray[np.bool_], core_only: bool) -> NDArray[np.bool_]:
    """The mask without its rim, whose pixels are mixed with the ground; itself where too thin."""
    height, width = mask.shape
    if core_only:
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
    """Whether an image is in shades of gray (or of one tint), so that no colour may be named."""
    lab = _sparse_lab(image)
    return bool(np.hypot(lab[..., 1].std(), lab[..., 2].std()) < 1.5)


def _sparse_lab(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """L*a*b* of some 24 x 24 pixels spread over the image."""
    return to_lab(image[:: max(1, image.shape[0] // 24), :: max(1, image.shape[1] // 24)])
