"""Layers of objects, written as a stream: GeoPackage, Shapefile, GeoJSON, FlatGeobuf, GeoParquet.

Features pass to GDAL batch by batch in one go, so memory is that of a batch and of what a format
needs for its spatial index (FlatGeobuf: 40 bytes an object). A layer is made in a hidden folder
beside its place and moved there when it is whole.
"""

import logging
import re
import sqlite3
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyogrio
import shapely
from pyogrio.errors import CRSError, DataLayerError, DataSourceError, FeatureError
from pyproj import CRS as ProjCRS
from rasterio.crs import CRS

from rrsis_geo.errors import OutputError
from rrsis_geo.files import atomic_file, check_writable
from rrsis_geo.geo.crs import as_proj
from rrsis_geo.geo.layers import geopackage, shapefile
from rrsis_geo.geo.layers.formats import VECTOR_FORMATS
from rrsis_geo.geo.layers.geoparquet import write_geoparquet
from rrsis_geo.geo.objects.features import Features
from rrsis_geo.geo.styles import polygon_qml

logger = logging.getLogger(__name__)

GEOMETRY = "geom"

SCHEMA = pa.schema(
    [
        (GEOMETRY, pa.binary()),
        ("id", pa.int64()),
        ("expression", pa.string()),
        ("score", pa.float64()),
        ("score_max", pa.float64()),
        ("area_m2", pa.float64()),
        ("perimeter_m", pa.float64()),
        ("n_pixels", pa.int64()),
        ("model", pa.string()),
    ]
)
"""Columns of a layer; see `Features`. What is unknown is null."""

SCENES_SCHEMA = SCHEMA.insert(1, pa.field("scene", pa.string()))
"""Columns of a layer of several scenes."""

SUFFIXES = tuple(VECTOR_FORMATS)

_FOREIGN_ERRORS = (
    CRSError,
    DataLayerError,
    DataSourceError,
    FeatureError,
    OSError,
    RuntimeError,  # pyogrio, for what goes wrong in a batch
    pa.ArrowException,
    sqlite3.Error,
)


def check_layer_path(path: str | Path, *, overwrite: bool = False) -> Path:
    """Refuse a place for a layer before any work is done for it.

    Raises:
        OutputError: unknown suffix, its folder is missing or not writable, it exists already, or
            another program holds the GeoPackage that would be replaced.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise OutputError(
            f"{path}: unknown suffix {path.suffix!r}; a layer is written as "
            + ", ".join(SUFFIXES[:-1])
            + f" or {SUFFIXES[-1]}"
        )
    check_writable(path, overwrite=overwrite)
    # SQLite would take the changes that lie in these files for those of the new GeoPackage.
    for held in (f"{path.name}-wal", f"{path.name}-journal"):
        if path.suffix.lower() == ".gpkg" and path.with_name(held).exists():
            raise OutputError(
                f"{path}: another program, such as QGIS, has it open ({held} lies beside it); "
                "remove it from the project there, or write to another name"
            )
    return path


def layer_name(expression: str) -> str:
    """An expression as the name of a layer: ASCII letters, digits and underscores, 60 at most."""
    text = unicodedata.normalize("NFKD", expression).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:60].rstrip("_")
    # GeoPackage and SQLite keep these for themselves, and one is our layer of windows.
    return (
        f"objects_{slug}"
        if re.match(r"(gpkg|sqlite|rtree|layer_styles|windows$)", slug)
        else (slug or "objects")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer to be written.

    Attributes:
        features: its rows; drawn one batch at a time, whatever they raise is passed on.
        expression: what was looked for; describes the layer.
        name: of the layer, "" for one that is made of the expression; see `layer_name`.
        provenance: ready for JSON; kept in GeoPackage and GeoParquet.
    """

    features: Iterable[Features]
    expression: str
    name: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)


def write_layer(
    path: str | Path,
    features: Iterable[Features],
    *,
    crs: CRS | ProjCRS | None,
    expression: str,
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    extend: Callable[[Path], None] | None = None,
    schema: pa.Schema = SCHEMA,
) -> int:
    """Write a file of one layer; see `write_layers`.

    Returns:
        How many features were written.
    """
    layer = Layer(features=features, expression=expression, provenance=provenance or {})
    return write_layers(path, [layer], crs=crs, overwrite=overwrite, extend=extend, schema=schema)


def write_layers(
    path: str | Path,
    layers: Sequence[Layer],
    *,
    crs: CRS | ProjCRS | None,
    overwrite: bool = False,
    extend: Callable[[Path], None] | None = None,
    schema: pa.Schema = SCHEMA,
) -> int:
    """Write layers of polygons, in the format that the suffix of `path` names.

    A layer without a single feature is a valid one with its CRS and fields. GeoJSON is written in
    EPSG:4326, as RFC 7946 has it; all other formats keep the CRS as it is.

    Args:
        path: where the file is to be.
        layers: at least one; more in a GeoPackage only. They are written one after the other.
        crs: of the polygons; None writes layers without one.
        overwrite: replace the whole file if there is one.
        extend: adds to the file what else it is to hold, before it is put in place.
        schema: columns; `SCENES_SCHEMA` where the features name their scenes.

    Returns:
        How many features were written.

    Raises:
        OutputError: see `check_layer_path`; the disk is full; or a Shapefile would exceed 2 GB.
    """
    path = check_layer_path(path, overwrite=overwrite)
    suffix, count = path.suffix.lower(), 0
    if len(layers) != 1 and suffix != ".gpkg":
        raise ValueError(f"{path}: holds one layer, not {len(layers)}")
    with atomic_file(path, overwrite=overwrite) as part:
        for number, layer in enumerate(layers):
            rows = _Rows(layer.features, schema)
            told = _Layer(
                path=path,
                number=number,
                name=layer.name or layer_name(layer.expression),
                description=layer.expression,
                crs=None if crs is None else as_proj(crs),
                provenance=layer.provenance,
            )
            with _told_of(path, rows):
                _WRITERS[suffix](part, rows, told)
            count += rows.count
        if extend is not None:
            with _told_of(path):
                extend(part)
    if suffix == ".shp":
        shapefile.remove_derived(path)
    return count


@contextmanager
def _told_of(path: Path, rows: "_Rows | None" = None) -> Iterator[None]:
    """Tell of what went wrong in writing a file, or raise what its rows raised."""
    try:
        yield
    except _FOREIGN_ERRORS as err:
        if rows is not None and rows.error is not None:
            raise rows.error from None
        raise OutputError(f"{path}: cannot be written ({err})") from err


@dataclass(frozen=True, slots=True)
class _Layer:
    path: Path
    number: int
    name: str
    description: str
    crs: ProjCRS | None
    provenance: Mapping[str, Any]


class _Rows:
    """Features as Arrow batches. Keeps what they raise, which does not get through GDAL."""

    def __init__(self, features: Iterable[Features], schema: pa.Schema) -> None:
        self._features = features
        self.schema = schema
        self.count = 0
        self.error: BaseException | None = None

    def pairs(
        self, fit: Callable[[Features], Features] | None = None
    ) -> Iterator[tuple[Features, pa.RecordBatch]]:
        """Each batch, and the same as Arrow columns; `fit` bends it to a format."""
        try:
            for features in self._features:
                if len(features):
                    fitted = fit(features) if fit else features
                    yield fitted, _as_columns(fitted, self.schema)
                    self.count += len(features)
        except BaseException as err:
            self.error = err
            raise

    def stream(
        self,
        schema: pa.Schema | None = None,
        fit: Callable[[Features], Features] | None = None,
    ) -> pa.RecordBatchReader:
        """The same for GDAL; with the names of `schema`, if they are to be other ones."""
        schema = self.schema if schema is None else schema
        batches = (batch.rename_columns(schema.names) for _, batch in self.pairs(fit))
        return pa.RecordBatchReader.from_batches(schema, batches)


def _as_columns(features: Features, schema: pa.Schema) -> pa.RecordBatch:
    def number(values: Any) -> pa.Array:
        return pa.array(values, from_pandas=True)  # NaN becomes null

    n = len(features)
    columns = {
        GEOMETRY: pa.array(shapely.to_wkb(features.polygons), pa.binary()),
        "scene": pa.repeat(pa.scalar(features.scene, pa.string()), n),
        "id": number(features.id),
        "expression": pa.repeat(features.expression, n),
        "score": number(features.score),
        "score_max": number(features.score_max),
        "area_m2": number(features.area_m2),
        "perimeter_m": number(features.perimeter_m),
        "n_pixels": number(features.n_pixels),
        "model": pa.repeat(features.model, n),
    }
    return pa.record_batch([columns[name] for name in schema.names], schema=schema)


def _write_with_gdal(
    part: Path,
    stream: pa.RecordBatchReader,
    crs: ProjCRS | None,
    driver: str,
    name: str | None = None,
    *,
    append: bool = False,
    dataset_options: Mapping[str, str] | None = None,
    layer_options: Mapping[str, str] | None = None,
    encoding: str | None = None,
) -> None:
    # `atomic_file` syncs each file once; SQLite need not do so at every step.
    pyogrio.set_gdal_config_options({"OGR_SQLITE_SYNCHRONOUS": "OFF"})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided", UserWarning)
        pyogrio.write_arrow(
            stream,
            part,
            layer=name,
            driver=driver,
            append=append,
            geometry_name=GEOMETRY,
            geometry_type="Polygon",
            crs=None if crs is None else crs.to_wkt("WKT2_2019"),
            encoding=encoding,
            dataset_options=dataset_options,
            layer_options=layer_options,
        )


def _write_geopackage(part: Path, rows: _Rows, layer: _Layer) -> None:
    _write_with_gdal(
        part,
        rows.stream(),
        layer.crs,
        "GPKG",
        layer.name,
        append=layer.number > 0,
        # what GDAL before 3.7 knows without a warning
        dataset_options=None if layer.number else {"VERSION": "1.2"},
        layer_options={
            "GEOMETRY_NAME": GEOMETRY,
            "SPATIAL_INDEX": "YES",
            "DESCRIPTION": layer.description,
        },
    )
    geopackage.add_extras(part, layer.name, GEOMETRY, polygon_qml(layer.number), layer.provenance)


def _write_shapefile(part: Path, rows: _Rows, layer: _Layer) -> None:
    names = [shapefile.FIELD_NAMES.get(name, name) for name in rows.schema.names]
    schema = pa.schema([field.with_name(n) for field, n in zip(rows.schema, names, strict=True)])
    fitter = shapefile.ShapefileFitter(layer.path)
    _write_with_gdal(
        part, rows.stream(schema, fitter.fit), layer.crs, "ESRI Shapefile", encoding="UTF-8"
    )


def _write_geojson(part: Path, rows: _Rows, layer: _Layer) -> None:
    options = {"DESCRIPTION": layer.description, "COORDINATE_PRECISION": "8"}
    if layer.crs is None:
        logger.warning("%s: without a CRS this is no RFC 7946 GeoJSON", layer.path)
    else:
        options["RFC7946"] = "YES"
        if layer.crs.to_authority() not in {("EPSG", "4326"), ("OGC", "CRS84")}:
            logger.info(
                "%s: GeoJSON is in EPSG:4326 (RFC 7946); reprojected from %s",
                layer.path,
                layer.crs.name,
            )
    _write_with_gdal(part, rows.stream(), layer.crs, "GeoJSON", layer.name, layer_options=options)


def _write_flatgeobuf(part: Path, rows: _Rows, layer: _Layer) -> None:
    _write_with_gdal(
        part,
        rows.stream(),
        layer.crs,
        "FlatGeobuf",
        layer.name,
        layer_options={"SPATIAL_INDEX": "YES", "DESCRIPTION": layer.description},
    )


def _write_parquet(part: Path, rows: _Rows, layer: _Layer) -> None:
    write_geoparquet(part, rows.pairs(), rows.schema, GEOMETRY, layer.crs, layer.provenance)


_WRITERS: Mapping[str, Callable[[Path, _Rows, _Layer], None]] = {
    ".gpkg": _write_geopackage,
    ".shp": _write_shapefile,
    ".geojson": _write_geojson,
    ".fgb": _write_flatgeobuf,
    ".parquet": _write_parquet,
}
