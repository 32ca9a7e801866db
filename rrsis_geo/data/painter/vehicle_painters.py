"""Painters of cars, vans, buses and trucks.

The origin of a vehicle's frame is its centre, and local x points forward.
"""

import math
from collections.abc import Callable, Iterator

from rrsis_geo.data.painter.basics import Colour, Corners, Frame, mix, pick_colour, shade, vary
from rrsis_geo.data.painter.canvas import Canvas
from rrsis_geo.data.painter.vehicles import Vehicle, draw_vehicle

_GLASS: Colour = (38, 44, 52)
_RUBBER: Colour = (30, 30, 32)
_WHITE: Colour = (236, 236, 234)


def paint_vehicle(canvas: Canvas, vehicle: Vehicle, frame: Frame, on: str) -> None:
    """Paint a vehicle with its shadow.

    Args:
        canvas: the canvas.
        vehicle: the vehicle.
        frame: its centre and heading.
        on: the surface under it ("road", "parking lot", "yard", ...), stored as an attribute.
    """
    attributes = {"colour": vehicle.colour_name, "on": on}
    if vehicle.kind:
        attributes["type"] = vehicle.kind
    number = canvas.add_item(vehicle.category, "paint", hides="none", attributes=attributes)
    brush = _Brush(canvas, number, frame, vehicle)
    _PAINTERS[vehicle.kind or vehicle.category](brush)
    for points in brush.parts:  # the shadow of a part must not fall on another part
        canvas.clear_shadow(points)


class _Brush:
    """Draws the parts of one vehicle in its local frame, in metres."""

    def __init__(self, canvas: Canvas, number: int, frame: Frame, vehicle: Vehicle) -> None:
        self.canvas, self.number, self.frame, self.vehicle = canvas, number, frame, vehicle
        self.rng = canvas.rng
        self.parts: list[Corners] = []
        # Pillow's polygons include their border pixels, almost half a pixel on each side.
        inset = min(0.42 / canvas.scale, 0.3)
        self.half_l, self.half_w = vehicle.length_m / 2 - inset, vehicle.width_m / 2 - inset
        self.fine = canvas.gsd_m < 0.45  # larger pixels do not show small parts
        self.sun_right = frame.to_local(canvas.light.facing)[1]  # sunlight on the right side

    def body(
        self, x0: float, x1: float, height_m: float, colour: Colour, chamfer_m: float = 0.0
    ) -> None:
        """Paint the full width of the vehicle from x0 to x1, with mask and shadow."""
        w, c = self.half_w, min(chamfer_m, 0.4 * self.half_w)
        local: Corners = ((x0, -w), (x1, -w), (x1, w), (x0, w))
        if c and self.canvas.scale * c > 0.7:
            local = (
                (x0, -w + c / 2), (x0 + c / 2, -w), (x1 - c, -w), (x1, -w + c),
                (x1, w - c), (x1 - c, w), (x0 + c / 2, w), (x0, w - c / 2),
            )  # fmt: skip
        points = self.frame.to_scene(local)
        self.parts.append(points)
        self.canvas.cast_shadow(points, height_m)
        self.canvas.add_shape(self.number, points, colour)

    def box(self, x0: float, x1: float, y0: float, y1: float, colour: Colour) -> None:
        """Paint a rectangle on the vehicle."""
        self.canvas.fill(self.frame.box(x0, x1, y0, y1), colour)

    def quad(self, local: Corners, colour: Colour) -> None:
        """Paint a polygon on the vehicle."""
        self.canvas.fill(self.frame.to_scene(local), colour)

    def sides(self, x0: float, x1: float, width_m: float, colour: Colour) -> None:
        """Paint the two long sides of a box lighter and darker, depending on the sun."""
        tilt = (0.06 + 0.3 * self.canvas.light.shadow_depth) * self.sun_right
        w = self.half_w
        self.box(x0, x1, w - width_m, w, shade(colour, 1 + tilt))
        self.box(x0, x1, -w, -w + width_m, shade(colour, 1 - tilt))

    def ribs(self, x0: float, x1: float, pitch_m: float, width_m: float, colour: Colour) -> None:
        """Paint bars across the vehicle."""
        w = 0.92 * self.half_w
        for x in _steps(x0 + pitch_m / 2, x1 - width_m, pitch_m):
            self.box(x, x + width_m, -w, w, colour)


def _steps(start: float, stop: float, step: float) -> Iterator[float]:
    while start < stop:
        yield start
        start += step


# --- cars, vans, buses ---


def _paint_car(b: _Brush) -> None:
    v, l, w = b.vehicle, b.half_l, b.half_w  # noqa: E741
    b.body(-l, l, 1.45, shade(v.colour, 0.86), chamfer_m=0.35)
    if b.canvas.gsd_m < 0.7:
        b.box(-l * 0.93, l * 0.9, -w * 0.84, w * 0.84, v.colour)
    shape = b.rng.random()  # saloon, estate, pick-up
    back = -0.62 if shape < 0.55 else -0.9
    if shape > 0.92:
        b.box(-l * 0.92, -l * 0.1, -w * 0.76, w * 0.76, shade(v.colour, 0.45))
        back = -0.12
    glass = mix(_GLASS, (150, 170, 190), 0.25 * b.rng.random())
    b.quad(
        ((back * l, -w * 0.78), (0.42 * l, -w * 0.84), (0.42 * l, w * 0.84), (back * l, w * 0.78)),
        glass,
    )
    roof0, roof1 = (back + (0.2 if shape < 0.92 else 0.06)) * l, 0.14 * l
    roof = shade(v.colour, 1.02 + 0.1 * b.rng.random())
    if b.rng.random() < 0.08:
        roof = (34, 34, 36)
    b.box(roof0, roof1, -w * 0.66, w * 0.66, roof)
    if not b.fine:
        return
    shine = 0.3 * w * b.sun_right
    bright = mix(roof, (255, 255, 255), 0.3)
    b.box(roof0 * 0.8, roof1 * 0.6, shine - w * 0.16, shine + w * 0.16, bright)
    b.sides(-l * 0.85, l * 0.8, 0.12, v.colour)
    if b.canvas.gsd_m < 0.2:
        for y in (-w * 0.78, w * 0.58):
            b.box(l * 0.88, l * 0.97, y, y + w * 0.22, (225, 225, 215))
            b.box(-l * 0.97, -l * 0.91, y, y + w * 0.22, (130, 24, 24))
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
        b.ribs(-l * 0.85, l * 0.35, 0.6 * l / 2.75, 0.06, shade(v.colour, 0.93))


def _paint_bus(b: _Brush) -> None:
    v, l, w = b.vehicle, b.half_l, b.half_w  # noqa: E741
    rng = b.rng
    b.body(-l, l, 3.1, shade(v.colour, 0.85), chamfer_m=0.25)
    roof, inner = shade(v.colour, 1.04), 0.9
    if v.colour_name != "white" and rng.random() < 0.2:
        roof, inner = mix(v.colour, (240, 240, 240), 0.82), 0.3
    nose = 0.95
    if v.colour_name in ("yellow", "white") and rng.random() < 0.35:  # a school bus with a hood
        nose = 0.76
        bonnet: Colour = (218, 172, 48)
        b.box(l * nose, l * 0.98, -w * 0.8, w * 0.8, shade(bonnet, 0.95))
        b.box(l * nose, l * nose + 0.35, -w * 0.9, w * 0.9, _GLASS)
    else:
        b.box(l * 0.955, l * 0.99, -w * 0.88, w * 0.88, _GLASS)
    b.box(-l * 0.985, l * nose, -w * inner, w * inner, roof)
    if rng.random() < 0.75:
        at = rng.uniform(-0.6, 0.2) * l
        b.box(at, at + rng.uniform(1.4, 2.6), -w * 0.6, w * 0.6, mix(roof, (190, 192, 195), 0.7))
        b.box(at + 0.2, at + 1.0, -w * 0.4, w * 0.4, mix(roof, (90, 92, 95), 0.6))
    for x in (-0.72, 0.42):
        b.box(x * l, x * l + 0.8, -0.4, 0.4, shade(roof, 0.8))
    if b.fine:
        b.sides(-l * 0.98, l * nose, 0.16, v.colour)
        b.ribs(-l, l * nose - 0.2, 1.6, 0.07, shade(roof, 0.92))


# --- trucks ---


def _paint_cab(b: _Brush, colour: Colour, length_m: float) -> float:
    """Paint the cab of a truck, and return the local x of its rear."""
    l, w = b.half_l, b.half_w  # noqa: E741
    back = l - length_m
    b.body(back, l, 2.9, shade(colour, 0.9), chamfer_m=0.2)
    b.box(back + 0.1, l - 0.55, -w * 0.9, w * 0.9, shade(colour, 1.05))
    b.box(l - 0.55, l - 0.2, -w * 0.86, w * 0.86, _GLASS)
    if b.rng.random() < 0.4:  # an air deflector
        b.box(back + 0.15, back + 0.9, -w * 0.7, w * 0.7, shade(colour, 0.78))
    if b.canvas.gsd_m < 0.2:
        b.box(l - 0.5, l - 0.3, -w - 0.25, -w, _RUBBER)
        b.box(l - 0.5, l - 0.3, w, w + 0.25, _RUBBER)
    return back


def _draw_cab_colour(b: _Brush) -> Colour:
    """Draw the colour of a cab. Most have the colour of the truck."""
    draw = b.rng.random()
    if draw < 0.65:
        return b.vehicle.colour
    if draw < 0.85:
        return _WHITE
    return draw_vehicle(b.rng, "truck").colour


def _paint_chassis(b: _Brush, x1: float) -> None:
    w = 0.7 * b.half_w
    points = b.frame.box(-b.half_l, x1, -w, w)
    b.parts.append(points)
    b.canvas.add_shape(b.number, points, _RUBBER)


def _paint_load_box(b: _Brush, x0: float, x1: float, height_m: float) -> None:
    """Paint a closed box body with roof ribs."""
    w, colour = b.half_w, b.vehicle.colour
    b.body(x0, x1, height_m, colour)
    b.sides(x0, x1, 0.16, colour)
    b.box(x0, x0 + 0.14, -w, w, shade(colour, 0.82))
    b.box(x1 - 0.14, x1, -w, w, shade(colour, 1.08))
    if b.fine and b.rng.random() < 0.7:
        b.ribs(x0, x1, b.rng.uniform(0.6, 1.4), 0.07, shade(colour, 0.92))
    if b.rng.random() < 0.25:  # a refrigerating unit
        b.box(x1 - 0.1, x1 + 0.35, -w * 0.6, w * 0.6, (220, 220, 218))


def _paint_box_truck(b: _Brush) -> None:
    back = _paint_cab(b, _draw_cab_colour(b), 1.9)
    _paint_chassis(b, back)
    _paint_load_box(b, -b.half_l, back - 0.25, 3.4)


def _paint_semi(b: _Brush) -> None:
    back = _paint_cab(b, _draw_cab_colour(b), b.rng.uniform(2.0, 2.6))
    _paint_chassis(b, back)
    _paint_load_box(b, -b.half_l, back - b.rng.uniform(0.5, 1.1), 3.9)


def _paint_container_truck(b: _Brush) -> None:
    back = _paint_cab(b, _draw_cab_colour(b), 2.2)
    _paint_chassis(b, back)
    x1 = back - 0.6
    x0 = max(-b.half_l, x1 - (12.2 if b.rng.random() < 0.8 else 6.1))
    b.body(x0, x1, 3.8, b.vehicle.colour)
    b.sides(x0, x1, 0.1, b.vehicle.colour)
    if b.fine:
        b.ribs(x0, x1, 0.56, 0.22, shade(b.vehicle.colour, 0.9))


def _paint_flatbed(b: _Brush) -> None:
    back = _paint_cab(b, b.vehicle.colour, 2.0)
    bed = pick_colour(b.rng, ((126, 104, 78), (110, 110, 112), (88, 70, 56)))
    w, x0, x1 = b.half_w, -b.half_l, back - 0.2
    b.body(x0, x1, 1.2, shade(b.vehicle.colour, 0.8))
    b.box(x0 + 0.1, x1 - 0.1, -w * 0.9, w * 0.9, bed)
    if b.fine:
        for y in _steps(-w * 0.8, w * 0.8, w * 0.27):
            b.box(x0 + 0.1, x1 - 0.1, y, y + 0.05, shade(bed, 0.85))
    if b.rng.random() < 0.65:
        _paint_cargo(b, x0, x1)


def _paint_cargo(b: _Brush, x0: float, x1: float) -> None:
    """Paint cargo on an open bed."""
    rng, w = b.rng, b.half_w
    x = x0 + 0.3
    while x < x1 - 1.0:
        end = min(x + rng.uniform(0.9, 2.6), x1 - 0.2)
        colour = pick_colour(
            rng, ((150, 120, 84), (170, 170, 168), (92, 96, 100), (70, 88, 116)), 0.14
        )
        half = w * rng.uniform(0.55, 0.9)
        if rng.random() < 0.8:
            b.box(x - 0.1, end + 0.1, -half - 0.1, half + 0.1, shade(colour, 0.45))
            b.box(x, end, -half, half, colour)
            b.box(x + 0.1, end, -half * 0.8, half * 0.1, shade(colour, 1.12))
        x = end + rng.uniform(0.1, 0.5)


def _paint_tanker(b: _Brush) -> None:
    back = _paint_cab(b, _draw_cab_colour(b), 2.1)
    _paint_chassis(b, back)
    metal: Colour = b.vehicle.colour
    w, x0, x1 = b.half_w, -b.half_l, back - 0.5
    b.body(x0, x1, 3.4, shade(metal, 0.72), chamfer_m=0.55)
    for y, gain in ((0.84, 0.86), (0.62, 0.98)):
        b.box(x0 + 0.15, x1 - 0.15, -y * w, y * w, shade(metal, gain))
    middle = 0.32 * b.sun_right
    bright = mix(metal, (255, 255, 255), 0.45)
    b.box(x0 + 0.3, x1 - 0.3, (middle - 0.2) * w, (middle + 0.2) * w, bright)
    for share in (0.15, 0.38, 0.62, 0.85):
        x = x0 + share * (x1 - x0)
        b.box(x - 0.2, x + 0.2, -0.2, 0.2, shade(metal, 0.55))
    b.box(x0 + 0.4, x1 - 0.4, w * 0.06, w * 0.14, shade(metal, 0.6))


_LOADS: tuple[Colour, ...] = (
    (46, 42, 40), (134, 108, 80), (160, 142, 112), (104, 100, 96), (112, 66, 48), (74, 72, 70),
)  # fmt: skip


def _paint_dump_truck(b: _Brush) -> None:
    rng, w, rim = b.rng, b.half_w, b.vehicle.colour
    back = _paint_cab(b, rim if rng.random() < 0.8 else _WHITE, 2.0)
    _paint_chassis(b, back)
    x0, x1 = -b.half_l, back - 0.15
    b.body(x0, x1, 2.4, shade(rim, 0.95))
    load = pick_colour(rng, _LOADS, 0.12)
    b.box(x0 + 0.18, x1 - 0.18, -w + 0.18, w - 0.18, load)
    if rng.random() < 0.5:  # heaped
        for _ in range(6):
            x, y = rng.uniform(x0 + 0.6, x1 - 0.6), rng.uniform(-w * 0.55, w * 0.55)
            size = rng.uniform(0.25, 0.6)
            b.box(x - size, x + size, y - size / 2, y + size / 2, vary(rng, load, 0.13))
    else:  # empty, with the shadow of a wall on the floor
        side = math.copysign(1.0, b.sun_right)
        y0, y1 = sorted((side * (w - 0.18), side * w * 0.35))
        b.box(x0 + 0.18, x1 - 0.18, y0, y1, shade(load, 0.55))
    if b.fine:
        for x in _steps(x0 + 0.9, x1, 1.1):
            b.box(x, x + 0.1, -w, -w + 0.18, shade(rim, 0.6))
            b.box(x, x + 0.1, w - 0.18, w, shade(rim, 0.6))


_PAINTERS: dict[str, Callable[[_Brush], None]] = {
    "car": _paint_car,
    "van": _paint_van,
    "bus": _paint_bus,
    "box truck": _paint_box_truck,
    "semi-trailer": _paint_semi,
    "flatbed": _paint_flatbed,
    "tanker": _paint_tanker,
    "dump truck": _paint_dump_truck,
    "container truck": _paint_container_truck,
}
