"""Shared helpers of the painters: colours, random draws, and geometry in metres."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rrsis_geo.data.painter.camera import Pixels

Points: TypeAlias = NDArray[np.float64]
"""A line or polygon with many vertices: [n, 2] as (x, y) in metres, x to the right, y down."""

Corners: TypeAlias = Sequence[tuple[float, float]]
"""A line or polygon with few vertices, for which Python is faster than NumPy."""

Colour: TypeAlias = tuple[int, int, int]


# --- colours and random draws ---


def shade(colour: Colour, factor: float) -> Colour:
    """Multiply the brightness of a colour."""
    r, g, b = colour
    return min(255, int(r * factor)), min(255, int(g * factor)), min(255, int(b * factor))


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Blend a share of the second colour into the first."""
    (r, g, b), (u, v, w) = first, second
    keep = 1.0 - share
    return int(r * keep + u * share), int(g * keep + v * share), int(b * keep + w * share)


def vary(rng: np.random.Generator, colour: Colour, amount: float = 0.06) -> Colour:
    """Vary the brightness and, slightly, the hue of a colour at random."""
    whole, red, green, blue = rng.standard_normal(4).tolist()
    gain, hue = 1.0 + amount * whole, 50 * amount
    r, g, b = colour
    return _byte(r * gain + hue * red), _byte(g * gain + hue * green), _byte(b * gain + hue * blue)


def _byte(value: float) -> int:
    return 0 if value < 0 else 255 if value > 255 else int(value)


def pick(rng: np.random.Generator, shares: Mapping[str, float]) -> str:
    """Draw a name with probability proportional to its share."""
    left = rng.random() * sum(shares.values())
    for name, share in shares.items():
        left -= share
        if left < 0:
            return name
    return next(reversed(list(shares)))


def pick_colour(
    rng: np.random.Generator, colours: Sequence[Colour], amount: float = 0.06
) -> Colour:
    """Draw one of the colours and vary it."""
    return vary(rng, colours[int(rng.integers(len(colours)))], amount)


def smooth_noise(rng: np.random.Generator, height: int, width: int, cell_px: float) -> Pixels:
    """Smooth noise, float32 [height, width], with mean 0 and a standard deviation of about 1.

    Args:
        rng: source of all randomness.
        height: rows.
        width: columns.
        cell_px: distance between extremes, pixels.
    """
    rows, cols = math.ceil(height / cell_px) + 3, math.ceil(width / cell_px) + 3
    values = Image.fromarray(rng.standard_normal((rows, cols), dtype=np.float32))
    y, x = rng.random(2)
    box = (x, y, x + width / cell_px, y + height / cell_px)
    noise = values.resize((width, height), Image.Resampling.BICUBIC, box=box)
    return np.asarray(noise, dtype=np.float32) * np.float32(1.3)


# --- geometry ---


@dataclass(frozen=True, slots=True)
class Frame:
    """A local coordinate frame on the ground: x points forward, y to the right, in metres."""

    x: float
    y: float
    heading: float

    def to_scene(self, local: Corners) -> Corners:
        """Transform local points to scene coordinates."""
        cos, sin = math.cos(self.heading), math.sin(self.heading)
        x, y = self.x, self.y
        return [(x + u * cos - v * sin, y + u * sin + v * cos) for u, v in local]

    def box(self, x0: float, x1: float, y0: float, y1: float) -> Corners:
        """The four corners of a local rectangle in scene coordinates."""
        return self.to_scene(((x0, y0), (x1, y0), (x1, y1), (x0, y1)))

    def move(self, forward: float, right: float, turn: float = 0.0) -> "Frame":
        """The frame moved to a local point and rotated."""
        cos, sin = math.cos(self.heading), math.sin(self.heading)
        x = self.x + forward * cos - right * sin
        y = self.y + forward * sin + right * cos
        return Frame(x, y, self.heading + turn)

    def to_local(self, direction: tuple[float, float]) -> tuple[float, float]:
        """Transform a direction of the scene to (forward, right)."""
        cos, sin = math.cos(self.heading), math.sin(self.heading)
        x, y = direction
        return x * cos + y * sin, -x * sin + y * cos


def ring(
    frame: Frame, half_length_m: float, half_width_m: float, n_corners: int = 24
) -> list[tuple[float, float]]:
    """An ellipse along the axes of a frame."""
    turns = [2 * math.pi * k / n_corners for k in range(n_corners)]
    local = [(half_length_m * math.cos(t), half_width_m * math.sin(t)) for t in turns]
    return list(frame.to_scene(local))


def disc(x: float, y: float, radius_m: float, n_corners: int = 20) -> list[tuple[float, float]]:
    """A circle."""
    return ring(Frame(x, y, 0.0), radius_m, radius_m, n_corners)


def translate(points: Corners, dx: float, dy: float) -> Corners:
    """Translate points."""
    return [(x + dx, y + dy) for x, y in points]


def sweep(points: Corners, dx: float, dy: float) -> Corners:
    """The area that a convex polygon covers while it moves along a vector, as a polygon."""
    if dx == 0 and dy == 0:
        return points
    n = len(points)
    across = [y * dx - x * dy for x, y in points]
    first, last = across.index(max(across)), across.index(min(across))
    ahead = [points[(first + k) % n] for k in range((last - first) % n + 1)]
    back = [points[(last + k) % n] for k in range((first - last) % n + 1)]
    area = sum(points[k - 1][0] * points[k][1] - points[k][0] * points[k - 1][1] for k in range(n))
    # The half of the outline that faces the vector is translated.
    if area < 0:
        return [*translate(ahead, dx, dy), *back]
    return [*ahead, *translate(back, dx, dy)]
