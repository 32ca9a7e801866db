"""Augmentation of samples with fixed expressions. The expression stays true.

Mirroring and rotation change the words of place. A sample is cropped only if no word depends on
what the crop removes. Relighting keeps the colours that the expression names.
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
"""Sets of words for the four sides, in the order of :data:`Side`."""
_STYLE_BY_WORD: Final = {
    word: (style, style.index(word)) for style in _STYLES[::-1] for word in style
}
_BESIDE: Final = ("to the left of", "above", "to the right of", "below")
_PICTURE: Final = r"(?:\w+\s+)?(?:image|picture|photo|scene|frame|map|view|window)\b"
_PLACE: Final = re.compile(
    rf"\b(?:(?:(?:to|on|at)\s+the\s+)?(?P<beside>left|right)(?:\s+side)?\s+of(?!\s+{_PICTURE})"
    r"|(?P<above>above|below)"
    r"|(?P<vertical>top|upper|bottom|lower)(?P<gap>[ -])(?P<horizontal>left|right)"
    r"|(?P<north>north|south)(?P<dash>-?)(?P<east>east|west)(?P<ending>(?:ern(?:most)?)?)"
    rf"|(?P<word>{'|'.join(sorted(map(re.escape, _STYLE_BY_WORD), key=len, reverse=True))}))\b",
    re.IGNORECASE,
)
_NOT_ROTATABLE: Final = re.compile(
    r"\b(?:on (?:the )?top of|atop|(?:left|right)-hand|up|down|horizontal\w*|vertical\w*)\b",
    re.IGNORECASE,
)
"""Words that a quarter turn would make false or odd."""

_SURROUNDINGS: Final = re.compile(
    r"\b(?:middle|cent(?:er|re|ral)\w*|corner\w*|edges?|borders?|sides?|half|quarter|foreground"
    r"|background|between|among|near\w*|next|beside|besides|adjacent|close\w*|far\w*|surround\w*"
    r"|around|behind|front|along\w*|across|opposite|facing|beyond|inside|outside|within|under\w*"
    r"|over|first|second|third|fourth|fifth|sixth|last)\b",
    re.IGNORECASE,
)
"""Words about the surroundings of the target or its place in the image."""
_COMPARISON: Final = re.compile(
    r"\b(?:\w{2,}est|most|least|only|single|lone\w*|big\w*|large\w*|huge|small\w*|tiny|little"
    r"|long\w*|short\w*|tall\w*|high\w*|wide\w*|broad\w*|narrow\w*|medium|size\w*|round|circular"
    r"|square|rectangular|shape\w*|\d+|one|two|three|four|five|six|seven|eight|nine|ten|pair|couple"
    r"|several|many|few|group|row|line|cluster)\b",
    re.IGNORECASE,
)
"""Words of size, shape and number, which are true of whole targets only."""
_COLOUR_BY_WORD: Final = {word: colour for colour, words in COLOUR_WORDS.items() for word in words}
_COLOUR: Final = re.compile(rf"\b(?:{'|'.join(map(re.escape, _COLOUR_BY_WORD))})\b", re.IGNORECASE)
_CROP_TRIES: Final = 8
_SMALLEST_CROP: Final = 0.6
"""Least height and width of a crop, as a fraction of the image."""
_SAME_COLOUR: Final = 0.8
"""Least IoU of the pixels of a colour before and after relighting."""

_SQUARE_PX: Final = 32
_SQUARES: Final = (20, 60)
"""Least and greatest number of black squares."""


def augment_sample(sample: Sample, rng: np.random.Generator) -> Sample:
    """Crop, mirror, rotate and relight a sample at random, as far as its expression allows.

    Image and mask must have the same size. The result can be smaller, down to 0.6 of it.
    """
    sample = crop_sample(sample, rng)
    mirror, turns = bool(rng.random() < 0.5), int(rng.integers(4))
    sample = flip_rotate_sample(sample, mirror, turns if can_rotate(sample.expression) else 0)
    return relight_sample(sample, rng)


def blacken_squares(sample: Sample, rng: np.random.Generator) -> Sample:
    """Draw 20 to 60 black squares of 32 px at random places of the image; the mask stays.

    Source: the training code of RMSIN (arXiv 2312.12470), which FIANet uses too.
    """
    image = sample.image.copy()
    height, width = (max(1, side - _SQUARE_PX + 1) for side in image.shape[:2])
    count = int(rng.integers(*_SQUARES, endpoint=True))
    corners = zip(rng.integers(height, size=count), rng.integers(width, size=count), strict=True)
    for row, col in corners:
        image[row : row + _SQUARE_PX, col : col + _SQUARE_PX] = 0
    return replace(sample, image=image)


def crop_sample(sample: Sample, rng: np.random.Generator) -> Sample:
    """Crop a sample at random, with its aspect ratio and its target.

    The sample is returned unchanged if its expression names places, neighbours or other objects,
    which the crop could remove. The crop contains the whole target if the expression names a size,
    a shape or a number, and at least half of it otherwise.
    """
    if not can_crop(sample.expression):
        return sample
    height, width = sample.mask.shape
    share = rng.uniform(_SMALLEST_CROP, 1)
    tall, wide = max(1, round(share * height)), max(1, round(share * width))
    n_pixels = int(np.count_nonzero(sample.mask))
    needed = n_pixels if _COMPARISON.search(sample.expression) else (n_pixels + 1) // 2
    for _ in range(_CROP_TRIES):
        row, col = int(rng.integers(height - tall + 1)), int(rng.integers(width - wide + 1))
        piece = np.s_[row : row + tall, col : col + wide]
        if np.count_nonzero(sample.mask[piece]) >= needed:
            return _crop(sample, piece)
    return sample


def _crop(sample: Sample, piece: tuple[slice, slice]) -> Sample:
    image = np.ascontiguousarray(sample.image[piece])
    return sample.with_image(image, lambda mask: np.ascontiguousarray(mask[piece]))


def can_crop(expression: str) -> bool:
    """Whether an expression describes only its target: "red car", not "the car on the left"."""
    return not (
        _PLACE.search(expression)
        or _NOT_ROTATABLE.search(expression)
        or _SURROUNDINGS.search(expression)
        or position_spans(expression)
        or len(categories_in(expression)) > 1
    )


def relight_sample(sample: Sample, rng: np.random.Generator) -> Sample:
    """Change brightness, contrast and saturation, unless a colour in the expression would change.

    The pixels of that colour are compared over the whole image, because the expression can use the
    colour to distinguish the target from other objects.
    """
    image = np.asarray(jitter_light(Image.fromarray(sample.image), rng))
    colours = {_COLOUR_BY_WORD[word.lower()] for word in _COLOUR.findall(sample.expression)}
    for colour in colours:
        before, after = (_has_colour(picture, colour) for picture in (sample.image, image))
        both, either = np.count_nonzero(before & after), np.count_nonzero(before | after)
        if both < _SAME_COLOUR * either:
            return sample
    return replace(sample, image=image)


def _has_colour(image: NDArray[np.uint8], colour: str) -> NDArray[np.bool_]:
    """Which pixels of a regular sample, 128 to 255 per side, have a colour, bool [n]."""
    rows, cols = (max(1, side // 128) for side in image.shape[:2])
    names = name_pixels(image[::rows, ::cols].reshape(-1, 3), measure_brightness(image))
    has_colour: NDArray[np.bool_] = names == COLOURS.index(colour)
    return has_colour


def flip_rotate_sample(sample: Sample, mirror: bool, turns: int) -> Sample:
    """Mirror a sample left to right, then rotate it counter-clockwise by quarter turns.

    Raises:
        ValueError: :func:`can_rotate` is False for the expression, and ``turns`` is not 0.
    """
    expression = flip_rotate_words(sample.expression, mirror, turns)
    image = flip_rotate(sample.image, mirror, turns)
    turned = sample.with_image(image, lambda mask: flip_rotate(mask, mirror, turns))
    return replace(turned, expression=expression)


def can_rotate(expression: str) -> bool:
    """Whether the expression can follow a quarter turn: "on top of the hall" cannot."""
    return _NOT_ROTATABLE.search(expression) is None


def flip_rotate_words(expression: str, mirror: bool, turns: int) -> str:
    """Change the words of place for a mirrored and rotated image.

    The words are sides, corners, compass directions, "above", "below" and "left of".

    Raises:
        ValueError: :func:`can_rotate` is False for the expression, and ``turns`` is not 0.
    """
    if turns % 4 and not can_rotate(expression):
        raise ValueError(f"cannot rotate the expression: {expression!r}")
    text = _PLACE.sub(lambda match: _flip_rotate_match(match, mirror, turns), expression)
    if turns % 2:
        text = re.sub(r"\bat the (left|right)\b", r"on the \1", text)
        text = re.sub(r"\bon the (top|bottom)\b", r"at the \1", text)
    return text


def _flip_rotate_side(side: Side, mirror: bool, turns: int) -> Side:
    if mirror and side in (0, 2):
        side = 2 - side
    return (side - turns) % 4


def _flip_rotate_match(match: re.Match[str], mirror: bool, turns: int) -> str:
    part = {name: (text or "").lower() for name, text in match.groupdict().items()}

    def rotate_word(word: str) -> Side:
        return _flip_rotate_side(_STYLE_BY_WORD[word][1], mirror, turns)

    if part["beside"] or part["above"]:
        word = part["beside"] or {"above": "top", "below": "bottom"}[part["above"]]
        side = rotate_word(word)
        if part["beside"] and not _is_vertical(side):
            return re.sub("left|right", _STYLES[0][side], match.group(), flags=re.IGNORECASE)
        return _BESIDE[side]
    if part["vertical"]:
        style = _STYLE_BY_WORD[part["vertical"]][0]
        across, upright = sorted(
            (rotate_word(part["vertical"]), rotate_word(part["horizontal"])), key=_is_vertical
        )
        return style[upright] + part["gap"] + style[across]
    if part["north"]:
        compass = _STYLE_BY_WORD["north"][0]
        across, upright = sorted(
            (rotate_word(part["north"]), rotate_word(part["east"])), key=_is_vertical
        )
        return compass[upright] + part["dash"] + compass[across] + part["ending"]
    style = _STYLE_BY_WORD[part["word"]][0]
    return style[rotate_word(part["word"])]


def _is_vertical(side: Side) -> bool:
    return side % 2 == 1
