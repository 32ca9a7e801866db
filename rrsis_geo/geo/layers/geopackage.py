"""The layers of a GeoPackage, and the provenance and the styles of a layer."""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

PROVENANCE_URI = "urn:rrsis-geo:provenance:1"

# Tables of the GeoPackage metadata extension, from the specification (F.8).
_METADATA_TABLES = """
CREATE TABLE IF NOT EXISTS gpkg_metadata (
  id INTEGER CONSTRAINT m_pk PRIMARY KEY ASC NOT NULL,
  md_scope TEXT NOT NULL DEFAULT 'dataset',
  md_standard_uri TEXT NOT NULL,
  mime_type TEXT NOT NULL DEFAULT 'text/xml',
  metadata TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS gpkg_metadata_reference (
  reference_scope TEXT NOT NULL,
  table_name TEXT,
  column_name TEXT,
  row_id_value INTEGER,
  timestamp DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')),
  md_file_id INTEGER NOT NULL,
  md_parent_id INTEGER,
  CONSTRAINT crmr_mfi_fk FOREIGN KEY (md_file_id) REFERENCES gpkg_metadata(id),
  CONSTRAINT crmr_mpi_fk FOREIGN KEY (md_parent_id) REFERENCES gpkg_metadata(id)
);
CREATE TABLE IF NOT EXISTS gpkg_extensions (
  table_name TEXT,
  column_name TEXT,
  extension_name TEXT NOT NULL,
  definition TEXT NOT NULL,
  scope TEXT NOT NULL,
  CONSTRAINT ge_tce UNIQUE (table_name, column_name, extension_name)
);
INSERT INTO gpkg_extensions VALUES
  ('gpkg_metadata', NULL, 'gpkg_metadata',
   'http://www.geopackage.org/spec121/#extension_metadata', 'read-write'),
  ('gpkg_metadata_reference', NULL, 'gpkg_metadata',
   'http://www.geopackage.org/spec121/#extension_metadata', 'read-write');
"""

# The table that QGIS creates when it saves a style in a GeoPackage. It is registered as an
# attributes table, so that it is not listed as a layer with geometry.
_STYLE_TABLE = """
CREATE TABLE layer_styles (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  f_table_catalog TEXT(256),
  f_table_schema TEXT(256),
  f_table_name TEXT(256),
  f_geometry_column TEXT(256),
  styleName TEXT(30),
  styleQML TEXT,
  styleSLD TEXT,
  useAsDefault BOOLEAN,
  description TEXT,
  owner TEXT(30),
  ui TEXT(30),
  update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now'))
);
INSERT INTO gpkg_contents (table_name, data_type, identifier, description)
  VALUES ('layer_styles', 'attributes', 'layer_styles', 'Styles of the layers, for QGIS');
"""


class LayerStyle(NamedTuple):
    """A style of a layer in QGIS; the first one of a layer is its default.

    Attributes:
        name: as QGIS lists it.
        qml: the style.
    """

    name: str
    qml: str


class Contents(NamedTuple):
    """What is in a GeoPackage.

    Attributes:
        layers: names of all tables with content, and whether each is a layer of this program.
        identifiers: titles of the layers, which are unique.
    """

    layers: dict[str, bool]
    identifiers: frozenset[str]

    def n_ours(self) -> int:
        """The number of layers of this program."""
        return sum(self.layers.values())


NO_CONTENTS = Contents({}, frozenset())


def read_contents(path: Path) -> Contents:
    """Read the layers of a GeoPackage, which is not changed.

    Raises:
        sqlite3.Error: the file is no GeoPackage, or cannot be read.
    """
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT table_name, identifier FROM gpkg_contents").fetchall()
        ours: set[str] = set()
        if _has_table(connection, "gpkg_metadata"):
            query = (
                "SELECT table_name FROM gpkg_metadata_reference JOIN gpkg_metadata"
                " ON md_file_id = gpkg_metadata.id WHERE md_standard_uri = ?"
            )
            ours = {name for (name,) in connection.execute(query, (PROVENANCE_URI,))}
    return Contents(
        {name: name in ours for name, _ in rows}, frozenset(text for _, text in rows if text)
    )


def remove_records(path: Path, layer: str) -> None:
    """Remove the provenance and the styles of a layer that is to be replaced.

    Raises:
        sqlite3.Error: the file cannot be written.
    """
    with _edit(path) as connection:
        if _has_table(connection, "gpkg_metadata"):
            connection.execute("DELETE FROM gpkg_metadata_reference WHERE table_name = ?", (layer,))
            connection.execute(
                "DELETE FROM gpkg_metadata WHERE md_standard_uri = ?"
                " AND id NOT IN (SELECT md_file_id FROM gpkg_metadata_reference)",
                (PROVENANCE_URI,),
            )
        if _has_table(connection, "layer_styles"):
            connection.execute("DELETE FROM layer_styles WHERE f_table_name = ?", (layer,))


def add_provenance(path: Path, layer: str, provenance: Mapping[str, Any]) -> None:
    """Add the provenance of a layer to a closed GeoPackage.

    Args:
        path: path of the GeoPackage.
        layer: name of the layer.
        provenance: JSON values.

    Raises:
        sqlite3.Error: the file cannot be written.
    """
    with _edit(path) as connection:
        if not _has_table(connection, "gpkg_metadata"):
            connection.executescript(_METADATA_TABLES)
        row = connection.execute(
            "INSERT INTO gpkg_metadata (md_scope, md_standard_uri, mime_type, metadata)"
            " VALUES ('dataset', ?, 'application/json', ?)",
            (PROVENANCE_URI, json.dumps(provenance, ensure_ascii=False, default=str)),
        ).lastrowid
        connection.execute(
            "INSERT INTO gpkg_metadata_reference (reference_scope, table_name, md_file_id)"
            " VALUES ('table', ?, ?)",
            (layer, row),
        )


def add_styles(path: Path, layer: str, geometry: str, styles: Sequence[LayerStyle]) -> None:
    """Add styles of a layer to a closed GeoPackage.

    Args:
        path: path of the GeoPackage.
        layer: name of the layer.
        geometry: name of the geometry column.
        styles: the default style, then others.

    Raises:
        sqlite3.Error: the file cannot be written.
    """
    with _edit(path) as connection:
        if not _has_table(connection, "layer_styles"):
            connection.executescript(_STYLE_TABLE)
        for number, style in enumerate(styles):
            connection.execute(
                "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name,"
                " f_geometry_column, styleName, styleQML, styleSLD, useAsDefault, description,"
                " owner) VALUES ('', '', ?, ?, ?, ?, '', ?, '', '')",
                (layer, geometry, style.name, style.qml, int(number == 0)),
            )


@contextmanager
def _edit(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")  # the file is synced at the end
        yield connection
        connection.commit()


def _has_table(connection: sqlite3.Connection, name: str) -> bool:
    query = "SELECT 1 FROM sqlite_schema WHERE name = ?"
    return connection.execute(query, (name,)).fetchone() is not None
