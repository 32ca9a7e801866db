"""Vehicles of painted scenes: categories, colours and sizes."""

from dataclasses import dataclass

import numpy as np

from rrsis_geo.data.painter.basics import Colour, Corners, Frame, pick, pick_colour

VEHICLES = ("car", "van", "bus", "truck")

NAMED_COLOURS: dict[str, tuple[Colour, ...]] = {
    "white": ((240, 240, 238), (226, 228, 230), (248, 247, 240)),
    "gray": ((150, 153, 156), (120, 122, 126), (178, 181, 184), (98, 100, 104)),
    "black": ((28, 28, 31), (40, 41, 45), (20, 22, 27)),
    "red": ((168, 30, 32), (190, 40, 36), (134, 24, 32)),
    "blue": ((36, 64, 140), (50, 96, 168), (28, 44, 100)),
    "green": ((40, 100, 62), (72, 130, 72), (26, 72, 52)),
    "yellow": ((232, 192, 48), (240, 208, 70), (216, 174, 44)),
    "orange": ((220, 110, 34), (232, 128, 50)),
    "brown": ((104, 70, 46), (122, 90, 64)),
}

_COLOUR_SHARES: dict[str, dict[str, float]] = {
    "car": {"white": 27, "gray": 26, "black": 18, "red": 10, "blue": 10, "green": 3,
            "yellow": 2.5, "orange": 1.5, "brown": 2},
    "van": {"white": 50, "gray": 16, "black": 7, "red": 7, "blue": 9, "green": 3,
            "yellow": 5, "orange": 2, "brown": 1},
    "bus": {"white": 34, "gray": 6, "red": 13, "blue": 12, "green": 9, "yellow": 22, "orange": 4},
    "truck": {"white": 38, "gray": 12, "red": 12, "blue": 13, "green": 7, "yellow": 5,
              "orange": 6, "brown": 7},
}  # fmt: skip

_TRUCK_SHARES = {
    "box truck": 0.28, "semi-trailer": 0.24, "flatbed": 0.12, "tanker": 0.1, "dump truck": 0.18,
    "container truck": 0.08,
}  # fmt: skip

_TRUCK_LENGTHS_M = {
    "box truck": (6.8, 10.5), "semi-trailer": (14.5, 17.5), "flatbed": (7.0, 12.0),
    "tanker": (8.5, 16.0), "dump truck": (6.8, 9.5), "container truck": (13.0, 16.5),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Vehicle:
    """A vehicle without a position.

    Attributes:
        category: one of `VEHICLES`.
        length_m: length from bumper to bumper.
        width_m: width without mirrors.
        height_m: height, for the shadow.
        colour_name: a key of `NAMED_COLOURS`.
        colour: RGB colour.
        kind: for trucks "box truck", "semi-trailer", "flatbed", "tanker", "dump truck" or
            "container truck", otherwise "".
    """

    category: str
    length_m: float
    width_m: float
    height_m: float
    colour_name: str
    colour: Colour
    kind: str = ""


def draw_vehicle(
    rng: np.random.Generator, category: str, colour_name: str | None = None, kind: str | None = None
) -> Vehicle:
    """Draw a vehicle with the sizes and colours of real traffic.

    Args:
        rng: source of all randomness.
        category: one of `VEHICLES`.
        colour_name: a key of `NAMED_COLOURS`. None draws one.
        kind: kind of truck, see `Vehicle`. None draws one.
    """
    name = colour_name or pick(rng, _COLOUR_SHARES[category])
    colour = pick_colour(rng, NAMED_COLOURS[name], 0.035)
    grow = min(1.15, max(0.85, rng.normal(1.0, 0.05)))
    if category == "car":
        return Vehicle("car", 4.5 * grow, 1.8 * (0.5 + 0.5 * grow), 1.5, name, colour)
    if category == "van":
        return Vehicle("van", 5.5 * grow, 2.0, 2.3, name, colour)
    if category == "bus":
        length = 12.0 * grow if rng.random() < 0.75 else rng.uniform(8.0, 10.5)
        return Vehicle("bus", length, 2.55, 3.2, name, colour)
    kind = kind or pick(rng, _TRUCK_SHARES)
    return Vehicle("truck", rng.uniform(*_TRUCK_LENGTHS_M[kind]), 2.5, 3.4, name, colour, kind)


def outline(vehicle: Vehicle, frame: Frame, margin_m: float = 0.0) -> Corners:
    """The ground under a vehicle, with a margin."""
    half_l, half_w = vehicle.length_m / 2 + margin_m, vehicle.width_m / 2 + margin_m
    return frame.box(-half_l, half_l, -half_w, half_w)
