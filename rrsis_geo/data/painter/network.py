"""Parcels, water and roads of a painted scene: what the rest is laid out around."""

import math

import numpy as np

from rrsis_geo.data.painter.basics import Colour, Frame, Points, mix, one_of, shade, vary
from rrsis_geo.data.painter.camera import Pixels
from rrsis_geo.data.painter.layout import Layout
from rrsis_geo.data.painter.roads import Road, RoadStyle, find_crossings, paint_roads, wander

_WATERS: tuple[Colour, ...] = (
    (52, 72, 72), (58, 78, 62), (68, 90, 100), (90, 98, 80), (34, 50, 60), (118, 110, 86),
    (40, 60, 52), (60, 100, 112),
)  # fmt: skip

_ROAD_COLOURS: tuple[Colour, ...] = (
    (74, 76, 80), (92, 94, 97), (112, 112, 112), (132, 130, 126), (60, 62, 66), (148, 146, 140),
)  # fmt: skip


def lay_parcels(layout: Layout) -> None:
    """Cut the land into fields or lots of different covers."""
    rng, theme, canvas = layout.rng, layout.theme, layout.canvas
    if not theme.parcels or rng.random() < 0.15:
        return
    long, wide = rng.uniform(*theme.parcel_m, 2).tolist()
    share = rng.uniform(0.3, 1.0)
    origin = layout.spot(0.5)
    reach = 0.72 * layout.size_m
    columns, rows = math.ceil(reach / long), math.ceil(reach / wide)
    for i in range(-columns, columns + 1):
        for j in range(-rows, rows + 1):
            middle = origin.moved(i * long, j * wide)
            if rng.random() > share or not layout.is_seen(
                middle.x, middle.y, 0.7 * max(long, wide)
            ):
                continue
            grow = rng.uniform(0.8, 1.02, 2).tolist()
            field = middle.moved(0, 0, rng.normal(0, 0.02))
            x, y = grow[0] * long / 2, grow[1] * wide / 2
            corners = field.box(-x, x, -y, y)
            kind = theme.parcels[int(rng.integers(len(theme.parcels)))]
            canvas.fill_with(corners, _Cover(layout, kind, field.heading))
            if rng.random() < 0.35:
                edge = one_of(rng, ((104, 98, 76), (156, 146, 124), (72, 86, 54)))
                canvas.line([*corners, corners[0]], rng.uniform(0.2, 1.2), edge, 0.6)


class _Cover:
    """Draws one parcel's cover to measure."""

    def __init__(self, layout: Layout, kind: str, heading: float) -> None:
        self.layout, self.kind, self.heading = layout, kind, heading

    def __call__(self, window: tuple[slice, slice]) -> Pixels:
        rng, turf = self.layout.rng, self.layout.turf
        if self.kind in ("ploughed", "stubble", "meadow", "lush") and rng.random() < 0.7:
            pitch_m = (0.8, 1.5, 3.0, 6.0)[int(rng.integers(4))]
            pitch_px = pitch_m / self.layout.canvas.gsd_m
            return turf.rows(self.kind, window, self.heading, pitch_px)
        return turf.cover(self.kind, window)


# ------------------------------------------------------------------------------------------ water


def lay_water(layout: Layout) -> None:
    """A river, a lake, or neither."""
    rng, theme = layout.rng, layout.theme
    if rng.random() < theme.river:
        paint_water(layout, _river(layout, layout.spot(0.4).moved(0, 0, rng.normal())))
    elif rng.random() < theme.lake:
        paint_water(layout, _lake(layout, layout.spot(0.45)))


def paint_water(layout: Layout, shape: Points, *, quay: bool = False) -> None:
    """Fill a polygon with water and give it a shore.

    Args:
        layout: the scene.
        shape: [n, 2], metres.
        quay: the shore is a wall, not a bank.
    """
    rng, canvas = layout.rng, layout.canvas
    colour = one_of(rng, _WATERS, 0.1)
    if not quay:
        steps = np.roll(shape, -1, axis=0) - np.roll(shape, 1, axis=0)
        sideways = np.stack((steps[:, 1], -steps[:, 0]), axis=1)
        sideways /= np.maximum(np.hypot(sideways[:, 0], sideways[:, 1]), 1e-6)[:, None]
        ahead = np.roll(shape, -1, axis=0)
        turn = float(np.sum(shape[:, 0] * ahead[:, 1] - ahead[:, 0] * shape[:, 1]))
        bank = mix((150, 136, 108), (88, 98, 62), rng.random())
        for reach, share in ((3.5, 0.5), (1.6, 1.0)):
            shore = canvas.begin(None, "soil", level="ground")
            edge = shape + math.copysign(reach, turn) * sideways * rng.uniform(
                0.4, 1.2, (len(shape), 1)
            )
            canvas.shape(shore, edge, mix((96, 104, 70), bank, share))
    number = canvas.begin("water", "water", level="ground")
    canvas.shape(number, shape, colour)
    if not quay:  # shallow water by the shore
        canvas.fill(shape - math.copysign(1.2, turn) * sideways, shade(colour, 0.93))
        canvas.fill(shape - math.copysign(3.5, turn) * sideways, shade(colour, 0.86))
    layout.land.take(shape)
    layout.water.take(shape)


def _lake(layout: Layout, middle: Frame) -> Points:
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


def _river(layout: Layout, through: Frame) -> Points:
    rng = layout.rng
    step = max(2.0, layout.size_m / 60)
    course = wander(rng, through, 1.2 * layout.size_m + 40, 0.8, step)
    wide = rng.uniform(10, 0.16 * layout.size_m + 12)
    half = rng.uniform(4, 10) if rng.random() < 0.4 else wide
    road = Road(course, RoadStyle(marked=False))
    sideways = np.stack((-np.sin(road.headings), np.cos(road.headings)), axis=1)
    banks = []
    for side in (-1.0, 1.0):
        swell = 1 + 0.1 * np.cumsum(rng.normal(0, 0.3, len(course)))
        banks.append(course + side * half * np.clip(swell, 0.6, 1.5)[:, None] * sideways)
    return np.concatenate((banks[0], banks[1][::-1]))


# ------------------------------------------------------------------------------------------ roads


def lay_roads(layout: Layout) -> None:
    """The road network of the theme, bridges where it crosses water."""
    rng = layout.rng
    makers = {"grid": _grid, "highway": _highway, "country": _country}
    if layout.theme.roads in makers:
        makers[layout.theme.roads](layout)
    shown = [road.within(layout.width_m, layout.height_m) for road in layout.roads]
    layout.roads = [road for road in shown if road is not None]
    crossings = find_crossings(layout.roads)
    bridges = [span for road in layout.roads for span in _spans_over_water(layout, road)]
    for road, first, last in bridges:
        _shade_water(layout, road, first, last)
    paint_roads(layout.canvas, layout.roads, crossings, zebras=rng.random() < 0.5)
    for road, first, last in bridges:
        _paint_bridge(layout, road, first, last)
    for road in layout.roads:
        reach = road.style.half_m + road.style.sidewalk_m + 0.5
        layout.land.take(road.strip(-reach, reach))
    if layout.canvas.gsd_m < 0.35:
        _paint_lamps(layout)


def _spans_over_water(layout: Layout, road: Road) -> list[tuple[Road, int, int]]:
    """The runs of a road's points that lie over water, with a point to spare at each end."""
    over = [layout.water.is_taken_at(x, y) for x, y in road.course.tolist()]
    spans, start = [], None
    for k, wet in enumerate([*over, False]):
        if wet and start is None:
            start = k
        elif not wet and start is not None:
            spans.append((road, max(0, start - 2), min(len(over), k + 2)))
            start = None
    return spans


def _span(road: Road, first: int, last: int, reach_m: float) -> Points:
    left, right = road.offset(-reach_m)[first:last], road.offset(reach_m)[first:last]
    return np.concatenate((left, right[::-1]))


def _shade_water(layout: Layout, road: Road, first: int, last: int) -> None:
    light = layout.light
    span = _span(road, first, last, road.style.half_m + 0.8)
    layout.canvas.darken(span + 4.0 * np.array((light.shadow_x, light.shadow_y)))


def _paint_bridge(layout: Layout, road: Road, first: int, last: int) -> None:
    """The deck's mask and its parapets; the road on it is painted already."""
    canvas = layout.canvas
    reach = road.style.half_m + road.style.sidewalk_m + 0.6
    span = _span(road, first, last, reach)
    number = canvas.begin("bridge", "concrete", level="zone")
    canvas.shape(number, span, None)
    canvas.lit(span)
    parapet = vary(layout.rng, (176, 174, 168))
    for side in (-reach, reach):
        canvas.line(road.offset(side)[first:last], 0.7, parapet)
    layout.water.release(span)


def _paint_lamps(layout: Layout) -> None:
    """Street lamps: thin posts, seen by their shadows."""
    rng, canvas = layout.rng, layout.canvas
    for road in layout.roads:
        if rng.random() < 0.5:
            continue
        pitch = rng.uniform(18, 40)
        away = road.style.half_m + 0.7
        along = rng.uniform(0, pitch)
        while along < road.length_m:
            foot = road.frame(along, away)
            canvas.cast(foot.box(-0.1, 0.1, -0.1, 0.1), 8.0)
            canvas.line((((foot.x, foot.y)), (foot.moved(0, -1.8).x, foot.moved(0, -1.8).y)), 0.14,
                        (176, 178, 180))  # fmt: skip
            along += pitch


def _surface(layout: Layout) -> Colour:
    return one_of(layout.rng, _ROAD_COLOURS, 0.05)


def _step_m(layout: Layout) -> float:
    return min(4.0, max(1.0, layout.size_m / 70))


def _grid(layout: Layout) -> None:
    rng = layout.rng
    colour = _surface(layout)
    sidewalk = (0.0, 1.6, 2.4)[int(rng.integers(3))]
    parking = 2.3 if rng.random() < 0.5 else 0.4
    origin, reach = layout.spot(), 1.15 * layout.size_m + 20
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
            frame = origin.moved(0, 0, turn).moved(0, k * pitch + rng.normal(0, 0.05 * pitch))
            bend = 0.0 if rng.random() < 0.7 else 0.15
            layout.roads.append(Road(wander(rng, frame, reach, bend, _step_m(layout)), style))


def _highway(layout: Layout) -> None:
    rng = layout.rng
    lanes = int(rng.integers(1, 5))
    style = RoadStyle(
        lanes=lanes,
        lane_m=rng.uniform(3.3, 3.8),
        median_m=rng.uniform(1, 12) if lanes > 1 and rng.random() < 0.7 else 0.0,
        shoulder_m=rng.uniform(0.8, 3.0),
        colour=_surface(layout),
    )
    reach = 1.1 * layout.size_m + 30
    bend = (0.0, 0.3, 0.8)[int(rng.integers(3))]
    course = wander(rng, layout.spot(0.25), reach, bend, _step_m(layout))
    main = Road(course, style)
    layout.roads.append(main)
    if rng.random() < 0.5:
        side = 1.0 if rng.random() < 0.5 else -1.0
        away = style.half_m + rng.uniform(8, 25)
        layout.roads.append(Road(main.offset(side * away), _minor(layout), network=1))
    if rng.random() < 0.45:
        spot = main.frame(rng.uniform(0.35, 0.65) * main.length_m)
        turned = spot.moved(0, 0, math.pi / 2 + rng.normal(0, 0.2))
        course = wander(rng, turned, reach, 0.2, _step_m(layout))
        layout.roads.append(Road(course, _minor(layout)))


def _minor(layout: Layout) -> RoadStyle:
    rng = layout.rng
    if rng.random() < 0.25:
        return RoadStyle(
            lane_m=rng.uniform(1.6, 2.8),
            shoulder_m=0.2,
            surface="dirt",
            colour=one_of(rng, ((172, 152, 122), (156, 120, 94), (150, 140, 124)), 0.08),
            marked=False,
        )
    return RoadStyle(
        lane_m=rng.uniform(2.7, 3.5),
        shoulder_m=rng.uniform(0.2, 1.0),
        colour=_surface(layout),
        marked=rng.random() < 0.7,
    )


def _country(layout: Layout) -> None:
    rng = layout.rng
    reach = 1.1 * layout.size_m + 30
    style = RoadStyle(
        lane_m=rng.uniform(2.9, 3.7),
        shoulder_m=rng.uniform(0.2, 1.2),
        colour=_surface(layout),
        marked=rng.random() < 0.85,
    )
    main = Road(_driest(layout, reach, style), style)
    layout.roads.append(main)
    for network in range(1, int(rng.integers(1, 3)) + int(layout.size_m > 250)):
        spot = main.frame(rng.uniform(0.25, 0.75) * main.length_m)
        turned = spot.moved(0, 0, -math.pi / 2 + rng.normal(0, 0.35))
        course = wander(rng, turned, reach, rng.uniform(0.2, 0.8), _step_m(layout))
        if layout.axis is not None or rng.random() < 0.5:  # it ends in the main road
            course = course[len(course) // 2 :]
        layout.roads.append(Road(course, _minor(layout), network=network))


def _driest(layout: Layout, reach_m: float, style: RoadStyle) -> Points:
    """A course along the axis, if there is one; else of a few the one least over water."""
    rng, step = layout.rng, _step_m(layout)
    if layout.axis is not None:
        spot = layout.axis.moved(0, -style.half_m - rng.uniform(4, 30))
        return wander(rng, spot, reach_m, rng.uniform(0, 0.12), step)
    bend = rng.uniform(0.2, 1.2)
    courses = [wander(rng, layout.spot(0.3), reach_m, bend, step) for _ in range(3)]
    wet = [sum(layout.water.is_taken_at(x, y) for x, y in each[::3].tolist()) for each in courses]
    return courses[wet.index(min(wet))] if max(wet) > 0.25 * len(courses[0]) / 3 else courses[0]
