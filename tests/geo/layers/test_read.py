"""A layer is read back as it was written, and joined with others of other scenes."""

from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely
from rasterio.crs import CRS

from rrsis_geo.errors import InputError
from rrsis_geo.geo.layers.read import read_layer
from rrsis_geo.geo.layers.vector_io import SCENES_SCHEMA, SUFFIXES, layer_name, write_layer
from rrsis_geo.geo.objects.features import BATCH_SIZE, Features

EXPRESSION = "the red truck"
UTM = CRS.from_epsg(32645)
ARRAYS = ("id", "score", "score_max", "area_m2", "perimeter_m", "n_pixels")


def features(n: int, *, known: bool = True) -> Features:
    """Squares at places that no decimal number is equal to; of unknown size if so wanted."""
    random = np.random.default_rng(n)
    x, y, side = random.random(n) / 3 + 334_000, random.random(n) / 7, random.random(n) + 1 / 3
    size = side**2 if known else np.full(n, np.nan)
    return Features(
        polygons=shapely.box(x, y, x + side, y + side),
        id=np.arange(1, n + 1),
        score=random.random(n),
        score_max=random.random(n),
        area_m2=size,
        perimeter_m=size * np.pi,
        n_pixels=random.integers(1, 99, n),
        expression=EXPRESSION,
        model="lite",
    )


@pytest.mark.parametrize("known", [True, False])
def test_every_bit_comes_back(tmp_path: Path, known: bool) -> None:
    written = features(50, known=known)
    path = tmp_path / "trucks.gpkg"
    write_layer(path, [written], crs=UTM if known else None, expression=EXPRESSION)
    (back,) = read_layer(path, layer_name(EXPRESSION))
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(back, name), getattr(written, name))
    assert (shapely.to_wkb(back.polygons) == shapely.to_wkb(written.polygons)).all()
    assert (back.expression, back.model, back.scene) == (EXPRESSION, "lite", None)


def test_many_come_in_batches(tmp_path: Path) -> None:
    path = tmp_path / "trucks.gpkg"
    write_layer(path, [features(BATCH_SIZE + 5)], crs=UTM, expression=EXPRESSION)
    batches = list(read_layer(path, layer_name(EXPRESSION)))
    assert [len(batch) for batch in batches] == [BATCH_SIZE, 5]
    assert np.concatenate([batch.id for batch in batches]).tolist() == list(
        range(1, BATCH_SIZE + 6)
    )


def test_nothing_found_is_no_batch(tmp_path: Path) -> None:
    path = tmp_path / "none.gpkg"
    write_layer(path, [], crs=UTM, expression=EXPRESSION)
    assert list(read_layer(path, layer_name(EXPRESSION))) == []


@pytest.mark.parametrize("what", ["missing", "damaged", "other layer"])
def test_what_cannot_be_read_is_named(tmp_path: Path, what: str) -> None:
    path = tmp_path / "trucks.gpkg"
    if what == "damaged":
        path.write_text("no database")
    elif what == "other layer":
        write_layer(path, [features(2)], crs=UTM, expression="the blue car")
    with pytest.raises(InputError, match=r"trucks\.gpkg: layer the_red_truck cannot be read"):
        list(read_layer(path, layer_name(EXPRESSION)))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_rows_that_name_their_scene_name_it_first(tmp_path: Path, suffix: str) -> None:
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


def test_no_row_at_all_has_the_column_too(tmp_path: Path) -> None:
    path = tmp_path / "all.gpkg"
    write_layer(path, [], crs=UTM, expression=EXPRESSION, schema=SCENES_SCHEMA)
    info = pyogrio.read_info(path, layer=layer_name(EXPRESSION))
    assert list(info["fields"])[:2] == ["scene", "id"]
