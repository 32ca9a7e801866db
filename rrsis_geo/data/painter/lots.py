"""Parking lots, yards, tank farms and sports grounds of painted scenes."""

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
    vary,
)
from rrsis_geo.data.painter.buildings import paint_crate
from rrsis_geo.data.painter.facilities import (
    paint_baseball_field,
    paint_courts,
    paint_soccer_field,
    paint_tank,
    paint_track,
)
from rrsis_geo.data.painter.layout import Layout
from rrsis_geo.data.painter.ships_airplanes import container_colour
from rrsis_geo.data.painter.vehicles import draw_vehicle

CATEGORIES = ("parking lot",)

_PAVINGS: tuple[Colour, ...] = (
    (84, 86, 90), (104, 106, 108), (126, 124, 120), (154, 152, 146), (64, 66, 70),
)  # fmt: skip


def steps(start: float, stop: float, step: float) -> list[float]:
    """Evenly spaced values from start to before stop."""
    out: list[float] = np.arange(start, stop, step).tolist()
    return out


# --- lots and yards ---


def lay_lots(layout: Layout) -> None:
    """Add parking lots, yards and storage tanks."""
    rng, theme = layout.rng, layout.theme
    limit = max(24.0, 0.7 * layout.size_m)
    depths = (18.0, 34.0, 50.0)
    lots = layout.claim_sites(
        layout.draw_count(theme.lots),
        lambda: (min(rng.uniform(22, 80), limit), min(depths[int(rng.integers(3))], limit)),
    )
    for frame, length, width in lots:
        _lay_parking_lot(layout, frame, length / 2, width / 2)
    yards = layout.claim_sites(
        layout.draw_count(theme.yards),
        lambda: (min(rng.uniform(20, 60), limit), min(rng.uniform(18, 45), limit)),
    )
    for frame, length, width in yards:
        _lay_yard(layout, frame, length / 2, width / 2)
    farms = layout.claim_sites(
        layout.draw_count(theme.tanks), lambda: (rng.uniform(25, 90), rng.uniform(20, 60)), 0.2
    )
    for frame, length, width in farms:
        _lay_tank_farm(layout, frame, length / 2, width / 2)


_BAYS: dict[str, tuple[float, float, float]] = {  # depth, pitch, aisle in metres
    "car": (5.0, 2.6, 6.0), "van": (5.8, 2.8, 6.0), "bus": (13.5, 3.7, 9.0),
    "truck": (18.0, 3.9, 10.0),
}  # fmt: skip


def _lay_parking_lot(layout: Layout, frame: Frame, x: float, y: float) -> None:
    """Paint a paved rectangle of half sides x and y with rows of parking bays."""
    rng, canvas = layout.rng, layout.canvas
    colour = pick_colour(rng, _PAVINGS, 0.05)
    number = canvas.add_item("parking lot", "asphalt", level="ground")
    canvas.add_shape(number, frame.box(-x, x, -y, y), colour)
    for _ in range(int(rng.integers(0, 8))):
        spot = frame.move(rng.uniform(-x, x) * 0.9, rng.uniform(-y, y) * 0.9)
        size = rng.uniform(0.4, 2.5)
        stain = shade(colour, rng.uniform(0.85, 1.1))
        canvas.fill(spot.box(-size, size, -size * 0.6, size * 0.6), stain)
    category = "car"
    if rng.random() < 0.32:
        category = ("bus", "truck", "van")[int(rng.integers(3))]
    depth, pitch, aisle = _BAYS[category]
    paint = mix(colour, (224, 224, 220), rng.uniform(0.3, 0.9))
    full = rng.uniform(0.15, 0.95)
    uniform = None  # all buses of a depot can have the same colour
    if category == "bus" and rng.random() < 0.6:
        uniform = "yellow" if rng.random() < 0.5 else "white"
    row, facing = -y + 0.6, math.pi / 2
    while row + depth < y + 0.5:
        for k, at in enumerate(steps(-x + 1.5, x - 1.5, pitch)):
            middle = frame.move(at - pitch / 2, row + depth / 2, facing)
            if not layout.is_in_view(middle.x, middle.y, 10):
                continue
            canvas.line(frame.to_scene(((at, row), (at, row + depth))), 0.12, paint, 0.9)
            if k and rng.random() < full:
                _park_vehicle(layout, middle, category, depth, uniform)
        row += depth + (aisle if facing > 0 else 0.2)
        facing = -facing


def _park_vehicle(
    layout: Layout, middle: Frame, category: str, depth_m: float, colour_name: str | None
) -> None:
    rng = layout.rng
    if category == "car" and rng.random() < 0.1:
        category = "van"
    vehicle = draw_vehicle(rng, category, colour_name)
    if vehicle.length_m < depth_m + 0.8:
        turn = (math.pi if rng.random() < 0.35 else 0.0) + rng.normal(0, 0.03)
        place = middle.move(rng.normal(0, 0.2), rng.normal(0, 0.12), turn)
        layout.add_vehicle(vehicle, place, "parking lot")


# Only parking lots have dark paving, so yards look different.
_YARD_GROUNDS: tuple[tuple[Colour, str], ...] = (
    ((170, 150, 122), "soil"), ((156, 120, 94), "soil"), ((172, 166, 152), "soil"),
    ((134, 118, 100), "soil"), ((156, 152, 144), "concrete"),
)  # fmt: skip


def _lay_yard(layout: Layout, frame: Frame, x: float, y: float) -> None:
    """Paint a yard of half sides x and y, of soil or concrete, and add vehicles to it."""
    rng, canvas = layout.rng, layout.canvas
    colour, material = _YARD_GROUNDS[int(rng.integers(len(_YARD_GROUNDS)))]
    colour = vary(rng, colour, 0.07)
    number = canvas.add_item(None, material, level="ground")
    if material == "soil":  # soil has no straight edges
        for grow, share in ((1.06, 0.5), (1.0, 0.0)):
            edge = mix(colour, (112, 114, 82), share)
            canvas.add_shape(number, _worn_outline(rng, frame, x * grow, y * grow), edge)
    else:
        canvas.add_shape(number, frame.box(-x, x, -y, y), colour)
    for _ in range(int(rng.integers(4, 14))):
        spot = frame.move(rng.uniform(-x, x) * 0.8, rng.uniform(-y, y) * 0.8)
        stain = disc(spot.x, spot.y, rng.uniform(0.3, 2.2), 9)
        canvas.fill(stain, shade(colour, rng.uniform(0.86, 1.07)))
    for _ in range(int(rng.integers(0, 6))):  # wheel tracks
        start = frame.move(rng.uniform(-x, x) * 0.7, rng.uniform(-y, y) * 0.7, rng.uniform(0, 6.3))
        bend = rng.normal(0, 0.05)
        for side in (-0.9, 0.9):
            track = [(3.0 * k, side + 4 * bend * k * k) for k in range(-3, 4)]
            canvas.line(start.to_scene(track), 0.4, shade(colour, 0.92), 0.6)
    _fill_yard(layout, frame, x, y)
    for _ in range(int(rng.integers(0, 9))):
        place = frame.move(rng.uniform(-x, x) * 0.85, rng.uniform(-y, y) * 0.85, rng.normal())
        half_l, half_w = rng.uniform(0.3, 1.6, 2).tolist()
        box = place.box(-half_l, half_l, -half_w, half_w)
        if layout.traffic.claim(box):
            _add_crate(layout, box, 1.2, pick_colour(rng, ((140, 130, 118), (96, 100, 104)), 0.25))


def _add_crate(layout: Layout, box: Corners, height_m: float, colour: Colour) -> None:
    canvas = layout.canvas
    layout.defer(height_m, lambda: paint_crate(canvas, box, height_m, colour))


def _worn_outline(rng: np.random.Generator, frame: Frame, x: float, y: float) -> Corners:
    """A rectangle of half sides x and y with round corners and an irregular edge."""
    local = []
    for k in range(36):
        cos, sin = math.cos(k * math.pi / 18), math.sin(k * math.pi / 18)
        fray = rng.uniform(0.9, 1.04)
        u = x * fray * math.copysign(abs(cos) ** 0.35, cos)
        v = y * fray * math.copysign(abs(sin) ** 0.35, sin)
        local.append((u, v))
    return frame.to_scene(local)


def _fill_yard(layout: Layout, frame: Frame, x: float, y: float) -> None:
    """Add rows of trucks or containers to a yard, and vehicles at random places."""
    rng = layout.rng
    if rng.random() < 0.6:
        category = "truck" if rng.random() < 0.8 else ("bus", "van", "car")[int(rng.integers(3))]
        like: tuple[str | None, str | None] = (None, None)
        if rng.random() < 0.5:  # a fleet
            first = draw_vehicle(rng, category)
            like = first.colour_name, first.kind or None
        slant = (0.0, 0.0, 0.4, -0.5)[int(rng.integers(4))] + math.pi / 2
        at = -x + rng.uniform(2, 6)
        while at < x - 3:
            vehicle = draw_vehicle(rng, category, *like)
            turn = slant + rng.normal(0, 0.03) + (math.pi if rng.random() < 0.2 else 0)
            if rng.random() < 0.8 and vehicle.length_m < 2 * y + 2:
                layout.add_vehicle(vehicle, frame.move(at, rng.normal(0, 0.8), turn), "yard")
            at += vehicle.width_m / abs(math.sin(slant)) + rng.uniform(0.7, 1.6)
    elif rng.random() < 0.4:
        lay_containers(layout, frame, x * 0.7, y * 0.5)
    shares = {"truck": 0.55, "car": 0.25, "van": 0.15, "bus": 0.05}
    for _ in range(int(rng.integers(1, 3 + int(x * y / 120)))):
        place = frame.move(
            rng.uniform(-x, x) * 0.8, rng.uniform(-y, y) * 0.75, rng.uniform(0, 2 * math.pi)
        )
        layout.add_vehicle(draw_vehicle(rng, pick(rng, shares)), place, "yard")


def lay_containers(layout: Layout, frame: Frame, x: float, y: float) -> None:
    """Add stacks of shipping containers to a rectangle of half sides x and y."""
    rng = layout.rng
    for u in steps(-x, x - 12.2, 12.8):
        for v in steps(-y, y - 2.4, 2.6):
            box = frame.box(u, u + 12.2, v, v + 2.4)
            if rng.random() < 0.8 and layout.is_in_view(*box[0], 14) and layout.traffic.claim(box):
                height = 2.6 * int(rng.integers(1, 4))
                _add_crate(layout, box, height, container_colour(rng))


def _lay_tank_farm(layout: Layout, frame: Frame, x: float, y: float) -> None:
    rng, canvas = layout.rng, layout.canvas
    pad = canvas.add_item(None, "soil", level="ground")
    paving = vary(rng, (154, 148, 136), 0.08)
    canvas.add_shape(pad, frame.box(-x, x, -y, y), paving)
    canvas.line([*frame.box(-x, x, -y, y), frame.box(-x, x, -y, y)[0]], 0.8, shade(paving, 1.15))
    radius = rng.uniform(2.5, min(18, y * 0.8))
    pitch = radius * rng.uniform(2.3, 3.0)
    for at in steps(-x + radius + 1, x - radius, pitch):
        for row in steps(-y + radius + 1, y - radius, pitch):
            spot = frame.move(at, row)
            if rng.random() < 0.85 and layout.is_in_view(spot.x, spot.y, radius):
                _add_tank(layout, spot, radius * (0.8 if rng.random() < 0.3 else 1.0))


def _add_tank(layout: Layout, spot: Frame, radius_m: float) -> None:
    canvas = layout.canvas
    layout.defer(5.0 + 0.2 * radius_m, lambda: paint_tank(canvas, spot.x, spot.y, radius_m))


# --- sports ---


def lay_sports(layout: Layout) -> None:
    """Add courts and sports fields."""
    rng, canvas = layout.rng, layout.canvas
    sizes = {"tennis": (44.0, 38.0), "basketball": (40.0, 34.0), "baseball": (76.0, 92.0),
             "soccer": (112.0, 76.0), "track": (182.0, 98.0)}  # fmt: skip
    for _ in range(layout.draw_count(layout.theme.sports)):
        kind = list(sizes)[int(rng.choice(5, p=(0.32, 0.26, 0.22, 0.12, 0.08)))]
        for frame, length, width in layout.claim_sites(1, lambda k=kind: sizes[k], 0.4):  # type: ignore[misc]
            if kind in ("tennis", "basketball"):
                paint_courts(canvas, frame, f"{kind} court", int(rng.integers(1, 3)))
            elif kind == "baseball":
                size = rng.uniform(0.6, 0.95)
                home = frame.move(0, width / 2 - 5, -math.pi / 2)
                paint_baseball_field(canvas, home, size)
            elif kind == "soccer":
                scale = rng.uniform(0.6, 0.95)
                paint_soccer_field(canvas, frame, length * scale, width * scale * 0.9)
            else:
                paint_track(canvas, frame)
