"""What stands on the ground of a painted scene: buildings, trees, tanks, pools."""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rrsis_geo.data.paint import Canvas, Colour, Frame, Light, Points, disc, mix, shade, sweep, vary

ROOF_COLOURS: dict[str, tuple[Colour, ...]] = {
    "red": ((150, 72, 58), (172, 84, 64), (160, 50, 46), (186, 104, 84)),
    "brown": ((112, 88, 70), (96, 74, 60), (132, 106, 84)),
    "grey": ((124, 124, 124), (150, 150, 148), (100, 102, 106), (168, 166, 160)),
    "black": ((52, 52, 56), (44, 46, 50)),
    "white": ((226, 226, 222), (212, 214, 214)),
    "blue": ((52, 96, 164), (70, 116, 170), (40, 74, 132)),
    "green": ((104, 138, 116), (82, 120, 96)),
}
_HOUSE_SHARES = (24, 22, 30, 6, 8, 4, 3)
_HALL_SHARES = (6, 8, 40, 6, 30, 7, 3)


def draw_roof_colour(rng: np.random.Generator, hall: bool) -> tuple[str, Colour]:
    """A roof's colour, its name first."""
    shares = np.array(_HALL_SHARES if hall else _HOUSE_SHARES, dtype=np.float64)
    name = str(rng.choice(list(ROOF_COLOURS), p=shares / shares.sum()))
    paints = ROOF_COLOURS[name]
    return name, vary(rng, paints[int(rng.integers(len(paints)))], 0.05)


def paint_house(
    canvas: Canvas, frame: Frame, length_m: float, width_m: float, colour: tuple[str, Colour]
) -> None:
    """A house with a gable or hip roof, at times with a wing.

    Args:
        canvas: where.
        frame: its middle; local x runs along the ridge.
        length_m: along the ridge.
        width_m: across it.
        colour: the roof's, its name first.
    """
    rng = canvas.rng
    number = canvas.begin("building", "tiles", attributes={"colour": colour[0], "roof": "pitched"})
    height = float(rng.uniform(3.5, 7.5))
    wall = vary(rng, (196, 186, 170), 0.1)
    hip = float(rng.choice((0.0, 0.45)))
    blocks = [(frame, length_m, width_m)]
    if rng.random() < 0.35:
        side = float(rng.choice((-1.0, 1.0)))
        wing = frame.moved(
            float(rng.uniform(-0.3, 0.3)) * length_m, side * width_m * 0.55, np.pi / 2
        )
        blocks.append((wing, width_m * 0.9, width_m * 0.75))
    for place, length, width in blocks:
        canvas.cast(place.box(-length / 2, length / 2, -width / 2, width / 2), height)
    for place, length, width in reversed(blocks):
        top = _walls(canvas, number, place, length, width, height, wall)
        _pitched_roof(canvas, top, length, width, hip, colour[1])
    if rng.random() < 0.5 and canvas.gsd_m < 0.5:
        chimney = _lean(canvas, frame, height + 1).moved(rng.uniform(-0.3, 0.3) * length_m, 0.5)
        canvas.fill(chimney.box(-0.4, 0.4, -0.4, 0.4), (90, 70, 62))
        canvas.fill(chimney.box(-0.2, 0.2, -0.2, 0.2), (40, 36, 34))


def _lean(canvas: Canvas, frame: Frame, height_m: float) -> Frame:
    light = canvas.light
    return Frame(
        frame.x + light.lean_x * height_m, frame.y + light.lean_y * height_m, frame.heading
    )


def _walls(
    canvas: Canvas,
    number: int,
    frame: Frame,
    length_m: float,
    width_m: float,
    height_m: float,
    colour: Colour,
) -> Frame:
    """The walls a leaning view shows, and the mask; gives the frame of the roof."""
    light = canvas.light
    foot = frame.box(-length_m / 2, length_m / 2, -width_m / 2, width_m / 2)
    lean = np.array((light.lean_x, light.lean_y)) * height_m
    canvas.shape(number, sweep(foot, lean), shade(colour, 0.72))
    return _lean(canvas, frame, height_m)


def _pitched_roof(
    canvas: Canvas, frame: Frame, length_m: float, width_m: float, hip: float, colour: Colour
) -> None:
    """Two or four faces, each as bright as it looks at the sun."""
    x, y = length_m / 2, width_m / 2
    ridge = x - hip * width_m
    light_x, light_y = canvas.light.facing
    cos, sin = math.cos(frame.heading), math.sin(frame.heading)
    forward, right = light_x * cos + light_y * sin, -light_x * sin + light_y * cos
    faces = (
        (((-x, y), (x, y), (ridge, 0), (-ridge, 0)), right),
        (((-x, -y), (x, -y), (ridge, 0), (-ridge, 0)), -right),
        (((x, -y), (x, y), (ridge, 0)), forward),
        (((-x, -y), (-x, y), (-ridge, 0)), -forward),
    )
    contrast = float(canvas.rng.uniform(0.1, 0.26)) * (0.3 + canvas.light.shadow_depth)
    for local, sun in faces[: 4 if hip else 2]:
        canvas.fill(frame.place(local), shade(colour, 1 + contrast * sun))
    if canvas.gsd_m < 0.4:
        rows = np.arange(0.6, y, 0.9)
        for side in (-1.0, 1.0):
            for row in rows:
                half = x - hip * width_m * (1 - row / y)
                line = frame.place(((-half, side * row), (half, side * row)))
                canvas.line(line, 0.12, shade(colour, 0.8), 0.35)
    canvas.line(frame.place(((-ridge, 0), (ridge, 0))), 0.25, shade(colour, 1.18), 0.7)


def paint_hall(
    canvas: Canvas, frame: Frame, length_m: float, width_m: float, colour: tuple[str, Colour]
) -> None:
    """A building with a flat or corrugated roof and what stands on it; see `paint_house`."""
    rng = canvas.rng
    number = canvas.begin("building", "roof", attributes={"colour": colour[0], "roof": "flat"})
    height = float(rng.uniform(4.0, 13.0))
    blocks = [(frame, length_m, width_m)]
    if rng.random() < 0.3:
        side = float(rng.choice((-1.0, 1.0)))
        annex = frame.moved(rng.uniform(-0.25, 0.25) * length_m, side * width_m * 0.62)
        blocks.append((annex, length_m * 0.4, width_m * 0.5))
    for place, length, width in blocks:
        canvas.cast(place.box(-length / 2, length / 2, -width / 2, width / 2), height)
    wall = vary(rng, (178, 174, 168), 0.1)
    for place, length, width in reversed(blocks):
        top = _walls(canvas, number, place, length, width, height, wall)
        roof = colour[1] if place is frame else shade(colour[1], rng.uniform(0.8, 1.1))
        canvas.fill(top.box(-length / 2, length / 2, -width / 2, width / 2), roof)
        if rng.random() < 0.45:
            _corrugation(canvas, top, length, width, roof)
        else:
            _parapet(canvas, top, length, width, roof)
            _roof_clutter(canvas, top, length, width, roof)


def _corrugation(
    canvas: Canvas, frame: Frame, length_m: float, width_m: float, colour: Colour
) -> None:
    rng = canvas.rng
    x, y = length_m / 2, width_m / 2
    sun = -canvas.light.facing[0] * math.sin(frame.heading)
    sun += canvas.light.facing[1] * math.cos(frame.heading)
    tilt = 0.14 * sun * canvas.light.shadow_depth
    canvas.fill(frame.box(-x, x, 0, y), shade(colour, 1 + tilt))
    canvas.fill(frame.box(-x, x, -y, 0), shade(colour, 1 - tilt))
    pitch = max(float(rng.uniform(0.7, 2.5)), 2.5 * canvas.gsd_m)
    for at in np.arange(-x + pitch, x, pitch):
        canvas.line(frame.place(((at, -y), (at, y))), 0.15, shade(colour, 0.82), 0.45)
    for _ in range(int(rng.integers(0, 4))):  # a sheet replaced, rusted or of glass
        at, wide = rng.uniform(-x, x - pitch), pitch * int(rng.integers(1, 3))
        tint = ((150, 110, 86), (206, 214, 216), (120, 122, 124))[int(rng.integers(3))]
        sheet = mix(colour, tint, rng.uniform(0.2, 0.6))
        half = float(rng.choice((-1.0, 1.0)))
        y0, y1 = sorted((half * y * rng.uniform(0, 0.4), half * y))
        canvas.fill(frame.box(at, min(x, at + wide), y0, y1), sheet)
    canvas.line(frame.place(((-x, 0), (x, 0))), 0.3, shade(colour, 1.15), 0.6)


def _parapet(canvas: Canvas, frame: Frame, length_m: float, width_m: float, colour: Colour) -> None:
    """A low wall around the roof; the sunward one throws a thin shadow on it."""
    x, y = length_m / 2, width_m / 2
    edge = 0.35
    canvas.fill(frame.box(-x, x, -y, y), shade(colour, 1.16))
    inner = frame.box(-x + edge, x - edge, -y + edge, y - edge)
    canvas.fill(inner, shade(colour, 1.0 - 0.45 * canvas.light.shadow_depth))
    shift = np.array((canvas.light.shadow_x, canvas.light.shadow_y)) * 0.7
    lit = frame.box(-x + edge, x - edge, -y + edge, y - edge) + shift
    # The lit floor is the inner floor moved along the shadow, cut off at the inner edge.
    local = _to_local(frame, lit)
    low = np.maximum(local.min(axis=0), (-x + edge, -y + edge))
    high = np.minimum(local.max(axis=0), (x - edge, y - edge))
    if (high > low).all():
        canvas.fill(frame.box(low[0], high[0], low[1], high[1]), colour)


def _to_local(frame: Frame, points: Points) -> Points:
    cos, sin = math.cos(frame.heading), math.sin(frame.heading)
    moved = points - (frame.x, frame.y)
    return moved @ np.array(((cos, -sin), (sin, cos)))


def _roof_clutter(
    canvas: Canvas, frame: Frame, length_m: float, width_m: float, colour: Colour
) -> None:
    """Stairheads, air conditioners, skylights, solar panels, stains."""
    rng = canvas.rng
    x, y = length_m / 2 - 1.2, width_m / 2 - 1.2
    if x < 1 or y < 1:
        return
    for _ in range(int(rng.integers(0, 3))):
        stain = frame.moved(rng.uniform(-x, x), rng.uniform(-y, y), rng.uniform(0, 3))
        size = rng.uniform(1, 3)
        canvas.fill(
            disc(stain.x, stain.y, min(size, x, y), 9), shade(colour, rng.uniform(0.9, 1.07))
        )
    if rng.random() < 0.15 and canvas.gsd_m < 0.6:
        rows = np.arange(-y * 0.6, y * 0.6, 1.9)
        x0, x1 = sorted(rng.uniform(-x, x, 2))
        for row in rows:
            canvas.fill(frame.box(x0, x1, row, row + 1.4), vary(rng, (34, 44, 78)))
    shadow = np.array((canvas.light.shadow_x, canvas.light.shadow_y))
    dark = shade(colour, 1 - canvas.light.shadow_depth)
    for _ in range(int(rng.integers(1, 3 + int(length_m * width_m / 120)))):
        half_l, half_w = rng.uniform(0.4, 1.6, 2)
        if half_l > x or half_w > y:
            continue
        at = frame.moved(rng.uniform(-x + half_l, x - half_l), rng.uniform(-y + half_w, y - half_w))
        box = at.box(-half_l, half_l, -half_w, half_w)
        canvas.fill(sweep(box, shadow * rng.uniform(0.6, 1.8)), dark)
        canvas.fill(box, vary(rng, (188, 190, 190) if rng.random() < 0.7 else colour, 0.12))


# ---------------------------------------------------------------------------------------- trees


_CROWN_PX = 72


@lru_cache(maxsize=1)
def _crowns() -> NDArray[np.float32]:
    """Height fields [n, P, P] of tree crowns, 0 outside, the same on every run."""
    rng = np.random.default_rng(20240229)
    line = (np.arange(_CROWN_PX, dtype=np.float32) + 0.5) / _CROWN_PX * 2 - 1
    x, y = line[None, :], line[:, None]
    crowns = []
    for _ in range(14):
        field = np.zeros((_CROWN_PX, _CROWN_PX), dtype=np.float32)
        n_bumps = int(rng.integers(14, 40))
        spread = rng.uniform(0.55, 0.72)
        for _ in range(n_bumps):
            away, turn = spread * math.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
            radius = rng.uniform(0.16, 0.34) * (1.25 - 0.5 * away)
            gone = (x - away * math.cos(turn)) ** 2 + (y - away * math.sin(turn)) ** 2
            bump = np.sqrt(np.maximum(0.0, radius**2 - gone)) * 1.2 + 0.55 * (1 - away) * (
                gone < radius**2
            )
            field = np.maximum(field, bump.astype(np.float32))
        crowns.append(field)
    return np.stack(crowns)


class Leaves:
    """The crowns of one scene: a few shapes in a few greens, lit by its sun.

    Args:
        rng: which shapes and greens.
        light: where the sun stands.
        dry: share of brown and yellow in the greens.
    """

    def __init__(self, rng: np.random.Generator, light: Light, dry: float = 0.0) -> None:
        shapes = _crowns()
        greens: tuple[Colour, ...] = (
            (58, 82, 40), (72, 96, 46), (48, 72, 42), (86, 104, 54), (64, 78, 52), (40, 60, 36),
        )  # fmt: skip
        sun_x, sun_y = light.facing
        self.sprites: list[tuple[Image.Image, Image.Image]] = []
        for _ in range(7):
            field = np.rot90(shapes[int(rng.integers(len(shapes)))], int(rng.integers(4)))
            green = vary(rng, greens[int(rng.integers(len(greens)))], 0.09)
            green = mix(green, (122, 104, 64), dry * rng.random())
            down, right = np.gradient(field, 2 / _CROWN_PX)
            lit = -(right * sun_x + down * sun_y)
            strength = 0.2 + 0.35 * light.shadow_depth
            gain = 0.62 + 0.42 * field + strength * np.tanh(0.8 * lit)
            gain *= 1 + 0.12 * rng.standard_normal(field.shape, dtype=np.float32)
            pixels = np.clip(gain[..., None] * np.array(green, dtype=np.float32), 0, 255)
            cover = Image.fromarray(((field > 0) * 255).astype(np.uint8))
            self.sprites.append((Image.fromarray(pixels.astype(np.uint8)), cover))


def paint_tree(
    canvas: Canvas, leaves: Leaves, x: float, y: float, radius_m: float, number: int | None = None
) -> None:
    """One tree with its shadow.

    Args:
        canvas: where.
        leaves: the scene's crowns.
        x: middle of the crown, metres.
        y: middle of the crown, metres.
        radius_m: of the crown.
        number: the instance it belongs to; None begins its own.
    """
    rng = canvas.rng
    if number is None:
        number = canvas.begin("tree", "leaves")
    size = max(3, round(2 * radius_m * canvas.scale))
    picture, cover = leaves.sprites[int(rng.integers(len(leaves.sprites)))]
    picture = picture.resize((size, size), Image.Resampling.BILINEAR)
    cover = cover.resize((size, size), Image.Resampling.BILINEAR)
    canvas.stamp_shadow(x, y, cover, radius_m * float(rng.uniform(1.0, 1.7)))
    canvas.stamp(number, x, y, picture, cover)


def paint_pool(canvas: Canvas, frame: Frame, length_m: float, width_m: float) -> None:
    """A swimming pool in its paved surround; the mask is the water."""
    rng = canvas.rng
    x, y = length_m / 2, width_m / 2
    deck = canvas.begin(None, "concrete", level="ground")
    canvas.shape(deck, frame.box(-x - 1.5, x + 1.5, -y - 1.5, y + 1.5), vary(rng, (196, 188, 174)))
    water = vary(rng, ((70, 168, 196), (96, 190, 208), (58, 140, 178))[int(rng.integers(3))])
    number = canvas.begin("swimming pool", "water", attributes={"colour": "blue"})
    if rng.random() < 0.5:
        points = frame.box(-x, x, -y, y)
    else:
        turn = np.linspace(0, 2 * np.pi, 28, endpoint=False)
        wave = 1 - 0.22 * np.cos(2 * turn + rng.uniform(0, 6)) * rng.random()
        points = frame.place(np.stack((x * wave * np.cos(turn), y * wave * np.sin(turn)), axis=1))
    rim = points + (points - points.mean(axis=0)) * (0.3 / max(y, 1.0))
    canvas.fill(rim, (226, 224, 218))
    canvas.shape(number, points, water)
    shift = np.array((canvas.light.shadow_x, canvas.light.shadow_y)) * 0.5
    middle = points.mean(axis=0)
    canvas.fill(middle + (points - middle) * 0.86 + shift * 0.4, shade(water, 1.06))


def paint_tank(canvas: Canvas, x: float, y: float, radius_m: float) -> None:
    """A round storage tank."""
    rng = canvas.rng
    name, colour = ("white", (222, 222, 218)) if rng.random() < 0.75 else ("grey", (150, 150, 148))
    colour = vary(rng, colour, 0.05)
    height = float(rng.uniform(0.5, 1.1) * min(radius_m, 14) + 2)
    number = canvas.begin("storage tank", "roof", attributes={"colour": name})
    foot = disc(x, y, radius_m, 36)
    canvas.cast(foot, height)
    lean = np.array((canvas.light.lean_x, canvas.light.lean_y)) * height
    canvas.shape(number, sweep(foot, lean), shade(colour, 0.7))
    x, y = x + lean[0], y + lean[1]
    canvas.fill(disc(x, y, radius_m, 36), shade(colour, 1.05))
    light_x, light_y = canvas.light.facing
    if rng.random() < 0.35:  # floating roof: deep inside, the sunward wall shades it
        canvas.fill(disc(x, y, radius_m * 0.95, 36), shade(colour, 0.5))
        away = min(radius_m * 0.3, height * 0.5)
        inner = disc(x - light_x * away, y - light_y * away, radius_m * 0.93, 36)
        clip = np.hypot(inner[:, 0] - x, inner[:, 1] - y)
        scale = np.minimum(1.0, radius_m * 0.94 / clip)[:, None]
        canvas.fill((x, y) + (inner - (x, y)) * scale, shade(colour, 0.92))
    else:  # a cone: the sunward side is brighter
        for share in np.linspace(-0.9, 0.9, 12):
            turn = math.atan2(light_y, light_x) + share * math.pi
            wedge = np.array(
                ((x, y), *(
                    (x + radius_m * 0.96 * math.cos(turn + d), y + radius_m * 0.96 * math.sin(turn + d))
                    for d in (-0.3, 0.0, 0.3)
                ))
            )  # fmt: skip
            canvas.fill(wedge, shade(colour, 1.0 + 0.1 * math.cos(share * math.pi)))
        canvas.fill(disc(x, y, max(0.5, radius_m * 0.08), 12), shade(colour, 0.75))
    if rng.random() < 0.6:
        turn = rng.uniform(0, 2 * np.pi)
        rim = np.array((math.cos(turn), math.sin(turn)))
        canvas.line(
            np.array((rim * radius_m * 0.2, rim * radius_m)) + (x, y), 0.8, shade(colour, 0.7)
        )
