"""Roads of painted scenes: courses, surfaces, markings and lanes."""

import math
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.data.painter.basics import Colour, Frame, Points, mix, shade, vary
from rrsis_geo.data.painter.canvas import Canvas

WHITE_PAINT: Colour = (222, 222, 216)
YELLOW_PAINT: Colour = (214, 172, 62)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoadStyle:
    """Construction of a road.

    Attributes:
        lanes: lanes per direction.
        lane_m: width of a lane.
        median_m: width of the median, 0 for a painted line.
        shoulder_m: width of the paved strip beside the outer lanes.
        sidewalk_m: width of the sidewalk, 0 for none.
        surface: "asphalt", "concrete" or "dirt".
        colour: colour of the surface.
        marked: whether lane markings are painted.
        one_way: whether all lanes run along the course.
    """

    lanes: int = 1
    lane_m: float = 3.3
    median_m: float = 0.0
    shoulder_m: float = 0.4
    sidewalk_m: float = 0.0
    surface: str = "asphalt"
    colour: Colour = (92, 94, 96)
    marked: bool = True
    one_way: bool = False

    @property
    def half_m(self) -> float:
        """Half the width of the road without its sidewalks."""
        lanes = self.lanes * self.lane_m * (0.5 if self.one_way else 1.0)
        return lanes + self.median_m / 2 + self.shoulder_m


class Road:
    """The centre line of a road, with positions along it.

    Args:
        course: [n, 2] points in metres, evenly spaced.
        style: construction of the road.
        group: roads with the same number form one instance.
    """

    def __init__(self, course: Points, style: RoadStyle, group: int = 0) -> None:
        self.course, self.style, self.group = course, style, group
        steps = np.diff(course, axis=0)
        lengths = np.hypot(steps[:, 0], steps[:, 1])
        self.along = np.concatenate(((0.0,), np.cumsum(lengths)))
        self.headings = np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))
        self.headings = np.append(self.headings, self.headings[-1])
        self.free = np.ones(len(course), dtype=np.bool_)
        self._along: list[float] = self.along.tolist()
        self._spots = np.column_stack((course, self.headings)).tolist()

    def within(self, width_m: float, height_m: float, margin_m: float = 20.0) -> "Road | None":
        """The part of the road inside a view of this size. None if it is outside."""
        reach = self.style.half_m + margin_m
        x, y = self.course.T
        is_inside = (x > -reach) & (y > -reach) & (x < width_m + reach) & (y < height_m + reach)
        at = np.flatnonzero(is_inside)
        first, last = (max(0, at[0] - 1), at[-1] + 2) if len(at) else (0, 0)
        if len(self.course[first:last]) < 2:
            return None
        return Road(self.course[first:last], self.style, self.group)

    @property
    def length_m(self) -> float:
        """Length of the road."""
        return float(self.along[-1])

    def at(self, along_m: NDArray[np.float64], right_m: float | NDArray[np.float64]) -> Points:
        """Points [n, 2] at distances along the road and to its right."""
        heading = np.interp(along_m, self.along, self.headings)
        x = np.interp(along_m, self.along, self.course[:, 0]) - np.sin(heading) * right_m
        y = np.interp(along_m, self.along, self.course[:, 1]) + np.cos(heading) * right_m
        return np.stack((x, y), axis=1)

    def frame(self, along_m: float, right_m: float = 0.0, turn: float = 0.0) -> Frame:
        """The frame at a distance along the road and to its right."""
        k = min(max(0, bisect(self._along, along_m) - 1), len(self._along) - 2)
        share = (along_m - self._along[k]) / (self._along[k + 1] - self._along[k])
        (x0, y0, h0), (x1, y1, h1) = self._spots[k], self._spots[k + 1]
        heading = h0 + share * (h1 - h0)
        x = x0 + share * (x1 - x0) - math.sin(heading) * right_m
        y = y0 + share * (y1 - y0) + math.cos(heading) * right_m
        return Frame(x, y, heading + turn)

    def offset(self, right_m: float) -> Points:
        """The course shifted to the right, [n, 2]."""
        sideways = np.stack((-np.sin(self.headings), np.cos(self.headings)), axis=1)
        return self.course + sideways * right_m

    def strip(self, left_m: float, right_m: float) -> Points:
        """The polygon between two offsets to the right of the course."""
        return np.concatenate((self.offset(left_m), self.offset(right_m)[::-1]))

    def is_free(self, along_m: float) -> bool:
        """Whether no other road crosses at this distance along the road."""
        return bool(self.free[min(len(self.free) - 1, bisect(self._along, along_m))])

    def lanes(self) -> Iterator[tuple[float, float]]:
        """For each lane, its offset to the right and the rotation of its traffic, 0 or pi."""
        style = self.style
        if style.one_way:
            for lane in range(style.lanes):
                yield (lane - (style.lanes - 1) / 2) * style.lane_m, 0.0
            return
        for lane in range(style.lanes):
            away = style.median_m / 2 + (lane + 0.5) * style.lane_m
            yield away, 0.0
            yield -away, math.pi


def draw_course(
    rng: np.random.Generator, through: Frame, reach_m: float, bend: float, step_m: float
) -> Points:
    """Draw a smooth course [n, 2] through a point.

    Args:
        rng: source of all randomness.
        through: a point on the course and the heading there.
        reach_m: length of the course in each direction.
        bend: 0 for a straight course, 1 for a winding one.
        step_m: distance between points.
    """
    n = max(2, int(reach_m / step_m))
    s = np.arange(-n, n + 1) * step_m
    curvature = np.zeros_like(s)
    for wave_m in (90.0, 230.0, 600.0):
        curvature += rng.normal() * np.sin(2 * np.pi * (s / wave_m + rng.random())) / wave_m
    curvature = np.clip(1.6 * bend * curvature, -1 / 28, 1 / 28)
    heading = np.cumsum(curvature) * step_m
    heading += through.heading - heading[n]
    x = np.concatenate(((0.0,), np.cumsum(np.cos(heading[:-1]) * step_m)))
    y = np.concatenate(((0.0,), np.cumsum(np.sin(heading[:-1]) * step_m)))
    return np.stack((x - x[n] + through.x, y - y[n] + through.y), axis=1)


@dataclass(frozen=True, slots=True)
class Crossing:
    """Crossing of two roads: its position, and the heading and half width of each road."""

    x: float
    y: float
    headings: tuple[float, float]
    halves_m: tuple[float, float]


def find_crossings(roads: Sequence[Road]) -> list[Crossing]:
    """Find the crossings of roads, and mark them in `Road.free`, where lane markings stop."""
    crossings = []
    for k, road in enumerate(roads):
        for other in roads[k + 1 :]:
            reach = road.style.half_m + other.style.half_m + road.along[1] + other.along[1]
            gaps = np.hypot(
                road.course[:, None, 0] - other.course[None, :, 0],
                road.course[:, None, 1] - other.course[None, :, 1],
            )
            closest = float(gaps.min())
            if closest > reach:
                continue
            road.free &= gaps.min(axis=1) > other.style.half_m + 1.5 + other.along[1] / 2
            other.free &= gaps.min(axis=0) > road.style.half_m + 1.5 + road.along[1] / 2
            if closest < max(road.along[1], other.along[1]):
                i, j = np.unravel_index(int(gaps.argmin()), gaps.shape)
                crossings.append(
                    Crossing(
                        float(road.course[i, 0]),
                        float(road.course[i, 1]),
                        (float(road.headings[i]), float(other.headings[j])),
                        (road.style.half_m, other.style.half_m),
                    )
                )
    return crossings


def paint_roads(
    canvas: Canvas, roads: Sequence[Road], crossings: Sequence[Crossing], *, zebras: bool
) -> None:
    """Paint all roads: sidewalks, then surfaces, then markings.

    Args:
        canvas: the canvas.
        roads: all roads of the scene.
        crossings: result of `find_crossings`.
        zebras: whether to paint zebra crossings.
    """
    rng = canvas.rng
    pavement = vary(rng, (164, 160, 152), 0.06)
    for road in roads:
        style = road.style
        if style.sidewalk_m:
            number = canvas.add_item(None, "concrete", level="ground")
            reach = style.half_m + style.sidewalk_m
            canvas.add_shape(number, road.strip(-reach, reach), pavement)
            kerb = shade(pavement, 1.12)
            canvas.add_shape(number, road.strip(-style.half_m - 0.2, style.half_m + 0.2), kerb)
        elif style.surface != "dirt":
            number = canvas.add_item(None, "soil", level="ground")
            reach = style.half_m + rng.uniform(0.3, 1.6)  # a worn verge
            verge = mix(pavement, (146, 130, 104), 0.7)
            canvas.add_shape(number, road.strip(-reach, reach), verge)
    numbers: dict[int, int] = {}
    for road in roads:
        style = road.style
        if road.group not in numbers:
            material = "soil" if style.surface == "dirt" else style.surface
            attributes = {"surface": style.surface}
            numbers[road.group] = canvas.add_item(
                "road", material, level="ground", attributes=attributes
            )
        canvas.add_shape(numbers[road.group], road.strip(-style.half_m, style.half_m), style.colour)
    for road in roads:
        _paint_wear(canvas, road)
    if numbers:
        for crossing in crossings:
            _paint_corners(canvas, crossing, numbers[roads[0].group], roads[0].style.colour)
    for road in roads:
        if road.style.marked:
            _paint_markings(canvas, road)
            if zebras:
                _paint_zebras(canvas, road)


def _paint_corners(canvas: Canvas, crossing: Crossing, number: int, colour: Colour) -> None:
    """Paint rounded kerbs at a crossing, and cover the markings there."""
    (first, second), (half, other) = crossing.headings, crossing.halves_m
    sin = math.sin(second - first)
    if abs(sin) < 0.5:
        return
    radius = min(9.0, 1.2 * min(half, other) + 1.5)
    ways = ((math.cos(first), math.sin(first)), (math.cos(second), math.sin(second)))
    (ax, ay), (bx, by) = ways
    inner = []
    for s, t in ((1, 1), (1, -1), (-1, -1), (-1, 1)):
        u, v = s * other / abs(sin), t * half / abs(sin)
        x, y = crossing.x + u * ax + v * bx, crossing.y + u * ay + v * by
        inner.append((x, y))
        corner = [(x, y)]
        for turn in (0.0, 0.25, 0.5, 0.75, 1.0):
            e = radius * (1 - math.sin(turn * math.pi / 2))
            f = radius * (1 - math.cos(turn * math.pi / 2))
            corner.append((x + s * e * ax + t * f * bx, y + s * e * ay + t * f * by))
        canvas.add_shape(number, corner, colour)
    canvas.add_shape(number, inner, colour)


def _paint_wear(canvas: Canvas, road: Road) -> None:
    """Paint wheel tracks, patches and cracks."""
    rng, style = canvas.rng, road.style
    gain = float(rng.uniform(0.9, 1.1))
    for right, _ in road.lanes():
        if canvas.gsd_m > 0.6:
            break
        if style.surface == "dirt":
            for side in (-0.8, 0.8):
                track = road.strip(right + side - 0.3, right + side + 0.3)
                canvas.fill(track, shade(style.colour, 1.08))
        else:
            canvas.fill(road.strip(right - 1.0, right + 1.0), shade(style.colour, gain))
            canvas.fill(road.strip(right - 0.35, right + 0.35), style.colour)
    for _ in range(int(rng.poisson(road.length_m / 50))):
        s, right = rng.uniform(0, road.length_m), rng.uniform(-style.half_m, style.half_m)
        frame = road.frame(s, right * 0.7)
        long, wide = rng.uniform(0.8, 7), rng.uniform(0.4, 1.6)
        wide = min(wide, style.half_m * 0.25)
        canvas.fill(
            frame.box(-long, long, -wide, wide), shade(style.colour, rng.uniform(0.84, 1.1))
        )
    if canvas.gsd_m < 0.3 and style.surface != "dirt":
        for _ in range(int(rng.poisson(road.length_m / 20))):
            s = rng.uniform(0, road.length_m)
            aside = np.cumsum(rng.normal(0, 0.5, 6)) + rng.uniform(-0.6, 0.6) * style.half_m
            aside = np.clip(aside, -style.half_m, style.half_m)
            points = road.at(s + np.cumsum(rng.uniform(-0.3, 1.5, 6)), aside)
            canvas.line(points, 0.08, shade(style.colour, 0.72), 0.7)


def _paint_markings(canvas: Canvas, road: Road) -> None:
    rng, style = canvas.rng, road.style
    middle_paint = YELLOW_PAINT if rng.random() < 0.45 else WHITE_PAINT
    fade = float(rng.uniform(0.45, 1.0))
    width = float(rng.uniform(0.12, 0.2))
    pairs = [(1, 1)] if style.one_way else [(1, 1), (1, -1)]
    if style.median_m > 0:
        _paint_median(canvas, road)
    elif not style.one_way:
        if style.lanes > 1 or rng.random() < 0.4:
            for right in (-0.14, 0.14) if style.lanes > 1 else (0.0,):
                _paint_solid_line(canvas, road, right, width, middle_paint, fade)
        else:
            _paint_dashes(canvas, road, 0.0, width, middle_paint, fade)
    for _, side in pairs:
        for lane in range(1, style.lanes):
            right = side * (style.median_m / 2 + lane * style.lane_m)
            if style.one_way:
                right = (lane - style.lanes / 2) * style.lane_m
            _paint_dashes(canvas, road, right, width, WHITE_PAINT, fade)
    if style.shoulder_m > 0.3 and rng.random() < 0.8:
        edge = style.half_m - style.shoulder_m
        for right in (-edge, edge):
            _paint_solid_line(canvas, road, right, width, WHITE_PAINT, fade)


def _paint_median(canvas: Canvas, road: Road) -> None:
    """Paint a median of grass or concrete, sometimes with a guard rail."""
    rng, half = canvas.rng, road.style.median_m / 2
    green = half > 1.2 and rng.random() < 0.7
    number = canvas.add_item(None, "grass" if green else "concrete", level="ground")
    colour = vary(rng, (92, 108, 62) if green else (176, 174, 168))
    for first, last in _find_runs(road.free):
        if last - first < 2:
            continue
        edge = road.offset(-half)[first:last], road.offset(half)[first:last][::-1]
        canvas.add_shape(number, np.concatenate(edge), colour)
        if rng.random() < 0.6:
            canvas.line(road.offset(0.0)[first:last], 0.4, shade(colour, 1.3))
            dark = (
                road.offset(0.0)[first:last]
                + np.array((canvas.light.shadow_x, canvas.light.shadow_y)) * 0.5
            )
            canvas.line(dark, 0.3, shade(colour, 0.6), 0.7)


def _find_runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Start and stop index of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(((False,), flags, (False,))).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _paint_solid_line(
    canvas: Canvas, road: Road, right_m: float, width_m: float, paint: Colour, fade: float
) -> None:
    line = road.offset(right_m)
    for first, last in _find_runs(road.free):
        if last - first >= 2:
            canvas.line(line[first:last], width_m, mix(road.style.colour, paint, fade))


def _paint_dashes(
    canvas: Canvas, road: Road, right_m: float, width_m: float, paint: Colour, fade: float
) -> None:
    rng = canvas.rng
    dash, gap = ((3.0, 9.0), (3.0, 4.5), (6.0, 12.0), (4.0, 8.0))[int(rng.integers(4))]
    starts = np.arange(rng.uniform(0, dash + gap), road.length_m, dash + gap)
    points = road.at(np.stack((starts, starts + dash), axis=1).ravel(), right_m)
    colour = mix(road.style.colour, paint, fade)
    ends = points.reshape(-1, 4).tolist()
    for start, (x0, y0, x1, y1) in zip(starts.tolist(), ends, strict=True):
        if road.is_free(start) and road.is_free(start + dash):
            canvas.line(((x0, y0), (x1, y1)), width_m, colour)


def _paint_zebras(canvas: Canvas, road: Road) -> None:
    """Paint zebra crossings and stop lines where the markings stop."""
    rng, style = canvas.rng, road.style
    half = style.half_m - style.shoulder_m
    striped = rng.random() < 0.7
    paint = mix(style.colour, WHITE_PAINT, 0.85)
    for first, last in _find_runs(road.free):
        for index, inwards in ((first, 1.0), (last - 1, -1.0)):
            if index in (0, len(road.free) - 1):
                continue
            s = float(road.along[index])
            at = road.frame(s, 0.0, 0.0 if inwards > 0 else math.pi)
            if striped:
                for right in np.arange(-half + 0.5, half - 0.2, 1.0).tolist():
                    canvas.line(at.to_scene(((0.4, right), (3.4, right))), 0.5, paint)
            # Traffic drives on the right, which is to the left of this frame.
            canvas.line(at.to_scene(((4.6, 0.0), (4.6, -half))), 0.4, paint)
