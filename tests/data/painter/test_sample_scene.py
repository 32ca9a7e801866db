"""The sample scene: scene and truth match, and contain the target of the demo."""

import geopandas as gpd
import numpy as np
import rasterio
from rasterio.features import geometry_mask
from repository import SAMPLE_DATA
from shapely.geometry import box


def test_scene_is_large_projected_and_small_on_disk() -> None:
    with rasterio.open(SAMPLE_DATA / "scene.tif") as scene:
        assert min(scene.shape) >= 2048
        assert scene.crs.is_projected
        assert scene.dtypes == ("uint8",) * 3
        assert scene.profile["tiled"]
        assert scene.overviews(1)
    assert (SAMPLE_DATA / "scene.tif").stat().st_size < 6_000_000


def test_truth_lies_in_the_scene_and_has_trucks_on_and_off_the_road() -> None:
    objects = gpd.read_file(SAMPLE_DATA / "truth.gpkg", layer="objects")
    trucks = gpd.read_file(SAMPLE_DATA / "truth.gpkg", layer="truck_on_the_road")
    with rasterio.open(SAMPLE_DATA / "scene.tif") as scene:
        assert objects.crs == scene.crs
        assert box(*scene.bounds).buffer(1e-6).covers(box(*objects.total_bounds))

    assert objects.geometry.is_valid.all()
    assert {"building", "water", "tree", "car", "parking lot"} <= set(objects["category"])
    kinds = objects[objects["category"] == "truck"].groupby("on").size()
    assert kinds["road"] == len(trucks) >= 20
    assert kinds["yard"] >= 5
    road = objects[objects["category"] == "road"].union_all()
    assert trucks.intersection(road).area.sum() > 0.95 * trucks.area.sum()
    others = objects[(objects["category"] == "truck") & (objects["on"] != "road")]
    assert others.intersection(road).area.sum() < 0.05 * others.area.sum()


def test_outlines_fit_the_picture() -> None:
    """White trucks are brighter than their surroundings. With a shifted truth they would not be."""
    trucks = gpd.read_file(SAMPLE_DATA / "truth.gpkg", layer="truck_on_the_road")
    white = trucks[trucks["colour"] == "white"]
    with rasterio.open(SAMPLE_DATA / "scene.tif") as scene:
        grey = scene.read().mean(axis=0)
        inner = geometry_mask(white.buffer(-0.4), grey.shape, scene.transform, invert=True)
        whole = geometry_mask(white.buffer(0.2), grey.shape, scene.transform, invert=True)
        ring = geometry_mask(white.buffer(1.0), grey.shape, scene.transform, invert=True) & ~whole
    assert np.median(grey[inner]) > 2 * np.median(grey[ring])
