"""Rules over objects that are split and measured only where that is asked for."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from rrsis_geo.geo.crs import as_proj
from rrsis_geo.geo.objects import split as split_module
from rrsis_geo.geo.objects.candidates import Candidates, make_candidates, make_features
from rrsis_geo.geo.objects.features import FeatureOptions, Features
from rrsis_geo.geo.objects.objects import Objects
from rrsis_geo.geo.objects.vectorize import vectorize
from rrsis_geo.geo.plane import metres_about
from rrsis_geo.resolve.frame import Frame
from rrsis_geo.resolve.splitting import split_phrases
from rrsis_geo.segment.results.meant import meant_features
from rrsis_geo.text.query.parser import parse_query

SIDE_PX = 240
UTM = CRS.from_epsg(32645)
OPTIONS = FeatureOptions(
    transform=Affine(0.5, 0, 334_000, 0, -0.5, 3_065_000), crs=UTM, expression="", model=""
)
EXPRESSIONS = (
    *("the largest building", "the second largest building", "the 3 largest buildings"),
    *("the largest building in the north", "the 30 largest buildings", "the smallest building"),
    *("the 2 largest buildings within 20 m of another building", "isolated buildings"),
    *("the largest isolated building", "buildings longer than 12 m", "the northernmost building"),
    "all buildings but the largest",
)


def draw(seed: int, n_batches: int) -> list[Objects]:
    """Squares of a plane, many of which touch, in batches."""
    rng = np.random.default_rng(seed)
    probability = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    for _ in range(40):
        row, col = rng.integers(0, SIDE_PX - 30, 2)
        height, width = rng.integers(4, 30, 2)
        probability[row : row + height, col : col + width] = rng.choice([0.6, 0.9, 0.95])
    objects = vectorize(probability > 0.5, probability)
    return [objects.take(each) for each in np.array_split(np.arange(len(objects)), n_batches)]


def frame() -> Frame:
    corners = np.array([OPTIONS.transform @ xy for xy in ((0, 0), (1, 0), (1, 1), (0, 1))])
    corners = corners[0] + (corners - corners[0]) * SIDE_PX
    return Frame(corners, metres_about(as_proj(UTM), corners.mean(0)), y_is_down=False)


def answer(expression: str, batches: list[Objects], *, lazy: bool) -> list[list[object]]:
    query = parse_query(expression)
    splits = split_phrases(query)

    def read(phrase: str, is_target: bool) -> Iterator[Candidates | Features]:
        options = replace(OPTIONS, split=splits.includes(phrase, is_target=is_target))
        return (make_candidates if lazy else make_features)(batches, options)

    found = []
    for each in meant_features(query, read, frame(), None):
        facts = zip(*(map(str, values) for values in each.facts.values()), strict=True)
        rows = zip(each.polygons, each.id, each.area_m2, each.split_from, each.score, strict=True)
        found += [[row[0].wkb_hex, *row[1:]] for row in rows]
        found += map(list, facts)
    return found


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 999), st.integers(1, 5), st.sampled_from(EXPRESSIONS))
def test_rules_choose_what_they_choose_of_measured_objects(
    seed: int, n_batches: int, expression: str
) -> None:
    batches = draw(seed, n_batches)
    assert answer(expression, batches, lazy=True) == answer(expression, batches, lazy=False)


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        (UTM, OPTIONS.transform),
        (UTM, Affine(0.3, 0.4, 334_000, 0.4, -0.3, 3_065_000)),
        (CRS.from_epsg(4326), Affine(1e-3, 0, 10, 0, -1e-3, 70)),
        (CRS.from_epsg(3857), Affine(100, 0, 0, 0, -100, 9_000_000)),
    ],
)
def test_no_part_is_larger_than_the_limit_of_its_object(crs: CRS, transform: Affine) -> None:
    options = replace(OPTIONS, crs=crs, transform=transform, split=True)
    for seed in range(5):
        (wholes,) = make_candidates(draw(seed, 1), options)
        limits, areas = wholes.area_limit_m2, wholes.area_m2
        assert (limits >= areas).all()
        if crs == UTM:
            assert (limits <= areas * 1.01 + 0.02).all()
        parts = wholes.parts()
        limit_of = dict(zip(wholes.numbers.tolist(), limits.tolist(), strict=True))
        owners = [limit_of[number] for number in parts.numbers.tolist()]
        assert len(parts) > len(wholes)
        assert (parts.area_m2 <= owners).all()


def test_the_largest_are_found_without_splitting_all(monkeypatch: pytest.MonkeyPatch) -> None:
    n_split: list[int] = []

    def split_batch(objects: Objects, numbers: object) -> object:
        n_split.append(len(objects))
        return original(objects, numbers)

    original = split_module.split_batch
    monkeypatch.setattr(split_module, "split_batch", split_batch)
    batches = draw(3, 4)
    batches.sort(key=lambda batch: -int(batch.n_pixels.max()))
    assert answer("the largest building", batches, lazy=True)
    assert n_split[0] == len(batches[0])
    assert sum(n_split[1:]) < sum(map(len, batches[1:])) / 2
