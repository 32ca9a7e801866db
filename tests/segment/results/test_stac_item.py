"""Items as clients read them: against the published schema, by pystac, and by our own reader."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import rasterio
from predictor_stubs import RedPredictor
from scene_files import LOCAL_WKT

from rrsis_geo.errors import OutputError
from rrsis_geo.geo.scene.acquisition_time import AcquisitionTime
from rrsis_geo.geo.scene.scene import open_scene
from rrsis_geo.segment.from_probability import polygonize
from rrsis_geo.segment.jobs.engines import RunOptions
from rrsis_geo.segment.jobs.job import job_path
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.results.report import ExpressionResult
from rrsis_geo.segment.results.stac_item import ItemFacts, make_item, write_item
from rrsis_geo.segment.scene import merge_job, segment_scene
from rrsis_geo.version import __version__

pystac = pytest.importorskip("pystac")
validation = pytest.importorskip("pystac.validation")
pytest.importorskip("jsonschema")

MADE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TRUCKS = ExpressionResult(
    expression="the truck on the road",
    layer="the_truck_on_the_road",
    outputs={},
    n_objects=3,
    area_m2=61.5,
)
ROOFS = ExpressionResult(
    expression="all roofs", layer="all_roofs", outputs={}, n_objects=0, area_m2=None
)


def make_facts(scene: Path, outputs: dict[str, Path], **changes: Any) -> ItemFacts:
    with open_scene(scene, allow_no_crs=True) as opened:
        grid = opened.info
    facts: dict[str, Any] = {
        "grid": grid,
        "acquisition": None,
        "made": MADE,
        "results": [TRUCKS],
        "model": "lite",
        "threshold": 0.4,
        "outputs": outputs,
        **changes,
    }
    return ItemFacts(**facts)


def validated(item: dict[str, Any]) -> dict[str, Any]:
    """The item, if the schema of its version allows it; schemas of extensions need a network."""
    validation.validate_dict(item, extensions=[])
    return item


def test_the_schema_is_really_asked(tmp_path: Path, make_scene: Callable[..., Path]) -> None:
    item = make_item(tmp_path / "i.json", make_facts(make_scene(), {"vector": tmp_path / "o.gpkg"}))
    del item["properties"]["datetime"]
    with pytest.raises(pystac.STACValidationError, match="datetime"):
        validated(item)


def touched(folder: Path, **names: str) -> dict[str, Path]:
    paths = {kind: folder / name for kind, name in names.items()}
    for path in paths.values():
        path.touch()
    return paths


def test_an_item_of_all_outputs_is_valid(tmp_path: Path, make_scene: Callable[..., Path]) -> None:
    outputs = touched(
        tmp_path,
        vector="found.gpkg",
        mask="mask.tif",
        probability="p.tif",
        preview="look.png",
        report="page.html",
    )
    touched(tmp_path, style="mask.qml")
    outputs["stac_item"] = path = tmp_path / "item.json"
    facts = make_facts(make_scene(40, 60), outputs, own={"plan_hash": "ab", "model_sha256": None})
    item = validated(make_item(path, facts))

    told = item["properties"]
    assert told["proj:code"] == "EPSG:32632"
    assert told["proj:shape"] == [40, 60]
    assert told["proj:transform"] == list(facts.grid.transform[:6])
    assert told["processing:software"] == {"rrsis-geo": __version__}
    assert told["rrsis_geo:expressions"] == [TRUCKS.expression]
    assert told["rrsis_geo:found"] == [
        {"expression": TRUCKS.expression, "n_objects": 3, "area_m2": 61.5}
    ]
    assert told["rrsis_geo:threshold"] == 0.4
    assert told["rrsis_geo:plan_hash"] == "ab"
    assert "rrsis_geo:model_sha256" not in told, "what is unknown is left out"
    assert told["datetime"] == told["created"] == "2026-01-02T03:04:05.000Z"
    assert told["rrsis_geo:datetime_is"] == "of the run"

    assets = item["assets"]
    assert {name: (asset["href"], asset["roles"]) for name, asset in assets.items()} == {
        "vector": ("./found.gpkg", ["data"]),
        "mask": ("./mask.tif", ["data"]),
        "mask.qml": ("./mask.qml", ["style"]),
        "probability": ("./p.tif", ["data"]),
        "preview": ("./look.png", ["overview"]),
        "report": ("./page.html", ["metadata"]),
    }
    assert assets["vector"]["type"] == pystac.MediaType.GEOPACKAGE
    assert assets["mask"]["type"] == assets["probability"]["type"] == pystac.MediaType.COG
    assert assets["probability"]["bands"][0]["raster:scale"] == 0.004
    classes = {entry["value"]: entry for entry in assets["mask"]["bands"][0][CLASSES]}
    assert sorted(classes) == [0, 1, 255]
    assert classes[1]["description"] == TRUCKS.expression
    assert classes[255]["nodata"] is True
    prefixes = {url.split("/")[3] for url in item["stac_extensions"]}
    assert prefixes == {"projection", "processing", "raster", "classification"}


CLASSES = "classification:classes"


def test_each_expression_has_its_own_assets(
    tmp_path: Path, make_scene: Callable[..., Path]
) -> None:
    outputs = {
        "vector": tmp_path / "all.gpkg",
        "mask:the_truck_on_the_road": tmp_path / "mask_trucks.tif",
        "mask:all_roofs": tmp_path / "mask_roofs.tif",
    }
    facts = make_facts(make_scene(40, 60), outputs, results=[TRUCKS, ROOFS])
    item = validated(make_item(tmp_path / "item.json", facts))
    assert item["properties"]["rrsis_geo:expressions"] == [TRUCKS.expression, ROOFS.expression]
    assert item["properties"]["rrsis_geo:found"][1]["area_m2"] is None
    assets = item["assets"]
    assert list(assets) == ["vector", "mask_the_truck_on_the_road", "mask_all_roofs"]
    assert assets["mask_all_roofs"]["title"] == "all roofs: mask"
    assert assets["mask_all_roofs"]["bands"][0][CLASSES][1]["description"] == "all roofs"
    assert assets["vector"]["title"] == "the truck on the road; all roofs: polygons"


def test_the_time_is_the_scenes_where_it_is_known(
    tmp_path: Path, make_scene: Callable[..., Path]
) -> None:
    scene, path = make_scene(40, 60), tmp_path / "item.json"
    outputs = {"vector": tmp_path / "found.gpkg"}
    start, end = datetime(2020, 5, 6, tzinfo=UTC), datetime(2020, 5, 7, tzinfo=UTC)
    moment = make_facts(
        scene, outputs, acquisition=AcquisitionTime(start, start, "TIFFTAG_DATETIME")
    )
    told = validated(make_item(path, moment))["properties"]
    assert told["datetime"] == "2020-05-06T00:00:00.000Z"
    assert told["created"] == told["processing:datetime"] == "2026-01-02T03:04:05.000Z"
    assert told["rrsis_geo:datetime_is"] == "of the scene, by its TIFFTAG_DATETIME"
    span = make_facts(scene, outputs, acquisition=AcquisitionTime(start, end, "its item"))
    told = validated(make_item(path, span))["properties"]
    assert told["datetime"] is None
    assert told["start_datetime"] < told["end_datetime"]


def test_without_a_crs_there_is_no_place(tmp_path: Path, make_scene: Callable[..., Path]) -> None:
    facts = make_facts(make_scene(40, 60, crs=None), {"vector": tmp_path / "found.gpkg"})
    item = validated(make_item(tmp_path / "item.json", facts))
    assert item["geometry"] is None
    assert "bbox" not in item
    assert item["properties"]["proj:code"] is None


def test_a_crs_that_no_authority_lists_is_written_out(
    tmp_path: Path, make_scene: Callable[..., Path]
) -> None:
    facts = make_facts(make_scene(40, 60, crs=LOCAL_WKT), {"vector": tmp_path / "found.geojson"})
    item = validated(make_item(tmp_path / "item.json", facts))
    assert item["properties"]["proj:code"] is None
    assert item["properties"]["proj:wkt2"].startswith('PROJCRS["site grid"')
    assert item["assets"]["vector"]["proj:code"] == "EPSG:4326", "GeoJSON has its own"


def test_the_parts_of_a_shapefile_are_listed(
    tmp_path: Path, make_scene: Callable[..., Path]
) -> None:
    outputs = touched(tmp_path, vector="found.shp")
    touched(tmp_path, a="found.dbf", b="found.shx", c="found.prj")
    item = make_item(tmp_path / "item.json", make_facts(make_scene(40, 60), outputs))
    assert list(item["assets"]) == ["vector", "vector.shx", "vector.dbf", "vector.prj"]


def test_the_source_is_named_as_what_it_is(tmp_path: Path, make_scene: Callable[..., Path]) -> None:
    """Clients read ``derived_from`` as an item, so that a raster must not be called so."""
    scene, outputs = make_scene(40, 60), {"vector": tmp_path / "sub" / "found.gpkg"}
    path = tmp_path / "sub" / "item.json"
    [link] = make_item(path, make_facts(scene, outputs))["links"]
    assert (link["rel"], link["href"]) == ("via", f"../{scene.name}")
    source = tmp_path / "source.json"
    source.write_text(json.dumps({"assets": {"visual": {"href": scene.name}}}))
    [link] = make_item(path, make_facts(source, outputs))["links"]
    assert (link["rel"], link["href"]) == ("derived_from", "../source.json")
    assert link["type"] == pystac.MediaType.GEOJSON


def test_pystac_and_our_own_reader_open_it(
    tmp_path: Path, make_scene: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = make_scene(40, 60)
    folder = tmp_path / "results of a run"
    folder.mkdir()
    mask = folder / "mask.tif"
    mask.write_bytes(scene.read_bytes())
    outputs = {"vector": folder / "found.gpkg", "mask": mask}
    monkeypatch.chdir(folder)
    write_item(Path("item.json"), make_facts(scene, outputs))
    item = pystac.Item.from_file(str(folder / "item.json"))
    assert item.datetime == MADE
    assert item.ext.proj.code == "EPSG:32632"
    assert item.ext.proj.shape == [40, 60]
    with rasterio.open(item.assets["mask"].get_absolute_href()) as dataset:
        assert dataset.shape == (40, 60)
    with open_scene(folder / "item.json") as opened:
        assert opened.info.shape == (40, 60)


def test_it_appears_whole_or_not_at_all(
    tmp_path: Path, make_scene: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "item.json"
    facts = make_facts(make_scene(40, 60), {"vector": tmp_path / "found.gpkg"})
    write_item(path, facts)
    with pytest.raises(OutputError, match="exists already"):
        write_item(path, facts)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError, match="No space left"):
        write_item(path, facts, overwrite=True)
    assert path.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["item.json", "scene-0.tif"]


def test_a_run_its_merge_and_its_probability_write_items(
    tmp_path: Path, make_blobs: Callable[..., Path]
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    names = {"mask": "m.tif", "probability": "p.tif", "preview": "v.png", "report": "r.html"}
    outputs = Outputs(
        folder / "o.gpkg",
        stac_item=folder / "o.json",
        **{kind: folder / name for kind, name in names.items()},
    )
    scene = make_blobs(200, 300)
    with rasterio.open(scene, "r+") as dataset:
        dataset.update_tags(TIFFTAG_DATETIME="2020:05:06 07:08:09")
    report = segment_scene(
        scene,
        ("the red disc", "every red disc"),
        outputs,
        SegmentOptions(overlap_px=16),
        run=RunOptions(keep_job=True),
        predictor=RedPredictor(),
    )
    assert report.outputs["stac_item"] == folder / "o.json"
    item = pystac.Item.from_file(str(folder / "o.json"))
    validated(json.loads((folder / "o.json").read_text()))
    assert item.datetime == datetime(2020, 5, 6, 7, 8, 9, tzinfo=UTC)
    assert item.properties["rrsis_geo:model"] == "RedPredictor"
    assert item.properties["rrsis_geo:plan_hash"] == report.plan_hash
    found = [each["n_objects"] for each in item.properties["rrsis_geo:found"]]
    assert found == [result.n_objects for result in report.results]
    listed = {Path(asset.get_absolute_href()).resolve() for asset in item.assets.values()}
    written = {path.resolve() for path in folder.iterdir() if path.is_file()}
    assert listed == written - {(folder / "o.json").resolve()}, "every file is listed"

    first = json.loads((folder / "o.json").read_text())
    merge_job(job_path(outputs.vector), overwrite=True)
    assert without_times(json.loads((folder / "o.json").read_text())) == without_times(first)

    again = Outputs(folder / "again.geojson", stac_item=folder / "again.json")
    polygonize(folder / "p_the_red_disc.tif", again)
    item = validated(json.loads((folder / "again.json").read_text()))
    assert item["links"][0]["href"] == "./p_the_red_disc.tif"
    assert item["properties"]["rrsis_geo:found"][0]["expression"] == "the red disc"


def without_times(item: dict[str, Any]) -> dict[str, Any]:
    told = item["properties"]
    kept = {name: told[name] for name in told if name not in ("created", "processing:datetime")}
    return {**item, "properties": kept}


def test_what_was_made_from_an_item_refers_to_it(
    tmp_path: Path, make_blobs: Callable[..., Path]
) -> None:
    source = tmp_path / "source.json"
    visual = {"href": make_blobs(100, 100).name, "type": "image/tiff", "roles": ["visual"]}
    when = {"datetime": None, "start_datetime": "2020-05-06T07:00:00Z"}
    when["end_datetime"] = "2020-05-06T08:00:00Z"
    source.write_text(json.dumps({"properties": when, "assets": {"visual": visual}}))
    outputs = Outputs(tmp_path / "o.gpkg", stac_item=tmp_path / "o.json")
    segment_scene(
        source, "the red disc", outputs, SegmentOptions(overlap_px=16), predictor=RedPredictor()
    )
    item = validated(json.loads((tmp_path / "o.json").read_text()))
    assert item["links"][0]["rel"] == "derived_from"
    assert item["links"][0]["href"] == "./source.json"
    assert item["properties"]["datetime"] is None
    assert item["properties"]["start_datetime"] == "2020-05-06T07:00:00.000Z"
