"""Numbers and measures in words: "two hundred metres", "0.5 ha", "2,000 sq ft"."""

import re
from dataclasses import dataclass
from typing import Final, Literal

Dimension = Literal["length", "area"]

ONES: Final = {
    "zero": 0,
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "eleven": 11,
    "twelve": 12,
    "thirteen": 13,
    "fourteen": 14,
    "fifteen": 15,
    "sixteen": 16,
    "seventeen": 17,
    "eighteen": 18,
    "nineteen": 19,
}
TENS: Final = {
    "twenty": 20,
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
    "sixty": 60,
    "seventy": 70,
    "eighty": 80,
    "ninety": 90,
}
SCALES: Final = {"dozen": 12, "hundred": 100, "thousand": 1000, "million": 1_000_000}
ORDINALS: Final = {
    "first": 1,
    "second": 2,
    "third": 3,
    "fourth": 4,
    "fifth": 5,
    "sixth": 6,
    "seventh": 7,
    "eighth": 8,
    "ninth": 9,
    "tenth": 10,
}

_METRES: Final = {
    "m": 1.0,
    "metre": 1.0,
    "meter": 1.0,
    "km": 1000.0,
    "kilometre": 1000.0,
    "kilometer": 1000.0,
    "cm": 0.01,
    "centimetre": 0.01,
    "centimeter": 0.01,
    "ft": 0.3048,
    "foot": 0.3048,
    "feet": 0.3048,
    "yd": 0.9144,
    "yard": 0.9144,
    "mi": 1609.344,
    "mile": 1609.344,
    "nmi": 1852.0,
    "nautical mile": 1852.0,
    "inch": 0.0254,
    "inche": 0.0254,
}
_SQUARE_METRES: Final = {
    "sqm": 1.0,
    "ha": 10_000.0,
    "hectare": 10_000.0,
    "acre": 4046.8564224,
    "sqft": 0.09290304,
    "sqkm": 1_000_000.0,
}
_UNIT_WORDS: Final = (
    *("metre", "meter", "kilometre", "kilometer", "km", "mile", "nautical mile", "hectare", "acre"),
    *("foot", "yard", "square"),
)
_UNIT_NAMES: Final = sorted(_METRES, key=len, reverse=True)
_LENGTH: Final = rf"(?P<length>{'|'.join(_UNIT_NAMES)})s?"
_UNIT: Final = re.compile(
    rf"(?:(?P<square>square|sq\.?)[\s-]*)?(?:{_LENGTH}(?P<power>\s?\^?2|²)?"
    rf"|(?P<area>{'|'.join(_SQUARE_METRES)})s?)(?!\w)"
)
_DIGITS: Final = re.compile(r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/(?P<below>\d+))?(?![\d,]*\d)")
_PARTS: Final = {"half": 0.5, "third": 1 / 3, "quarter": 0.25, "": 1.0}
_ONE_UNIT: Final = re.compile(
    rf"(?:(?:an?\s+)?(?P<part>half|third|quarter)(?:\s+of)?\s+)?(?:an?\s+)?"
    rf"(?=(?:{'|'.join(_UNIT_WORDS)})\b)"
)
_AND_A_HALF: Final = re.compile(r"\s+and\s+a\s+(?P<part>half|quarter)\b")
_WORD: Final = re.compile(r"[a-z]+")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number, with its unit where one follows.

    Attributes:
        value: in metres or square metres where there is a unit.
        dimension: None for a bare number.
        stop: one past its last character.
    """

    value: float
    dimension: Dimension | None
    stop: int


def read_quantity(text: str, start: int) -> Quantity | None:
    """The number that begins at a character of a lower-case text, with the unit after it.

    Returns:
        None where no number begins there.
    """
    number = _read_digits(text, start) or _read_words(text, start)
    if number is None:
        return None
    value, stop = number
    if more := _AND_A_HALF.match(text, stop):
        value, stop = value + _PARTS[more["part"]], more.end()
    unit = read_unit(text, _skip_blanks(text, stop))
    if unit is None:
        return Quantity(value, None, stop)
    factor, dimension, unit_stop = unit
    return Quantity(value * factor, dimension, unit_stop)


def read_unit(text: str, start: int) -> tuple[float, Dimension, int] | None:
    """The unit at a character: its factor to metres or square metres, dimension, and end."""
    match = _UNIT.match(text, start)
    if match is None:
        return None
    if match["area"]:
        return _SQUARE_METRES[match["area"]], "area", match.end()
    metres = _METRES[match["length"]]
    if match["square"] or match["power"]:
        return metres**2, "area", match.end()
    return metres, "length", match.end()


def read_ordinal(word: str) -> int | None:
    """Of "second", "2nd", "3rd"; None of other words."""
    match = re.fullmatch(r"(\d+)(?:st|nd|rd|th)", word)
    return int(match[1]) if match else ORDINALS.get(word)


def _read_digits(text: str, start: int) -> tuple[float, int] | None:
    match = _DIGITS.match(text, start)
    if match is None:
        return None
    above, _, below = match[0].replace(",", "").partition("/")
    return (float(above) / float(below or 1) if float(below or 1) else 0.0), match.end()


def _read_words(text: str, start: int) -> tuple[float, int] | None:
    """A number in words, up to millions: "a hundred", "two hundred and fifty"."""
    total = group = 0
    stop = end = start
    count = 0
    while match := _WORD.match(text, end):
        word = match[0]
        if word in ONES:
            group += ONES[word]
        elif word in TENS:
            group += TENS[word]
        elif word == "hundred":
            group = max(group, 1) * 100
        elif word in SCALES:
            total += max(group, 1) * SCALES[word]
            group = 0
        elif word in ("a", "an") and count == 0 and _is_scale(text, match.end()):
            pass  # "a hundred"
        elif count == 0 and (unit := _ONE_UNIT.match(text, end)) and unit[0]:
            return _PARTS[unit["part"] or ""], unit.end()  # "half a mile"
        elif word == "and" and count and _continues(text, match.end()) and group % 100 == 0:
            end = _skip_blanks(text, match.end())
            continue
        else:
            break
        count += 1
        stop = match.end()
        end = _skip_blanks(text, stop, "-")
    return (float(total + group), stop) if stop > start else None


def _is_scale(text: str, start: int) -> bool:
    match = _WORD.match(text, _skip_blanks(text, start))
    return match is not None and match[0] in SCALES


def _continues(text: str, start: int) -> bool:
    """Whether "and" inside a number goes on with tens or ones, as in "hundred and fifty"."""
    match = _WORD.match(text, _skip_blanks(text, start))
    return match is not None and (match[0] in TENS or match[0] in ONES)


def _skip_blanks(text: str, start: int, also: str = "") -> int:
    while start < len(text) and (text[start].isspace() or text[start] in also):
        start += 1
    return start
