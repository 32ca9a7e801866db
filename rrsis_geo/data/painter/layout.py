"""Layout of a painted scene: its theme, its ground, its free areas, and its drawing order."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from rrsis_geo.data.painter.basics import Colour, Corners, Frame, Points, smooth_noise, vary
from rrsis_geo.data.painter.camera import Light, Pixels
from rrsis_geo.data.painter.canvas import Canvas
from rrsis_geo.data.painter.roads import Road
from rrsis_geo.data.painter.vehicle_painters import paint_vehicle
from rrsis_geo.data.painter.vehicles import Vehicle, outline


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """Composition of a type of scene. Densities are objects per hectare.

    Attributes:
        grounds: ground covers to choose from, keys of `GROUNDS`.
        roads: "grid", "highway", "country" or "none".
        weight: relative frequency.
        least_m: least size of a view.
        block_m: range of distances between the roads of a grid.
        parcels: ground covers of parcels; empty for open land.
        parcel_m: range of the sides of parcels.
        river: probability of a river.
        lake: probability of a lake.
        coast: probability of a coast with piers and ships.
        apron: probability of an apron with airplanes.
        houses: fraction of the sites along roads that have a house.
        halls: density of flat-roofed buildings.
        lots: density of parking lots.
        yards: density of yards with trucks.
        tanks: density of groups of storage tanks.
        sports: density of courts and sports fields.
        pools: density of swimming pools.
        trees: density of single trees.
        forest: probability of a forest.
        gap_m: range of the mean gap between vehicles in a lane.
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


# --- ground ---

GROUNDS: dict[str, tuple[Colour, Colour, Colour]] = {
    "grass": ((88, 100, 62), (108, 116, 76), (142, 128, 102)),
    "lush": ((66, 84, 48), (84, 104, 60), (104, 104, 72)),
    "dry": ((148, 136, 102), (124, 120, 84), (170, 154, 126)),
    "soil": ((150, 132, 108), (168, 150, 126), (110, 110, 78)),
    "red soil": ((154, 112, 86), (168, 130, 102), (106, 106, 72)),
    "sand": ((190, 176, 148), (202, 190, 162), (148, 140, 112)),
    "paved": ((146, 144, 140), (160, 158, 153), (120, 120, 118)),
    "meadow": ((104, 118, 66), (122, 128, 80), (92, 104, 58)),
    "ploughed": ((122, 100, 80), (138, 116, 94), (108, 92, 74)),
    "stubble": ((176, 160, 116), (162, 148, 108), (146, 132, 98)),
}
"""Ground cover -> its two main colours and the colour of its bare patches."""


class Land:
    """Map of occupied ground, with `cell_m` metres per cell and a margin around the view.

    Args:
        width_m: width of the view.
        height_m: height of the view.
    """

    def __init__(self, width_m: float, height_m: float) -> None:
        self.cell_m = 0.5 if max(width_m, height_m) < 700 else 1.0
        self.rim_m = 40.0
        size = [math.ceil((v + 2 * self.rim_m) / self.cell_m) for v in (width_m, height_m)]
        self.picture = Image.new("L", (size[0], size[1]))
        self._draw = ImageDraw.Draw(self.picture)

    def _flat(self, points: Points | Corners) -> list[float]:
        rim, cell = self.rim_m, self.cell_m
        if isinstance(points, np.ndarray):
            flat: list[float] = ((points + rim) / cell).ravel().tolist()
            return flat
        return [(v + rim) / cell for point in points for v in point]

    def occupy(self, points: Points | Corners) -> None:
        """Mark a polygon as occupied."""
        self._draw.polygon(self._flat(points), fill=255)

    def is_free(self, points: Points | Corners) -> bool:
        """Whether a polygon lies on the map and overlaps nothing occupied."""
        cells = self._flat(points)
        left, top = math.floor(min(cells[::2])), math.floor(min(cells[1::2]))
        right, bottom = math.ceil(max(cells[::2])) + 1, math.ceil(max(cells[1::2])) + 1
        if left < 0 or top < 0 or right > self.picture.width or bottom > self.picture.height:
            return False
        patch = self.picture.crop((left, top, right, bottom))
        if patch.getbbox() is None:
            return True
        cover = Image.new("L", patch.size)
        start = (left, top)
        corners = [v - start[k % 2] for k, v in enumerate(cells)]
        ImageDraw.Draw(cover).polygon(corners, fill=255)
        return ImageChops.multiply(patch, cover).getbbox() is None

    def release(self, points: Points | Corners) -> None:
        """Mark a polygon as free."""
        self._draw.polygon(self._flat(points), fill=0)

    def claim(self, points: Points | Corners) -> bool:
        """Occupy a polygon if it is free. Returns whether it was."""
        is_free = self.is_free(points)
        if is_free:
            self.occupy(points)
        return is_free

    def is_occupied_at(self, x: float, y: float) -> bool:
        """Whether a point is occupied."""
        at = int((x + self.rim_m) / self.cell_m), int((y + self.rim_m) / self.cell_m)
        inside = 0 <= at[0] < self.picture.width and 0 <= at[1] < self.picture.height
        return bool(inside and self.picture.getpixel(at))


class GroundTexture:
    """Texture of the ground of a scene, which all ground covers share.

    Args:
        rng: source of all randomness.
        height: rows.
        width: columns.
    """

    def __init__(self, rng: np.random.Generator, height: int, width: int) -> None:
        self.rng, self.height, self.width = rng, height, width
        self._broad = smooth_noise(rng, height, width, 80)
        self._middle = smooth_noise(rng, height, width, 19)
        small = smooth_noise(rng, height, width, 6)
        fine = smooth_noise(rng, height, width, 2.3)
        self._share = _smooth_step(np.float32(1.5) * self._broad + self._middle)
        self._rough = np.float32(0.7) * (self._broad + self._middle)[::-1]
        self._rough += np.float32(0.5) * small + np.float32(0.3) * fine
        self._grain = fine + np.float32(0.8) * small

    def cover(self, kind: str, window: tuple[slice, slice] | None = None) -> Pixels:
        """Draw a ground cover with bare patches, float32 [h, w, 3] in 0 to 255.

        Args:
            kind: a key of `GROUNDS`.
            window: rows and columns of the image; None for all.
        """
        rng = self.rng
        window = window or (slice(None), slice(None))
        first, second, bare = (
            np.array(vary(rng, colour, 0.08), dtype=np.float32) for colour in GROUNDS[kind]
        )
        out: Pixels = first + self._share[window][..., None] * (second - first)
        steep, limit = np.float32(rng.uniform(2, 7)), np.float32(rng.uniform(0.3, 2.0))
        bareness = _smooth_step(steep * (self._rough[window] - limit))
        out += bareness[..., None] * (bare - out)
        gain = np.float32(rng.uniform(0.02, 0.075)) * self._grain[window]
        gain += np.float32(0.035) * self._middle[window]
        gain += np.float32(1)
        out *= gain[..., None]
        return out

    def rows(
        self, kind: str, window: tuple[slice, slice], heading: float, pitch_px: float
    ) -> Pixels:
        """Draw a field with rows, float32 [h, w, 3] in 0 to 255.

        Args:
            kind: a key of `GROUNDS`.
            window: rows and columns of the image.
            heading: direction of the rows, radians.
            pitch_px: distance between rows. Below two pixels they are not drawn.
        """
        out = self.cover(kind, window)
        if pitch_px < 2:
            return out
        y = np.arange(window[0].start, window[0].stop, dtype=np.float32)[:, None]
        x = np.arange(window[1].start, window[1].stop, dtype=np.float32)[None, :]
        across = y * np.float32(math.cos(heading)) - x * np.float32(math.sin(heading))
        across += self._middle[window] * np.float32(0.1 * pitch_px)
        waves = np.sin(across * np.float32(2 * math.pi / pitch_px), dtype=np.float32)
        waves *= np.float32(self.rng.uniform(0.02, 0.12))
        waves += np.float32(1)
        out *= waves[..., None]
        return out


def _smooth_step(values: Pixels) -> Pixels:
    """A smooth step from 0 for low values to 1 for high values."""
    low = np.abs(values)
    low += np.float32(1)
    low *= np.float32(2)
    np.divide(values, low, out=low)
    low += np.float32(0.5)
    return low


# --- layout ---


class Layout:
    """The layout of one scene.

    Ground is painted at once. Objects are deferred and painted at the end, low ones first.

    Args:
        rng: source of all randomness.
        height: rows, pixels.
        width: columns, pixels.
        gsd_m: metres per pixel.
        theme: type of scene.
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
        self.ground_texture = GroundTexture(rng, height, width)
        self.canvas = Canvas(rng, self.ground_texture.cover(kind), gsd_m, light)
        self.width_m, self.height_m = self.canvas.width_m, self.canvas.height_m
        self.size_m = max(self.width_m, self.height_m)
        self.hectares = self.width_m * self.height_m / 1e4
        self.land = Land(self.width_m, self.height_m)
        self.water = Land(self.width_m, self.height_m)
        self.traffic = Land(self.width_m, self.height_m)
        self.heading = rng.uniform(0, math.pi)
        self.roads: list[Road] = []
        self.axis: Frame | None = None  # a shore or the edge of an apron; roads stay to its left
        self._deferred: list[tuple[float, int, Callable[[], None]]] = []
        car, van, bus, truck = rng.dirichlet((3.4, 0.8, 0.5, 1.3)).tolist()
        if rng.random() < 0.2:
            truck += 1.0
        self.shares = {"car": car, "van": van, "bus": bus, "truck": truck}

    def defer(self, height_m: float, draw: Callable[[], None]) -> None:
        """Draw an object of a height later, after all lower objects."""
        self._deferred.append((height_m, len(self._deferred), draw))

    def draw_deferred(self) -> Canvas:
        """Draw all deferred objects, low ones first."""
        for _, _, draw in sorted(self._deferred, key=lambda deferred: deferred[:2]):
            draw()
        return self.canvas

    def is_in_view(self, x: float, y: float, margin_m: float = 0.0) -> bool:
        """Whether a point lies in the view or within a margin around it."""
        across = -margin_m < x < self.width_m + margin_m
        return across and -margin_m < y < self.height_m + margin_m

    def draw_frame(self, spread: float = 0.3) -> Frame:
        """Draw a frame near the middle of the view, with the main heading of the scene."""
        x, y = self.rng.uniform(0.5 - spread, 0.5 + spread, 2).tolist()
        return Frame(x * self.width_m, y * self.height_m, self.heading)

    def draw_count(self, density: float) -> int:
        """Draw a number of objects for a density. Small views get a little more."""
        return int(self.rng.poisson(density * self.hectares + min(0.35, density * 0.25)))

    def claim_sites(
        self, count: int, draw_size: Callable[[], tuple[float, float]], by_road: float = 0.7
    ) -> Iterator[tuple[Frame, float, float]]:
        """Draw free rectangles and occupy them: frame, length and width in metres.

        Args:
            count: number of rectangles to try.
            draw_size: draws a length and a width.
            by_road: share of rectangles along a road.
        """
        for _ in range(count):
            length, width = draw_size()
            for _attempt in range(4):
                frame = self._draw_site_frame(width, self.rng.random() < by_road)
                place = frame.box(-length / 2, length / 2, -width / 2, width / 2)
                if self.land.claim(place):
                    yield frame, length, width
                    break

    def _draw_site_frame(self, depth_m: float, by_road: bool) -> Frame:
        rng = self.rng
        if by_road and self.roads:
            road = self.roads[int(rng.integers(len(self.roads)))]
            side = 1.0 if rng.random() < 0.5 else -1.0
            away = road.style.half_m + road.style.sidewalk_m + rng.uniform(1, 6) + depth_m / 2
            along = rng.uniform(0, road.length_m)
            frame = road.frame(along, side * away, 0.0 if side > 0 else math.pi)
            if self.is_in_view(frame.x, frame.y, depth_m / 2):
                return frame
        x = rng.uniform(-0.1, 1.1) * self.width_m
        y = rng.uniform(-0.1, 1.1) * self.height_m
        return Frame(x, y, self.heading + int(rng.integers(4)) * math.pi / 2)

    def add_vehicle(self, vehicle: Vehicle, frame: Frame, on: str) -> None:
        """Add a vehicle if its ground is free and in view."""
        if not self.is_in_view(frame.x, frame.y, vehicle.length_m):
            return
        if self.traffic.claim(outline(vehicle, frame, 0.1)):
            canvas = self.canvas
            self.defer(vehicle.height_m, lambda: paint_vehicle(canvas, vehicle, frame, on))
