"""The largest objects of a layer, with their places in degrees: what a table of it shows."""

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
    """One object.

    Attributes:
        id: as in the layer.
        lonlat: of its centroid, in degrees (WGS 84); None where that is unknown.
        xy: the same in the coordinates of the layer.
        area_m2: on the ground; NaN where unknown.
        n_pixels: of the scene.
        score: mean probability.
        score_max: highest probability.
    """

    id: int
    lonlat: tuple[float, float] | None
    xy: tuple[float, float]
    area_m2: float
    n_pixels: int
    score: float
    score_max: float


class TopObjects:
    """Keeps the largest objects of a stream: by area, and by pixels where the area is unknown.

    Args:
        most: how many to keep.
        crs: of the layer; None leaves longitudes and latitudes unknown.
    """

    def __init__(self, most: int, crs: CRS | None) -> None:
        self._most = most
        self._crs = crs
        self._kept: list[TopObject] = []

    def add(self, features: Features) -> None:
        """Look at some more objects."""
        unknown = np.isnan(features.area_m2)
        # Objects of unknown area come after all others, by pixels.
        order = np.lexsort((features.id, -features.n_pixels, -features.area_m2, unknown))
        chosen = order[: self._most]
        xy = shapely.get_coordinates(shapely.centroid(features.polygons[chosen]))
        for i, place, lonlat in zip(chosen.tolist(), xy.tolist(), self._lonlat(xy), strict=True):
            self._kept.append(
                TopObject(
                    id=int(features.id[i]),
                    lonlat=lonlat,
                    xy=(place[0], place[1]),
                    area_m2=float(features.area_m2[i]),
                    n_pixels=int(features.n_pixels[i]),
                    score=float(features.score[i]),
                    score_max=float(features.score_max[i]),
                )
            )
        self._kept = self.rows()

    def rows(self) -> list[TopObject]:
        """Those that were kept, the largest first."""

        def rank(row: TopObject) -> tuple[float, ...]:
            unknown = row.area_m2 != row.area_m2
            return unknown, 0.0 if unknown else -row.area_m2, -row.n_pixels, row.id

        return sorted(self._kept, key=rank)[: self._most]

    def _lonlat(self, xy: NDArray[np.float64]) -> list[tuple[float, float] | None]:
        if self._crs is None or not len(xy):
            return [None] * len(xy)
        try:
            move = Transformer.from_crs(as_proj(self._crs), "EPSG:4326", always_xy=True)
            lonlat = np.column_stack(move.transform(xy[:, 0], xy[:, 1]))
        except ProjError:  # a local grid that nothing ties to the globe
            return [None] * len(xy)
        known = np.isfinite(lonlat).all(axis=1)
        pairs = zip(lonlat.tolist(), known.tolist(), strict=True)
        return [(lon, lat) if is_known else None for (lon, lat), is_known in pairs]
