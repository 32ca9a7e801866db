"""Language alone: sentences about painted scenes, resolved over the painter's exact objects.

The right objects are worked out from pixels, see `painted_truth`. tests/text/query/expressions.txt
has the readings of other sentences, which people checked.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import pytest
import rasterio.features
import shapely
import shapely.geometry
from affine import Affine
from numpy.typing import NDArray
from painted_sentences import Sentence, write_sentences
from painted_truth import GSD_M, Truth

from rrsis_geo.data.painter.scene import paint_scene
from rrsis_geo.resolve.batches import MeasuredPolygons
from rrsis_geo.resolve.frame import Float64, Frame, Polygons
from rrsis_geo.resolve.resolver import Resolver
from rrsis_geo.text.query.parser import parse_query
from rrsis_geo.text.vocabulary import pluralize

SEED = 400
SIDE_PX = 640
THEMES = ("town", "harbour", "industrial", "sports")
KINDS = {
    "target": 16, "superlative": 16, "ordinal, count": 16, "extreme of place": 16, "region": 16,
    "side": 12, "distance": 18, "closest": 12, "geometry": 10, "measure": 18, "group": 8,
    "negation": 14, "alternative": 14, "composition": 14,
}  # fmt: skip
PHRASE = re.compile(r"(?:(?P<colour>[a-z]+) )?(?P<category>{})(?: on the (?P<surface>.+))?")


@dataclass(frozen=True, slots=True)
class PaintedObjects(MeasuredPolygons):
    """Some objects of a painted scene.

    Attributes:
        index: int [N], their numbers in the scene.
        polygons: shapely [N], x and y in metres.
        area_m2: float64 [N].
    """

    index: NDArray[np.intp]
    polygons: Polygons
    area_m2: Float64

    @property
    def score(self) -> Float64:
        """The network is sure of all."""
        return np.ones(len(self))

    def __len__(self) -> int:
        return len(self.index)

    def take(self, index: NDArray[np.intp]) -> Self:
        """Some of them."""
        return type(self)(self.index[index], self.polygons[index], self.area_m2[index])


class PaintedScene:
    """A painted scene whose objects a perfect network finds."""

    def __init__(self, theme: str) -> None:
        rng = np.random.default_rng([SEED, *theme.encode()])
        self.truth = Truth(paint_scene(rng, SIDE_PX, SIDE_PX, GSD_M, theme=theme))
        outlines = [_outline(pixels, self.truth.shape) for pixels in self.truth.pixels]
        self._objects = PaintedObjects(
            np.arange(len(outlines)), np.array(outlines, object), self.truth.area_m2
        )
        categories = set(self.truth.category.tolist())
        self._categories = {pluralize(each): each for each in categories} | {"water": "water"}
        self._pattern = re.compile(PHRASE.pattern.format("|".join(self._categories)))

    def read(self, phrase: str, is_target: bool) -> Iterator[PaintedObjects]:
        """The objects that a phrase without rules names, in batches of ten."""
        match = self._pattern.fullmatch(phrase)
        assert match is not None, phrase
        colour, surface = (match[name] or "" for name in ("colour", "surface"))
        category = self._categories[match["category"]]
        found = np.flatnonzero(self.truth.are(category, colour, surface))
        for start in range(0, len(found), 10):
            yield self._objects.take(found[start : start + 10])

    def answer(self, expression: str) -> set[int]:
        """The numbers of the objects that an expression means."""
        side_m = SIDE_PX * GSD_M
        corners = np.array([(0, 0), (side_m, 0), (side_m, -side_m), (0, -side_m)], float)
        frame = Frame(corners, lambda points: points, y_is_down=False)
        found = Resolver(self.read, frame).meant(parse_query(expression))
        return {int(number) for objects, _ in found for number in objects.index}


def _outline(pixels: NDArray[np.int_], shape: tuple[int, int]) -> shapely.Geometry:
    mask = np.zeros(shape, np.uint8)
    mask[tuple(pixels.T)] = 1
    transform = Affine.scale(GSD_M, -GSD_M)
    shapes = rasterio.features.shapes(mask, mask.astype(bool), transform=transform)
    return shapely.union_all([shapely.geometry.shape(outline) for outline, _ in shapes])


class Answer(NamedTuple):
    """A sentence, the objects that it means, and those that were found."""

    sentence: Sentence
    expected: set[int]
    found: set[int]


def answer_sentences(themes: Sequence[str], kinds: dict[str, int]) -> Iterator[Answer]:
    """Sentences about painted scenes with their answers."""
    scenes = {scene.truth: scene for scene in map(PaintedScene, themes)}
    for truth, sentence in write_sentences(list(scenes), kinds, SEED):
        expected = set(np.flatnonzero(sentence.flags).tolist())
        yield Answer(sentence, expected, scenes[truth].answer(sentence.text))


def test_language_over_one_scene() -> None:
    for answer in answer_sentences(["harbour"], dict.fromkeys(KINDS, 2)):
        assert answer.found == answer.expected, answer.sentence.text


@pytest.mark.slow
def test_language_over_painted_scenes() -> None:
    right: dict[str, list[bool]] = defaultdict(list)
    wrong = []
    for sentence, expected, found in answer_sentences(THEMES, KINDS):
        right[sentence.kind].append(found == expected)
        if found != expected:
            wrong.append(f"{sentence.text}: {sorted(expected)}, found {sorted(found)}")
    for kind, each in right.items():
        print(f"{kind}: {sum(each)} of {len(each)}")
    n = sum(map(len, right.values()))
    assert n == sum(KINDS.values()) == 200
    assert len(wrong) <= 0.02 * n, "\n".join(wrong)
