"""Draw a preview of a result: objects are outlined and numbered on the dimmed scene."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from rrsis_geo.files import atomic_file, write_error
from rrsis_geo.geo.layers.drawing import (
    BACKGROUND,
    TEXT,
    Lettering,
    downsample,
    draw_edges,
    ring_edges,
    thicken,
    toggle_inside,
)
from rrsis_geo.geo.objects.features import Features
from rrsis_geo.geo.styles import OUTLINE_RGB
from rrsis_geo.units import format_area, format_length

SUPERSAMPLING = 2  # masks are drawn larger by this factor, for smooth edges
MIN_SIDE_PX = 900  # smaller scenes are enlarged to about this size, to fit the labels
MAX_LABELS = 80
DIMMED_BRIGHTNESS = 0.55
LEAST_HIGHLIGHT = 120
"""Darker scenes are brightened until their light pixels have this gray value, of 255."""
LEAST_DIMMED_GRAY = 50
"""The surroundings of the objects are dimmed to this mean gray value at most, of 255."""

Float64 = NDArray[np.float64]
Box = tuple[float, float, float, float]


class _Label(NamedTuple):
    """An object that may get a number in the picture."""

    n_pixels: int
    id: int
    point: tuple[float, float]  # a point inside the object, (x, y) in the picture
    box: Box  # left, top, right, bottom


class _Frame(NamedTuple):
    """The frame around a picture, in pixels."""

    text: int  # size of the text
    width: int  # of the framed picture
    bar: int  # height of the bars above and below
    left: int  # of the picture in the frame

    @staticmethod
    def around(width: int, height: int) -> "_Frame":
        text = max(14, round(max(width, height) / 70))
        framed_width = max(width, 32 * text)  # wide enough for the text
        return _Frame(text, framed_width, round(2.8 * text), (framed_width - width) // 2)


class PreviewPainter:
    """Draw the objects of a layer, batch by batch, on the scene.

    Memory does not depend on the number of objects.

    Args:
        image: the downsampled scene, uint8 RGB [h, w, 3], at most about 1600 pixels wide or high.
        transform: pixel of `image` to world; any affine.
        m_per_px: metres on the ground from one column of `image` to the next. If None, there is no
            scale bar.
    """

    def __init__(
        self, image: NDArray[np.uint8], transform: Affine, *, m_per_px: float | None = None
    ) -> None:
        factor = max(1, MIN_SIDE_PX // max(image.shape[:2]))
        self._image = brighten(image).repeat(factor, axis=0).repeat(factor, axis=1)
        self._to_picture = ~(transform @ Affine.scale(1 / factor))
        self._m_per_px = None if m_per_px is None else m_per_px / factor
        height, width = (SUPERSAMPLING * side for side in self._image.shape[:2])
        # Number of edges along each row, see `toggle_inside`.
        self._toggles = np.zeros((height, width + 1), np.uint8)
        self._lines = np.zeros((height, width), bool)
        self._labels: list[_Label] = []
        self._n_objects = 0
        self._area_m2 = 0.0

    def add(self, features: Features) -> None:
        """Draw a batch of objects."""
        if not len(features):
            return
        self._n_objects += len(features)
        self._area_m2 += float(features.area_m2.sum())
        polygons = _transform(features.polygons, self._to_picture)
        starts, stops = (SUPERSAMPLING * ends for ends in ring_edges(polygons))
        toggle_inside(self._toggles, starts, stops)
        draw_edges(self._lines, starts, stops)
        self._add_labels(features, polygons)

    def picture(self, expression: str) -> Image.Image:
        """The picture of all objects so far, framed, with the expression as its title."""
        return self._frame(self._paint(), expression)

    def world_to_picture(self) -> Affine:
        """World coordinates to pixels of the framed picture."""
        height, width = self._image.shape[:2]
        frame = _Frame.around(width, height)
        return Affine.translation(frame.left, frame.bar) @ self._to_picture

    def save(self, path: str | Path, expression: str, *, overwrite: bool = False) -> None:
        """Write the picture as PNG.

        Args:
            path: path of the file.
            expression: title of the picture.
            overwrite: replace an existing file.

        Raises:
            OutputError: the file exists or cannot be written.
        """
        picture = self.picture(expression)
        with atomic_file(path, overwrite=overwrite) as part:
            try:
                picture.save(part, format="PNG")
            except OSError as err:
                raise write_error(Path(path), err) from err

    def _add_labels(self, features: Features, polygons: NDArray[Any]) -> None:
        """Keep the largest objects, which get numbers."""
        order = np.argsort(-features.n_pixels, kind="stable")[:MAX_LABELS]
        points = shapely.get_coordinates(shapely.point_on_surface(polygons[order]))
        boxes = shapely.bounds(polygons[order])
        for i, point, box in zip(order.tolist(), points.tolist(), boxes.tolist(), strict=True):
            self._labels.append(
                _Label(int(features.n_pixels[i]), int(features.id[i]), tuple(point), tuple(box))
            )
        self._labels.sort(key=lambda label: (-label.n_pixels, label.id))
        del self._labels[MAX_LABELS:]

    def _paint(self) -> Image.Image:
        """The scene with its objects, without the frame."""
        scene = Image.fromarray(self._image)
        if not self._n_objects:
            return scene
        inside = (np.cumsum(self._toggles[:, :-1], axis=1, dtype=np.uint8) & 1).astype(bool)
        gray = scene.convert("L").convert("RGB")
        factor = dimming(float(self._image.mean()))
        dimmed = Image.blend(scene, gray, 0.5).point(lambda value: value * factor)
        picture = Image.composite(scene, dimmed, downsample(inside, SUPERSAMPLING))
        line = downsample(thicken(self._lines), SUPERSAMPLING)
        shade = line.filter(ImageFilter.GaussianBlur(2)).point(lambda value: min(255, 2 * value))
        picture.paste((0, 0, 0), mask=shade.point(lambda value: value * 0.6))
        picture.paste(OUTLINE_RGB, mask=line)
        self._draw_labels(picture)
        return picture

    def _draw_labels(self, picture: Image.Image) -> None:
        """Write the numbers of the largest objects, where there is space."""
        lettering = Lettering(picture, max(13, round(max(picture.size) / 95)))
        occupied: list[Box] = []
        for label in self._labels:
            text = str(label.id)
            size = lettering.size(text)
            for x, y in _label_positions(label, size):
                box = x, y, x + size[0], y + size[1]
                if _is_free(box, occupied, picture.size):
                    occupied.append(box)
                    lettering.write((x, y + size[1] / 2), text, stroke=2)
                    break

    def _frame(self, picture: Image.Image, expression: str) -> Image.Image:
        """Add the title above, and the scale bar and the totals below."""
        height = picture.height
        size, width, bar, picture_left = _Frame.around(*picture.size)
        margin = size
        framed = Image.new("RGB", (width, height + 2 * bar), BACKGROUND)
        framed.paste(picture, (picture_left, bar))
        large, normal = Lettering(framed, round(1.35 * size)), Lettering(framed, size)
        title = large.shorten(expression, width - 2 * margin)
        large.write((margin, bar / 2), title)
        middle = height + 1.5 * bar
        totals = self._totals()
        left = width - margin - normal.size(totals)[0]
        normal.write((left, middle), totals)
        if self._m_per_px is not None:
            _draw_scale_bar(normal, (margin, middle), left - 3 * margin, self._m_per_px)
        return framed

    def _totals(self) -> str:
        if not self._n_objects:
            return "no objects"
        objects = "1 object" if self._n_objects == 1 else f"{self._n_objects:,} objects"
        return objects if math.isnan(self._area_m2) else f"{objects}, {format_area(self._area_m2)}"


def brighten(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image [H, W, 3] with a gamma below 1 if it is dark; a bright one is returned as it is.

    Black pixels do not count: they may have no data.
    """
    gray = image.max(axis=2)
    light = float(np.percentile(gray[gray > 0], 95)) if gray.any() else 255.0
    if light >= LEAST_HIGHLIGHT:
        return image
    gamma = math.log(LEAST_HIGHLIGHT / 255) / math.log(light / 255)
    table = np.rint(255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)
    brightened: NDArray[np.uint8] = table[image]
    return brightened


def dimming(mean: float) -> float:
    """The factor by which surroundings are dimmed: 1 in a dark scene, where all would disappear.

    Args:
        mean: of all colours of the scene, from 0 to 255.
    """
    return min(1.0, max(DIMMED_BRIGHTNESS, LEAST_DIMMED_GRAY / max(mean, 1.0)))


def round_length(maximum: float) -> float:
    """The largest of 1, 2 or 5 times a power of ten that is not above `maximum`."""
    power = 10.0 ** math.floor(math.log10(maximum))
    return max(step * power for step in (1, 2, 5) if step * power <= maximum)


def _transform(polygons: NDArray[Any], affine: Affine) -> NDArray[Any]:
    x, y = shapely.get_coordinates(polygons).T
    a, b, c, d, e, f = affine[:6]
    transformed = np.column_stack((a * x + b * y + c, d * x + e * y + f))
    return shapely.set_coordinates(polygons.copy(), transformed)


def _label_positions(label: _Label, size: tuple[float, float]) -> Iterator[tuple[float, float]]:
    """Possible positions of the top left corner of a label, best first."""
    width, height = size
    x, y = label.point
    left, top, right, bottom = label.box
    if right - left > 2 * width and bottom - top > 2 * height:
        yield x - width / 2, y - height / 2
    gap = 3
    middle = (left + right - width) / 2
    yield right + gap, top - height / 2
    yield middle, top - height - gap
    yield left - width - gap, top - height / 2
    yield middle, bottom + gap


def _is_free(box: Box, occupied: list[Box], size: tuple[int, int]) -> bool:
    left, top, right, bottom = box
    if left < 0 or top < 0 or right > size[0] or bottom > size[1]:
        return False
    return not any(
        left < other[2] and other[0] < right and top < other[3] and other[1] < bottom
        for other in occupied
    )


def _draw_scale_bar(
    lettering: Lettering, position: tuple[float, float], max_px: float, m_per_px: float
) -> None:
    """Draw a scale bar of a round length, of four dark and light boxes, with its length."""
    x, y = position
    length_m = round_length(max(min(max_px * 0.5, 260), 1) * m_per_px)
    length_px = length_m / m_per_px
    half = lettering.font_px / 5
    lettering.draw.rectangle((x, y - half, x + length_px, y + half), outline=TEXT)
    for box in (0, 2):
        start = x + box * length_px / 4
        lettering.draw.rectangle((start, y - half, start + length_px / 4, y + half), fill=TEXT)
    lettering.write((x + length_px + lettering.font_px * 0.7, y), format_length(length_m))
