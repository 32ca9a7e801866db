"""Touching objects over a scene: split where an expression ranks, counts or measures."""

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from predictor_stubs import RedPredictor
from scene_files import write_scene

from rrsis_geo.segment.from_probability import polygonize
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs, layer_names
from rrsis_geo.segment.scene import merge_job, segment_part, segment_scene

PAIR = ((480, 512, 20, 52), (512, 514, 30, 38), (514, 546, 20, 52))
"""Rows and columns of two squares with a neck between them, on both sides of row 512."""
SINGLE = (700, 740, 100, 140)
WHOLE_PX, HALF_PX, SINGLE_PX = 2 * 32 * 32 + 2 * 8, 32 * 32 + 8, 40 * 40
EXPRESSIONS = ("the buildings", "the largest building", "buildings smaller than 300 m2")


def content(row: NDArray[np.intp], col: NDArray[np.intp], band: int) -> NDArray[np.generic]:
    value = np.full(np.broadcast_shapes(row.shape, col.shape), 100)
    for top, bottom, left, right in (*PAIR, SINGLE):
        inside = (row >= top) & (row < bottom) & (col >= left) & (col < right)
        value[inside] = 220 if band == 1 else 40
    return value


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scene.tif", 800, 200, content=content)


def options(split: bool | None, rows: int = 1024) -> SegmentOptions:
    return SegmentOptions(overlap_px=16, rows_per_shard=rows, split=split)


def sizes(path: Path, expression: str) -> list[tuple[int, bool]]:
    """Pixels of each object, and whether it is a part."""
    names = dict(zip(EXPRESSIONS, layer_names(EXPRESSIONS), strict=True))
    layer = gpd.read_file(path, layer=names[expression])
    return list(zip(layer.n_pixels, layer.split_from.notna(), strict=True))


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        (None, ([(WHOLE_PX, False), (SINGLE_PX, False)], [(SINGLE_PX, False)], 2)),
        (True, ([(HALF_PX, True)] * 2 + [(SINGLE_PX, False)], [(SINGLE_PX, False)], 2)),
        (False, ([(WHOLE_PX, False), (SINGLE_PX, False)], [(WHOLE_PX, False)], 0)),
    ],
)
def test_split_is_for_ranks_and_measures_unless_it_is_asked_for(
    tmp_path: Path, scene: Path, split: bool | None, expected: tuple[object, object, int]
) -> None:
    out = tmp_path / "o.gpkg"
    segment_scene(scene, EXPRESSIONS, Outputs(out), options(split), predictor=RedPredictor())
    plain, largest, n_small = expected
    assert sizes(out, EXPRESSIONS[0]) == plain
    assert sizes(out, EXPRESSIONS[1]) == largest
    assert sizes(out, EXPRESSIONS[2]) == [(HALF_PX, True)] * n_small


def test_parts_of_a_run_split_what_crosses_their_seam(tmp_path: Path, scene: Path) -> None:
    whole, parts = tmp_path / "whole.gpkg", tmp_path / "parts.gpkg"
    predictor = RedPredictor()
    segment_scene(scene, EXPRESSIONS, Outputs(whole), options(True), predictor=predictor)
    for part in (1, 2):
        segment_part(
            scene, EXPRESSIONS, Outputs(parts), (part, 2), options(True, 512), predictor=predictor
        )
    merge_job(tmp_path / "parts.gpkg.job")
    for name in layer_names(EXPRESSIONS):
        one, other = gpd.read_file(whole, layer=name), gpd.read_file(parts, layer=name)
        assert len(one)
        assert one.drop(columns="geometry").equals(other.drop(columns="geometry"))
        assert (shapely.to_wkb(one.geometry) == shapely.to_wkb(other.geometry)).all()


def test_parts_have_their_own_sizes_and_the_score_of_the_whole(tmp_path: Path, scene: Path) -> None:
    outputs = Outputs(tmp_path / "o.gpkg", probability=tmp_path / "p.tif")
    segment_scene(scene, "buildings", outputs, options(True), predictor=RedPredictor())
    layer = gpd.read_file(tmp_path / "o.gpkg")
    assert layer.split_from.tolist()[:2] == [1, 1]
    assert layer.area_m2.tolist() == pytest.approx([258, 258, 400], rel=1e-3)
    assert layer.score.nunique() == 1
    polygonize(tmp_path / "p.tif", Outputs(tmp_path / "q.gpkg"), SegmentOptions(split=True))
    again = gpd.read_file(tmp_path / "q.gpkg")
    assert again.geometry.geom_equals_exact(layer.geometry, 1e-9).all()
    assert again.split_from.equals(layer.split_from)


def test_split_is_kept_in_the_manifest() -> None:
    for split in (None, True, False):
        record = json.loads(json.dumps(options(split).to_manifest()))
        assert SegmentOptions.from_manifest(record).split is split
    assert "split" not in options(None).to_manifest()
