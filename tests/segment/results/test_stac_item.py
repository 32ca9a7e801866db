"""STAC items: valid by the published schema, and readable by pystac and by our own reader."""

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
from rrsis_geo.segment.results.facts import ResultFacts
from rrsis_geo.segment.results.report import ExpressionResult
from rrsis_geo.segment.results.stac_item import ItemTimes, make_item, write_item
from rrsis_geo.segment.scene import merge_job, segment_scene
from rrsis_geo.version import __version__

pystac = pytest.importorskip("pystac")
validation = pytest.importorskip("pystac.validation")
pytest.importorskip("jsonschema")

CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TIMES = ItemTimes(CREATED)
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


def make_facts(scene: Path, outputs: dict[str, Path], **changes: Any) -> ResultFacts:
    with open_scene(scene, allow_no_crs=True) as opened:
        source = opened.info
    facts: dict[str, Any] = {
        "source": source,
        "results": [TRUCKS],
        "model": "lite",
        "threshold": 0.4,
        "outputs": outputs,
        **changes,
    }
    return ResultFacts(**facts)


def validate(item: dict[str, Any]) -> dict[str, Any]:
    """Check an item against the schema of STAC; the schemas of extensions need a network."""
    validation.validate_dict(item, extensions=[])
    return item


def test_the_schema_is_checked(tmp_path: Path, make_scene: Callable[..., Path]) -> None:
    item = make_item(
        tmp_path / "i.json", make_facts(make_scene(), {"vector": tmp_path / "o.gpkg"}), TIMES
    )
    del item["properties"]["datetime"]
    with pytest.raises(pystac.STACValidationError, match="datetime"):
        validate(item)


def touch_files(folder: Path, **names: str) -> dict[str, Path]:
    paths = {kind: folder / name for kind, name in names.items()}
    for path in paths.values():
        path.touch()
    return paths


def test_an_item_of_all_outputs_is_valid(tmp_path: Path, make_scene: Callable[..., Path]) -> None:
    outputs = touch_files(
        tmp_path,
        vector="found.gpkg",
        mask="mask.tif",
        probability="p.tif",
        preview="look.png",
        report="page.html",
    )
    touch_files(tmp_path, style="mask.qml")
    outputs["stac_item"] = path = tmp_path / "item.json"
    facts = make_facts(
        make_scene(40, 60), outputs, properties={"plan_hash": "ab", "model_sha256": None}
    )
    item = validate(make_item(path, facts, TIMES))

    properties = item["properties"]
    assert properties["proj:code"] == "EPSG:32632"
    assert properties["proj:shape"] == [40, 60]
    assert properties["proj:transform"] == list(facts.source.transform[:6])
    assert properties["processing:software"] == {"rrsis-geo": __version__}
    assert properties["rrsis_geo:expressions"] == [TRUCKS.expression]
    assert properties["rrsis_geo:found"] == [
        {"expression": TRUCKS.expression, "n_objects": 3, "area_m2": 61.5}
    ]
    assert properties["rrsis_geo:threshold"] == 0.4
    assert properties["rrsis_geo:plan_hash"] == "ab"
    assert "rrsis_geo:model_sha256" not in properties, "unknown properties are omitted"
    assert properties["datetime"] == properties["created"] == "2026-01-02T03:04:05.000Z"
    assert properties["rrsis_geo:datetime_is"] == "of the run"

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
    item = validate(make_item(tmp_path / "item.json", facts, TIMES))
    assert item["properties"]["rrsis_geo:expressions"] == [TRUCKS.expression, ROOFS.expression]
    assert item["properties"]["rrsis_geo:found"][1]["area_m2"] is None
    assets = item["assets"]
    assert list(assets) == ["vector", "mask_the_truck_on_the_road", "mask_all_roofs"]
    assert assets["mask_all_roofs"]["title"] == "all roofs: mask"
    assert assets["mask_all_roofs"]["bands"][0][CLASSES][1]["description"] == "all roofs"
    assert assets["vector"]["title"] == "the truck on the road; all roofs: polygons"


def test_the_time_is_that_of_the_scene_if_it_is_known(
    tmp_path: Path, make_scene: Callable[..., Path]
) -> None:
    path = tmp_path / "item.json"
    facts = make_facts(make_scene(40, 60), {"vector": tmp_path / "found.gpkg"})
    start, end = datetime(2020, 5, 6, tzinfo=UTC), datetime(2020, 5, 7, tzinfo=UTC)
    moment = ItemTimes(CREATED, AcquisitionTime(start, start, "TIFFTAG_DATETIME"))
    properties = validate(make_item(path, facts, moment))["properties"]
    assert properties["datetime"] == "2020-05-06T00:00:00.000Z"
    assert properties["created"] == properties["processing:datetime"] == "2026-01-02T03:04:05.000Z"
    assert properties["rrsis_geo:datetime_is"] == "of the scene, by its TIFFTAG_DATETIME"
    span = ItemTimes(CREATED, AcquisitionTime(start, end, "its item"))
    properties = validate(make_item(path, facts, span))["properties"]
    assert properties["datetime"] is None
    assert properties["start_datetime"] < properties["end_datetime"]


def test_without_a_crs_there_is_no_geometry(
    tmp_path: Path, make_scene: Callable[..., Path]
) -> None:
    facts = make_facts(make_scene(40, 60, crs=None), {"vector": tmp_path / "found.gpkg"})
    item = validate(make_item(tmp_path / "item.json", facts, TIMES))
    assert item["geometry"] is None
    assert "bbox" not in item
    assert item["properties"]["proj:code"] is None


def test_a_crs_without_authority_is_written_as_wkt(
    tmp_path: Path, make_scene: Callable[..., Path]
) -> None:
    facts = make_facts(make_scene(40, 60, crs=LOCAL_WKT), {"vector": tmp_path / "found.geojson"})
    item = validate(make_item(tmp_path / "item.json", facts, TIMES))
    assert item["properties"]["proj:code"] is None
    assert item["properties"]["proj:wkt2"].startswith('PROJCRS["site grid"')
    assert item["assets"]["vector"]["proj:code"] == "EPSG:4326", "GeoJSON has a CRS of its own"


def test_the_parts_of_a_shapefile_are_listed(
    tmp_path: Path, make_scene: Callable[..., Path]
) -> None:
    outputs = touch_files(tmp_path, vector="found.shp")
    touch_files(tmp_path, a="found.dbf", b="found.shx", c="found.prj")
    item = make_item(tmp_path / "item.json", make_facts(make_scene(40, 60), outputs), TIMES)
    assert list(item["assets"]) == ["vector", "vector.shx", "vector.dbf", "vector.prj"]


def test_names_of_files_are_encoded(tmp_path: Path, make_scene: Callable[..., Path]) -> None:
    outputs = touch_files(tmp_path, mask="m #1 50%.tif")
    item = make_item(tmp_path / "item.json", make_facts(make_scene(40, 60), outputs), TIMES)
    assert item["assets"]["mask"]["href"] == "./m%20%231%2050%25.tif"


def test_the_link_to_the_source_has_the_right_relation(
    tmp_path: Path, make_scene: Callable[..., Path]
) -> None:
    """Clients read the target of ``derived_from`` as a STAC item, so a raster needs ``via``."""
    scene, outputs = make_scene(40, 60), {"vector": tmp_path / "sub" / "found.gpkg"}
    path = tmp_path / "sub" / "item.json"
    [link] = make_item(path, make_facts(scene, outputs), TIMES)["links"]
    assert (link["rel"], link["href"]) == ("via", f"../{scene.name}")
    source = tmp_path / "source.json"
    source.write_text(json.dumps({"assets": {"visual": {"href": scene.name}}}))
    [link] = make_item(path, make_facts(source, outputs), TIMES)["links"]
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
    write_item(Path("item.json"), make_facts(scene, outputs), TIMES)
    item = pystac.Item.from_file(str(folder / "item.json"))
    assert item.datetime == CREATED
    assert item.ext.proj.code == "EPSG:32632"
    assert item.ext.proj.shape == [40, 60]
    with rasterio.open(item.assets["mask"].get_absolute_href()) as dataset:
        assert dataset.shape == (40, 60)
    with open_scene(folder / "item.json") as opened:
        assert opened.info.shape == (40, 60)


def test_an_item_is_written_whole_or_not_at_all(
    tmp_path: Path, make_scene: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "item.json"
    facts = make_facts(make_scene(40, 60), {"vector": tmp_path / "found.gpkg"})
    write_item(path, facts, TIMES)
    with pytest.raises(OutputError, match="exists already"):
        write_item(path, facts, TIMES)
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OutputError, match="the disk is full"):
        write_item(path, facts, TIMES, overwrite=True)
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
    validate(json.loads((folder / "o.json").read_text()))
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
    item = validate(json.loads((folder / "again.json").read_text()))
    assert item["links"][0]["href"] == "./p_the_red_disc.tif"
    assert item["properties"]["rrsis_geo:found"][0]["expression"] == "the red disc"


def without_times(item: dict[str, Any]) -> dict[str, Any]:
    properties = item["properties"]
    kept = {
        name: properties[name]
        for name in properties
        if name not in ("created", "processing:datetime")
    }
    return {**item, "properties": kept}


def test_a_result_of_an_item_links_to_it(tmp_path: Path, make_blobs: Callable[..., Path]) -> None:
    source = tmp_path / "source.json"
    visual = {"href": make_blobs(100, 100).name, "type": "image/tiff", "roles": ["visual"]}
    when = {"datetime": None, "start_datetime": "2020-05-06T07:00:00Z"}
    when["end_datetime"] = "2020-05-06T08:00:00Z"
    source.write_text(json.dumps({"properties": when, "assets": {"visual": visual}}))
    outputs = Outputs(tmp_path / "o.gpkg", stac_item=tmp_path / "o.json")
    segment_scene(
        source, "the red disc", outputs, SegmentOptions(overlap_px=16), predictor=RedPredictor()
    )
    item = validate(json.loads((tmp_path / "o.json").read_text()))
    assert item["links"][0]["rel"] == "derived_from"
    assert item["links"][0]["href"] == "./source.json"
    assert item["properties"]["datetime"] is None
    assert item["properties"]["start_datetime"] == "2020-05-06T07:00:00.000Z"
