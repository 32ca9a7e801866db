"""Answers do not depend on the CRS of a scene or on how its raster lies: only on the ground."""

from collections.abc import Iterator
from dataclasses import dataclass
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

from rrsis_geo.geo.scene.scene import open_scene
from rrsis_geo.resolve.frame import Frame
from rrsis_geo.resolve.resolver import Resolver
from rrsis_geo.segment.results.meant import scenes_frame
from rrsis_geo.text.query.parser import parse_query

UTM = "EPSG:32632"
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
class Batch:
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

    if ("half" in expression or "third" in expression) and layout == "turned":
        pytest.skip("the turned scene has another extent")
    check()


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
