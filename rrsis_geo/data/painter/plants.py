"""Trees and bushes of painted scenes."""

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rrsis_geo.data.painter.basics import Colour, Frame, mix, pick_colour, shade
from rrsis_geo.data.painter.camera import Light
from rrsis_geo.data.painter.canvas import Canvas, Sprite
from rrsis_geo.data.painter.layout import Layout

CATEGORIES = ("tree",)

_CROWN_PX = 72
_N_CROWNS = 16

_GREENS: tuple[Colour, ...] = (
    (62, 80, 48), (72, 90, 52), (52, 70, 46), (82, 96, 58), (66, 76, 56), (46, 62, 42),
)  # fmt: skip


@lru_cache(maxsize=1)
def _crowns() -> NDArray[np.float32]:
    """Height fields [n, P, P] of tree crowns, 0 outside the crown. They are the same in every run.

    The first three quarters are broad-leaved trees, the rest are conifers.
    """
    rng = np.random.default_rng(20240229)
    line = (np.arange(_CROWN_PX, dtype=np.float32) + 0.5) / _CROWN_PX * 2 - 1
    x, y = line[None, :], line[:, None]
    crowns: list[NDArray[np.float32]] = []
    for k in range(_N_CROWNS):
        if k >= 0.75 * _N_CROWNS:
            away_PP, turn_PP = np.hypot(x, y), np.arctan2(y, x)
            bend_PP = 3 * np.sin(2 * turn_PP + rng.uniform(0, 6))
            reach_PP = 0.78 + 0.14 * np.cos(int(rng.integers(6, 11)) * turn_PP + bend_PP)
            crowns.append(np.maximum(0, 1.1 * (reach_PP - away_PP)).astype(np.float32))
            continue
        field = np.zeros((_CROWN_PX, _CROWN_PX), dtype=np.float32)
        spread = rng.uniform(0.5, 0.68)
        for _ in range(int(rng.integers(30, 75))):
            away, turn = spread * math.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
            radius = rng.uniform(0.12, 0.3) * (1.25 - 0.5 * away)
            gone = (x - away * math.cos(turn)) ** 2 + (y - away * math.sin(turn)) ** 2
            bump = np.sqrt(np.maximum(0.0, radius**2 - gone)) + 0.6 * (1 - away) * (
                gone < radius**2
            )
            field = np.maximum(field, bump.astype(np.float32))
        crowns.append(field)
    return np.stack(crowns)


class TreeSprites:
    """Tree crowns of one scene: a few shapes and greens, lit by its sun.

    Args:
        rng: source of all randomness.
        light: light of the scene.
        dry: share of brown in the greens.
    """

    def __init__(self, rng: np.random.Generator, light: Light, dry: float = 0.0) -> None:
        shapes = _crowns()
        sun_x, sun_y = light.facing
        conifers = rng.random() < 0.15
        self._crowns: list[tuple[Image.Image, Image.Image]] = []
        self._sprites: dict[tuple[int, int], Sprite] = {}
        for _ in range(6):
            low, high = (12, 16) if conifers else (0, 12 if rng.random() < 0.9 else 16)
            field = np.rot90(shapes[int(rng.integers(low, high))], int(rng.integers(4)))
            green = mix(pick_colour(rng, _GREENS, 0.1), (122, 106, 68), dry * rng.random())
            down, right = np.gradient(field, 2 / _CROWN_PX)
            lit = -(right * np.float32(sun_x) + down * np.float32(sun_y))
            strength = np.float32(0.12 + 0.34 * light.shadow_depth)
            gain = 0.66 + 0.4 * field + strength * np.tanh(0.6 * lit)
            gain *= 1 + np.float32(0.13) * rng.standard_normal(field.shape, dtype=np.float32)
            pixels = np.clip(gain[..., None] * np.array(green, dtype=np.float32), 0, 255)
            cover = Image.fromarray(((field > 0) * 255).astype(np.uint8))
            self._crowns.append((Image.fromarray(pixels.astype(np.uint8)), cover))

    def sprite(self, rng: np.random.Generator, size_px: float) -> Sprite:
        """Draw a crown of about this size, in canvas pixels."""
        index = int(rng.integers(len(self._crowns)))
        step = max(1, int(size_px / 16))  # similar sizes share a picture
        size = max(3, step * round(size_px / step))
        if (index, size) not in self._sprites:
            picture, cover = (
                each.resize((size, size), Image.Resampling.BILINEAR) for each in self._crowns[index]
            )
            self._sprites[index, size] = Sprite(picture, cover, cover.point(_HALF, "1"))
        return self._sprites[index, size]


_HALF = [0] * 128 + [255] * 128


def paint_tree(canvas: Canvas, sprites: TreeSprites, x: float, y: float, radius_m: float) -> None:
    """Paint a tree with its shadow.

    Args:
        canvas: the canvas.
        sprites: tree crowns of the scene.
        x: centre of the crown, metres.
        y: centre of the crown, metres.
        radius_m: radius of the crown.
    """
    _stamp(canvas, sprites, x, y, radius_m, canvas.add_item("tree", "leaves"))


def paint_bush(canvas: Canvas, sprites: TreeSprites, x: float, y: float, radius_m: float) -> None:
    """Paint a bush, which has no label."""
    _stamp(canvas, sprites, x, y, radius_m, canvas.add_item(None, "leaves"))


def _stamp(
    canvas: Canvas, sprites: TreeSprites, x: float, y: float, radius_m: float, number: int
) -> None:
    rng = canvas.rng
    sprite = sprites.sprite(rng, 2 * radius_m * canvas.scale)
    height = radius_m * rng.uniform(0.9, 1.7)
    canvas.stamp_shadow(x, y, sprite, height)
    lean = canvas.light.lean_x * height, canvas.light.lean_y * height
    canvas.stamp(number, x + lean[0], y + lean[1], sprite)


# --- layout ---

_MAX_TREES_PER_HECTARE = 20
_MAX_TREES = 260


def plant_trees(layout: Layout) -> None:
    """Add forests, single trees, rows of trees along the roads, and bushes."""
    rng, theme, canvas = layout.rng, layout.theme, layout.canvas
    sprites = TreeSprites(rng, layout.light, (0.0, 0.2, 0.7)[int(rng.integers(3))])
    spots: list[tuple[float, float, float]] = []
    if rng.random() < theme.forest:
        for _ in range(int(rng.integers(1, 3))):
            spots.extend(_draw_forest(layout))
    if rng.random() < 0.5 and layout.roads:
        spots.extend(_draw_avenue(layout))
    for _ in range(layout.draw_count(theme.trees)):
        x, y = rng.uniform(-4, layout.width_m + 4), rng.uniform(-4, layout.height_m + 4)
        spots.append((x, y, rng.lognormal(1.0, 0.4)))
    limit = max(_MAX_TREES, int(_MAX_TREES_PER_HECTARE * layout.hectares))
    for x, y, radius in spots[:limit]:
        if not layout.land.is_occupied_at(x, y):
            _add_tree(layout, sprites, x, y, min(7.5, max(1.2, radius)))
    if canvas.gsd_m < 0.35:
        for _ in range(int(rng.integers(0, 30))):
            x, y = rng.uniform(0, layout.width_m), rng.uniform(0, layout.height_m)
            if not layout.land.is_occupied_at(x, y):
                paint_bush(canvas, sprites, x, y, rng.uniform(0.25, 0.8))
        _scatter_specks(layout)


def _add_tree(layout: Layout, sprites: TreeSprites, x: float, y: float, radius_m: float) -> None:
    canvas = layout.canvas
    layout.defer(4.0 + 2 * radius_m, lambda: paint_tree(canvas, sprites, x, y, radius_m))


def _scatter_specks(layout: Layout) -> None:
    """Paint small specks such as stones on open ground."""
    rng, canvas = layout.rng, layout.canvas
    gray: Colour = (150, 144, 134)
    for _ in range(int(rng.integers(0, 60))):
        x, y = rng.uniform(0, layout.width_m), rng.uniform(0, layout.height_m)
        if not layout.land.is_occupied_at(x, y):
            a, b = rng.uniform(0.08, 0.5, 2).tolist()
            spot = Frame(x, y, rng.uniform(0, 3)).box(-a, a, -b, b)
            canvas.fill(spot, shade(gray, rng.uniform(0.5, 1.35)))


def _draw_forest(layout: Layout) -> Iterator[tuple[float, float, float]]:
    """Draw a group of trees whose crowns touch: x, y and radius in metres."""
    rng = layout.rng
    middle = layout.draw_frame(0.55)
    reach = rng.uniform(0.12, 0.4) * layout.size_m
    mean = rng.uniform(1.6, 4.5)
    for _ in range(int(min(140, 0.75 * (reach / mean) ** 2))):
        away, turn = reach * math.sqrt(rng.random()), rng.uniform(0, 2 * math.pi)
        spot = middle.move(away * math.cos(turn), 0.6 * away * math.sin(turn))
        if layout.is_in_view(spot.x, spot.y, 4):
            yield spot.x, spot.y, mean * rng.uniform(0.7, 1.35)


def _draw_avenue(layout: Layout) -> Iterator[tuple[float, float, float]]:
    """Draw trees on both sides of a road: x, y and radius in metres."""
    rng = layout.rng
    road = layout.roads[int(rng.integers(len(layout.roads)))]
    away = road.style.half_m + road.style.sidewalk_m + rng.uniform(1.8, 4)
    pitch, mean = rng.uniform(6, 16), rng.uniform(1.5, 3.5)
    for side in (-1.0, 1.0):
        for at in np.arange(0, road.length_m, pitch).tolist():
            frame = road.frame(at + rng.normal(0, 0.8), side * (away + rng.normal(0, 0.3)))
            if rng.random() < 0.8 and layout.is_in_view(frame.x, frame.y, 4):
                yield frame.x, frame.y, mean * rng.uniform(0.75, 1.25)
