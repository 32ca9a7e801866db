"""The layer of windows: each window once, where it lies, with what was said of it."""

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


class Fails(RedPredictor):
    """Cannot do windows in which a pixel is of one strange colour."""

    def predict(self, images: NDArray[np.uint8], words: Any) -> StubOutput:
        if (images[..., 1] == 255).any():
            raise RuntimeError("out of luck")
        return super().predict(images, words)


def windows_of(
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


def test_windows_cover_the_scene_and_tell_what_was_said(
    tmp_path: Path, make_scene: MakeScene
) -> None:
    scene = make_scene(200, 300, content=blobs())
    layer = windows_of(scene, tmp_path / "o.gpkg")
    assert layer.crs == "EPSG:32632"
    assert shapely.union_all(layer.geometry).equals(
        shapely.box(500_000, 5_200_000 - 100, 500_150, 5_200_000)
    )
    assert not layer.duplicated(["window_row", "window_col"]).any()
    assert set(layer.state) == {"seen"}
    assert layer.presence.to_numpy() == pytest.approx(1 / (1 + np.exp(-3)), abs=1e-6)
    assert layer.probability_max.between(0, 1).all()
    objects = gpd.read_file(tmp_path / "o.gpkg", layer="red_discs")
    for found in objects.itertuples():
        near = layer[layer.intersects(found.geometry)]
        assert near.probability_max.max() >= found.score_max - 1e-5


def test_shards_and_a_later_merge_change_nothing(tmp_path: Path, make_scene: MakeScene) -> None:
    scene = make_scene(1100, 150, content=blobs())
    whole = windows_of(scene, tmp_path / "whole.gpkg")
    parts = windows_of(scene, tmp_path / "parts.gpkg", rows_per_shard=512)
    assert whole.equals(parts)
    merge_job(job_path(tmp_path / "parts.gpkg"), overwrite=True)
    assert gpd.read_file(tmp_path / "parts.gpkg", layer=LAYER).equals(whole)


def test_skipped_and_failed_are_told_apart(tmp_path: Path, make_scene: MakeScene) -> None:
    invalid = np.zeros((200, 300), bool)
    invalid[:, 200:] = True

    def content(row: NDArray[np.intp], col: NDArray[np.intp], band: int) -> NDArray[Any]:
        pixels = blobs()(row, col, band)
        return np.where((row < 5) & (col < 5), 255, pixels)

    scene = make_scene(200, 300, content=content, alpha=True, invalid=invalid)
    layer = windows_of(scene, tmp_path / "o.gpkg", Fails(presence=None))
    failed = layer[layer.state == "failed"]
    assert list(zip(failed.window_row, failed.window_col, strict=True)) == [(0, 0)]
    assert failed.reason.tolist() == ["out of luck"]
    skipped = layer[layer.state == "skipped"]
    assert (skipped.bounds.minx >= 500_100).all()
    assert len(skipped)
    assert layer.presence.isna().all()
    assert layer.probability_max.notna().equals(layer.state == "seen")


def test_an_expression_may_be_windows(tmp_path: Path, make_scene: MakeScene) -> None:
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


def test_other_formats_have_no_room_for_it(tmp_path: Path, make_scene: MakeScene) -> None:
    with pytest.raises(OutputError, match="needs a GeoPackage"):
        windows_of(make_scene(), tmp_path / "o.geojson")


def test_ogrinfo_lists_both_layers(tmp_path: Path, make_scene: MakeScene) -> None:
    program = shutil.which("ogrinfo")
    if program is None:
        pytest.skip("ogrinfo is not installed")
    windows_of(make_scene(100, 100, content=blobs()), tmp_path / "o.gpkg")
    told = subprocess.run(
        [program, "-ro", "-q", tmp_path / "o.gpkg"], capture_output=True, text=True, check=True
    )
    assert not told.stderr
    assert "red_discs (Polygon)" in told.stdout
    assert "windows (Polygon)" in told.stdout
