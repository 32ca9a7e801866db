"""Creation options of GDAL that users may set, by the kind of file that has them.

Those on which the layout of the files depends are set by this program, and cannot be changed.
Only the standard library is imported, because the command line parses them.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from rrsis_geo.errors import ConfigError


class Values(NamedTuple):
    """The values of an option: a pattern, and the same in words."""

    pattern: str
    words: str


def _one_of(*values: str) -> Values:
    return Values("|".join(map(re.escape, values)), ", ".join(values[:-1]) + f" or {values[-1]}")


RASTER: Final[Mapping[str, Values]] = {
    "BIGTIFF": _one_of("YES", "NO", "IF_NEEDED", "IF_SAFER"),
    "COMPRESS": _one_of("DEFLATE", "LZW", "ZSTD", "NONE"),
    "GEOTIFF_VERSION": _one_of("AUTO", "1.0", "1.1"),
    "LEVEL": Values("[1-9]|1[0-9]|2[0-2]", "a number from 1 to 22"),
    "NUM_THREADS": Values(r"ALL_CPUS|[1-9]\d{0,2}", "ALL_CPUS or a number"),
}
"""Options of mask and probability rasters, by name. All are lossless."""

VECTOR: Final[Mapping[str, Mapping[str, Values]]] = {
    ".gpkg": {
        "SPATIAL_INDEX": _one_of("YES", "NO"),
        "VERSION": _one_of("1.0", "1.1", "1.2", "1.3", "1.4"),
    },
    ".shp": {"DBF_DATE_LAST_UPDATE": Values(r"\d{4}-\d\d-\d\d", "a date, YYYY-MM-DD")},
    ".geojson": {
        # with fewer decimals, 0.1 m, GDAL turns small polygons into lines and points
        "COORDINATE_PRECISION": Values("[6-9]|1[0-5]", "a number of decimals from 6 to 15"),
        "ID_FIELD": Values("id", "id"),
        "WRITE_BBOX": _one_of("YES", "NO"),
    },
    ".fgb": {"SPATIAL_INDEX": _one_of("YES", "NO"), "TITLE": Values(".+", "a text")},
    ".parquet": {},
}
"""Options of layers, by suffix and name."""

OF_DATASETS: Final = frozenset({"VERSION"})
"""Options of a whole GeoPackage, not of a layer."""


def parse_creation_options(texts: Iterable[str]) -> dict[str, str]:
    """Parse ``NAME=VALUE``. Names are converted to upper case; GDAL does not tell cases apart.

    Raises:
        ConfigError: a text has another form, or a name is given twice.
    """
    options: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip().upper()
        if not (name and equals and value):
            raise ConfigError(
                f'a creation option is NAME=VALUE, such as COMPRESS=ZSTD; got "{text}"'
            )
        if name in options:
            raise ConfigError(f"the creation option {name} is given twice")
        options[name] = value
    return options


def raster_options(options: Mapping[str, str]) -> dict[str, str]:
    """Those of the options that are for mask and probability rasters."""
    return {name: value for name, value in options.items() if name in RASTER}


def vector_options(options: Mapping[str, str], suffix: str) -> dict[str, str]:
    """Those of the options that are for layers with this suffix."""
    known = VECTOR.get(suffix.lower(), {})
    return {name: value for name, value in options.items() if name in known}


def check_creation_options(
    options: Mapping[str, str], suffix: str, *, has_rasters: bool, is_new: bool
) -> None:
    """Check that each option is for a file of the run, and has a value that GDAL knows.

    Args:
        options: names, in upper case, and values.
        suffix: of the vector file.
        has_rasters: whether the run writes a mask or a probability raster.
        is_new: whether the vector file is written anew, without appending.

    Raises:
        ConfigError: an option is unknown or set by this program, has no file, or a bad value.
    """
    known = VECTOR.get(suffix.lower(), {})
    for name, value in options.items():
        values = known.get(name) or RASTER.get(name)
        if values is None:
            raise ConfigError(
                f"the creation option {name} is unknown, or set by rrsis-geo itself; {suffix} has "
                f"{', '.join(known) or 'none'}, and mask and probability have {', '.join(RASTER)}"
            )
        if name not in known and not has_rasters:
            raise ConfigError(
                f"the creation option {name} is for rasters, and none is written; add --mask or "
                "--probability, or remove the option"
            )
        if not re.fullmatch(values.pattern, value, re.IGNORECASE):
            raise ConfigError(f'the creation option {name} is {values.words}; got "{value}"')
        if name in OF_DATASETS and not is_new:
            raise ConfigError(
                f"the creation option {name} is of the whole file, which exists; remove it, or "
                "write to another file"
            )
