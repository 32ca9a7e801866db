"""Draw outlines of many polygons with NumPy, and text with Pillow."""

import unicodedata
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from rrsis_geo.geo.objects.outlines import concat_ranges

BACKGROUND = (22, 24, 28)
TEXT = (238, 240, 243)

Float64 = NDArray[np.float64]


def ring_edges(polygons: NDArray[Any]) -> tuple[Float64, Float64]:
    """Both ends of each edge of all rings of polygons, (x, y), [E, 2] each."""
    rings = shapely.get_rings(polygons)
    xy = shapely.get_coordinates(rings)
    is_last = np.zeros(len(xy), bool)
    is_last[np.cumsum(shapely.get_num_coordinates(rings)) - 1] = True
    return xy[~is_last], xy[1:][~is_last[:-1]]


def toggle_inside(toggles: NDArray[np.uint8], starts: Float64, stops: Float64) -> None:
    """Count the edges of closed rings that cross each row, at the centres of pixels.

    A pixel is inside the rings if the sum of the counts up to it is odd. So holes are left out, and
    rings can be added in any order and in several calls.

    Args:
        toggles: uint8 [H, W + 1], incremented in place, modulo 256.
        starts: first end of each edge, (x, y) in pixels, [E, 2].
        stops: other end of each edge, [E, 2].
    """
    height, width = toggles.shape[0], toggles.shape[1] - 1
    (x0, y0), (x1, y1) = starts.T, stops.T
    first = np.clip(np.ceil(np.minimum(y0, y1) - 0.5), 0, height).astype(np.int64)
    last = np.clip(np.ceil(np.maximum(y0, y1) - 0.5), 0, height).astype(np.int64)
    edge = np.repeat(np.arange(len(starts)), last - first)
    row = concat_ranges(first, last - first)
    slope = (x1 - x0)[edge] / (y1 - y0)[edge]
    x = x0[edge] + (row + 0.5 - y0[edge]) * slope
    column = np.clip(np.ceil(x - 0.5), 0, width).astype(np.int64)
    np.add.at(toggles.reshape(-1), row * (width + 1) + column, np.uint8(1))


def draw_edges(lines: NDArray[np.bool_], starts: Float64, stops: Float64) -> None:
    """Set the pixels [H, W] along edges to True, in place; see `toggle_inside` for the edges."""
    height, width = lines.shape
    n_steps = np.ceil(np.abs(stops - starts).max(axis=1, initial=0)).astype(np.int64) + 1
    edge = np.repeat(np.arange(len(starts)), n_steps)
    share = concat_ranges(np.zeros(len(starts), np.int64), n_steps) / n_steps[edge]
    points = starts[edge] + share[:, None] * (stops - starts)[edge]
    column, row = np.floor(points).astype(np.int64).T
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    lines[row[inside], column[inside]] = True


def thicken(lines: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Widen lines of one pixel to four pixels: two on either side of an edge between pixels."""
    for _ in range(2):  # along the columns, then, transposed, along the rows
        wide = lines.copy()
        wide[:-1] |= lines[1:]
        wide[:-2] |= lines[2:]
        wide[1:] |= lines[:-1]
        lines = wide.T
    return lines


def downsample(mask: NDArray[np.bool_], factor: int) -> Image.Image:
    """Convert a mask that was drawn larger by `factor` to gray values with smooth edges."""
    height, width = (side // factor for side in mask.shape)
    share = mask.reshape(height, factor, width, factor).mean(axis=(1, 3))
    return Image.fromarray((255 * share).astype(np.uint8))


class Lettering:
    """Write text of one size in the built-in font of Pillow.

    The font has ASCII letters only. Accents are left out, other letters become question marks, and
    a superscript two is drawn as a small raised 2.

    Args:
        picture: picture to write on.
        font_px: size of the letters.
    """

    def __init__(self, picture: Image.Image, font_px: int) -> None:
        self.draw = ImageDraw.Draw(picture)
        self.font_px = font_px
        self._font = ImageFont.load_default(size=font_px)
        self._small = ImageFont.load_default(size=round(0.65 * font_px))

    def size(self, text: str) -> tuple[float, float]:
        """Width and height of a line of text in pixels."""
        width = sum(self.draw.textlength(part, font=font) for part, font, _ in self._parts(text))
        return width, float(self.font_px)

    def write(self, position: tuple[float, float], text: str, *, stroke: int = 0) -> None:
        """Write a line of text.

        Args:
            position: (x, y) of the left end of the line, at half its height.
            text: the text.
            stroke: width of a dark outline in pixels.
        """
        x, y = position
        for part, font, rise in self._parts(text):
            self.draw.text(
                (x, y - rise),
                part,
                font=font,
                fill=TEXT,
                anchor="lm",
                stroke_width=stroke,
                stroke_fill=BACKGROUND,
            )
            x += self.draw.textlength(part, font=font)

    def shorten(self, text: str, max_px: float) -> str:
        """The text, cut to at most `max_px` with "..." at the end."""
        if self.size(text)[0] <= max_px:
            return text
        while text and self.size(text + "...")[0] > max_px:
            text = text[:-1]
        return text.rstrip() + "..."

    def _parts(
        self, text: str
    ) -> list[tuple[str, ImageFont.FreeTypeFont | ImageFont.ImageFont, float]]:
        """Pieces of the text, each with its font and its height above the line."""
        parts = []
        for i, piece in enumerate(text.split("\N{SUPERSCRIPT TWO}")):
            if i:
                parts.append(("2", self._small, 0.3 * self.font_px))
            if piece:
                parts.append((_ascii(piece), self._font, 0.0))
        return parts


def _ascii(text: str) -> str:
    letters = (c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(letters).encode("ascii", "replace").decode()
