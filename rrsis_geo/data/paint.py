"""The canvas that painted scenes are drawn on, and how it becomes an image with exact masks.

Things are drawn in metres on four Pillow images of two or three times the final size: colour,
object numbers, ground numbers, and shadow. `Canvas.develop` brings them down to the final size,
lays textures over the materials, and passes the light through haze, lens and sensor.

Draw low things before tall ones: each casts its shadow on all that was drawn before it.

Shape letters: H W final pixels, n corners of a polygon.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFilter

from rrsis_geo.data.sample import Instance, LabelledImage

Points = NDArray[np.float64]
"""Corners [n, 2] as (x, y) in metres, x to the right, y down."""

Pixels = NDArray[np.float32]

Colour = tuple[int, int, int]

# Contrast of the fine, middle and broad texture, and of single pixels, on each material.
MATERIALS: dict[str, tuple[float, float, float, float]] = {
    "ground": (0.0, 0.0, 0.0, 0.02),  # textured before anything is drawn on it
    "asphalt": (0.025, 0.03, 0.05, 0.025),
    "concrete": (0.025, 0.025, 0.05, 0.02),
    "soil": (0.06, 0.07, 0.08, 0.04),
    "grass": (0.06, 0.06, 0.08, 0.05),
    "crop": (0.05, 0.05, 0.09, 0.04),
    "water": (0.03, 0.03, 0.06, 0.012),
    "roof": (0.02, 0.025, 0.03, 0.02),
    "tiles": (0.05, 0.03, 0.04, 0.04),
    "leaves": (0.10, 0.05, 0.03, 0.09),
    "paint": (0.01, 0.01, 0.0, 0.01),
}
_MATERIAL_NUMBER = {name: number for number, name in enumerate(MATERIALS)}


def shade(colour: Colour, factor: float) -> Colour:
    """The colour made lighter or darker."""
    r, g, b = colour
    return min(255, int(r * factor)), min(255, int(g * factor)), min(255, int(b * factor))


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """The first colour with a share of the second in it."""
    (r, g, b), (u, v, w) = first, second
    keep = 1.0 - share
    return int(r * keep + u * share), int(g * keep + v * share), int(b * keep + w * share)


def vary(rng: np.random.Generator, colour: Colour, amount: float = 0.06) -> Colour:
    """A neighbour of the colour: another brightness, slightly another hue."""
    gain = 1.0 + amount * rng.standard_normal()
    r, g, b = (gain * c + 60 * amount * d for c, d in zip(colour, rng.normal(size=3), strict=True))
    return _byte(r), _byte(g), _byte(b)


def _byte(value: float) -> int:
    return max(0, min(255, int(value)))


def smooth_noise(rng: np.random.Generator, height: int, width: int, cell_px: float) -> Pixels:
    """Random hills, float32 [height, width] of about zero mean and unit spread.

    Args:
        rng: where the hills come from.
        height: rows.
        width: columns.
        cell_px: distance of neighbouring hills, pixels.
    """
    rows, cols = math.ceil(height / cell_px) + 3, math.ceil(width / cell_px) + 3
    seeds = Image.fromarray(rng.standard_normal((rows, cols), dtype=np.float32))
    y, x = rng.random(2)
    box = (x, y, x + width / cell_px, y + height / cell_px)
    hills = seeds.resize((width, height), Image.Resampling.BICUBIC, box=box)
    return np.asarray(hills, dtype=np.float32) * np.float32(1.3)


@dataclass(frozen=True, slots=True)
class Frame:
    """A place on the ground and a heading: local x points forward, local y to the right."""

    x: float
    y: float
    heading: float

    def place(self, local: ArrayLike) -> Points:
        """Local points [n, 2] as scene points [n, 2], both in metres."""
        points = np.asarray(local, dtype=np.float64)
        cos, sin = math.cos(self.heading), math.sin(self.heading)
        out = np.empty_like(points)
        out[:, 0] = self.x + points[:, 0] * cos - points[:, 1] * sin
        out[:, 1] = self.y + points[:, 0] * sin + points[:, 1] * cos
        return out

    def box(self, x0: float, x1: float, y0: float, y1: float) -> Points:
        """The corners [4, 2] of a local rectangle."""
        return self.place(((x0, y0), (x1, y0), (x1, y1), (x0, y1)))

    def moved(self, forward: float, right: float, turn: float = 0.0) -> "Frame":
        """The frame at a local point, turned."""
        cos, sin = math.cos(self.heading), math.sin(self.heading)
        x = self.x + forward * cos - right * sin
        y = self.y + forward * sin + right * cos
        return Frame(x, y, self.heading + turn)


def disc(x: float, y: float, radius_m: float, n_corners: int = 20) -> Points:
    """A circle as a polygon [n_corners, 2]."""
    turn = np.linspace(0.0, 2 * np.pi, n_corners, endpoint=False)
    return np.stack((x + radius_m * np.cos(turn), y + radius_m * np.sin(turn)), axis=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """Sun, sky and camera of one scene.

    Attributes:
        shadow_x: how far right the shadow of a thing 1 m tall falls, metres.
        shadow_y: how far down it falls, metres.
        shadow_depth: share of the light that the shadow takes away, 0 to 1.
        lean_x: how far right the top of a thing 1 m tall is seen from its foot, metres.
        lean_y: how far down it is seen, metres.
        gain: brightness and colour cast, one number a band.
        gamma: exponent of the brightness.
        haze: share of the picture that is haze.
        saturation: 1 keeps colours, 0 takes them away.
        blur_px: radius of the lens blur.
        noise: spread of the sensor noise in grey values.
        jpeg_quality: quality of the JPEG that the image went through, None for none.
    """

    shadow_x: float
    shadow_y: float
    shadow_depth: float
    lean_x: float
    lean_y: float
    gain: tuple[float, float, float]
    gamma: float
    haze: float
    saturation: float
    blur_px: float
    noise: float
    jpeg_quality: int | None

    @property
    def facing(self) -> tuple[float, float]:
        """The direction the light comes from, a unit vector (x, y)."""
        length = math.hypot(self.shadow_x, self.shadow_y) or 1.0
        return -self.shadow_x / length, -self.shadow_y / length


def draw_light(rng: np.random.Generator) -> Light:
    """Light as it may be on a day of flying."""
    azimuth = rng.uniform(0, 2 * np.pi)
    length = 1.0 / math.tan(math.radians(rng.uniform(28, 72)))
    overcast = rng.random() < 0.12
    lean, towards = max(0.0, rng.normal(0.02, 0.09)), rng.uniform(0, 2 * np.pi)
    cast = rng.normal(1.0, 0.035, 3) * rng.normal(1.0, 0.13)
    return Light(
        shadow_x=length * math.cos(azimuth),
        shadow_y=length * math.sin(azimuth),
        shadow_depth=rng.uniform(0.03, 0.2) if overcast else rng.uniform(0.42, 0.78),
        lean_x=lean * math.cos(towards),
        lean_y=lean * math.sin(towards),
        gain=(float(cast[0]), float(cast[1]), float(cast[2])),
        gamma=float(np.clip(rng.normal(1.0, 0.12), 0.75, 1.4)),
        haze=float(max(0.0, rng.normal(0.04, 0.08))),
        saturation=float(np.clip(rng.normal(0.92, 0.18), 0.35, 1.35)),
        blur_px=float(max(0.0, rng.normal(0.55, 0.3))),
        noise=float(rng.uniform(0.5, 5.0)),
        jpeg_quality=int(rng.integers(35, 96)) if rng.random() < 0.7 else None,
    )


@dataclass(slots=True)
class Record:
    """What the canvas remembers of one thing: its number is its place in the list."""

    category: str | None
    material: int
    level: str
    attributes: dict[str, str]
    hides_ground: bool = True
    box: list[float] = field(default_factory=lambda: [math.inf, math.inf, -math.inf, -math.inf])

    def grow(self, points: Points) -> None:
        low, high = points.min(axis=0), points.max(axis=0)
        box = self.box
        box[0], box[1] = min(box[0], low[0]), min(box[1], low[1])
        box[2], box[3] = max(box[2], high[0]), max(box[3], high[1])


class Canvas:
    """Four images to draw on in metres; see the module's text.

    Args:
        rng: where textures and noise come from.
        height: rows of the final image.
        width: columns of the final image.
        gsd_m: metres per final pixel.
        light: sun, sky and camera.
        ground: float32 [height, width, 3] in 0 to 255, what lies under everything.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        height: int,
        width: int,
        gsd_m: float,
        light: Light,
        ground: Pixels,
    ) -> None:
        self.rng = rng
        self.height, self.width, self.gsd_m, self.light = height, width, gsd_m, light
        self.fineness = 2 if gsd_m < 0.4 else 3
        self.scale = self.fineness / gsd_m
        size = (width * self.fineness, height * self.fineness)
        base = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8))
        self.rgb = base.resize(size, Image.Resampling.BILINEAR)
        self.shadow = Image.new("L", size)
        self.levels = {name: Image.new("I", size) for name in ("ground", "object")}
        self.records: list[Record] = [Record(None, _MATERIAL_NUMBER["ground"], "ground", {})]
        self._rgb = ImageDraw.Draw(self.rgb)
        self._shadow = ImageDraw.Draw(self.shadow)
        self._levels = {name: ImageDraw.Draw(level) for name, level in self.levels.items()}

    @property
    def height_m(self) -> float:
        """Height of the view in metres."""
        return self.height * self.gsd_m

    @property
    def width_m(self) -> float:
        """Width of the view in metres."""
        return self.width * self.gsd_m

    def begin(
        self,
        category: str | None,
        material: str,
        *,
        level: str = "object",
        hides_ground: bool = True,
        attributes: dict[str, str] | None = None,
    ) -> int:
        """Note a new thing and give its number.

        Args:
            category: what it is; None for what is nobody's instance (clutter, pavements).
            material: a key of `MATERIALS`.
            level: "ground", "object", or "deck" for a bridge, which does not hide the road on it.
            hides_ground: the mask of the ground under it stops at this thing. Vehicles do not
                hide the road they drive on: human labels of roads run through under them.
            attributes: what the instance will carry.
        """
        if level not in self.levels:
            self.levels[level] = Image.new("I", self.rgb.size)
            self._levels[level] = ImageDraw.Draw(self.levels[level])
        number = _MATERIAL_NUMBER[material]
        self.records.append(Record(category, number, level, attributes or {}, hides_ground))
        return len(self.records) - 1

    def flat(self, points: Points) -> list[float]:
        """Metres [n, 2] as the flat list of canvas pixels that Pillow draws fastest."""
        out: list[float] = (points * self.scale - 0.5).ravel().tolist()
        return out

    def fill(self, points: Points, colour: Colour) -> None:
        """Paint a polygon that adds nothing to any mask."""
        self._rgb.polygon(self.flat(points), fill=colour)

    def shape(self, number: int, points: Points, colour: Colour | None) -> None:
        """Paint a polygon as part of a thing; without a colour only its mask grows."""
        corners = self.flat(points)
        record = self.records[number]
        record.grow(points)
        self._levels[record.level].polygon(corners, fill=number)
        if record.level == "object":
            self._shadow.polygon(corners, fill=0)
        if colour is not None:
            self._rgb.polygon(corners, fill=colour)

    def line(self, points: Points, width_m: float, colour: Colour, strength: float = 1.0) -> None:
        """Paint a thin line; one narrower than a canvas pixel is painted paler.

        Args:
            points: [n, 2] in metres.
            width_m: its width.
            colour: its colour at full strength.
            strength: how little of what lies under it shines through, 0 to 1.
        """
        width_px = width_m * self.scale
        strength = min(1.0, strength * min(1.0, width_px))
        if strength < 0.97:
            middle = points[len(points) // 2] * self.scale
            x, y = int(middle[0]), int(middle[1])
            inside = 0 <= x < self.rgb.width and 0 <= y < self.rgb.height
            under = self.rgb.getpixel((x, y)) if inside else colour
            assert isinstance(under, tuple)
            colour = mix((int(under[0]), int(under[1]), int(under[2])), colour, strength)
        self._rgb.line(self.flat(points), fill=colour, width=max(1, round(width_px)))

    def cast(self, points: Points, height_m: float, foot_m: float = 0.0) -> None:
        """Let a convex thing of this outline and height throw its shadow."""
        light = self.light
        start = points + np.array((light.shadow_x, light.shadow_y)) * foot_m
        step = np.array((light.shadow_x, light.shadow_y)) * (height_m - foot_m)
        self._shadow.polygon(self.flat(sweep(start, step)), fill=255)

    def lit(self, points: Points) -> None:
        """Take the shadow off a polygon."""
        self._shadow.polygon(self.flat(points), fill=0)

    def stamp(
        self, number: int, x: float, y: float, picture: Image.Image, cover: Image.Image
    ) -> None:
        """Paste a small picture as part of a thing, its middle at a place in metres.

        Args:
            number: the thing.
            x: middle, metres.
            y: middle, metres.
            picture: RGB.
            cover: L of the same size, 255 where the picture is solid.
        """
        left = round(x * self.scale - picture.width / 2)
        top = round(y * self.scale - picture.height / 2)
        record = self.records[number]
        sharp = cover.point(_HALF, "1")
        half = np.array((picture.width, picture.height)) / self.scale / 2
        record.grow(np.array(((x, y) - half, (x, y) + half)))
        self.rgb.paste(picture, (left, top), cover)
        self.levels[record.level].paste(number, (left, top), sharp)
        self.shadow.paste(0, (left, top), sharp)

    def stamp_shadow(self, x: float, y: float, cover: Image.Image, height_m: float) -> None:
        """Let a thing of this cover (L) throw its shadow from a place in metres."""
        dx, dy = self.light.shadow_x * height_m, self.light.shadow_y * height_m
        steps = max(1, round(math.hypot(dx, dy) * self.scale / max(4.0, 0.35 * cover.width)))
        for step in range(1, steps + 1):
            left = round((x + dx * step / steps) * self.scale - cover.width / 2)
            top = round((y + dy * step / steps) * self.scale - cover.height / 2)
            self.shadow.paste(255, (left, top), cover)

    def fill_with(self, points: Points, picture: Image.Image, left_px: int, top_px: int) -> None:
        """Paste a picture (RGB, canvas pixels) inside a polygon only."""
        cover = Image.new("L", picture.size)
        corners = (points * self.scale - 0.5 - np.array((left_px, top_px))).ravel().tolist()
        ImageDraw.Draw(cover).polygon(corners, fill=255)
        self.rgb.paste(picture, (left_px, top_px), cover)

    def develop(self, complete: frozenset[str], name: str) -> LabelledImage:
        """The finished image and its instances.

        Args:
            complete: every category the scene may claim to have labelled whole.
            name: id of the labelled image.
        """
        image = _expose(self)
        return LabelledImage(
            image=image,
            instances=tuple(_instances(self)),
            complete=complete,
            gsd_m=self.gsd_m,
            id=name,
        )

    @cached_property
    def extent(self) -> Points:
        """The corners [4, 2] of the view in metres."""
        w, h = self.width_m, self.height_m
        return np.array(((0.0, 0.0), (w, 0.0), (w, h), (0.0, h)))


_HALF = [0] * 128 + [255] * 128


def sweep(points: Points, step: ArrayLike) -> Points:
    """The outline [m, 2] of a convex polygon [n, 2] dragged along a vector."""
    step = np.asarray(step, dtype=np.float64)
    if not step.any():
        return points
    across = points @ np.array((-step[1], step[0]))
    first, last = int(across.argmax()), int(across.argmin())
    n = len(points)
    ahead = points[[(first + k) % n for k in range((last - first) % n + 1)]]
    back = points[[(last + k) % n for k in range((first - last) % n + 1)]]
    # The half of the outline that looks along the vector moves with it.
    if (ahead.mean(axis=0) - back.mean(axis=0)) @ step > 0:
        return np.concatenate((ahead + step, back))
    return np.concatenate((ahead, back + step))


def _materials(canvas: Canvas) -> NDArray[np.int32]:
    """The material number of each final pixel, int32 [H, W]."""
    f = canvas.fineness
    lut = np.array([record.material for record in canvas.records], dtype=np.int32)
    middle = slice(f // 2, None, f)
    ground = np.asarray(canvas.levels["ground"])[middle, middle]
    things = np.asarray(canvas.levels["object"])[middle, middle]
    return lut[np.where(things > 0, things, ground)]


def _expose(canvas: Canvas) -> NDArray[np.uint8]:
    """Canvas, textures and light as a picture, uint8 [H, W, 3]."""
    rng, light = canvas.rng, canvas.light
    height, width = canvas.height, canvas.width
    pixels = np.asarray(canvas.rgb.reduce(canvas.fineness), dtype=np.float32)

    amplitudes = np.array(list(MATERIALS.values()), dtype=np.float32)[_materials(canvas)]
    texture = np.float32(1.0) + amplitudes[..., 3] * rng.standard_normal(
        (height, width), dtype=np.float32
    )
    for band, cell_px in enumerate((2.2, 6.0, 45.0)):
        texture += amplitudes[..., band] * smooth_noise(rng, height, width, cell_px)
    pixels = pixels * texture[..., None]

    edge = max(0.0, 0.05 * canvas.scale)  # the sun is no point: half-shadows of some centimetres
    dark = canvas.shadow.filter(ImageFilter.BoxBlur(min(edge, 2.0))).reduce(canvas.fineness)
    depth = np.asarray(dark, dtype=np.float32)[..., None] * np.float32(light.shadow_depth / 255)
    pixels *= 1.0 - depth * np.array((1.03, 1.0, 0.9), dtype=np.float32)  # the sky fills in blue

    grey = pixels @ np.array((0.3, 0.59, 0.11), dtype=np.float32)
    pixels = grey[..., None] + np.float32(light.saturation) * (pixels - grey[..., None])
    pixels = np.clip(pixels / 255 * np.array(light.gain, dtype=np.float32), 0, 1.2)
    if abs(light.gamma - 1) > 0.02:
        pixels **= np.float32(light.gamma)
    pixels += light.haze * (np.array((0.78, 0.82, 0.86), dtype=np.float32) - pixels)
    return _through_camera(pixels * 255, rng, light)


def _through_camera(pixels: Pixels, rng: np.random.Generator, light: Light) -> NDArray[np.uint8]:
    """Lens blur, sensor noise and JPEG on float32 [H, W, 3] in 0 to 255."""
    picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    if light.blur_px > 0.2:
        picture = picture.filter(ImageFilter.GaussianBlur(light.blur_px))
    seen = np.asarray(picture, dtype=np.float32)
    height, width = seen.shape[:2]
    seen = seen + np.float32(light.noise) * rng.standard_normal((height, width, 1), np.float32)
    image = np.clip(seen, 0, 255).astype(np.uint8)
    if light.jpeg_quality is None:
        return image
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=light.jpeg_quality)
    return np.array(Image.open(stream))


def _instances(canvas: Canvas) -> Sequence[Instance]:
    """An instance for each thing of a category that is still seen."""
    f = canvas.fineness
    levels = {name: np.asarray(level) for name, level in canvas.levels.items()}
    hides = np.array([record.hides_ground for record in canvas.records])
    open_ground = ~hides[levels["object"]]
    open_ground[levels["object"] == 0] = True
    found = []
    for number, record in enumerate(canvas.records):
        if record.category is None or not math.isfinite(record.box[0]):
            continue
        left, top = (max(0, math.floor(v / canvas.gsd_m) - 1) for v in record.box[:2])
        right = min(canvas.width, math.ceil(record.box[2] / canvas.gsd_m) + 2)
        bottom = min(canvas.height, math.ceil(record.box[3] / canvas.gsd_m) + 2)
        if right <= left or bottom <= top:
            continue
        window = (slice(top * f, bottom * f), slice(left * f, right * f))
        fine = levels[record.level][window] == number
        if record.level != "object":
            fine &= open_ground[window]
        shares = fine.reshape(bottom - top, f, right - left, f).sum(axis=(1, 3), dtype=np.int32)
        mask = shares * 2 >= f * f
        rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if len(rows) == 0 or mask.sum() < MIN_PIXELS:
            continue
        mask = mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        bbox = (top + int(rows[0]), left + int(cols[0]), mask.shape[0], mask.shape[1])
        found.append(Instance(record.category, bbox, mask.copy(), dict(record.attributes)))
    return found


MIN_PIXELS = 4
"""A thing of which fewer pixels are seen is no instance."""
