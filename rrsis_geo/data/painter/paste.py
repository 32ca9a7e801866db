"""Painted vehicles on real roads: rare categories where roads are labelled but not the traffic."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.data.painter.basics import Corners, Frame, mix, pick, shade
from rrsis_geo.data.painter.camera import Light, Pixels, draw_light, soften
from rrsis_geo.data.painter.canvas import Canvas
from rrsis_geo.data.painter.vehicles import Vehicle, draw_vehicle, outline, paint_vehicle
from rrsis_geo.data.sample import Instance, LabelledImage

PASTE_SHARES: Mapping[str, float] = MappingProxyType(
    {"truck": 0.5, "bus": 0.2, "van": 0.2, "car": 0.1}
)

_SURFACES = frozenset({"road", "parking lot", "water", "vegetation", "bridge", "crossing"})
_TRIES = 12


@dataclass(frozen=True, slots=True)
class Lane:
    """A place on a real road: where it runs, and how wide it is there.

    Attributes:
        frame: the middle of the road and the way it runs, metres.
        width_m: from edge to edge.
    """

    frame: Frame
    width_m: float


def paste_vehicles(
    labelled: LabelledImage,
    rng: np.random.Generator,
    *,
    count: int | None = None,
    shares: Mapping[str, float] = PASTE_SHARES,
) -> LabelledImage:
    """Paint vehicles onto the roads of a real image.

    They follow the road, keep to one side of it, cover nothing that is labelled, and take on the
    image's brightness and colourfulness. Without roads, without a known pixel size, or in false
    colour the image is given back as it is.

    Args:
        labelled: the image; instances of "road" tell where vehicles may stand.
        rng: everything is drawn from it.
        count: how many to try to place; None draws one for 80 to 800 m2 of road, at most 40.
        shares: how often each of car, van, bus and truck is drawn.

    Returns:
        the image with the vehicles, their instances after those that were there.
    """
    gsd_m = labelled.gsd_m
    roads, taken = _roads_and_taken(labelled)
    if gsd_m is None or labelled.false_colour or not roads.any():
        return labelled
    if count is None:
        area_m2 = float(roads.sum()) * gsd_m**2
        count = min(40, math.ceil(area_m2 / math.exp(rng.uniform(math.log(80), math.log(800)))))
    light = replace(draw_light(rng), lean_x=0.0, lean_y=0.0)
    canvas = Canvas(rng, labelled.image.astype(np.float32), gsd_m, light)
    canvas.begin(None, "paint")
    tone = _tone(labelled.image)
    rows, cols = np.nonzero(roads)
    for _ in range(count):
        vehicle = draw_vehicle(rng, pick(rng, shares))
        frame = _find_place(rng, vehicle, roads, taken, rows, cols, gsd_m)
        if frame is None:
            continue
        _take(taken, outline(vehicle, frame, 0.4), gsd_m)
        dimmed = replace(vehicle, colour=_toned(vehicle, tone))
        paint_vehicle(canvas, dimmed, frame, "road")
    pasted = canvas.instances()
    if not pasted:
        return labelled
    image = _blend(labelled.image, canvas, light)
    return replace(labelled, image=image, instances=(*labelled.instances, *pasted))


def _roads_and_taken(labelled: LabelledImage) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Masks [H, W] of the roads, and of labelled things that may not be covered."""
    roads = np.zeros(labelled.image.shape[:2], dtype=np.bool_)
    taken = np.zeros_like(roads)
    for instance in labelled.instances:
        if instance.category == "road":
            _burn(roads, instance)
        elif instance.category not in _SURFACES:
            _burn(taken, instance)
    return roads, taken


def _burn(onto: NDArray[np.bool_], instance: Instance) -> None:
    row, col, height, width = instance.bbox
    onto[row : row + height, col : col + width] |= instance.mask


def _find_place(
    rng: np.random.Generator,
    vehicle: Vehicle,
    roads: NDArray[np.bool_],
    taken: NDArray[np.bool_],
    rows: NDArray[np.intp],
    cols: NDArray[np.intp],
    gsd_m: float,
) -> Frame | None:
    """Room for the vehicle in a lane, None when a dozen tries find none."""
    for _ in range(_TRIES):
        k = int(rng.integers(len(rows)))
        lane = find_lane(roads, int(rows[k]), int(cols[k]), gsd_m)
        if lane is None or lane.width_m < vehicle.width_m + 0.6:
            continue
        aside = 0.0
        if lane.width_m > 5:  # two ways: keep right
            aside = lane.width_m / 4 + rng.normal(0, 0.15)
        turn = (math.pi if rng.random() < 0.5 else 0.0) + rng.normal(0, 0.02)
        frame = lane.frame.moved(0, 0, turn).moved(0, aside)
        inside = _pixels(outline(vehicle, frame), gsd_m, roads.shape)
        around = _pixels(outline(vehicle, frame, 0.5), gsd_m, roads.shape)
        if inside is None or around is None:
            continue
        if roads[inside].mean() > 0.97 and not taken[around].any():
            return frame
    return None


def find_lane(roads: NDArray[np.bool_], row: int, col: int, gsd_m: float) -> Lane | None:
    """How the road runs at a pixel of it, from the shape of the mask around.

    Args:
        roads: mask [H, W].
        row: of the pixel.
        col: of the pixel.
        gsd_m: metres per pixel.

    Returns:
        the lane, or None where the road has no clear direction, as at junctions.
    """
    reach = max(4, round(14 / gsd_m))
    top, left = max(0, row - reach), max(0, col - reach)
    step = max(1, reach // 24)
    near = roads[top : row + reach + 1 : step, left : col + reach + 1 : step]
    y, x = np.nonzero(near)
    if len(y) < 12:
        return None
    spread = np.cov(np.stack((x, y)))
    values, vectors = np.linalg.eigh(spread)
    if values[1] < 2.2 * values[0]:
        return None
    forward = vectors[:, 1]
    heading = math.atan2(float(forward[1]), float(forward[0]))
    right = -math.sin(heading), math.cos(heading)
    edges = []
    for side in (-1.0, 1.0):
        away = np.arange(0.0, 20 / gsd_m, 0.5) * side
        at_row = np.rint(row + away * right[1]).astype(np.intp)
        at_col = np.rint(col + away * right[0]).astype(np.intp)
        inside = (at_row >= 0) & (at_col >= 0)
        inside &= (at_row < roads.shape[0]) & (at_col < roads.shape[1])
        on = np.zeros(len(away), dtype=np.bool_)
        on[inside] = roads[at_row[inside], at_col[inside]]
        edges.append(float(away[int(np.argmin(on)) - 1]) if not on.all() else float(away[-1]))
    middle = (edges[0] + edges[1]) / 2
    x_m = (col + 0.5 + middle * right[0]) * gsd_m
    y_m = (row + 0.5 + middle * right[1]) * gsd_m
    return Lane(Frame(x_m, y_m, heading), (edges[1] - edges[0]) * gsd_m)


def _pixels(
    corners: Corners, gsd_m: float, shape: tuple[int, ...]
) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None:
    """A lattice of pixels inside a rectangle (rows, columns), None where it leaves the image."""
    a, b, _, d = (np.array(corner) / gsd_m for corner in corners)
    n_along = max(2, math.ceil(float(np.hypot(*(b - a)))))
    n_across = max(2, math.ceil(float(np.hypot(*(d - a)))))
    u = np.linspace(0, 1, n_along)[:, None, None]
    v = np.linspace(0, 1, n_across)[None, :, None]
    points = np.floor(a + u * (b - a) + v * (d - a)).astype(np.intp)
    cols, rows = points[..., 0].ravel(), points[..., 1].ravel()
    if rows.min() < 0 or cols.min() < 0 or rows.max() >= shape[0] or cols.max() >= shape[1]:
        return None
    return rows, cols


def _take(taken: NDArray[np.bool_], corners: Corners, gsd_m: float) -> None:
    pixels = _pixels(corners, gsd_m, taken.shape)
    if pixels is not None:
        taken[pixels] = True


def _tone(image: NDArray[np.uint8]) -> tuple[float, float]:
    """How bright the image's brightest parts are, and how colourful it is, both 0 to 1."""
    sample = image[::4, ::4].reshape(-1, 3).astype(np.float32)
    bright = float(np.percentile(sample.mean(axis=1), 99)) / 240
    colourful = float((sample.max(axis=1) - sample.min(axis=1)).mean()) / 35
    return min(1.05, max(0.45, bright)), min(1.0, max(0.35, colourful))


def _toned(vehicle: Vehicle, tone: tuple[float, float]) -> tuple[int, int, int]:
    bright, colourful = tone
    grey = int(sum(vehicle.colour) / 3)
    return shade(mix((grey, grey, grey), vehicle.colour, colourful), bright)


def _blend(image: NDArray[np.uint8], canvas: Canvas, light: Light) -> NDArray[np.uint8]:
    """The change that the canvas makes, laid softly over the untouched image."""
    f = canvas.fineness
    before = image.astype(np.float32)
    after = np.asarray(canvas.rgb.reduce(f), dtype=np.float32)
    shadow = np.asarray(canvas.shadow.reduce(f), dtype=np.float32)[..., None]
    after = after * (1 - shadow * np.float32(light.shadow_depth / 255))
    change: Pixels = soften(after - before, max(0.45, light.blur_px))
    grain = canvas.rng.standard_normal(change.shape[:2], dtype=np.float32)[..., None]
    painted = np.abs(change).max(axis=2, keepdims=True) > 6
    change += painted * grain * np.float32(min(3.0, light.noise))
    out: NDArray[np.uint8] = np.clip(before + change, 0, 255).astype(np.uint8)
    return out
