"""What is found on the page is what `segment` finds."""

import json
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from explore_session import wait
from numpy.typing import NDArray
from predictor_stubs import RedPredictor, StubOutput, blobs, make_options

from rrsis_geo.errors import ConfigError, InputError, ModelError, OutputError
from rrsis_geo.explore.answers import list_answer, shapes_answer, state_answer
from rrsis_geo.explore.found import ObjectSource, collect
from rrsis_geo.explore.save import save
from rrsis_geo.explore.sentence import Sentence
from rrsis_geo.explore.session import Model, Session, open_session
from rrsis_geo.segment.from_probability import polygonize
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.scene import segment_scene

OpenSession = Callable[..., Session]
VIEW = shapely.box(100, 120, 300, 260)


def kept_of(sentence: Sentence) -> NDArray[np.uint8]:
    """The kept values of a sentence with one phrase."""
    (kept,) = sentence.rasters.values()
    with rasterio.open(kept.path) as dataset:
        values: NDArray[np.uint8] = dataset.read(1)
    return values


def assert_same_layer(first: gpd.GeoDataFrame, second: gpd.GeoDataFrame) -> None:
    assert len(first) == len(second) > 0
    assert first.crs == second.crs
    assert first.geometry.geom_equals_exact(second.geometry, 1e-9).all()
    for name in first.columns.drop("geometry"):
        assert (first[name].fillna(-1) == second[name].fillna(-1)).all(), name


@pytest.mark.parametrize("gsd_range_m", [None, (0.75, 1.0)], ids=["own pixels", "resampled"])
def test_the_whole_scene_is_what_segment_finds(
    open_scene: OpenSession, discs: Path, tmp_path: Path, gsd_range_m: tuple[float, float] | None
) -> None:
    model = RedPredictor(position_dependent=True, gsd_range_m=gsd_range_m)
    session = open_scene(discs, model)
    sentence = session.find("red discs", None)
    wait(session)
    outputs = Outputs(tmp_path / "run.gpkg", probability=tmp_path / "run.tif")
    segment_scene(discs, "red discs", outputs, make_options(overlap_px=16), predictor=model)
    with rasterio.open(tmp_path / "run.tif") as dataset:
        assert np.array_equal(kept_of(sentence), dataset.read(1))
    assert save(session, tmp_path / "page.gpkg") == sentence.found.n_objects
    polygonize(tmp_path / "run.tif", Outputs(tmp_path / "again.gpkg"))
    page = gpd.read_file(tmp_path / "page.gpkg", layer="red_discs")
    assert_same_layer(page, gpd.read_file(tmp_path / "again.gpkg"))


@pytest.mark.parametrize(("threshold", "min_area_m2"), [(0.8, None), (0.9, 50.0), (0.3, 0.0)])
def test_limits_give_the_objects_of_from_probability(
    open_scene: OpenSession, discs: Path, tmp_path: Path, threshold: float, min_area_m2: float
) -> None:
    session = open_scene(discs, RedPredictor(position_dependent=True))
    sentence = session.find("red discs", None)
    wait(session)
    before = sentence.found.n_objects
    sentence.set_limits(threshold, min_area_m2)
    sentence.read(VIEW)
    save(session, tmp_path / "page.gpkg")
    (kept,) = sentence.rasters.values()
    options = make_options(threshold=threshold, min_area_m2=min_area_m2)
    report = polygonize(kept.path, Outputs(tmp_path / "again.gpkg"), options)
    assert report.n_objects == sentence.found.n_objects
    assert report.n_objects != before or threshold == 0.8
    page = gpd.read_file(tmp_path / "page.gpkg")
    assert_same_layer(page, gpd.read_file(tmp_path / "again.gpkg"))


def test_a_view_comes_first_and_the_rest_follows(open_scene: OpenSession, discs: Path) -> None:
    """Windows are those of the whole scene, so the view changes only at its border."""
    session = open_scene(discs, RedPredictor(position_dependent=True))
    sentence = session.find("red discs", VIEW)
    wait(session)
    part = kept_of(sentence)
    left, top, right, bottom = map(int, sentence.searched.bounds)
    assert sentence.searched.covers(VIEW)
    assert sentence.searched.area < 0.3 * part.size
    searched = np.zeros(part.shape, bool)
    searched[top:bottom, left:right] = True
    assert ((part != 255) == searched).all()
    n_part = sentence.found.n_objects
    assert n_part > 0

    session.find("red discs", None)
    wait(session)
    whole = kept_of(sentence)
    inner = slice(top + 8, bottom - 8), slice(left + 8, right - 8)  # half the overlap of windows
    assert np.array_equal(part[inner], whole[inner])
    assert (whole != 255).all()
    assert sentence.found.n_objects > n_part
    assert list(session.sentences) == [sentence.number]


def test_a_view_that_was_searched_is_not_searched_again(
    open_scene: OpenSession, discs: Path
) -> None:
    model = RedPredictor()
    session = open_scene(discs, model)
    session.find("red discs", VIEW)
    wait(session)
    n_batches = len(model.batches)
    session.find(" red  discs ", VIEW)
    session.find("red discs", shapely.box(-500, -500, -100, -100))
    wait(session)
    assert len(model.batches) == n_batches > 0


def test_rules_are_resolved_over_what_was_searched(
    open_scene: OpenSession, discs: Path, tmp_path: Path
) -> None:
    session = open_scene(discs)
    sentence = session.find("the largest building", VIEW)
    wait(session)
    (answer,) = state_answer(session)["sentences"]
    assert answer["reading"] == "buildings ; the largest"
    assert answer["share_text"].startswith("Only ")
    assert sentence.found.n_objects == 1
    largest_there = list_answer(sentence)["objects"][0]
    assert largest_there["facts"] == {"rank": 1}

    session.find("the largest building", None)
    wait(session)
    segment_scene(
        discs,
        "the largest building",
        Outputs(tmp_path / "run.gpkg"),
        make_options(overlap_px=16),
        predictor=RedPredictor(),
    )
    save(session, tmp_path / "page.gpkg")
    page = gpd.read_file(tmp_path / "page.gpkg")
    assert_same_layer(page, gpd.read_file(tmp_path / "run.gpkg"))
    assert state_answer(session)["sentences"][0]["share_text"] == ""


def test_dropped_objects_stay_dropped_and_are_not_saved(
    open_scene: OpenSession, discs: Path, tmp_path: Path
) -> None:
    session = open_scene(discs)
    sentence = session.find("red discs", VIEW)
    wait(session)
    rows = list_answer(sentence)["objects"]
    n_objects, number = len(rows), rows[0]["id"]
    sentence.drop(number, found_number=sentence.found_number, dropped=True)
    assert [row["id"] for row in list_answer(sentence)["objects"] if row["dropped"]] == [number]
    assert save(session, tmp_path / "one.gpkg") == n_objects - 1
    assert number not in gpd.read_file(tmp_path / "one.gpkg").id.tolist()

    sentence.set_limits(0.7, None)
    sentence.read(VIEW)
    assert sum(row["dropped"] for row in list_answer(sentence)["objects"]) == 1
    (shape,) = [s for s in shapes_answer(sentence, VIEW, 1.0)["shapes"] if s["dropped"]]
    with pytest.raises(InputError, match="have changed"):
        sentence.drop(shape["id"], found_number=0, dropped=False)
    sentence.drop(shape["id"], found_number=sentence.found_number, dropped=False)
    assert sentence.marks == ()
    assert save(session, tmp_path / "all.gpkg") == sentence.found.n_objects


def test_a_file_tells_what_was_searched_and_dropped(
    open_scene: OpenSession, discs: Path, tmp_path: Path
) -> None:
    session = open_scene(discs)
    sentences = [session.find(text, VIEW) for text in ("red discs", "cars")]
    wait(session)
    number = list_answer(sentences[0])["objects"][0]["id"]
    sentences[0].drop(number, found_number=sentences[0].found_number, dropped=True)
    save(session, tmp_path / "page.gpkg")
    with sqlite3.connect(tmp_path / "page.gpkg") as database:
        names = [name for (name,) in database.execute("SELECT table_name FROM gpkg_contents")]
        abstracts = dict(database.execute("SELECT table_name, description FROM gpkg_contents"))
        styles = {name for (name,) in database.execute("SELECT f_table_name FROM layer_styles")}
        (record,) = [
            json.loads(text)
            for (text,) in database.execute("SELECT metadata FROM gpkg_metadata")
            if "red discs" in text
        ]
    database.close()
    assert {"red_discs", "cars"} <= set(names)
    assert {"red_discs", "cars"} <= styles
    assert "% of the scene was searched" in abstracts["red_discs"]
    assert record["searched_px"] == [list(map(int, sentences[0].searched.bounds))]
    assert len(record["dropped_at"]) == 1
    with pytest.raises(OutputError, match="exists"):
        save(session, tmp_path / "page.gpkg")
    save(session, tmp_path / "page.gpkg", overwrite=True)
    with pytest.raises(OutputError, match="unknown suffix"):
        save(session, discs, overwrite=True)
    save(session, tmp_path / "page.geojson")
    assert (tmp_path / "page_red_discs.geojson").is_file()
    assert (tmp_path / "page_cars.geojson").is_file()


def test_of_many_objects_the_largest_are_shown(open_scene: OpenSession, discs: Path) -> None:
    session = open_scene(discs)
    sentence = session.find("red discs", None)
    wait(session)
    plan = sentence.known_plan()
    source = ObjectSource(plan, sentence.rasters, sentence.searched)
    some = collect(source, plan.scene.transform, max_shown=5)
    every = sentence.found
    assert every.features is not None
    assert some.features is not None
    assert (some.n_objects, some.area_m2) == (every.n_objects, pytest.approx(every.area_m2))
    sizes = sorted(every.features.n_pixels.tolist(), reverse=True)
    assert sorted(some.features.n_pixels.tolist(), reverse=True) == sizes[:5]
    bounds = shapely.total_bounds(every.features.polygons)
    assert shapely.box(0, 0, 700, 600).covers(shapely.box(*bounds))


def test_outside_an_area_of_interest_nothing_is_found(
    open_scene: OpenSession, discs: Path, tmp_path: Path
) -> None:
    with rasterio.open(discs) as dataset:
        corners = [dataset.transform @ corner for corner in ((50, 50), (600, 50), (50, 500))]
        area = gpd.GeoSeries([shapely.Polygon(corners)], crs=dataset.crs)
    area.to_file(tmp_path / "area.gpkg")
    session = open_scene(discs, aoi=tmp_path / "area.gpkg")
    sentence = session.find("red discs", None)
    wait(session)
    save(session, tmp_path / "page.gpkg")
    segment_scene(
        discs,
        "red discs",
        Outputs(tmp_path / "run.gpkg"),
        make_options(overlap_px=16, aoi=tmp_path / "area.gpkg"),
        predictor=RedPredictor(),
    )
    assert sentence.found.n_objects > 0
    page = gpd.read_file(tmp_path / "page.gpkg")
    assert_same_layer(page, gpd.read_file(tmp_path / "run.gpkg"))


def test_a_scene_without_crs(open_scene: OpenSession, make_scene: Callable[..., Path]) -> None:
    scene = make_scene(200, 300, content=blobs(), crs=None)
    session = open_scene(scene, allow_no_crs=True)
    sentence = session.find("red discs", None)
    with pytest.raises(ConfigError, match="needs metres"):
        session.find("cars within 20 m of the road", None)
    wait(session)
    assert sentence.found.n_objects > 0
    assert list_answer(sentence)["objects"][0]["area"] == ""
    assert state_answer(session)["sentences"][0]["area"] == ""


def test_nothing_above_the_threshold_is_told(
    open_scene: OpenSession, make_scene: Callable[..., Path]
) -> None:
    def gray(row: NDArray[np.intp], col: NDArray[np.intp], band: int) -> NDArray[np.intp]:
        return 100 + (row + col) % 7

    session = open_scene(make_scene(200, 300, content=gray))
    session.find("red discs", None)
    wait(session)
    (answer,) = state_answer(session)["sentences"]
    assert answer["n_objects"] == 0
    assert any("nothing is above the threshold" in text for text in answer["messages"])


class SlowPredictor(RedPredictor):
    """Waits before its third batch until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = threading.Event()
        self.may_go_on = threading.Event()

    def predict_all(self, images: NDArray[np.uint8], words: Sequence[Any]) -> list[StubOutput]:
        if len(self.batches) >= 2:
            self.waits.set()
            assert self.may_go_on.wait(60)
        return super().predict_all(images, words)


def test_a_search_can_be_stopped_and_continued(open_scene: OpenSession, discs: Path) -> None:
    model = SlowPredictor()
    session = open_scene(discs, model)
    sentence = session.find("red discs", None)
    session.find("cars", None)
    assert model.waits.wait(60)
    assert session.n_waiting == 1
    session.stop()
    model.may_go_on.set()
    wait(session)
    n_batches = len(model.batches)
    assert n_batches < 10
    assert sentence.searched.is_empty
    assert sentence.error == ""
    session.find("red discs", None)
    wait(session)
    assert sentence.searched.area == 600 * 700


def test_removing_a_sentence_removes_its_files(open_scene: OpenSession, discs: Path) -> None:
    session = open_scene(discs)
    sentence = session.find("red discs", VIEW)
    wait(session)
    session.remove(sentence.number)
    assert not sentence.folder.exists()
    assert state_answer(session)["sentences"] == []
    assert session.find("red discs", VIEW).number == 1


def test_what_cannot_be_found_is_refused(open_scene: OpenSession, discs: Path) -> None:
    session = open_scene(discs)
    with pytest.raises(InputError, match="expression is empty"):
        session.find("  ", VIEW)
    with pytest.raises(InputError, match="largset"):
        session.find("the largset house", VIEW)
    assert session.sentences == {}


def test_a_model_that_cannot_be_loaded_is_told(discs: Path) -> None:
    def fail() -> RedPredictor:
        raise ModelError("weights.safetensors: damaged")

    model = Model(RedPredictor().facts, fail)
    with open_session(discs, make_options(overlap_px=16), model) as session:
        wait(session)
        assert session.model_error == "weights.safetensors: damaged"
        with pytest.raises(InputError, match="damaged"):
            session.find("red discs", None)


def test_failed_windows_are_told(open_scene: OpenSession, discs: Path) -> None:
    class Failing(RedPredictor):
        def predict(self, images: NDArray[np.uint8], words: Any) -> StubOutput:
            output = super().predict(images, words)
            output.logits[images[..., 0].mean(axis=(1, 2)) > 115] = np.nan
            return output

    session = open_scene(discs, Failing())
    sentence = session.find("red discs", VIEW)
    wait(session)
    assert any("failed and have no data" in text for text in sentence.messages) or sentence.error


def test_temporary_files_are_removed(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    known = RedPredictor()
    model = Model(known.facts, lambda: known)
    with open_session(discs, make_options(overlap_px=16), model) as session:
        session.find("red discs", VIEW)
        wait(session)
        assert list(folder.rglob("*.tif"))
    assert list(folder.iterdir()) == []
