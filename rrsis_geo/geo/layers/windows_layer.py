"""The windows of a run as a layer: where each lies, and what the network said of it."""

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

LAYER = "windows"


class WindowScore(NamedTuple):
    """One window.

    Attributes:
        window_row: number of its row of windows, from 0.
        window_col: number of its column.
        footprint: on the scene, in whole pixels, inside of it.
        state: "seen" by the network, "skipped" for want of data, or "failed".
        presence: probability that the target is in it; None where unknown.
        probability_max: highest probability of its pixels; None where unknown.
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
    description: str = "What was said of each window",
) -> None:
    """Add the layer to a GeoPackage that is being made.

    Args:
        path: of the GeoPackage, closed.
        scores: of all windows.
        transform: pixel to world.
        crs: of the world.
        layer: its name.
        description: of the layer.

    Raises:
        DataSourceError: of pyogrio, where it cannot be written; so are its others.
    """
    spans = [
        (w.col_off, w.row_off, w.col_off + w.width, w.row_off + w.height)
        for w in (score.footprint for score in scores)
    ]
    corners = np.array([[(c0, r0), (c1, r0), (c1, r1), (c0, r1)] for c0, r0, c1, r1 in spans])
    a, b, c, d, e, f = transform[:6]
    placed = corners @ np.array([[a, d], [b, e]]) + np.array([c, f])
    names = ("window_row", "window_col", "state", "presence", "probability_max", "reason")
    columns = {name: [getattr(score, name) for score in scores] for name in names}
    outlines = shapely.orient_polygons(shapely.polygons(placed))  # rows may run down or up
    frame = gpd.GeoDataFrame(columns, geometry=outlines, crs=crs)
    for name in ("presence", "probability_max"):
        frame[name] = frame[name].astype(float).round(6)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided", UserWarning)
        pyogrio.write_dataframe(
            frame.rename_geometry("geom"),
            path,
            layer=layer,
            driver="GPKG",
            append=True,
            layer_options={"GEOMETRY_NAME": "geom", "DESCRIPTION": description},
        )
