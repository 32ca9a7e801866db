"""Layers have calibrated scores, and rules go by mean probabilities."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from noun_scenes import BOXES, NORTH_UP, SHAPE, NounPredictor, content_of, write
from scene_files import write_scene

from rrsis_geo.model.calibration import Calibration
from rrsis_geo.model.facts import ModelFacts
from rrsis_geo.segment.batch.scenes import segment_scenes
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs, layer_names
from rrsis_geo.segment.scene import segment_scene

EXPRESSIONS = ["the buildings", "the two largest buildings", "the car closest to the road"]
LAYERS = [*layer_names(EXPRESSIONS), "landmark_roads"]
DOUBTFUL = Calibration(scale=1.5, offset=-4.0)


class CalibratedPredictor(NounPredictor):
    @property
    def facts(self) -> ModelFacts:
        return replace(super().facts, calibration=DOUBTFUL)


def one_scene(folder: Path, out: Path, predictor: NounPredictor) -> None:
    scene = write(folder / "scene.tif", NORTH_UP, "EPSG:32632")
    run(segment_scene, str(scene), out, predictor)


def two_scenes(folder: Path, out: Path, predictor: NounPredictor) -> None:
    tiles = folder / "tiles"
    tiles.mkdir(exist_ok=True)
    content = content_of(BOXES)
    for name, start, stop in (("east", 120, SHAPE[1]), ("west", 0, 120)):
        write_scene(
            tiles / f"{name}.tif",
            SHAPE[0],
            stop - start,
            transform=NORTH_UP @ Affine.translation(start, 0),
            content=lambda row, col, band, start=start: content(row, col + start, band),
        )
    run(segment_scenes, str(tiles), out, predictor)


def run(segment: Callable[..., Any], scene: str, out: Path, predictor: NounPredictor) -> None:
    outputs, options = Outputs(out, landmarks=True), SegmentOptions(overlap_px=16)
    segment(scene, EXPRESSIONS, outputs, options, predictor=predictor)


@pytest.mark.parametrize("segment", [one_scene, two_scenes])
def test_scores_are_calibrated_once_and_the_same_objects_are_chosen(
    tmp_path: Path, segment: Callable[..., None]
) -> None:
    segment(tmp_path, tmp_path / "plain.gpkg", NounPredictor())
    segment(tmp_path, tmp_path / "calibrated.gpkg", CalibratedPredictor())
    for layer in LAYERS:
        plain, calibrated = (
            gpd.read_file(tmp_path / f"{name}.gpkg", layer=layer)
            for name in ("plain", "calibrated")
        )
        assert len(plain) > 0
        assert plain.drop(columns=["score", "model"]).equals(
            calibrated.drop(columns=["score", "model"])
        )
        expected = DOUBTFUL.scores(plain["score"].to_numpy()).round(3)
        np.testing.assert_array_equal(calibrated["score"], expected)
        assert (calibrated["score"] < plain["score"]).all()
