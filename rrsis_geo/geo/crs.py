"""Convert coordinate reference systems between rasterio and pyproj, and name them."""

from pyproj import CRS as ProjCRS
from rasterio.crs import CRS


def as_proj(crs: CRS | ProjCRS) -> ProjCRS:
    """Convert a CRS to pyproj by WKT 2, which is exact for a CRS without an EPSG code too."""
    if isinstance(crs, ProjCRS):
        return crs
    return ProjCRS.from_wkt(crs.to_wkt(version="WKT2_2019"))


def unit_m(crs: ProjCRS) -> float:
    """Length of the unit of a plane CRS in metres; 1 if it has no axes."""
    return float(crs.axis_info[0].unit_conversion_factor) if crs.axis_info else 1.0


def crs_name(crs: CRS) -> str:
    """Name of a CRS: "EPSG:32632", or the name in its definition if it has no code."""
    authority = crs.to_authority()
    return ":".join(authority) if authority else str(ProjCRS.from_wkt(crs.to_wkt()).name)
