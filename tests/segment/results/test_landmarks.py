"""Landmarks: layers of their own, and layers of the user in their place."""

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely
from noun_scenes import BOXES, NORTH_UP, NounPredictor, names_of, write

from rrsis_geo.errors import ConfigError, InputError, OutputError
from rrsis_geo.segment.from_probability import polygonize
from rrsis_geo.segment.plan.landmarks import GivenLandmark
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.results.report import SegmentReport
from rrsis_geo.segment.scene import merge_job, segment_part, segment_scene

UTM = "EPSG:32632"


class AskedPredictor(NounPredictor):
    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, expression: str) -> Any:
        self.asked.append(expression)
        return expression


def piers(path: Path, *shapes: Any, crs: str = UTM, layer: str | None = None) -> Path:
    """Shapes in pixels, written in another CRS."""
    world = [
        shapely.transform(s, lambda xy: np.column_stack(NORTH_UP @ tuple(xy.T))) for s in shapes
    ]
    frame = gpd.GeoDataFrame(geometry=world, crs=UTM).to_crs(crs)
    frame.to_file(path, **({} if layer is None else {"layer": layer}))
    return path


def segment(
    folder: Path, expression: str | list[str], *landmarks: GivenLandmark, **outputs: Any
) -> tuple[SegmentReport, AskedPredictor]:
    scene = folder / "scene.tif"
    if not scene.exists():
        write(scene, NORTH_UP, UTM)
    predictor = AskedPredictor()
    options = SegmentOptions(overlap_px=16, landmarks=landmarks)
    files = Outputs(folder / "o.gpkg", overwrite=True, **outputs)
    return segment_scene(scene, expression, files, options, predictor=predictor), predictor


def found(report: SegmentReport) -> str:
    return names_of(
        gpd.read_file(report.outputs["vector"], layer=report.results[0].layer), NORTH_UP
    )


POINT = shapely.Point(142, 40)  # 4 px below d
LINE = shapely.LineString([(130, 0), (130, 256)])  # 10 px to the left of d, 20 px of c


@pytest.mark.parametrize(
    ("expression", "shape", "expected"),
    [
        ("cars within 5 m of the pier", POINT, "d"),
        ("the car closest to the piers", POINT, "d"),
        ("cars within 12 m of the pier", LINE, "d"),
        ("cars to the left of the pier", LINE, "a"),
        ("cars along the pier", LINE, "d"),
        ("cars inside the pier", shapely.box(100, 20, 160, 260), "cd"),
        ("cars in the pier", shapely.box(100, 20, 160, 260), "cd"),
        ("cars not in the pier", shapely.box(100, 20, 160, 260), "ab"),
        ("cars near the pier", shapely.LineString([(133, 0), (133, 256)]), "d"),
        ("cars within 30 m of the two piers", shapely.MultiPoint([(40, 90), (280, 90)]), "ab"),
    ],
)
def test_a_layer_of_the_user_is_the_landmark(
    tmp_path: Path, expression: str, shape: Any, expected: str
) -> None:
    path = piers(tmp_path / "piers.gpkg", shape, crs="EPSG:4326")
    report, predictor = segment(tmp_path, expression, GivenLandmark("a pier", path))
    assert found(report) == expected
    assert not any("pier" in phrase for phrase in predictor.asked)


def test_rules_of_the_landmark_apply_to_the_layer(tmp_path: Path) -> None:
    small, large = shapely.box(30, 80, 34, 84), shapely.box(270, 110, 290, 130)
    path = piers(tmp_path / "piers.geojson", small, large, crs="EPSG:4326")
    landmark = GivenLandmark("piers", path)
    report, _ = segment(tmp_path, "cars within 20 m of the largest pier", landmark)
    assert found(report) == "b"


def test_names_and_layers_are_checked(tmp_path: Path) -> None:
    path = piers(tmp_path / "piers.gpkg", POINT, layer="first")
    piers(path, LINE, layer="second")
    expressions = ["cars within 9 m of the pier", "cars north of the largest building"]
    with pytest.raises(ConfigError, match=r'jetty".*their landmarks: "piers", "buildings"'):
        segment(tmp_path, expressions, GivenLandmark("the jetty", path, "first"))
    with pytest.raises(ConfigError, match=r"several layers.*first, second"):
        segment(tmp_path, expressions, GivenLandmark("pier", path))
    twice = GivenLandmark("pier", path, "first"), GivenLandmark("the piers", path, "second")
    with pytest.raises(ConfigError, match="more than once"):
        segment(tmp_path, expressions, *twice)
    with pytest.raises(ConfigError, match='"in "piers"" needs polygons'):
        segment(tmp_path, "cars inside the pier", twice[0])
    with pytest.raises(ConfigError, match='"in "piers"" needs polygons'):
        segment(tmp_path, "cars in the pier", twice[0])
    with pytest.raises(InputError, match="no such file"):
        segment(tmp_path, expressions, GivenLandmark("pier", tmp_path / "none.gpkg"))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["piers.gpkg", "scene.tif"]


def test_parsing(tmp_path: Path) -> None:
    path = piers(tmp_path / "piers.gpkg", POINT, layer="first")
    assert GivenLandmark.parse(f"the pier={path}") == GivenLandmark("the pier", path)
    assert GivenLandmark.parse(f"pier = {path}:first") == GivenLandmark("pier", path, "first")
    for text in ("piers.gpkg", "=piers.gpkg", "pier="):
        with pytest.raises(ConfigError, match="NAME=FILE"):
            GivenLandmark.parse(text)


def test_parts_give_the_same_and_notice_a_changed_layer(tmp_path: Path) -> None:
    path = piers(tmp_path / "piers.gpkg", LINE)
    landmark, expression = GivenLandmark("pier", path), "cars within 12 m of the pier"
    _, predictor = segment(tmp_path, expression, landmark)
    options = SegmentOptions(overlap_px=16, landmarks=(landmark,))
    outputs = Outputs(tmp_path / "parts.gpkg")
    part = segment_part(
        tmp_path / "scene.tif", expression, outputs, (1, 1), options, predictor=predictor
    )
    before = path.read_bytes()
    piers(path, LINE, POINT)
    with pytest.raises(ConfigError, match=r"options\.landmarks was"):
        merge_job(part.job)
    path.write_bytes(before)
    with pytest.raises(ConfigError, match=r"options\.landmarks was"):
        merge_job(part.job)  # its time is another one


def test_a_probability_raster_and_given_landmarks(tmp_path: Path) -> None:
    path = piers(tmp_path / "piers.gpkg", LINE)
    landmark, expression = GivenLandmark("pier", path), "cars within 12 m of the pier"
    report, _ = segment(tmp_path, expression, landmark, probability=tmp_path / "p.tif")
    options = SegmentOptions(landmarks=(landmark,))
    again = polygonize(tmp_path / "p.tif", Outputs(tmp_path / "q.gpkg"), options)
    assert again.n_objects == report.n_objects == 1
    first, second = (gpd.read_file(tmp_path / name, layer=0) for name in ("o.gpkg", "q.gpkg"))
    assert first.geometry.geom_equals_exact(second.geometry, 1e-9).all()
    assert first.distance_m.tolist() == second.distance_m.tolist()
    with pytest.raises(ConfigError, match="give landmarks with --landmark"):
        polygonize(tmp_path / "p.tif", Outputs(tmp_path / "r.gpkg"))


def test_landmarks_are_layers_of_their_own(tmp_path: Path) -> None:
    path = piers(tmp_path / "piers.gpkg", LINE)
    expressions = [
        "cars within 45 m of the smallest building",
        "the car closest to the road",
        "cars to the left of the smallest building",
        "cars within 12 m of the pier",
        "cars within 12 m of the pier or the road",
    ]
    segment(tmp_path, expressions, GivenLandmark("pier", path), landmarks=True)
    layers = [name for name, kind in pyogrio.list_layers(tmp_path / "o.gpkg") if kind]
    assert layers[5:] == ["landmark_buildings_the_smallest", "landmark_roads"]
    building, road = (gpd.read_file(tmp_path / "o.gpkg", layer=name) for name in layers[5:])
    assert names_of(building, NORTH_UP) == "C"
    assert building["rank"].tolist() == [1]
    assert names_of(road, NORTH_UP) == "road"
    (box,) = [box for box in BOXES if box.name == "road"]
    assert road.n_pixels.tolist() == [(box.rows[1] - box.rows[0]) * (box.cols[1] - box.cols[0])]
    with pytest.raises(OutputError, match="need a GeoPackage"):
        Outputs(tmp_path / "o.shp", landmarks=True).check([])
