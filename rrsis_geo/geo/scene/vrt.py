"""Find the area of a virtual raster (VRT) that none of its files covers."""

import math
from collections.abc import Iterator, Sequence
from xml.etree import ElementTree

import rasterio
import shapely
from shapely.geometry.base import BaseGeometry

from rrsis_geo.geo.scene.sources import read_tags

_NEARLY = 1e-3
"""GDAL takes an edge this close to a pixel edge, in pixels, to lie on it."""


def uncovered_share(dataset: rasterio.DatasetReader, bands: Sequence[int]) -> float:
    """Share of a VRT's pixels, 0 to 1, that no source covers in one of the bands.

    Such pixels read as 0, unless the VRT has a nodata value. 0 for kinds of VRT whose sources are
    not placed in rectangles, such as warped ones.
    """
    texts = read_tags(dataset, "xml:VRT").values() if dataset.driver == "VRT" else ()
    for text in texts:
        root = ElementTree.fromstring(text)
        if root.get("subClass") is None:
            extent = shapely.box(0, 0, dataset.width, dataset.height)
            found = root.findall("VRTRasterBand")
            shares = [_uncovered(found[band - 1], extent) for band in bands if band <= len(found)]
            return max(shares, default=0.0)
    return 0.0


def _uncovered(band: ElementTree.Element, extent: BaseGeometry) -> float:
    if band.get("subClass") is not None:
        return 0.0
    covered = shapely.union_all(list(_source_boxes(band, extent)))
    return 1 - covered.intersection(extent).area / extent.area


def _source_boxes(band: ElementTree.Element, extent: BaseGeometry) -> Iterator[BaseGeometry]:
    """The pixels that each source covers."""
    for source in band:
        if not source.tag.endswith("Source"):
            continue
        place = source.find("DstRect")
        if place is None:
            yield extent
            continue
        left, top, width, height = (
            float(place.get(name, "nan")) for name in ("xOff", "yOff", "xSize", "ySize")
        )
        yield shapely.box(
            math.floor(left + _NEARLY),
            math.floor(top + _NEARLY),
            math.ceil(left + width - _NEARLY),
            math.ceil(top + height - _NEARLY),
        )
