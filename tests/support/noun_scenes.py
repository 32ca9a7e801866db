"""A painted scene of buildings, cars and a road, and a stand-in for a model that finds them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import geopandas as gpd
import numpy as np
from affine import Affine
from numpy.typing import NDArray
from predictor_stubs import StubOutput, StubPredictor, red_logits
from scene_files import write_scene

NOUNS = ("building", "car", "road")


class Box(NamedTuple):
    """A painted object: rows and columns, in pixels of a metre."""

    name: str
    noun: str
    rows: tuple[int, int]
    cols: tuple[int, int]


BOXES = (
    Box("A", "building", (20, 60), (20, 80)),
    Box("B", "building", (20, 50), (200, 250)),
    Box("C", "building", (180, 200), (140, 160)),
    Box("a", "car", (70, 76), (40, 44)),  # 10 m from A
    Box("b", "car", (100, 106), (280, 284)),
    Box("c", "car", (240, 246), (150, 154)),  # 40 m from C
    Box("d", "car", (30, 36), (140, 144)),  # from A to B
    Box("road", "road", (150, 156), (0, 320)),
)
SHAPE = (256, 320)
ORIGIN = Affine.translation(500_000, 5_000_000)
NORTH_UP = ORIGIN @ Affine.scale(1, -1)
SOUTH_UP = ORIGIN
ROTATED = ORIGIN @ Affine.rotation(30) @ Affine.scale(1, -1)
DEGREES = Affine.translation(9, 45.15) @ Affine.scale(1 / 78_710, -1 / 111_136)


EXPECTED = {
    "the buildings": "ABC",
    "the largest building": "A",
    "the second largest building": "B",
    "the two largest buildings": "AB",
    "the smallest building": "C",
    "the longest building": "A",
    "buildings larger than 1,000 m2": "AB",
    "buildings between 300 and 2000 square metres": "BC",
    "buildings that are not dark": "AB",
    "large buildings": "AB",
    "the small building": "C",
    "buildings that are not small": "AB",
    "the smallest of the large buildings": "B",
    "cars within 45 m of a small building": "c",
    "the northernmost car": "d",
    "the southernmost car": "c",
    "the leftmost car": "a",
    "cars in the northern half": "abd",
    "cars in the top left": "ad",
    "cars within 15 m of a building": "a",
    "cars that are not within 15 m of a building": "bcd",
    "cars within 45 m of the smallest building": "c",
    "the car closest to the largest building": "a",
    "the car farthest from the largest building": "b",
    "cars between the buildings": "ad",
    "cars to the right of the smallest building": "b",
    "cars to the right of the largest building": "bd",
    "cars below the largest building": "ac",
    "cars north of the road": "abd",
    "the two largest buildings north of the road": "AB",
    "the largest building south of the road": "C",
    "isolated cars": "abcd",
    "buildings or cars": "ABCabcd",
    "the largest building or the smallest building": "AC",
}
"""Names of the objects that expressions mean."""


class NounPredictor(StubPredictor):
    """Finds the colour that stands for the noun of a phrase; "dark" is a darker one."""

    def predict(self, images: NDArray[np.uint8], words: Any) -> StubOutput:
        number = next(i for i, noun in enumerate(NOUNS) if noun in words)
        logits = red_logits(np.roll(images, -number, axis=-1))
        if "dark" in words:
            logits[images[..., number] > 210] = -5
        return StubOutput(logits, None)


def content_of(boxes: Sequence[Box]) -> Any:
    def content(row: NDArray[np.intp], col: NDArray[np.intp], band: int) -> NDArray[np.generic]:
        value = np.full(np.broadcast_shapes(row.shape, col.shape), 100)
        for box in boxes:
            inside = (row >= box.rows[0]) & (row < box.rows[1])
            inside = inside & (col >= box.cols[0]) & (col < box.cols[1])
            bright = 200 if box.name == "C" else 220
            value[inside] = bright if NOUNS.index(box.noun) == band - 1 else 40
        return value

    return content


def names_of(layer: gpd.GeoDataFrame, transform: Affine, boxes: Sequence[Box] = BOXES) -> str:
    names = (
        box.name
        for polygon in layer.geometry
        for x, y in polygon.centroid.coords
        for col, row in [~transform @ (x, y)]
        for box in boxes
        if box.rows[0] < row < box.rows[1] and box.cols[0] < col < box.cols[1]
    )
    return "".join(sorted(names))


def read(path: Path) -> gpd.GeoDataFrame:
    return gpd.read_parquet(path) if path.suffix == ".parquet" else gpd.read_file(path, layer=0)


def write(path: Path, transform: Affine, crs: str | None, boxes: Sequence[Box] = BOXES) -> Path:
    return write_scene(path, *SHAPE, transform=transform, crs=crs, content=content_of(boxes))


def tall_boxes() -> list[Box]:
    """Buildings all over a scene of 1,300 rows, two of them across the edges of shards."""
    generator = np.random.default_rng(3)
    boxes = []
    for row in range(0, 1260, 60):
        for col in (10, 110):
            height, width = generator.integers(8, 40, 2)
            boxes.append(Box(f"{row}", "building", (row, row + height), (col, col + width)))
    return [
        *boxes,
        Box("x", "building", (480, 530), (160, 200)),
        Box("y", "car", (505, 520), (90, 95)),
    ]
