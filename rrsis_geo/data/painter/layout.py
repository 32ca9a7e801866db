"""The plan of a painted scene: its theme, what ground is free, and what is still to be drawn."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from rrsis_geo.data.painter.basics import Frame
from rrsis_geo.data.painter.camera import Light
from rrsis_geo.data.painter.canvas import Canvas
from rrsis_geo.data.painter.land import Land, Turf
from rrsis_geo.data.painter.roads import Road
from rrsis_geo.data.painter.vehicles import Vehicle, outline, paint_vehicle


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """What a kind of place is made of; densities are things a hectare.

    Attributes:
        grounds: covers to draw from, keys of `GROUNDS`.
        roads: "grid", "highway", "country" or "none".
        weight: how often it is drawn.
        least_m: it needs a view as large as this to be recognised.
        block_m: least and greatest distance of a grid's roads.
        parcels: covers of the parcels the land is cut into, none for open land.
        parcel_m: least and greatest side of a parcel.
        river: chance of a river.
        lake: chance of a lake.
        coast: chance of a coast with piers and ships.
        apron: chance of an apron with airplanes.
        houses: share of the places along the roads that hold a house.
        halls: flat-roofed buildings.
        lots: parking lots.
        yards: yards with trucks.
        tanks: groups of storage tanks.
        sports: courts and sports grounds.
        pools: swimming pools.
        trees: single trees.
        forest: chance of a wood.
        gap_m: least and greatest mean gap between vehicles in a lane.
    """

    grounds: tuple[str, ...]
    roads: str
    weight: float = 1.0
    least_m: float = 0.0
    block_m: tuple[float, float] = (60, 130)
    parcels: tuple[str, ...] = ()
    parcel_m: tuple[float, float] = (15, 45)
    river: float = 0.0
    lake: float = 0.0
    coast: float = 0.0
    apron: float = 0.0
    houses: float = 0.0
    halls: float = 0.0
    lots: float = 0.0
    yards: float = 0.0
    tanks: float = 0.0
    sports: float = 0.0
    pools: float = 0.0
    trees: float = 8.0
    forest: float = 0.2
    gap_m: tuple[float, float] = (8.0, 80.0)


THEMES: dict[str, Theme] = {
    "highway": Theme(
        grounds=("grass", "dry", "lush", "soil"), roads="highway", weight=1.3,
        parcels=("grass", "meadow", "dry", "soil"), parcel_m=(30, 120), river=0.06, lake=0.05,
        houses=0.1, halls=0.6, lots=0.6, yards=0.7, tanks=0.03, sports=0.03, trees=9, forest=0.4,
        gap_m=(6, 50),
    ),
    "town": Theme(
        grounds=("grass", "lush", "dry", "red soil", "paved"), roads="grid", weight=1.3,
        block_m=(50, 110), parcels=("grass", "lush", "dry", "paved", "soil"), lake=0.03,
        houses=0.85, halls=0.8, lots=1.2, yards=0.25, sports=0.12, pools=1.0, trees=18,
        forest=0.05, gap_m=(10, 70),
    ),
    "industrial": Theme(
        grounds=("paved", "soil", "grass", "dry"), roads="grid", weight=1.0, block_m=(90, 200),
        parcels=("paved", "soil", "grass"), parcel_m=(20, 70), river=0.04, lake=0.03, houses=0.05,
        halls=2.6, lots=1.5, yards=2.2, tanks=0.4, trees=4, forest=0.05, gap_m=(10, 60),
    ),
    "countryside": Theme(
        grounds=("grass", "lush", "dry", "soil", "red soil", "sand"), roads="country", weight=1.0,
        parcels=("meadow", "ploughed", "stubble", "lush", "grass", "soil"), parcel_m=(40, 150),
        river=0.12, lake=0.12, houses=0.2, halls=0.2, lots=0.1, yards=0.5, sports=0.03, pools=0.1,
        trees=14, forest=0.6, gap_m=(12, 90),
    ),
    "riverside": Theme(
        grounds=("grass", "lush", "sand", "paved", "soil"), roads="country", weight=0.7,
        parcels=("grass", "meadow", "dry"), parcel_m=(20, 80), river=0.7, lake=0.6, houses=0.4,
        halls=0.8, lots=0.5, yards=0.4, sports=0.05, trees=12, forest=0.4, gap_m=(8, 70),
    ),
    "harbour": Theme(
        grounds=("paved", "grass", "sand", "soil"), roads="country", weight=0.8, coast=1.0,
        houses=0.2, halls=1.2, lots=1.2, yards=0.8, tanks=0.25, trees=5, forest=0.1,
        gap_m=(10, 80),
    ),
    "airport": Theme(
        grounds=("grass", "dry", "meadow"), roads="country", weight=0.6, least_m=60, apron=1.0,
        halls=0.8, lots=0.6, tanks=0.15, trees=2, forest=0.1, gap_m=(12, 90),
    ),
    "sports": Theme(
        grounds=("grass", "lush", "meadow", "dry"), roads="grid", weight=0.7, least_m=50,
        block_m=(140, 300), parcels=("grass", "lush"), houses=0.15, halls=0.7, lots=0.8,
        sports=1.6, pools=0.2, trees=16, forest=0.3, gap_m=(12, 90),
    ),
}  # fmt: skip


class Layout:
    """One scene in the making.

    Ground is painted at once; what stands on it is kept and drawn at the end, low things first.

    Args:
        rng: everything is drawn from it.
        height: rows, pixels.
        width: columns, pixels.
        gsd_m: metres per pixel.
        theme: what kind of place.
        light: sun, sky and camera.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        height: int,
        width: int,
        gsd_m: float,
        theme: Theme,
        light: Light,
    ) -> None:
        self.rng, self.theme, self.light = rng, theme, light
        kind = theme.grounds[int(rng.integers(len(theme.grounds)))]
        self.turf = Turf(rng, height, width)
        self.canvas = Canvas(rng, self.turf.cover(kind), gsd_m, light)
        self.width_m, self.height_m = self.canvas.width_m, self.canvas.height_m
        self.size_m = max(self.width_m, self.height_m)
        self.hectares = self.width_m * self.height_m / 1e4
        self.land = Land(self.width_m, self.height_m)
        self.water = Land(self.width_m, self.height_m)
        self.traffic = Land(self.width_m, self.height_m)
        self.heading = rng.uniform(0, math.pi)
        self.roads: list[Road] = []
        self.axis: Frame | None = None  # roads keep to the left of it: a shore, an apron's edge
        self._kept: list[tuple[float, int, Callable[[], None]]] = []
        car, van, bus, truck = rng.dirichlet((3.4, 0.8, 0.5, 1.3)).tolist()
        if rng.random() < 0.2:
            truck += 1.0
        self.shares = {"car": car, "van": van, "bus": bus, "truck": truck}

    def keep(self, height_m: float, draw: Callable[[], None]) -> None:
        """Keep something to draw after all that is lower."""
        self._kept.append((height_m, len(self._kept), draw))

    def draw_kept(self) -> Canvas:
        """Draw what was kept, low things first."""
        for _, _, draw in sorted(self._kept, key=lambda kept: kept[:2]):
            draw()
        return self.canvas

    def is_seen(self, x: float, y: float, margin_m: float = 0.0) -> bool:
        """Whether a place lies in the view, or as near to it as the margin."""
        across = -margin_m < x < self.width_m + margin_m
        return across and -margin_m < y < self.height_m + margin_m

    def spot(self, spread: float = 0.3) -> Frame:
        """A place in the middle part of the view, heading with the district."""
        x, y = self.rng.uniform(0.5 - spread, 0.5 + spread, 2).tolist()
        return Frame(x * self.width_m, y * self.height_m, self.heading)

    def count(self, density: float) -> int:
        """How many things of a density the view holds; small views get some, too."""
        return int(self.rng.poisson(density * self.hectares + min(0.35, density * 0.25)))

    def sites(
        self, count: int, draw_size: Callable[[], tuple[float, float]], by_road: float = 0.7
    ) -> Iterator[tuple[Frame, float, float]]:
        """Free rectangles, each taken before it is given: frame, length and width in metres.

        Args:
            count: how many to look for.
            draw_size: gives a length and a width.
            by_road: share of those that lie along a road.
        """
        for _ in range(count):
            length, width = draw_size()
            for _attempt in range(4):
                frame = self._candidate(width, self.rng.random() < by_road)
                place = frame.box(-length / 2, length / 2, -width / 2, width / 2)
                if self.land.claim(place):
                    yield frame, length, width
                    break

    def _candidate(self, depth_m: float, by_road: bool) -> Frame:
        rng = self.rng
        if by_road and self.roads:
            road = self.roads[int(rng.integers(len(self.roads)))]
            side = 1.0 if rng.random() < 0.5 else -1.0
            away = road.style.half_m + road.style.sidewalk_m + rng.uniform(1, 6) + depth_m / 2
            along = rng.uniform(0, road.length_m)
            frame = road.frame(along, side * away, 0.0 if side > 0 else math.pi)
            if self.is_seen(frame.x, frame.y, depth_m / 2):
                return frame
        x = rng.uniform(-0.1, 1.1) * self.width_m
        y = rng.uniform(-0.1, 1.1) * self.height_m
        return Frame(x, y, self.heading + int(rng.integers(4)) * math.pi / 2)

    def keep_vehicle(self, vehicle: Vehicle, frame: Frame, on: str) -> None:
        """Put a vehicle down where there is room for it."""
        if not self.is_seen(frame.x, frame.y, vehicle.length_m):
            return
        if self.traffic.claim(outline(vehicle, frame, 0.1)):
            canvas = self.canvas
            self.keep(vehicle.height_m, lambda: paint_vehicle(canvas, vehicle, frame, on))
