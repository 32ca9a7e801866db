"""Several expressions in one pass: each gets the same result as in a run of its own."""

import os
import re
import signal
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
import tiny_net
from job_stubs import add_marks, is_marked, run_in_child, wait_for_exit
from numpy.typing import NDArray
from predictor_stubs import RedPredictor, StubOutput
from scene_files import write_scene

from rrsis_geo.errors import InputError
from rrsis_geo.model.bundle import Bundle
from rrsis_geo.model.predictor import Predictor
from rrsis_geo.segment.from_probability import polygonize
from rrsis_geo.segment.jobs.engines import RunOptions
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs, layer_names
from rrsis_geo.segment.plan.predictor import WindowPredictor
from rrsis_geo.segment.results.report import SegmentReport
from rrsis_geo.segment.scene import merge_job, segment_part, segment_scene

MakeScene = Callable[..., Path]
COLOURS = ("red", "green", "blue")
EXPRESSIONS = tuple(f"{colour} discs" for colour in COLOURS)
LAYERS = ["red_discs", "green_discs", "blue_discs"]
OPTIONS = SegmentOptions(overlap_px=16, rows_per_shard=512)


class ColourPredictor(RedPredictor):
    """Finds discs of the colour in an expression; can fail on marked windows for one expression."""

    def __init__(self, fails_for: str | None = None) -> None:
        super().__init__(position_dependent=True)
        self.fails_for = fails_for
        self.in_turn: list[tuple[str, int]] = []

    def predict(self, images: NDArray[np.uint8], words: Any) -> StubOutput:
        if words == self.fails_for and is_marked(images).any():
            raise RuntimeError("cuDNN error")
        self.in_turn.append((words, len(images)))
        number = COLOURS.index(words.split()[0])
        said = super().predict(np.roll(images, -number, axis=-1), words)
        assert said.presence is not None
        return StubOutput(said.logits, said.presence - 2 * number)


class SharingColourPredictor(ColourPredictor):
    """The same, asked for all expressions at once."""

    def predict_all(self, images: NDArray[np.uint8], words: Sequence[Any]) -> list[StubOutput]:
        self.in_turn.append(("all", len(images)))
        return super().predict_all(images, words)


# Layers name a model without a bundle by its class: this one is to pass for the other.
SharingColourPredictor.__name__ = ColourPredictor.__name__


class Result(NamedTuple):
    """Results that must not depend on the other expressions."""

    mask: NDArray[np.uint8]
    probability: NDArray[np.uint8]
    layer: gpd.GeoDataFrame


def coloured(row: NDArray[np.intp], col: NDArray[np.intp], band: int) -> NDArray[np.generic]:
    """Scene content: discs of three colours on gray."""
    i, j = row // 37, col // 37
    inside = np.hypot(row - i * 37 - 18 - i % 5, col - j * 37 - 18 + j % 3) < 8
    return np.where(inside, np.where((i + j) % 3 == band - 1, 220, 40), 100 + (row + col) % 7)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "scene.tif"
    return write_scene(path, 1300, 130, content=add_marks(coloured, (700, 60)))  # three shards


def outputs_in(folder: Path, vector: str = "o.gpkg", **more: Any) -> Outputs:
    folder.mkdir(exist_ok=True)
    return Outputs(folder / vector, mask=folder / "m.tif", probability=folder / "p.tif", **more)


def segment(
    scene: Path,
    folder: Path,
    expressions: str | Sequence[str] = EXPRESSIONS,
    predictor: WindowPredictor | None = None,
    *,
    batch_size: int = 4,
    stop: Callable[[], bool] = lambda: False,
    **run: Any,
) -> SegmentReport:
    return segment_scene(
        scene,
        expressions,
        outputs_in(folder),
        SegmentOptions(overlap_px=16, rows_per_shard=512, batch_size=batch_size),
        run=RunOptions(**run),
        predictor=predictor or SharingColourPredictor(),
        stop=stop,
    )


def read_result(folder: Path, layer: str, *, alone: bool = False) -> Result:
    assert not list(folder.glob("*.job"))
    end = "" if alone else f"_{layer}"
    rasters = []
    for name in ("m", "p"):
        with rasterio.open(folder / f"{name}{end}.tif") as dataset:
            assert dataset.tags()["expression"] == layer.replace("_", " ")
            rasters.append(dataset.read(1))
    return Result(*rasters, gpd.read_file(folder / "o.gpkg", layer=layer))


def check_equal(one: Result, other: Result) -> None:
    assert len(other.layer) > 20, "too few objects to compare"
    np.testing.assert_array_equal(one.mask, other.mask)
    np.testing.assert_array_equal(one.probability, other.probability)
    assert one.layer.equals(other.layer)


@pytest.fixture(scope="module")
def separate(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Result]:
    """The results of one run per expression."""
    folder = tmp_path_factory.mktemp("separate")
    for name, expression in zip(LAYERS, EXPRESSIONS, strict=True):
        segment(scene, folder / name, expression, ColourPredictor())
    return [read_result(folder / name, name, alone=True) for name in LAYERS]


def check_all(folder: Path, separate: list[Result]) -> None:
    for name, each in zip(LAYERS, separate, strict=True):
        check_equal(read_result(folder, name), each)


# --- the same results as in separate runs


@pytest.mark.parametrize("predictor_type", [ColourPredictor, SharingColourPredictor])
@pytest.mark.parametrize("batch_size", [1, 2])
def test_each_gets_the_same_result_as_alone(
    scene: Path,
    tmp_path: Path,
    separate: list[Result],
    predictor_type: type[ColourPredictor],
    batch_size: int,
) -> None:
    predictor = predictor_type()
    report = segment(scene, tmp_path / "all", predictor=predictor, batch_size=batch_size)
    check_all(tmp_path / "all", separate)
    assert report.expressions == EXPRESSIONS
    assert [result.n_objects for result in report.results] == [len(a.layer) for a in separate]
    presence_max = [0.953, 0.731, 0.269]  # of log-odds 3, 1, -1
    assert [r.presence_max for r in report.results] == pytest.approx(presence_max, abs=1e-3)
    assert [text for text in report.warnings if "probably" in text] == [
        '"blue discs" is probably not in the scene: the model gives it a probability of at most '
        "27% in every window"
    ]
    assert report.windows == sum(n for words, n in predictor.in_turn if words == "red discs")
    assert max(predictor.batches) == batch_size, "a batch counts windows"


def test_windows_are_predicted_once_for_all(scene: Path, tmp_path: Path) -> None:
    predictor = SharingColourPredictor()
    segment(scene, tmp_path / "all", predictor=predictor)
    batches = [n for words, n in predictor.in_turn if words == "all"]
    assert predictor.in_turn[:4] == [("all", 3), *((words, 3) for words in EXPRESSIONS)]
    assert len(predictor.in_turn) == 4 * len(batches)
    assert predictor.expressions == list(EXPRESSIONS), "each is encoded once"


@pytest.mark.parametrize("n_shards", [1, 3])
def test_killed_and_resumed(
    scene: Path, tmp_path: Path, separate: list[Result], n_shards: int
) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("forks")
    calls: list[None] = []

    def kill() -> bool:
        calls.append(None)
        if len(calls) > n_shards:
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    folder = tmp_path / "all"
    assert wait_for_exit(run_in_child(lambda: segment(scene, folder, stop=kill))) == -signal.SIGKILL
    assert len(list((folder / "o.gpkg.job").glob("shard-*/done.json"))) == n_shards
    segment(scene, folder, existing="resume")
    check_all(folder, separate)


def test_parts_are_merged(scene: Path, tmp_path: Path, separate: list[Result]) -> None:
    outputs = outputs_in(tmp_path / "all")
    for number in (3, 1, 2):
        part = segment_part(
            scene, EXPRESSIONS, outputs, (number, 3), OPTIONS, predictor=SharingColourPredictor()
        )
    report = merge_job(part.job)
    check_all(tmp_path / "all", separate)
    assert report.expressions == EXPRESSIONS


@pytest.mark.slow
def test_workers(scene: Path, tmp_path: Path, separate: list[Result]) -> None:
    segment(scene, tmp_path / "all", workers=2)
    check_all(tmp_path / "all", separate)


def test_a_window_that_fails_for_one_expression_is_a_gap_in_its_result_only(
    scene: Path, tmp_path: Path, separate: list[Result]
) -> None:
    predictor = SharingColourPredictor("green discs")
    report = segment(scene, tmp_path / "all", predictor=predictor, keep_job=False)
    n_failed = [len(result.failed) for result in report.results]
    assert n_failed == [0, len(report.failed), 0]
    assert report.failed
    alone = segment(scene, tmp_path / "green", "green discs", ColourPredictor("green discs"))
    assert alone.failed == report.failed
    for folder in (tmp_path / "all", tmp_path / "green"):
        assert (folder / "o.gpkg.job").exists(), "kept for --resume"
    segment(scene, tmp_path / "all", existing="resume")
    check_all(tmp_path / "all", separate)


def test_the_gap_is_the_same_as_alone(scene: Path, tmp_path: Path) -> None:
    segment(scene, tmp_path / "all", predictor=SharingColourPredictor("green discs"))
    segment(scene, tmp_path / "green", "green discs", ColourPredictor("green discs"))
    for folder in (tmp_path / "all", tmp_path / "green"):
        (folder / "o.gpkg.job").rename(folder / "o.kept")
    green = read_result(tmp_path / "green", "green_discs", alone=True)
    assert (green.mask == 255).any()
    check_equal(read_result(tmp_path / "all", "green_discs"), green)
    assert not (read_result(tmp_path / "all", "red_discs").mask == 255).any()


def test_a_probability_raster_belongs_to_its_expression(
    scene: Path, tmp_path: Path, separate: list[Result]
) -> None:
    segment(scene, tmp_path / "all")
    again = Outputs(tmp_path / "again.gpkg")
    report = polygonize(tmp_path / "all" / "p_green_discs.tif", again)
    assert report.expression == "green discs"
    assert report.n_objects == len(separate[1].layer)
    assert gpd.read_file(again.vector).geometry.equals(separate[1].layer.geometry)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_network_gives_each_the_same_result_as_alone(
    make_scene: MakeScene, tmp_path: Path, batch_size: int
) -> None:
    scene = make_scene(150, 230, content=coloured)
    texts = ("the road", "all buildings", "the truck on the road")
    options = SegmentOptions(overlap_px=16, batch_size=batch_size)
    spec, tokenizer = tiny_net.make_spec(), tiny_net.make_tokenizer()
    bundle = Bundle("tiny", Path("tiny"), tiny_net.make_net(), tokenizer, spec, {}, "0" * 64)
    predictor = Predictor(bundle, "cpu", "fp32")
    every = outputs_in(tmp_path / "all")
    segment_scene(scene, texts, every, options, predictor=predictor)
    seen = []
    for number, (text, own) in enumerate(zip(texts, every.per_expression(texts), strict=True)):
        alone = outputs_in(tmp_path / str(number))
        segment_scene(scene, text, alone, options, predictor=predictor)
        for kind in alone.rasters():
            with (
                rasterio.open(own.files()[kind]) as one,
                rasterio.open(alone.files()[kind]) as other,
            ):
                np.testing.assert_array_equal(one.read(), other.read())
                seen.append(one.read(1))
        layers = [gpd.read_file(path, layer=layer_names([text])[0])
                  for path in (own.vector, alone.vector)]  # fmt: skip
        assert layers[0].equals(layers[1])
    assert not np.array_equal(seen[1], seen[3]), "different expressions give different results"


# --- outputs


def test_a_geopackage_holds_a_styled_layer_per_expression(scene: Path, tmp_path: Path) -> None:
    outputs = Outputs(tmp_path / "o.gpkg", windows_layer=True)
    report = segment_scene(scene, EXPRESSIONS, outputs, OPTIONS, predictor=ColourPredictor())
    windows = [f"windows_{name}" for name in LAYERS]
    listed = [name for name, kind in pyogrio.list_layers(outputs.vector) if kind is not None]
    assert listed == [*LAYERS, *windows]
    assert report.outputs == {"vector": tmp_path / "o.gpkg"}
    with sqlite3.connect(outputs.vector) as base:
        styled = base.execute(
            "SELECT f_table_name, styleQML FROM layer_styles WHERE useAsDefault"
        ).fetchall()
        metadata = base.execute(
            "SELECT table_name, metadata FROM gpkg_metadata_reference JOIN gpkg_metadata AS m"
            " ON md_file_id = m.id ORDER BY m.id"
        ).fetchall()
    assert [name for name, _ in styled] == [*LAYERS, *windows]
    assert len({style for _, style in styled}) == 4, "each layer has its own colour"
    assert [name for name, _ in metadata] == LAYERS
    for expression, (_, text) in zip(EXPRESSIONS, metadata, strict=True):
        assert f'"expression": "{expression}"' in text
    presence = [gpd.read_file(outputs.vector, layer=name).presence.max() for name in windows]
    assert presence == [round(result.presence_max or 0, 6) for result in report.results]


@pytest.mark.parametrize("suffix", [".geojson", ".fgb", ".shp", ".parquet"])
def test_other_formats_get_a_file_per_expression(scene: Path, tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "out"
    outputs = outputs_in(folder, f"o{suffix}", preview=folder / "v.png")
    report = segment_scene(
        scene, EXPRESSIONS[:2], outputs, OPTIONS, predictor=SharingColourPredictor()
    )
    names = sorted(path.name for path in report.outputs.values())
    assert names == sorted(
        f"{stem}_{name}{end}"
        for name in LAYERS[:2]
        for stem, end in (("o", suffix), ("m", ".tif"), ("p", ".tif"), ("v", ".png"))
    )
    assert set(names) <= {path.name for path in folder.iterdir()}
    assert not (folder / f"o{suffix}.job").exists()
    assert report.outputs["mask:green_discs"] == folder / "m_green_discs.tif"
    (red, green) = report.results
    assert green.outputs["vector"] == folder / f"o_green_discs{suffix}"
    read = gpd.read_parquet if suffix == ".parquet" else gpd.read_file
    assert len(read(red.outputs["vector"])) == red.n_objects > 0


def test_a_page_has_a_section_per_expression(scene: Path, tmp_path: Path) -> None:
    page = tmp_path / "r.html"
    outputs = Outputs(tmp_path / "o.gpkg", report=page)
    report = segment_scene(scene, EXPRESSIONS, outputs, OPTIONS, predictor=ColourPredictor())
    text = page.read_text(encoding="utf-8")
    assert text.count("<img") == 3
    assert re.findall(r'<section id="(\w+)">', text) == LAYERS
    for result in report.results:
        assert f'<a href="#{result.layer}">{result.expression}</a>' in text
        assert f'<p class="sum">{result.n_objects} objects, ' in text
    assert f"{report.n_objects} objects in " in text


def test_an_existing_file_of_one_expression_is_refused(scene: Path, tmp_path: Path) -> None:
    outputs = outputs_in(tmp_path / "all")
    (tmp_path / "all" / "m_blue_discs.tif").write_text("another file")
    with pytest.raises(Exception, match=r"m_blue_discs\.tif: exists already"):
        segment_scene(scene, EXPRESSIONS, outputs, OPTIONS, predictor=ColourPredictor())
    assert not (tmp_path / "all" / "o.gpkg.job").exists()


def test_repeated_expressions_are_used_once(scene: Path, tmp_path: Path) -> None:
    report = segment(scene, tmp_path / "all", ["red discs", "blue discs", " red  discs "])
    assert report.expressions == ("red discs", "blue discs")
    assert '"red discs" is given more than once; it is segmented once' in report.warnings


@pytest.mark.parametrize("expressions", [(), ("red discs", " "), ["..."]])
def test_empty_expressions_are_refused(
    scene: Path, tmp_path: Path, expressions: Sequence[str]
) -> None:
    with pytest.raises(InputError, match="expression is empty"):
        segment(scene, tmp_path / "all", expressions)


def test_layer_names_are_unique() -> None:
    assert layer_names(["the car", "the car!", "The Car"]) == ("the_car", "the_car_2", "the_car_3")
    taken = layer_names(["on the roof", "windows on the roof"])
    assert taken == ("on_the_roof", "windows_on_the_roof_2"), "the name of a windows layer"
