"""Layers of all formats are read correctly by other libraries, and are written atomically."""

import json
import logging
import sqlite3
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely
from affine import Affine
from layer_files import file_size_limit, write_layer
from pyproj import CRS as ProjCRS
from rasterio.crs import CRS

from rrsis_geo.errors import InputError, OutputError
from rrsis_geo.geo.layers import shapefile
from rrsis_geo.geo.layers.layer_files import SUFFIXES, check_layer_path, layer_name
from rrsis_geo.geo.layers.vector_io import Layer, write_layers
from rrsis_geo.geo.objects.candidates import make_features
from rrsis_geo.geo.objects.features import FeatureOptions, Features
from rrsis_geo.geo.objects.vectorize import vectorize
from rrsis_geo.geo.styles import polygon_qml

UTM = CRS.from_epsg(32645)
NORTH_UP = Affine(0.3, 0, 334_000, 0, -0.3, 3_065_000)
EXPRESSION = "the red truck on the road"
FIELDS = [
    *("id", "expression", "score", "score_max", "area_m2", "perimeter_m", "n_pixels"),
    *("touches_border", "split_from", "model", "status"),
]


def some_features(
    crs: CRS | None = UTM,
    transform: Affine = NORTH_UP,
    expression: str = EXPRESSION,
    n_squares: int = 0,
) -> list[Features]:
    """Two batches: a ring with a hole, and two squares; or as many single squares as asked for."""
    mask = np.zeros((20, 30), bool)
    mask[2:9, 3:10] = True
    mask[4:6, 5:7] = False
    mask[12:15, 4:7] = True
    mask[12:16, 20:24] = True
    if n_squares:
        mask = np.zeros((2, 2 * n_squares), bool)
        mask[0, ::2] = True
    objects = vectorize(mask, np.where(mask, np.float32(0.75), np.float32(0)))
    batches = [objects.take(np.array([0])), objects.take(np.arange(1, len(objects)))]
    options = FeatureOptions(transform=transform, crs=crs, expression=expression, model="lite")
    return list(make_features(batches, options))


def write(path: Path, features: Iterable[Features], crs: CRS | None = UTM, **options: Any) -> int:
    return write_layer(path, features, crs=crs, expression=EXPRESSION, **options)


def read(path: Path) -> gpd.GeoDataFrame:
    if path.suffix == ".parquet":
        frame = gpd.read_parquet(path).rename_geometry("geometry")
    else:
        layer = layer_name(EXPRESSION) if path.suffix == ".gpkg" else None
        frame = gpd.read_file(path, layer=layer)
    return frame.sort_values("id", ignore_index=True)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_round_trip(tmp_path: Path, suffix: str) -> None:
    features = some_features()
    path = tmp_path / f"trucks{suffix}"
    assert write(path, features) == 3
    frame = read(path)
    names = [shapefile.FIELD_NAMES.get(n, n) if suffix == ".shp" else n for n in FIELDS]
    assert sorted(frame.columns) == sorted([*names, "geometry"])
    assert frame["id"].tolist() == [1, 2, 3]
    assert frame["n_pixels"].tolist() == [45, 9, 16]
    assert set(frame["expression"]) == {EXPRESSION}
    assert set(frame["model"]) == {"lite"}
    assert frame["score"].tolist() == [0.75] * 3
    expected_area = np.concatenate([batch.area_m2 for batch in features])
    np.testing.assert_allclose(frame["area_m2"], expected_area, rtol=1e-12)
    assert set(frame.geom_type) == {"Polygon"}
    expected = np.concatenate([batch.polygons for batch in features])
    if suffix == ".geojson":
        assert frame.crs.to_epsg() == 4326
        # Eight decimals of a degree are about a millimetre.
        back = frame.to_crs(32645).geometry
        assert shapely.hausdorff_distance(back.to_numpy(), expected).max() < 2e-3
    else:
        assert frame.crs == ProjCRS(32645)
        assert shapely.equals_exact(frame.geometry.normalize(), shapely.normalize(expected)).all()
    assert [len(polygon.interiors) for polygon in frame.geometry] == [1, 0, 0]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_empty_layer(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"none{suffix}"
    assert write(path, []) == 0
    if suffix == ".parquet":
        frame = gpd.read_parquet(path)
        assert sorted(frame.columns) == sorted([*FIELDS, "geom"])
    else:
        frame = read_any(path)
        info = pyogrio.read_info(path, layer=pyogrio.list_layers(path)[0, 0])
        if suffix != ".geojson":  # an empty GeoJSON has no fields
            assert info["geometry_type"] == "Polygon"
            assert len(info["fields"]) == len(FIELDS)
    assert len(frame) == 0
    assert frame.crs.to_epsg() == (4326 if suffix == ".geojson" else 32645)


def read_any(path: Path) -> gpd.GeoDataFrame:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "More than one layer", UserWarning)
        return gpd.read_file(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_sizes_are_null_without_crs(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"pixels{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write(path, some_features(crs=None, transform=Affine.identity()), crs=None)
    frame = read(path)
    if suffix == ".geojson":  # readers assume degrees
        assert "does not conform to RFC 7946" in caplog.text
    else:
        assert frame.crs is None
    perimeter = "perim_m" if suffix == ".shp" else "perimeter_m"
    assert frame["area_m2"].isna().all()
    assert frame[perimeter].isna().all()
    assert shapely.area(frame.geometry.to_numpy()).tolist() == [45, 9, 16]
    if suffix == ".geojson":
        properties = json.loads(path.read_text())["features"][0]["properties"]
        assert properties["area_m2"] is None


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".parquet"])
def test_crs_without_a_code(tmp_path: Path, suffix: str) -> None:
    local = "+proj=tmerc +lat_0=27.5 +lon_0=85.3 +k=0.99995 +x_0=1000 +y_0=5000 +ellps=bessel"
    crs = CRS.from_proj4(local)
    path = tmp_path / f"local{suffix}"
    write(path, some_features(crs=crs), crs=crs)
    crs_read = read(path).crs
    assert crs_read.to_epsg() is None
    assert crs_read.equals(
        ProjCRS.from_wkt(crs.to_wkt(version="WKT2_2019")), ignore_axis_order=True
    )


class TestGeoPackage:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "trucks.gpkg"
        provenance = {"model": "lite", "sha256": "ab12", "threshold": 0.5, "source": "été.tif"}
        write(path, some_features(), provenance=provenance)
        return path

    def rows(self, path: Path, query: str) -> list[Any]:
        with closing(sqlite3.connect(path)) as connection:
            return connection.execute(query).fetchall()

    def test_one_layer_with_an_index_and_a_description(self, path: Path) -> None:
        assert self.rows(path, "SELECT table_name, data_type FROM gpkg_contents ORDER BY 2") == [
            ("layer_styles", "attributes"),
            ("the_red_truck_on_the_road", "features"),
        ]
        assert self.rows(
            path,
            "SELECT column_name, geometry_type_name, description FROM gpkg_geometry_columns"
            " JOIN gpkg_contents USING (table_name)",
        ) == [("geom", "POLYGON", EXPRESSION)]
        assert self.rows(path, "SELECT count(*) FROM rtree_the_red_truck_on_the_road_geom") == [
            (3,)
        ]

    def test_provenance_is_json_of_the_layer(self, path: Path) -> None:
        ((text, table),) = self.rows(
            path,
            "SELECT metadata, table_name FROM gpkg_metadata m"
            " JOIN gpkg_metadata_reference r ON m.id = r.md_file_id"
            " WHERE mime_type = 'application/json'",
        )
        assert table == "the_red_truck_on_the_road"
        assert json.loads(text) == {
            "model": "lite",
            "sha256": "ab12",
            "threshold": 0.5,
            "source": "été.tif",
        }

    def test_style_is_the_layers_default(self, path: Path) -> None:
        (plain, by_score) = self.rows(
            path,
            "SELECT styleName, f_table_name, f_geometry_column, useAsDefault, styleQML"
            " FROM layer_styles ORDER BY id",
        )
        assert plain[:4] == ("rrsis-geo", "the_red_truck_on_the_road", "geom", 1)
        assert 'fieldName="id"' in plain[4]
        assert by_score[:4] == ("by score", "the_red_truck_on_the_road", "geom", 0)
        assert 'attr="score"' in by_score[4]

    def test_title_and_abstract(self, tmp_path: Path) -> None:
        path = tmp_path / "o.gpkg"
        layer = Layer(features=[], expression="trucks", title="Trucks!", abstract="Found by lite.")
        write_layers(path, [layer], crs=UTM)
        query = "SELECT identifier, description FROM gpkg_contents WHERE table_name = 'trucks'"
        assert self.rows(path, query) == [("Trucks!", "Found by lite.")]

    def test_a_title_that_could_be_the_name_of_another_table(self, tmp_path: Path) -> None:
        path = tmp_path / "o.gpkg"
        words = ("layer_styles", "windows")
        layers = [Layer(features=[], expression=word, title=word) for word in words]
        write_layers(path, layers, crs=UTM)
        names = {name for (name,) in self.rows(path, "SELECT identifier FROM gpkg_contents")}
        assert names == {"layer_styles", "objects_layer_styles", "objects_windows"}

    def test_integrity(self, path: Path) -> None:
        assert self.rows(path, "PRAGMA integrity_check") == [("ok",)]
        assert self.rows(path, "PRAGMA foreign_key_check") == []

    @pytest.mark.parametrize("name", ["trucks.gpkg-wal", "trucks.gpkg-journal"])
    def test_file_open_in_another_program_is_not_replaced(self, path: Path, name: str) -> None:
        before = path.read_bytes()
        path.with_name(name).touch()
        with pytest.raises(OutputError, match="another program"):
            write(path, some_features(), overwrite=True)
        assert path.read_bytes() == before


class TestShapefile:
    def test_limits_are_one_warning(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        write(tmp_path / "trucks.shp", some_features())
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert "perimeter_m is renamed perim_m" in record.getMessage()
        assert str(tmp_path / "trucks.shp") in record.getMessage()
        assert sorted(file.name for file in tmp_path.iterdir()) == [
            f"trucks.{part}" for part in ("cpg", "dbf", "prj", "qml", "shp", "shx")
        ]
        assert (tmp_path / "trucks.cpg").read_text() == "UTF-8"

    def test_long_text_is_cut_at_a_whole_character(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        expression = "é" * 200
        write(tmp_path / "long.shp", some_features(expression=expression))
        assert set(read(tmp_path / "long.shp")["expression"]) == {"é" * 127}
        assert "text is cut to 254 bytes" in caplog.text

    def test_size_limit(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("rrsis_geo.geo.layers.shapefile.MAX_BYTES", 2000)
        with pytest.raises(OutputError, match=r"2 GB.*\.gpkg"):
            write(tmp_path / "big.shp", some_features() * 10)
        assert list(tmp_path.iterdir()) == []

    def test_size_estimate_bounds_the_files(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from rrsis_geo.geo.layers.shapefile import ShapefileFitter

        fitters: list[ShapefileFitter] = []
        fit = ShapefileFitter.fit
        monkeypatch.setattr(
            ShapefileFitter, "fit", lambda self, batch: (fitters.append(self), fit(self, batch))[1]
        )
        write(tmp_path / "size.shp", some_features() * 30)
        assert fitters[0]._bytes[".shp"] == (tmp_path / "size.shp").stat().st_size
        assert fitters[0]._bytes[".dbf"] >= (tmp_path / "size.dbf").stat().st_size

    def test_files_derived_from_a_replaced_shapefile_are_removed(self, tmp_path: Path) -> None:
        path = tmp_path / "trucks.shp"
        write(path, some_features())
        path.with_suffix(".qix").touch()
        path.with_suffix(".qml").touch()
        write(path, some_features()[:1], overwrite=True)
        assert not path.with_suffix(".qix").exists()
        assert path.with_suffix(".qml").exists()
        assert len(read(path)) == 1


class TestGeoJson:
    def test_polygons_are_split_at_180_degrees(self, tmp_path: Path) -> None:
        # x of the 180th meridian in zone 60, at 17.4 degrees south
        crs, transform = CRS.from_epsg(32760), Affine(3, 0, 818_520, 0, -3, 8_074_000)
        path = tmp_path / "fiji.geojson"
        write(path, some_features(crs=crs, transform=transform), crs=crs)
        polygons = read_any(path).geometry
        assert polygons.is_valid.all()
        assert (polygons.bounds["minx"] >= -180).all()
        assert (polygons.bounds["maxx"] <= 180).all()
        parts = polygons.explode()
        assert (parts.bounds["maxx"] - parts.bounds["minx"] < 1).all()
        areas = parts.to_crs(32760).area.groupby(level=0).sum()
        np.testing.assert_allclose(areas, [45 * 9, 9 * 9, 16 * 9], rtol=1e-3)

    def test_reprojection_is_logged(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        write(tmp_path / "trucks.geojson", some_features())
        assert caplog.text.count("EPSG:4326") == 1
        caplog.clear()
        crs, transform = CRS.from_epsg(4326), Affine(1e-5, 0, 85.3, 0, -1e-5, 27.7)
        degrees = some_features(crs=crs, transform=transform)
        write(tmp_path / "degrees.geojson", degrees, crs=crs)
        assert not caplog.records


class TestGeoParquet:
    def test_large_batches_are_row_groups(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import pyarrow.parquet as pq

        monkeypatch.setattr("rrsis_geo.geo.layers.geoparquet.BATCH_SIZE", 1)
        write(tmp_path / "trucks.parquet", some_features())
        groups = pq.ParquetFile(tmp_path / "trucks.parquet").metadata
        assert [groups.row_group(k).num_rows for k in range(groups.num_row_groups)] == [1, 2]

    def test_file_metadata(self, tmp_path: Path) -> None:
        import pyarrow.parquet as pq

        path = tmp_path / "trucks.parquet"
        features = some_features()
        write(path, features, provenance={"threshold": 0.5})
        file = pq.ParquetFile(path)
        assert file.num_row_groups == 1  # from two batches
        metadata = file.schema_arrow.metadata or file.metadata.metadata
        geo = json.loads(metadata[b"geo"])
        column = geo["columns"][geo["primary_column"]]
        bounds = shapely.total_bounds(np.concatenate([f.polygons for f in features]))
        assert column["bbox"] == bounds.tolist()
        assert column["geometry_types"] == ["Polygon"]
        assert json.loads(metadata[b"rrsis_geo"]) == {"threshold": 0.5}


class TestAtomicity:
    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_error_keeps_the_existing_file(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"trucks{suffix}"
        write(path, some_features())
        before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

        def fail() -> Iterator[Features]:
            yield from some_features()
            raise InputError("scene.tif: cannot be read")

        with pytest.raises(InputError, match=r"^scene\.tif: cannot be read$"):
            write(path, fail(), overwrite=True)
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_interrupt_leaves_no_files(self, tmp_path: Path, suffix: str) -> None:
        def interrupt() -> Iterator[Features]:
            yield some_features()[0]
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / f"trucks{suffix}", interrupt())
        assert list(tmp_path.iterdir()) == []

    def test_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*args: Any, **kwargs: Any) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr("rrsis_geo.geo.layers.geopackage.add_styles", full)
        with pytest.raises(
            OutputError, match=r"trucks\.gpkg: cannot be written \(the disk is full"
        ):
            write(tmp_path / "trucks.gpkg", some_features())
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_disk_full_at_any_moment(self, tmp_path: Path, suffix: str) -> None:
        """A limit of the file size acts like a full disk; no half file may pass for a whole one."""
        write(tmp_path / f"whole{suffix}", some_features(n_squares=600))
        largest = max(file.stat().st_size for file in tmp_path.iterdir())
        (tmp_path / "full").mkdir()
        path = tmp_path / "full" / f"whole{suffix}"
        with file_size_limit(0), pytest.raises(OutputError, match=r"whole\.\w+: cannot be written"):
            write(path, some_features())
        n_written = 0
        for limit in [100, *range(400, largest, largest // 8), largest - 1, 2 * largest]:
            with file_size_limit(limit), suppress(OutputError):
                write(path, some_features(n_squares=600))
            if files := list(path.parent.iterdir()):
                n_written += 1
                assert len(read(path)) == 600
            for file in files:
                file.unlink()
        assert 1 <= n_written <= 5

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_link_is_followed(self, tmp_path: Path, suffix: str) -> None:
        (tmp_path / "real").mkdir()
        real, link = tmp_path / "real" / f"trucks{suffix}", tmp_path / f"link{suffix}"
        write(real, some_features())
        link.symlink_to(real)
        with pytest.raises(OutputError, match="exists already"):
            write(link, some_features())
        assert write(link, some_features()[:1], overwrite=True) == 1
        assert link.is_symlink()
        assert len(read(real)) == 1
        assert [file.name for file in tmp_path.iterdir() if file.name.startswith("link")] == [
            link.name
        ]

    @pytest.mark.parametrize("ending", [".dbf", ".qix", ".shp.xml"])
    def test_files_of_a_shapefile_are_not_replaced(self, tmp_path: Path, ending: str) -> None:
        (tmp_path / f"trucks{ending}").write_text("a file of the user")
        with pytest.raises(OutputError, match=rf"trucks\{ending}: exists already"):
            write(tmp_path / "trucks.shp", some_features())
        assert (tmp_path / f"trucks{ending}").read_text() == "a file of the user"

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_overwrite_replaces_the_file(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"trucks{suffix}"
        write(path, some_features())
        with pytest.raises(OutputError, match="exists already"):
            write(path, some_features())
        assert write(path, some_features()[:1], overwrite=True) == 1
        assert len(read(path)) == 1


def bad_missing_folder(tmp_path: Path) -> Path:
    return tmp_path / "missing" / "out.gpkg"


def bad_suffix(tmp_path: Path) -> Path:
    return tmp_path / "out.kml"


def bad_missing_suffix(tmp_path: Path) -> Path:
    return tmp_path / "out"


def bad_existing_folder(tmp_path: Path) -> Path:
    (tmp_path / "folder.gpkg").mkdir()
    return tmp_path / "folder.gpkg"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (bad_missing_folder, "does not exist"),
        (bad_suffix, r"unknown suffix '\.kml'; .*\.gpkg, \.shp, \.geojson, \.fgb or \.parquet"),
        (bad_missing_suffix, "unknown suffix"),
        (bad_existing_folder, "is a folder"),
    ],
)
def test_invalid_paths(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    with pytest.raises(OutputError, match=message):
        check_layer_path(make(tmp_path))


def test_folder_is_not_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *args: False)  # root can write everywhere
    with pytest.raises(OutputError, match="not writable"):
        check_layer_path(tmp_path / "out.gpkg")


@pytest.mark.parametrize(
    ("expression", "name"),
    [
        ("the truck on the road", "the_truck_on_the_road"),
        ("  Été: 3 trucks! ", "ete_3_trucks"),
        ("船", "objects"),
        ("gpkg things", "objects_gpkg_things"),
        ("layer_styles", "objects_layer_styles"),
        ("3 trucks", "3_trucks"),
        ("x" * 200, "x" * 60),
    ],
)
def test_layer_name(expression: str, name: str) -> None:
    assert layer_name(expression) == name


def test_upper_case_suffix(tmp_path: Path) -> None:
    path = tmp_path / "TRUCKS.GPKG"
    assert write(path, some_features()) == 3
    assert len(gpd.read_file(path, layer=layer_name(EXPRESSION))) == 3


@pytest.mark.parametrize("suffix", [".shp", ".geojson", ".fgb", ".parquet"])
def test_a_style_beside_the_file(tmp_path: Path, suffix: str) -> None:
    path, style = tmp_path / f"trucks{suffix}", tmp_path / "trucks.qml"
    write(path, some_features())
    assert style.read_text(encoding="utf-8") == polygon_qml()
    style.write_text("of the user")
    write(path, some_features(), overwrite=True)
    assert style.read_text() == "of the user"
    path.unlink()
    if suffix != ".shp":
        write(path, some_features())  # a style without its file is in nobody's way


def test_a_geopackage_has_no_style_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "trucks.gpkg", some_features())
    assert [path.name for path in tmp_path.iterdir()] == ["trucks.gpkg"]
