"""Acquisition time of a scene, from its STAC item or the metadata of its file."""

import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import rasterio

from rrsis_geo.errors import InputError
from rrsis_geo.geo.scene.sources import read_tags
from rrsis_geo.geo.scene.stac import may_be_item, read_item

logger = logging.getLogger(__name__)

TAGS: Final = (
    ("IMAGERY", "ACQUISITIONDATETIME"),  # GDAL's own name, for any provider
    (None, "ACQUISITIONDATETIME"),
    (None, "PRODUCT_START_TIME"),  # Sentinel-2
    (None, "NITF_IDATIM"),
    (None, "EXIF_DateTimeOriginal"),
    (None, "TIFFTAG_DATETIME"),  # time of the scene for Planet and Maxar, of the file for others
)
"""Domain and name of the metadata tags with a time, most reliable first."""

_TIME = re.compile(
    r"(\d{4})[-:/]?(\d\d)[-:/]?(\d\d)[T ]?(\d\d):?(\d\d):?(\d\d)(\.\d+)?\s*(Z|[+-]\d\d:?\d\d)?"
)


class AcquisitionTime(NamedTuple):
    """When a scene was acquired.

    Attributes:
        start: in UTC.
        end: in UTC; equal to ``start`` for a single moment.
        source: name of the tag or property with the time.
    """

    start: datetime
    end: datetime
    source: str


def acquisition_time(path: str, dataset: rasterio.DatasetReader) -> AcquisitionTime | None:
    """The acquisition time of a scene, or None if it is unknown.

    Args:
        path: path or address of the scene as the user gave it; may be a STAC item.
        dataset: the open scene.
    """
    if may_be_item(path):
        try:
            return _from_item(read_item(path))
        except InputError as err:  # the item was readable when the scene was opened
            logger.warning("the acquisition time is unknown: %s", err)
            return None
    for domain, name in TAGS:
        time = parse_time(read_tags(dataset, domain).get(name, ""))
        if time is not None:
            return AcquisitionTime(time, time, name)
    return None


def _from_item(item: Mapping[str, Any]) -> AcquisitionTime | None:
    properties = item.get("properties")
    if not isinstance(properties, dict):
        return None
    moment, start, end = (
        parse_time(str(properties.get(name) or ""))
        for name in ("datetime", "start_datetime", "end_datetime")
    )
    if start is not None and end is not None:
        return AcquisitionTime(start, end, "start_datetime and end_datetime")
    return None if moment is None else AcquisitionTime(moment, moment, "datetime")


def parse_time(text: str) -> datetime | None:
    """Parse a time in the format of RFC 3339, EXIF or NITF. Without a time zone it is UTC.

    Returns:
        The time in UTC, or None if the text is not a time or the time is in the future.
    """
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    *numbers, fraction, zone = match.groups()
    try:
        time = datetime.fromisoformat(
            "{}-{}-{}T{}:{}:{}".format(*numbers) + (fraction or "") + (zone or "Z")
        ).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return time if time < datetime.now(UTC) + timedelta(days=1) else None
