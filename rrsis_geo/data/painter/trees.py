"""Trees of painted scenes: lumpy crowns lit by the scene's sun."""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rrsis_geo.data.painter.basics import Colour, mix, one_of
from rrsis_geo.data.painter.camera import Light
from rrsis_geo.data.painter.canvas import Canvas, Sprite

_CROWN_PX = 72
_N_CROWNS = 16

_GREENS: tuple[Colour, ...] = (
    (62, 80, 48), (72, 90, 52), (52, 70, 46), (82, 96, 58), (66, 76, 56), (46, 62, 42),
)  # fmt: skip


@lru_cache(maxsize=1)
def _crowns() -> NDArray[np.float32]:
    """Height fields [n, P, P] of tree crowns, 0 outside, the same on every run.

    The first three quarters are broad-leaved lumps, the rest conifers: a cone with rays.
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


class Leaves:
    """The crowns of one scene: a few shapes in a few greens, lit by its sun.

    Args:
        rng: which shapes and greens.
        light: where the sun stands.
        dry: share of brown and yellow in the greens.
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
            green = mix(one_of(rng, _GREENS, 0.1), (122, 106, 68), dry * rng.random())
            down, right = np.gradient(field, 2 / _CROWN_PX)
            lit = -(right * np.float32(sun_x) + down * np.float32(sun_y))
            strength = np.float32(0.12 + 0.34 * light.shadow_depth)
            gain = 0.66 + 0.4 * field + strength * np.tanh(0.6 * lit)
            gain *= 1 + np.float32(0.13) * rng.standard_normal(field.shape, dtype=np.float32)
            pixels = np.clip(gain[..., None] * np.array(green, dtype=np.float32), 0, 255)
            cover = Image.fromarray(((field > 0) * 255).astype(np.uint8))
            self._crowns.append((Image.fromarray(pixels.astype(np.uint8)), cover))

    def sprite(self, rng: np.random.Generator, size_px: float) -> Sprite:
        """A crown of about this size, canvas pixels."""
        index = int(rng.integers(len(self._crowns)))
        step = max(1, int(size_px / 16))  # near sizes share a picture
        size = max(3, step * round(size_px / step))
        if (index, size) not in self._sprites:
            picture, cover = (
                each.resize((size, size), Image.Resampling.BILINEAR) for each in self._crowns[index]
            )
            self._sprites[index, size] = Sprite(picture, cover, cover.point(_HALF, "1"))
        return self._sprites[index, size]


_HALF = [0] * 128 + [255] * 128


def paint_tree(canvas: Canvas, leaves: Leaves, x: float, y: float, radius_m: float) -> None:
    """One tree with its shadow.

    Args:
        canvas: where.
        leaves: the scene's crowns.
        x: middle of the crown, metres.
        y: middle of the crown, metres.
        radius_m: of the crown.
    """
    _stamp(canvas, leaves, x, y, radius_m, canvas.begin("tree", "leaves"))


def paint_bush(canvas: Canvas, leaves: Leaves, x: float, y: float, radius_m: float) -> None:
    """A shrub too small to be called a tree; it is nobody's instance."""
    _stamp(canvas, leaves, x, y, radius_m, canvas.begin(None, "leaves"))


def _stamp(
    canvas: Canvas, leaves: Leaves, x: float, y: float, radius_m: float, number: int
) -> None:
    rng = canvas.rng
    sprite = leaves.sprite(rng, 2 * radius_m * canvas.scale)
    height = radius_m * rng.uniform(0.9, 1.7)
    canvas.stamp_shadow(x, y, sprite, height)
    lean = canvas.light.lean_x * height, canvas.light.lean_y * height
    canvas.stamp(number, x + lean[0], y + lean[1], sprite)
