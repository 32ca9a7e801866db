"""What fills the land of a painted scene: buildings, traffic, trees."""

import math
from collections.abc import Iterator

import numpy as np

from rrsis_geo.data.painter.basics import Colour, Frame, pick, shade, vary
from rrsis_geo.data.painter.buildings import draw_roof_colour, paint_hall, paint_house
from rrsis_geo.data.painter.layout import Layout
from rrsis_geo.data.painter.roads import Road
from rrsis_geo.data.painter.sites import paint_pool
from rrsis_geo.data.painter.trees import Leaves, paint_bush, paint_tree
from rrsis_geo.data.painter.vehicles import draw_vehicle

_MOST_TREES_A_HECTARE = 20
_MOST_TREES = 260

Roof = tuple[str, Colour]


def build(layout: Layout) -> None:
    """Halls, houses along the roads, pools."""
    rng, theme = layout.rng, layout.theme
    limit = max(14.0, 0.6 * layout.size_m)
    halls = layout.sites(
        layout.count(theme.halls),
        lambda: (min(rng.uniform(16, 70), limit), min(rng.uniform(12, 38), limit)),
    )
    for frame, length, width in halls:
        _keep_building(layout, frame, length - 3, width - 3, draw_roof_colour(rng, hall=True), True)
    if theme.houses > 0:
        common = draw_roof_colour(rng, hall=False)
        same = 0.75 if rng.random() < 0.4 else 0.1
        for road in layout.roads:
            for side in (-1.0, 1.0):
                _house_row(layout, road, side, common, same)
    for frame, length, width in layout.sites(layout.count(theme.pools), lambda: (11.0, 8.5), 0.1):
        size = rng.uniform(5, length - 3.5), rng.uniform(3, width - 3.5)
        paint_pool(layout.canvas, frame, *size)


def _keep_building(
    layout: Layout, frame: Frame, length_m: float, width_m: float, roof: Roof, hall: bool
) -> None:
    canvas, paint = layout.canvas, paint_hall if hall else paint_house
    layout.keep(9.0 if hall else 6.0, lambda: paint(canvas, frame, length_m, width_m, roof))


def _house_row(layout: Layout, road: Road, side: float, common: Roof, same: float) -> None:
    """Houses beside one side of a road."""
    rng = layout.rng
    setback = road.style.half_m + road.style.sidewalk_m + rng.uniform(3, 9)
    at = rng.uniform(0, 15)
    while at < road.length_m:
        long, deep = rng.uniform(8, 16), rng.uniform(7, 11)
        if rng.random() < 0.15:
            long = rng.uniform(16, 34)
        frame = road.frame(at, side * (setback + deep / 2), 0.0 if side > 0 else math.pi)
        at += long + rng.uniform(2.5, 12)
        if rng.random() > layout.theme.houses or not layout.is_seen(frame.x, frame.y, 16):
            continue
        frame = frame.moved(0, rng.uniform(0, 2), rng.normal(0, 0.03))
        x, y = long / 2 + 1.2, deep / 2 + 1.2
        if not layout.land.claim(frame.box(-x, x, -y, y)):
            continue
        roof = common if rng.random() < same else draw_roof_colour(rng, hall=False)
        roof = roof[0], vary(rng, roof[1], 0.05)
        _garden(layout, frame, x, y, setback)
        _keep_building(layout, frame, long, deep, roof, rng.random() < 0.18)
        if rng.random() < 0.5:
            _driveway(layout, frame, long, min(setback, 9.0) * 0.8, deep)


def _garden(layout: Layout, house: Frame, x: float, y: float, setback_m: float) -> None:
    """The house's own ground, fenced at times."""
    rng, canvas = layout.rng, layout.canvas
    draw = rng.random()
    if draw < 0.45:
        kinds = ("grass", "lush", "dry", "soil", "paved")
        kind = kinds[int(rng.integers(len(kinds)))]
        front = min(setback_m - 2, 5.0)
        ground = house.box(-x - 1, x + 1, -y - front, y + rng.uniform(3, 12))
        if layout.water.is_free(ground):
            canvas.fill_with(ground, lambda window: layout.turf.cover(kind, window))
            if rng.random() < 0.5 and canvas.gsd_m < 0.5:
                canvas.line([*ground, ground[0]], 0.2, (120, 112, 100), 0.8)


def _driveway(layout: Layout, house: Frame, long_m: float, length_m: float, deep_m: float) -> None:
    rng, canvas = layout.rng, layout.canvas
    right = rng.uniform(-0.3, 0.5) * long_m
    drive = house.moved(right, -deep_m / 2 - length_m / 2, -math.pi / 2)
    half = length_m / 2
    if not layout.land.is_free(drive.box(1.5 - half, half - 1.5, -1, 1)):
        return
    number = canvas.begin(None, "concrete", level="ground")
    canvas.shape(number, drive.box(-half, half, -1.6, 1.6), vary(rng, (164, 158, 148), 0.08))
    if rng.random() < 0.6:
        category = ("car", "car", "car", "van", "truck")[int(rng.integers(5))]
        vehicle = draw_vehicle(rng, category)
        if vehicle.length_m < 7.5:
            turn = math.pi if rng.random() < 0.5 else 0.0
            layout.keep_vehicle(vehicle, drive.moved(0, rng.normal(0, 0.3), turn), "driveway")


# ---------------------------------------------------------------------------------------- traffic


def drive(layout: Layout) -> None:
    """Vehicles in the lanes, some standing at the kerb."""
    rng = layout.rng
    low, high = layout.theme.gap_m
    for road in layout.roads:
        gap = math.exp(rng.uniform(math.log(low), math.log(high)))
        if road.style.surface == "dirt":
            gap *= 2.5
        for right, turn in road.lanes():
            at = rng.uniform(0, gap)
            while at < road.length_m:
                vehicle = draw_vehicle(rng, pick(rng, layout.shares))
                at += vehicle.length_m / 2
                aside, slant = rng.normal(0, 0.15), rng.normal(0, 0.012)
                layout.keep_vehicle(vehicle, road.frame(at, right + aside, turn + slant), "road")
                at += vehicle.length_m / 2 + 1.5 + rng.exponential(gap)
        if road.style.shoulder_m > 2:
            _kerb(layout, road)


def _kerb(layout: Layout, road: Road) -> None:
    rng = layout.rng
    full = rng.uniform(0, 0.8)
    away = road.style.half_m - 1.15
    for side in (-1.0, 1.0):
        for at in np.arange(rng.uniform(0, 6), road.length_m, 6.0).tolist():
            if rng.random() > full or not road.is_free(at):
                continue
            draw = rng.random()
            category = "truck" if draw < 0.05 else "van" if draw < 0.2 else "car"
            turn = rng.normal(0, 0.02) + (math.pi if side < 0 else 0.0)
            vehicle = draw_vehicle(rng, category)
            if vehicle.length_m < 9:
                layout.keep_vehicle(vehicle, road.frame(at, side * away, turn), "road")


# ------------------------------------------------------------------------------------------ trees


def plant(layout: Layout) -> None:
    """Woods, single trees, rows along the roads, shrubs."""
    rng, theme, canvas = layout.rng, layout.theme, layout.canvas
    leaves = Leaves(rng, layout.light, (0.0, 0.2, 0.7)[int(rng.integers(3))])
    spots: list[tuple[float, float, float]] = []
    if rng.random() < theme.forest:
        for _ in range(int(rng.integers(1, 3))):
            spots.extend(_wood(layout))
    if rng.random() < 0.5 and layout.roads:
        spots.extend(_avenue(layout))
    for _ in range(layout.count(theme.trees)):
        x, y = rng.uniform(-4, layout.width_m + 4), rng.uniform(-4, layout.height_m + 4)
        spots.append((x, y, rng.lognormal(1.0, 0.4)))
    most = max(_MOST_TREES, int(_MOST_TREES_A_HECTARE * layout.hectares))
    for x, y, radius in spots[:most]:
        if not layout.land.is_taken_at(x, y):
            _keep_tree(layout, leaves, x, y, min(7.5, max(1.2, radius)))
    if canvas.gsd_m < 0.35:
        for _ in range(int(rng.integers(0, 30))):
            x, y = rng.uniform(0, layout.width_m), rng.uniform(0, layout.height_m)
            if not layout.land.is_taken_at(x, y):
                paint_bush(canvas, leaves, x, y, rng.uniform(0.25, 0.8))
        _litter(layout)


def _keep_tree(layout: Layout, leaves: Leaves, x: float, y: float, radius_m: float) -> None:
    canvas = layout.canvas
    layout.keep(4.0 + 2 * radius_m, lambda: paint_tree(canvas, leaves, x, y, radius_m))


def _litter(layout: Layout) -> None:
    """Stones, holes and rubbish: specks that keep open ground from being smooth."""
    rng, canvas = layout.rng, layout.canvas
    grey: Colour = (150, 144, 134)
    for _ in range(int(rng.integers(0, 60))):
        x, y = rng.uniform(0, layout.width_m), rng.uniform(0, layout.height_m)
        if not layout.land.is_taken_at(x, y):
            a, b = rng.uniform(0.08, 0.5, 2).tolist()
            spot = Frame(x, y, rng.uniform(0, 3)).box(-a, a, -b, b)
            canvas.fill(spot, shade(grey, rng.uniform(0.5, 1.35)))


def _wood(layout: Layout) -> Iterator[tuple[float, float, float]]:
    """A clump whose crowns touch."""
    rng = layout.rng
    middle = layout.spot(0.55)
    reach = rng.uniform(0.12, 0.4) * layout.size_m
    mean = rng.uniform(1.6, 4.5)
    for _ in range(int(min(140, 0.75 * (reach / mean) ** 2))):
        away, turn = reach * math.sqrt(rng.random()), rng.uniform(0, 2 * math.pi)
        spot = middle.moved(away * math.cos(turn), 0.6 * away * math.sin(turn))
        if layout.is_seen(spot.x, spot.y, 4):
            yield spot.x, spot.y, mean * rng.uniform(0.7, 1.35)


def _avenue(layout: Layout) -> Iterator[tuple[float, float, float]]:
    """Trees on both sides of a road."""
    rng = layout.rng
    road = layout.roads[int(rng.integers(len(layout.roads)))]
    away = road.style.half_m + road.style.sidewalk_m + rng.uniform(1.8, 4)
    pitch, mean = rng.uniform(6, 16), rng.uniform(1.5, 3.5)
    for side in (-1.0, 1.0):
        for at in np.arange(0, road.length_m, pitch).tolist():
            frame = road.frame(at + rng.normal(0, 0.8), side * (away + rng.normal(0, 0.3)))
            if rng.random() < 0.8 and layout.is_seen(frame.x, frame.y, 4):
                yield frame.x, frame.y, mean * rng.uniform(0.75, 1.25)
