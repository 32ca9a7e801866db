"""Coordinate reference systems, between rasterio and pyproj, and by name."""

from pyproj import CRS as ProjCRS
from rasterio.crs import CRS


def as_proj(crs: CRS | ProjCRS) -> ProjCRS:
    """The same CRS for pyproj, by WKT 2, so that one without an EPSG code loses nothing."""
    if isinstance(crs, ProjCRS):
        return crs
    return ProjCRS.from_wkt(crs.to_wkt(version="WKT2_2019"))


def crs_name(crs: CRS) -> str:
    """A CRS as people know it: "EPSG:32632", or the name in its definition."""
    authority = crs.to_authority()
    return ":".join(authority) if authority else str(ProjCRS.from_wkt(crs.to_wkt()).name)
