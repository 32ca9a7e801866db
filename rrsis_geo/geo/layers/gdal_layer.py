"""Write a stream of Arrow batches with GDAL."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pyogrio
from arro3.core import RecordBatchReader
from pyproj import CRS as ProjCRS

from rrsis_geo.geo.layers.columns import GEOMETRY


class GdalOptions(NamedTuple):
    """Options of GDAL for a format; see `pyogrio.write_arrow`."""

    driver: str
    layer: str | None = None
    append: bool = False
    dataset_options: Mapping[str, str] | None = None
    layer_options: Mapping[str, str] | None = None
    encoding: str | None = None


def write_with_gdal(
    path: str | Path, stream: RecordBatchReader, crs: ProjCRS | None, options: GdalOptions
) -> None:
    """Write a layer of polygons.

    Args:
        path: path of the file.
        stream: the columns; the geometry is WKB.
        crs: CRS of the polygons.
        options: of the format.

    Raises:
        RuntimeError: the file cannot be written.
    """
    with _fast_sqlite(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided", UserWarning)
        pyogrio.write_arrow(
            stream,
            path,
            layer=options.layer,
            driver=options.driver,
            append=options.append,
            geometry_name=GEOMETRY,
            geometry_type="Polygon",
            crs=None if crs is None else crs.to_wkt("WKT2_2019"),
            encoding=options.encoding,
            dataset_options=options.dataset_options,
            layer_options=options.layer_options,
        )


@contextmanager
def _fast_sqlite() -> Iterator[None]:
    """`atomic_file` syncs the file at the end, so SQLite need not sync at every step."""
    name = "OGR_SQLITE_SYNCHRONOUS"
    before = pyogrio.get_gdal_config_option(name)
    pyogrio.set_gdal_config_options({name: "OFF"})
    try:
        yield
    finally:  # the setting is that of the whole process
        pyogrio.set_gdal_config_options({name: before})
