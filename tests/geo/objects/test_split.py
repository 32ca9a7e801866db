"""Objects that touch are split at narrow necks; compact objects and networks stay whole."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rrsis_geo.geo.objects.objects import NO_OBJECTS, Objects
from rrsis_geo.geo.objects.split import MAX_BOX_PIXELS, split_objects
from rrsis_geo.geo.objects.vectorize import BandVectorizer, merge_shards, vectorize

Mask = NDArray[np.bool_]
Box = tuple[int, int, int, int]


def boxes(*corners: Box) -> Mask:
    """A mask of boxes (row, column, row stop, column stop)."""
    *_, bottom, right = np.max(corners, axis=0)
    mask = np.zeros((bottom + 2, right + 2), bool)
    for row, column, row_stop, column_stop in corners:
        mask[row:row_stop, column:column_stop] = True
    return mask


def discs(*circles: tuple[float, float, float], size: int = 90) -> Mask:
    """A mask of discs (row, column, radius)."""
    row, column = np.mgrid[:size, :size]
    return np.any([np.hypot(row - y, column - x) <= r for y, x, r in circles], axis=0)


def turned(mask: Mask, degrees: float) -> Mask:
    """A mask turned about its middle."""
    height, width = mask.shape
    size = int(np.hypot(height, width)) + 4
    row, column = np.mgrid[:size, :size] - size / 2
    angle = np.radians(degrees)
    back = np.round(
        [
            np.cos(angle) * row - np.sin(angle) * column + height / 2,
            np.sin(angle) * row + np.cos(angle) * column + width / 2,
        ]
    ).astype(int)
    inside = (back >= 0).all(0) & (back[0] < height) & (back[1] < width)
    return inside & mask[tuple(back.clip(0, [[[height - 1]], [[width - 1]]]))]


def vectorized(mask: Mask) -> Objects:
    return vectorize(mask, np.full(mask.shape, 0.8, np.float32))


def parts_of(mask: Mask) -> Objects:
    """The parts of all objects of a mask."""
    (parts,) = split_objects([vectorized(mask)])
    return parts


def plane() -> Mask:
    """An aircraft from above: fuselage, swept wings with engines, tailplane."""
    row, column = np.mgrid[:60, :60]
    out = np.abs(column - 30)
    wings = (out <= 25) & (np.abs(row - 25.5 - out / 2) <= 3.5)
    tail = (out <= 9) & (np.abs(row - 50 - 0.4 * out) <= 2)
    engines = (np.abs(out - 11) <= 1) & (np.abs(row - 26) <= 4)
    return (out <= 3) & (np.abs(row - 30) <= 25) | wings | tail | engines


def ship() -> Mask:
    """A long hull with a bow and a crooked outline."""
    rng = np.random.default_rng(4)
    column = np.arange(120)
    half = 8 * np.clip(4 * (1 - column / 120), 0, 1) + rng.uniform(-1, 1, 120)
    return np.abs(np.mgrid[:24, :120][0] - 12) <= half


WHOLE = {
    "roof with a bump": boxes((0, 0, 40, 40), (19, 40, 21, 42), (17, 42, 23, 48)),
    "rectangle": boxes((0, 0, 20, 50)),
    "disc": discs((40, 40, 30)),
    "L": boxes((0, 0, 20, 60), (0, 0, 60, 20)),
    "T": boxes((0, 0, 20, 60), (0, 20, 60, 40)),
    "U": boxes((0, 0, 20, 60), (0, 0, 60, 20), (40, 0, 60, 60)),
    "plus": boxes((20, 0, 40, 60), (0, 20, 60, 40)),
    "courtyard": boxes((0, 0, 15, 60), (45, 0, 60, 60), (0, 0, 60, 15), (0, 45, 60, 60)),
    "house with a narrower wing": boxes((0, 0, 40, 40), (12, 40, 26, 80)),
    "aircraft": plane(),
    "ship": ship(),
    "crossing with a bottleneck": boxes(
        (95, 0, 105, 60), (98, 60, 102, 70), (95, 70, 105, 200), (0, 120, 200, 130)
    ),
    "two pixels wide": boxes((0, 0, 2, 30), (0, 8, 1, 10)),
    "wide neck": boxes((0, 0, 20, 20), (2, 20, 18, 24), (0, 24, 20, 44)),
}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("degrees", [0, 17, 45])
def test_compact_objects_and_networks_stay_whole(name: str, degrees: float) -> None:
    mask = WHOLE[name] if not degrees else turned(WHOLE[name], degrees)
    whole = vectorized(mask)
    assert parts_of(mask).to_arrays().keys() == whole.to_arrays().keys()
    assert len(parts_of(mask)) == len(whole)


TOUCHING = {
    "two discs": (discs((30, 20, 16), (30, 50, 16)), 2),
    "two small squares": (boxes((0, 0, 6, 6), (2, 6, 4, 8), (0, 8, 6, 14)), 2),
    "house and garage": (boxes((0, 0, 40, 40), (10, 40, 18, 44), (6, 44, 22, 60)), 2),
    "three cars": (
        boxes((0, 0, 10, 20), (4, 20, 7, 22), (0, 22, 10, 42), (4, 42, 7, 44), (0, 44, 10, 64)),
        3,
    ),
    "four roofs": (
        boxes(
            *((0, 0, 30, 30), (0, 32, 30, 62), (32, 0, 62, 30), (32, 32, 62, 62)),
            *((10, 28, 16, 34), (45, 28, 50, 34), (28, 12, 34, 18), (28, 45, 34, 50)),
        ),
        4,
    ),
}


@pytest.mark.parametrize("name", TOUCHING)
def test_objects_that_touch_are_split(name: str) -> None:
    mask, n = TOUCHING[name]
    whole, parts = vectorized(mask), parts_of(mask)
    assert len(parts) == n
    assert parts.n_pixels.sum() == mask.sum()
    polygons = parts.polygons()
    assert shapely.is_valid(polygons).all()
    assert shapely.area(polygons).tolist() == parts.n_pixels.tolist()
    union = shapely.union_all(polygons)
    assert union.equals(shapely.union_all(whole.polygons()))


def test_the_cut_is_at_the_neck() -> None:
    parts = parts_of(boxes((0, 0, 20, 20), (8, 20, 12, 22), (0, 22, 20, 42)))
    assert parts.n_pixels.tolist() == [404, 404]
    assert parts.outlines.bounds().tolist() == [[0, 0, 21, 20], [21, 0, 42, 20]]


def test_parts_have_the_score_of_the_whole_and_its_number() -> None:
    mask = boxes((0, 0, 5, 20), (10, 0, 20, 10), (14, 10, 16, 12), (10, 12, 20, 22))
    whole = vectorized(mask)
    assert len(whole) == 2
    parts = parts_of(mask)
    assert parts.split_from.tolist() == [0, 2, 2]
    assert parts.mean_probability() == pytest.approx(0.8, abs=1e-6)
    assert parts.probability_max == pytest.approx(0.8)
    last = parts.last_pixel
    assert (np.diff(last[:, 0] * 100 + last[:, 1]) > 0).all()


def test_no_objects() -> None:
    assert len(parts_of(np.zeros((5, 5), bool))) == 0
    assert [len(batch) for batch in split_objects([NO_OBJECTS, NO_OBJECTS])] == [0, 0]


def test_huge_objects_stay_whole() -> None:
    """Two squares that touch, below and above the limit of the bounding box."""
    for side, n in ((1200, 2), (1500, 1)):
        mask = boxes((0, 0, side, side), (9, side, 50, side + 2), (0, side + 2, side, 2 * side + 2))
        assert (2 * side * (side + 1) > MAX_BOX_PIXELS) == (n == 1)
        assert len(parts_of(mask)) == n


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(1, 119), max_size=3))
def test_parts_do_not_depend_on_shards(seed: int, cuts: Sequence[int]) -> None:
    rng = np.random.default_rng(seed)
    circles = np.column_stack([rng.uniform(0, 120, (25, 2)), rng.uniform(3, 12, 25)])
    mask = discs(*map(tuple, circles), size=120)
    probability = rng.random(mask.shape, np.float32)
    expected = Objects.concat(list(split_objects([vectorize(mask, probability)])))

    def shards():
        for start, stop in pairwise(sorted({0, 120, *cuts})):
            vectorizer = BandVectorizer(120, row_start=start)
            closed = vectorizer.add_band(start, mask[start:stop], probability[start:stop])
            yield closed, vectorizer.finish()

    found = Objects.concat(list(split_objects(merge_shards(shards()))))
    for name, values in expected.to_arrays().items():
        assert np.array_equal(found.to_arrays()[name], values), name
    assert np.array_equal(found.split_from, expected.split_from)
    table = shapely.area(shapely.intersection(found.polygons()[:, None], found.polygons()[None]))
    assert table.sum() == mask.sum()  # no overlaps, nothing lost


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_parts_of_an_object_do_not_depend_on_other_objects(seed: int) -> None:
    """Objects are split many at a time; each is split as it is alone."""
    rng = np.random.default_rng(seed)
    circles = np.column_stack([rng.uniform(0, 200, (40, 2)), rng.uniform(2, 16, 40)])
    mask = discs(*map(tuple, circles), size=200)
    objects = vectorize(mask, rng.random(mask.shape, np.float32))
    (together,) = split_objects([objects])
    alone = list(split_objects([objects.take(np.array([i])) for i in range(len(objects))]))
    expected = Objects.concat(alone)
    for name, values in expected.to_arrays().items():
        assert np.array_equal(together.to_arrays()[name], values), name
    assert np.array_equal(together.split_from, expected.split_from)


def test_an_object_and_its_holes_are_rasterized_exactly() -> None:
    """A part is cut out of the pixels of the object: with its holes, where they are."""
    mask = TOUCHING["two discs"][0]
    mask[28:33, 18:23] = False
    parts = parts_of(mask)
    assert len(parts) == 1  # the hole makes the left disc a ring
    assert parts.n_pixels.sum() == mask.sum()
