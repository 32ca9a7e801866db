"""Numbers as text: one format for the terminal, the page and the picture."""

import math

import pytest

from rrsis_geo.units import format_area, format_bytes, format_count, format_duration, format_length


@pytest.mark.parametrize(
    ("area_m2", "text"),
    [
        (3.25, "3.2 m²"),
        (1234.4, "1,234 m²"),
        (20_000, "2.00 ha"),
        (250_000, "25.00 ha"),
        (3_210_000, "3.21 km²"),
        (None, "unknown"),
        (math.nan, "unknown"),
    ],
)
def test_areas(area_m2: float | None, text: str) -> None:
    assert format_area(area_m2) == text


@pytest.mark.parametrize(
    ("length_m", "text"),
    [
        (0.3, "30 cm"),
        (0.075, "7.5 cm"),
        (1.0, "1 m"),
        (12.3456, "12.3 m"),
        (999.7, "1,000 m"),
        (5000, "5 km"),
        (1_600_000, "1,600 km"),
        (None, "unknown"),
    ],
)
def test_lengths(length_m: float | None, text: str) -> None:
    assert format_length(length_m) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0.4 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7800, "2 h 10 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [(5, "5.0 B"), (12 * 2**10, "12 KiB"), (1.5 * 2**30, "1.5 GiB"), (3 * 2**40, "3.0 TiB")],
)
def test_bytes(n_bytes: float, text: str) -> None:
    assert format_bytes(n_bytes) == text


@pytest.mark.parametrize(
    ("n", "text"), [(0, "0 windows"), (1, "1 window"), (2, "2 windows"), (12_000, "12,000 windows")]
)
def test_counts(n: int, text: str) -> None:
    assert format_count(n, "window") == text
