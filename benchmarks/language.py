"""Check that words mean what they say over painted scenes, with a bundle in place of exact objects.

    python benchmarks/language.py --size 6000

A scene is a mosaic of painted views, so that every object is known exactly. Each question is asked
through `segment`, and its right answer is the same rule over the exact objects; tests compare that
with the pixels (`tests/resolve/test_language.py`).

"superlative" counts questions of size whose first object leads by over 25 %: an answer is right if
the object that it overlaps most is the right one. "distance" and "region" count the objects that
the model finds (IoU over 0.5 with an exact one): each is right if it is in the answer exactly when
its exact object is in the right answer.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import geopandas as gpd
import numpy as np
import rasterio.features
import shapely
import shapely.geometry
from affine import Affine
from markdown_table import print_header, print_row
from mosaics import write_scene
from numpy.typing import NDArray
from rasterio.transform import from_origin

from rrsis_geo.data.painter.scene import paint_scene
from rrsis_geo.geo.scene.scene import SceneInfo, open_scene
from rrsis_geo.resolve.batches import MeasuredPolygons
from rrsis_geo.resolve.resolver import Resolver
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.results.meant import scenes_frame
from rrsis_geo.segment.scene import segment_scene
from rrsis_geo.text.query.parser import parse_query
from rrsis_geo.text.query.records import Query, Rank
from rrsis_geo.text.vocabulary import pluralize, singularize

SEED: Final = 20_000_019
GSD_M: Final = 0.3
VIEW_PX: Final = 1500
THEMES: Final = (
    *("harbour", "town", "industrial", "airport"),
    *("sports", "riverside", "highway", "countryside"),
)
CATEGORIES: Final = (
    *("building", "car", "truck", "bus", "ship", "airplane", "storage tank", "parking lot"),
    *("swimming pool", "tennis court"),
)
LANDMARKS: Final = ("road", "parking lot", "building", "water", "storage tank")
SUPERLATIVES: Final = ("largest", "longest", "widest")
PLACES: Final = (
    *("in the northern half", "in the southern half", "on the left", "on the right"),
    *("in the north-east", "in the bottom left corner", "in the centre of the image"),
)
MORE_PLACES: Final = (
    *("in the north-west", "in the south-east", "in the south-west", "in the top left corner"),
    *("at the northern edge", "at the southern edge", "at the western edge", "at the right edge"),
    *("in the top third", "in the bottom third", "in the western third", "in the eastern third"),
    *(f"within 50 m of the {landmark}" for landmark in LANDMARKS),
)
"""For superlatives, of which few have a clear lead."""
DISTANCES_M: Final = (10, 20, 50, 100)
LEAD: Final = 1.25
LEAST: Final = 4
"""Objects that a superlative compares."""
MATCH_IOU: Final = 0.5
INFORMATIVE: Final = (0.15, 0.85)
"""Shares of the objects that a question of distance or region selects."""


@dataclass(frozen=True, slots=True)
class Exact(MeasuredPolygons):
    """Exact objects of one category; the fields are [N]."""

    polygons: NDArray[Any]
    area_m2: NDArray[np.float64]
    number: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.polygons)

    @property
    def score(self) -> NDArray[np.float64]:
        """All are certain."""
        return np.ones(len(self))

    def take(self, index: NDArray[np.intp]) -> Self:
        """Some of them."""
        return type(self)(self.polygons[index], self.area_m2[index], self.number[index])


class Question(NamedTuple):
    """An expression about objects of a category, and the numbers of the right ones."""

    kind: str
    expression: str
    category: str
    right: frozenset[int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="btdnet-lite")
    parser.add_argument("--size", type=int, default=6000, help="side of the scene, pixels")
    parser.add_argument("--questions", type=int, default=30, help="most of each kind")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--answers", action="store_true", help="print every question")
    parser.add_argument("--json", type=Path, help="also write the scores to this file")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "scene.tif")
        exact = paint_mosaic(path, args.size, args.seed)
        with open_scene(str(path)) as scene:
            questions = ask(exact, scene.info, args.questions, args.seed)
        found = segment(path, questions, args.model)
    scores: dict[str, list[tuple[int, int]]] = {}
    for question in questions:
        right, n = score(question, exact[question.category], found)
        scores.setdefault(question.kind, []).append((right, n))
        if args.answers:
            print(f"{right} of {n}: {question.expression}", flush=True)
    print_header(f"{args.model}, {args.size} px", "questions", "objects", "right")
    for kind, counts in scores.items():
        right, n = np.sum(counts, axis=0)
        print_row(kind, len(counts), n, f"{right / max(n, 1):.3f}")
    if args.json:
        args.json.write_text(json.dumps(scores, indent=2) + "\n")


def paint_mosaic(path: Path, size_px: int, seed: int) -> dict[str, Exact]:
    """Write a scene of painted views, and return its objects by category."""
    image = np.zeros((size_px, size_px, 3), np.uint8)
    transform = from_origin(500_000, 5_500_000, GSD_M, GSD_M)
    outlines: dict[str, list[Any]] = {category: [] for category in {*CATEGORIES, *LANDMARKS}}
    steps = range(0, size_px, VIEW_PX)
    for number, (row, col) in enumerate((row, col) for row in steps for col in steps):
        height, width = (min(VIEW_PX, size_px - start) for start in (row, col))
        rng = np.random.default_rng([seed, number])
        theme = THEMES[number % len(THEMES)]
        view = paint_scene(rng, height, width, GSD_M, theme=theme)
        image[row : row + height, col : col + width] = view.image
        for item in view.instances:
            if item.category in outlines and item.mask.any():
                corner = Affine.translation(col + item.bbox[1], row + item.bbox[0])
                outlines[item.category].append(outline(item.mask, transform @ corner))
    write_scene(path, image)
    return {category: exact_objects(polygons) for category, polygons in outlines.items()}


def outline(mask: NDArray[np.bool_], transform: Affine) -> Any:
    """The outline of a mask along its pixels."""
    shapes = rasterio.features.shapes(mask.astype(np.uint8), mask, transform=transform)
    return shapely.union_all([shapely.geometry.shape(each) for each, _ in shapes])


def exact_objects(polygons: list[Any]) -> Exact:
    """Exact objects, numbered in order."""
    outlines = np.array([*polygons, None], object)[:-1]
    return Exact(outlines, shapely.area(outlines), np.arange(len(outlines)))


def ask(exact: Mapping[str, Exact], info: SceneInfo, most: int, seed: int) -> list[Question]:
    """Questions of each kind that have a clear answer."""
    rng = np.random.default_rng(seed)
    found: list[Question] = []
    for kind, write in (
        ("superlative", superlatives),
        ("distance", distances),
        ("region", regions),
    ):
        expressions = list(write())
        chosen: list[Question] = []
        for index in rng.permutation(len(expressions)):
            category, expression = expressions[index]
            right = answer(expression, category, exact, info, kind)
            is_new = kind != "superlative" or all(right != each.right for each in chosen)
            if right and is_new and len(chosen) < most:
                chosen.append(Question(kind, expression, category, right))
        found += chosen
    return found


def superlatives() -> Iterator[tuple[str, str]]:
    """Category and expression."""
    for category in CATEGORIES:
        for word in SUPERLATIVES:
            yield category, f"the {word} {category}"
            for place in (*PLACES, *MORE_PLACES):
                if not place.endswith(category):
                    yield category, f"the {word} {category} {place}"


def distances() -> Iterator[tuple[str, str]]:
    """Category and expression."""
    for category in CATEGORIES:
        for landmark in LANDMARKS:
            for limit_m in DISTANCES_M:
                if landmark != category:
                    yield category, f"{pluralize(category)} within {limit_m} m of the {landmark}"


def regions() -> Iterator[tuple[str, str]]:
    """Category and expression."""
    for category in CATEGORIES:
        for place in PLACES:
            yield category, f"{pluralize(category)} {place}"


def answer(
    expression: str, category: str, exact: Mapping[str, Exact], info: SceneInfo, kind: str
) -> frozenset[int]:
    """The numbers of the exact objects that are meant; empty where that is not clear."""
    query = parse_query(expression)

    def read(phrase: str, is_target: bool) -> Iterator[Exact]:
        yield exact[singularize(phrase)]

    def numbers(query: Query) -> frozenset[int]:
        found = Resolver(read, scenes_frame([info]), prefix=None).meant(query)
        return frozenset(int(number) for objects, _ in found for number in objects.number)

    if kind != "superlative":
        right = numbers(query)
        share = len(right) / max(len(exact[category]), 1)
        return right if INFORMATIVE[0] <= share <= INFORMATIVE[1] else frozenset()
    *filters, rank = query.rules
    assert isinstance(rank, Rank)
    among = exact[category].take(
        np.array(sorted(numbers(Query(query.sources, tuple(filters)))), np.intp)
    )
    if len(among) < LEAST:
        return frozenset()
    sizes = among.area_m2 if rank.key == "area" else sides_m(among.polygons)[rank.key]
    second, first = np.argsort(sizes)[-2:]
    is_clear = sizes[first] > LEAD * sizes[second]
    return frozenset([int(among.number[first])] if is_clear else [])


def sides_m(polygons: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """Length and width of the smallest rectangle about each."""
    boxes = shapely.get_exterior_ring(shapely.minimum_rotated_rectangle(polygons))
    points = np.array([shapely.get_coordinates(box)[:3] for box in boxes])
    steps: NDArray[np.float64] = np.hypot(*np.moveaxis(np.diff(points, axis=1), 2, 0))
    return {"length": steps.max(1), "width": steps.min(1)}


def segment(path: Path, questions: list[Question], model: str) -> dict[str, NDArray[Any]]:
    """Polygons that `segment` finds for each question, and for each category alone."""
    plain = [pluralize(category) for category in dict.fromkeys(each.category for each in questions)]
    expressions = [*plain, *(question.expression for question in questions)]
    vector = path.with_name("found.gpkg")
    report = segment_scene(str(path), expressions, Outputs(vector), SegmentOptions(model=model))
    names = [result.layer for result in report.results]
    frames = [gpd.read_file(vector, layer=name) for name in names]
    return {
        expression: np.array([*frame.geometry, None], object)[:-1]
        for expression, frame in zip(expressions, frames, strict=True)
    }


def score(question: Question, exact: Exact, found: Mapping[str, NDArray[Any]]) -> tuple[int, int]:
    """Number of right answers, and of answers that count."""
    answers = found[question.expression]
    if question.kind == "superlative":
        numbers, _ = best_matches(answers, exact)
        return int(len(numbers) == 1 and int(numbers[0]) in question.right), 1
    candidates = found[pluralize(question.category)]
    numbers, iou = best_matches(candidates, exact)
    given = {shapely.normalize(polygon).wkb for polygon in answers}
    verdicts = [
        (shapely.normalize(polygon).wkb in given) == (int(number) in question.right)
        for polygon, number in zip(
            candidates[iou >= MATCH_IOU], numbers[iou >= MATCH_IOU], strict=True
        )
    ]
    return sum(verdicts), len(verdicts)


def best_matches(
    polygons: NDArray[Any], exact: Exact
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The exact object that each polygon [N] shares most area with, -1 for none, and their IoU."""
    index, number = shapely.STRtree(exact.polygons).query(polygons, predicate="intersects")
    shared = shapely.area(shapely.intersection(polygons[index], exact.polygons[number]))
    order = np.argsort(shared)  # the last one stays
    best, area = np.full(len(polygons), -1), np.zeros(len(polygons))
    best[index[order]], area[index[order]] = number[order], shared[order]
    union = shapely.area(polygons) + np.where(best >= 0, exact.area_m2[best], 0) - area
    return best, area / np.maximum(union, 1e-9)


if __name__ == "__main__":
    main()
