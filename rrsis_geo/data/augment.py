"""Changes of a sample whose expression is given, after which the expression is still true.

A mirror or a quarter turn turns the words along; a crop is made only where no word depends on what
would be cut off; another light must leave the colours that are named what they were.
"""

import re
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rrsis_geo.data.expressions.colours import (
    COLOUR_WORDS,
    COLOURS,
    measure_brightness,
    name_pixels,
)
from rrsis_geo.data.instances.crops import flip_rotate, jitter_light
from rrsis_geo.data.sample import Sample
from rrsis_geo.text.phrases import categories_in, position_spans

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


_AROUND: Final = re.compile(
    r"\b(?:middle|cent(?:er|re|ral)\w*|corner\w*|edges?|borders?|sides?|half|quarter|foreground"
    r"|background|between|among|near\w*|next|beside|besides|adjacent|close\w*|far\w*|surround\w*"
    r"|around|behind|front|along\w*|across|opposite|facing|beyond|inside|outside|within|under\w*"
    r"|over|first|second|third|fourth|fifth|sixth|last)\b",
    re.IGNORECASE,
)
"""Words about what lies around the target, or where in the picture it is."""
_COMPARES: Final = re.compile(
    r"\b(?:\w{2,}est|most|least|only|single|lone\w*|big\w*|large\w*|huge|small\w*|tiny|little"
    r"|long\w*|short\w*|tall\w*|high\w*|wide\w*|broad\w*|narrow\w*|medium|size\w*|round|circular"
    r"|square|rectangular|shape\w*|\d+|one|two|three|four|five|six|seven|eight|nine|ten|pair|couple"
    r"|several|many|few|group|row|line|cluster)\b",
    re.IGNORECASE,
)
"""Words of size, shape and number: true of whole targets only."""
_COLOUR_OF: Final = {word: colour for colour, words in COLOUR_WORDS.items() for word in words}
_COLOUR: Final = re.compile(rf"\b(?:{'|'.join(map(re.escape, _COLOUR_OF))})\b", re.IGNORECASE)
_CROP_TRIES: Final = 8
_SMALLEST_CROP: Final = 0.6
"""Of the image's height and width."""
_SAME_COLOUR: Final = 0.8
"""Overlap (IoU) of the pixels of a named colour, before and after, that leaves it its name."""


def augment_sample(sample: Sample, rng: np.random.Generator) -> Sample:
    """A random crop, mirror, quarter turn and light, each where the words allow it.

    The sample's image and mask must be of one size; the result may be smaller, down to 0.6 of it.
    """
    sample = crop_sample(sample, rng)
    mirror, turns = bool(rng.random() < 0.5), int(rng.integers(4))
    sample = flip_rotate_sample(sample, mirror, turns if can_rotate(sample.expression) else 0)
    return relight_sample(sample, rng)


def crop_sample(sample: Sample, rng: np.random.Generator) -> Sample:
    """A random piece of a sample, of its shape, with the target's pixels in it.

    The sample itself comes back where its expression speaks of places, neighbours or other things
    than the target, for these may be cut off. A target told by size, shape or number stays whole;
    of others at least half stays, so that none is declared absent while its like is in view.
    """
    if not can_crop(sample.expression):
        return sample
    height, width = sample.mask.shape
    share = rng.uniform(_SMALLEST_CROP, 1)
    tall, wide = max(1, round(share * height)), max(1, round(share * width))
    n_pixels = int(np.count_nonzero(sample.mask))
    needed = n_pixels if _COMPARES.search(sample.expression) else (n_pixels + 1) // 2
    for _ in range(_CROP_TRIES):
        row, col = int(rng.integers(height - tall + 1)), int(rng.integers(width - wide + 1))
        piece = np.s_[row : row + tall, col : col + wide]
        if np.count_nonzero(sample.mask[piece]) >= needed:
            return replace(
                sample,
                image=np.ascontiguousarray(sample.image[piece]),
                mask=np.ascontiguousarray(sample.mask[piece]),
            )
    return sample


def can_crop(expression: str) -> bool:
    """Whether an expression speaks of its target alone: "red car", not "the car on the left"."""
    return not (
        _PLACE.search(expression)
        or _ONLY_UPRIGHT.search(expression)
        or _AROUND.search(expression)
        or position_spans(expression)
        or len(categories_in(expression)) > 1
    )


def relight_sample(sample: Sample, rng: np.random.Generator) -> Sample:
    """Another light, contrast and saturation, unless a colour that is named would change its name.

    That is so where pixels of the whole image lose or gain that colour: the expression may tell the
    target from others by it.
    """
    image = np.asarray(jitter_light(Image.fromarray(sample.image), rng))
    named = {_COLOUR_OF[word.lower()] for word in _COLOUR.findall(sample.expression)}
    for colour in named:
        before, after = (_has_colour(picture, colour) for picture in (sample.image, image))
        both, either = np.count_nonzero(before & after), np.count_nonzero(before | after)
        if both < _SAME_COLOUR * either:
            return sample
    return replace(sample, image=image)


def _has_colour(image: NDArray[np.uint8], colour: str) -> NDArray[np.bool_]:
    """Which pixels of a regular sample, 128 to 255 a side, have a colour, bool [n]."""
    rows, cols = (max(1, side // 128) for side in image.shape[:2])
    names = name_pixels(image[::rows, ::cols].reshape(-1, 3), measure_brightness(image))
    found: NDArray[np.bool_] = names == COLOURS.index(colour)
    return found


def flip_rotate_sample(sample: Sample, mirror: bool, turns: int) -> Sample:
    """A sample mirrored left to right, then turned counter-clockwise by quarters, words and all.

    Raises:
        ValueError: it is to be turned, but its words cannot be.
    """
    return replace(
        sample,
        image=flip_rotate(sample.image, mirror, turns),
        mask=flip_rotate(sample.mask, mirror, turns),
        expression=flip_rotate_words(sample.expression, mirror, turns),
    )


def can_rotate(expression: str) -> bool:
    """Whether the expression can be turned by quarters: "on top of the hall" cannot."""
    return _ONLY_UPRIGHT.search(expression) is None


def flip_rotate_words(expression: str, mirror: bool, turns: int) -> str:
    """The expression that is true of the mirrored, then turned image.

    Sides, corners, compass directions, and "above", "below", "left of" are changed.

    Raises:
        ValueError: it is to be turned, but :func:`can_rotate` says no.
    """
    if turns % 4 and not can_rotate(expression):
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
