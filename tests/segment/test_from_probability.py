"""Polygons made from a probability raster equal those of the run that wrote it."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from layer_files import file_size_limit
from predictor_stubs import RedPredictor, blobs
from rasterio.crs import CRS
from rasterio.enums import ColorInterp

from rrsis_geo.errors import ConfigError, InputError, OutputError
from rrsis_geo.geo.grid.rasters import Georeference, RasterWriter, encode_probability
from rrsis_geo.segment import probability_raster as module
from rrsis_geo.segment.from_probability import polygonize
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.scene import segment_scene

PLACE = Affine(0.5, 0, 500_000, 0, -0.5, 5_200_000)


def write_probability(
    path: Path, probability: np.ndarray, *, crs: str | None = "EPSG:32632"
) -> Path:
    place = CRS.from_user_input(crs) if crs else None
    with RasterWriter(
        path,
        "probability",
        Georeference(probability.shape, place, PLACE),
        tags={"expression": "a car"},
    ) as out:
        out.write_band(0, encode_probability(np.nan_to_num(probability), ~np.isnan(probability)))
    return path


def read_layer(path: Path) -> gpd.GeoDataFrame:
    return gpd.read_file(path, layer=0)


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    """Three objects with probabilities 0.9, 0.6 and 0.3, and an area without data."""
    probability = np.full((60, 80), 0.1, np.float32)
    probability[5:15, 5:15] = 0.9
    probability[20:30, 40:50] = 0.6
    probability[40:55, 10:40] = 0.3
    probability[:, 70:] = np.nan
    return write_probability(tmp_path / "p.tif", probability)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"threshold": 0.25},
        {"min_area_m2": 60.0},
        {"simplify_m": 1.0},
        {"outline": "smooth"},
        {"outline": "regular"},
    ],
)
def test_the_layer_equals_that_of_the_run(
    tmp_path: Path, make_scene: Callable[..., Path], options: dict[str, Any]
) -> None:
    scene = make_scene(200, 300, content=blobs())
    chosen = SegmentOptions(overlap_px=16, **options)
    first_outputs = Outputs(
        tmp_path / "run.gpkg", probability=tmp_path / "p.tif", mask=tmp_path / "m.tif"
    )
    segment_scene(scene, "red discs", first_outputs, chosen, predictor=RedPredictor())
    second_outputs = Outputs(tmp_path / "again.gpkg", mask=tmp_path / "m2.tif")
    report = polygonize(tmp_path / "p.tif", second_outputs, chosen)
    first, second = read_layer(first_outputs.vector), read_layer(second_outputs.vector)
    assert report.n_objects == len(first) > 0
    assert report.expression == "red discs"
    assert report.model == "RedPredictor"
    assert first.crs == second.crs
    assert first.geometry.geom_equals_exact(second.geometry, 1e-9).all()
    for name in ("id", "expression", "area_m2", "perimeter_m", "n_pixels", "model"):
        assert (first[name] == second[name]).all(), name
    np.testing.assert_allclose(first.score, second.score, atol=0.002)
    with rasterio.open(tmp_path / "m.tif") as one, rasterio.open(tmp_path / "m2.tif") as other:
        assert (one.read(1) == other.read(1)).all()


@pytest.mark.parametrize(("threshold", "n"), [(0.2, 3), (0.3, 2), (0.5, 2), (0.6, 1), (0.95, 0)])
def test_a_pixel_must_exceed_the_threshold(raster: Path, threshold: float, n: int) -> None:
    out = raster.with_name("o.gpkg")
    report = polygonize(raster, Outputs(out), SegmentOptions(threshold=threshold))
    assert report.n_objects == n == len(read_layer(out))
    json.dumps(report.to_dict(), allow_nan=False)


def test_the_height_of_bands_does_not_change_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_scene: Callable[..., Path]
) -> None:
    rng = np.random.default_rng(0)
    path = write_probability(tmp_path / "p.tif", rng.random((700, 30), np.float32))
    polygonize(path, Outputs(tmp_path / "whole.gpkg"))
    monkeypatch.setattr(module, "BAND_PX", 1)
    polygonize(path, Outputs(tmp_path / "bands.gpkg"))
    whole, bands = (read_layer(tmp_path / f"{name}.gpkg") for name in ("whole", "bands"))
    assert whole.equals(bands)


def test_provenance_contains_threshold_and_source(raster: Path) -> None:
    out = raster.with_name("o.gpkg")
    polygonize(raster, Outputs(out), SegmentOptions(threshold=0.4))
    with sqlite3.connect(out) as connection:
        (text,) = connection.execute("SELECT metadata FROM gpkg_metadata").fetchone()
    record = json.loads(text)
    assert record["options"]["threshold"] == 0.4
    assert record["probability"]["path"] == str(raster)


def test_any_raster_of_probabilities_can_be_used(
    tmp_path: Path, make_scene: Callable[..., Path]
) -> None:
    scene = make_scene(
        60,
        80,
        bands=1,
        dtype="float32",
        content=lambda row, col, band: np.where((row < 20) & (col < 20), 0.75, 0.25),
    )
    report = polygonize(scene, Outputs(tmp_path / "o.geojson"), expression="a roof")
    assert (report.n_objects, report.area_m2) == (1, pytest.approx(100, rel=1e-3))
    with pytest.raises(ConfigError, match="no tag with its expression; give the EXPRESSION"):
        polygonize(scene, Outputs(tmp_path / "other.gpkg"))


def test_other_values_are_refused(tmp_path: Path, make_scene: Callable[..., Path]) -> None:
    out = Outputs(tmp_path / "o.gpkg", mask=tmp_path / "m.tif")
    with pytest.raises(InputError, match="but probabilities are 0 to 1; give a raster"):
        polygonize(make_scene(60, 80, bands=1), out, expression="x")
    with pytest.raises(InputError, match=r"none\.tif: no such file"):
        polygonize(tmp_path / "none.tif", out, expression="x")
    assert [path.name for path in tmp_path.iterdir()] == ["scene-0.tif"]


@pytest.mark.parametrize("n_bands", [2, 3, 5])
def test_a_raster_of_several_bands_is_refused(
    tmp_path: Path, make_scene: Callable[..., Path], n_bands: int
) -> None:
    scene = make_scene(64, 64, bands=n_bands, dtype="float32", content=lambda r, c, b: r * 0 + 0.4)
    with pytest.raises(InputError, match=f"has {n_bands} bands, but a probability raster has one"):
        polygonize(scene, Outputs(tmp_path / "o.gpkg"), expression="a car")
    assert not (tmp_path / "o.gpkg").exists()


def test_an_alpha_band_may_follow_the_probability(
    tmp_path: Path, make_scene: Callable[..., Path]
) -> None:
    def content(row: np.ndarray, col: np.ndarray, band: int) -> np.ndarray:
        return np.where((col < 32) | (band == 1), 1, 0)

    scene = make_scene(64, 64, bands=2, content=content)
    with rasterio.open(scene, "r+") as dataset:
        dataset.colorinterp = [ColorInterp.gray, ColorInterp.alpha]
    polygonize(scene, Outputs(tmp_path / "o.gpkg"), expression="a car")
    assert read_layer(tmp_path / "o.gpkg").n_pixels.tolist() == [64 * 32]


def test_inputs_and_existing_files_are_kept(raster: Path) -> None:
    with pytest.raises(OutputError, match="is an input"):
        polygonize(raster, Outputs(raster.with_name("o.gpkg"), mask=raster))
    raster.with_name("o.gpkg").write_text("old")
    with pytest.raises(OutputError, match="exists already"):
        polygonize(raster, Outputs(raster.with_name("o.gpkg")))
    with pytest.raises(ConfigError, match="cannot be an output too"):
        polygonize(
            raster, Outputs(raster.with_name("n.gpkg"), probability=raster.with_name("q.tif"))
        )


@pytest.mark.parametrize("on_scene", [False, True])
def test_page(raster: Path, make_scene: Callable[..., Path], on_scene: bool) -> None:
    scene = make_scene(100, 120, content=blobs()) if on_scene else None
    page = raster.with_name("page.html")
    polygonize(
        raster,
        Outputs(raster.with_name("o.gpkg"), report=page, preview=raster.with_name("v.png")),
        SegmentOptions(threshold=0.2),
        scene=scene,
        command="rrsis-geo segment --from-probability 'a <b>.tif'",
    )
    text = page.read_text(encoding="utf-8")
    assert "3 objects, 163 m" in text
    assert "://" not in text
    assert " src=" not in text.replace(' src="data:', ""), "the page needs no other file"
    assert "a &lt;b&gt;.tif" in text
    assert text.count('<tr data-id="') == 3
    assert text.index('<tr data-id="3" ') < text.index('<tr data-id="1" '), "the largest first"
    assert "data:image/jpeg;base64," in text


def test_page_without_crs(tmp_path: Path) -> None:
    probability = np.zeros((40, 50), np.float32)
    probability[3:9, 4:9] = 1
    path = write_probability(tmp_path / "p.tif", probability, crs=None)
    polygonize(path, Outputs(tmp_path / "o.gpkg", report=tmp_path / "r.html"))
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<th>longitude</th>" not in text
    assert '<td data-key="30">unknown</td>\n<td data-key="30">30</td>' in text


def test_nothing_is_left_if_the_polygons_cannot_be_written(
    tmp_path: Path, make_scene: Callable[..., Path]
) -> None:
    """The mask is whole then, but does not appear without the polygons."""
    probability = np.full((300, 300), 0.1, np.float32)
    probability[::2, ::2] = 0.9
    write_probability(tmp_path / "p.tif", probability)
    folder = tmp_path / "out"
    folder.mkdir()
    outputs = Outputs(folder / "o.gpkg", mask=folder / "m.tif")
    with file_size_limit(500_000), pytest.raises(OutputError, match=r"o\.gpkg: ") as caught:
        polygonize(tmp_path / "p.tif", outputs, SegmentOptions(min_area_m2=0))
    assert not list(folder.iterdir())
    assert caught.tb  # which keeps all that the run has not closed
    report = polygonize(tmp_path / "p.tif", outputs, SegmentOptions(min_area_m2=0))
    assert report.n_objects == 150 * 150
    assert sorted(path.name for path in folder.iterdir()) == ["m.qml", "m.tif", "o.gpkg"]


def test_nothing_above_the_threshold_names_the_highest_pixel(raster: Path, tmp_path: Path) -> None:
    report = polygonize(raster, Outputs(tmp_path / "a.gpkg"), SegmentOptions(threshold=0.95))
    assert report.warnings == (
        '"a car": nothing is above the threshold of 0.95; the highest pixel is 0.90: '
        "try --threshold 0.8",
    )
