"""Layers that are read equal those that were written."""

from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely
from layer_files import write_layer
from rasterio.crs import CRS

from rrsis_geo.errors import InputError
from rrsis_geo.geo.layers.columns import SCENES_SCHEMA
from rrsis_geo.geo.layers.layer_files import SUFFIXES, layer_name
from rrsis_geo.geo.layers.read import read_layer
from rrsis_geo.geo.objects.features import BATCH_SIZE, Features

EXPRESSION = "the red truck"
UTM = CRS.from_epsg(32645)
ARRAYS = (
    "id",
    "score",
    "score_max",
    "area_m2",
    "perimeter_m",
    "n_pixels",
    "touches_border",
    "split_from",
)


def features(n: int, *, has_size: bool = True) -> Features:
    """Squares with coordinates that no short decimal represents, of known or unknown size."""
    random = np.random.default_rng(n)
    x, y, side = random.random(n) / 3 + 334_000, random.random(n) / 7, random.random(n) + 1 / 3
    size = side**2 if has_size else np.full(n, np.nan)
    return Features(
        polygons=shapely.box(x, y, x + side, y + side),
        id=np.arange(1, n + 1),
        score=random.random(n),
        score_max=random.random(n),
        area_m2=size,
        perimeter_m=size * np.pi,
        n_pixels=random.integers(1, 99, n),
        touches_border=random.random(n) < 0.5,
        split_from=random.integers(0, 3, n),
        expression=EXPRESSION,
        model="lite",
    )


@pytest.mark.parametrize("has_size", [True, False])
def test_round_trip_is_exact(tmp_path: Path, has_size: bool) -> None:
    expected = features(50, has_size=has_size)
    path = tmp_path / "trucks.gpkg"
    write_layer(path, [expected], crs=UTM if has_size else None, expression=EXPRESSION)
    (batch,) = read_layer(path, layer_name(EXPRESSION))
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(batch, name), getattr(expected, name))
    assert (shapely.to_wkb(batch.polygons) == shapely.to_wkb(expected.polygons)).all()
    assert (batch.expression, batch.model, batch.scene) == (EXPRESSION, "lite", None)


def test_batches(tmp_path: Path) -> None:
    path = tmp_path / "trucks.gpkg"
    write_layer(path, [features(BATCH_SIZE + 5)], crs=UTM, expression=EXPRESSION)
    batches = list(read_layer(path, layer_name(EXPRESSION)))
    assert [len(batch) for batch in batches] == [BATCH_SIZE, 5]
    assert np.concatenate([batch.id for batch in batches]).tolist() == list(
        range(1, BATCH_SIZE + 6)
    )


def test_empty_layer_has_no_batches(tmp_path: Path) -> None:
    path = tmp_path / "none.gpkg"
    write_layer(path, [], crs=UTM, expression=EXPRESSION)
    assert list(read_layer(path, layer_name(EXPRESSION))) == []


@pytest.mark.parametrize("problem", ["missing", "damaged", "other layer"])
def test_unreadable_layer(tmp_path: Path, problem: str) -> None:
    path = tmp_path / "trucks.gpkg"
    if problem == "damaged":
        path.write_text("not a database")
    elif problem == "other layer":
        write_layer(path, [features(2)], crs=UTM, expression="the blue car")
    with pytest.raises(InputError, match=r"trucks\.gpkg: layer the_red_truck cannot be read"):
        list(read_layer(path, layer_name(EXPRESSION)))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_scene_is_the_first_column(tmp_path: Path, suffix: str) -> None:
    rows = [
        replace(features(n), scene=f"tile é {n}.tif", id=np.arange(10 * n, 11 * n)) for n in (2, 3)
    ]
    path = tmp_path / f"all{suffix}"
    assert write_layer(path, rows, crs=UTM, expression=EXPRESSION, schema=SCENES_SCHEMA) == 5
    layer = layer_name(EXPRESSION) if suffix == ".gpkg" else None
    is_parquet = suffix == ".parquet"
    frame = gpd.read_parquet(path) if is_parquet else gpd.read_file(path, layer=layer)
    assert sorted(frame["scene"]) == ["tile é 2.tif"] * 2 + ["tile é 3.tif"] * 3
    if not is_parquet:
        assert pyogrio.read_info(path, layer=layer)["fields"][0] == "scene"


def test_empty_layer_has_the_scene_column(tmp_path: Path) -> None:
    path = tmp_path / "all.gpkg"
    write_layer(path, [], crs=UTM, expression=EXPRESSION, schema=SCENES_SCHEMA)
    info = pyogrio.read_info(path, layer=layer_name(EXPRESSION))
    assert list(info["fields"])[:2] == ["scene", "id"]
