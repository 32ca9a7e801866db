"""Names of layers, and the checks that their files can be written. Loads no GDAL."""

import re
import sqlite3
import unicodedata
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from rrsis_geo.errors import OutputError
from rrsis_geo.files import check_writable, follow_link
from rrsis_geo.geo.layers import geopackage, shapefile
from rrsis_geo.geo.layers.formats import STYLE, VECTOR_FORMATS

SUFFIXES = tuple(VECTOR_FORMATS)


def check_layer_path(path: str | Path, *, overwrite: bool = False) -> Path:
    """Check that a layer can be written, before any work is done for it.

    Raises:
        OutputError: the suffix is unknown, the package of its format is not installed, the folder
            is missing or not writable, the file or another file of a Shapefile exists, or another
            program has the GeoPackage open that would be replaced.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise OutputError(
            f"{path}: unknown suffix {path.suffix!r}; a layer can be written as "
            + ", ".join(SUFFIXES[:-1])
            + f" or {SUFFIXES[-1]}"
        )
    if path.suffix.lower() == ".parquet" and find_spec("pyarrow") is None:
        raise OutputError(
            f"{path}: GeoParquet needs pyarrow, which is not installed; "
            "pip install 'rrsis-geo[parquet]', or write a .gpkg"
        )
    target = follow_link(path)
    endings = [end for end in VECTOR_FORMATS[path.suffix.lower()].companions if end != STYLE]
    if path.suffix.lower() == ".shp":
        endings += shapefile.DERIVED
    companions = [target.with_suffix(ending) for ending in endings]
    check_writable(path, overwrite=overwrite, companions=companions)
    # SQLite would apply the changes in these files to the new GeoPackage.
    for name in (f"{target.name}-wal", f"{target.name}-journal"):
        if path.suffix.lower() == ".gpkg" and target.with_name(name).exists():
            raise OutputError(
                f"{path}: another program, such as QGIS, has it open ({name} exists); remove it "
                "from the project there, or write to another file"
            )
    return path


def check_new_layers(path: Path, names: Iterable[str], *, overwrite: bool) -> None:
    """Check that layers can be added to a GeoPackage, which need not exist yet.

    Args:
        path: path of the GeoPackage.
        names: names of the layers.
        overwrite: layers of this program that have these names may be replaced.

    Raises:
        OutputError: the file is no GeoPackage, or has such a layer.
    """
    if not path.exists():
        return
    try:
        layers = geopackage.read_contents(follow_link(path)).layers
    except sqlite3.Error as err:
        raise OutputError(
            f"{path}: is no GeoPackage, so no layer can be appended ({err}); name another file"
        ) from err
    by_lower_case = {name.lower(): is_ours for name, is_ours in layers.items()}
    for name in names:
        is_ours = by_lower_case.get(name.lower())
        if is_ours and not overwrite:
            raise OutputError(
                f'{path}: has the layer "{name}" already; replace it with --overwrite, or write to '
                "another file"
            )
        if is_ours is False:
            raise OutputError(
                f'{path}: has a layer "{name}" that is not of rrsis-geo; write to another file'
            )


def layer_name(expression: str) -> str:
    """Make a layer name of an expression: at most 60 ASCII letters, digits and underscores."""
    text = unicodedata.normalize("NFKD", expression).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:60].rstrip("_")
    # Names reserved by GeoPackage and SQLite, and the name of the layer of windows.
    return (
        f"objects_{slug}"
        if re.match(r"(gpkg|sqlite|rtree|layer_styles|windows$)", slug)
        else (slug or "objects")
    )
