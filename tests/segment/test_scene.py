"""`segment_scene` on every kind of scene, with a stub model whose results are easy to check."""

import json
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
import torch
from affine import Affine
from numpy.typing import NDArray
from PIL import Image
from predictor_stubs import RedPredictor, StubOutput, blobs, make_options, red_logits
from pyproj import Geod
from rasterio.features import rasterize
from shapely import box
from tiny_net import make_bundle, make_net, register

from rrsis_geo.errors import ConfigError, InputError, OutputError
from rrsis_geo.geo.layers.layer_files import layer_name
from rrsis_geo.geo.objects.features import OutlineStyle
from rrsis_geo.model.bundle import save_bundle
from rrsis_geo.model.manifest import write_presence
from rrsis_geo.model.predictor import Predictor
from rrsis_geo.segment.from_probability import polygonize
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.scene import SegmentReport, segment_scene

MakeScene = Callable[..., Path]


class Result:
    """Segments a scene with all outputs, and reads them."""

    def __init__(
        self,
        scene: Path,
        folder: Path,
        predictor: RedPredictor | None = None,
        *,
        expression: str = "red discs",
        **options: Any,
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.report: SegmentReport = segment_scene(
            scene,
            expression,
            Outputs(folder / "o.gpkg", mask=folder / "m.tif", probability=folder / "p.tif"),
            make_options(**{"overlap_px": 16, **options}),
            predictor=predictor or RedPredictor(),
        )
        assert sorted(path.name for path in folder.iterdir()) == [
            *("m.qml", "m.tif", "o.gpkg", "p.qml", "p.tif")
        ]
        self.layer = gpd.read_file(folder / "o.gpkg", layer=layer_name(expression))
        with rasterio.open(folder / "m.tif") as dataset:
            self.mask: NDArray[np.uint8] = dataset.read(1)
            self.transform, self.crs, self.profile = dataset.transform, dataset.crs, dataset.profile
        with rasterio.open(folder / "p.tif") as dataset:
            self.probability: NDArray[np.uint8] = dataset.read(1)
            self.scale = dataset.scales[0]

    def burn(self) -> NDArray[np.uint8]:
        """Ids of the polygons burned into the pixels, int32 [H, W]; 0 outside."""
        if self.layer.empty:
            return np.zeros(self.mask.shape, np.uint8)
        return rasterize(
            zip(self.layer.geometry, self.layer.id, strict=True),
            self.mask.shape,
            transform=self.transform,
            dtype="int32",
        )

    def check(self) -> None:
        """Check the properties of every result."""
        ids = self.burn()
        assert np.array_equal(ids > 0, self.mask == 1)
        assert self.layer.is_valid.all()
        assert (self.layer.geom_type == "Polygon").all()
        assert self.layer.id.tolist() == list(range(1, len(self.layer) + 1))
        sizes = np.bincount(ids.ravel(), minlength=len(self.layer) + 1)[1:]
        assert np.array_equal(sizes, self.layer.n_pixels)
        assert self.layer.score.between(0.5, 1).all()
        assert (self.layer.score <= self.layer.score_max + 1e-6).all()
        assert self.report.n_objects == len(self.layer)
        assert np.array_equal(self.mask == 255, self.probability == 255)
        assert (self.probability[self.mask == 1] >= 125).all()
        assert (self.probability[self.mask == 0] <= 125).all()


def read_rgb(path: Path) -> NDArray[np.uint8]:
    with rasterio.open(path) as dataset:
        return dataset.read([1, 2, 3]).transpose(1, 2, 0)


def test_all_outputs_of_a_scene(make_blobs: MakeScene, tmp_path: Path, red: RedPredictor) -> None:
    scene = make_blobs(200, 300)
    result = Result(scene, tmp_path / "out", red)
    result.check()
    assert np.array_equal(result.mask, red_logits(read_rgb(scene)) > 0)
    layer = result.layer
    assert layer.crs == "EPSG:32632"
    assert set(layer.expression) == {"red discs"}
    assert set(layer.model) == {"RedPredictor"}
    # half-metre pixels; the scale of UTM at the central meridian is 0.9996
    assert layer.area_m2.to_numpy() == pytest.approx(
        layer.n_pixels * 0.25 / 0.9996**2, rel=1e-4, abs=0.005
    )
    assert result.report.area_m2 == pytest.approx(layer.area_m2.sum())
    assert result.profile["nodata"] == 255
    assert result.scale == pytest.approx(0.004)
    assert red.expressions == ["red discs"]  # encoded once


SCENES: dict[str, dict[str, Any]] = {
    "rotated": {"transform": Affine(0.4, 0.3, 5e5, 0.3, -0.4, 52e5)},
    "sheared": {"transform": Affine(0.5, 0.1, 5e5, 0, -0.5, 52e5)},
    "south-up": {"transform": Affine(0.5, 0, 5e5, 0, 0.5, 52e5)},
    "geographic": {"crs": "EPSG:4326"},
    "feet": {"crs": "EPSG:2263", "transform": Affine(2, 0, 980000, 0, -2, 200000)},
    "web mercator": {"crs": "EPSG:3857", "transform": Affine(1, 0, 9e5, 0, -1, 6e6)},
    "striped": {"blocks": None},
    "one pixel wide": {"height": 300, "width": 1},
    "one pixel high": {"height": 1, "width": 300},
    "one pixel": {"height": 1, "width": 1},
    "smaller than a window": {"height": 40, "width": 30},
    "513 x 511": {"height": 513, "width": 511},
    "narrow and high": {"height": 700, "width": 50},
}


@pytest.mark.parametrize("kind", SCENES)
def test_scenes_of_every_shape_and_georeference(
    make_blobs: MakeScene, tmp_path: Path, kind: str
) -> None:
    scene = make_blobs(**SCENES[kind])
    result = Result(scene, tmp_path / "out")
    result.check()
    with rasterio.open(scene) as dataset:
        assert result.mask.shape == dataset.shape
        assert result.transform == dataset.transform
        assert result.crs == dataset.crs
    assert np.array_equal(result.mask == 1, red_logits(read_rgb(scene)) > 0)


def test_ground_area_of_geographic_scene(make_blobs: MakeScene, tmp_path: Path) -> None:
    result = Result(make_blobs(crs="EPSG:4326"), tmp_path / "out")
    geod = Geod(ellps="WGS84")
    areas = [abs(geod.geometry_area_perimeter(shape)[0]) for shape in result.layer.geometry]
    assert result.layer.area_m2.to_numpy() == pytest.approx(areas, rel=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"nodata": 7},
        {"alpha": True},
        {"internal_mask": True},
        {"nodata": 0, "dtype": "uint16", "scale": 40.0},
        {"nodata": float("nan"), "dtype": "float32", "scale": 1e-3},
    ],
    ids=["nodata", "alpha", "mask", "uint16", "float NaN"],
)
def test_pixels_without_data_are_nodata_in_the_results(
    make_blobs: MakeScene, tmp_path: Path, options: dict[str, Any]
) -> None:
    invalid = np.zeros((200, 300), bool)
    invalid[30:90, 40:260] = True
    invalid[:, :20] = True
    result = Result(make_blobs(invalid=invalid, **options), tmp_path / "out")
    result.check()
    assert np.array_equal(result.mask == 255, invalid)
    assert 20 < result.report.n_objects < 45


@pytest.mark.parametrize(
    ("dtype", "scale", "offset"),
    [("uint16", 40, 0), ("int16", 30, -9000), ("float32", 1e-3, 0), ("float64", 1e5, -1e9)],
)
def test_pixel_types_give_the_same_discs(
    make_blobs: MakeScene, tmp_path: Path, dtype: str, scale: float, offset: float
) -> None:
    def content(row: Any, col: Any, band: int) -> Any:
        return blobs()(row, col, band) * scale + offset

    plain = Result(make_blobs(), tmp_path / "plain")
    other = Result(make_blobs(content=content, dtype=dtype), tmp_path / "other")
    assert np.array_equal(other.mask, plain.mask)


def test_windows_without_data_do_not_reach_the_model(make_blobs: MakeScene, tmp_path: Path) -> None:
    invalid = np.ones((800, 800), bool)
    invalid[:80] = False  # a tenth has data
    red = RedPredictor()
    scene = make_blobs(800, 800, nodata=0, invalid=invalid)
    report = Result(scene, tmp_path / "run", red).report
    n_rows = 17  # of windows, and as many columns
    assert sum(red.batches) == report.windows == 2 * n_rows
    assert report.skipped == n_rows * (n_rows - 2)


def test_scene_without_a_valid_pixel(make_blobs: MakeScene, tmp_path: Path) -> None:
    red = RedPredictor()
    scene = make_blobs(nodata=0, invalid=np.ones((200, 300), bool))
    result = Result(scene, tmp_path / "out", red)
    assert (result.mask == 255).all()
    assert result.layer.empty
    assert list(result.layer.columns)[:3] == ["id", "expression", "score"]
    assert result.layer.crs == "EPSG:32632"
    assert (result.report.n_objects, result.report.area_m2, result.report.windows) == (0, 0.0, 0)
    assert not red.batches


def test_no_objects_are_a_valid_result(make_scene: MakeScene, tmp_path: Path) -> None:
    scene = make_scene(content=lambda row, col, band: 100 + 0 * row)
    result = Result(scene, tmp_path / "out")
    result.check()
    assert result.layer.empty
    assert (result.mask == 0).all()
    assert result.report.warnings == (  # gray has log-odds of -20.5 / 16
        '"red discs": nothing is above the threshold of 0.5; the highest pixel is 0.21: '
        "try --threshold 0.2",
    )


def test_gray_scene(make_scene: MakeScene, tmp_path: Path) -> None:
    result = Result(make_scene(bands=1), tmp_path / "out")
    assert result.report.n_objects == 0  # gray is never red


def test_bands_can_be_chosen(make_blobs: MakeScene, tmp_path: Path) -> None:
    scene = make_blobs(content=lambda row, col, band: blobs()(row, col, 4 - band))
    assert Result(scene, tmp_path / "as it is").report.n_objects == 0
    swapped = Result(scene, tmp_path / "swapped", bands=(3, 2, 1))
    plain = Result(make_blobs(), tmp_path / "plain")
    assert np.array_equal(swapped.mask, plain.mask)


@pytest.mark.parametrize(
    "how", [{"batch_size": 1}, {"batch_size": 9, "rows_per_shard": 512}, {"rows_per_shard": 1024}]
)
def test_shards_and_batches_do_not_change_the_result(
    make_blobs: MakeScene, tmp_path: Path, how: dict[str, Any]
) -> None:
    scene = make_blobs(1300, 130)
    whole = Result(scene, tmp_path / "whole", RedPredictor(position_dependent=True))
    parts = Result(scene, tmp_path / "parts", RedPredictor(position_dependent=True), **how)
    parts.check()
    assert np.array_equal(whole.probability, parts.probability)
    assert whole.layer.equals(parts.layer)
    assert whole.report.plan_hash == parts.report.plan_hash


def test_threshold_is_a_probability(make_blobs: MakeScene, tmp_path: Path) -> None:
    scene = make_blobs()
    low, high = (
        Result(scene, tmp_path / str(at), RedPredictor(position_dependent=True), threshold=at)
        for at in (0.01, 0.999)
    )
    assert (low.mask == 1).sum() > (high.mask == 1).sum() > 0
    assert np.array_equal(low.probability, high.probability)


def test_a_resampled_run_writes_the_pixels_of_the_scene(
    make_blobs: MakeScene, tmp_path: Path
) -> None:
    scene = make_blobs(crs="EPSG:4326")  # 1.11 m from row to row, 0.76 m from column to column
    red = RedPredictor(gsd_m=0.5, gsd_range_m=(0.4, 0.5))
    result = Result(scene, tmp_path / "out", red)
    result.check()
    assert result.mask.shape == (200, 300)
    expected = red_logits(read_rgb(scene)) > 0
    both, either = ((result.mask == 1) & expected).sum(), ((result.mask == 1) | expected).sum()
    assert both / either > 0.85  # outlines may shift by part of a pixel
    assert result.report.windows == 10 * 10  # 445 x 456 pixels of half a metre
    assert any("is resampled to 50 cm" in warning for warning in result.report.warnings)
    original = Result(scene, tmp_path / "off", red, resample=False)
    assert np.array_equal(original.mask == 1, expected)
    assert any("expect worse results" in warning for warning in original.report.warnings)


def test_small_objects_are_removed_after_merging(make_blobs: MakeScene, tmp_path: Path) -> None:
    scene = make_blobs(1100, 100)
    everything = Result(scene, tmp_path / "all")
    areas = everything.layer.area_m2
    limit = float(areas.median())
    large = Result(scene, tmp_path / "large", min_area_m2=limit, rows_per_shard=512)
    assert large.layer.area_m2.tolist() == areas[areas >= limit].tolist()
    assert 0 < len(large.layer) < len(areas)
    assert large.layer.id.tolist() == list(range(1, len(large.layer) + 1))
    assert np.array_equal(large.mask, everything.mask)


def specks(row: Any, col: Any, band: int) -> Any:
    """Red squares of 1, 2, 3 and 4 pixels on gray."""
    inside = np.zeros(np.broadcast_shapes(row.shape, col.shape), bool)
    for number, side in enumerate((1, 2, 3, 4)):
        inside |= (abs(2 * (row - 50) + 1 - side) < side) & (
            abs(2 * (col - 20 - 20 * number) + 1 - side) < side
        )
    return np.where(inside, (220, 40, 40)[band - 1], 100)


@pytest.mark.parametrize(
    ("min_area_m2", "sizes", "dropped"),
    [
        (None, [9, 16], "2 objects under 2.3 m\N{SUPERSCRIPT TWO} (--min-area 0 keeps them)"),
        (0.0, [1, 4, 9, 16], ""),
        (3.0, [16], "3 objects under 3.0 m\N{SUPERSCRIPT TWO}"),
    ],
)
def test_specks_are_dropped_by_default(
    make_scene: MakeScene,
    tmp_path: Path,
    min_area_m2: float | None,
    sizes: list[int],
    dropped: str,
) -> None:
    result = Result(make_scene(content=specks), tmp_path / "out", min_area_m2=min_area_m2)
    assert sorted(result.layer.n_pixels) == sizes
    assert result.report.dropped == dropped
    assert (result.mask == 1).sum() == 30
    options = make_options(min_area_m2=min_area_m2)
    again = polygonize(tmp_path / "out/p.tif", Outputs(tmp_path / "p.gpkg"), options)
    assert (again.n_objects, again.dropped) == (len(sizes), dropped)


def test_smallest_object_of_a_resampled_scene(make_scene: MakeScene, tmp_path: Path) -> None:
    """Pixels of half a metre that the model sees at 1 m: 9 of its pixels are 36 of the scene."""
    predictor = RedPredictor(gsd_range_m=(1.0, 2.0), gsd_m=1.0)
    Result(make_scene(content=specks), tmp_path / "out", predictor)
    with rasterio.open(tmp_path / "out/p.tif") as dataset:
        assert dataset.tags()["smallest_object_px"] == "36"


def test_simplified_outlines(make_blobs: MakeScene, tmp_path: Path) -> None:
    plain = Result(make_blobs(), tmp_path / "plain")
    simple = Result(make_blobs(), tmp_path / "simple", simplify_m=1.0)
    assert len(simple.layer) == len(plain.layer)
    assert simple.layer.is_valid.all()
    vertices = [layer.count_coordinates().sum() for layer in (simple.layer, plain.layer)]
    assert vertices[0] < 0.7 * vertices[1]
    assert np.array_equal(simple.layer.n_pixels, plain.layer.n_pixels)


@pytest.mark.parametrize("outline", ["smooth", "regular"])
def test_drawn_outlines_do_not_depend_on_shards(
    make_blobs: MakeScene, tmp_path: Path, outline: OutlineStyle
) -> None:
    plain = Result(make_blobs(), tmp_path / "plain")
    whole = Result(make_blobs(), tmp_path / "whole", outline=outline)
    cut = Result(make_blobs(), tmp_path / "cut", outline=outline, rows_per_shard=64)
    assert whole.layer.geometry.geom_equals_exact(cut.layer.geometry, 0).all()
    assert np.array_equal(whole.layer.n_pixels, plain.layer.n_pixels)
    assert np.array_equal(whole.mask, plain.mask)
    assert whole.layer.area_m2.to_numpy() == pytest.approx(whole.layer.area.to_numpy(), rel=0.002)
    assert whole.layer.count_coordinates().sum() < 0.6 * plain.layer.count_coordinates().sum()


def test_preview(make_blobs: MakeScene, tmp_path: Path) -> None:
    outputs = Outputs(tmp_path / "o.gpkg", preview=tmp_path / "o.png")
    options = SegmentOptions(overlap_px=16)
    segment_scene(make_blobs(), "red discs", outputs, options, predictor=RedPredictor())
    with Image.open(tmp_path / "o.png") as picture:
        assert min(picture.size) > 400


def test_bbox_limits_result_and_windows(make_blobs: MakeScene, tmp_path: Path) -> None:
    scene = make_blobs(400, 400)
    whole = Result(scene, tmp_path / "whole", RedPredictor())
    red = RedPredictor()
    # columns 100 to 200, rows 60 to 140 of half-metre pixels
    part = Result(scene, tmp_path / "part", red, bbox=(500050.0, 5199930.0, 500100.0, 5199970.0))
    part.check()
    assert part.mask.shape == (80, 100)
    assert np.array_equal(part.mask, whole.mask[60:140, 100:200])
    assert part.transform.c == 500050
    assert part.transform.f == 5199970
    assert sum(red.batches) == 2 * 3


def test_bbox_in_another_crs(make_blobs: MakeScene, tmp_path: Path) -> None:
    scene = make_blobs()
    box_deg = gpd.GeoSeries([box(500050, 5199930, 500100, 5199970)], crs="EPSG:32632")
    bounds = tuple(box_deg.to_crs("EPSG:4326").total_bounds.tolist())
    part = Result(scene, tmp_path / "part", bbox=bounds, bbox_crs="EPSG:4326")
    part.check()
    assert 80 <= part.mask.shape[0] <= 84
    assert 100 <= part.mask.shape[1] <= 104


def test_aoi_in_another_crs_crops_to_its_polygons(make_blobs: MakeScene, tmp_path: Path) -> None:
    triangle = gpd.GeoSeries.from_wkt(
        ["POLYGON ((500010 5199990, 500140 5199990, 500010 5199910, 500010 5199990))"],
        crs="EPSG:32632",
    )
    triangle.to_crs("EPSG:4326").to_file(tmp_path / "aoi.geojson")
    scene = make_blobs()
    whole = Result(scene, tmp_path / "whole")
    part = Result(scene, tmp_path / "part", aoi=tmp_path / "aoi.geojson")
    part.check()
    inside = part.mask != 255
    assert 0.45 < inside.mean() < 0.55
    rows, cols = inside.shape
    assert np.array_equal(part.mask[inside], whole.mask[20 : 20 + rows, 20 : 20 + cols][inside])


def test_a_scene_without_crs_must_be_allowed(make_blobs: MakeScene, tmp_path: Path) -> None:
    scene = make_blobs(crs=None, transform=Affine.identity())
    with pytest.raises(InputError, match=r"scene-0\.tif: no CRS; .*--allow-no-crs"):
        Result(scene, tmp_path / "refused")
    result = Result(scene, tmp_path / "allowed", allow_no_crs=True)
    result.check()
    assert result.layer.crs is None or result.layer.crs.name.startswith("Undefined")
    assert result.report.area_m2 is None
    assert result.layer.total_bounds[2] > 100  # pixels


def test_report_is_json(make_blobs: MakeScene, tmp_path: Path) -> None:
    report = Result(make_blobs(), tmp_path / "out").report
    record = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert record["outputs"]["vector"].endswith("o.gpkg")
    assert record["windows"] == 35
    assert record["presence_max"] == pytest.approx(1 / (1 + np.exp(-3)))
    assert record["seconds"] >= record["network_seconds"] > 0


def test_progress_reaches_its_total(make_blobs: MakeScene, tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    segment_scene(
        make_blobs(1100, 100),
        "red discs",
        Outputs(tmp_path / "o.gpkg"),
        SegmentOptions(overlap_px=16, rows_per_shard=512),
        predictor=RedPredictor(),
        progress=lambda *call: calls.append(call),
    )
    for stage in ("windows", "outputs"):
        done, totals = zip(*(call[1:] for call in calls if call[0] == stage), strict=True)
        assert list(done) == sorted(done)
        assert done[0] == 0
        assert {done[-1]} == set(totals)


# --- warnings


def test_a_plain_expression_gives_no_warning(make_blobs: MakeScene, tmp_path: Path) -> None:
    assert Result(make_blobs(), tmp_path / "out").report.warnings == ()


@pytest.mark.parametrize("fitted", [True, False])
def test_below_the_threshold_of_presence_nothing_is_found(
    make_blobs: MakeScene, tmp_path: Path, fitted: bool
) -> None:
    with register():
        net = make_net(presence=False)
        bundle = save_bundle(replace(make_bundle(tmp_path / "m", net), presence=0.5))
        if fitted:
            write_presence(bundle, 1 - 1e-12)
        options = SegmentOptions(
            model=str(bundle), overlap_px=16, presence=None if fitted else 1 - 1e-12
        )
        scene, outputs = make_blobs(), Outputs(tmp_path / "o.gpkg")
        report = segment_scene(scene, "all buildings", outputs, options)
        assert report.results[0].n_objects == 0
        assert any("is probably not in the scene" in text for text in report.warnings)
        by_hand = replace(options, presence=1e-12)
        outputs = Outputs(tmp_path / "p.gpkg")
        assert segment_scene(scene, "all buildings", outputs, by_hand).results[0].n_objects > 0


def test_low_presence_everywhere_gives_a_warning(make_blobs: MakeScene, tmp_path: Path) -> None:
    report = Result(make_blobs(), tmp_path / "out", RedPredictor(presence=-2.0)).report
    assert report.warnings == (
        '"red discs" is probably not in the scene: '
        "the model gives it a probability of at most 12% in every window",
    )


# --- errors leave no files


class FailingPredictor(RedPredictor):
    """Raises an error in the middle of the scene."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def predict(self, images: NDArray[np.uint8], words: Any) -> StubOutput:
        if sum(self.batches) > 10:
            raise self.error
        return super().predict(images, words)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), InputError("x"), TypeError("bug")])
def test_an_error_removes_all_temporary_files(
    make_blobs: MakeScene, tmp_path: Path, error: BaseException
) -> None:
    scene = make_blobs()
    folder = tmp_path / "out"
    handlers = logging.getLogger("rrsis_geo").handlers[:]
    with pytest.raises(type(error)):
        Result(scene, folder, FailingPredictor(error))
    assert not list(folder.iterdir())
    assert logging.getLogger("rrsis_geo").handlers == handlers


def test_an_error_keeps_the_last_result(make_blobs: MakeScene, tmp_path: Path) -> None:
    scene, path = make_blobs(), tmp_path / "o.gpkg"
    path.write_bytes(b"last result")
    with pytest.raises(TypeError):
        segment_scene(
            scene,
            "red discs",
            Outputs(path, overwrite=True),
            SegmentOptions(overlap_px=16),
            predictor=FailingPredictor(TypeError("bug")),
        )
    assert path.read_bytes() == b"last result"


def test_truncated_scene_is_an_input_error(make_blobs: MakeScene, tmp_path: Path) -> None:
    scene = make_blobs(600, 600, compress=None)
    content = scene.read_bytes()
    scene.write_bytes(content[: len(content) // 2])
    folder = tmp_path / "out"
    with pytest.raises(InputError, match=r"scene-0\.tif"):
        Result(scene, folder)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("expression", ["", "  ", "?!"])
def test_empty_expression(make_blobs: MakeScene, tmp_path: Path, expression: str) -> None:
    with pytest.raises(InputError, match="the expression is empty"):
        Result(make_blobs(), tmp_path / "out", expression=expression)


def test_outputs_are_checked_before_the_scene_is_opened(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="unknown suffix"):
        segment_scene(tmp_path / "none.tif", "red", Outputs(tmp_path / "o.xyz"))


def test_area_outside_the_scene(make_blobs: MakeScene, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="bbox: lies outside the scene"):
        Result(make_blobs(), tmp_path / "out", bbox=(0.0, 0.0, 1.0, 1.0))
    with pytest.raises(ConfigError, match='"EPSG:nonsense" is not a CRS'):
        Result(make_blobs(), tmp_path / "out", bbox=(0.0, 0, 1, 1), bbox_crs="EPSG:nonsense")


def test_options_in_metres_without_crs_are_refused_first(
    make_blobs: MakeScene, tmp_path: Path
) -> None:
    scene = make_blobs(crs=None)
    red = RedPredictor()
    for options in ({"min_area_m2": 5.0}, {"simplify_m": 1.0}, {"gsd_m": 0.3}):
        with pytest.raises(ConfigError):
            Result(scene, tmp_path / "out", red, allow_no_crs=True, **options)
    assert not red.batches


def test_runs_in_threads_keep_their_own_warnings(make_blobs: MakeScene, tmp_path: Path) -> None:
    both = threading.Barrier(2, timeout=60)

    class Waiting(RedPredictor):
        """Keeps both runs at the same place; the first warns, also from a background thread."""

        def predict(self, images: NDArray[np.uint8], words: Any) -> StubOutput:
            both.wait()
            if words == "round red discs":
                logging.getLogger("rrsis_geo.stub").warning("from the first run")
            both.wait()
            return super().predict(images, words)

    def run(size: str) -> SegmentReport:
        return segment_scene(
            scene,
            f"the {size} red disc",
            Outputs(tmp_path / f"{size}.gpkg"),
            SegmentOptions(overlap_px=16),
            predictor=Waiting(),
        )

    scene = make_blobs()
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(run, ("round", "flat"))
    assert "from the first run" in first.warnings
    assert "from the first run" not in second.warnings
    assert not any("flat" in text for text in first.warnings)


def test_settings_of_the_process_are_put_back(
    make_blobs: MakeScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(options: SegmentOptions) -> Predictor:
        return Predictor(make_bundle(), "cpu", "fp32", threads=options.threads)

    monkeypatch.setattr("rrsis_geo.segment.scene.load_predictor", load)
    names = ("OGR_SQLITE_SYNCHRONOUS", "GDAL_CACHEMAX", "GDAL_HTTP_MAX_RETRY")
    before = [pyogrio.get_gdal_config_option(name) for name in names], torch.get_num_threads()
    options = SegmentOptions(overlap_px=16, threads=torch.get_num_threads() + 1)
    segment_scene(make_blobs(), "trucks", Outputs(tmp_path / "o.gpkg"), options)
    after = [pyogrio.get_gdal_config_option(name) for name in names], torch.get_num_threads()
    assert after == before
