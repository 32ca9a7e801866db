"""Parcels, water, roads and traffic of painted scenes."""

import math

import numpy as np

from rrsis_geo.data.painter.basics import Colour, Frame, Points, mix, pick, pick_colour, shade, vary
from rrsis_geo.data.painter.camera import Pixels
from rrsis_geo.data.painter.layout import Layout
from rrsis_geo.data.painter.roads import Road, RoadStyle, draw_course, find_crossings, paint_roads
from rrsis_geo.data.painter.vehicles import draw_vehicle

CATEGORIES = ("bridge", "road", "water")

_WATERS: tuple[Colour, ...] = (
    (52, 72, 72), (58, 78, 62), (68, 90, 100), (90, 98, 80), (34, 50, 60), (118, 110, 86),
    (40, 60, 52), (60, 100, 112),
)  # fmt: skip

_ROAD_COLOURS: tuple[Colour, ...] = (
    (74, 76, 80), (92, 94, 97), (112, 112, 112), (132, 130, 126), (60, 62, 66), (148, 146, 140),
)  # fmt: skip


def lay_parcels(layout: Layout) -> None:
    """Divide the land into parcels with different ground covers."""
    rng, theme, canvas = layout.rng, layout.theme, layout.canvas
    if not theme.parcels or rng.random() < 0.15:
        return
    long, wide = rng.uniform(*theme.parcel_m, 2).tolist()
    share = rng.uniform(0.3, 1.0)
    origin = layout.draw_frame(0.5)
    reach = 0.72 * layout.size_m
    columns, rows = math.ceil(reach / long), math.ceil(reach / wide)
    for i in range(-columns, columns + 1):
        for j in range(-rows, rows + 1):
            middle = origin.move(i * long, j * wide)
            if rng.random() > share or not layout.is_in_view(
                middle.x, middle.y, 0.7 * max(long, wide)
            ):
                continue
            grow = rng.uniform(0.8, 1.02, 2).tolist()
            field = middle.move(0, 0, rng.normal(0, 0.02))
            x, y = grow[0] * long / 2, grow[1] * wide / 2
            corners = field.box(-x, x, -y, y)
            kind = theme.parcels[int(rng.integers(len(theme.parcels)))]
            canvas.fill_with(corners, _ParcelCover(layout, kind, field.heading))
            if rng.random() < 0.35:
                edge = pick_colour(rng, ((104, 98, 76), (156, 146, 124), (72, 86, 54)))
                canvas.line([*corners, corners[0]], rng.uniform(0.2, 1.2), edge, 0.6)


class _ParcelCover:
    """Draws the ground cover of one parcel."""

    def __init__(self, layout: Layout, kind: str, heading: float) -> None:
        self.layout, self.kind, self.heading = layout, kind, heading

    def __call__(self, window: tuple[slice, slice]) -> Pixels:
        rng, ground_texture = self.layout.rng, self.layout.ground_texture
        if self.kind in ("ploughed", "stubble", "meadow", "lush") and rng.random() < 0.7:
            pitch_m = (0.8, 1.5, 3.0, 6.0)[int(rng.integers(4))]
            pitch_px = pitch_m / self.layout.canvas.gsd_m
            return ground_texture.rows(self.kind, window, self.heading, pitch_px)
        return ground_texture.cover(self.kind, window)


# --- water ---


def lay_water(layout: Layout) -> None:
    """Add a river, a lake, or neither."""
    rng, theme = layout.rng, layout.theme
    if rng.random() < theme.river:
        paint_water(layout, _draw_river(layout, layout.draw_frame(0.4).move(0, 0, rng.normal())))
    elif rng.random() < theme.lake:
        paint_water(layout, _draw_lake(layout, layout.draw_frame(0.45)))


def paint_water(layout: Layout, shape: Points, *, quay: bool = False) -> None:
    """Paint water with a shore.

    Args:
        layout: layout of the scene.
        shape: outline [n, 2], metres.
        quay: whether the shore is a wall instead of a bank.
    """
    rng, canvas = layout.rng, layout.canvas
    colour = pick_colour(rng, _WATERS, 0.1)
    if not quay:
        steps = np.roll(shape, -1, axis=0) - np.roll(shape, 1, axis=0)
        sideways = np.stack((steps[:, 1], -steps[:, 0]), axis=1)
        sideways /= np.maximum(np.hypot(sideways[:, 0], sideways[:, 1]), 1e-6)[:, None]
        ahead = np.roll(shape, -1, axis=0)
        turn = float(np.sum(shape[:, 0] * ahead[:, 1] - ahead[:, 0] * shape[:, 1]))
        bank = mix((150, 136, 108), (88, 98, 62), rng.random())
        for reach, share in ((3.5, 0.5), (1.6, 1.0)):
            shore = canvas.add_item(None, "soil", level="ground")
            edge = shape + math.copysign(reach, turn) * sideways * rng.uniform(
                0.4, 1.2, (len(shape), 1)
            )
            canvas.add_shape(shore, edge, mix((96, 104, 70), bank, share))
    number = canvas.add_item("water", "water", level="ground")
    canvas.add_shape(number, shape, colour)
    if not quay:  # shallow water at the shore
        canvas.fill(shape - math.copysign(1.2, turn) * sideways, shade(colour, 0.93))
        canvas.fill(shape - math.copysign(3.5, turn) * sideways, shade(colour, 0.86))
    layout.land.occupy(shape)
    layout.water.occupy(shape)


def _draw_lake(layout: Layout, middle: Frame) -> Points:
    rng = layout.rng
    radius = rng.uniform(0.15, 0.5) * layout.size_m
    if layout.theme.roads == "grid":  # a pond inside a block
        radius = min(radius, 0.3 * layout.theme.block_m[0])
    turn = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    wave = np.ones_like(turn)
    for k in range(1, 8):
        wave += rng.normal(0, 0.22 / k) * np.cos(k * turn + rng.uniform(0, 6))
    wave = np.maximum(wave, 0.3) * radius
    squeeze = rng.uniform(0.5, 1.0)
    x, y = wave * np.cos(turn), squeeze * wave * np.sin(turn)
    cos, sin = math.cos(middle.heading), math.sin(middle.heading)
    return np.stack((middle.x + x * cos - y * sin, middle.y + x * sin + y * cos), axis=1)


def _draw_river(layout: Layout, through: Frame) -> Points:
    rng = layout.rng
    step = max(2.0, layout.size_m / 60)
    course = draw_course(rng, through, 1.2 * layout.size_m + 40, 0.8, step)
    wide = rng.uniform(10, 0.16 * layout.size_m + 12)
    half = rng.uniform(4, 10) if rng.random() < 0.4 else wide
    road = Road(course, RoadStyle(marked=False))
    sideways = np.stack((-np.sin(road.headings), np.cos(road.headings)), axis=1)
    banks = []
    for side in (-1.0, 1.0):
        swell = 1 + 0.1 * np.cumsum(rng.normal(0, 0.3, len(course)))
        banks.append(course + side * half * np.clip(swell, 0.6, 1.5)[:, None] * sideways)
    return np.concatenate((banks[0], banks[1][::-1]))


# --- roads ---


def lay_roads(layout: Layout) -> None:
    """Add the roads of the theme, with bridges over water."""
    rng = layout.rng
    makers = {"grid": _lay_grid, "highway": _lay_highway, "country": _lay_country_roads}
    if layout.theme.roads in makers:
        makers[layout.theme.roads](layout)
    clipped = [road.within(layout.width_m, layout.height_m) for road in layout.roads]
    layout.roads = [road for road in clipped if road is not None]
    crossings = find_crossings(layout.roads)
    bridges = [span for road in layout.roads for span in _find_bridges(layout, road)]
    for road, first, last in bridges:
        _cast_bridge_shadow(layout, road, first, last)
    paint_roads(layout.canvas, layout.roads, crossings, zebras=rng.random() < 0.5)
    for road, first, last in bridges:
        _paint_bridge(layout, road, first, last)
    for road in layout.roads:
        reach = road.style.half_m + road.style.sidewalk_m + 0.5
        layout.land.occupy(road.strip(-reach, reach))
    if layout.canvas.gsd_m < 0.35:
        _paint_lamps(layout)


def _find_bridges(layout: Layout, road: Road) -> list[tuple[Road, int, int]]:
    """The spans of a road over water: the road, and the start and stop index of its points."""
    over = [layout.water.is_occupied_at(x, y) for x, y in road.course.tolist()]
    spans, start = [], None
    for k, wet in enumerate([*over, False]):
        if wet and start is None:
            start = k
        elif not wet and start is not None:
            spans.append((road, max(0, start - 2), min(len(over), k + 2)))
            start = None
    return spans


def _bridge_outline(road: Road, first: int, last: int, reach_m: float) -> Points:
    left, right = road.offset(-reach_m)[first:last], road.offset(reach_m)[first:last]
    return np.concatenate((left, right[::-1]))


def _cast_bridge_shadow(layout: Layout, road: Road, first: int, last: int) -> None:
    light = layout.light
    span = _bridge_outline(road, first, last, road.style.half_m + 0.8)
    layout.canvas.add_shadow(span + 4.0 * np.array((light.shadow_x, light.shadow_y)))


def _paint_bridge(layout: Layout, road: Road, first: int, last: int) -> None:
    """Paint the parapets and the mask of a bridge on a painted road."""
    canvas = layout.canvas
    reach = road.style.half_m + road.style.sidewalk_m + 0.6
    span = _bridge_outline(road, first, last, reach)
    number = canvas.add_item("bridge", "concrete", level="zone")
    canvas.add_shape(number, span, None)
    canvas.clear_shadow(span)
    parapet = vary(layout.rng, (176, 174, 168))
    for side in (-reach, reach):
        canvas.line(road.offset(side)[first:last], 0.7, parapet)
    layout.water.release(span)


def _paint_lamps(layout: Layout) -> None:
    """Paint street lamps, which are visible mainly by their shadows."""
    rng, canvas = layout.rng, layout.canvas
    for road in layout.roads:
        if rng.random() < 0.5:
            continue
        pitch = rng.uniform(18, 40)
        away = road.style.half_m + 0.7
        along = rng.uniform(0, pitch)
        while along < road.length_m:
            foot = road.frame(along, away)
            canvas.cast_shadow(foot.box(-0.1, 0.1, -0.1, 0.1), 8.0)
            canvas.line((((foot.x, foot.y)), (foot.move(0, -1.8).x, foot.move(0, -1.8).y)), 0.14,
                        (176, 178, 180))  # fmt: skip
            along += pitch


def _draw_road_colour(layout: Layout) -> Colour:
    return pick_colour(layout.rng, _ROAD_COLOURS, 0.05)


def _course_step_m(layout: Layout) -> float:
    return min(4.0, max(1.0, layout.size_m / 70))


def _lay_grid(layout: Layout) -> None:
    rng = layout.rng
    colour = _draw_road_colour(layout)
    sidewalk = (0.0, 1.6, 2.4)[int(rng.integers(3))]
    parking = 2.3 if rng.random() < 0.5 else 0.4
    origin, reach = layout.draw_frame(), 1.15 * layout.size_m + 20
    for turn in (0.0, math.pi / 2):
        pitch = rng.uniform(*layout.theme.block_m)
        n = int(0.72 * layout.size_m / pitch) + 1
        for k in range(-n, n + 1):
            if k and rng.random() < 0.15:
                continue
            main = rng.random() < 0.2
            style = RoadStyle(
                lanes=2 if main else 1,
                lane_m=rng.uniform(3.0, 3.6),
                median_m=rng.uniform(1, 5) if main and rng.random() < 0.4 else 0.0,
                shoulder_m=0.5 if main else parking,
                sidewalk_m=sidewalk,
                colour=vary(rng, colour, 0.015),
                marked=main or rng.random() < 0.6,
            )
            frame = origin.move(0, 0, turn).move(0, k * pitch + rng.normal(0, 0.05 * pitch))
            bend = 0.0 if rng.random() < 0.7 else 0.15
            layout.roads.append(
                Road(draw_course(rng, frame, reach, bend, _course_step_m(layout)), style)
            )


def _lay_highway(layout: Layout) -> None:
    rng = layout.rng
    lanes = int(rng.integers(1, 5))
    style = RoadStyle(
        lanes=lanes,
        lane_m=rng.uniform(3.3, 3.8),
        median_m=rng.uniform(1, 12) if lanes > 1 and rng.random() < 0.7 else 0.0,
        shoulder_m=rng.uniform(0.8, 3.0),
        colour=_draw_road_colour(layout),
    )
    reach = 1.1 * layout.size_m + 30
    bend = (0.0, 0.3, 0.8)[int(rng.integers(3))]
    course = draw_course(rng, layout.draw_frame(0.25), reach, bend, _course_step_m(layout))
    main = Road(course, style)
    layout.roads.append(main)
    if rng.random() < 0.5:
        side = 1.0 if rng.random() < 0.5 else -1.0
        away = style.half_m + rng.uniform(8, 25)
        layout.roads.append(Road(main.offset(side * away), _draw_minor_style(layout), group=1))
    if rng.random() < 0.45:
        spot = main.frame(rng.uniform(0.35, 0.65) * main.length_m)
        turned = spot.move(0, 0, math.pi / 2 + rng.normal(0, 0.2))
        course = draw_course(rng, turned, reach, 0.2, _course_step_m(layout))
        layout.roads.append(Road(course, _draw_minor_style(layout)))


def _draw_minor_style(layout: Layout) -> RoadStyle:
    rng = layout.rng
    if rng.random() < 0.25:
        return RoadStyle(
            lane_m=rng.uniform(1.6, 2.8),
            shoulder_m=0.2,
            surface="dirt",
            colour=pick_colour(rng, ((172, 152, 122), (156, 120, 94), (150, 140, 124)), 0.08),
            marked=False,
        )
    return RoadStyle(
        lane_m=rng.uniform(2.7, 3.5),
        shoulder_m=rng.uniform(0.2, 1.0),
        colour=_draw_road_colour(layout),
        marked=rng.random() < 0.7,
    )


def _lay_country_roads(layout: Layout) -> None:
    rng = layout.rng
    reach = 1.1 * layout.size_m + 30
    style = RoadStyle(
        lane_m=rng.uniform(2.9, 3.7),
        shoulder_m=rng.uniform(0.2, 1.2),
        colour=_draw_road_colour(layout),
        marked=rng.random() < 0.85,
    )
    main = Road(_draw_main_course(layout, reach, style), style)
    layout.roads.append(main)
    for group in range(1, int(rng.integers(1, 3)) + int(layout.size_m > 250)):
        spot = main.frame(rng.uniform(0.25, 0.75) * main.length_m)
        turned = spot.move(0, 0, -math.pi / 2 + rng.normal(0, 0.35))
        course = draw_course(rng, turned, reach, rng.uniform(0.2, 0.8), _course_step_m(layout))
        if layout.axis is not None or rng.random() < 0.5:  # it ends at the main road
            course = course[len(course) // 2 :]
        layout.roads.append(Road(course, _draw_minor_style(layout), group=group))


def _draw_main_course(layout: Layout, reach_m: float, style: RoadStyle) -> Points:
    """Draw a course along the axis of the layout. Without an axis, avoid water."""
    rng, step = layout.rng, _course_step_m(layout)
    if layout.axis is not None:
        spot = layout.axis.move(0, -style.half_m - rng.uniform(4, 30))
        return draw_course(rng, spot, reach_m, rng.uniform(0, 0.12), step)
    bend = rng.uniform(0.2, 1.2)
    courses = [draw_course(rng, layout.draw_frame(0.3), reach_m, bend, step) for _ in range(3)]
    wet = [
        sum(layout.water.is_occupied_at(x, y) for x, y in each[::3].tolist()) for each in courses
    ]
    return courses[wet.index(min(wet))] if max(wet) > 0.25 * len(courses[0]) / 3 else courses[0]


# --- traffic ---


def add_traffic(layout: Layout) -> None:
    """Add vehicles to the lanes and parked vehicles to the kerbs."""
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
                layout.add_vehicle(vehicle, road.frame(at, right + aside, turn + slant), "road")
                at += vehicle.length_m / 2 + 1.5 + rng.exponential(gap)
        if road.style.shoulder_m > 2:
            _park_along_kerb(layout, road)


def _park_along_kerb(layout: Layout, road: Road) -> None:
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
                layout.add_vehicle(vehicle, road.frame(at, side * away, turn), "road")
