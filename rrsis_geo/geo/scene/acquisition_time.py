"""When a scene was taken: what its STAC item or the metadata of its file say."""

import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import rasterio

from rrsis_geo.errors import InputError
from rrsis_geo.geo.scene.stac import may_be_item, read_item

logger = logging.getLogger(__name__)

TAGS: Final = (
    ("IMAGERY", "ACQUISITIONDATETIME"),  # as GDAL calls it, whoever delivers the scene
    (None, "ACQUISITIONDATETIME"),
    (None, "PRODUCT_START_TIME"),  # Sentinel-2
    (None, "NITF_IDATIM"),
    (None, "EXIF_DateTimeOriginal"),
    (None, "TIFFTAG_DATETIME"),  # Planet and Maxar mean the scene by it; others, the file
)
"""Domain and name of metadata that tell a time, the surest first."""

_TIME = re.compile(
    r"(\d{4})[-:/]?(\d\d)[-:/]?(\d\d)[T ]?(\d\d):?(\d\d):?(\d\d)(\.\d+)?\s*(Z|[+-]\d\d:?\d\d)?"
)


class AcquisitionTime(NamedTuple):
    """When a scene was taken.

    Attributes:
        start: in UTC.
        end: equal to it, where it is a moment.
        source: the name of what says so.
    """

    start: datetime
    end: datetime
    source: str


def acquisition_time(path: str, dataset: rasterio.DatasetReader) -> AcquisitionTime | None:
    """When a scene was taken, None where nobody says.

    Args:
        path: of the scene, as the user gave it; may be that of a STAC item.
        dataset: the scene, open.
    """
    if may_be_item(path):
        try:
            return _of_item(read_item(path))
        except InputError as err:  # it was there when the scene was opened
            logger.warning("when the scene was taken is unknown: %s", err)
            return None
    for domain, name in TAGS:
        time = parse_time(dataset.tags(ns=domain).get(name, ""))
        if time is not None:
            return AcquisitionTime(time, time, name)
    return None


def _of_item(item: Mapping[str, Any]) -> AcquisitionTime | None:
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
    """A time as RFC 3339, EXIF or NITF write it, in UTC, which is meant where no zone is told.

    Returns:
        None where the text is no time, or one that has not come yet.
    """
    found = _TIME.fullmatch(text.strip())
    if found is None:
        return None
    *numbers, fraction, zone = found.groups()
    try:
        time = datetime.fromisoformat(
            "{}-{}-{}T{}:{}:{}".format(*numbers) + (fraction or "") + (zone or "Z")
        ).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return time if time < datetime.now(UTC) + timedelta(days=1) else None
