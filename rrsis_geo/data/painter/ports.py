"""Harbors and airport aprons of painted scenes."""

import math

import numpy as np

from rrsis_geo.data.painter.basics import Colour, Corners, Frame, pick_colour, shade, vary
from rrsis_geo.data.painter.buildings import draw_roof_colour, paint_hall
from rrsis_geo.data.painter.canvas import Canvas
from rrsis_geo.data.painter.layout import Layout
from rrsis_geo.data.painter.lots import lay_containers, steps
from rrsis_geo.data.painter.ships_airplanes import paint_airplane, paint_boat, paint_ship
from rrsis_geo.data.painter.terrain import paint_water
from rrsis_geo.data.painter.vehicles import draw_vehicle

CATEGORIES = ("harbor",)

# --- harbors ---


def lay_coast(layout: Layout) -> None:
    """Add a coast with piers and boats, or a quay with ships."""
    rng = layout.rng
    if rng.random() >= layout.theme.coast:
        return
    shore = layout.draw_frame(0.25).move(0, 0, rng.uniform(0, math.pi))  # the water is to its right
    reach = layout.size_m + 60
    quay = rng.random() < 0.6
    n = 40
    along = np.linspace(-reach, reach, n)
    edge = np.zeros(n) if quay else np.cumsum(rng.normal(0, 0.02 * reach / n * 10, n))
    edge -= np.interp(0, along, edge)
    far = 2 * reach
    local = [*zip(along.tolist(), edge.tolist(), strict=True), (reach, far), (-reach, far)]
    if quay:
        wall = layout.canvas.add_item(None, "concrete", level="ground")
        paving = vary(rng, (170, 166, 156))
        layout.canvas.add_shape(wall, shore.box(-reach, reach, -rng.uniform(3, 20), 1), paving)
    paint_water(layout, np.array(shore.to_scene(local)), quay=quay)
    layout.axis = shore
    if rng.random() < 0.7:
        _lay_marina(layout, shore)
    else:
        _lay_port(layout, shore)


def lay_boats(layout: Layout) -> None:
    """Add moving and anchored boats to open water."""
    rng = layout.rng
    chance = 1.0 if layout.theme.coast else 0.3
    if rng.random() > chance:
        return
    for _ in range(int(rng.poisson(1.5 + 0.6 * layout.hectares))):
        x, y = rng.uniform(0, layout.width_m), rng.uniform(0, layout.height_m)
        boat = Frame(x, y, rng.uniform(0, 2 * math.pi))
        _add_boat(layout, boat, rng.uniform(5, 14), moving=rng.random() < 0.5)


def _add_boat(layout: Layout, frame: Frame, length_m: float, *, moving: bool = False) -> None:
    """Add a boat if it lies on open water."""
    half = length_m / 2
    place = frame.box(-half, half, -0.2 * length_m, 0.2 * length_m)
    afloat = all(layout.water.is_occupied_at(x, y) for x, y in place)
    if not afloat or not layout.is_in_view(frame.x, frame.y, length_m):
        return
    if layout.traffic.claim(place):
        canvas = layout.canvas
        layout.defer(1.0, lambda: paint_boat(canvas, frame, length_m, moving=moving))


def _lay_marina(layout: Layout, shore: Frame) -> None:
    """Add piers perpendicular to the shore, with boats on both sides."""
    rng, canvas = layout.rng, layout.canvas
    reach = layout.size_m
    wood = pick_colour(rng, ((150, 138, 122), (170, 166, 160), (140, 96, 78), (120, 108, 96)))
    boat_m = rng.uniform(6, 15)
    pitch = 2 * boat_m + rng.uniform(8, 22)
    for at in steps(-reach + rng.uniform(0, pitch), reach, pitch):
        start, length = shore.move(at, -2), rng.uniform(30, 120)
        middle = shore.move(at, length / 2)
        if not layout.is_in_view(middle.x, middle.y, length / 2 + pitch):
            continue
        pier = start.move(0, 0, math.pi / 2)  # local x points away from the shore
        half = rng.uniform(0.8, 1.8)
        zone = canvas.add_item("harbor", "concrete", level="zone")
        side_m = boat_m + half + 1.0
        canvas.add_shape(zone, pier.box(8, length + 1, -side_m, side_m), None)
        _paint_pier(canvas, pier.box(0, length, -half, half), wood)
        berth = boat_m * rng.uniform(0.38, 0.5)
        full = rng.uniform(0.3, 1.0)
        for u in steps(10, length - berth / 2, berth):
            for side in (-1.0, 1.0):
                size = boat_m * rng.uniform(0.7, 1.0)
                bow = math.pi / 2 if rng.random() < 0.5 else -math.pi / 2
                boat = pier.move(u, side * (half + 0.4 + size / 2), bow + rng.normal(0, 0.04))
                if rng.random() < full:
                    _add_boat(layout, boat, size)
                if rng.random() < 0.5:
                    at_m, y0, y1 = (
                        u + berth / 2,
                        *sorted((side * half, side * (half + 0.6 * boat_m))),
                    )
                    _paint_pier(canvas, pier.box(at_m - 0.3, at_m + 0.3, y0, y1), wood)


def _paint_pier(canvas: Canvas, box: Corners, colour: Colour) -> None:
    number = canvas.add_item(None, "concrete", hides="ground")
    canvas.cast_shadow(box, 1.2)
    canvas.add_shape(number, box, colour)


def _lay_port(layout: Layout, shore: Frame) -> None:
    """Add ships along a quay with containers and trucks."""
    rng, canvas = layout.rng, layout.canvas
    reach = 0.7 * layout.size_m
    deep = rng.uniform(25, 60)
    apron = canvas.add_item(None, "concrete", level="ground")
    quay = shore.box(-reach - 40, reach + 40, -deep, 0.5)
    canvas.add_shape(apron, quay, vary(rng, (158, 154, 148)))
    layout.land.occupy(quay)
    layout.axis = shore.move(0, -deep)
    at = -reach
    while at < reach:
        length = rng.uniform(25, 60) if layout.size_m < 150 else rng.uniform(40, 170)
        ship = shore.move(at + length / 2, 1.5 + 0.1 * length)
        berth = ship.box(-length / 2, length / 2, -0.1 * length, 0.1 * length)
        if rng.random() < 0.7 and layout.is_in_view(ship.x, ship.y, length):
            turned = ship if rng.random() < 0.5 else ship.move(0, 0, math.pi)
            layout.traffic.occupy(berth)
            _add_ship(layout, turned, length)
        at += length + rng.uniform(5, 40)
    for u in steps(-reach, reach, rng.uniform(40, 70)):
        block = shore.move(u + 16, -0.6 * deep)
        if rng.random() < 0.6:
            lay_containers(layout, block, rng.uniform(12, 26), 0.25 * deep)
        for _ in range(3):
            place = shore.move(u + rng.uniform(0, 40), -rng.uniform(4, 0.3 * deep + 4))
            category = "truck" if rng.random() < 0.7 else "car"
            turn = rng.normal(0, 0.1) + (math.pi if rng.random() < 0.5 else 0)
            layout.add_vehicle(draw_vehicle(rng, category), place.move(0, 0, turn), "yard")


def _add_ship(layout: Layout, frame: Frame, length_m: float) -> None:
    canvas = layout.canvas
    layout.defer(3.5, lambda: paint_ship(canvas, frame, length_m))


# --- airports ---


def lay_apron(layout: Layout) -> None:
    """Add an apron with parked airplanes, a taxiway and a terminal."""
    rng, canvas = layout.rng, layout.canvas
    if rng.random() >= layout.theme.apron:
        return
    small = layout.size_m < 110 or rng.random() < 0.25
    plane_m = rng.uniform(7, 13) if small else rng.uniform(28, 68)
    frame = layout.draw_frame(0.2)
    x, y = 0.75 * layout.size_m, rng.uniform(1.0, 1.5) * plane_m + 12
    paving = pick_colour(rng, ((176, 174, 168), (150, 150, 148), (124, 126, 128), (186, 182, 172)))
    number = canvas.add_item(None, "concrete", level="ground")
    apron = frame.box(-x, x, -y, y)
    canvas.add_shape(number, apron, paving)
    layout.land.occupy(apron)
    layout.axis = frame.move(0, -y - 28)
    slab = rng.uniform(5, 9)
    if canvas.gsd_m < 0.7:
        joint = shade(paving, rng.uniform(0.86, 0.95))
        for u in steps(-x, x, slab):
            canvas.line(frame.to_scene(((u, -y), (u, y))), 0.15, joint, 0.8)
        for v in steps(-y, y, slab):
            canvas.line(frame.to_scene(((-x, v), (x, v))), 0.15, joint, 0.8)
    for _ in range(int(rng.integers(6, 24))):
        spot = frame.move(rng.uniform(-x, x), rng.uniform(-y, y))
        long, wide = rng.uniform(1, 12), rng.uniform(0.4, 2)
        canvas.fill(spot.box(-long, long, -wide, wide), shade(paving, rng.uniform(0.85, 1.06)))
    _lay_stands(layout, frame, x, y, plane_m)
    if not small and rng.random() < 0.7:
        hall = frame.move(0, -y - 14, 0.0)
        colour = draw_roof_colour(rng, hall=True)
        length = rng.uniform(0.6, 1.2) * layout.size_m
        layout.land.occupy(hall.box(-length / 2, length / 2, -13, 13))
        layout.defer(9.0, lambda: paint_hall(canvas, hall, length, 24.0, colour))


def _lay_stands(layout: Layout, frame: Frame, x: float, y: float, plane_m: float) -> None:
    """Add a row of parked airplanes and the vehicles around them."""
    rng, canvas = layout.rng, layout.canvas
    yellow: Colour = (206, 176, 66)
    canvas.line(frame.to_scene(((-x, 0.62 * y), (x, 0.62 * y))), 0.4, yellow)
    pitch = plane_m * (rng.uniform(1.5, 2.0) if plane_m < 20 else rng.uniform(1.1, 1.5))
    turn = -math.pi / 2 + (0.0, 0.0, 0.5, math.pi)[int(rng.integers(4))]
    full = rng.uniform(0.5, 1.0)
    for u in steps(-x + rng.uniform(0, pitch), x, pitch):
        stand = frame.move(u, -0.25 * y, turn + rng.normal(0, 0.02))
        line = frame.to_scene(((u, 0.62 * y), (u, -0.7 * y)))
        canvas.line(line, 0.3, yellow, 0.8)
        if rng.random() < full and layout.is_in_view(stand.x, stand.y, plane_m / 2):
            size = plane_m * rng.uniform(0.85, 1.0)
            half = size / 2
            layout.traffic.occupy(stand.box(-half, half, -0.08 * size, 0.08 * size))
            layout.traffic.occupy(stand.box(-0.4 * half, 0.3 * half, -half, half))
            _add_airplane(layout, stand, size)
        for _ in range(int(rng.integers(0, 4))):
            category = ("van", "truck", "car")[int(rng.integers(3))]
            aside, ahead = (rng.uniform(-0.6, 0.6, 2) * plane_m).tolist()
            place = stand.move(ahead, aside, rng.uniform(0, 6.3))
            vehicle = draw_vehicle(rng, category, "white" if rng.random() < 0.5 else None)
            if vehicle.length_m < 11:
                layout.add_vehicle(vehicle, place, "apron")
    if rng.random() < 0.4:
        taxi = frame.move(rng.uniform(-0.5, 0.5) * x, 0.62 * y, 0.0)
        if layout.is_in_view(taxi.x, taxi.y, plane_m / 2) and layout.traffic.claim(
            taxi.box(-plane_m / 2, plane_m / 2, -plane_m / 2, plane_m / 2)
        ):
            _add_airplane(layout, taxi, plane_m * 0.9)


def _add_airplane(layout: Layout, frame: Frame, length_m: float) -> None:
    canvas = layout.canvas
    layout.defer(4.5, lambda: paint_airplane(canvas, frame, length_m, "apron"))
