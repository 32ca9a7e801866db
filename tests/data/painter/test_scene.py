"""Painted scenes: exact masks, true sizes, and the same scene for the same seed."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from shapely import Polygon

from rrsis_geo.data.painter.basics import Frame, sweep
from rrsis_geo.data.painter.camera import Light, blur
from rrsis_geo.data.painter.canvas import Canvas
from rrsis_geo.data.painter.scene import CATEGORIES, THEMES, paint_scene
from rrsis_geo.data.painter.vehicle_painters import paint_vehicle
from rrsis_geo.data.painter.vehicles import VEHICLES, draw_vehicle
from rrsis_geo.data.sample import Instance

PLAIN = Light(shadow_x=1.0, shadow_y=0.0, shadow_depth=0.6, blur_px=0.0, noise=0.0)


def burn(instance: Instance, shape: tuple[int, int]) -> NDArray[np.bool_]:
    out = np.zeros(shape, dtype=np.bool_)
    row, col, height, width = instance.bbox
    out[row : row + height, col : col + width] = instance.mask
    return out


def plain_canvas(size_px: int, gsd_m: float, light: Light = PLAIN, seed: int = 0) -> Canvas:
    ground = np.full((size_px, size_px, 3), 120, dtype=np.float32)
    canvas = Canvas(np.random.default_rng(seed), ground, gsd_m, light)
    canvas.add_item(None, "concrete", level="ground")
    return canvas


@pytest.mark.parametrize("theme", sorted(THEMES))
@pytest.mark.parametrize("gsd_m", [0.1, 0.31, 0.95])
def test_every_theme_paints_whole_records(theme: str, gsd_m: float) -> None:
    scene = paint_scene(np.random.default_rng(7), 160, 224, gsd_m, theme=theme)

    assert scene.image.shape == (160, 224, 3)
    assert scene.image.dtype == np.uint8
    assert scene.image.std() > 3
    assert (scene.gsd_m, scene.id, scene.complete) == (gsd_m, "painted", CATEGORIES)
    for instance in scene.instances:
        row, col, height, width = instance.bbox
        assert instance.category in CATEGORIES
        assert instance.mask.shape == (height, width)
        assert instance.mask.any(axis=1)[[0, -1]].all()
        assert instance.mask.any(axis=0)[[0, -1]].all()
        assert min(row, col) >= 0
        assert row + height <= 160
        assert col + width <= 224
        if instance.category in VEHICLES:
            assert {"colour", "on"} <= instance.attributes.keys()


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), gsd_m=st.floats(0.1, 1.0))
def test_objects_do_not_overlap(seed: int, gsd_m: float) -> None:
    scene = paint_scene(np.random.default_rng(seed), 96, 96, gsd_m)
    over = {"harbor", "bridge"}  # these lie over the ground that they span
    surfaces = {"road", "parking lot"}  # these continue under vehicles
    things, ground = np.zeros((96, 96), int), np.zeros((96, 96), int)
    for instance in scene.instances:
        mask = burn(instance, (96, 96))
        if instance.category not in over | surfaces:
            things += mask
        if instance.category in surfaces | {"water", "building", "tree"}:
            ground += mask
    # At an edge, two objects can both cover half of a pixel.
    assert (things > 2).sum() == 0
    assert (things > 1).mean() < 0.02
    assert (ground > 1).mean() < 0.02


def test_the_same_seed_gives_the_same_scene() -> None:
    first, second = (paint_scene(np.random.default_rng(11), 128, 128, 0.3) for _ in range(2))

    assert np.array_equal(first.image, second.image)
    assert [i.bbox for i in first.instances] == [i.bbox for i in second.instances]
    other = paint_scene(np.random.default_rng(12), 128, 128, 0.3)
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("category", VEHICLES)
@pytest.mark.parametrize("gsd_m", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("heading", [0.0, 0.7, 2.2])
def test_vehicles_have_their_true_size(category: str, gsd_m: float, heading: float) -> None:
    canvas = plain_canvas(round(30 / gsd_m), gsd_m)
    vehicle = draw_vehicle(canvas.rng, category, kind="box truck" if category == "truck" else None)
    paint_vehicle(canvas, vehicle, Frame(15.0, 15.0, heading), "road")
    (instance,) = canvas.render(frozenset(), "test").instances

    rows, cols = np.nonzero(instance.mask)
    points = np.stack((cols, rows), axis=1) @ np.array(
        ((np.cos(heading), -np.sin(heading)), (np.sin(heading), np.cos(heading)))
    )
    length, width = (np.ptp(points, axis=0) + 1) * gsd_m
    slack = 2 * gsd_m  # one pixel at each end
    assert length == pytest.approx(vehicle.length_m, abs=slack)
    assert width == pytest.approx(vehicle.width_m, abs=slack)
    middle = np.array((instance.bbox[1], instance.bbox[0])) + (cols.mean(), rows.mean()) + 0.5
    assert middle * gsd_m == pytest.approx(np.array((15.0, 15.0)), abs=0.35 + gsd_m)


def test_masks_exclude_shadows() -> None:
    canvas = plain_canvas(100, 0.2)
    vehicle = draw_vehicle(canvas.rng, "truck", "white", "box truck")
    paint_vehicle(canvas, vehicle, Frame(10.0, 10.0, np.pi / 2), "road")
    scene = canvas.render(CATEGORIES, "")
    mask = burn(scene.instances[0], (100, 100))
    right = np.roll(mask, 8, axis=1) & ~np.roll(mask, 2, axis=1) & ~mask

    grey = scene.image.mean(axis=2)
    left = np.roll(mask, -8, axis=1) & ~np.roll(mask, -2, axis=1) & ~mask
    assert grey[right].mean() < 0.6 * grey[left].mean()  # the sun is on the left
    assert grey[mask].mean() > grey[left].mean()


def test_taller_objects_hide_lower_ones_and_roads_continue_under_vehicles() -> None:
    canvas = plain_canvas(64, 0.5)
    road = canvas.add_item("road", "asphalt", level="ground")
    canvas.add_shape(road, Frame(16, 16, 0).box(-16, 16, -5, 5), (90, 90, 90))
    truck = draw_vehicle(canvas.rng, "truck", "red", "semi-trailer")
    paint_vehicle(canvas, truck, Frame(16, 16, 0), "road")
    crown = canvas.add_item("tree", "leaves")
    canvas.add_shape(crown, Frame(16, 16, 0).box(-3, 3, -10, 10), (60, 80, 40))
    masks = {i.category: burn(i, (64, 64)) for i in canvas.render(frozenset(), "test").instances}

    assert not (masks["truck"] & masks["tree"]).any()
    assert not (masks["road"] & masks["tree"]).any()
    assert (masks["road"] | ~masks["truck"]).all()
    assert masks["truck"].any()


@pytest.mark.parametrize("colour", ["white", "black", "red", "blue", "green", "yellow"])
@pytest.mark.parametrize("category", VEHICLES)
def test_colour_attributes_match_the_pixels(category: str, colour: str) -> None:
    canvas = plain_canvas(80, 0.25, seed=3)
    kind = "box truck" if category == "truck" else None
    vehicle = draw_vehicle(canvas.rng, category, colour, kind)
    paint_vehicle(canvas, vehicle, Frame(10.0, 10.0, 0.4), "road")
    scene = canvas.render(CATEGORIES, "")
    mask = burn(scene.instances[0], (80, 80))
    r, g, b = np.median(scene.image[mask].astype(float), axis=0)

    fits = {
        "white": min(r, g, b) > 165,
        "black": max(r, g, b) < 75,
        "red": r > 1.8 * max(g, b),
        "blue": b > 1.3 * max(r, g),
        "green": g > 1.1 * max(r, b),
        "yellow": min(r, g) > 1.8 * b,
    }
    assert fits[colour], (r, g, b)


@given(
    degrees=st.lists(st.integers(0, 359), min_size=3, max_size=9, unique=True),
    clockwise=st.booleans(),
    dx=st.integers(-50, 50),
    dy=st.integers(-50, 50),
)
def test_sweep_is_the_hull_of_start_and_end(
    degrees: list[int], clockwise: bool, dx: float, dy: float
) -> None:
    turns = [np.radians(d) for d in sorted(degrees, reverse=clockwise)]
    convex = [(float(np.cos(t)), float(np.sin(t))) for t in turns]
    dx, dy = dx / 10, dy / 10
    start = Polygon(convex)
    swept = Polygon(sweep(convex, dx, dy)).buffer(1e-6)
    end = Polygon([(x + dx, y + dy) for x, y in convex])

    assert swept.contains(start)
    assert swept.contains(end)
    hull = start.union(end).convex_hull
    assert swept.area == pytest.approx(hull.area, abs=1e-4)


def test_soften_keeps_constants_and_the_mean() -> None:
    flat = np.full((9, 7, 3), 40, dtype=np.float32)
    assert blur(flat, 1.2) == pytest.approx(flat, rel=1e-6)
    dot = np.zeros((21, 21, 1), dtype=np.float32)
    dot[10, 10] = 1
    blurred = blur(dot, 0.8)
    offsets = np.arange(21) - 10
    assert blurred.sum() == pytest.approx(1, rel=1e-5)
    assert (blurred[..., 0].sum(axis=0) * offsets**2).sum() == pytest.approx(0.64, rel=1e-4)


def test_painting_is_fast() -> None:
    """A scene takes about 60 ms on an idle core. The limit catches a slowdown of several times."""
    rng = np.random.default_rng(0)
    paint_scene(rng, 384, 384, 0.3)
    start = time.process_time()
    for _ in range(4):
        paint_scene(rng, 384, 384, 0.3)
    assert (time.process_time() - start) / 4 < 0.4
