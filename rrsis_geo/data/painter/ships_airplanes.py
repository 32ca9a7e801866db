"""Ships and airplanes of painted scenes."""

import math

import numpy as np

from rrsis_geo.data.painter.basics import (
    Colour,
    Corners,
    Frame,
    mix,
    pick,
    pick_colour,
    shade,
    vary,
)
from rrsis_geo.data.painter.canvas import Canvas

CATEGORIES = ("airplane", "ship")

_HULLS: dict[str, tuple[Colour, ...]] = {
    "white": ((232, 232, 228), (220, 222, 222), (240, 238, 230)),
    "gray": ((134, 138, 142), (112, 116, 122)),
    "red": ((140, 48, 42), (156, 66, 54)),
    "blue": ((44, 70, 118), (58, 92, 140)),
    "black": ((40, 42, 46),),
    "brown": ((124, 92, 66),),
    "green": ((62, 100, 82),),
}
_BOAT_SHARES = {"white": 76, "gray": 6, "red": 3, "blue": 8, "black": 3, "brown": 4}
_SHIP_SHARES = {"white": 14, "gray": 22, "red": 24, "blue": 16, "black": 14, "green": 10}


def _hull_outline(frame: Frame, length_m: float, width_m: float, inset_m: float = 0.0) -> Corners:
    """The outline of a ship with its bow ahead."""
    x, y = length_m / 2 - inset_m, width_m / 2 - inset_m
    return frame.to_scene(
        (
            (-x, -0.8 * y), (-0.6 * x, -y), (0.35 * x, -y), (0.75 * x, -0.62 * y), (x, 0.0),
            (0.75 * x, 0.62 * y), (0.35 * x, y), (-0.6 * x, y), (-x, 0.8 * y),
        )
    )  # fmt: skip


def paint_boat(canvas: Canvas, frame: Frame, length_m: float, *, moving: bool = False) -> None:
    """Paint a motor boat, a sailing boat or an open boat.

    Args:
        canvas: the canvas.
        frame: centre of the boat, bow ahead.
        length_m: length, 4 to 25 m.
        moving: whether the boat has a wake.
    """
    rng = canvas.rng
    name = pick(rng, _BOAT_SHARES)
    colour = pick_colour(rng, _HULLS[name], 0.04)
    width = length_m * rng.uniform(0.26, 0.36)
    if moving:
        _paint_wake(canvas, frame, length_m, width)
    attributes = {"colour": name, "on": "water"}
    number = canvas.add_item("ship", "paint", hides="ground", attributes=attributes)
    hull = _hull_outline(frame, length_m, width)
    canvas.cast_shadow(hull, 0.12 * length_m + 0.6)
    canvas.add_shape(number, hull, shade(colour, 0.9))
    x, y = length_m / 2, width / 2
    canvas.fill(_hull_outline(frame, length_m, width, 0.09 * width), colour)
    kind = rng.random()
    if kind < 0.4:  # a sailing boat: cabin, cockpit, boom, mast and its shadow
        canvas.fill(frame.box(-0.1 * x, 0.45 * x, -0.45 * y, 0.45 * y), shade(colour, 0.82))
        canvas.fill(frame.box(-0.8 * x, -0.3 * x, -0.5 * y, 0.5 * y), (150, 124, 92))
        canvas.line(frame.to_scene(((-0.7 * x, 0), (0.3 * x, 0))), 0.28, (228, 228, 226))
        mast = frame.move(0.25 * x, 0)
        dx, dy = canvas.light.shadow_x * length_m, canvas.light.shadow_y * length_m
        tip = mast.x + 0.7 * dx, mast.y + 0.7 * dy
        canvas.line(((mast.x, mast.y), tip), 0.22, (40, 46, 50), 0.4)
    elif kind < 0.8:  # a motor boat: windscreen, deck house, canvas cover
        canvas.fill(frame.box(-0.35 * x, 0.3 * x, -0.66 * y, 0.66 * y), (46, 54, 62))
        canvas.fill(frame.box(-0.3 * x, 0.16 * x, -0.6 * y, 0.6 * y), shade(colour, 1.03))
        aft: Colour = pick_colour(rng, ((150, 126, 98), (60, 80, 120), (120, 124, 128)))
        canvas.fill(frame.box(-0.88 * x, -0.42 * x, -0.6 * y, 0.6 * y), aft)
    else:
        canvas.fill(
            _hull_outline(frame.move(-0.05 * x, 0), length_m * 0.8, width * 0.7), (112, 98, 82)
        )
        for u in (-0.5, -0.1, 0.3):
            canvas.fill(frame.box(u * x, u * x + 0.3, -0.6 * y, 0.6 * y), (176, 160, 136))


def _paint_wake(canvas: Canvas, frame: Frame, length_m: float, width_m: float) -> None:
    foam: Colour = (196, 206, 206)
    tail = frame.move(-length_m / 2, 0)
    reach = length_m * canvas.rng.uniform(3, 8)
    for side in (-1.0, 1.0):
        y = side * width_m * 0.4
        canvas.line(tail.to_scene(((0, y), (-reach, y + side * 0.18 * reach))), 0.5, foam, 0.35)
    for k in range(6):
        a, b = -reach * k / 9, -reach * (k + 1) / 9
        canvas.line(tail.to_scene(((a, 0), (b, 0))), width_m * 0.7, foam, 0.5 * (1 - k / 6))


def paint_ship(canvas: Canvas, frame: Frame, length_m: float) -> None:
    """Paint a cargo ship, barge or ferry of 25 to 200 m."""
    rng = canvas.rng
    name = pick(rng, _SHIP_SHARES)
    colour = pick_colour(rng, _HULLS[name], 0.06)
    width = length_m * rng.uniform(0.14, 0.2)
    number = canvas.add_item(
        "ship", "paint", hides="ground", attributes={"colour": name, "on": "water"}
    )
    hull = _hull_outline(frame, length_m, width)
    canvas.cast_shadow(hull, 0.07 * length_m + 2)
    canvas.add_shape(number, hull, shade(colour, 0.85))
    canvas.fill(_hull_outline(frame, length_m, width, 0.06 * width), colour)
    x, y = length_m / 2, width / 2
    if rng.random() < 0.45:
        _paint_containers(canvas, frame, x, y)
    else:
        hatch = mix(colour, pick_colour(rng, ((140, 90, 70), (150, 152, 150), (90, 110, 100))), 0.7)
        count = int(rng.integers(3, 7))
        for k in range(count):
            u = -0.5 * x + k * 1.2 * x / count
            canvas.fill(frame.box(u, u + 0.95 * x / count, -0.72 * y, 0.72 * y), shade(hatch, 0.7))
            canvas.fill(frame.box(u + 0.4, u + 0.9 * x / count, -0.66 * y, 0.66 * y), hatch)
    house = frame.box(-0.88 * x, -0.62 * x, -0.8 * y, 0.8 * y)
    canvas.cast_shadow(house, 10.0)
    canvas.clear_shadow(house)
    canvas.fill(house, (226, 226, 222))
    canvas.fill(frame.box(-0.66 * x, -0.63 * x, -0.7 * y, 0.7 * y), (52, 60, 68))
    canvas.fill(frame.box(-0.82 * x, -0.75 * x, -0.2 * y, 0.2 * y), shade(colour, 0.8))


def _paint_containers(canvas: Canvas, frame: Frame, x: float, y: float) -> None:
    rng = canvas.rng
    for u in np.arange(-0.55 * x, 0.62 * x, 13.0).tolist():
        for v in np.arange(-0.85 * y, 0.85 * y - 2.4, 2.6).tolist():
            if rng.random() < 0.9:
                canvas.fill(frame.box(u, u + 12.2, v, v + 2.4), container_colour(rng))


def container_colour(rng: np.random.Generator) -> Colour:
    """Draw the colour of a shipping container."""
    return pick_colour(
        rng,
        (
            (146, 62, 48), (52, 84, 130), (70, 110, 92), (170, 170, 166), (178, 110, 60),
            (92, 96, 104), (196, 160, 70),
        ),
        0.08,
    )  # fmt: skip


# --- airplanes ---


def paint_airplane(canvas: Canvas, frame: Frame, length_m: float, on: str) -> None:
    """Paint an airliner if it is longer than 20 m, otherwise a light airplane.

    Args:
        canvas: the canvas.
        frame: centre of the airplane, nose ahead.
        length_m: length from nose to tail.
        on: the surface under it, stored as an attribute.
    """
    rng = canvas.rng
    name = "white" if rng.random() < 0.8 else "gray"
    body = vary(rng, (232, 233, 234) if name == "white" else (156, 160, 164), 0.03)
    number = canvas.add_item(
        "airplane", "paint", hides="none", attributes={"colour": name, "on": on}
    )
    liner = length_m > 20
    parts = _airliner_parts(length_m, rng) if liner else _light_plane_parts(length_m, rng)
    high = 0.11 * length_m
    outlines = [(frame.to_scene(local), kind) for local, kind in parts]
    for points, kind in outlines:
        canvas.cast_shadow(points, high if kind != "fin" else 2.4 * high, 0.5 * high)
    wing = shade(body, rng.uniform(0.82, 0.95))
    tail = (
        body
        if rng.random() < 0.4
        else pick_colour(
            rng, ((170, 40, 44), (40, 70, 140), (30, 110, 90), (230, 170, 40), (60, 62, 70))
        )
    )
    colours = {"wing": wing, "body": body, "engine": shade(body, 0.7), "fin": tail}
    for points, kind in outlines:
        canvas.add_shape(number, points, colours[kind])
    _paint_plane_details(canvas, frame, length_m, liner, body, tail)


def _paint_plane_details(
    canvas: Canvas, frame: Frame, length_m: float, liner: bool, body: Colour, tail: Colour
) -> None:
    half = length_m / 2
    width = (0.052 if liner else 0.06) * length_m
    sun = frame.to_local(canvas.light.facing)[1]
    tilt = 0.22 * canvas.light.shadow_depth
    y0, y1 = sorted((0.0, -math.copysign(width, sun)))
    canvas.fill(frame.box(-0.6 * half, 0.8 * half, y0, y1), shade(body, 1 - tilt * abs(sun)))
    canvas.fill(frame.box(0.86 * half, 0.92 * half, -0.5 * width, 0.5 * width), (50, 56, 64))
    # the fin from above
    canvas.fill(frame.box(-0.98 * half, -0.68 * half, -0.12 * width, 0.12 * width), tail)


def _airliner_parts(length_m: float, rng: np.random.Generator) -> list[tuple[Corners, str]]:
    """The convex parts of an airliner in local coordinates, low ones first."""
    half = length_m / 2
    w = 0.052 * length_m
    span = rng.uniform(0.44, 0.52) * length_m
    root, sweep_back = 0.16 * half, rng.uniform(0.5, 0.68) * span
    parts: list[tuple[Corners, str]] = []
    for side in (-1.0, 1.0):
        wing = (
            (root + 0.18 * half, side * 0.6 * w),
            (root + 0.18 * half - sweep_back, side * span),
            (root + 0.1 * half - sweep_back - 0.06 * half, side * span),
            (root - 0.34 * half, side * 0.32 * span),
            (root - 0.38 * half, side * 0.6 * w),
        )
        fin = (
            (-0.72 * half, side * 0.3 * w),
            (-0.93 * half, side * 0.19 * length_m),
            (-1.0 * half, side * 0.19 * length_m),
            (-0.95 * half, side * 0.3 * w),
        )
        parts += [(wing, "wing"), (fin, "wing")]
        for share in (0.34,) if length_m < 55 else (0.3, 0.58):
            front = root + 0.24 * half - share * sweep_back
            y = side * share * span
            e = 0.021 * length_m
            parts.append(
                (((front - 0.16 * half, y - e), (front, y - e), (front, y + e),
                  (front - 0.16 * half, y + e)), "engine")
            )  # fmt: skip
    parts.append((_fuselage_outline(half, w), "body"))
    return parts


def _light_plane_parts(length_m: float, rng: np.random.Generator) -> list[tuple[Corners, str]]:
    half, w = length_m / 2, 0.06 * length_m
    span, chord = rng.uniform(0.58, 0.7) * length_m, 0.2 * length_m
    at = 0.25 * half
    wing = ((at + chord / 2, -span), (at + chord / 2, span), (at - chord / 2, span),
            (at - chord / 2, -span))  # fmt: skip
    tail = ((-0.78 * half, -0.2 * length_m), (-0.78 * half, 0.2 * length_m),
            (-0.98 * half, 0.18 * length_m), (-0.98 * half, -0.18 * length_m))  # fmt: skip
    return [(_fuselage_outline(half, w), "body"), (tail, "wing"), (wing, "wing")]


def _fuselage_outline(half_m: float, w: float) -> Corners:
    return (
        (half_m, 0.0), (0.96 * half_m, 0.5 * w), (0.86 * half_m, w), (-0.45 * half_m, w),
        (-half_m, 0.2 * w), (-half_m, -0.2 * w), (-0.45 * half_m, -w), (0.86 * half_m, -w),
        (0.96 * half_m, -0.5 * w),
    )  # fmt: skip
