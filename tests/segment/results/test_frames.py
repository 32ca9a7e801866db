"""Answers do not depend on the CRS of a scene or on how its raster lies: only on the ground."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import Transformer
from scene_files import write_scene

from rrsis_geo.errors import ConfigError
from rrsis_geo.geo.scene.scene import open_scene
from rrsis_geo.resolve.batches import MeasuredPolygons
from rrsis_geo.resolve.frame import Frame
from rrsis_geo.resolve.resolver import Resolver
from rrsis_geo.segment.results.meant import check_metres, scenes_frame
from rrsis_geo.text.query.parser import parse_query

UTM = "EPSG:32632"
FEET_WKT = (
    'ENGCRS["mine",EDATUM["shaft 3"],CS[Cartesian,2],'
    'AXIS["x",east],AXIS["y",north],LENGTHUNIT["foot",0.3048]]'
)
LEFT, TOP, SIDE_M = 690_000.0, 5_300_000.0, 2000.0  # grid north is 1.9 degrees off true north
MIDDLE = np.array([LEFT + SIDE_M / 2, TOP - SIDE_M / 2])
NORTH_UP = Affine(10, 0, LEFT, 0, -10, TOP)
LAYOUTS = {
    "utm": (UTM, NORTH_UP),
    "turned": (
        UTM,
        Affine.translation(*MIDDLE) @ Affine.rotation(35) @ Affine.translation(*-MIDDLE) @ NORTH_UP,
    ),
    "upside down": (UTM, Affine(10, 0, LEFT, 0, 10, TOP - SIDE_M)),
    "web mercator": ("EPSG:3857", None),
    "degrees": ("EPSG:4326", None),
    "grads from Paris": ("EPSG:27572", None),
}
EXPRESSIONS = (
    "the northernmost building",
    "the westernmost building",
    "the southeasternmost building",
    "the largest building",
    "the longest building",
    "the second smallest building",
    "the building closest to the tank",
    "the building closest to the centre",
    "buildings within 200 m of the tank",
    "buildings next to the tank",
    "buildings between the tanks",
    "buildings north of the tank",
    "buildings south-west of the tank",
    "buildings in the northern half",
    "buildings in the eastern third",
    "buildings larger than 1,500 m2",
    "buildings longer than 60 m",
    "isolated buildings",
)
Polygons = NDArray[Any]


@dataclass(frozen=True)
class Batch(MeasuredPolygons):
    """Objects as the resolver sees them."""

    polygons: Polygons
    area_m2: NDArray[np.float64]

    @property
    def score(self) -> NDArray[np.float64]:
        return np.ones(len(self.polygons))

    def __len__(self) -> int:
        return len(self.polygons)

    def take(self, index: NDArray[np.intp]) -> "Batch":
        return Batch(self.polygons[index], self.area_m2[index])


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Frame]:
    """The frames of one place in several layouts."""
    folder = tmp_path_factory.mktemp("frames")
    found = {}
    for name, (crs, transform) in LAYOUTS.items():
        if transform is None:
            corners = shapely.box(LEFT, TOP - SIDE_M, LEFT + SIDE_M, TOP)
            left, bottom, right, top = move(np.array([corners]), crs)[0].bounds
            transform = Affine((right - left) / 200, 0, left, 0, (bottom - top) / 200, top)
        path = write_scene(folder / f"{name}.tif", 200, 200, crs=crs, transform=transform)
        with open_scene(path) as scene:
            found[name] = scenes_frame([scene.info])
    return found


def move(polygons: Polygons, crs: str) -> Polygons:
    """Polygons in UTM, in another CRS."""
    to_crs = Transformer.from_crs(UTM, crs, always_xy=True)
    return shapely.transform(polygons, lambda xy: np.column_stack(to_crs.transform(*xy.T)))


def draw(seed: int) -> tuple[Polygons, Polygons]:
    """Boxes of all sizes and directions in the middle of the place, and two tanks; in UTM."""
    rng = np.random.default_rng(seed)
    centres = MIDDLE + rng.uniform(-700, 700, (14, 2))
    boxes = []
    for (x, y), (width, height) in zip(centres, rng.uniform(10, 90, (14, 2)), strict=True):
        box = shapely.box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        boxes.append(shapely.affinity.rotate(box, rng.uniform(0, 90)))
    return np.array(boxes[:12]), np.array(boxes[12:])


def answer(expression: str, objects: tuple[Polygons, Polygons], frame: Frame) -> list[int]:
    """Numbers of the buildings that an expression means."""
    buildings, tanks = (
        Batch(each, np.asarray(shapely.area(frame.plane(each)))) for each in objects
    )

    def read(phrase: str, is_target: bool) -> Iterator[Batch]:
        yield tanks if "tank" in phrase else buildings

    found = Resolver(read, frame, None).meant(parse_query(expression))
    meant = [polygon for batch, _ in found for polygon in batch.polygons]
    return [i for i, each in enumerate(objects[0]) if any(each is other for other in meant)]


def nudged(polygons: Polygons, degrees: float, scale: float) -> Polygons:
    """Polygons turned about the middle of the place and scaled, by a little."""
    turned = [shapely.affinity.rotate(each, degrees, origin=tuple(MIDDLE)) for each in polygons]
    return np.array(
        [shapely.affinity.scale(each, scale, scale, origin=tuple(MIDDLE)) for each in turned]
    )


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "utm"])
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_layouts_give_the_same_answers(
    frames: dict[str, Frame], expression: str, layout: str
) -> None:
    """Where a small turn or change of scale does not change the answer, the layout does not."""
    crs, _ = LAYOUTS[layout]

    @settings(max_examples=8, deadline=None, database=None)
    @given(st.integers(0, 10**6))
    def check(seed: int) -> None:
        objects = draw(seed)
        expected = answer(expression, objects, frames["utm"])
        for degrees, scale in ((1, 1), (-1, 1), (0, 1.01), (0, 0.99)):
            near = tuple(nudged(each, degrees, scale) for each in objects)
            assume(answer(expression, near, frames["utm"]) == expected)
        moved = tuple(move(each, crs) if crs != UTM else each for each in objects)
        assert answer(expression, moved, frames[layout]) == expected

    is_turned = layout in ("turned", "grads from Paris")
    if ("half" in expression or "third" in expression) and is_turned:
        pytest.skip("a turned scene has another extent")
    check()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_plane_lies_about_the_middle(frames: dict[str, Frame], layout: str) -> None:
    crs, _ = LAYOUTS[layout]
    points = MIDDLE + np.array([[0, 0], [0, 500], [500, 0]])
    if crs != UTM:
        points = np.column_stack(
            Transformer.from_crs(UTM, crs, always_xy=True).transform(*points.T)
        )
    middle, up, right = frames[layout].plane_points(points)
    assert np.hypot(*middle) < 2
    turn = np.radians(1.9)  # from grid north to true north
    assert up - middle == pytest.approx([500 * np.sin(turn), 500 * np.cos(turn)], abs=1)
    assert right - middle == pytest.approx([500 * np.cos(turn), -500 * np.sin(turn)], abs=1)


def test_an_engineering_plane_is_in_metres(tmp_path: Path) -> None:
    transform = Affine(2, 0, 100, 0, -2, 0)
    path = write_scene(tmp_path / "s.tif", 200, 200, crs=FEET_WKT, transform=transform)
    with open_scene(path) as scene:
        frame = scenes_frame([scene.info])
    assert frame.has_metres
    assert frame.bounds(compass=True) == pytest.approx(np.array([[100, -400], [500, 0]]) * 0.3048)


OUTSIDE = {
    "metres called degrees": ("EPSG:4326", Affine(0.5, 0, -1.3e7, 0, -0.5, -2.4e6)),
    "far off": ("EPSG:27700", Affine(0.5, 0, 1e9, 0, -0.5, 1e9)),
    "full disk": (
        "+proj=geos +h=35785831 +lon_0=0 +sweep=y +ellps=WGS84",
        Affine(55_000, 0, -5.5e6, 0, -55_000, 5.5e6),
    ),
    "north of the pole": ("EPSG:4326", Affine(0.1, 0, 0, 0, -0.1, 95)),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_outside_its_crs_a_scene_has_no_metres(tmp_path: Path, name: str) -> None:
    crs, transform = OUTSIDE[name]
    path = write_scene(tmp_path / "s.tif", 200, 200, crs=crs, transform=transform)
    with open_scene(path) as scene:
        frame = scenes_frame([scene.info])
        check_metres(parse_query("the northernmost building"), scene.info)
        with pytest.raises(ConfigError, match=r'"length at least 60 m" .* outside the dom'):
            check_metres(parse_query("buildings longer than 60 m"), scene.info)
    assert not frame.has_metres
    low, high = (np.array(transform @ corner) for corner in ((0, 200), (200, 0)))
    assert frame.bounds(compass=True) == pytest.approx(np.stack([low, high]))
    boxes = np.array(
        [shapely.box(*(transform @ (10, y + 9)), *(transform @ (20, y))) for y in (20, 150)]
    )
    objects = boxes, boxes[:0]
    assert answer("the northernmost building", objects, frame) == [0]
    assert answer("buildings in the southern half", objects, frame) == [1]


@pytest.mark.parametrize("layout", LAYOUTS)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_words_of_the_picture_follow_the_displayed_map(
    frames: dict[str, Frame], layout: str, seed: int
) -> None:
    """A map is displayed with the axes of its CRS to the right and up."""
    crs, _ = LAYOUTS[layout]
    moved = tuple(move(each, crs) if crs != UTM else each for each in draw(seed))
    x, y = shapely.get_coordinates(shapely.centroid(moved[0])).T
    for word, index in {
        "leftmost": x.argmin(),
        "rightmost": x.argmax(),
        "topmost": y.argmax(),
        "bottommost": y.argmin(),
    }.items():
        assert answer(f"the {word} building", moved, frames[layout]) == [index]
