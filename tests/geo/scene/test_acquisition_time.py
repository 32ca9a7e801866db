import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import rasterio

from rrsis_geo.geo.scene.acquisition_time import AcquisitionTime, acquisition_time, parse_time

MAY = datetime(2020, 5, 6, 7, 8, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2020-05-06T07:08:09Z",
        "2020-05-06T09:08:09.000+02:00",
        "2020-05-06 07:08:09",
        "2020:05:06 07:08:09",
        "20200506070809",
        " 2020-05-06T07:08:09.000000Z",
    ],
)
def test_parse_time(text: str) -> None:
    assert parse_time(text) == MAY


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2020-05-06", "0000:00:00 00:00:00", "2020:13:01 00:00:00", "2999:"]
)
def test_parse_time_of_other_text(text: str) -> None:
    assert parse_time(text) is None


def test_parse_time_in_the_future() -> None:
    assert parse_time("2999-01-01T00:00:00Z") is None


def read_time(path: Path) -> AcquisitionTime | None:
    with rasterio.open(path) as dataset:
        return acquisition_time(str(path), dataset)


def test_most_reliable_tag_is_used(make_scene: Callable[..., Path]) -> None:
    path = make_scene(20, 20)
    assert read_time(path) is None
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(TIFFTAG_DATETIME="2021:01:01 00:00:00")
    assert read_time(path) == AcquisitionTime(
        *[datetime(2021, 1, 1, tzinfo=UTC)] * 2, source="TIFFTAG_DATETIME"
    )
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(ns="IMAGERY", ACQUISITIONDATETIME="2020-05-06 07:08:09")
    assert read_time(path) == AcquisitionTime(MAY, MAY, "ACQUISITIONDATETIME")


def test_invalid_tag_is_skipped(make_scene: Callable[..., Path]) -> None:
    path = make_scene(20, 20)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(ACQUISITIONDATETIME="soon", TIFFTAG_DATETIME="2020:05:06 07:08:09")
    time = read_time(path)
    assert time is not None
    assert time.source == "TIFFTAG_DATETIME"


def write_item(path: Path, **properties: Any) -> Path:
    path.write_text(json.dumps({"properties": properties, "assets": {}}))
    return path


def test_time_of_a_stac_item(tmp_path: Path, make_scene: Callable[..., Path]) -> None:
    moment = write_item(tmp_path / "a.json", datetime="2020-05-06T07:08:09Z")
    span = write_item(
        tmp_path / "b.json",
        datetime=None,
        start_datetime="2020-05-06T07:08:09Z",
        end_datetime="2020-05-06T08:08:09Z",
    )
    none = write_item(tmp_path / "c.json")
    with rasterio.open(make_scene(20, 20)) as dataset:
        assert acquisition_time(str(moment), dataset) == AcquisitionTime(MAY, MAY, "datetime")
        time = acquisition_time(str(span), dataset)
        assert time is not None
        assert (time.start, time.end) == (MAY, MAY.replace(hour=8))
        assert acquisition_time(str(none), dataset) is None


def test_missing_item_is_a_warning(
    tmp_path: Path, make_scene: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    with rasterio.open(make_scene(20, 20)) as dataset:
        assert acquisition_time(str(tmp_path / "gone.json"), dataset) is None
    assert "the acquisition time is unknown" in caplog.text
