"""Houses, halls and gardens of painted scenes."""

import math

import numpy as np

from rrsis_geo.data.painter.basics import (
    Colour,
    Corners,
    Frame,
    disc,
    mix,
    pick,
    pick_colour,
    shade,
    sweep,
    translate,
    vary,
)
from rrsis_geo.data.painter.canvas import Canvas
from rrsis_geo.data.painter.facilities import paint_pool
from rrsis_geo.data.painter.layout import Layout
from rrsis_geo.data.painter.roads import Road
from rrsis_geo.data.painter.vehicles import draw_vehicle

CATEGORIES = ("building",)

ROOF_COLOURS: dict[str, tuple[Colour, ...]] = {
    "red": ((148, 74, 60), (168, 84, 66), (156, 54, 50), (182, 104, 86)),
    "brown": ((110, 88, 72), (94, 76, 62), (130, 106, 86)),
    "gray": ((122, 122, 122), (148, 148, 146), (100, 102, 106), (166, 164, 160)),
    "black": ((50, 50, 54), (42, 44, 48)),
    "white": ((224, 224, 220), (212, 214, 214)),
    "blue": ((54, 96, 160), (70, 114, 166), (42, 74, 130)),
    "green": ((104, 136, 116), (84, 118, 98)),
}
_HOUSE_SHARES = dict(zip(ROOF_COLOURS, (24, 22, 30, 6, 8, 4, 3), strict=True))
_HALL_SHARES = dict(zip(ROOF_COLOURS, (6, 8, 40, 6, 30, 7, 3), strict=True))


def draw_roof_colour(rng: np.random.Generator, *, hall: bool) -> tuple[str, Colour]:
    """Draw the name and the colour of a roof."""
    name = pick(rng, _HALL_SHARES if hall else _HOUSE_SHARES)
    return name, pick_colour(rng, ROOF_COLOURS[name], 0.05)


def paint_house(
    canvas: Canvas, frame: Frame, length_m: float, width_m: float, colour: tuple[str, Colour]
) -> None:
    """Paint a house with a gable or hip roof, sometimes with a wing.

    Args:
        canvas: the canvas.
        frame: centre of the house; local x runs along the ridge.
        length_m: length along the ridge.
        width_m: width across the ridge.
        colour: name and colour of the roof.
    """
    rng = canvas.rng
    attributes = {"colour": colour[0], "roof": "pitched"}
    number = canvas.add_item("building", "tiles", attributes=attributes)
    height = rng.uniform(3.5, 7.5)
    hip = 0.45 if rng.random() < 0.5 else 0.0
    blocks = [(frame, length_m, width_m)]
    if rng.random() < 0.4:
        side = 1.0 if rng.random() < 0.5 else -1.0
        wing = frame.move(rng.uniform(-0.3, 0.3) * length_m, side * width_m * 0.5, np.pi / 2)
        blocks.append((wing, width_m * 0.9, min(0.5 * length_m, width_m * 0.8)))
    _paint_blocks(canvas, number, blocks, height)
    for place, length, width in blocks:
        _paint_pitched_roof(
            canvas, _raise_frame(canvas, place, height), length, width, hip, colour[1]
        )
    if canvas.gsd_m < 0.4:
        top = _raise_frame(canvas, frame, height + 1)
        for _ in range(int(rng.integers(0, 3))):
            _paint_chimney(
                canvas, top.move(rng.uniform(-0.35, 0.35) * length_m, rng.uniform(-2, 2))
            )
        if rng.random() < 0.12:
            x0, y0 = -0.3 * length_m, 0.12 * width_m
            canvas.fill(top.box(x0, x0 + 0.5 * length_m, y0, 0.4 * width_m), (32, 40, 70))


def _paint_chimney(canvas: Canvas, at: Frame) -> None:
    box = at.box(-0.35, 0.35, -0.35, 0.35)
    dx, dy = canvas.light.shadow_x, canvas.light.shadow_y
    canvas.fill(sweep(box, dx, dy), (58, 50, 48))
    canvas.fill(box, (142, 120, 108))
    canvas.fill(at.box(-0.18, 0.18, -0.18, 0.18), (40, 36, 34))


def _paint_blocks(
    canvas: Canvas, number: int, blocks: list[tuple[Frame, float, float]], height_m: float
) -> None:
    """Paint the shadow and the visible walls of a building made of boxes, and its mask."""
    light = canvas.light
    wall = vary(canvas.rng, (170, 160, 146), 0.12)
    feet = [frame.box(-x / 2, x / 2, -y / 2, y / 2) for frame, x, y in blocks]
    for foot in feet:
        canvas.cast_shadow(foot, height_m)
    for foot in feet:
        dx, dy = light.lean_x * height_m, light.lean_y * height_m
        canvas.add_shape(number, sweep(foot, dx, dy), shade(wall, 0.75))
        if canvas.gsd_m < 0.3 and math.hypot(dx, dy) > 3 * canvas.gsd_m:  # a row of windows
            for (x0, y0), (x1, y1) in zip(foot, (*foot[1:], foot[0]), strict=True):
                row = ((x0 + dx / 2, y0 + dy / 2), (x1 + dx / 2, y1 + dy / 2))
                canvas.line(row, 0.3 * math.hypot(dx, dy), shade(wall, 0.5), 0.5)


def _raise_frame(canvas: Canvas, frame: Frame, height_m: float) -> Frame:
    """The frame of a point at a height above the ground, as an oblique view shows it."""
    light = canvas.light
    x, y = frame.x + light.lean_x * height_m, frame.y + light.lean_y * height_m
    return Frame(x, y, frame.heading)


def _paint_pitched_roof(
    canvas: Canvas, frame: Frame, length_m: float, width_m: float, hip: float, colour: Colour
) -> None:
    """Paint a roof of two or four faces. Their brightness depends on the sun."""
    rng = canvas.rng
    x, y = length_m / 2, width_m / 2
    ridge = max(0.0, x - hip * width_m)
    forward, right = frame.to_local(canvas.light.facing)
    faces = (
        (((-x, y), (x, y), (ridge, 0.0), (-ridge, 0.0)), right),
        (((-x, -y), (x, -y), (ridge, 0.0), (-ridge, 0.0)), -right),
        (((x, -y), (x, y), (ridge, 0.0)), forward),
        (((-x, -y), (-x, y), (-ridge, 0.0)), -forward),
    )
    contrast = rng.uniform(0.12, 0.3) * (0.25 + canvas.light.shadow_depth)
    for local, sun in faces[: 4 if hip else 2]:
        canvas.fill(frame.to_scene(local), shade(colour, 1 + contrast * sun))
    if canvas.gsd_m < 0.35:
        pitch = max(0.7, 3 * canvas.gsd_m)
        for row in np.arange(pitch, y, pitch).tolist():
            half = x - (x - ridge) * (1 - row / y)
            for side, sun in ((1.0, right), (-1.0, -right)):
                line = frame.to_scene(((-half, side * row), (half, side * row)))
                canvas.line(line, 0.14, shade(colour, (1 + contrast * sun) * 0.84), 0.6)
    canvas.line(frame.to_scene(((-ridge, 0), (ridge, 0))), 0.25, shade(colour, 1.2), 0.7)


def paint_hall(
    canvas: Canvas, frame: Frame, length_m: float, width_m: float, colour: tuple[str, Colour]
) -> None:
    """Paint a building with a flat or corrugated roof. Arguments as in `paint_house`."""
    rng = canvas.rng
    attributes = {"colour": colour[0], "roof": "flat"}
    number = canvas.add_item("building", "roof", attributes=attributes)
    height = rng.uniform(3.5, 6.0) if width_m < 12 else rng.uniform(4.5, 13.0)
    blocks = [(frame, length_m, width_m)]
    if rng.random() < 0.35:
        side = 1.0 if rng.random() < 0.5 else -1.0
        annex = frame.move(rng.uniform(-0.25, 0.25) * length_m, side * width_m * 0.62)
        blocks.append((annex, length_m * rng.uniform(0.2, 0.5), width_m * 0.5))
    _paint_blocks(canvas, number, blocks, height)
    corrugated = rng.random() < 0.45
    for k, (place, length, width) in enumerate(blocks):
        top = _raise_frame(canvas, place, height)
        roof = colour[1] if k == 0 else shade(colour[1], rng.uniform(0.8, 1.1))
        canvas.fill(top.box(-length / 2, length / 2, -width / 2, width / 2), roof)
        if corrugated:
            _paint_corrugation(canvas, top, length, width, roof)
        else:
            _paint_parapet(canvas, top, length, width, roof)
            _paint_roof_clutter(canvas, top, length, width, roof)


def _paint_corrugation(
    canvas: Canvas, frame: Frame, length_m: float, width_m: float, colour: Colour
) -> None:
    rng = canvas.rng
    x, y = length_m / 2, width_m / 2
    tilt = 0.16 * frame.to_local(canvas.light.facing)[1] * canvas.light.shadow_depth
    canvas.fill(frame.box(-x, x, 0, y), shade(colour, 1 + tilt))
    canvas.fill(frame.box(-x, x, -y, 0), shade(colour, 1 - tilt))
    pitch = min(0.5 * x, max(rng.uniform(0.7, 2.5), 3 * canvas.gsd_m))
    for _ in range(
        int(rng.integers(0, 3 + int(length_m / 12)))
    ):  # replaced, rusted or glass sheets
        at, wide = rng.uniform(-x, x - pitch), pitch * int(rng.integers(1, 3))
        tint: Colour = ((150, 110, 86), (206, 214, 216), (120, 122, 124))[int(rng.integers(3))]
        side = 1.0 if rng.random() < 0.5 else -1.0
        y0, y1 = sorted((side * y * rng.uniform(0, 0.4), side * y))
        sheet = mix(colour, tint, rng.uniform(0.15, 0.6))
        canvas.fill(frame.box(at, min(x, at + wide), y0, y1), sheet)
    dark = shade(colour, 0.86)
    for at in np.arange(-x + pitch, x, pitch).tolist():
        canvas.line(frame.to_scene(((at, -y), (at, y))), 0.18, dark, 0.5)
    canvas.line(frame.to_scene(((-x, 0), (x, 0))), 0.3, shade(colour, 1.15), 0.6)


def _paint_parapet(
    canvas: Canvas, frame: Frame, length_m: float, width_m: float, colour: Colour
) -> None:
    """Paint a low wall around a flat roof, and its narrow shadow."""
    x, y = length_m / 2 - 0.35, width_m / 2 - 0.35
    canvas.fill(frame.box(-x - 0.35, x + 0.35, -y - 0.35, y + 0.35), shade(colour, 1.16))
    floor = shade(colour, 1.0 - 0.6 * canvas.light.shadow_depth)
    canvas.fill(frame.box(-x, x, -y, y), floor)
    forward, right = frame.to_local((canvas.light.shadow_x, canvas.light.shadow_y))
    forward, right = 0.8 * forward, 0.8 * right
    x0, x1 = max(-x, -x + forward), min(x, x + forward)
    y0, y1 = max(-y, -y + right), min(y, y + right)
    if x1 > x0 and y1 > y0:
        canvas.fill(frame.box(x0, x1, y0, y1), colour)


def _paint_roof_clutter(
    canvas: Canvas, frame: Frame, length_m: float, width_m: float, colour: Colour
) -> None:
    """Paint stains, solar panels and air conditioners on a flat roof."""
    rng = canvas.rng
    x, y = length_m / 2 - 1.2, width_m / 2 - 1.2
    if x < 1 or y < 1:
        return
    for _ in range(int(rng.integers(0, 4))):
        spot = frame.move(rng.uniform(-x, x) * 0.8, rng.uniform(-y, y) * 0.8)
        stain = disc(spot.x, spot.y, min(rng.uniform(0.6, 3), 0.2 * x, 0.2 * y), 9)
        canvas.fill(stain, shade(colour, rng.uniform(0.9, 1.07)))
    if rng.random() < 0.15 and canvas.gsd_m < 0.6:
        x0, x1 = sorted(rng.uniform(-x, x, 2).tolist())
        for row in np.arange(-y * 0.6, y * 0.6, 1.9).tolist():
            canvas.fill(frame.box(x0, x1, row, row + 1.4), vary(rng, (34, 44, 78)))
    dx, dy = canvas.light.shadow_x, canvas.light.shadow_y
    dark = shade(colour, 1 - canvas.light.shadow_depth)
    for _ in range(min(14, int(rng.integers(1, 3 + int(length_m * width_m / 100))))):
        half_l, half_w = rng.uniform(0.4, 1.6, 2).tolist()
        if half_l > x or half_w > y:
            continue
        at = frame.move(rng.uniform(half_l - x, x - half_l), rng.uniform(half_w - y, y - half_w))
        box = at.box(-half_l, half_l, -half_w, half_w)
        high = rng.uniform(0.6, 1.8)
        canvas.fill(sweep(box, dx * high, dy * high), dark)
        body = vary(rng, (188, 190, 190) if rng.random() < 0.7 else colour, 0.12)
        canvas.fill(box, body)
        if half_l > 0.8 and half_w > 0.8:
            canvas.fill(disc(at.x, at.y, 0.45, 8), shade(body, 0.5))


def paint_crate(canvas: Canvas, box: Corners, height_m: float, colour: Colour) -> None:
    """Paint an unlabelled object: a crate or a container."""
    number = canvas.add_item(None, "paint")
    canvas.cast_shadow(box, height_m)
    canvas.add_shape(number, box, colour)
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = box
    inner = translate(((x0, y0), (x1, y1), ((x1 + x2) / 2, (y1 + y2) / 2),
                   ((x0 + x3) / 2, (y0 + y3) / 2)), 0, 0)  # fmt: skip
    canvas.fill(inner, shade(colour, 1.08))


# --- layout ---

Roof = tuple[str, Colour]


def lay_buildings(layout: Layout) -> None:
    """Add halls, houses along the roads, and pools."""
    rng, theme = layout.rng, layout.theme
    limit = max(14.0, 0.6 * layout.size_m)
    halls = layout.claim_sites(
        layout.draw_count(theme.halls),
        lambda: (min(rng.uniform(16, 70), limit), min(rng.uniform(12, 38), limit)),
    )
    for frame, length, width in halls:
        _add_building(layout, frame, length - 3, width - 3, draw_roof_colour(rng, hall=True), True)
    if theme.houses > 0:
        common = draw_roof_colour(rng, hall=False)
        same = 0.75 if rng.random() < 0.4 else 0.1
        for road in layout.roads:
            for side in (-1.0, 1.0):
                _lay_house_row(layout, road, side, common, same)
    for frame, length, width in layout.claim_sites(
        layout.draw_count(theme.pools), lambda: (11.0, 8.5), 0.1
    ):
        size = rng.uniform(5, length - 3.5), rng.uniform(3, width - 3.5)
        paint_pool(layout.canvas, frame, *size)


def _add_building(
    layout: Layout, frame: Frame, length_m: float, width_m: float, roof: Roof, hall: bool
) -> None:
    canvas, paint = layout.canvas, paint_hall if hall else paint_house
    layout.defer(9.0 if hall else 6.0, lambda: paint(canvas, frame, length_m, width_m, roof))


def _lay_house_row(layout: Layout, road: Road, side: float, common: Roof, same: float) -> None:
    """Add houses along one side of a road."""
    rng = layout.rng
    setback = road.style.half_m + road.style.sidewalk_m + rng.uniform(3, 9)
    at = rng.uniform(0, 15)
    while at < road.length_m:
        long, deep = rng.uniform(8, 16), rng.uniform(7, 11)
        if rng.random() < 0.15:
            long = rng.uniform(16, 34)
        frame = road.frame(at, side * (setback + deep / 2), 0.0 if side > 0 else math.pi)
        at += long + rng.uniform(2.5, 12)
        if rng.random() > layout.theme.houses or not layout.is_in_view(frame.x, frame.y, 16):
            continue
        frame = frame.move(0, rng.uniform(0, 2), rng.normal(0, 0.03))
        x, y = long / 2 + 1.2, deep / 2 + 1.2
        if not layout.land.claim(frame.box(-x, x, -y, y)):
            continue
        roof = common if rng.random() < same else draw_roof_colour(rng, hall=False)
        roof = roof[0], vary(rng, roof[1], 0.05)
        _paint_garden(layout, frame, x, y, setback)
        _add_building(layout, frame, long, deep, roof, rng.random() < 0.18)
        if rng.random() < 0.5:
            _lay_driveway(layout, frame, long, min(setback, 9.0) * 0.8, deep)


def _paint_garden(layout: Layout, house: Frame, x: float, y: float, setback_m: float) -> None:
    """Paint the ground around a house, sometimes with a fence."""
    rng, canvas = layout.rng, layout.canvas
    draw = rng.random()
    if draw < 0.45:
        kinds = ("grass", "lush", "dry", "soil", "paved")
        kind = kinds[int(rng.integers(len(kinds)))]
        front = min(setback_m - 2, 5.0)
        ground = house.box(-x - 1, x + 1, -y - front, y + rng.uniform(3, 12))
        if layout.water.is_free(ground):
            canvas.fill_with(ground, lambda window: layout.ground_texture.cover(kind, window))
            if rng.random() < 0.5 and canvas.gsd_m < 0.5:
                canvas.line([*ground, ground[0]], 0.2, (120, 112, 100), 0.8)


def _lay_driveway(
    layout: Layout, house: Frame, long_m: float, length_m: float, deep_m: float
) -> None:
    rng, canvas = layout.rng, layout.canvas
    right = rng.uniform(-0.3, 0.5) * long_m
    add_traffic = house.move(right, -deep_m / 2 - length_m / 2, -math.pi / 2)
    half = length_m / 2
    if not layout.land.is_free(add_traffic.box(1.5 - half, half - 1.5, -1, 1)):
        return
    number = canvas.add_item(None, "concrete", level="ground")
    canvas.add_shape(
        number, add_traffic.box(-half, half, -1.6, 1.6), vary(rng, (164, 158, 148), 0.08)
    )
    if rng.random() < 0.6:
        category = ("car", "car", "car", "van", "truck")[int(rng.integers(5))]
        vehicle = draw_vehicle(rng, category)
        if vehicle.length_m < 7.5:
            turn = math.pi if rng.random() < 0.5 else 0.0
            layout.add_vehicle(vehicle, add_traffic.move(0, rng.normal(0, 0.3), turn), "driveway")
