"""Write the windows of a run as a layer: position and result of each window."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import geopandas as gpd
import numpy as np
import pyogrio
import shapely
from affine import Affine
from pyproj import CRS as ProjCRS
from rasterio.windows import Window

from rrsis_geo.geo.layers.columns import GEOMETRY
from rrsis_geo.geo.layers.geopackage import (
    LayerStyle,
    add_styles,
    read_contents,
    remove_records,
)
from rrsis_geo.geo.styles import windows_qml

LAYER = "windows"


class WindowScore(NamedTuple):
    """The result of a window.

    Attributes:
        window_row: number of the window row, from 0.
        window_col: number of the window in its row, from 0.
        footprint: extent in whole pixels, clipped to the scene.
        state: "seen" by the network, "skipped" because it has no data, or "failed".
        presence: probability that the target is in the window; None if unknown.
        probability_max: maximum probability of its pixels; None if unknown.
        reason: why it failed.
    """

    window_row: int
    window_col: int
    footprint: Window
    state: str
    presence: float | None = None
    probability_max: float | None = None
    reason: str = ""


def append_windows(
    path: Path,
    scores: Sequence[WindowScore],
    transform: Affine,
    crs: ProjCRS | None,
    *,
    layer: str = LAYER,
    description: str = "Result of each window",
) -> None:
    """Append a layer of windows to a closed GeoPackage, or replace one of that name.

    Args:
        path: path of the GeoPackage.
        scores: results of all windows.
        transform: pixel to world.
        crs: CRS of the world coordinates.
        layer: name of the layer.
        description: description of the layer.

    Raises:
        pyogrio.errors.DataSourceError, sqlite3.Error: the file cannot be written.
    """
    spans = [
        (w.col_off, w.row_off, w.col_off + w.width, w.row_off + w.height)
        for w in (score.footprint for score in scores)
    ]
    corners = np.array([[(c0, r0), (c1, r0), (c1, r1), (c0, r1)] for c0, r0, c1, r1 in spans])
    a, b, c, d, e, f = transform[:6]
    world = corners @ np.array([[a, d], [b, e]]) + np.array([c, f])
    names = ("window_row", "window_col", "state", "presence", "probability_max", "reason")
    columns = {name: [getattr(score, name) for score in scores] for name in names}
    outlines = shapely.orient_polygons(shapely.polygons(world))  # the y axis may point up or down
    frame = gpd.GeoDataFrame(columns, geometry=outlines, crs=crs)
    for name in ("presence", "probability_max"):
        frame[name] = frame[name].astype(float).round(6)
    is_replaced = layer in read_contents(path).layers
    if is_replaced:
        remove_records(path, layer)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided", UserWarning)
        pyogrio.write_dataframe(
            frame.rename_geometry(GEOMETRY),
            path,
            layer=layer,
            driver="GPKG",
            append=not is_replaced,
            layer_options={"GEOMETRY_NAME": GEOMETRY, "DESCRIPTION": description},
        )
    add_styles(path, layer, GEOMETRY, [LayerStyle("rrsis-geo", windows_qml())])
