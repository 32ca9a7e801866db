"""Expressions over painted scenes: the rules choose the objects that are meant."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from noun_scenes import (
    BOXES,
    DEGREES,
    EXPECTED,
    NORTH_UP,
    ROTATED,
    SOUTH_UP,
    Box,
    NounPredictor,
    content_of,
    names_of,
    read,
    tall_boxes,
    write,
)
from numpy.typing import NDArray
from scene_files import write_scene

from rrsis_geo.errors import ConfigError, InputError
from rrsis_geo.geo.objects.features import Features
from rrsis_geo.geo.scene.options import SceneOptions
from rrsis_geo.model.facts import ModelFacts
from rrsis_geo.resolve.frame import Frame
from rrsis_geo.resolve.resolver import Resolver
from rrsis_geo.segment.from_probability import polygonize
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs, layer_names
from rrsis_geo.segment.results.report import SegmentReport
from rrsis_geo.segment.scene import merge_job, segment_part, segment_scene
from rrsis_geo.text.query.parser import parse_query


def segment(
    scene: Path, expressions: Sequence[str], out: Path, *, no_crs: bool = False, rows: int = 0
) -> SegmentReport:
    options = SegmentOptions(
        overlap_px=16, rows_per_shard=rows or None, scene=SceneOptions(allow_no_crs=no_crs)
    )
    return segment_scene(scene, expressions, Outputs(out), options, predictor=NounPredictor())


def names_in(path: Path, expression: str, expressions: Sequence[str], transform: Affine) -> str:
    """Names of the objects of a layer, sorted."""
    layer = dict(zip(expressions, layer_names(expressions), strict=True))[expression]
    return names_of(gpd.read_file(path, layer=layer), transform)


@pytest.fixture(scope="module", params=[("EPSG:32632", NORTH_UP), ("EPSG:4326", DEGREES)])
def run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Affine, SegmentReport]:
    """All expressions over one scene, in metres and in degrees."""
    folder = tmp_path_factory.mktemp("resolve")
    crs, transform = request.param
    scene = write(folder / "scene.tif", transform, crs)
    report = segment(scene, list(EXPECTED), folder / "o.gpkg")
    return folder / "o.gpkg", transform, report


@pytest.mark.parametrize("expression", EXPECTED)
def test_objects_that_are_meant(run: tuple[Path, Affine, SegmentReport], expression: str) -> None:
    path, transform, report = run
    assert names_in(path, expression, list(EXPECTED), transform) == EXPECTED[expression]
    (result,) = [each for each in report.results if each.expression == expression]
    assert bool(result.reading) == (expression != "the buildings")


@pytest.mark.parametrize("suffix", [".gpkg", ".shp", ".geojson", ".fgb", ".parquet"])
def test_candidates_in_every_format(tmp_path: Path, suffix: str) -> None:
    scene = write(tmp_path / "scene.tif", NORTH_UP, "EPSG:32632")
    out = tmp_path / f"o{suffix}"
    outputs = Outputs(out, keep_candidates=True)
    report = segment_scene(
        scene,
        "the two cars closest to the road in the northern half",
        outputs,
        SegmentOptions(overlap_px=16),
        predictor=NounPredictor(),
    )
    (result,) = report.results
    assert (result.n_objects, result.n_candidates) == (2, 4)
    layer = read(out).sort_values("distance_m")
    assert layer["chosen"].astype(bool).tolist() == [True, True, False, False]
    assert layer["distance_m"].tolist() == pytest.approx([44, 74, 84, 114], abs=0.1)
    assert layer["region"].fillna("").tolist() == [*["northern half"] * 2, "", "northern half"]
    rank = [None if np.isnan(each) else int(each) for each in layer["rank"]]
    assert rank == [1, 2, None, 3]
    assert sorted(layer["id"]) == [1, 2, 3, 4]
    assert result.area_m2 == pytest.approx(48, rel=1e-3)


CANDIDATES = {
    "the largest building or the smallest building": ("AC", "B"),
    "buildings that are not small": ("AB", "C"),
    "the largest building or cars": ("Aabcd", "BC"),
    "the buildings": ("ABC", ""),
    "the northernmost car within 300 m of the largest building": ("d", "abc"),
}


def test_candidates_are_all_objects_of_the_targets(tmp_path: Path) -> None:
    scene = write(tmp_path / "scene.tif", NORTH_UP, "EPSG:32632")
    expressions = list(CANDIDATES)
    outputs = Outputs(tmp_path / "o.gpkg", keep_candidates=True, report=tmp_path / "o.html")
    options = SegmentOptions(overlap_px=16)
    report = segment_scene(scene, expressions, outputs, options, predictor=NounPredictor())
    for (chosen, others), result in zip(CANDIDATES.values(), report.results, strict=True):
        layer = gpd.read_file(outputs.vector, layer=result.layer)
        assert names_of(layer[layer.chosen], NORTH_UP) == chosen
        assert names_of(layer[~layer.chosen], NORTH_UP) == others
        assert (result.n_objects, result.n_candidates) == (len(chosen), len(chosen + others))
    assert "2 objects of 3 candidates" in (tmp_path / "o.html").read_text()


def test_what_reaches_the_border_is_marked(tmp_path: Path) -> None:
    boxes = [
        Box("A", "building", (0, 20), (100, 120)),
        Box("B", "building", (1, 20), (140, 160)),
        Box("C", "building", (200, 230), (300, 320)),
        Box("a", "building", (100, 120), (60, 80)),  # half of it is in the area of interest
        Box("b", "building", (100, 120), (20, 40)),
    ]
    scene = write(tmp_path / "scene.tif", NORTH_UP, "EPSG:32632", boxes)
    area = shapely.Polygon([NORTH_UP @ xy for xy in ((0, 0), (0, 250), (140, 0))])
    gpd.GeoSeries([area], crs="EPSG:32632").to_file(tmp_path / "aoi.gpkg")

    def at_border(name: str, scene_options: SceneOptions) -> dict[str, bool]:
        options = SegmentOptions(overlap_px=16, simplify_m=3, scene=scene_options)
        outputs = Outputs(tmp_path / f"{name}-out.gpkg")
        segment_scene(scene, "the buildings", outputs, options, predictor=NounPredictor())
        layer = gpd.read_file(outputs.vector)
        return {
            names_of(layer[i : i + 1], NORTH_UP, boxes): layer.touches_border[i]
            for i in range(len(layer))
        }

    assert at_border("whole", SceneOptions()) == {
        "A": True,
        "B": False,
        "C": True,
        "a": False,
        "b": False,
    }
    assert at_border("aoi", SceneOptions(aoi=tmp_path / "aoi.gpkg")) == {
        "A": True,
        "a": True,
        "b": False,
    }
    bbox = (*(NORTH_UP @ (0, 220)), *(NORTH_UP @ (70, 90)))
    assert at_border("bbox", SceneOptions(bbox=bbox)) == {"a": True, "b": False}


MISSING = {
    "cars within 50 m of the road": (0, "no object is within 50 m of"),
    "cars more than 1 km from the road": (4, "every object is at least 1 km from"),
    "cars that are not within 50 m of the road": (4, "no object is within 50 m of"),
    "cars within 50 m of the road or north of the road": (
        0,
        'no object is within 50 m of "roads" and no object is north of',
    ),
    "cars north of the road": (0, "no object is north of"),
    "the car closest to the road": (0, "no object is the closest to"),
}


@pytest.mark.parametrize("expression", MISSING)
def test_what_follows_from_a_missing_landmark_is_a_warning(tmp_path: Path, expression: str) -> None:
    boxes = [box for box in BOXES if box.noun != "road"]
    scene = write(tmp_path / "scene.tif", NORTH_UP, "EPSG:32632", boxes)
    report = segment(scene, [expression], tmp_path / "o.gpkg")
    n_objects, text = MISSING[expression]
    assert report.n_objects == n_objects
    assert report.warnings == (f'"roads" was not found in the scene, so {text} "roads"',)


def test_facts_are_columns(run: tuple[Path, Affine, SegmentReport]) -> None:
    path, _, _ = run
    two = gpd.read_file(path, layer="the_two_largest_buildings")
    assert two.sort_values("area_m2", ascending=False)["rank"].tolist() == [1, 2]
    assert two["id"].tolist() == [1, 2]
    near = gpd.read_file(path, layer="cars_within_15_m_of_a_building")
    assert near["distance_m"].tolist() == [pytest.approx(10, abs=0.1)]
    assert "rank" not in near
    plain = gpd.read_file(path, layer="the_buildings")
    assert not {"rank", "distance_m", "region", "chosen"} & set(plain)
    half = gpd.read_file(path, layer="cars_in_the_northern_half")
    assert half["region"].tolist() == ["northern half"] * 3


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        (SOUTH_UP, {"northernmost": "c", "southernmost": "d", "topmost": "c", "leftmost": "a"}),
        (ROTATED, {"northernmost": "b", "southernmost": "c", "westernmost": "a"}),
    ],
    ids=["south up", "rotated"],
)
def test_compass_words_go_by_the_ground(
    tmp_path: Path, transform: Affine, expected: dict[str, str]
) -> None:
    scene = write(tmp_path / "scene.tif", transform, "EPSG:32632")
    expressions = [f"the {word} car" for word in expected]
    segment(scene, expressions, tmp_path / "o.gpkg")
    found = [names_in(tmp_path / "o.gpkg", each, expressions, transform) for each in expressions]
    assert found == list(expected.values())


def test_pixel_coordinates_point_down(tmp_path: Path) -> None:
    transform = Affine.identity()
    scene = write(tmp_path / "scene.tif", transform, None)
    expressions = ["the topmost car", "the largest building", "cars in the bottom half"]
    segment(scene, expressions, tmp_path / "o.gpkg", no_crs=True)
    found = [names_in(tmp_path / "o.gpkg", each, expressions, transform) for each in expressions]
    assert found == ["d", "A", "c"]
    segment(scene, ["the car closest to the road"], tmp_path / "near.gpkg", no_crs=True)
    assert np.isnan(gpd.read_file(tmp_path / "near.gpkg")["distance_m"]).tolist() == [True]
    with pytest.raises(ConfigError, match='"within 20 m of "roads"" needs metres'):
        segment(scene, ["cars within 20 m of the road"], tmp_path / "m.gpkg", no_crs=True)


def test_shortages_are_warnings(tmp_path: Path) -> None:
    scene = write(tmp_path / "scene.tif", NORTH_UP, "EPSG:32632")
    report = segment(scene, ["the ten largest buildings"], tmp_path / "o.gpkg")
    assert report.n_objects == 3
    assert report.warnings == ("the 10 largest: only 3 objects can be compared",)


def test_what_is_not_understood_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match='did you mean "largest"'):
        segment(tmp_path / "none.tif", ["the largset building"], tmp_path / "o.gpkg")


@pytest.mark.parametrize("suffix", [".gpkg", ".shp", ".geojson", ".fgb", ".parquet"])
def test_facts_in_every_format(tmp_path: Path, suffix: str) -> None:
    scene = write(tmp_path / "scene.tif", NORTH_UP, "EPSG:32632")
    out = tmp_path / f"o{suffix}"
    segment(scene, ["the car closest to the road"], out)
    layer = gpd.read_parquet(out) if suffix == ".parquet" else gpd.read_file(out, layer=0)
    assert (layer["rank"][0], layer["distance_m"][0]) == (1, pytest.approx(44, abs=0.1))


def test_shards_and_parts_give_the_same_layers(tmp_path: Path) -> None:
    scene = write_scene(
        tmp_path / "scene.tif",
        1300,
        210,
        transform=NORTH_UP,
        content=content_of(tall_boxes()),
    )
    expressions = ["the five largest buildings", "buildings within 60 m of the car", "buildings"]
    segment(scene, expressions, tmp_path / "whole.gpkg", rows=1536)
    outputs = Outputs(tmp_path / "parts.gpkg")
    options = SegmentOptions(overlap_px=16, rows_per_shard=512)
    predictor = NounPredictor()
    for part in (1, 2):
        segment_part(scene, expressions, outputs, (part, 2), options, predictor=predictor)
    merge_job(tmp_path / "parts.gpkg.job")
    for layer in layer_names(expressions):
        whole, parts = (
            gpd.read_file(tmp_path / name, layer=layer) for name in ("whole.gpkg", "parts.gpkg")
        )
        assert len(whole) > 2
        assert set(shapely.to_wkb(shapely.normalize(whole.geometry))) == set(
            shapely.to_wkb(shapely.normalize(parts.geometry))
        )
    largest = gpd.read_file(tmp_path / "parts.gpkg", layer="the_five_largest_buildings")
    everything = gpd.read_file(tmp_path / "parts.gpkg", layer="buildings")
    expected = sorted(everything.area_m2, reverse=True)[:5]
    assert sorted(largest.area_m2, reverse=True) == expected


class SentencePredictor(NounPredictor):
    """A model that was trained on whole sentences."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    @property
    def facts(self) -> ModelFacts:
        return replace(super().facts, language="network")

    def encode(self, expression: str) -> str:
        self.asked.append(expression)
        return expression


def test_models_trained_on_sentences_get_plain_ones_as_typed(tmp_path: Path) -> None:
    scene = write(tmp_path / "scene.tif", NORTH_UP, "EPSG:32632")
    expressions = ["The building is next to the car", "all the cars", "the largest building"]
    outputs, predictor = Outputs(tmp_path / "o.gpkg"), SentencePredictor()
    options = SegmentOptions(overlap_px=16)
    segment_part(scene, expressions, outputs, (1, 1), options, predictor=predictor)
    assert predictor.asked == [*expressions[:2], "buildings"]
    report = merge_job(tmp_path / "o.gpkg.job")
    assert [result.n_objects for result in report.results] == [3, 4, 1]
    assert names_in(outputs.vector, expressions[2], expressions, NORTH_UP) == "A"


def test_crumbs_are_no_landmarks() -> None:
    """Objects that the model is not sure of count only where it is sure of no other."""
    boxes = shapely.box(np.arange(0, 100, 20), 0, np.arange(0, 100, 20) + 2, 2)
    cars = features_of(boxes)
    roads = features_of(shapely.transform(boxes[[0, 2]], lambda points: points + 3))
    corners = np.array([[0, 0], [99, 0], [99, 9], [0, 9]], float)
    frame = Frame(corners, lambda points: points, y_is_down=False)

    def near(scores: list[float]) -> list[float]:
        features = replace(roads, score=np.array(scores))
        read = {"cars": cars, "roads": features}
        found = Resolver(lambda phrase, _: iter([read[phrase]]), frame).meant(
            parse_query("cars within 5 m of the road")
        )
        return [x for batch, _ in found for x in shapely.bounds(batch.polygons)[:, 0].tolist()]

    assert near([0.95, 0.9]) == [0, 40]
    assert near([0.95, 0.6]) == [0]
    assert near([0.6, 0.55]) == [0, 40]


def test_rasters_are_those_of_the_targets(tmp_path: Path) -> None:
    scene = write(tmp_path / "scene.tif", NORTH_UP, "EPSG:32632")
    expressions = [
        "buildings",
        "cars",
        "the largest building",
        "the northernmost cars or buildings",
    ]
    expressions[3] = "buildings or cars"
    outputs = Outputs(tmp_path / "o.gpkg", mask=tmp_path / "m.tif", probability=tmp_path / "p.tif")
    report = segment_scene(
        scene, expressions, outputs, SegmentOptions(overlap_px=16), predictor=NounPredictor()
    )
    for kind in ("mask", "probability"):
        buildings, cars, largest, both = (
            rasterio.open(result.outputs[kind]).read(1) for result in report.results
        )
        assert (largest == buildings).all()
        assert (both == np.maximum(buildings, cars)).all()


def test_rules_over_a_probability_raster(tmp_path: Path) -> None:
    scene = write(tmp_path / "scene.tif", NORTH_UP, "EPSG:32632")
    outputs = Outputs(tmp_path / "o.gpkg", probability=tmp_path / "p.tif")
    segment_scene(
        scene,
        "the second largest building",
        outputs,
        SegmentOptions(overlap_px=16),
        predictor=NounPredictor(),
    )
    report = polygonize(tmp_path / "p.tif", Outputs(tmp_path / "q.gpkg"))
    assert report.n_objects == 1
    first, second = (gpd.read_file(tmp_path / name, layer=0) for name in ("o.gpkg", "q.gpkg"))
    assert first.geometry.geom_equals_exact(second.geometry, 1e-9).all()
    with pytest.raises(ConfigError, match="without --from-probability"):
        polygonize(
            tmp_path / "p.tif",
            Outputs(tmp_path / "r.gpkg"),
            expression="buildings within 20 m of the road",
        )


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(2, 30), st.sampled_from([0.5, 0.9])), min_size=1, max_size=20),
    st.lists(st.integers(0, 20), max_size=3),
    st.sampled_from(
        [
            *("the 3 largest buildings", "the northernmost building", "isolated buildings"),
            *("small buildings", "the leftmost large building", "buildings in groups"),
        ]
    ),
)
def test_a_rule_over_batches_equals_the_rule_over_all(
    objects: list[tuple[int, float]], cuts: list[int], expression: str
) -> None:
    sizes, scores = zip(*objects, strict=True)
    boxes = np.array([shapely.box(40 * i, 7 * i % 90, 40 * i + s, 9) for i, s in enumerate(sizes)])
    whole = replace(features_of(boxes), score=np.array(scores))
    edges = sorted({0, len(boxes), *(cut for cut in cuts if cut < len(boxes))})
    pieces = [whole.take(np.arange(start, stop)) for start, stop in pairwise(edges)]
    frame = Frame(np.array([[0, 0], [900, 0], [900, 90], [0, 90]], float), None, y_is_down=False)

    def resolve(batches: list[Features], **options: int) -> list[bytes]:
        def read(phrase: str, is_target: bool) -> Iterator[Features]:
            return iter(batches)

        found = Resolver(read, frame, **options).meant(parse_query(expression))
        return [polygon for batch, _ in found for polygon in shapely.to_wkb(batch.polygons)]

    expected = resolve([whole])
    assert resolve(pieces) == expected
    for max_held in (0, 20):  # the objects are read again, all or some of them
        assert resolve(pieces, max_held=max_held) == expected


def features_of(polygons: NDArray[Any]) -> Features:
    n = len(polygons)
    zeros = np.zeros(n)
    return Features(
        polygons=polygons,
        id=np.arange(1, n + 1),
        score=zeros,
        score_max=zeros,
        area_m2=shapely.area(polygons),
        perimeter_m=zeros,
        n_pixels=np.zeros(n, int),
        touches_border=np.zeros(n, bool),
        split_from=np.zeros(n, np.int64),
        expression="",
        model="",
    )
