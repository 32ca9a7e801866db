"""Areas, lengths, durations, byte sizes and counts as text.

The terminal, the HTML page and the preview picture all use these functions.
"""

import math


def format_area(area_m2: float | None) -> str:
    """Format an area: ``12.5 m²``, ``1,500 m²``, ``3.42 ha``, ``1.20 km²``.

    None and NaN give ``unknown``.
    """
    if area_m2 is None or math.isnan(area_m2):
        return "unknown"
    if area_m2 < 1e4:
        return f"{area_m2:,.{0 if area_m2 >= 100 else 1}f} m²"
    return f"{area_m2 / 1e4:.2f} ha" if area_m2 < 1e6 else f"{area_m2 / 1e6:,.2f} km²"


def format_length(length_m: float | None) -> str:
    """Format a length or a ground pixel: ``30 cm``, ``1.2 m``, ``5 km``.

    None gives ``unknown``.
    """
    if length_m is None:
        return "unknown"
    if length_m < 1:
        return f"{_three_digits(100 * length_m)} cm"
    if length_m < 1000:
        return f"{_three_digits(length_m)} m"
    return f"{_three_digits(length_m / 1000)} km"


def format_duration(seconds: float) -> str:
    """Format a duration: ``0.4 s``, ``12 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def format_bytes(n_bytes: float) -> str:
    """Format a number of bytes: ``12 KiB``, ``1.5 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.0f} {unit}" if n_bytes >= 10 else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.1f} TiB"


def format_count(n: int, noun: str) -> str:
    """Format a number of things: ``1 object``, ``1,200 objects``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _three_digits(value: float) -> str:
    """Three significant digits, without an exponent for large values."""
    return f"{value:.3g}" if value < 999.5 else f"{value:,.0f}"
