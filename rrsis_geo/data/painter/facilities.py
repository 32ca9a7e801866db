"""Pools, storage tanks, courts and sports fields of painted scenes.

Masks follow human labels. A court extends to its outer lines, a baseball field is its infield, and
a ground track field extends to the outer edge of the track.
"""

import math
from collections.abc import Sequence

import numpy as np

from rrsis_geo.data.painter.basics import (
    Colour,
    Corners,
    Frame,
    disc,
    mix,
    pick_colour,
    ring,
    shade,
    sweep,
    translate,
    vary,
)
from rrsis_geo.data.painter.canvas import Canvas

CATEGORIES = (
    "baseball field",
    "basketball court",
    "ground track field",
    "soccer field",
    "storage tank",
    "swimming pool",
    "tennis court",
)

_LINE: Colour = (226, 226, 222)


def paint_pool(canvas: Canvas, frame: Frame, length_m: float, width_m: float) -> None:
    """Paint a swimming pool with a paved border. The mask is the water."""
    rng = canvas.rng
    x, y = length_m / 2, width_m / 2
    deck = canvas.add_item(None, "concrete", level="ground")
    paving = vary(rng, (188, 182, 170))
    canvas.add_shape(deck, frame.box(-x - 1.5, x + 1.5, -y - 1.5, y + 1.5), paving)
    water = pick_colour(rng, ((78, 164, 188), (104, 186, 202), (62, 136, 170), (90, 150, 160)))
    number = canvas.add_item("swimming pool", "water", attributes={"colour": "blue"})
    if rng.random() < 0.5:
        points: Corners = frame.box(-x, x, -y, y)
    else:
        bend, turn = 0.25 * rng.random(), rng.uniform(0, 6)
        waves = [1 - bend * math.cos(2 * t * math.pi / 14 + turn) for t in range(28)]
        points = frame.to_scene(
            [
                (x * w * math.cos(t * math.pi / 14), y * w * math.sin(t * math.pi / 14))
                for t, w in enumerate(waves)
            ]
        )
    canvas.fill(_scale_about(points, frame, 1 + 0.35 / y), (222, 220, 214))
    canvas.add_shape(number, points, water)
    dx, dy = canvas.light.shadow_x, canvas.light.shadow_y
    canvas.fill(
        translate(_scale_about(points, frame, 0.85), 0.12 * dx, 0.12 * dy), shade(water, 1.07)
    )


def _scale_about(points: Corners, middle: Frame, factor: float) -> Corners:
    x0, y0 = middle.x, middle.y
    return [(x0 + (x - x0) * factor, y0 + (y - y0) * factor) for x, y in points]


def paint_tank(canvas: Canvas, x: float, y: float, radius_m: float) -> None:
    """Paint a round storage tank with a cone or a floating roof."""
    rng = canvas.rng
    name, colour = ("white", (218, 218, 214)) if rng.random() < 0.75 else ("gray", (148, 148, 146))
    colour = vary(rng, colour, 0.05)
    height = rng.uniform(0.5, 1.1) * min(radius_m, 14) + 2
    number = canvas.add_item("storage tank", "roof", attributes={"colour": name})
    foot = disc(x, y, radius_m, 36)
    canvas.cast_shadow(foot, height)
    lean = canvas.light.lean_x * height, canvas.light.lean_y * height
    canvas.add_shape(number, sweep(foot, *lean), shade(colour, 0.7))
    x, y = x + lean[0], y + lean[1]
    canvas.fill(disc(x, y, radius_m, 36), shade(colour, 1.04))
    light_x, light_y = canvas.light.facing
    depth = canvas.light.shadow_depth
    if rng.random() < 0.35:  # a floating roof, shaded by the wall on the side of the sun
        canvas.fill(disc(x, y, radius_m * 0.95, 36), shade(colour, 1 - 0.8 * depth))
        away = min(radius_m * 0.35, height * 0.5)
        floor = []
        for u, v in disc(-light_x * away, -light_y * away, radius_m * 0.94, 36):
            inside = min(1.0, radius_m * 0.94 / max(1e-6, math.hypot(u, v)))
            floor.append((x + u * inside, y + v * inside))
        canvas.fill(floor, shade(colour, 0.92))
    else:  # a cone, brighter on the side of the sun
        towards = math.atan2(light_y, light_x)
        for k in range(12):
            turn = towards + (k + 0.5) * math.pi / 6
            rim = [turn - 0.3, turn, turn + 0.3]
            r = 0.96 * radius_m
            wedge = [(x, y), *((x + r * math.cos(t), y + r * math.sin(t)) for t in rim)]
            canvas.fill(wedge, shade(colour, 1.0 + 0.12 * depth * math.cos(turn - towards)))
        canvas.fill(disc(x, y, max(0.4, radius_m * 0.07), 12), shade(colour, 0.75))
    if rng.random() < 0.6:
        turn = rng.uniform(0, 2 * np.pi)
        u, v = radius_m * math.cos(turn), radius_m * math.sin(turn)
        canvas.line(((x + 0.2 * u, y + 0.2 * v), (x + u, y + v)), 0.8, shade(colour, 0.7))


# --- courts ---


_COURT_COLOURS: dict[str, tuple[Colour, ...]] = {
    "green": ((84, 122, 94), (96, 132, 104), (72, 104, 84)),
    "blue": ((76, 104, 150), (66, 92, 138), (92, 120, 160)),
    "red": ((156, 92, 76), (148, 78, 66), (170, 110, 90)),
    "gray": ((128, 130, 130), (108, 110, 112)),
}


def paint_courts(canvas: Canvas, frame: Frame, category: str, count: int) -> None:
    """Paint courts side by side along local x.

    Args:
        canvas: the canvas.
        frame: centre of the group.
        category: "tennis court" or "basketball court".
        count: number of courts.
    """
    rng = canvas.rng
    tennis = category == "tennis court"
    long, wide = (23.77, 10.97) if tennis else (28.65, 15.24)
    pitch = wide + (rng.uniform(3.5, 7) if tennis else rng.uniform(1, 4))
    names = list(_COURT_COLOURS)
    inner_name = names[int(rng.integers(len(names)))]
    inner = pick_colour(rng, _COURT_COLOURS[inner_name])
    outer_name = inner_name if rng.random() < 0.4 else names[int(rng.integers(len(names)))]
    outer = inner if outer_name == inner_name else pick_colour(rng, _COURT_COLOURS[outer_name])
    x, y = count * pitch / 2 + 2, long / 2 + (5.5 if tennis else 2)
    pad = canvas.add_item(None, "asphalt", level="ground")
    canvas.add_shape(pad, frame.box(-x, x, -y, y), outer)
    for k in range(count):
        at = frame.move((k - (count - 1) / 2) * pitch, 0, math.pi / 2)
        number = canvas.add_item(
            category, "asphalt", level="ground", attributes={"colour": inner_name}
        )
        canvas.add_shape(number, at.box(-long / 2, long / 2, -wide / 2, wide / 2), inner)
        if tennis:
            _paint_tennis_lines(canvas, at)
        else:
            _paint_basketball_lines(
                canvas, at, mix(inner, pick_colour(rng, _COURT_COLOURS["red"]), 0.7)
            )
    if tennis and rng.random() < 0.7:  # a fence, visible mainly by its shadow
        _paint_fence(canvas, frame.box(-x, x, -y, y), 3.0)


def _paint_fence(canvas: Canvas, corners: Corners, height_m: float) -> None:
    dx, dy = canvas.light.shadow_x * height_m, canvas.light.shadow_y * height_m
    for a, b in zip(corners, (*corners[1:], corners[0]), strict=True):
        canvas.line(translate((a, b), dx * 0.5, dy * 0.5), 0.6, (70, 72, 70), 0.35)
        canvas.line((a, b), 0.25, (80, 84, 80), 0.8)


def _paint_outline(canvas: Canvas, points: Corners, width_m: float, colour: Colour = _LINE) -> None:
    canvas.line([*points, points[0]], width_m, colour)


def _paint_tennis_lines(canvas: Canvas, at: Frame) -> None:
    width = 0.12
    _paint_outline(canvas, at.box(-11.88, 11.88, -5.48, 5.48), width)
    for y in (-4.11, 4.11):
        canvas.line(at.to_scene(((-11.88, y), (11.88, y))), width, _LINE)
    for x in (-6.4, 6.4):
        canvas.line(at.to_scene(((x, -4.11), (x, 4.11))), width, _LINE)
    canvas.line(at.to_scene(((-6.4, 0), (6.4, 0))), width, _LINE)
    canvas.line(at.to_scene(((0, -6.2), (0, 6.2))), 0.25, (60, 62, 60), 0.9)


def _paint_basketball_lines(canvas: Canvas, at: Frame, key: Colour) -> None:
    width = 0.12
    _paint_outline(canvas, at.box(-14.3, 14.3, -7.6, 7.6), width)
    canvas.line(at.to_scene(((0, -7.6), (0, 7.6))), width, _LINE)
    painted = canvas.rng.random() < 0.5
    if painted:
        canvas.fill(ring(at, 1.8, 1.8), key)
    _paint_outline(canvas, ring(at, 1.8, 1.8), width)
    for end in (0.0, math.pi):
        half = at.move(0, 0, end)
        box = half.box(8.5, 14.3, -2.45, 2.45)
        if painted:
            canvas.fill(box, key)
        _paint_outline(canvas, box, width)
        arc = [
            (12.7 - 6.75 * math.cos(t), 6.75 * math.sin(t)) for t in np.linspace(-1.45, 1.45, 17)
        ]
        canvas.line(half.to_scene(arc), width, _LINE)


# --- sports fields ---


def paint_baseball_field(canvas: Canvas, frame: Frame, size: float) -> None:
    """Paint a baseball field.

    Args:
        canvas: the canvas.
        frame: home plate, heading to second base.
        size: 1 for a full field (infield arc 29 m beyond the mound), less for youth fields.
    """
    rng = canvas.rng
    grass = pick_colour(rng, ((92, 112, 64), (104, 122, 72), (112, 120, 80)))
    reach = 95 * size
    quarter = math.pi / 4
    fan = [(reach * math.cos(t), reach * math.sin(t)) for t in np.linspace(-quarter, quarter, 18)]
    outfield = canvas.add_item(None, "grass", level="ground")
    canvas.add_shape(outfield, frame.to_scene([(-6 * size, 0), *fan]), grass)
    if rng.random() < 0.6:
        for k in range(3, 10):
            arc = [(reach * k / 10 * math.cos(t), reach * k / 10 * math.sin(t))
                   for t in np.linspace(-quarter, quarter, 14)]  # fmt: skip
            canvas.line(frame.to_scene(arc), 4 * size, shade(grass, 1.06 if k % 2 else 0.96), 0.8)
    dirt = pick_colour(rng, ((176, 140, 104), (190, 160, 122), (164, 118, 86)))
    base, mound, radius = 27.4 * size, 18.4 * size, 29 * size
    arc = [
        (mound + radius * math.cos(t), radius * math.sin(t)) for t in np.linspace(-1.85, 1.85, 25)
    ]
    # The foul lines limit the arc.
    arc = [(u, max(-u - 2, min(u + 2, v))) for u, v in arc]
    number = canvas.add_item("baseball field", "soil", level="ground")
    infield = [(-2.0, -1.5), *arc, (-2.0, 1.5)]
    canvas.add_shape(number, frame.to_scene(infield), dirt)
    canvas.add_shape(number, frame.to_scene(disc(0, 0, 4 * size, 16)), dirt)
    if rng.random() < 0.85:
        u, inset = base / math.sqrt(2), 3.0 * size
        diamond = [(inset * 1.6, 0), (u, u - inset), (2 * u - inset * 1.6, 0), (u, inset - u)]
        canvas.fill(frame.to_scene(diamond), shade(grass, 0.98))
        canvas.fill(frame.to_scene(disc(mound, 0, 2.7 * size, 14)), dirt)
    for side in (-1.0, 1.0):
        end = reach / math.sqrt(2)
        canvas.line(frame.to_scene(((0, 0), (end, side * end))), 0.12, _LINE, 0.8)


def paint_soccer_field(canvas: Canvas, frame: Frame, length_m: float, width_m: float) -> None:
    """Paint a soccer field. The mask extends to its outer lines."""
    rng = canvas.rng
    grass = pick_colour(rng, ((86, 116, 62), (78, 122, 70), (110, 124, 76), (64, 112, 72)))
    x, y = length_m / 2, width_m / 2
    number = canvas.add_item(
        "soccer field", "grass", level="ground", attributes={"colour": "green"}
    )
    canvas.add_shape(number, frame.box(-x, x, -y, y), grass)
    if rng.random() < 0.5:
        for k in range(0, 18, 2):
            u = -x + k * length_m / 18
            canvas.fill(frame.box(u, u + length_m / 18, -y, y), shade(grass, 1.07))
    width = 0.15
    _paint_outline(canvas, frame.box(-x, x, -y, y), width)
    canvas.line(frame.to_scene(((0, -y), (0, y))), width, _LINE)
    _paint_outline(canvas, ring(frame, 9.15, 9.15), width)
    for side in (-1.0, 1.0):
        for deep, half in ((16.5, 20.2), (5.5, 9.2)):
            if half < y:
                a, b = sorted((side * x, side * (x - deep)))
                _paint_outline(canvas, frame.box(a, b, -half, half), width)
        if rng.random() < 0.7:  # worn grass in front of the goals
            mouth = frame.move(side * (x - 4), 0)
            canvas.fill(ring(mouth, 4, 3, 10), mix(grass, (158, 138, 104), 0.6))


def paint_track(canvas: Canvas, frame: Frame) -> None:
    """Paint a 400 m track around a field, 176 x 92 m in total."""
    rng = canvas.rng
    clay: Sequence[Colour] = ((160, 92, 74), (146, 76, 62), (122, 118, 114), (96, 110, 142))
    surface = pick_colour(rng, clay)
    number = canvas.add_item("ground track field", "asphalt", level="ground")
    canvas.add_shape(number, _stadium_outline(frame, 42.2, 45.5), surface)
    for lane in range(1, 8):
        _paint_outline(canvas, _stadium_outline(frame, 42.2, 36.5 + 1.2 * lane), 0.07)
    grass = pick_colour(rng, ((92, 116, 66), (84, 120, 72), (124, 126, 84)))
    canvas.fill(_stadium_outline(frame, 42.2, 36.5), grass)
    if rng.random() < 0.75:
        x, y = 50.0, 31.0
        field = shade(grass, rng.uniform(0.9, 1.15))
        canvas.fill(frame.box(-x, x, -y, y), field)
        _paint_outline(canvas, frame.box(-x, x, -y, y), 0.15)
        for u in np.linspace(-x, x, 21 if rng.random() < 0.5 else 3).tolist():
            canvas.line(frame.to_scene(((u, -y), (u, y))), 0.12, _LINE, 0.8)
    for side in (-1.0, 1.0):
        if rng.random() < 0.5:
            canvas.fill(ring(frame.move(side * 60, 0), 8, 18, 16), shade(surface, 1.03))


def _stadium_outline(frame: Frame, half_straight_m: float, radius_m: float) -> Corners:
    turns = np.linspace(-math.pi / 2, math.pi / 2, 17).tolist()
    right = [(half_straight_m + radius_m * math.cos(t), radius_m * math.sin(t)) for t in turns]
    left = [(-u, -v) for u, v in right]
    return frame.to_scene([*right, *left])
