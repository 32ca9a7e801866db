"""What a format cannot hold, or a disk cannot name, is refused before the first window."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from predictor_stubs import RedPredictor, StubOutput

from rrsis_geo.errors import OutputError
from rrsis_geo.segment.batch.scenes import segment_scenes
from rrsis_geo.segment.from_probability import polygonize
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.scene import segment_scene

SITE = 'LOCAL_CS["site",UNIT["metre",1]]'
OPTIONS = SegmentOptions(overlap_px=16)


class IdlePredictor(RedPredictor):
    def predict(self, images: NDArray[np.uint8], words: Any) -> StubOutput:
        raise AssertionError("a window was read")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    return folder


def test_geojson_of_a_local_crs(
    make_blobs: Callable[..., Path], folder: Path, red: RedPredictor
) -> None:
    scene, outputs = make_blobs(crs=SITE), Outputs(folder / "o.geojson")
    message = r"o\.geojson: the format cannot hold .* write a \.gpkg"
    with pytest.raises(OutputError, match=message):
        segment_scene(scene, "a disc", outputs, OPTIONS, predictor=IdlePredictor())
    with pytest.raises(OutputError, match=message):
        segment_scenes([scene], "a disc", outputs, OPTIONS, predictor=IdlePredictor())
    probability = folder.parent / "p.tif"
    with_probability = Outputs(folder.parent / "o.gpkg", probability=probability)
    segment_scene(scene, "a disc", with_probability, OPTIONS, predictor=red)
    with pytest.raises(OutputError, match=message):
        polygonize(probability, outputs)
    assert not list(folder.iterdir())


def test_long_names_of_every_file(make_blobs: Callable[..., Path], folder: Path) -> None:
    scene = make_blobs()
    for name in ("x" * 228 + ".gpkg", "x" * 300 + ".gpkg"):
        with pytest.raises(OutputError, match=r"bytes; choose one of at most 230"):
            segment_scene(
                scene, "a disc", Outputs(folder / name), OPTIONS, predictor=IdlePredictor()
            )
    mask = folder / ("x" * 220 + ".tif")  # each expression has its own
    with pytest.raises(OutputError, match=r"bytes; choose one of at most 230"):
        segment_scene(
            scene,
            ["a disc", "another disc"],
            Outputs(folder / "o.gpkg", mask=mask),
            OPTIONS,
            predictor=IdlePredictor(),
        )
    assert not list(folder.iterdir())


def test_outputs_are_written_through_links(
    make_blobs: Callable[..., Path], folder: Path, red: RedPredictor
) -> None:
    scene, real = make_blobs(), folder.parent / "real"
    real.mkdir()
    names = ("o.gpkg", "m.tif", "p.png", "r.html", "i.json")
    for name in names:
        (folder / name).symlink_to(real / name)
    outputs = Outputs(
        folder / "o.gpkg",
        mask=folder / "m.tif",
        preview=folder / "p.png",
        report=folder / "r.html",
        stac_item=folder / "i.json",
        overwrite=True,
    )
    for _ in range(2):
        segment_scene(scene, "a disc", outputs, OPTIONS, predictor=red)
        assert all((folder / name).is_symlink() for name in names)
        assert {path.name for path in real.iterdir()} == {*names, "m.qml"}
        assert {path.name for path in folder.iterdir()} == set(names)
    assert len(gpd.read_file(real / "o.gpkg", layer=0))
    with rasterio.open(real / "m.tif") as dataset:
        assert dataset.read(1).any()
