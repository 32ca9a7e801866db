"""Places in an image (zones, edges and extremes) and the phrases for them."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from rrsis_geo.data.expressions.candidates import FAILS, FITS, UNCLEAR, Candidates, Verdicts

Box = tuple[float, float, float, float]
"""(top, left, bottom, right) as fractions of the image's height and width."""


@dataclass(frozen=True, slots=True)
class Place:
    """A zone of the image.

    An object fits if its centroid lies in ``inner`` and most of its pixels in ``wide``. It fails if
    its centroid lies outside ``outer``, almost none of its pixels lie in ``wide``, and it covers
    almost none of ``wide``. Otherwise it is unclear.

    Attributes:
        before: phrases that precede the noun ("left").
        after: phrases that follow it ("on the left side").
        inner: zone that contains the centroids of objects that fit.
        wide: the zone itself.
        outer: zone that contains no centroid of an object that fails.
    """

    before: tuple[str, ...]
    after: tuple[str, ...]
    inner: Box
    wide: Box
    outer: Box


@dataclass(frozen=True, slots=True)
class Extreme:
    """The place of the object that is farthest to one side, such as the leftmost.

    Attributes:
        before: phrases that precede the noun.
        after: phrases that follow it.
        axis: 0 for rows, 1 for columns.
        sign: 1 for the greatest coordinate, -1 for the least.
    """

    before: tuple[str, ...]
    after: tuple[str, ...]
    axis: int
    sign: int


@dataclass(frozen=True, slots=True)
class Edge:
    """The strip along one edge of the image. Attributes as in :class:`Extreme`."""

    after: tuple[str, ...]
    axis: int
    sign: int


Side = Literal["left", "right", "top", "bottom"]
_WORDS: Final[dict[Side, tuple[str, ...]]] = {
    "left": ("left",),
    "right": ("right",),
    "top": ("top", "upper"),
    "bottom": ("bottom", "lower"),
}
_COMPASS: Final[dict[Side, str]] = {
    "left": "west",
    "right": "east",
    "top": "north",
    "bottom": "south",
}
_AXIS: Final[dict[Side, tuple[int, int]]] = {
    "left": (1, -1),
    "right": (1, 1),
    "top": (0, -1),
    "bottom": (0, 1),
}
_MOST: Final[dict[Side, tuple[str, ...]]] = {
    "left": ("leftmost", "left-most", "westernmost", "furthest left"),
    "right": ("rightmost", "right-most", "easternmost", "furthest right"),
    "top": ("topmost", "uppermost", "northernmost"),
    "bottom": ("bottommost", "lowermost", "southernmost"),
}
_OF: Final = ("", "", " of the image", " of the picture", " of the scene")


def _half(side: Side) -> Place:
    after = [f"in the {_COMPASS[side]}", f"in the {_COMPASS[side]}ern part"]
    for word in _WORDS[side]:
        for of in _OF:
            after += [f"in the {word} half{of}", f"in the {word} part{of}"]
            if side in ("left", "right"):
                after += [f"on the {word} side{of}", f"on the {word}{of}"]
    if side in ("left", "right"):
        after += [f"to the {side}", f"on the {side}", f"on the {side}-hand side"]
    else:
        after += [f"at the {side}", f"at the {side}", f"at the {side} of the image"]
        after += [f"in the {side} area", f"toward the {side}"]
    before = (*_WORDS[side], _COMPASS[side] + "ern")
    return Place(before, tuple(after), *_boxes(side, None, (0.44, 0.5, 0.56)))


def _corner(vertical: Side, horizontal: Side) -> Place:
    after, before = [], []
    for word in _WORDS[vertical]:
        name = f"{word} {horizontal}"
        before += [name, name.replace(" ", "-")]
        after += [f"in the {name}", f"at the {name}", f"in the {name.replace(' ', '-')} corner"]
        for of in _OF:
            after += [f"in the {name} corner{of}", f"in the {name} part{of}"]
    compass = _COMPASS[vertical] + _COMPASS[horizontal]
    after += [f"in the {compass}", f"in the {compass} corner"]
    before.append(compass + "ern")
    return Place(tuple(before), tuple(after), *_boxes(vertical, horizontal, (0.36, 0.45, 0.52)))


def _boxes(
    vertical: Side, horizontal: Side | None, reaches: tuple[float, float, float]
) -> tuple[Box, Box, Box]:
    """The inner, wide and outer zone that extend from a side or a corner by three reaches."""
    boxes = []
    for reach in reaches:
        box = [0.0, 0.0, 1.0, 1.0]
        for side in (vertical, horizontal):
            if side is not None:
                axis, sign = _AXIS[side]
                box[axis if sign > 0 else axis + 2] = 1 - reach if sign > 0 else reach
        boxes.append((box[0], box[1], box[2], box[3]))
    return boxes[0], boxes[1], boxes[2]


def _side_middle(side: Side) -> Place:
    words = _WORDS[side]
    after = [f"in the middle of the {words[0]} side", f"at the {words[0]} center"]
    after += [f"in the {word} middle" for word in words]
    after += [f"in the {word} center{of}" for word in words for of in _OF]
    if side in ("left", "right"):
        after += [f"in the middle {side}", f"in the center {side} part of the image"]
    boxes = []
    for reach, span in ((0.32, 0.16), (0.42, 0.22), (0.5, 0.27)):
        axis, sign = _AXIS[side]
        box = [0.5 - span, 0.5 - span, 0.5 + span, 0.5 + span]
        box[axis] = 1 - reach if sign > 0 else 0.0
        box[axis + 2] = 1.0 if sign > 0 else reach
        boxes.append((box[0], box[1], box[2], box[3]))
    before = tuple(f"{word} {middle}" for word in words for middle in ("center", "middle"))
    return Place(before, tuple(after), *boxes)


def _middle() -> Place:
    after = [f"in the {word}{of}" for word in ("center", "middle", "centre") for of in _OF]
    after += ["at the center", "in the central part", "in the central area of the image"]
    boxes = [(0.5 - s, 0.5 - s, 0.5 + s, 0.5 + s) for s in (0.14, 0.2, 0.25)]
    return Place(("central", "center", "middle"), tuple(after), *boxes)


def _edge(side: Side) -> Edge:
    words = (*_WORDS[side], _COMPASS[side] + "ern")
    after = [
        f"{near} the {word} {edge}{of}"
        for near in ("near", "at", "close to", "along", "next to", "by")
        for word in words
        for edge in ("edge", "edge", "border", "margin")
        for of in _OF
    ]
    return Edge(tuple(after), *_AXIS[side])


def _extreme(side: Side) -> Extreme:
    after = (f"farthest to the {side}", f"furthest to the {_COMPASS[side]}", f"at the far {side}")
    return Extreme(_MOST[side], after, *_AXIS[side])


_SIDES: Final[tuple[Side, ...]] = ("left", "right", "top", "bottom")
HALVES: Final = tuple(_half(side) for side in _SIDES)
CORNERS: Final = tuple(
    _corner(vertical, horizontal)
    for vertical in ("top", "bottom")
    for horizontal in ("left", "right")
)
MIDDLES: Final = (_middle(), *(_side_middle(side) for side in _SIDES))
EDGES: Final = tuple(_edge(side) for side in _SIDES)
EXTREMES: Final = tuple(_extreme(side) for side in _SIDES)


def judge_place(place: Place, candidates: Candidates) -> Verdicts:
    """Which candidates lie in a zone, int8 [n]."""
    verdicts = np.full(len(candidates), UNCLEAR, np.int8)
    inner = _contains(place.inner, candidates)
    outer = _contains(place.outer, candidates)
    top, left, bottom, right = place.wide
    room = (bottom - top) * (right - left) * candidates.shape[0] * candidates.shape[1]
    for index in range(len(candidates)):
        share = candidates.share_inside(index, place.wide)
        if inner[index] and share >= 0.8:
            verdicts[index] = FITS
        elif not outer[index] and share <= 0.15 and share * candidates.areas[index] <= 0.03 * room:
            verdicts[index] = FAILS
    return verdicts


def judge_edge(edge: Edge, candidates: Candidates) -> Verdicts:
    """Which candidates lie along an edge, int8 [n]."""
    boxes, centroids = candidates.boxes, candidates.centroids[:, edge.axis]
    gap = 1 - boxes[:, edge.axis + 2] if edge.sign > 0 else boxes[:, edge.axis]
    depth = 1 - centroids if edge.sign > 0 else centroids
    verdicts = np.full(len(candidates), UNCLEAR, np.int8)
    verdicts[(gap <= 0.06) & (depth <= 0.17)] = FITS
    verdicts[gap >= 0.14] = FAILS
    return verdicts


def _contains(box: Box, candidates: Candidates) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    centroids = candidates.centroids
    rows = (centroids[:, 0] >= box[0]) & (centroids[:, 0] <= box[2])
    cols = (centroids[:, 1] >= box[1]) & (centroids[:, 1] <= box[3])
    inside: np.ndarray[tuple[int], np.dtype[np.bool_]] = rows & cols
    return inside
