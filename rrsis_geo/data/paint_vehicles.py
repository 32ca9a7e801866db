"""Cars, vans, buses and trucks, seen from above, at true sizes in metres.

Each painter draws into a `Frame` whose origin is the middle of the vehicle and whose local x is
the way it faces.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rrsis_geo.data.paint import Canvas, Colour, Frame, Points, mix, shade, vary

VEHICLES = ("car", "van", "bus", "truck")

NAMED_COLOURS: dict[str, tuple[Colour, ...]] = {
    "white": ((240, 240, 238), (226, 228, 230), (248, 247, 240)),
    "grey": ((150, 153, 156), (120, 122, 126), (178, 181, 184), (96, 98, 102)),
    "black": ((28, 28, 31), (40, 41, 45), (20, 22, 27)),
    "red": ((178, 28, 30), (206, 40, 34), (140, 22, 30)),
    "blue": ((34, 66, 150), (46, 98, 178), (26, 44, 104)),
    "green": ((38, 106, 62), (72, 138, 70), (24, 74, 52)),
    "yellow": ((236, 196, 38), (246, 214, 60), (222, 180, 40)),
    "orange": ((226, 112, 28), (238, 132, 44)),
    "brown": ((104, 70, 46), (126, 92, 64)),
}

_COLOUR_SHARES: dict[str, dict[str, float]] = {
    "car": {"white": 27, "grey": 24, "black": 17, "red": 11, "blue": 11, "green": 3,
            "yellow": 3, "orange": 2, "brown": 2},
    "van": {"white": 50, "grey": 16, "black": 7, "red": 7, "blue": 9, "green": 3,
            "yellow": 5, "orange": 2, "brown": 1},
    "bus": {"white": 34, "grey": 6, "red": 15, "blue": 13, "green": 10, "yellow": 17, "orange": 5},
    "truck": {"white": 36, "grey": 11, "red": 13, "blue": 14, "green": 7, "yellow": 6,
              "orange": 6, "brown": 7},
}  # fmt: skip

TRUCK_KINDS = ("box truck", "semi-trailer", "flatbed", "tanker", "dump truck", "container truck")
_TRUCK_SHARES = np.array((0.3, 0.24, 0.12, 0.1, 0.16, 0.08))

_GLASS: Colour = (38, 44, 52)
_TYRE: Colour = (30, 30, 32)


@dataclass(frozen=True, slots=True)
class Vehicle:
    """One vehicle before it is painted.

    Attributes:
        category: one of `VEHICLES`.
        length_m: bumper to bumper.
        width_m: without mirrors.
        height_m: for its shadow.
        colour_name: a key of `NAMED_COLOURS`.
        colour: its paint.
        kind: for trucks one of `TRUCK_KINDS`, else "".
    """

    category: str
    length_m: float
    width_m: float
    height_m: float
    colour_name: str
    colour: Colour
    kind: str = ""


def draw_vehicle(rng: np.random.Generator, category: str) -> Vehicle:
    """A vehicle of the category, its size and colour drawn as they are on the streets."""
    shares = _COLOUR_SHARES[category]
    weights = np.array(list(shares.values()))
    name = str(rng.choice(list(shares), p=weights / weights.sum()))
    paints = NAMED_COLOURS[name]
    colour = vary(rng, paints[int(rng.integers(len(paints)))], 0.04)
    grow = rng.normal(1.0, 0.05)
    if category == "car":
        return Vehicle("car", 4.5 * grow, 1.8 * (0.5 + 0.5 * grow), 1.5, name, colour)
    if category == "van":
        return Vehicle("van", 5.5 * grow, 2.0, 2.3, name, colour)
    if category == "bus":
        length = 12.0 * grow if rng.random() < 0.75 else rng.uniform(8.0, 10.5)
        return Vehicle("bus", length, 2.55, 3.2, name, colour)
    kind = str(rng.choice(TRUCK_KINDS, p=_TRUCK_SHARES))
    low, high = {
        "box truck": (6.8, 10.5),
        "semi-trailer": (14.5, 17.5),
        "flatbed": (7.0, 12.0),
        "tanker": (8.5, 16.0),
        "dump truck": (6.8, 9.5),
        "container truck": (13.0, 16.5),
    }[kind]
    return Vehicle("truck", rng.uniform(low, high), 2.5, 3.4, name, colour, kind)


def outline(vehicle: Vehicle, frame: Frame, margin_m: float = 0.0) -> Points:
    """The ground [4, 2] that the vehicle stands on, with a margin."""
    half_l, half_w = vehicle.length_m / 2 + margin_m, vehicle.width_m / 2 + margin_m
    return frame.box(-half_l, half_l, -half_w, half_w)


def paint_vehicle(canvas: Canvas, vehicle: Vehicle, frame: Frame, on: str) -> None:
    """Paint one vehicle with its shadow.

    Args:
        canvas: where.
        vehicle: what.
        frame: its middle and heading.
        on: what it stands on ("road", "parking lot", "yard", ...), kept as an attribute.
    """
    attributes = {"colour": vehicle.colour_name, "on": on}
    if vehicle.kind:
        attributes["type"] = vehicle.kind
    number = canvas.begin(vehicle.category, "paint", hides_ground=False, attributes=attributes)
    brush = _Brush(canvas, number, frame, vehicle)
    if vehicle.category == "truck":
        _TRUCKS[vehicle.kind](brush)
    elif vehicle.category == "car":
        _paint_car(brush)
    elif vehicle.category == "van":
        _paint_van(brush)
    else:
        _paint_bus(brush)
    for points in brush.parts:  # one part's shadow must not darken another's top
        canvas.lit(points)


class _Brush:
    """Canvas, instance and frame of the vehicle at hand; lengths along it from its tail, 0 to 1."""

    def __init__(self, canvas: Canvas, number: int, frame: Frame, vehicle: Vehicle) -> None:
        self.canvas, self.number, self.frame, self.vehicle = canvas, number, frame, vehicle
        self.rng = canvas.rng
        self.parts: list[Points] = []
        self.half_l, self.half_w = vehicle.length_m / 2, vehicle.width_m / 2
        self.fine = canvas.gsd_m < 0.45  # finer parts than this pixel size shows are left out
        light_x, light_y = canvas.light.facing
        cos, sin = np.cos(frame.heading), np.sin(frame.heading)
        # How much the vehicle's right side looks at the sun, -1 to 1.
        self.sun_right = float(-light_x * sin + light_y * cos)

    def body(
        self, x0: float, x1: float, height_m: float, colour: Colour, chamfer_m: float = 0.0
    ) -> None:
        """A box of the vehicle from x0 to x1 (local metres): shadow, mask, paint."""
        w, c = self.half_w, chamfer_m
        local = (
            (x0, -w + c / 2), (x0 + c / 2, -w), (x1 - c, -w), (x1, -w + c),
            (x1, w - c), (x1 - c, w), (x0 + c / 2, w), (x0, w - c / 2),
        ) if c else ((x0, -w), (x1, -w), (x1, w), (x0, w))  # fmt: skip
        points = self.frame.place(local)
        self.parts.append(points)
        self.canvas.cast(points, height_m)
        self.canvas.shape(self.number, points, colour)

    def box(self, x0: float, x1: float, y0: float, y1: float, colour: Colour) -> None:
        """Paint a local rectangle, metres."""
        self.canvas.fill(self.frame.box(x0, x1, y0, y1), colour)

    def quad(self, local: tuple[tuple[float, float], ...], colour: Colour) -> None:
        """Paint a local polygon, metres."""
        self.canvas.fill(self.frame.place(local), colour)

    def sides(self, x0: float, x1: float, width_m: float, colour: Colour) -> None:
        """Light one long side of a box and darken the other, as the sun stands."""
        tilt = 0.28 * self.sun_right
        w = self.half_w
        self.box(x0, x1, w - width_m, w, shade(colour, 1 + tilt))
        self.box(x0, x1, -w, -w + width_m, shade(colour, 1 - tilt))


def _paint_car(b: _Brush) -> None:
    v, l, w = b.vehicle, b.half_l, b.half_w  # noqa: E741
    b.body(-l, l, 1.45, shade(v.colour, 0.86), chamfer_m=0.35)
    b.box(-l * 0.93, l * 0.9, -w * 0.84, w * 0.84, v.colour)
    kind = b.rng.random()  # saloon, estate, pick-up
    back = -0.62 if kind < 0.55 else -0.9
    glass = mix(_GLASS, (150, 170, 190), 0.25 * b.rng.random())
    if kind > 0.92:
        b.box(-l * 0.92, -l * 0.1, -w * 0.76, w * 0.76, shade(v.colour, 0.45))
        back = -0.12
    b.quad(
        ((back * l, -w * 0.78), (0.42 * l, -w * 0.84), (0.42 * l, w * 0.84), (back * l, w * 0.78)),
        glass,
    )
    roof0, roof1 = (back + 0.2 if kind < 0.92 else back + 0.06) * l, 0.14 * l
    roof = shade(v.colour, 1.08 + 0.05 * b.rng.random())
    if b.rng.random() < 0.1:
        roof = (34, 34, 36)
    b.box(roof0, roof1, -w * 0.66, w * 0.66, roof)
    if b.fine:
        b.box(roof0 * 0.8, roof1 * 0.6, w * 0.3 * b.sun_right - w * 0.16,
              w * 0.3 * b.sun_right + w * 0.16, mix(roof, (255, 255, 255), 0.3))  # fmt: skip
        b.sides(-l * 0.85, l * 0.8, 0.12, v.colour)
        if b.canvas.gsd_m < 0.2:
            for y in (-w * 0.78, w * 0.58):
                b.box(l * 0.88, l * 0.97, y, y + w * 0.22, (235, 235, 225))
                b.box(-l * 0.97, -l * 0.91, y, y + w * 0.22, (140, 20, 20))
            b.box(0.22 * l, 0.3 * l, -w - 0.16, -w, shade(v.colour, 0.8))
            b.box(0.22 * l, 0.3 * l, w, w + 0.16, shade(v.colour, 0.8))


def _paint_van(b: _Brush) -> None:
    v, l, w = b.vehicle, b.half_l, b.half_w  # noqa: E741
    b.body(-l, l, 2.2, shade(v.colour, 0.88), chamfer_m=0.25)
    b.box(-l * 0.96, l * 0.62, -w * 0.88, w * 0.88, shade(v.colour, 1.03))
    b.quad(
        ((0.5 * l, -w * 0.8), (0.72 * l, -w * 0.88), (0.72 * l, w * 0.88), (0.5 * l, w * 0.8)),
        _GLASS,
    )
    if b.fine:
        b.sides(-l * 0.95, l * 0.5, 0.14, v.colour)
        for x in np.linspace(-0.85, 0.3, 5):
            b.box(x * l, x * l + 0.06, -w * 0.8, w * 0.8, shade(v.colour, 0.93))


def _paint_bus(b: _Brush) -> None:
    v, l, w = b.vehicle, b.half_l, b.half_w  # noqa: E741
    rng = b.rng
    b.body(-l, l, 3.1, shade(v.colour, 0.85), chamfer_m=0.2)
    roof = (
        mix(v.colour, (240, 240, 240), 0.82)
        if v.colour_name != "white" and rng.random() < 0.2
        else shade(v.colour, 1.04)
    )
    inner = 0.9 if roof == shade(v.colour, 1.04) else 0.55
    b.box(-l * 0.985, l * 0.95, -w * inner, w * inner, roof)
    b.box(l * 0.955, l * 0.99, -w * 0.88, w * 0.88, _GLASS)
    if rng.random() < 0.8:
        at = rng.uniform(-0.6, 0.2) * l
        b.box(at, at + rng.uniform(1.4, 2.6), -w * 0.6, w * 0.6, mix(roof, (190, 192, 195), 0.7))
        b.box(at + 0.2, at + 1.0, -w * 0.4, w * 0.4, mix(roof, (90, 92, 95), 0.6))
    for x in (-0.72, 0.42):
        b.box(x * l, x * l + 0.8, -0.4, 0.4, shade(roof, 0.8))
    if b.fine:
        b.sides(-l * 0.98, l * 0.95, 0.16, v.colour)
        for x in np.arange(-l + 1.0, l - 0.5, 1.6):
            b.box(x, x + 0.07, -w * 0.88, w * 0.88, shade(roof, 0.92))


def _cab(b: _Brush, colour: Colour, length_m: float) -> float:
    """A truck's cab at its front; gives back where it ends, local metres."""
    l, w = b.half_l, b.half_w  # noqa: E741
    back = l - length_m
    b.body(back, l, 2.9, shade(colour, 0.9), chamfer_m=0.2)
    b.box(back + 0.1, l - 0.55, -w * 0.9, w * 0.9, shade(colour, 1.05))
    b.box(l - 0.55, l - 0.2, -w * 0.86, w * 0.86, _GLASS)
    if b.rng.random() < 0.4:  # an air deflector
        b.box(back + 0.15, back + 0.9, -w * 0.7, w * 0.7, shade(colour, 0.78))
    if b.canvas.gsd_m < 0.2:
        b.box(l - 0.5, l - 0.3, -w - 0.25, -w, _TYRE)
        b.box(l - 0.5, l - 0.3, w, w + 0.25, _TYRE)
    return back


def _cab_colour(b: _Brush) -> Colour:
    """Most trucks wear one colour; the rest have a white or any other cab."""
    draw = b.rng.random()
    if draw < 0.6:
        return b.vehicle.colour
    if draw < 0.8:
        return (236, 236, 234)
    return draw_vehicle(b.rng, "truck").colour


def _chassis(b: _Brush, x0: float, x1: float) -> None:
    w = b.half_w
    b.canvas.shape(b.number, b.frame.box(x0, x1, -w * 0.7, w * 0.7), _TYRE)


def _load_box(b: _Brush, x0: float, x1: float, colour: Colour, height_m: float) -> None:
    """A closed box body with lit and shaded edges and roof ribs."""
    w = b.half_w
    b.body(x0, x1, height_m, colour)
    b.sides(x0, x1, 0.16, colour)
    b.box(x0, x0 + 0.14, -w, w, shade(colour, 0.82))
    b.box(x1 - 0.14, x1, -w, w, shade(colour, 1.08))
    pitch = float(b.rng.uniform(0.6, 1.4))
    if b.fine and b.rng.random() < 0.7:
        for x in np.arange(x0 + pitch, x1 - 0.2, pitch):
            b.box(x, x + 0.07, -w * 0.92, w * 0.92, shade(colour, 0.92))
    if b.rng.random() < 0.25:  # a refrigerating unit
        b.box(x1 - 0.1, x1 + 0.35, -w * 0.6, w * 0.6, (220, 220, 218))


def _paint_box_truck(b: _Brush) -> None:
    back = _cab(b, _cab_colour(b), 1.9)
    _chassis(b, -b.half_l, back)
    _load_box(b, -b.half_l, back - 0.25, b.vehicle.colour, 3.4)


def _paint_semi(b: _Brush) -> None:
    back = _cab(b, _cab_colour(b), float(b.rng.uniform(2.0, 2.6)))
    _chassis(b, -b.half_l, back)
    _load_box(b, -b.half_l, back - float(b.rng.uniform(0.5, 1.1)), b.vehicle.colour, 3.9)


def _paint_container(b: _Brush) -> None:
    back = _cab(b, _cab_colour(b), 2.2)
    _chassis(b, -b.half_l, back)
    length = min(12.2 if b.rng.random() < 0.8 else 6.1, b.half_l + back - 0.6)
    colour, w = b.vehicle.colour, b.half_w
    x1 = back - 0.6
    b.body(x1 - length, x1, 3.8, colour)
    b.sides(x1 - length, x1, 0.1, colour)
    if b.canvas.gsd_m < 0.35:
        for x in np.arange(x1 - length + 0.3, x1 - 0.2, 0.56):
            b.box(x, x + 0.22, -w * 0.94, w * 0.94, shade(colour, 0.9))


def _paint_flatbed(b: _Brush) -> None:
    back = _cab(b, b.vehicle.colour, 2.0)
    bed = vary(b.rng, ((126, 104, 78), (110, 110, 112), (88, 70, 56))[int(b.rng.integers(3))])
    w, x0, x1 = b.half_w, -b.half_l, back - 0.2
    b.body(x0, x1, 1.2, shade(b.vehicle.colour, 0.8))
    b.box(x0 + 0.1, x1 - 0.1, -w * 0.9, w * 0.9, bed)
    if b.rng.random() < 0.65:
        _cargo(b, x0, x1)
    if b.fine:
        for y in np.linspace(-w * 0.8, w * 0.8, 7):
            b.box(x0 + 0.1, x0 + 1.0, y, y + 0.05, shade(bed, 0.8))


def _cargo(b: _Brush, x0: float, x1: float) -> None:
    """Crates, pipes or sacks on an open bed."""
    rng, w = b.rng, b.half_w
    x = x0 + 0.3
    while x < x1 - 1.0:
        step = float(rng.uniform(0.9, 2.6))
        end = min(x + step, x1 - 0.2)
        colour = vary(rng, ((150, 120, 84), (170, 170, 168), (92, 96, 100), (60, 84, 120))[
            int(rng.integers(4))], 0.15)  # fmt: skip
        half = w * float(rng.uniform(0.55, 0.9))
        if rng.random() < 0.8:
            points = b.frame.box(x, end, -half, half)
            b.canvas.cast(points, 2.2, 1.3)
            b.canvas.shape(b.number, points, colour)
            b.box(x + 0.1, end, -half * 0.8, half * 0.1, shade(colour, 1.12))
        x = end + float(rng.uniform(0.1, 0.5))


def _paint_tanker(b: _Brush) -> None:
    back = _cab(b, _cab_colour(b), 2.1)
    _chassis(b, -b.half_l, back)
    metal: Colour = b.vehicle.colour
    w, x0, x1 = b.half_w, -b.half_l, back - 0.5
    b.body(x0, x1, 3.4, shade(metal, 0.72), chamfer_m=0.55)
    for y0, y1, gain in ((-0.84, 0.84, 0.86), (-0.62, 0.62, 0.98)):
        b.box(x0 + 0.15, x1 - 0.15, y0 * w, y1 * w, shade(metal, gain))
    middle = 0.32 * b.sun_right
    bright = mix(metal, (255, 255, 255), 0.45)
    b.box(x0 + 0.3, x1 - 0.3, (middle - 0.2) * w, (middle + 0.2) * w, bright)
    for share in np.linspace(0.15, 0.85, 4):
        x = x0 + share * (x1 - x0)
        b.box(x - 0.2, x + 0.2, -0.2, 0.2, shade(metal, 0.55))
    b.box(x0 + 0.4, x1 - 0.4, w * 0.06, w * 0.14, shade(metal, 0.6))


def _paint_dump(b: _Brush) -> None:
    rng, w = b.rng, b.half_w
    cab: Colour = b.vehicle.colour
    back = _cab(b, cab if rng.random() < 0.8 else (236, 236, 234), 2.0)
    _chassis(b, -b.half_l, back)
    x0, x1 = -b.half_l, back - 0.15
    rim = b.vehicle.colour
    b.body(x0, x1, 2.4, shade(rim, 0.95))
    loads: tuple[Colour, ...] = (
        (46, 42, 40), (134, 108, 80), (160, 142, 112), (104, 100, 96), (112, 62, 44), (74, 72, 70),
    )  # fmt: skip
    load = vary(rng, loads[int(rng.integers(len(loads)))], 0.12)
    b.box(x0 + 0.16, x1 - 0.16, -w + 0.16, w - 0.16, load)
    if rng.random() < 0.5:  # heaped
        for _ in range(6):
            x, y = rng.uniform(x0 + 0.6, x1 - 0.6), rng.uniform(-w * 0.55, w * 0.55)
            size = rng.uniform(0.25, 0.6)
            b.box(x - size, x + size, y - size / 2, y + size / 2, vary(rng, load, 0.13))
    else:  # empty: one wall shades the floor
        side = np.sign(b.sun_right) or 1.0
        y0, y1 = sorted((side * (w - 0.16), side * w * 0.35))
        b.box(x0 + 0.16, x1 - 0.16, y0, y1, shade(load, 0.55))
    if b.fine:
        for x in np.arange(x0 + 0.9, x1, 1.1):
            b.box(x, x + 0.1, -w, -w + 0.18, shade(rim, 0.6))
            b.box(x, x + 0.1, w - 0.18, w, shade(rim, 0.6))


_TRUCKS: dict[str, Callable[[_Brush], None]] = {
    "box truck": _paint_box_truck,
    "semi-trailer": _paint_semi,
    "flatbed": _paint_flatbed,
    "tanker": _paint_tanker,
    "dump truck": _paint_dump,
    "container truck": _paint_container,
}
