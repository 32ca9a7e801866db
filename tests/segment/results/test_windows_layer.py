"""The windows layer: every window once, with its footprint, state and scores."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from predictor_stubs import RedPredictor, StubOutput, blobs

from rrsis_geo.errors import OutputError
from rrsis_geo.geo.layers.windows_layer import LAYER
from rrsis_geo.segment.jobs.job import job_path
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.scene import RunOptions, merge_job, segment_scene

MakeScene = Callable[..., Path]


class FailingPredictor(RedPredictor):
    """Raises an error for windows that contain a pixel with full green."""

    def predict(self, images: NDArray[np.uint8], words: Any) -> StubOutput:
        if (images[..., 1] == 255).any():
            raise RuntimeError("out of luck")
        return super().predict(images, words)


def segment_windows(
    scene: Path, out: Path, predictor: RedPredictor | None = None, **how: Any
) -> gpd.GeoDataFrame:
    segment_scene(
        scene,
        "red discs",
        Outputs(out, windows_layer=True),
        SegmentOptions(overlap_px=16, **how),
        run=RunOptions(keep_job=True),
        predictor=predictor or RedPredictor(),
    )
    return gpd.read_file(out, layer=LAYER)


def test_windows_cover_the_scene_and_have_scores(tmp_path: Path, make_scene: MakeScene) -> None:
    scene = make_scene(200, 300, content=blobs())
    layer = segment_windows(scene, tmp_path / "o.gpkg")
    assert layer.crs == "EPSG:32632"
    assert shapely.union_all(layer.geometry).equals(
        shapely.box(500_000, 5_200_000 - 100, 500_150, 5_200_000)
    )
    assert not layer.duplicated(["window_row", "window_col"]).any()
    assert set(layer.state) == {"seen"}
    assert layer.presence.to_numpy() == pytest.approx(1 / (1 + np.exp(-3)), abs=1e-6)
    assert layer.probability_max.between(0, 1).all()
    objects = gpd.read_file(tmp_path / "o.gpkg", layer="red_discs")
    for row in objects.itertuples():
        near = layer[layer.intersects(row.geometry)]
        assert near.probability_max.max() >= row.score_max - 1e-3


def test_shards_and_a_later_merge_do_not_change_the_layer(
    tmp_path: Path, make_scene: MakeScene
) -> None:
    scene = make_scene(1100, 150, content=blobs())
    whole = segment_windows(scene, tmp_path / "whole.gpkg")
    parts = segment_windows(scene, tmp_path / "parts.gpkg", rows_per_shard=512)
    assert whole.equals(parts)
    merge_job(job_path(tmp_path / "parts.gpkg"), overwrite=True)
    assert gpd.read_file(tmp_path / "parts.gpkg", layer=LAYER).equals(whole)


def test_skipped_and_failed_windows_have_different_states(
    tmp_path: Path, make_scene: MakeScene
) -> None:
    invalid = np.zeros((200, 300), bool)
    invalid[:, 200:] = True

    def content(row: NDArray[np.intp], col: NDArray[np.intp], band: int) -> NDArray[Any]:
        pixels = blobs()(row, col, band)
        return np.where((row < 5) & (col < 5), 255, pixels)

    scene = make_scene(200, 300, content=content, alpha=True, invalid=invalid)
    layer = segment_windows(scene, tmp_path / "o.gpkg", FailingPredictor(presence=None))
    failed = layer[layer.state == "failed"]
    assert list(zip(failed.window_row, failed.window_col, strict=True)) == [(0, 0)]
    assert failed.reason.tolist() == ["out of luck"]
    skipped = layer[layer.state == "skipped"]
    assert (skipped.bounds.minx >= 500_100).all()
    assert len(skipped)
    assert layer.presence.isna().all()
    assert layer.probability_max.notna().equals(layer.state == "seen")


def test_the_expression_may_be_the_word_windows(tmp_path: Path, make_scene: MakeScene) -> None:
    out = tmp_path / "o.gpkg"
    segment_scene(
        make_scene(100, 100, content=blobs()),
        "windows",
        Outputs(out, windows_layer=True),
        SegmentOptions(overlap_px=16),
        predictor=RedPredictor(),
    )
    assert len(gpd.read_file(out, layer="objects_windows"))
    assert "state" in gpd.read_file(out, layer=LAYER)


def test_other_formats_are_refused(tmp_path: Path, make_scene: MakeScene) -> None:
    with pytest.raises(OutputError, match="needs a GeoPackage"):
        segment_windows(make_scene(), tmp_path / "o.geojson")


def test_ogrinfo_lists_both_layers(tmp_path: Path, make_scene: MakeScene) -> None:
    program = shutil.which("ogrinfo")
    if program is None:
        pytest.skip("ogrinfo is not installed")
    segment_windows(make_scene(100, 100, content=blobs()), tmp_path / "o.gpkg")
    process = subprocess.run(
        [program, "-ro", "-q", tmp_path / "o.gpkg"], capture_output=True, text=True, check=True
    )
    assert not process.stderr
    assert "red_discs (Polygon)" in process.stdout
    assert "windows (Polygon)" in process.stdout
