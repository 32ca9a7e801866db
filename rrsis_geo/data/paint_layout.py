"""Where things stand in a painted scene: ground, water, roads, lots, buildings, traffic, trees."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from rrsis_geo.data.paint import (
    Canvas,
    Colour,
    Frame,
    Pixels,
    Points,
    disc,
    draw_light,
    mix,
    shade,
    smooth_noise,
    vary,
)
from rrsis_geo.data.paint_roads import Road, RoadStyle, mark_crossings, paint_roads, wander
from rrsis_geo.data.paint_things import (
    Leaves,
    draw_roof_colour,
    paint_hall,
    paint_house,
    paint_pool,
    paint_tank,
    paint_tree,
)
from rrsis_geo.data.paint_vehicles import VEHICLES, Vehicle, draw_vehicle, outline, paint_vehicle

# first and second colour of the cover, colour of bare patches
GROUNDS: dict[str, tuple[Colour, Colour, Colour]] = {
    "grass": ((92, 106, 62), (112, 122, 76), (150, 134, 104)),
    "lush": ((70, 92, 48), (88, 112, 58), (108, 106, 70)),
    "dry": ((150, 138, 100), (128, 124, 84), (172, 154, 124)),
    "soil": ((152, 132, 106), (170, 150, 124), (112, 112, 76)),
    "red soil": ((158, 110, 82), (172, 128, 98), (108, 108, 70)),
    "sand": ((194, 178, 146), (206, 192, 162), (150, 142, 110)),
    "paved": ((150, 148, 142), (164, 162, 156), (118, 118, 116)),
}

_ROAD_COLOURS: tuple[Colour, ...] = (
    (74, 76, 80), (92, 94, 97), (112, 112, 112), (134, 132, 128), (60, 62, 66), (150, 148, 142),
)  # fmt: skip


class Land:
    """Which ground is taken: a small picture with `cell_m` metres a pixel and a rim around it."""

    def __init__(self, width_m: float, height_m: float) -> None:
        self.cell_m = 0.5 if max(width_m, height_m) < 700 else 1.0
        self.rim_m = 40.0
        size = [math.ceil((v + 2 * self.rim_m) / self.cell_m) for v in (width_m, height_m)]
        self.picture = Image.new("L", (size[0], size[1]))
        self._draw = ImageDraw.Draw(self.picture)

    def _flat(self, points: Points) -> Points:
        return (points + self.rim_m) / self.cell_m

    def take(self, points: Points) -> None:
        self._draw.polygon(self._flat(points).ravel().tolist(), fill=255)

    def is_free(self, points: Points) -> bool:
        """Whether a polygon [n, 2] of metres lies in the picture and touches nothing taken."""
        cells = self._flat(points)
        left, top = (math.floor(v) for v in cells.min(axis=0))
        right, bottom = (math.ceil(v) + 1 for v in cells.max(axis=0))
        if left < 0 or top < 0 or right > self.picture.width or bottom > self.picture.height:
            return False
        patch = self.picture.crop((left, top, right, bottom))
        if patch.getbbox() is None:
            return True
        cover = Image.new("L", patch.size)
        ImageDraw.Draw(cover).polygon((cells - (left, top)).ravel().tolist(), fill=255)
        return ImageChops.multiply(patch, cover).getbbox() is None

    def claim(self, points: Points) -> bool:
        """Take the ground if it is free; say whether it was."""
        free = self.is_free(points)
        if free:
            self.take(points)
        return free

    def is_taken_at(self, x: float, y: float) -> bool:
        at = int((x + self.rim_m) / self.cell_m), int((y + self.rim_m) / self.cell_m)
        inside = 0 <= at[0] < self.picture.width and 0 <= at[1] < self.picture.height
        return bool(inside and self.picture.getpixel(at))


def draw_ground(rng: np.random.Generator, height: int, width: int, kind: str) -> Pixels:
    """Ground cover with bare patches, float32 [height, width, 3] in 0 to 255."""
    first, second, bare = (
        np.array(vary(rng, colour, 0.08), dtype=np.float32) for colour in GROUNDS[kind]
    )
    broad = smooth_noise(rng, height, width, 70)
    middle = smooth_noise(rng, height, width, 17)
    small = smooth_noise(rng, height, width, 6)
    fine = smooth_noise(rng, height, width, 2.3)
    share = 1 / (1 + np.exp(-1.5 * (broad + 0.7 * middle)))
    cover = first + share[..., None] * (second - first)
    limit = np.float32(rng.uniform(0.5, 2.2))
    patchy = 1 / (1 + np.exp(-3.0 * (0.7 * broad[::-1] + 0.8 * middle[::-1] + 0.5 * small - limit)))
    cover += patchy[..., None] * (bare - cover)
    gain = 1 + np.float32(rng.uniform(0.03, 0.07)) * fine + 0.04 * small + 0.04 * middle
    out: Pixels = cover * gain[..., None]
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """What a kind of place is made of; densities are things a hectare.

    Attributes:
        grounds: covers to draw from, keys of `GROUNDS`.
        roads: "grid", "highway", "country".
        block_m: least and greatest distance of a grid's roads.
        water: chances of a river, a lake.
        houses: share of the places along the roads that hold a house.
        halls: flat-roofed buildings.
        lots: parking lots.
        yards: yards with trucks.
        tanks: groups of storage tanks.
        trees: single trees.
        forest: chance of a wood.
        gap_m: least and greatest mean gap between vehicles in a lane.
    """

    grounds: tuple[str, ...]
    roads: str
    block_m: tuple[float, float] = (60, 130)
    water: tuple[float, float] = (0.0, 0.0)
    houses: float = 0.0
    halls: float = 0.0
    lots: float = 0.0
    yards: float = 0.0
    tanks: float = 0.0
    pools: float = 0.0
    trees: float = 8.0
    forest: float = 0.2
    gap_m: tuple[float, float] = (8.0, 80.0)


THEMES: dict[str, Theme] = {
    "highway": Theme(
        grounds=("grass", "dry", "lush", "soil"), roads="highway", water=(0.05, 0.05),
        houses=0.1, halls=0.6, lots=0.6, yards=0.6, trees=9, forest=0.4, gap_m=(6, 50),
    ),
    "town": Theme(
        grounds=("grass", "lush", "dry", "red soil", "paved"), roads="grid", block_m=(50, 110),
        water=(0.02, 0.03), houses=0.85, halls=0.8, lots=1.2, yards=0.2, pools=1.2, trees=16,
        forest=0.05, gap_m=(10, 70),
    ),
    "industrial": Theme(
        grounds=("paved", "soil", "grass", "dry"), roads="grid", block_m=(90, 200),
        water=(0.03, 0.05), houses=0.05, halls=2.6, lots=1.5, yards=2.2, tanks=0.35, trees=4,
        forest=0.05, gap_m=(10, 60),
    ),
    "countryside": Theme(
        grounds=("grass", "lush", "dry", "soil", "red soil", "sand"), roads="country",
        water=(0.15, 0.2), houses=0.2, halls=0.2, lots=0.1, yards=0.5, pools=0.1, trees=14,
        forest=0.6, gap_m=(12, 90),
    ),
    "river": Theme(
        grounds=("grass", "lush", "sand", "paved", "soil"), roads="country", water=(0.75, 0.9),
        houses=0.4, halls=0.8, lots=0.5, yards=0.4, trees=12, forest=0.4, gap_m=(8, 70),
    ),
}  # fmt: skip


class Layout:
    """One scene in the making: each method lays out one sort of thing, in the order below.

    Args:
        rng: everything is drawn from it.
        height: rows, pixels.
        width: columns, pixels.
        gsd_m: metres per pixel.
        theme: what kind of place.
    """

    def __init__(
        self, rng: np.random.Generator, height: int, width: int, gsd_m: float, theme: Theme
    ) -> None:
        self.rng, self.theme = rng, theme
        self.light = draw_light(rng)
        kind = theme.grounds[int(rng.integers(len(theme.grounds)))]
        ground = draw_ground(rng, height, width, kind)
        self.canvas = Canvas(rng, height, width, gsd_m, self.light, ground)
        self.width_m, self.height_m = self.canvas.width_m, self.canvas.height_m
        self.size_m = max(self.width_m, self.height_m)
        self.hectares = self.width_m * self.height_m / 1e4
        self.land = Land(self.width_m, self.height_m)
        self.traffic = Land(self.width_m, self.height_m)
        self.heading = float(rng.uniform(0, np.pi))
        self.roads: list[Road] = []
        self.things: list[tuple[float, int, Callable[[], None]]] = []
        shares = rng.dirichlet((3.4, 0.8, 0.5, 1.3))
        self.mix = shares if rng.random() > 0.2 else 0.4 * shares + (0.0, 0.05, 0.05, 0.5)
        self.mix = self.mix / self.mix.sum()

    def add(self, height_m: float, draw: Callable[[], None]) -> None:
        """Keep something to draw after all that is lower."""
        self.things.append((height_m, len(self.things), draw))

    def finish(self) -> Canvas:
        """Draw what was kept, low things first."""
        for _, _, draw in sorted(self.things, key=lambda thing: thing[:2]):
            draw()
        return self.canvas

    def is_seen(self, x: float, y: float, margin_m: float = 0.0) -> bool:
        """Whether a place lies in the view, or as near to it as the margin."""
        across = -margin_m < x < self.width_m + margin_m
        return across and -margin_m < y < self.height_m + margin_m

    # ---------------------------------------------------------------------------------- water

    def lay_water(self) -> None:
        """A river or a lake, or none."""
        rng = self.rng
        if rng.random() >= self.theme.water[1 if rng.random() < 0.4 else 0]:
            return
        colours: tuple[Colour, ...] = (
            (52, 74, 72), (60, 82, 60), (70, 92, 104), (92, 100, 80), (34, 52, 62), (120, 112, 84),
        )  # fmt: skip
        colour = vary(rng, colours[int(rng.integers(len(colours)))], 0.1)
        x, y = rng.uniform(0.1, 0.9) * self.width_m, rng.uniform(0.1, 0.9) * self.height_m
        if rng.random() < 0.5:
            shape = self._river(Frame(x, y, self.heading + rng.normal()))
        else:
            radius = rng.uniform(0.15, 0.5) * self.size_m
            turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)
            wave = 1 + sum(
                rng.normal(0, 0.25 / k) * np.cos(k * turn + rng.uniform(0, 6)) for k in range(1, 7)
            )
            wave = np.maximum(wave, 0.3) * radius
            shape = np.stack((x + wave * np.cos(turn), y + wave * np.sin(turn)), axis=1)
        shore = self.canvas.begin(None, "soil", level="ground")
        middle = shape.mean(axis=0)
        bank = mix((150, 136, 108), (92, 102, 64), rng.random())
        self.canvas.shape(shore, shape + 2.0 * _unit(shape - middle), bank)
        number = self.canvas.begin("water", "water", level="ground")
        self.canvas.shape(number, shape, colour)
        self.land.take(shape)

    def _river(self, through: Frame) -> Points:
        rng = self.rng
        course = wander(rng, through, 1.2 * self.size_m + 60, 0.8, max(2.0, self.size_m / 60))
        half = (
            rng.uniform(4, 10) if rng.random() < 0.4 else rng.uniform(10, 0.16 * self.size_m + 12)
        )
        road = Road(course, RoadStyle(marked=False))
        swell = [half * (1 + 0.12 * np.cumsum(rng.normal(0, 0.3, len(course)))) for _ in range(2)]
        banks = [np.clip(s, 0.6 * half, 1.5 * half) for s in swell]
        sideways = np.stack((-np.sin(road.headings), np.cos(road.headings)), axis=1)
        left, right = (
            course + side * sideways * b[:, None] for side, b in zip((-1, 1), banks, strict=True)
        )
        return np.concatenate((left, right[::-1]))

    # ---------------------------------------------------------------------------------- roads

    def lay_roads(self) -> None:
        """The road network of the theme."""
        rng = self.rng
        {"grid": self._grid, "highway": self._highway, "country": self._country}[self.theme.roads]()
        mark_crossings(self.roads)
        numbers = paint_roads(self.canvas, self.roads, crossings=rng.random() < 0.5)
        del numbers
        for road in self.roads:
            reach = road.style.half_m + road.style.sidewalk_m + 0.5
            self.land.take(road.strip(-reach, reach))

    def _spot(self, inner: float = 0.3) -> Frame:
        """A place in the middle part of the view, heading with the district."""
        x, y = self.rng.uniform(0.5 - inner, 0.5 + inner, 2)
        return Frame(x * self.width_m, y * self.height_m, self.heading)

    def _surface(self) -> Colour:
        return vary(self.rng, _ROAD_COLOURS[int(self.rng.integers(len(_ROAD_COLOURS)))], 0.05)

    @property
    def _step_m(self) -> float:
        return min(4.0, max(1.0, self.size_m / 70))

    def _grid(self) -> None:
        rng = self.rng
        colour, sidewalk = self._surface(), float(rng.choice((0.0, 1.6, 2.4)))
        parking = 2.3 if rng.random() < 0.5 else 0.4
        origin, reach = self._spot(), 0.75 * self.size_m + 30
        for turn in (0.0, np.pi / 2):
            pitch = rng.uniform(*self.theme.block_m)
            n = int(self.size_m * 0.75 / pitch) + 1
            for k in range(-n, n + 1):
                if k and rng.random() < 0.15:
                    continue
                main = rng.random() < 0.2
                style = RoadStyle(
                    lanes=2 if main else 1,
                    lane_m=float(rng.uniform(3.0, 3.6)),
                    median_m=float(rng.uniform(1, 5)) if main and rng.random() < 0.4 else 0.0,
                    shoulder_m=0.5 if main else parking,
                    sidewalk_m=sidewalk,
                    colour=vary(rng, colour, 0.02),
                    marked=main or rng.random() < 0.6,
                )
                frame = origin.moved(0, 0, turn).moved(0, k * pitch + rng.normal(0, 0.05 * pitch))
                bend = 0.0 if rng.random() < 0.7 else 0.15
                self.roads.append(Road(wander(rng, frame, reach, bend, self._step_m), style))

    def _highway(self) -> None:
        rng = self.rng
        lanes = int(rng.integers(1, 5))
        median = float(rng.uniform(1, 12)) if lanes > 1 and rng.random() < 0.7 else 0.0
        style = RoadStyle(
            lanes=lanes,
            lane_m=float(rng.uniform(3.3, 3.8)),
            median_m=median,
            shoulder_m=float(rng.uniform(0.8, 3.0)),
            colour=self._surface(),
        )
        reach = 0.8 * self.size_m + 40
        course = wander(rng, self._spot(0.25), reach, rng.choice((0.0, 0.3, 0.8)), self._step_m)
        self.roads.append(Road(course, style))
        if rng.random() < 0.55:
            side = float(rng.choice((-1.0, 1.0)))
            away = style.half_m + rng.uniform(8, 25)
            frontage = Road(self.roads[0].offset(side * away), self._minor(), network=1)
            self.roads.append(frontage)
        if rng.random() < 0.45:
            spot = self.roads[0].frame(rng.uniform(0.3, 0.7) * self.roads[0].length_m)
            turned = spot.moved(0, 0, np.pi / 2 + rng.normal(0, 0.25))
            course = wander(rng, turned, reach, 0.2, self._step_m)
            self.roads.append(Road(course, self._minor()))

    def _minor(self) -> RoadStyle:
        rng = self.rng
        if rng.random() < 0.25:
            dirt = vary(rng, ((176, 154, 122), (158, 118, 90), (150, 140, 124))[
                int(rng.integers(3))], 0.08)  # fmt: skip
            return RoadStyle(
                lane_m=float(rng.uniform(1.6, 2.8)), shoulder_m=0.2, surface="dirt", colour=dirt,
                marked=False,
            )  # fmt: skip
        return RoadStyle(
            lane_m=float(rng.uniform(2.7, 3.5)),
            shoulder_m=float(rng.uniform(0.2, 1.0)),
            colour=self._surface(),
            marked=rng.random() < 0.7,
        )

    def _country(self) -> None:
        rng = self.rng
        reach = 0.8 * self.size_m + 40
        main = wander(rng, self._spot(0.3), reach, rng.uniform(0.2, 1.2), self._step_m)
        style = RoadStyle(
            lane_m=float(rng.uniform(2.9, 3.7)),
            shoulder_m=float(rng.uniform(0.2, 1.2)),
            colour=self._surface(),
            marked=rng.random() < 0.85,
        )
        self.roads.append(Road(main, style))
        for network in range(1, int(rng.integers(1, 3)) + int(self.size_m > 250)):
            spot = self.roads[0].frame(rng.uniform(0.25, 0.75) * self.roads[0].length_m)
            turned = spot.moved(0, 0, np.pi / 2 + rng.normal(0, 0.4))
            course = wander(rng, turned, reach, rng.uniform(0.2, 1.0), self._step_m)
            self.roads.append(Road(course, self._minor(), network=network))

    # ------------------------------------------------------------------------------ land use

    def _count(self, density: float) -> int:
        return int(self.rng.poisson(density * self.hectares + min(0.35, density * 0.25)))

    def _sites(
        self, count: int, draw_size: Callable[[], tuple[float, float]], by_road: float = 0.7
    ) -> Iterator[tuple[Frame, float, float]]:
        """Up to `count` free rectangles, each already taken: frame, length, width in metres."""
        rng = self.rng
        for _ in range(count):
            length, width = draw_size()
            for _attempt in range(4):
                frame = self._candidate(width, rng.random() < by_road)
                place = frame.box(-length / 2, length / 2, -width / 2, width / 2)
                if self.land.claim(place):
                    yield frame, length, width
                    break

    def _candidate(self, depth_m: float, by_road: bool) -> Frame:
        rng = self.rng
        if by_road and self.roads:
            road = self.roads[int(rng.integers(len(self.roads)))]
            s = rng.uniform(0, road.length_m)
            side = float(rng.choice((-1.0, 1.0)))
            away = road.style.half_m + road.style.sidewalk_m + rng.uniform(1, 6) + depth_m / 2
            frame = road.frame(s, side * away, 0.0 if side > 0 else math.pi)
            if self.is_seen(frame.x, frame.y, depth_m / 2):
                return frame
        x = rng.uniform(-0.1, 1.1) * self.width_m
        y = rng.uniform(-0.1, 1.1) * self.height_m
        return Frame(x, y, self.heading + float(rng.choice((0.0, 0.5, 1.0, 1.5))) * np.pi)

    def lay_lots(self) -> None:
        """Parking lots, yards and storage tanks."""
        rng = self.rng
        limit = max(24.0, 0.7 * self.size_m)
        lots = self._sites(
            self._count(self.theme.lots),
            lambda: (min(rng.uniform(22, 80), limit), min(rng.choice((18.0, 34.0, 50.0)), limit)),
        )
        for frame, length, width in lots:
            self._parking_lot(frame, length, width)
        yards = self._sites(
            self._count(self.theme.yards),
            lambda: (min(rng.uniform(20, 60), limit), min(rng.uniform(18, 45), limit)),
        )
        for frame, length, width in yards:
            self._yard(frame, length, width)
        groups = self._sites(
            self._count(self.theme.tanks), lambda: (rng.uniform(25, 90), rng.uniform(20, 60)), 0.2
        )
        for frame, length, width in groups:
            self._tank_farm(frame, length, width)

    def _parking_lot(self, frame: Frame, length_m: float, width_m: float) -> None:
        rng, canvas = self.rng, self.canvas
        concrete = rng.random() < 0.25
        colour = vary(rng, (158, 156, 150) if concrete else self._surface(), 0.04)
        number = canvas.begin("parking lot", "concrete" if concrete else "asphalt", level="ground")
        x, y = length_m / 2, width_m / 2
        canvas.shape(number, frame.box(-x, x, -y, y), colour)
        for _ in range(int(rng.integers(0, 6))):
            spot = frame.moved(rng.uniform(-x, x) * 0.9, rng.uniform(-y, y) * 0.9)
            size = rng.uniform(0.5, 2.5)
            canvas.fill(
                spot.box(-size, size, -size * 0.6, size * 0.6),
                shade(colour, rng.uniform(0.85, 1.1)),
            )
        category = "car"
        if rng.random() < 0.3:
            category = str(rng.choice(("bus", "truck", "van")))
        depth, pitch, aisle = {
            "car": (5.0, 2.6, 6.0), "van": (5.8, 2.8, 6.0), "bus": (13.5, 3.7, 9.0),
            "truck": (18.0, 3.9, 10.0),
        }[category]  # fmt: skip
        paint = mix(colour, (224, 224, 220), rng.uniform(0.3, 0.9))
        full = float(rng.uniform(0.15, 0.95))
        row_y, facing = -y + 0.6, math.pi / 2
        while row_y + depth < y:
            for k, at in enumerate(np.arange(-x + 1.5, x - 1.5, pitch)):
                if category in ("car", "van") or rng.random() < 0.6:
                    line = frame.place(((at, row_y), (at, row_y + depth)))
                    canvas.line(line, 0.12, paint, 0.9)
                if k and rng.random() < full:
                    self._park(frame, at - pitch / 2, row_y + depth / 2, facing, category, depth)
            row_y += depth + (aisle if facing > 0 else 0.2)
            facing = -facing

    def _park(
        self, frame: Frame, x: float, y: float, facing: float, category: str, depth_m: float
    ) -> None:
        rng = self.rng
        if category == "car" and rng.random() < 0.1:
            category = "van"
        backwards = math.pi if rng.random() < 0.35 else 0.0
        turn = facing + backwards + rng.normal(0, 0.03)
        place = frame.moved(x + rng.normal(0, 0.12), y + rng.normal(0, 0.2), turn)
        if not self.is_seen(place.x, place.y, 10):
            return
        vehicle = draw_vehicle(rng, category)
        if vehicle.length_m < depth_m + 0.8:
            self._add_vehicle(vehicle, place, "parking lot")

    def _add_vehicle(self, vehicle: Vehicle, frame: Frame, on: str) -> None:
        if self.traffic.claim(outline(vehicle, frame, 0.1)):
            draw = partial(paint_vehicle, self.canvas, vehicle, frame, on)
            self.add(vehicle.height_m, draw)

    def _yard(self, frame: Frame, length_m: float, width_m: float) -> None:
        rng, canvas = self.rng, self.canvas
        grounds: tuple[tuple[Colour, str], ...] = (
            ((172, 150, 120), "soil"), ((158, 118, 90), "soil"), ((150, 146, 138), "concrete"),
            ((128, 126, 122), "concrete"), ((112, 110, 106), "asphalt"),
        )  # fmt: skip
        colour, material = grounds[int(rng.integers(len(grounds)))]
        colour = vary(rng, colour, 0.07)
        number = canvas.begin(None, material, level="ground")
        x, y = length_m / 2, width_m / 2
        turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        if material == "soil":  # worn ground has no straight edges
            power = 0.35
            ring = np.stack(
                (
                    x * np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** power,
                    y * np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** power,
                ),
                axis=1,
            )
            edge = frame.place(ring * rng.uniform(0.85, 1.06, (24, 1)))
        else:
            edge = frame.box(-x, x, -y, y)
        canvas.shape(number, edge, colour)
        for _ in range(int(rng.integers(3, 9))):
            spot = frame.moved(rng.uniform(-x, x) * 0.8, rng.uniform(-y, y) * 0.8)
            canvas.fill(
                disc(spot.x, spot.y, rng.uniform(0.5, 3), 9), shade(colour, rng.uniform(0.88, 1.08))
            )
        self._park_trucks(frame, x, y)
        for _ in range(int(rng.integers(0, 8))):
            place = frame.moved(rng.uniform(-x, x) * 0.85, rng.uniform(-y, y) * 0.85, rng.normal())
            half = rng.uniform(0.3, 1.6, 2)
            box = place.box(-half[0], half[0], -half[1], half[1])
            if self.traffic.claim(box):
                self.add(1.0, partial(self._crate, box, vary(rng, (140, 130, 118), 0.3)))

    def _crate(self, box: Points, colour: Colour) -> None:
        number = self.canvas.begin(None, "paint", hides_ground=True)
        self.canvas.cast(box, 1.2)
        self.canvas.shape(number, box, colour)

    def _park_trucks(self, frame: Frame, x: float, y: float) -> None:
        rng = self.rng
        category = "truck" if rng.random() < 0.75 else str(rng.choice(VEHICLES))
        if rng.random() < 0.55:  # side by side
            slant = float(rng.choice((0.0, 0.0, 0.4, -0.5))) + np.pi / 2
            at = -x + rng.uniform(2, 6)
            while at < x - 3:
                vehicle = draw_vehicle(rng, category)
                turn = slant + rng.normal(0, 0.03) + (math.pi if rng.random() < 0.2 else 0)
                if rng.random() < 0.8 and vehicle.length_m < 2 * y + 2:
                    self._add_vehicle(vehicle, frame.moved(at, rng.normal(0, 0.8), turn), "yard")
                at += vehicle.width_m / abs(math.sin(slant)) + rng.uniform(0.7, 1.6)
        for _ in range(int(rng.integers(1, 3 + int(x * y / 120)))):
            vehicle = draw_vehicle(rng, str(rng.choice(VEHICLES, p=(0.25, 0.15, 0.05, 0.55))))
            place = frame.moved(
                rng.uniform(-x, x) * 0.8, rng.uniform(-y, y) * 0.75, rng.uniform(0, 2 * np.pi)
            )
            if self.is_seen(place.x, place.y, 10):
                self._add_vehicle(vehicle, place, "yard")

    def _tank_farm(self, frame: Frame, length_m: float, width_m: float) -> None:
        rng, canvas = self.rng, self.canvas
        x, y = length_m / 2, width_m / 2
        pad = canvas.begin(None, "soil", level="ground")
        canvas.shape(pad, frame.box(-x, x, -y, y), vary(rng, (158, 150, 136), 0.08))
        radius = float(rng.uniform(2.5, min(18, y * 0.8)))
        pitch = radius * float(rng.uniform(2.3, 3.0))
        for at in np.arange(-x + radius + 1, x - radius, pitch):
            for row in np.arange(-y + radius + 1, y - radius, pitch):
                spot = frame.moved(at, row)
                if rng.random() < 0.85 and self.is_seen(spot.x, spot.y, radius):
                    size = radius * float(rng.choice((1.0, 1.0, 0.8)))
                    self.add(radius, partial(paint_tank, canvas, spot.x, spot.y, size))

    # ------------------------------------------------------------------------------ buildings

    def build(self) -> None:
        """Houses along the roads, halls, pools."""
        rng = self.rng
        limit = max(14.0, 0.6 * self.size_m)
        halls = self._sites(
            self._count(self.theme.halls),
            lambda: (min(rng.uniform(16, 70), limit), min(rng.uniform(12, 38), limit)),
        )
        for frame, length, width in halls:
            colour = draw_roof_colour(rng, hall=True)
            self.add(9.0, partial(paint_hall, self.canvas, frame, length - 3, width - 3, colour))
        if self.theme.houses > 0:
            common = draw_roof_colour(rng, hall=False)
            same = 0.75 if rng.random() < 0.4 else 0.1
            for road in self.roads:
                for side in (-1.0, 1.0):
                    self._house_row(road, side, common, same)
        pools = self._sites(self._count(self.theme.pools), lambda: (11.0, 8.5), 0.1)
        for frame, length, width in pools:
            size = rng.uniform(5, length - 3.5), rng.uniform(3, width - 3.5)
            self.add(0.0, partial(paint_pool, self.canvas, frame, *size))

    def _house_row(self, road: Road, side: float, common: tuple[str, Colour], same: float) -> None:
        rng = self.rng
        setback = road.style.half_m + road.style.sidewalk_m + rng.uniform(3, 9)
        at = rng.uniform(0, 15)
        while at < road.length_m:
            long, deep = rng.uniform(8, 16), rng.uniform(7, 11)
            if rng.random() < 0.15:
                long = rng.uniform(16, 34)
            frame = road.frame(at, side * (setback + deep / 2), 0.0 if side > 0 else math.pi)
            at += long + rng.uniform(2.5, 12)
            if rng.random() > self.theme.houses or not self.is_seen(frame.x, frame.y, 16):
                continue
            frame = frame.moved(0, rng.uniform(0, 2), rng.normal(0, 0.03))
            margin = 1.2
            place = frame.box(
                -long / 2 - margin, long / 2 + margin, -deep / 2 - margin, deep / 2 + margin
            )
            if not self.land.claim(place):
                continue
            colour = common if rng.random() < same else draw_roof_colour(rng, hall=False)
            colour = colour[0], vary(rng, colour[1], 0.05)
            paint = paint_hall if rng.random() < 0.18 else paint_house
            self.add(6.0, partial(paint, self.canvas, frame, long, deep, colour))
            if rng.random() < 0.5:
                self._driveway(frame, long, setback, deep)

    def _driveway(self, house: Frame, long_m: float, setback_m: float, deep_m: float) -> None:
        rng = self.rng
        right = rng.uniform(-0.3, 0.5) * long_m
        length = min(setback_m, 9.0) * 0.8
        drive = house.moved(right, -deep_m / 2 - length / 2, -np.pi / 2)
        paving = drive.box(-length / 2, length / 2, -1.6, 1.6)
        number = self.canvas.begin(None, "concrete", level="ground")
        ground_taken = not self.land.is_free(drive.box(-length / 2 + 1.5, length / 2 - 1.5, -1, 1))
        if ground_taken:
            return
        self.canvas.shape(number, paving, vary(rng, (168, 162, 152), 0.08))
        if rng.random() < 0.6:
            category = str(rng.choice(("car", "car", "car", "van", "truck")))
            vehicle = draw_vehicle(rng, category)
            if vehicle.length_m < 7.5:
                turn = math.pi if rng.random() < 0.5 else 0.0
                self._add_vehicle(vehicle, drive.moved(0, rng.normal(0, 0.3), turn), "driveway")

    # -------------------------------------------------------------------------------- traffic

    def drive(self) -> None:
        """Vehicles in the lanes, some standing at the kerb."""
        rng = self.rng
        low, high = self.theme.gap_m
        for road in self.roads:
            gap = math.exp(rng.uniform(math.log(low), math.log(high)))
            if road.style.surface == "dirt":
                gap *= 2.5
            for right, turn in road.lanes():
                at = rng.uniform(0, gap)
                while at < road.length_m:
                    vehicle = draw_vehicle(rng, str(rng.choice(VEHICLES, p=self.mix)))
                    at += vehicle.length_m / 2
                    frame = road.frame(at, right + rng.normal(0, 0.15), turn + rng.normal(0, 0.012))
                    if self.is_seen(frame.x, frame.y, 10):
                        self._add_vehicle(vehicle, frame, "road")
                    at += vehicle.length_m / 2 + 1.5 + rng.exponential(gap)
            if road.style.shoulder_m > 2:
                self._kerb(road)

    def _kerb(self, road: Road) -> None:
        rng = self.rng
        full = rng.uniform(0, 0.8)
        away = road.style.half_m - 1.15
        for side in (-1.0, 1.0):
            for at in np.arange(rng.uniform(0, 6), road.length_m, 6.0):
                if rng.random() > full or not road.is_free(at):
                    continue
                category = (
                    "truck"
                    if rng.random() < 0.05
                    else str(rng.choice(("car", "van"), p=(0.85, 0.15)))
                )
                turn = rng.normal(0, 0.02) + (math.pi if side < 0 else 0.0)
                frame = road.frame(at, side * away, turn)
                vehicle = draw_vehicle(rng, category)
                if vehicle.length_m < 9 and self.is_seen(frame.x, frame.y, 10):
                    self._add_vehicle(vehicle, frame, "road")

    # ---------------------------------------------------------------------------------- trees

    def plant(self) -> None:
        """Woods, single trees, rows along the roads."""
        rng, theme = self.rng, self.theme
        dry = float(rng.choice((0.0, 0.2, 0.7)))
        leaves = Leaves(rng, self.light, dry)
        spots: list[tuple[float, float, float]] = []
        for _ in range(self._count(theme.trees)):
            x, y = rng.uniform(-4, self.width_m + 4), rng.uniform(-4, self.height_m + 4)
            spots.append((x, y, rng.lognormal(1.0, 0.4)))
        if rng.random() < theme.forest:
            for _ in range(int(rng.integers(1, 3))):
                spots.extend(self._wood())
        if rng.random() < 0.5 and self.roads:
            spots.extend(self._avenue())
        for x, y, radius in spots[:_MOST_TREES]:
            radius = min(7.5, max(0.9, radius))
            if not self.land.is_taken_at(x, y):
                self.add(4.0 + 2 * radius, partial(paint_tree, self.canvas, leaves, x, y, radius))

    def _wood(self) -> Iterator[tuple[float, float, float]]:
        """A clump whose crowns touch."""
        rng = self.rng
        middle = self._spot(0.55)
        reach = rng.uniform(0.12, 0.4) * self.size_m
        mean = rng.uniform(1.6, 4.5)
        count = int(min(160, 0.75 * (reach / mean) ** 2))
        for _ in range(count):
            away, turn = reach * math.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
            x = middle.x + away * math.cos(turn)
            y = middle.y + 0.6 * away * math.sin(turn)
            if self.is_seen(x, y, 4):
                yield x, y, mean * rng.uniform(0.7, 1.35)

    def _avenue(self) -> Iterator[tuple[float, float, float]]:
        rng = self.rng
        road = self.roads[int(rng.integers(len(self.roads)))]
        away = road.style.half_m + road.style.sidewalk_m + rng.uniform(1.8, 4)
        pitch, mean = rng.uniform(6, 16), rng.uniform(1.5, 3.5)
        for side in (-1.0, 1.0):
            for at in np.arange(0, road.length_m, pitch):
                frame = road.frame(at + rng.normal(0, 0.8), side * (away + rng.normal(0, 0.3)))
                if rng.random() < 0.8 and self.is_seen(frame.x, frame.y, 4):
                    yield frame.x, frame.y, mean * rng.uniform(0.75, 1.25)


_MOST_TREES = 260


def _unit(vectors: Points) -> Points:
    return vectors / np.maximum(np.hypot(vectors[:, 0], vectors[:, 1]), 1e-6)[:, None]
