"""Creation options are checked before any work, and reach the files that have them."""

import json
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
from affine import Affine
from layer_files import write_layer
from pyogrio._ogr import _get_driver_metadata_item as driver_metadata
from rasterio.crs import CRS
from rasterio.enums import Compression
from rio_cogeo.cogeo import cog_validate

from rrsis_geo.errors import ConfigError, OutputError
from rrsis_geo.geo.creation_options import (
    RASTER,
    VECTOR,
    check_creation_options,
    parse_creation_options,
)
from rrsis_geo.geo.grid.rasters import Georeference, RasterWriter, check_compression
from rrsis_geo.geo.layers.formats import VECTOR_FORMATS
from rrsis_geo.geo.objects.candidates import make_features
from rrsis_geo.geo.objects.features import FeatureOptions
from rrsis_geo.geo.objects.vectorize import vectorize

UTM = CRS.from_epsg(32632)
TRANSFORM = Affine(0.5, 0, 500_000, 0, -0.5, 5_200_000)
DRIVERS = {
    ".gpkg": "GPKG",
    ".shp": "ESRI Shapefile",
    ".geojson": "GeoJSON",
    ".fgb": "FlatGeobuf",
}
EXAMPLES = {
    ("BIGTIFF", "YES"),
    ("COMPRESS", "ZSTD"),
    ("COMPRESS", "lzw"),
    ("COMPRESS", "NONE"),
    ("GEOTIFF_VERSION", "1.0"),
    ("LEVEL", "9"),
    ("NUM_THREADS", "2"),
}


def test_every_format_has_a_row() -> None:
    assert VECTOR.keys() == VECTOR_FORMATS.keys()


@pytest.mark.parametrize("suffix", DRIVERS)
def test_gdal_knows_the_options_of_layers(suffix: str) -> None:
    items = ("DMD_CREATIONOPTIONLIST", "DS_LAYER_CREATIONOPTIONLIST")
    listed = " ".join(driver_metadata(DRIVERS[suffix], item) or "" for item in items)
    assert VECTOR[suffix].keys() <= set(re.findall(r"<Option[^>]*name='(\w+)'", listed))


def test_all_options_of_rasters_are_tried() -> None:
    assert {name for name, _ in EXAMPLES} == RASTER.keys()


@pytest.mark.parametrize(("name", "value"), sorted(EXAMPLES))
def test_rasters_have_their_options(tmp_path: Path, name: str, value: str) -> None:
    options = {name: value}
    check_creation_options(options, ".gpkg", has_rasters=True, is_new=True)
    check_compression(options)
    path, shape = tmp_path / "m.tif", (300, 700)
    values = np.random.default_rng(0).integers(0, 2, shape).astype(np.uint8)
    place = Georeference(shape, UTM, TRANSFORM)
    with RasterWriter(path, "mask", place, creation_options=options) as writer:
        writer.write_band(0, values)
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(1), values)
        if name == "COMPRESS":
            expected = {"NONE": None}.get(value, getattr(Compression, value.lower(), None))
            assert dataset.compression == expected
    is_valid, errors, _ = cog_validate(path, quiet=True)
    assert is_valid, errors
    is_big = path.read_bytes()[2] == 43
    assert is_big == (name == "BIGTIFF")


def written(path: Path, options: Mapping[str, str]) -> Path:
    mask = np.zeros((9, 9), bool)
    mask[3:5, 3:6] = True
    features = make_features(
        [vectorize(mask, mask.astype(np.float32))],
        FeatureOptions(transform=TRANSFORM, crs=UTM, expression="cars", model="lite"),
    )
    check_creation_options(options, path.suffix, has_rasters=False, is_new=True)
    assert write_layer(path, features, crs=UTM, expression="cars", creation_options=options) == 1
    return path


def test_geopackages_have_their_options(tmp_path: Path) -> None:
    path = written(tmp_path / "cars.gpkg", {"VERSION": "1.4", "SPATIAL_INDEX": "NO"})
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (10400,)
        tables = connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'rtree%'")
        assert tables.fetchall() == []
    assert pyogrio.read_info(path)["features"] == 1


def test_geojson_has_its_options(tmp_path: Path) -> None:
    options = {"COORDINATE_PRECISION": "7", "WRITE_BBOX": "yes", "ID_FIELD": "id"}
    content = json.loads(written(tmp_path / "cars.geojson", options).read_text())
    (feature,) = content["features"]
    assert content["bbox"] == feature["bbox"]
    assert feature["id"] == 1
    assert feature["geometry"]["type"] == "Polygon"
    for corner in feature["geometry"]["coordinates"][0]:
        assert corner == [round(number, 7) for number in corner]


def test_flatgeobuf_and_shapefile_have_their_options(tmp_path: Path) -> None:
    title = "Cars of May"
    path = written(tmp_path / "cars.fgb", {"TITLE": title, "SPATIAL_INDEX": "NO"})
    assert title.encode() in path.read_bytes()[:4096]
    written(tmp_path / "cars.shp", {"DBF_DATE_LAST_UPDATE": "2001-02-03"})
    assert tuple((tmp_path / "cars.dbf").read_bytes()[1:4]) == (101, 2, 3)


@pytest.mark.parametrize(
    ("text", "suffix", "message"),
    [
        ("FOO=1", ".gpkg", "FOO is unknown, .*; .gpkg has SPATIAL_INDEX, VERSION, and mask"),
        ("BLOCKSIZE=64", ".fgb", "BLOCKSIZE is unknown, or set by rrsis-geo itself"),
        ("VERSION=1.3", ".shp", "VERSION is unknown, .*; .shp has DBF_DATE_LAST_UPDATE, and mask"),
        ("SPATIAL_INDEX=NO", ".parquet", ".parquet has none, and mask"),
        ("COMPRESS=LZW", ".gpkg", "COMPRESS is for rasters, and none is written; add --mask"),
        ("VERSION=2.0", ".gpkg", 'VERSION is 1.0, 1.1, 1.2, 1.3 or 1.4; got "2.0"'),
        ("COORDINATE_PRECISION=x", ".geojson", 'is a number of decimals from 6 to 15; got "x"'),
    ],
)
def test_options_that_cannot_be_set(text: str, suffix: str, message: str) -> None:
    options = parse_creation_options([text])
    with pytest.raises(ConfigError, match=message):
        check_creation_options(options, suffix, has_rasters=False, is_new=True)


def test_lossy_rasters_are_refused() -> None:
    options = {"COMPRESS": "JPEG"}
    with pytest.raises(ConfigError, match=r'COMPRESS is DEFLATE, LZW, ZSTD or NONE; got "JPEG"'):
        check_creation_options(options, ".gpkg", has_rasters=True, is_new=True)


def test_options_of_the_file_do_not_fit_an_existing_one() -> None:
    with pytest.raises(ConfigError, match="VERSION is of the whole file, which exists"):
        check_creation_options({"VERSION": "1.3"}, ".gpkg", has_rasters=False, is_new=False)


@pytest.mark.parametrize("text", ["COMPRESS", "=ZSTD", "COMPRESS="])
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="a creation option is NAME=VALUE, such as COMPRESS=ZSTD"):
        parse_creation_options([text])


def test_names_are_given_once_in_any_case() -> None:
    assert parse_creation_options(["compress=zstd", "TITLE=a=b"]) == {
        "COMPRESS": "zstd",
        "TITLE": "a=b",
    }
    with pytest.raises(ConfigError, match="COMPRESS is given twice"):
        parse_creation_options(["compress=zstd", "COMPRESS=LZW"])


def test_what_gdal_refuses_is_told_before_any_work() -> None:
    with pytest.raises(OutputError, match="was built without NO_SUCH; choose another COMPRESS"):
        check_compression({"COMPRESS": "NO_SUCH"})
