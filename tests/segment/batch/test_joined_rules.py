"""Rules over the joined layer of several scenes: as if the scenes were one."""

import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from job_stubs import stop_after
from noun_scenes import BOXES, EXPECTED, NORTH_UP, SHAPE, NounPredictor, content_of, names_of, read
from rasterio.enums import Compression
from scene_files import write_scene

from rrsis_geo.errors import ConfigError, OutputError, Stopped
from rrsis_geo.geo.layers.preview import PreviewPainter
from rrsis_geo.segment.batch.report import ScenesReport
from rrsis_geo.segment.batch.scene_previews import ScenePreviews
from rrsis_geo.segment.batch.scenes import segment_scenes
from rrsis_geo.segment.jobs.engines import RunOptions
from rrsis_geo.segment.plan.landmarks import GivenLandmark
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs, layer_names

CUT = 120
"""Column at which the scene is cut in two; only the road crosses it."""


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    folder = tmp_path / "tiles"
    folder.mkdir()
    content = content_of(BOXES)
    for name, start, stop in (("east", CUT, SHAPE[1]), ("west", 0, CUT)):
        write_scene(
            folder / f"{name}.tif",
            SHAPE[0],
            stop - start,
            transform=NORTH_UP @ Affine.translation(start, 0),
            content=lambda row, col, band, start=start: content(row, col + start, band),
        )
    return folder


def run(tiles: Path, expressions: Any, out: str = "all.gpkg", **options: Any) -> ScenesReport:
    outputs = {
        name: options.pop(name)
        for name in ("keep_candidates", "landmarks", "preview")
        if name in options
    }
    landmarks = options.pop("given", ())
    existing, workers = options.pop("existing", "refuse"), options.pop("workers", 1)
    return segment_scenes(
        str(tiles),
        expressions,
        Outputs(tiles.parent / out, **outputs),
        SegmentOptions(overlap_px=16, landmarks=landmarks),
        run=RunOptions(existing=existing, workers=workers),
        predictor=NounPredictor(),
        **options,
    )


def test_joined_scenes_answer_as_one_scene(tiles: Path) -> None:
    expressions = list(EXPECTED)
    report = run(tiles, expressions)
    path = tiles.parent / "all.gpkg"
    layers = dict(zip(expressions, layer_names(expressions), strict=True))
    found = {
        each: names_of(gpd.read_file(path, layer=layer), NORTH_UP) for each, layer in layers.items()
    }
    assert found == EXPECTED
    largest = gpd.read_file(path, layer="the_two_largest_buildings").sort_values("rank")
    assert largest["scene"].tolist() == ["west.tif", "east.tif"]
    assert largest["rank"].tolist() == [1, 2]
    assert sorted(largest["id"]) == [1, 2]
    by_scene = [
        {each["expression"]: each["n_objects"] for each in result.report["results"]}
        for result in report.scenes
    ]
    assert [each["the largest building"] for each in by_scene] == [0, 1]
    assert [each["the buildings"] for each in by_scene] == [2, 1]
    assert report.n_objects == sum(map(len, EXPECTED.values()))
    assert {each.name for each in tiles.parent.iterdir()} == {"tiles", "all.gpkg"}


@pytest.mark.parametrize("suffix", [".gpkg", ".shp", ".geojson", ".fgb", ".parquet"])
def test_candidates_of_all_scenes(tiles: Path, suffix: str) -> None:
    out = f"all{suffix}"
    report = run(tiles, "the second largest building", out, keep_candidates=True)
    layer = read(tiles.parent / out).sort_values("rank")
    assert layer["scene"].tolist() == ["west.tif", "east.tif", "east.tif"]
    assert layer["chosen"].astype(bool).tolist() == [False, True, False]
    counts = [result.report["results"][0] for result in report.scenes]
    assert [(each["n_objects"], each["n_candidates"]) for each in counts] == [(1, 2), (0, 1)]


def test_landmarks_of_all_scenes(tiles: Path) -> None:
    line = shapely.LineString([NORTH_UP @ (130, 0), NORTH_UP @ (130, 256)])
    gpd.GeoSeries([line], crs="EPSG:32632").to_file(tiles.parent / "piers.gpkg")
    given = (GivenLandmark("pier", tiles.parent / "piers.gpkg"),)
    expressions = ["the car closest to the road", "cars within 100 m of the pier"]
    run(tiles, expressions, landmarks=True, given=given)
    path = tiles.parent / "all.gpkg"
    names = [name for name, kind in pyogrio.list_layers(path) if kind]
    assert names == [*layer_names(expressions), "landmark_roads"]
    assert gpd.read_file(path, layer="landmark_roads")["scene"].tolist() == ["east.tif", "west.tif"]
    cars = gpd.read_file(path, layer=names[1])
    assert dict(zip(cars["scene"], cars["distance_m"].round(), strict=True)) == {
        "east.tif": 20.0,
        "west.tif": 86.0,
    }


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson"])
def test_previews_of_single_scenes_show_what_all_scenes_choose(
    tiles: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    extremes = "the largest building or the smallest building"
    saved: list[tuple[str, str, int]] = []
    save = PreviewPainter.save

    def record(painter: PreviewPainter, path: Path, title: str, **options: Any) -> None:
        saved.append((path.name.partition("_")[0], title, painter._n_objects))
        save(painter, path, title, **options)

    monkeypatch.setattr(PreviewPainter, "save", record)
    expressions = ["the largest building", "all cars", extremes]
    run(tiles, expressions, f"all{suffix}", preview=tiles.parent / "pictures")
    candidates = [f'candidates for "{each}": buildings' for each in expressions]
    assert saved == [
        *[("east", candidates[0], 2), ("east", "all cars", 3), ("east", candidates[2], 2)],
        *[("west", candidates[0], 1), ("west", "all cars", 1), ("west", candidates[2], 1)],
        *[("east", expressions[0], 0), ("east", extremes, 1)],
        *[("west", expressions[0], 1), ("west", extremes, 1)],
    ]
    assert len(list((tiles.parent / "pictures").iterdir())) == 6
    assert not (tiles.parent / f"all{suffix}.job").exists()


def test_a_scene_that_vanishes_keeps_the_preview_of_its_candidates(
    tiles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = ScenePreviews.draw

    def remove_first(previews: ScenePreviews, numbers: Any) -> None:
        (tiles / "east.tif").unlink()
        draw(previews, numbers)

    monkeypatch.setattr(ScenePreviews, "draw", remove_first)
    report = run(tiles, "the largest building", preview=tiles.parent / "pictures")
    (warning,) = (each for each in report.warnings if "preview" in each)
    assert warning.startswith("east.tif: its preview shows all candidates")
    assert len(list((tiles.parent / "pictures").iterdir())) == 2


@pytest.mark.parametrize("suffix", [".shp", ".geojson", ".fgb", ".parquet"])
def test_landmarks_need_a_format_with_layers(tiles: Path, suffix: str) -> None:
    with pytest.raises(OutputError, match=r"landmarks are layers .* need a GeoPackage"):
        run(tiles, "the car closest to the road", f"all{suffix}", landmarks=True)
    assert {each.name for each in tiles.parent.iterdir()} == {"tiles"}


def test_warnings_are_about_all_scenes(tiles: Path) -> None:
    report = run(tiles, "the four largest buildings")
    assert report.warnings == ("the 4 largest: only 3 objects can be compared",)
    assert report.to_dict()["warnings"] == list(report.warnings)
    assert not any(result.report["warnings"] for result in report.scenes)


@pytest.mark.parametrize("n_calls", [2, 4, 6])
def test_stopped_and_resumed(tiles: Path, n_calls: int) -> None:
    expressions = ["the two largest buildings", "cars within 45 m of the smallest building"]
    run(tiles, expressions, "whole.gpkg")
    with pytest.raises(Stopped):
        run(tiles, expressions, stop=stop_after(n_calls))
    run(tiles, expressions, existing="resume")
    for layer in layer_names(expressions):
        whole, resumed = (
            gpd.read_file(tiles.parent / name, layer=layer) for name in ("whole.gpkg", "all.gpkg")
        )
        assert whole.equals(resumed)


def test_workers(tiles: Path) -> None:
    expressions = ["the two largest buildings", "cars within 45 m of the smallest building"]
    run(tiles, expressions, workers=2)
    found = [
        names_of(gpd.read_file(tiles.parent / "all.gpkg", layer=layer), NORTH_UP)
        for layer in layer_names(expressions)
    ]
    assert found == ["AB", "c"]


def test_creation_options_reach_the_files_of_a_batch(tiles: Path) -> None:
    options = {"compress": "LZW", "coordinate_precision": "7"}
    outputs = Outputs(
        tiles.parent / "all.geojson", mask=tiles.parent / "masks", creation_options=options
    )
    segment_scenes(
        str(tiles),
        "cars",
        outputs,
        SegmentOptions(overlap_px=16),
        predictor=NounPredictor(),
    )
    content = json.loads((tiles.parent / "all.geojson").read_text())
    numbers = [
        number
        for feature in content["features"]
        for corner in feature["geometry"]["coordinates"][0]
        for number in corner
    ]
    assert numbers
    assert numbers == [round(number, 7) for number in numbers]
    for path in (tiles.parent / "masks").glob("*.tif"):
        with rasterio.open(path) as dataset:
            assert dataset.compression == Compression.lzw


def test_creation_options_without_a_file_end_a_batch_before_it_starts(tiles: Path) -> None:
    outputs = Outputs(tiles.parent / "all.gpkg", creation_options={"COMPRESS": "LZW"})
    with pytest.raises(ConfigError, match="COMPRESS is for rasters, and none is written"):
        segment_scenes(str(tiles), "cars", outputs, predictor=NounPredictor())
    assert [path.name for path in tiles.parent.iterdir()] == ["tiles"]
