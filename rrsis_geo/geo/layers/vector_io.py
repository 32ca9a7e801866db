"""Write layers of objects: GeoPackage, Shapefile, GeoJSON, FlatGeobuf and GeoParquet.

Features are streamed to GDAL in batches, so memory is that of a batch and of the spatial index of
the format (FlatGeobuf: 40 bytes per object). Files are written in a hidden folder next to the
target and moved at the end.
"""

import errno
import logging
import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyogrio
from arro3.core import Field, RecordBatch, RecordBatchReader, Schema
from pyogrio.errors import CRSError, DataLayerError, DataSourceError, FeatureError
from pyproj import CRS as ProjCRS
from rasterio.crs import CRS

from rrsis_geo.files import atomic_file, follow_link, write_error
from rrsis_geo.geo.creation_options import OF_DATASETS
from rrsis_geo.geo.crs import as_proj
from rrsis_geo.geo.layers import geopackage, shapefile
from rrsis_geo.geo.layers.columns import FACT_TYPES, GEOMETRY, SCHEMA, as_columns
from rrsis_geo.geo.layers.formats import STYLE, VECTOR_FORMATS
from rrsis_geo.geo.layers.gdal_layer import GdalOptions, write_with_gdal
from rrsis_geo.geo.layers.geoparquet import write_geoparquet
from rrsis_geo.geo.layers.layer_files import check_layer_path, check_new_layers, layer_name
from rrsis_geo.geo.objects.features import Features
from rrsis_geo.geo.styles import polygon_qml, score_qml

logger = logging.getLogger(__name__)

_WRITE_ERRORS = (
    CRSError,
    DataLayerError,
    DataSourceError,
    FeatureError,
    OSError,
    RuntimeError,  # pyogrio, for errors in a batch
    sqlite3.Error,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer to write.

    Attributes:
        features: batches of features, consumed one at a time. Errors they raise are passed on.
        expression: expression that the objects match.
        name: name of the layer; if empty, it is made of the expression, see `layer_name`.
        title: of the layer in QGIS, unique in its file; "" for none.
        abstract: what the layer is, in a sentence or two; the expression if empty.
        provenance: JSON values, stored in GeoPackage and GeoParquet.
        facts: names of the further columns, see `FACT_TYPES`.
    """

    features: Iterable[Features]
    expression: str
    name: str = ""
    title: str = ""
    abstract: str = ""
    facts: Sequence[str] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)


def write_layers(
    path: str | Path,
    layers: Sequence[Layer],
    *,
    crs: CRS | ProjCRS | None,
    overwrite: bool = False,
    append: bool = False,
    extend: Callable[[Path], None] | None = None,
    schema: Schema = SCHEMA,
    creation_options: Mapping[str, str] | None = None,
) -> int:
    """Write layers of polygons. The suffix of `path` selects the format.

    A layer without features is valid, with CRS and fields. GeoJSON is written in EPSG:4326 as
    required by RFC 7946; all other formats keep the CRS.

    Args:
        path: path of the file.
        layers: one layer, or several for a GeoPackage.
        crs: CRS of the polygons; None writes layers without a CRS.
        overwrite: replace an existing file; with `append`, layers of this program only.
        append: add the layers to an existing GeoPackage and keep all else in it. If the layers
            cannot be written, the file does not change.
        extend: function that adds further content to the file before it is moved to `path`.
        schema: columns; `SCENES_SCHEMA` if the features have scene names.
        creation_options: of GDAL for the format; see `geo.creation_options`.

    Returns:
        Number of features written.

    Raises:
        OutputError: see `check_layer_path`; the disk is full; or a Shapefile would exceed 2 GB.
    """
    path = check_layer_path(path, overwrite=overwrite or append)
    suffix, count = path.suffix.lower(), 0
    if len(layers) != 1 and suffix != ".gpkg":
        raise ValueError(f"{path}: the format supports one layer, got {len(layers)}")
    with atomic_file(path, overwrite=overwrite or append) as part:
        contents = geopackage.NO_CONTENTS
        if append and path.exists():
            names = [layer.name or layer_name(layer.expression) for layer in layers]
            check_new_layers(path, names, overwrite=overwrite)
            with _convert_errors(path):
                shutil.copyfile(follow_link(path), part)
                contents = geopackage.read_contents(part)
        for number, layer in enumerate(layers):
            facts = [Field(name, FACT_TYPES[name]) for name in layer.facts]
            rows = _Rows(layer.features, Schema([*map(schema.field, schema.names), *facts]))
            target = _Target(
                path=path,
                number=contents.n_ours() + number,
                contents=contents,
                name=layer.name or layer_name(layer.expression),
                title=layer.title,
                description=layer.abstract or layer.expression,
                crs=None if crs is None else as_proj(crs),
                provenance=layer.provenance,
                creation_options=creation_options or {},
            )
            with _convert_errors(path, rows):
                _WRITERS[suffix](part, rows, target)
                if STYLE in VECTOR_FORMATS[suffix].companions:
                    _write_style(part, rows, target)
            count += rows.count
        if extend is not None:
            with _convert_errors(path):
                extend(part)
    if suffix == ".shp":
        shapefile.remove_derived(follow_link(path))
    return count


@contextmanager
def _convert_errors(path: Path, rows: "_Rows | None" = None) -> Iterator[None]:
    """Convert errors of writing to OutputError, and raise errors of the rows unchanged."""
    try:
        yield
    except _WRITE_ERRORS as err:
        if rows is not None and rows.error is not None:
            raise rows.error from None
        raise write_error(path, err) from err


@dataclass(frozen=True, slots=True)
class _Target:
    """Properties of the layer for the writers."""

    path: Path
    number: int  # of the layers of this program in the file before
    contents: geopackage.Contents  # of the file before
    name: str
    title: str
    description: str
    crs: ProjCRS | None
    provenance: Mapping[str, Any]
    creation_options: Mapping[str, str]


class _Rows:
    """Features as Arrow batches.

    Keeps the error that the features raised, because GDAL does not pass it on.
    """

    def __init__(self, features: Iterable[Features], schema: Schema) -> None:
        self._features = features
        self.schema = schema
        self.count = 0
        self.error: BaseException | None = None

    def pairs(
        self, fit: Callable[[Features], Features] | None = None
    ) -> Iterator[tuple[Features, RecordBatch]]:
        """Each batch of features, and the same as Arrow columns; `fit` adapts it to a format."""
        try:
            for features in self._features:
                if len(features):
                    fitted = fit(features) if fit else features
                    yield fitted, as_columns(fitted, self.schema)
                    self.count += len(features)
        except BaseException as err:
            self.error = err
            raise

    def stream(
        self,
        schema: Schema | None = None,
        fit: Callable[[Features], Features] | None = None,
    ) -> RecordBatchReader:
        """The batches for GDAL, with the column names of `schema`."""
        schema = self.schema if schema is None else schema
        batches = (
            RecordBatch.from_arrays(batch.columns, schema=schema) for _, batch in self.pairs(fit)
        )
        return RecordBatchReader.from_batches(schema, batches)


def _styles(rows: _Rows, target: _Target) -> list[geopackage.LayerStyle]:
    """The styles of a layer of objects: plain and by score."""
    has_candidates = "chosen" in rows.schema.names
    return [
        geopackage.LayerStyle(
            "rrsis-geo", polygon_qml(target.number, has_candidates=has_candidates)
        ),
        geopackage.LayerStyle("by score", score_qml(target.number, has_candidates=has_candidates)),
    ]


def _write_style(part: Path, rows: _Rows, target: _Target) -> None:
    """Write the style beside the file. A style that is there may be the user's and is kept."""
    if not follow_link(target.path).with_suffix(STYLE).exists():
        part.with_suffix(STYLE).write_text(_styles(rows, target)[0].qml, encoding="utf-8")


def _write_geopackage(part: Path, rows: _Rows, target: _Target) -> None:
    has_file, is_replaced = part.exists(), target.name in target.contents.layers
    if is_replaced:
        geopackage.remove_records(part, target.name)
    has_title = re.search("[^a-z0-9_]", target.title) and (
        is_replaced or target.title not in target.contents.identifiers
    )
    of_dataset = {n: v for n, v in target.creation_options.items() if n in OF_DATASETS}
    options = GdalOptions(
        driver="GPKG",
        layer=target.name,
        append=has_file and not is_replaced,  # GDAL replaces a layer that is not appended to
        # supported by GDAL before 3.7 without a warning
        dataset_options=None if has_file else {"VERSION": "1.2", **of_dataset},
        layer_options={
            "GEOMETRY_NAME": GEOMETRY,
            "SPATIAL_INDEX": "YES",
            # QGIS shows them as the title and the abstract of the layer. Identifiers are unique and
            # by default names of tables, so a title that could be one is left out.
            **({"IDENTIFIER": target.title} if has_title else {}),
            "DESCRIPTION": target.description,
            **{n: value for n, value in target.creation_options.items() if n not in OF_DATASETS},
        },
    )
    write_with_gdal(part, rows.stream(), target.crs, options)
    geopackage.add_provenance(part, target.name, target.provenance)
    geopackage.add_styles(part, target.name, GEOMETRY, _styles(rows, target))


def _write_shapefile(part: Path, rows: _Rows, target: _Target) -> None:
    fields = [
        rows.schema.field(name).with_name(shapefile.FIELD_NAMES.get(name, name))
        for name in rows.schema.names
    ]
    fitter = shapefile.ShapefileFitter(target.path)
    options = GdalOptions(
        driver="ESRI Shapefile", encoding="UTF-8", layer_options=target.creation_options
    )
    write_with_gdal(part, rows.stream(Schema(fields), fitter.fit), target.crs, options)
    shapefile.check_whole(part, rows.count)


def _write_geojson(part: Path, rows: _Rows, target: _Target) -> None:
    layer_options = {"DESCRIPTION": target.description, "COORDINATE_PRECISION": "8"}
    layer_options |= target.creation_options
    if target.crs is None:
        logger.warning("%s: GeoJSON without a CRS does not conform to RFC 7946", target.path)
    else:
        layer_options["RFC7946"] = "YES"
        if target.crs.to_authority() not in {("EPSG", "4326"), ("OGC", "CRS84")}:
            logger.info(
                "%s: reprojected from %s to EPSG:4326, as required by RFC 7946",
                target.path,
                target.crs.name,
            )
    options = GdalOptions(driver="GeoJSON", layer=target.name, layer_options=layer_options)
    write_with_gdal(part, rows.stream(), target.crs, options)
    with part.open("rb") as file:  # GDAL ignores errors in closing the file
        file.seek(-min(3, part.stat().st_size), os.SEEK_END)
        if file.read().strip() != b"}":
            raise OSError(errno.ENOSPC, "the end is missing")


def _write_flatgeobuf(part: Path, rows: _Rows, target: _Target) -> None:
    options = GdalOptions(
        driver="FlatGeobuf",
        layer=target.name,
        layer_options={
            "SPATIAL_INDEX": "YES",
            "DESCRIPTION": target.description,
            **target.creation_options,
        },
    )
    write_with_gdal(part, rows.stream(), target.crs, options)
    try:  # GDAL ignores errors in closing the file
        _, fids, *_ = pyogrio.raw.read(part, columns=[], read_geometry=False, return_fids=True)
        n_rows = len(fids)
    except (FeatureError, DataSourceError):
        n_rows = -1
    if n_rows != rows.count:
        raise OSError(errno.ENOSPC, "features are missing")


def _write_geoparquet(part: Path, rows: _Rows, target: _Target) -> None:
    write_geoparquet(part, rows.pairs(), rows.schema, GEOMETRY, target.crs, target.provenance)


_WRITERS: Mapping[str, Callable[[Path, _Rows, _Target], None]] = {
    ".gpkg": _write_geopackage,
    ".shp": _write_shapefile,
    ".geojson": _write_geojson,
    ".fgb": _write_flatgeobuf,
    ".parquet": _write_geoparquet,
}
