"""Numbers and units in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrsis_geo.text.query.quantities import Quantity, read_ordinal, read_quantity

UNITS = {
    "m": (1.0, "length"),
    "metres": (1.0, "length"),
    "km": (1000.0, "length"),
    "feet": (0.3048, "length"),
    "miles": (1609.344, "length"),
    "m2": (1.0, "area"),
    "square metres": (1.0, "area"),
    "sq ft": (0.3048**2, "area"),
    "ha": (10_000.0, "area"),
    "km²": (1e6, "area"),
}


@given(
    st.integers(0, 10**7),
    st.sampled_from(sorted(UNITS)),
    st.sampled_from(["", " "]),
    st.booleans(),
)
def test_a_number_with_a_unit_reads_back(number: int, unit: str, gap: str, commas: bool) -> None:
    text = f"{number:,}" if commas else str(number)
    factor, dimension = UNITS[unit]
    found = read_quantity(f"within {text}{gap}{unit} of", 7)
    assert found is not None
    assert found.value == pytest.approx(number * factor)
    assert found.dimension == dimension
    assert found.stop == 7 + len(text + gap + unit)


@pytest.mark.parametrize(
    ("text", "value", "dimension"),
    [
        ("two hundred metres", 200, "length"),
        ("two hundred and fifty m", 250, "length"),
        ("a hundred feet", 30.48, "length"),
        ("half a mile", 804.672, "length"),
        ("twenty-five", 25, None),
        ("three thousand", 3000, None),
        ("0.5 ha", 5000, "area"),
        ("1.5 acres", 6070.28, "area"),
    ],
)
def test_numbers_in_words(text: str, value: float, dimension: str | None) -> None:
    found = read_quantity(text, 0)
    assert found is not None
    assert (found.value, found.dimension) == (pytest.approx(value), dimension)
    assert found.stop == len(text)


@pytest.mark.parametrize("text", ["cars", "a car", "m", ""])
def test_no_number(text: str) -> None:
    assert read_quantity(text, 0) is None


def test_a_word_after_a_number_is_no_unit() -> None:
    assert read_quantity("3 motorways", 0) == Quantity(3, None, 1)


def test_ordinals() -> None:
    assert [read_ordinal(word) for word in ("second", "3rd", "21st", "car")] == [2, 3, 21, None]
