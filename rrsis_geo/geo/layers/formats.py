"""Vector formats by suffix. A new format is a row here and a writer in `vector_io`.

Only the standard library is imported, because `rrsis-geo segment --help` lists the suffixes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple


class Companion(NamedTuple):
    """A file beside the main file of a format, such as the ``.dbf`` of a Shapefile.

    Attributes:
        media_type: as catalogues list it.
        role: in a STAC item.
    """

    media_type: str
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFormat:
    """How catalogues describe a file format.

    Attributes:
        media_type: of the main file.
        companions: files beside the main file, by suffix. Files that do not exist are not listed.
        fixed_crs: CRS that the format prescribes; None if it keeps the CRS of the data.
    """

    media_type: str
    companions: Mapping[str, Companion] = field(default_factory=dict)
    fixed_crs: str | None = None


STYLE: Final = ".qml"
"""Style for QGIS beside a file of one layer. A GeoPackage contains its styles."""
_STYLE = {STYLE: Companion("application/xml", "style")}

VECTOR_FORMATS: Final[Mapping[str, FileFormat]] = {
    ".gpkg": FileFormat(media_type="application/geopackage+sqlite3"),
    ".shp": FileFormat(
        media_type="application/vnd.shp",
        companions={
            ".shx": Companion("application/vnd.shx", "data"),
            ".dbf": Companion("application/vnd.dbf", "data"),
            ".prj": Companion("text/plain", "metadata"),
            ".cpg": Companion("text/plain", "metadata"),
            **_STYLE,
        },
    ),
    ".geojson": FileFormat(
        media_type="application/geo+json", companions=_STYLE, fixed_crs="EPSG:4326"
    ),
    ".fgb": FileFormat(media_type="application/vnd.flatgeobuf", companions=_STYLE),
    ".parquet": FileFormat(media_type="application/vnd.apache.parquet", companions=_STYLE),
}
