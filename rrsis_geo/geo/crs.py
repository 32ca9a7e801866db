"""Convert coordinate reference systems between rasterio and pyproj, and name them."""

from pyproj import CRS as ProjCRS
from rasterio.crs import CRS


def as_proj(crs: CRS | ProjCRS) -> ProjCRS:
    """Convert a CRS to pyproj by WKT 2, which is exact for a CRS without an EPSG code too."""
    if isinstance(crs, ProjCRS):
        return crs
    return ProjCRS.from_wkt(crs.to_wkt(version="WKT2_2019"))


def crs_name(crs: CRS) -> str:
    """Name of a CRS: "EPSG:32632", or the name in its definition if it has no code."""
    authority = crs.to_authority()
    return ":".join(authority) if authority else str(ProjCRS.from_wkt(crs.to_wkt()).name)
