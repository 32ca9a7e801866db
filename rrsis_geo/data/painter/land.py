"""The ground of painted scenes: its covers, and the book of which ground is taken."""

import math

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from rrsis_geo.data.painter.basics import Colour, Corners, Points, smooth_noise, vary
from rrsis_geo.data.painter.camera import Pixels

# First and second colour of the cover, colour of its bare patches.
GROUNDS: dict[str, tuple[Colour, Colour, Colour]] = {
    "grass": ((88, 100, 62), (108, 116, 76), (142, 128, 102)),
    "lush": ((66, 84, 48), (84, 104, 60), (104, 104, 72)),
    "dry": ((148, 136, 102), (124, 120, 84), (170, 154, 126)),
    "soil": ((150, 132, 108), (168, 150, 126), (110, 110, 78)),
    "red soil": ((154, 112, 86), (168, 130, 102), (106, 106, 72)),
    "sand": ((190, 176, 148), (202, 190, 162), (148, 140, 112)),
    "paved": ((146, 144, 140), (160, 158, 153), (120, 120, 118)),
    "meadow": ((104, 118, 66), (122, 128, 80), (92, 104, 58)),
    "ploughed": ((122, 100, 80), (138, 116, 94), (108, 92, 74)),
    "stubble": ((176, 160, 116), (162, 148, 108), (146, 132, 98)),
}


class Land:
    """Which ground is taken: a small picture with `cell_m` metres a pixel and a rim around it.

    Args:
        width_m: of the view.
        height_m: of the view.
    """

    def __init__(self, width_m: float, height_m: float) -> None:
        self.cell_m = 0.5 if max(width_m, height_m) < 700 else 1.0
        self.rim_m = 40.0
        size = [math.ceil((v + 2 * self.rim_m) / self.cell_m) for v in (width_m, height_m)]
        self.picture = Image.new("L", (size[0], size[1]))
        self._draw = ImageDraw.Draw(self.picture)

    def _flat(self, points: Points | Corners) -> list[float]:
        rim, cell = self.rim_m, self.cell_m
        if isinstance(points, np.ndarray):
            flat: list[float] = ((points + rim) / cell).ravel().tolist()
            return flat
        return [(v + rim) / cell for point in points for v in point]

    def take(self, points: Points | Corners) -> None:
        """Note that a polygon of metres is taken."""
        self._draw.polygon(self._flat(points), fill=255)

    def is_free(self, points: Points | Corners) -> bool:
        """Whether a polygon of metres lies in the picture and touches nothing taken."""
        cells = self._flat(points)
        left, top = math.floor(min(cells[::2])), math.floor(min(cells[1::2]))
        right, bottom = math.ceil(max(cells[::2])) + 1, math.ceil(max(cells[1::2])) + 1
        if left < 0 or top < 0 or right > self.picture.width or bottom > self.picture.height:
            return False
        patch = self.picture.crop((left, top, right, bottom))
        if patch.getbbox() is None:
            return True
        cover = Image.new("L", patch.size)
        start = (left, top)
        corners = [v - start[k % 2] for k, v in enumerate(cells)]
        ImageDraw.Draw(cover).polygon(corners, fill=255)
        return ImageChops.multiply(patch, cover).getbbox() is None

    def release(self, points: Points | Corners) -> None:
        """Note that a polygon of metres is no longer taken."""
        self._draw.polygon(self._flat(points), fill=0)

    def claim(self, points: Points | Corners) -> bool:
        """Take the ground if it is free; say whether it was."""
        free = self.is_free(points)
        if free:
            self.take(points)
        return free

    def is_taken_at(self, x: float, y: float) -> bool:
        """Whether one place is taken."""
        at = int((x + self.rim_m) / self.cell_m), int((y + self.rim_m) / self.cell_m)
        inside = 0 <= at[0] < self.picture.width and 0 <= at[1] < self.picture.height
        return bool(inside and self.picture.getpixel(at))


class Turf:
    """The grain of one scene's ground, made once; each cover is coloured over it.

    Args:
        rng: where it comes from.
        height: rows.
        width: columns.
    """

    def __init__(self, rng: np.random.Generator, height: int, width: int) -> None:
        self.rng, self.height, self.width = rng, height, width
        self._broad = smooth_noise(rng, height, width, 80)
        self._middle = smooth_noise(rng, height, width, 19)
        small = smooth_noise(rng, height, width, 6)
        fine = smooth_noise(rng, height, width, 2.3)
        self._share = _step(np.float32(1.5) * self._broad + self._middle)
        self._rough = np.float32(0.7) * (self._broad + self._middle)[::-1]
        self._rough += np.float32(0.5) * small + np.float32(0.3) * fine
        self._grain = fine + np.float32(0.8) * small

    def cover(self, kind: str, window: tuple[slice, slice] | None = None) -> Pixels:
        """Ground cover with bare patches, float32 [h, w, 3] in 0 to 255.

        Args:
            kind: a key of `GROUNDS`.
            window: rows and columns wanted, None for all.
        """
        rng = self.rng
        window = window or (slice(None), slice(None))
        first, second, bare = (
            np.array(vary(rng, colour, 0.08), dtype=np.float32) for colour in GROUNDS[kind]
        )
        out: Pixels = first + self._share[window][..., None] * (second - first)
        steep, limit = np.float32(rng.uniform(2, 7)), np.float32(rng.uniform(0.3, 2.0))
        bareness = _step(steep * (self._rough[window] - limit))
        out += bareness[..., None] * (bare - out)
        gain = np.float32(rng.uniform(0.02, 0.075)) * self._grain[window]
        gain += np.float32(0.035) * self._middle[window]
        gain += np.float32(1)
        out *= gain[..., None]
        return out

    def rows(
        self, kind: str, window: tuple[slice, slice], heading: float, pitch_px: float
    ) -> Pixels:
        """A field worked in rows, float32 [h, w, 3] in 0 to 255.

        Args:
            kind: a key of `GROUNDS`.
            window: rows and columns of the picture wanted.
            heading: the way the rows run, radians.
            pitch_px: distance of the rows; below two pixels they do not show.
        """
        out = self.cover(kind, window)
        if pitch_px < 2:
            return out
        y = np.arange(window[0].start, window[0].stop, dtype=np.float32)[:, None]
        x = np.arange(window[1].start, window[1].stop, dtype=np.float32)[None, :]
        across = y * np.float32(math.cos(heading)) - x * np.float32(math.sin(heading))
        across += self._middle[window] * np.float32(0.1 * pitch_px)
        waves = np.sin(across * np.float32(2 * math.pi / pitch_px), dtype=np.float32)
        waves *= np.float32(self.rng.uniform(0.02, 0.12))
        waves += np.float32(1)
        out *= waves[..., None]
        return out


def _step(values: Pixels) -> Pixels:
    """0 for low, 1 for high values, smoothly."""
    low = np.abs(values)
    low += np.float32(1)
    low *= np.float32(2)
    np.divide(values, low, out=low)
    low += np.float32(0.5)
    return low
