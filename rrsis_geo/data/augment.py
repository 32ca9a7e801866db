"""Mirrors and quarter turns of a sample whose expression is given: its words are turned along."""

import re
from dataclasses import replace
from typing import Final

import numpy as np

from rrsis_geo.data.crops import turn_array
from rrsis_geo.data.sample import Sample

Side = int
"""0 left, 1 top, 2 right, 3 bottom."""

_STYLES: Final = (
    ("left", "top", "right", "bottom"),
    ("left", "upper", "right", "lower"),
    ("leftmost", "topmost", "rightmost", "bottommost"),
    ("leftmost", "uppermost", "rightmost", "lowermost"),
    ("left-most", "top-most", "right-most", "bottom-most"),
    ("west", "north", "east", "south"),
    ("western", "northern", "eastern", "southern"),
    ("westernmost", "northernmost", "easternmost", "southernmost"),
    ("leftward", "upward", "rightward", "downward"),
)
"""Manners of naming the sides, in their order."""
_STYLE_OF: Final = {word: (style, style.index(word)) for style in _STYLES[::-1] for word in style}
_BESIDE: Final = ("to the left of", "above", "to the right of", "below")
_PICTURE: Final = r"(?:\w+\s+)?(?:image|picture|photo|scene|frame|map|view|window)\b"
_PLACE: Final = re.compile(
    rf"\b(?:(?:(?:to|on|at)\s+the\s+)?(?P<beside>left|right)(?:\s+side)?\s+of(?!\s+{_PICTURE})"
    r"|(?P<above>above|below)"
    r"|(?P<vertical>top|upper|bottom|lower)(?P<gap>[ -])(?P<horizontal>left|right)"
    r"|(?P<north>north|south)(?P<dash>-?)(?P<east>east|west)(?P<ending>(?:ern(?:most)?)?)"
    rf"|(?P<word>{'|'.join(sorted(map(re.escape, _STYLE_OF), key=len, reverse=True))}))\b",
    re.IGNORECASE,
)
_ONLY_UPRIGHT: Final = re.compile(
    r"\b(?:on (?:the )?top of|atop|(?:left|right)-hand|up|down|horizontal\w*|vertical\w*)\b",
    re.IGNORECASE,
)
"""What a quarter turn would falsify, or make odd English of."""


def augment_sample(sample: Sample, rng: np.random.Generator) -> Sample:
    """A random mirror and, where the words allow it, a random quarter turn of a sample."""
    mirror, turns = bool(rng.random() < 0.5), int(rng.integers(4))
    return turn_sample(sample, mirror, turns if can_turn(sample.expression) else 0)


def turn_sample(sample: Sample, mirror: bool, turns: int) -> Sample:
    """A sample mirrored left to right, then turned counter-clockwise by quarters, words and all.

    Raises:
        ValueError: it is to be turned, but its words cannot be.
    """
    return replace(
        sample,
        image=turn_array(sample.image, mirror, turns),
        mask=turn_array(sample.mask, mirror, turns),
        expression=turn_words(sample.expression, mirror, turns),
    )


def can_turn(expression: str) -> bool:
    """Whether the expression can be turned by quarters: "on top of the hall" cannot."""
    return _ONLY_UPRIGHT.search(expression) is None


def turn_words(expression: str, mirror: bool, turns: int) -> str:
    """The expression that is true of the mirrored, then turned image.

    Sides, corners, compass directions, and "above", "below", "left of" are changed.

    Raises:
        ValueError: it is to be turned, but :func:`can_turn` says no.
    """
    if turns % 4 and not can_turn(expression):
        raise ValueError(f"cannot be turned by a quarter: {expression!r}")
    text = _PLACE.sub(lambda match: _turn_match(match, mirror, turns), expression)
    if turns % 2:
        text = re.sub(r"\bat the (left|right)\b", r"on the \1", text)
        text = re.sub(r"\bon the (top|bottom)\b", r"at the \1", text)
    return text


def _turn_side(side: Side, mirror: bool, turns: int) -> Side:
    if mirror and side in (0, 2):
        side = 2 - side
    return (side - turns) % 4


def _turn_match(match: re.Match[str], mirror: bool, turns: int) -> str:
    part = {name: (text or "").lower() for name, text in match.groupdict().items()}

    def turned(word: str) -> Side:
        return _turn_side(_STYLE_OF[word][1], mirror, turns)

    if part["beside"] or part["above"]:
        word = part["beside"] or {"above": "top", "below": "bottom"}[part["above"]]
        side = turned(word)
        if part["beside"] and not _odd(side):
            return re.sub("left|right", _STYLES[0][side], match.group(), flags=re.IGNORECASE)
        return _BESIDE[side]
    if part["vertical"]:
        style = _STYLE_OF[part["vertical"]][0]
        across, upright = sorted((turned(part["vertical"]), turned(part["horizontal"])), key=_odd)
        return style[upright] + part["gap"] + style[across]
    if part["north"]:
        compass = _STYLE_OF["north"][0]
        across, upright = sorted((turned(part["north"]), turned(part["east"])), key=_odd)
        return compass[upright] + part["dash"] + compass[across] + part["ending"]
    style = _STYLE_OF[part["word"]][0]
    return style[turned(part["word"])]


def _odd(side: Side) -> bool:
    return side % 2 == 1
