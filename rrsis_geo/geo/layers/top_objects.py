"""The largest objects of a layer, with positions in degrees, for a table."""

import math
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from pyproj.exceptions import ProjError
from rasterio.crs import CRS

from rrsis_geo.geo.crs import as_proj
from rrsis_geo.geo.objects.features import Features


class TopObject(NamedTuple):
    """A row of the table.

    Attributes:
        id: id in the layer.
        lonlat: longitude and latitude of the centroid in degrees (WGS 84); None if unknown.
        xy: centroid in the coordinates of the layer.
        bounds: (left, bottom, right, top) in the coordinates of the layer.
        area_m2: area on the ground; NaN if unknown.
        n_pixels: number of pixels of the scene.
        score: see `Features`.
        score_max: maximum probability.
    """

    id: int
    lonlat: tuple[float, float] | None
    xy: tuple[float, float]
    bounds: tuple[float, float, float, float]
    area_m2: float
    n_pixels: int
    score: float
    score_max: float


class TopObjects:
    """Keep the largest objects of a stream, by area, or by pixels if the area is unknown.

    Args:
        count: number of objects to keep.
        crs: CRS of the layer; if None, longitudes and latitudes are unknown.
    """

    def __init__(self, count: int, crs: CRS | None) -> None:
        self._count = count
        self._crs = crs
        self._rows: list[TopObject] = []

    def add(self, features: Features) -> None:
        """Add a batch of objects."""
        is_unknown = np.isnan(features.area_m2)
        # Objects of unknown area come last, sorted by pixels.
        order = np.lexsort((features.id, -features.n_pixels, -features.area_m2, is_unknown))
        largest = order[: self._count]
        xy = shapely.get_coordinates(shapely.centroid(features.polygons[largest]))
        bounds = shapely.bounds(features.polygons[largest])
        for i, centroid, lonlat, box in zip(
            largest.tolist(), xy.tolist(), self._lonlat(xy), bounds.tolist(), strict=True
        ):
            self._rows.append(
                TopObject(
                    id=int(features.id[i]),
                    lonlat=lonlat,
                    xy=(centroid[0], centroid[1]),
                    bounds=tuple(box),
                    area_m2=float(features.area_m2[i]),
                    n_pixels=int(features.n_pixels[i]),
                    score=float(features.score[i]),
                    score_max=float(features.score_max[i]),
                )
            )
        self._rows = self.rows()

    def rows(self) -> list[TopObject]:
        """The largest objects, largest first."""

        def rank(row: TopObject) -> tuple[float, ...]:
            is_unknown = math.isnan(row.area_m2)
            return is_unknown, 0.0 if is_unknown else -row.area_m2, -row.n_pixels, row.id

        return sorted(self._rows, key=rank)[: self._count]

    def _lonlat(self, xy: NDArray[np.float64]) -> list[tuple[float, float] | None]:
        if self._crs is None or not len(xy):
            return [None] * len(xy)
        try:
            transformer = Transformer.from_crs(as_proj(self._crs), "EPSG:4326", always_xy=True)
            lonlat = np.column_stack(transformer.transform(xy[:, 0], xy[:, 1]))
        except ProjError:  # a local CRS that is not tied to the Earth
            return [None] * len(xy)
        is_known = np.isfinite(lonlat).all(axis=1)
        pairs = zip(lonlat.tolist(), is_known.tolist(), strict=True)
        return [(lon, lat) if known else None for (lon, lat), known in pairs]
