"""Shapes and letters drawn into pictures: NumPy for what is many, Pillow for what is few."""

import unicodedata

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from rrsis_geo.geo.objects.outlines import concat_ranges

BACKGROUND = (22, 24, 28)
TEXT = (238, 240, 243)

Float64 = NDArray[np.float64]


def toggle_inside(toggles: NDArray[np.uint8], starts: Float64, stops: Float64) -> None:
    """Count, along each row, where the edges of closed rings cross the pixels' middles.

    A pixel lies inside of the rings if the counts up to it sum to an odd number. So holes are
    holes, and rings may come in any order and in any number of calls.

    Args:
        toggles: uint8 [H, W + 1], counted up in place, modulo 256.
        starts: (x, y) of the edges' first ends, in pixels, [E, 2].
        stops: of their other ends.
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
    """Set the pixels [H, W] that edges pass, in place; arguments as for `toggle_inside`."""
    height, width = lines.shape
    n_steps = np.ceil(np.abs(stops - starts).max(axis=1, initial=0)).astype(np.int64) + 1
    edge = np.repeat(np.arange(len(starts)), n_steps)
    share = concat_ranges(np.zeros(len(starts), np.int64), n_steps) / n_steps[edge]
    points = starts[edge] + share[:, None] * (stops - starts)[edge]
    column, row = np.floor(points).astype(np.int64).T
    seen = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    lines[row[seen], column[seen]] = True


def thickened(lines: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Lines of one pixel made four pixels wide: edges between pixels get two on either side."""
    for _ in range(2):  # along the columns, then, turned, along the rows
        wide = lines.copy()
        wide[:-1] |= lines[1:]
        wide[:-2] |= lines[2:]
        wide[1:] |= lines[:-1]
        lines = wide.T
    return lines


def shrunk(mask: NDArray[np.bool_], factor: int) -> Image.Image:
    """A mask drawn larger by `factor` as gray values with smooth edges."""
    height, width = (side // factor for side in mask.shape)
    share = mask.reshape(height, factor, width, factor).mean(axis=(1, 3))
    return Image.fromarray((255 * share).astype(np.uint8))


class Lettering:
    """Writes text of one size. Pillow's own font is used, which is always there.

    That font holds ASCII only: accents are left out, other letters are question marks, and a
    superscript two is a small raised one.

    Args:
        picture: to write on.
        font_px: size of the letters.
    """

    def __init__(self, picture: Image.Image, font_px: int) -> None:
        self.draw = ImageDraw.Draw(picture)
        self.font_px = font_px
        self._font = ImageFont.load_default(size=font_px)
        self._small = ImageFont.load_default(size=round(0.65 * font_px))

    def size(self, text: str) -> tuple[float, float]:
        """Width and height of a line of text."""
        width = sum(self.draw.textlength(part, font=font) for part, font, _ in self._parts(text))
        return width, float(self.font_px)

    def write(self, place: tuple[float, float], text: str, *, stroke: int = 0) -> None:
        """Write a line, from the left end of its middle; `stroke` pixels of dark rim around it."""
        x, y = place
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

    def shortened(self, text: str, most_px: float) -> str:
        """The beginning of a text that finds room."""
        if self.size(text)[0] <= most_px:
            return text
        while text and self.size(text + "...")[0] > most_px:
            text = text[:-1]
        return text.rstrip() + "..."

    def _parts(
        self, text: str
    ) -> list[tuple[str, ImageFont.FreeTypeFont | ImageFont.ImageFont, float]]:
        """Pieces of text, each with its font and by how much it is raised."""
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
