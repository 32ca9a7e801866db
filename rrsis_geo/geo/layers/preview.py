"""A picture of a result: the scene dimmed, its objects bright, outlined and numbered."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from rrsis_geo.errors import OutputError
from rrsis_geo.files import atomic_file
from rrsis_geo.geo.layers.drawing import (
    BACKGROUND,
    TEXT,
    Lettering,
    draw_edges,
    shrunk,
    thickened,
    toggle_inside,
)
from rrsis_geo.geo.objects.features import Features
from rrsis_geo.geo.styles import OUTLINE_RGB
from rrsis_geo.units import format_area, format_length

SUPERSAMPLING = 2  # masks are drawn at this many times the picture's size, for smooth edges
SMALLEST_SIDE = 900  # smaller scenes are enlarged to about this, so that labels find room
MOST_NUMBERS = 80

DIMMED = 0.55

Float64 = NDArray[np.float64]
Box = tuple[float, float, float, float]


class _Numbered(NamedTuple):
    n_pixels: int
    id: int
    inside: tuple[float, float]  # a point in the object, (x, y) in the picture
    box: Box  # left, top, right, bottom


class PreviewPainter:
    """Collects the objects of a layer, batch by batch, and draws them over the scene.

    Memory is that of the picture and of the largest objects' places, whatever the number of
    objects.

    Args:
        image: the whole scene in few pixels (at most about 1600 a side), uint8 RGB [h, w, 3].
        transform: pixel to world of `image`; any affine.
        m_per_px: metres on the ground from one column of `image` to the next; None where unknown,
            which leaves out the scale bar.
    """

    def __init__(
        self, image: NDArray[np.uint8], transform: Affine, *, m_per_px: float | None = None
    ) -> None:
        factor = max(1, SMALLEST_SIDE // max(image.shape[:2]))
        self._image = image.repeat(factor, axis=0).repeat(factor, axis=1)
        self._to_picture = ~(transform @ Affine.scale(1 / factor))
        self._m_per_px = None if m_per_px is None else m_per_px / factor
        height, width = (SUPERSAMPLING * side for side in self._image.shape[:2])
        # Where the inside of objects begins or ends along each row: inside is an odd count so far.
        self._toggles = np.zeros((height, width + 1), np.uint8)
        self._lines = np.zeros((height, width), bool)
        self._largest: list[_Numbered] = []
        self._n_objects = 0
        self._area_m2 = 0.0

    def add(self, features: Features) -> None:
        """Draw some more objects."""
        if not len(features):
            return
        self._n_objects += len(features)
        self._area_m2 += float(features.area_m2.sum())
        polygons = _placed(features.polygons, self._to_picture)
        starts, stops = (SUPERSAMPLING * ends for ends in _edges(polygons))
        toggle_inside(self._toggles, starts, stops)
        draw_edges(self._lines, starts, stops)
        self._remember(features, polygons)

    def picture(self, expression: str) -> Image.Image:
        """What was drawn so far, framed, with the expression as its title."""
        return self._framed(self._painted(), expression)

    def save(self, path: str | Path, expression: str, *, overwrite: bool = False) -> None:
        """Write the picture as PNG.

        Args:
            path: where it is to be.
            expression: its title.
            overwrite: replace the file if there is one.

        Raises:
            OutputError: it exists, or cannot be written.
        """
        picture = self.picture(expression)
        with atomic_file(path, overwrite=overwrite) as part:
            try:
                picture.save(part, format="PNG")
            except OSError as err:
                raise OutputError(f"{path}: cannot be written ({err})") from err

    def _remember(self, features: Features, polygons: NDArray[Any]) -> None:
        """Keep the places of the objects that may be numbered."""
        order = np.argsort(-features.n_pixels, kind="stable")[:MOST_NUMBERS]
        points = shapely.get_coordinates(shapely.point_on_surface(polygons[order]))
        boxes = shapely.bounds(polygons[order])
        for i, point, box in zip(order.tolist(), points.tolist(), boxes.tolist(), strict=True):
            self._largest.append(
                _Numbered(int(features.n_pixels[i]), int(features.id[i]), tuple(point), tuple(box))
            )
        self._largest.sort(key=lambda numbered: (-numbered.n_pixels, numbered.id))
        del self._largest[MOST_NUMBERS:]

    def _painted(self) -> Image.Image:
        """The scene with its objects, without the frame."""
        scene = Image.fromarray(self._image)
        if not self._n_objects:
            return scene
        inside = (np.cumsum(self._toggles[:, :-1], axis=1, dtype=np.uint8) & 1).astype(bool)
        gray = scene.convert("L").convert("RGB")
        dimmed = Image.blend(scene, gray, 0.5).point(lambda value: value * DIMMED)
        painted = Image.composite(scene, dimmed, shrunk(inside, SUPERSAMPLING))
        line = shrunk(thickened(self._lines), SUPERSAMPLING)
        shade = line.filter(ImageFilter.GaussianBlur(2)).point(lambda value: min(255, 2 * value))
        painted.paste((0, 0, 0), mask=shade.point(lambda value: value * 0.6))
        painted.paste(OUTLINE_RGB, mask=line)
        self._number(painted)
        return painted

    def _number(self, painted: Image.Image) -> None:
        """Write the numbers of the largest objects, as far as they find room."""
        lettering = Lettering(painted, max(13, round(max(painted.size) / 95)))
        taken: list[Box] = []
        for numbered in self._largest:
            text = str(numbered.id)
            size = lettering.size(text)
            for x, y in _places(numbered, size):
                box = x, y, x + size[0], y + size[1]
                if _is_free(box, taken, painted.size):
                    taken.append(box)
                    lettering.write((x, y + size[1] / 2), text, stroke=2)
                    break

    def _framed(self, painted: Image.Image, expression: str) -> Image.Image:
        """With the title above, and the scale bar and the sums below."""
        height = painted.height
        size = max(14, round(max(painted.size) / 70))
        width = max(painted.width, 32 * size)  # the lines below and above find room
        margin, bar = size, round(2.8 * size)
        framed = Image.new("RGB", (width, height + 2 * bar), BACKGROUND)
        framed.paste(painted, ((width - painted.width) // 2, bar))
        large, normal = Lettering(framed, round(1.35 * size)), Lettering(framed, size)
        title = large.shortened(expression, width - 2 * margin)
        large.write((margin, bar / 2), title)
        middle = height + 1.5 * bar
        sums = self._sums()
        left = width - margin - normal.size(sums)[0]
        normal.write((left, middle), sums)
        if self._m_per_px is not None:
            _draw_scale_bar(normal, (margin, middle), left - 3 * margin, self._m_per_px)
        return framed

    def _sums(self) -> str:
        if not self._n_objects:
            return "no objects"
        objects = "1 object" if self._n_objects == 1 else f"{self._n_objects:,} objects"
        return objects if math.isnan(self._area_m2) else f"{objects}, {format_area(self._area_m2)}"


def round_length(most: float) -> float:
    """The longest of 1, 2 or 5 times a power of ten that is not above `most`."""
    power = 10.0 ** math.floor(math.log10(most))
    return max(step * power for step in (1, 2, 5) if step * power <= most)


def _placed(polygons: NDArray[Any], affine: Affine) -> NDArray[Any]:
    x, y = shapely.get_coordinates(polygons).T
    a, b, c, d, e, f = affine[:6]
    moved = np.column_stack((a * x + b * y + c, d * x + e * y + f))
    return shapely.set_coordinates(polygons.copy(), moved)


def _edges(polygons: NDArray[Any]) -> tuple[Float64, Float64]:
    """Both ends of every edge of every ring, (x, y) [E, 2]."""
    rings = shapely.get_rings(polygons)
    xy = shapely.get_coordinates(rings)
    is_last = np.zeros(len(xy), bool)
    is_last[np.cumsum(shapely.get_num_coordinates(rings)) - 1] = True
    return xy[~is_last], xy[1:][~is_last[:-1]]


def _places(numbered: _Numbered, size: tuple[float, float]) -> Iterator[tuple[float, float]]:
    """Where the top left corner of a number may lie, the best first."""
    width, height = size
    x, y = numbered.inside
    left, top, right, bottom = numbered.box
    if right - left > 2 * width and bottom - top > 2 * height:
        yield x - width / 2, y - height / 2
    gap = 3
    middle = (left + right - width) / 2
    yield right + gap, top - height / 2
    yield middle, top - height - gap
    yield left - width - gap, top - height / 2
    yield middle, bottom + gap


def _is_free(box: Box, taken: list[Box], size: tuple[int, int]) -> bool:
    left, top, right, bottom = box
    if left < 0 or top < 0 or right > size[0] or bottom > size[1]:
        return False
    return not any(
        left < other[2] and other[0] < right and top < other[3] and other[1] < bottom
        for other in taken
    )


def _draw_scale_bar(
    lettering: Lettering, place: tuple[float, float], most_px: float, m_per_px: float
) -> None:
    """A bar of a round length, four boxes dark and light, with its length beside it."""
    x, y = place
    length_m = round_length(max(min(most_px * 0.5, 260), 1) * m_per_px)
    length_px = length_m / m_per_px
    half = lettering.font_px / 5
    lettering.draw.rectangle((x, y - half, x + length_px, y + half), outline=TEXT)
    for box in (0, 2):
        start = x + box * length_px / 4
        lettering.draw.rectangle((start, y - half, start + length_px / 4, y + half), fill=TEXT)
    lettering.write((x + length_px + lettering.font_px * 0.7, y), format_length(length_m))
