"""Layers are appended to a GeoPackage without any change to what is in it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
from affine import Affine
from rasterio.crs import CRS
from shapely import box

from rrsis_geo.errors import OutputError
from rrsis_geo.geo.layers.vector_io import Layer, write_layers
from rrsis_geo.geo.objects.candidates import make_features
from rrsis_geo.geo.objects.features import FeatureOptions, Features
from rrsis_geo.geo.objects.vectorize import vectorize
from rrsis_geo.segment.plan.outputs import Outputs

UTM = CRS.from_epsg(32645)
STYLE = "my own style"


def features_of(n: int, expression: str) -> list[Features]:
    mask = np.zeros((3, 3 * n), bool)
    mask[1, 1::3] = True
    options = FeatureOptions(
        transform=Affine(0.3, 0, 334_000, 0, -0.3, 3_065_000),
        crs=UTM,
        expression=expression,
        model="lite",
    )
    return list(make_features([vectorize(mask, mask.astype(np.float32))], options))


def layer_of(n: int, expression: str) -> Layer:
    return Layer(
        features=features_of(n, expression),
        expression=expression,
        title=expression,
        provenance={"expression": expression, "n": n},
    )


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    """A GeoPackage of a user: a layer of ours with a changed style and row, and one of another."""
    path = tmp_path / "town.gpkg"
    write_layers(path, [layer_of(2, "the cars")], crs=UTM)
    parcels = gpd.GeoDataFrame({"owner": ["Ana"]}, geometry=[box(0, 0, 1, 1)], crs="EPSG:4326")
    pyogrio.write_dataframe(parcels, path, layer="parcels", driver="GPKG", append=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE layer_styles SET styleName = ? WHERE useAsDefault", (STYLE,))
        connection.execute("CREATE TABLE notes (text)")
        connection.execute("INSERT INTO notes VALUES ('keep me')")
        connection.commit()
    return path


def rows_of(path: Path, layer: str) -> list[tuple[object, ...]]:
    """All that a GeoPackage has about a layer, but times."""
    found = []
    with closing(sqlite3.connect(path)) as connection:
        for query in (
            f'SELECT * FROM "{layer}"',
            f"SELECT data_type, identifier, description, srs_id FROM gpkg_contents"
            f" WHERE table_name = '{layer}'",
            f"SELECT styleName, styleQML FROM layer_styles WHERE f_table_name = '{layer}'",
            "SELECT metadata FROM gpkg_metadata JOIN gpkg_metadata_reference"
            f" ON md_file_id = gpkg_metadata.id WHERE table_name = '{layer}'",
        ):
            found += connection.execute(query).fetchall()
    return found


def test_all_else_stays(user_file: Path) -> None:
    before = {layer: rows_of(user_file, layer) for layer in ("the_cars", "parcels")}
    write_layers(user_file, [layer_of(3, "the buses")], crs=UTM, append=True)
    assert {layer: rows_of(user_file, layer) for layer in before} == before
    with closing(sqlite3.connect(user_file)) as connection:
        assert connection.execute("SELECT text FROM notes").fetchall() == [("keep me",)]
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        styles = connection.execute(
            "SELECT styleQML FROM layer_styles WHERE useAsDefault ORDER BY id"
        ).fetchall()
    names = set(pyogrio.list_layers(user_file)[:, 0])
    assert names == {"the_cars", "parcels", "the_buses", "layer_styles"}
    buses = gpd.read_file(user_file, layer="the_buses")
    assert len(buses) == 3
    assert buses.crs.to_epsg() == 32645
    assert styles[0] != styles[1]  # another colour


def test_a_new_file_is_written(tmp_path: Path) -> None:
    path = tmp_path / "new.gpkg"
    write_layers(path, [layer_of(3, "the buses")], crs=UTM, append=True)
    assert len(gpd.read_file(path)) == 3


def test_a_layer_is_replaced_on_request_only(user_file: Path) -> None:
    before, whole = rows_of(user_file, "parcels"), user_file.read_bytes()
    with pytest.raises(OutputError, match='the layer "the_cars" already; replace it with --over'):
        write_layers(user_file, [layer_of(3, "the cars")], crs=UTM, append=True)
    assert user_file.read_bytes() == whole
    write_layers(user_file, [layer_of(3, "the cars")], crs=UTM, append=True, overwrite=True)
    assert rows_of(user_file, "parcels") == before
    assert len(gpd.read_file(user_file, layer="the_cars")) == 3
    rows = rows_of(user_file, "the_cars")
    assert rows[-1] == ('{"expression": "the cars", "n": 3}',)
    assert len(rows) == 3 + 1 + 2 + 1  # objects, contents, two styles, provenance
    assert STYLE not in str(rows)


def test_layers_of_others_are_never_replaced(user_file: Path) -> None:
    whole = user_file.read_bytes()
    with pytest.raises(OutputError, match='a layer "parcels" that is not of rrsis-geo'):
        write_layers(user_file, [layer_of(1, "parcels")], crs=UTM, append=True, overwrite=True)
    assert user_file.read_bytes() == whole


def test_an_error_midway_leaves_the_file_as_it_is(user_file: Path) -> None:
    def failing() -> Iterator[Features]:
        yield from features_of(2, "the buses")
        raise MemoryError

    layers = [layer_of(1, "the ships"), Layer(features=failing(), expression="the buses")]
    whole = user_file.read_bytes()
    with pytest.raises(MemoryError):
        write_layers(user_file, layers, crs=UTM, append=True)
    assert user_file.read_bytes() == whole
    assert [path.name for path in user_file.parent.iterdir()] == [user_file.name]


def test_checks_before_the_run(user_file: Path, tmp_path: Path) -> None:
    Outputs(user_file, append=True).check([], ["the buses"])
    with pytest.raises(OutputError, match="exists already"):
        Outputs(user_file).check([], ["the buses"])
    with pytest.raises(OutputError, match='has the layer "the_cars" already'):
        Outputs(user_file, append=True).check([], ["the cars"])
    with pytest.raises(OutputError, match="appending a layer needs a GeoPackage"):
        Outputs(tmp_path / "o.shp", append=True).check([], ["the cars"])
    (tmp_path / "text.gpkg").write_text("no database")
    with pytest.raises(OutputError, match="is no GeoPackage"):
        Outputs(tmp_path / "text.gpkg", append=True).check([], ["the cars"])
    with pytest.raises(OutputError, match="landmarks cannot be appended"):
        Outputs(user_file, append=True, landmarks=True).check([], ["the buses"])
