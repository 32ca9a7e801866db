"""The canvas of painted scenes: it renders an image with exact masks.

Items are drawn in metres on Pillow images of two or three times the final size: colours, shadows,
and item numbers on three levels. `Canvas.render` scales them down, adds the textures of the
materials, and simulates the camera.

Draw low items before tall ones, because an item casts its shadow on everything drawn before it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from rrsis_geo.data.painter.basics import (
    Colour,
    Corners,
    Points,
    mix,
    smooth_noise,
    sweep,
    translate,
)
from rrsis_geo.data.painter.camera import Light, Pixels, apply_light, take_picture
from rrsis_geo.data.sample import Instance, LabelledImage

Level = Literal["ground", "zone", "object"]

# Contrast of the fine, middle and broad texture, and of single pixels, on each material.
MATERIALS: dict[str, tuple[float, float, float, float]] = {
    "ground": (0.0, 0.0, 0.0, 0.02),  # its texture is part of the ground image
    "asphalt": (0.02, 0.025, 0.05, 0.02),
    "concrete": (0.02, 0.025, 0.05, 0.015),
    "soil": (0.05, 0.06, 0.08, 0.03),
    "grass": (0.05, 0.05, 0.08, 0.04),
    "water": (0.025, 0.03, 0.06, 0.01),
    "roof": (0.015, 0.025, 0.03, 0.015),
    "tiles": (0.035, 0.03, 0.04, 0.03),
    "leaves": (0.09, 0.05, 0.03, 0.08),
    "paint": (0.01, 0.01, 0.0, 0.01),
}
_MATERIAL_NUMBER = {name: number for number, name in enumerate(MATERIALS)}

_HIDES = {"none": 0, "ground": 1, "all": 2}

MIN_PIXELS = 4
"""Least number of visible pixels of an instance."""


@dataclass(slots=True)
class CanvasItem:
    """Record of a drawn item.

    The pixels of an item hold its ink: four times its index in the list, plus a code for the levels
    that it hides.
    """

    category: str | None
    material: int
    level: Level
    ink: int
    attributes: dict[str, str]
    left: float = math.inf
    top: float = math.inf
    right: float = -math.inf
    bottom: float = -math.inf


@dataclass(frozen=True, slots=True)
class Sprite:
    """A square picture to stamp: colours (RGB), opacity (L), and mask (1)."""

    picture: Image.Image
    cover: Image.Image
    outline: Image.Image

    @property
    def size_px(self) -> int:
        """Side of the picture."""
        return self.picture.width


class Canvas:
    """Images to draw on in metres, see the module docstring.

    Args:
        rng: source of all randomness.
        ground: float32 [H, W, 3] in 0 to 255, the image under all items.
        gsd_m: metres per final pixel.
        light: sun, sky and camera.
    """

    def __init__(
        self, rng: np.random.Generator, ground: Pixels, gsd_m: float, light: Light
    ) -> None:
        self.rng, self.gsd_m, self.light = rng, gsd_m, light
        self.height, self.width = ground.shape[:2]
        self.fineness = 2 if gsd_m < 0.5 else 3
        self.scale = self.fineness / gsd_m
        size = (self.width * self.fineness, self.height * self.fineness)
        base = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8))
        self.rgb = base.resize(size, Image.Resampling.NEAREST)
        self.shadow = Image.new("L", size)
        self.levels: dict[Level, Image.Image] = {}
        self.items: list[CanvasItem] = [
            CanvasItem(None, _MATERIAL_NUMBER["ground"], "ground", 0, {})
        ]
        self._rgb = ImageDraw.Draw(self.rgb)
        self._shadow = ImageDraw.Draw(self.shadow)
        self._levels: dict[Level, ImageDraw.ImageDraw] = {}

    @property
    def height_m(self) -> float:
        """Height of the view in metres."""
        return float(self.height * self.gsd_m)

    @property
    def width_m(self) -> float:
        """Width of the view in metres."""
        return float(self.width * self.gsd_m)

    def add_item(
        self,
        category: str | None,
        material: str,
        *,
        level: Level = "object",
        hides: Literal["all", "ground", "none"] = "all",
        attributes: dict[str, str] | None = None,
    ) -> int:
        """Add an item without shapes, and return its number.

        Args:
            category: category of the instance; None for unlabelled items (clutter, sidewalks).
            material: a key of `MATERIALS`.
            level: "ground" for surfaces; "zone" for areas that do not hide surfaces, such as
                bridges and harbors; "object" for everything else.
            hides: levels whose masks exclude the pixels of an object. Vehicles hide no level, as
                in human labels of roads. Ships hide the ground (water) but not the harbor's zone.
            attributes: attributes of the instance.
        """
        if level not in self.levels:
            self.levels[level] = Image.new("I", self.rgb.size)
            self._levels[level] = ImageDraw.Draw(self.levels[level])
        number = len(self.items)
        ink = 4 * number + _HIDES[hides]
        self.items.append(
            CanvasItem(category, _MATERIAL_NUMBER[material], level, ink, attributes or {})
        )
        return number

    def to_pixels(self, points: Points | Corners) -> list[float]:
        """Convert metres to a flat list of canvas pixels, which Pillow draws fastest."""
        scale = self.scale
        if isinstance(points, np.ndarray):
            flat: list[float] = (points * scale).ravel().tolist()
            return flat
        return [v * scale for point in points for v in point]

    def fill(self, points: Points | Corners, colour: Colour) -> None:
        """Paint a polygon without changing masks."""
        self._rgb.polygon(self.to_pixels(points), fill=colour)

    def add_shape(self, number: int, points: Points | Corners, colour: Colour | None) -> None:
        """Paint a polygon as part of an item. Without a colour, only the mask changes."""
        corners = self.to_pixels(points)
        item = self.items[number]
        self._grow(item, min(corners[::2]), min(corners[1::2]))
        self._grow(item, max(corners[::2]), max(corners[1::2]))
        self._levels[item.level].polygon(corners, fill=item.ink)
        if item.level == "object":
            self._shadow.polygon(corners, fill=0)
        if colour is not None:
            self._rgb.polygon(corners, fill=colour)

    def _grow(self, item: CanvasItem, x_px: float, y_px: float) -> None:
        item.left, item.right = min(item.left, x_px), max(item.right, x_px)
        item.top, item.bottom = min(item.top, y_px), max(item.bottom, y_px)

    def line(
        self, points: Points | Corners, width_m: float, colour: Colour, strength: float = 1.0
    ) -> None:
        """Paint a line. A line narrower than a canvas pixel is partly transparent.

        Args:
            points: vertices in metres.
            width_m: width.
            colour: colour at full opacity.
            strength: opacity, 0 to 1.
        """
        width_px = width_m * self.scale
        strength = min(1.0, strength * min(1.0, width_px))
        if strength < 0.97:
            colour = mix(
                self._colour_at(points[len(points) // 2], default=colour), colour, strength
            )
        self._rgb.line(self.to_pixels(points), fill=colour, width=max(1, round(width_px)))

    def _colour_at(self, point: Sequence[float], *, default: Colour) -> Colour:
        x, y = int(point[0] * self.scale), int(point[1] * self.scale)
        if not (0 <= x < self.rgb.width and 0 <= y < self.rgb.height):
            return default
        pixel = self.rgb.getpixel((x, y))
        assert isinstance(pixel, tuple)
        return int(pixel[0]), int(pixel[1]), int(pixel[2])

    def cast_shadow(self, points: Corners, height_m: float, foot_m: float = 0.0) -> None:
        """Cast the shadow of a convex outline.

        Args:
            points: the outline.
            height_m: height of its top above the ground.
            foot_m: height of its bottom above the ground.
        """
        dx, dy = self.light.shadow_x, self.light.shadow_y
        start = translate(points, dx * foot_m, dy * foot_m) if foot_m else points
        whole = sweep(start, dx * (height_m - foot_m), dy * (height_m - foot_m))
        self._shadow.polygon(self.to_pixels(whole), fill=255)

    def add_shadow(self, points: Points | Corners) -> None:
        """Put a polygon into shadow."""
        self._shadow.polygon(self.to_pixels(points), fill=255)

    def clear_shadow(self, points: Points | Corners) -> None:
        """Remove the shadow from a polygon."""
        self._shadow.polygon(self.to_pixels(points), fill=0)

    def stamp(self, number: int, x: float, y: float, sprite: Sprite) -> None:
        """Draw a sprite as part of an item.

        Args:
            number: number of the item.
            x: centre, metres.
            y: centre, metres.
            sprite: the sprite.
        """
        left = round(x * self.scale - sprite.size_px / 2)
        top = round(y * self.scale - sprite.size_px / 2)
        item = self.items[number]
        self._grow(item, left, top)
        self._grow(item, left + sprite.size_px, top + sprite.size_px)
        self.rgb.paste(sprite.picture, (left, top), sprite.cover)
        self.levels[item.level].paste(item.ink, (left, top), sprite.outline)
        self.shadow.paste(0, (left, top), sprite.outline)

    def stamp_shadow(self, x: float, y: float, sprite: Sprite, height_m: float) -> None:
        """Cast the shadow of a sprite that rises from the ground."""
        dx, dy = self.light.shadow_x * height_m, self.light.shadow_y * height_m
        away = math.hypot(dx, dy) * self.scale
        steps = min(6, max(1, math.ceil(away / max(3.0, 0.3 * sprite.size_px))))
        for step in range(steps, 0, -1):
            left = round((x + dx * step / steps) * self.scale - sprite.size_px / 2)
            top = round((y + dy * step / steps) * self.scale - sprite.size_px / 2)
            self.shadow.paste(255, (left, top), sprite.outline)

    def fill_with(
        self, points: Points | Corners, draw: Callable[[tuple[slice, slice]], Pixels]
    ) -> None:
        """Fill a polygon with an image.

        Args:
            points: the polygon. It is clipped to the view.
            draw: returns the image of a window (rows, columns) of the final image, float32
                [h, w, 3] in 0 to 255.
        """
        corners = self.to_pixels(points)
        f = self.fineness
        left, top = max(0, int(min(corners[::2]) // f)), max(0, int(min(corners[1::2]) // f))
        right = min(self.width, math.ceil(max(corners[::2]) / f) + 1)
        bottom = min(self.height, math.ceil(max(corners[1::2]) / f) + 1)
        if right <= left or bottom <= top:
            return
        pixels = np.clip(draw((slice(top, bottom), slice(left, right))), 0, 255).astype(np.uint8)
        size = ((right - left) * f, (bottom - top) * f)
        picture = Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST)
        cover = Image.new("L", size)
        start = (left * f, top * f)
        ImageDraw.Draw(cover).polygon([v - start[k % 2] for k, v in enumerate(corners)], fill=255)
        self.rgb.paste(picture, start, cover)

    # --- rendering ---

    def render(self, complete: frozenset[str], name: str) -> LabelledImage:
        """Render the image and its instances.

        Args:
            complete: categories of which the scene labels every object.
            name: id of the labelled image.
        """
        pixels = np.asarray(self.rgb.reduce(self.fineness), dtype=np.float32)
        levels = self._read_levels()
        pixels = pixels * self._texture(levels)[..., None]
        dark = self.shadow
        if self.scale > 12:  # at this scale, the soft edges of shadows are visible
            dark = dark.filter(ImageFilter.BoxBlur(1))
        shadow = np.asarray(dark.reduce(self.fineness))
        image = take_picture(apply_light(pixels, shadow, self.light), self.rng, self.light)
        return LabelledImage(
            image=image,
            instances=tuple(self._instances(levels)),
            complete=complete,
            gsd_m=self.gsd_m,
            id=name,
        )

    def _read_levels(self) -> dict[Level, NDArray[np.int32]]:
        """The inks of each level, int32 [H * fineness, W * fineness]."""
        return {name: np.asarray(level) for name, level in self.levels.items()}

    def _texture(self, levels: dict[Level, NDArray[np.int32]]) -> Pixels:
        """Brightness factors of the materials' textures, float32 [H, W] around 1."""
        f, height, width = self.fineness, self.height, self.width
        materials = np.array(list(MATERIALS.values()), dtype=np.float32)
        amplitudes = materials[[item.material for item in self.items]].T.copy()
        number = np.zeros((height, width), dtype=np.int32)
        order: tuple[Level, ...] = ("ground", "object")
        for level in order:
            if level in levels:
                ink = levels[level][f // 2 :: f, f // 2 :: f]
                number = np.where(ink > 0, ink >> 2, number)
        texture = self.rng.standard_normal((height, width), dtype=np.float32)
        texture *= np.take(amplitudes[3], number, mode="clip")
        texture += np.float32(1)
        for band, cell_px in enumerate((2.2, 6.0, 45.0)):
            noise = smooth_noise(self.rng, height, width, cell_px)
            noise *= np.take(amplitudes[band], number, mode="clip")
            texture += noise
        return texture

    def _instances(self, levels: dict[Level, NDArray[np.int32]]) -> list[Instance]:
        """An instance for each visible item with a category."""
        f = self.fineness
        hidden: dict[Level, NDArray[np.bool_]] = {}
        if "object" in levels:
            hides = (levels["object"] & 3).astype(np.uint8)
            hidden["ground"], hidden["zone"] = hides > 0, hides > 1
        instances = []
        for item in self.items:
            if item.category is None or item.left > item.right:
                continue
            left, top = max(0, int(item.left // f)), max(0, int(item.top // f))
            right = min(self.width, int(item.right // f) + 2)
            bottom = min(self.height, int(item.bottom // f) + 2)
            if right <= left or bottom <= top:
                continue
            window = (slice(top * f, bottom * f), slice(left * f, right * f))
            fine = levels[item.level][window] == item.ink
            if item.level in hidden:
                fine &= ~hidden[item.level][window]
            instance = _make_instance(item, _majority(fine, f), top, left)
            if instance is not None:
                instances.append(instance)
        return instances


def _majority(fine: NDArray[np.bool_], fineness: int) -> NDArray[np.bool_]:
    """Reduce a mask: a pixel is True if at least half of its block is."""
    rows = fine[::fineness].astype(np.uint8)
    for k in range(1, fineness):
        rows += fine[k::fineness]
    cells = rows[:, ::fineness].copy()
    for k in range(1, fineness):
        cells += rows[:, k::fineness]
    out: NDArray[np.bool_] = cells * np.uint8(2) >= fineness**2
    return out


def _make_instance(
    item: CanvasItem, mask: NDArray[np.bool_], top: int, left: int
) -> Instance | None:
    """Make an instance with its mask cropped to its box. None if the mask is nearly empty."""
    assert item.category is not None
    if int(np.count_nonzero(mask)) < MIN_PIXELS:
        return None
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    row, col = int(rows[0]), int(cols[0])
    mask = mask[row : int(rows[-1]) + 1, col : int(cols[-1]) + 1].copy()
    bbox = (top + row, left + col, mask.shape[0], mask.shape[1])
    return Instance(item.category, bbox, mask, dict(item.attributes))
