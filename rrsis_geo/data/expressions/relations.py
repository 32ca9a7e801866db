"""Clauses about relations between objects: on, next to, to the left of, between."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.data.expressions.candidates import (
    FAILS,
    FITS,
    UNCLEAR,
    Candidates,
    Verdicts,
    referable_categories,
)
from rrsis_geo.data.expressions.clauses import Clause
from rrsis_geo.data.expressions.traits import GROUND
from rrsis_geo.data.expressions.wording import pick_word
from rrsis_geo.data.sample import Instance, LabelledImage
from rrsis_geo.text.vocabulary import kinds_of, noun_of

_SURFACES: Final = GROUND | {"bridge", "crossing", "crosswalk", "roundabout", "pier"}
"""Categories that other objects can be on."""
_NOT_NEAR: Final = frozenset(
    {"vegetation", "grass", "low vegetation", "impervious surface", "tree"}
)
"""Categories that nearly every object is next to."""
_MAX_CANDIDATES: Final = 40
_MAX_ANCHORS: Final = 8


def relation_clauses(
    labelled_image: LabelledImage, candidates: Candidates, rng: np.random.Generator
) -> Iterator[Clause]:
    """Clauses about other categories in the image that are fully labelled.

    What an object is on comes from the attribute "on" if every candidate has it, and otherwise from
    the masks.
    """
    if candidates.category in GROUND or not 0 < len(candidates) <= _MAX_CANDIDATES:
        return
    yield from on_clauses(candidates, rng)
    has_surfaces = all("on" in item.attributes for item in candidates.items)
    for name in referable_categories(labelled_image):
        if name not in labelled_image.complete or kinds_of(name) & kinds_of(candidates.category):
            continue
        anchors = Candidates(labelled_image, name)
        if name in _SURFACES and not has_surfaces:
            yield Clause("contact", (), _on_phrases(name, rng), _judge_on(candidates, anchors))
        if len(anchors) > _MAX_ANCHORS or name in _NOT_NEAR:
            continue
        gaps = _gaps(candidates, anchors)
        near = _judge_near(candidates, anchors, gaps)
        if name in _SURFACES:  # an object on a road is not beside it
            inside, around = _covered(candidates, anchors)
            near[(inside > 0.05) | (around >= 0.6)] = UNCLEAR
            near[(inside >= 0.8) | (around >= 0.9)] = FAILS
        yield Clause("contact", (), _near_phrases(name, len(anchors), rng), near)
        if len(anchors) == 1 and not anchors.is_sliver[0] and name not in GROUND:
            yield from _side_clauses(candidates, anchors, rng)
        if len(anchors) == 2 and not anchors.is_sliver.any() and name not in GROUND:
            words = noun_of(name).plural or noun_of(name).singular
            after = tuple(f"between the {two}{pick_word(words, rng)}" for two in ("", "two "))
            yield Clause("side", (), after, _judge_between(candidates, anchors))


def false_relation_clauses(
    labelled_image: LabelledImage, candidates: Candidates
) -> Iterator[Clause]:
    """Clauses about fully labelled categories that are absent from the image. They fit nothing."""
    here = {item.category for item in labelled_image.instances}
    fails = np.full(len(candidates), FAILS, np.int8)
    if candidates.category in GROUND:
        return
    for name in sorted(labelled_image.complete):
        is_related = here & kinds_of(name) or kinds_of(name) & kinds_of(candidates.category)
        if not is_related and name not in _NOT_NEAR:
            one = noun_of(name).singular[0]
            on = (f"on the {one}",) if name in _SURFACES and name != "water" else ()
            near = tuple(f"{opening} the {one}" for opening in _NEAR)
            yield Clause("contact", (), on or near, fails)


# --- on ---

_LIKE_ROAD: Final = frozenset({"bridge", "driveway", "crossing", "crosswalk", "roundabout"})
_OFF_ROAD: Final = (
    "not on the road",
    "off the road",
    "that {be} not on a road",
    "away from the road",
)


def on_clauses(candidates: Candidates, rng: np.random.Generator) -> Iterator[Clause]:
    """A clause for each value of the attribute "on", if every candidate has the attribute."""
    surfaces = [item.attributes.get("on") for item in candidates.items]
    if None in surfaces:
        return
    for surface in sorted({*surfaces} - {None, ""} | {"road"}, key=str):
        verdicts = np.array([FITS if on == surface else FAILS for on in surfaces], np.int8)
        if surface == "road":  # an object on a bridge or in a driveway can count as on a road
            verdicts[[on in _LIKE_ROAD for on in surfaces]] = UNCLEAR
            off = np.where(verdicts == UNCLEAR, UNCLEAR, 1 - verdicts).astype(np.int8)
            yield Clause("contact", (), _OFF_ROAD, off)
        yield Clause("contact", (), _on_phrases(str(surface), rng), verdicts)


def _judge_on(candidates: Candidates, surfaces: Candidates) -> Verdicts:
    """Which candidates lie on a surface, by the surface in and around their masks."""
    inside, around = _covered(candidates, surfaces)
    verdicts = np.full(len(candidates), UNCLEAR, np.int8)
    verdicts[(inside >= 0.8) | ((inside <= 0.1) & (around >= 0.6))] = FITS
    verdicts[(inside <= 0.05) & (around <= 0.1)] = FAILS
    return verdicts


def _covered(
    candidates: Candidates, surfaces: Candidates
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fraction of a surface in each candidate's mask, and in the rest of its box plus 2 pixels."""
    ground = surfaces.union()
    inside, around = np.zeros(len(candidates)), np.zeros(len(candidates))
    for index, item in enumerate(candidates.items):
        row, col, height, width = item.bbox
        part = ground[row : row + height, col : col + width]
        on = np.count_nonzero(part & item.mask)
        inside[index] = on / max(candidates.areas[index], 1)
        wide = ground[max(row - 2, 0) : row + height + 2, max(col - 2, 0) : col + width + 2]
        rest = max(wide.size - candidates.areas[index], 1)
        around[index] = (np.count_nonzero(wide) - on) / rest
    return inside, around


def _on_phrases(surface: str, rng: np.random.Generator) -> tuple[str, ...]:
    noun = noun_of(surface)
    word = pick_word(noun.singular, rng)
    if surface == "water":
        return (
            f"on the {word}",
            f"in the {word}",
            f"on {noun.singular[0]}",
            f"floating on the {word}",
        )
    openings = ["on the", "on the", "on a"] if noun.is_counted else ["on the", "on"]
    if surface in ("parking lot", "roundabout"):
        openings += ["in the", "in a"]
    if surface == "parking lot":
        openings += ["parked in the", "parked on the"]
    if surface in ("field", "forest", "farmland", "yard"):
        openings += ["in the"]
    phrases = [f"{opening} {word}" for opening in openings]
    if noun.is_counted:
        phrases.append(f"on the {pick_word(noun.plural, rng)}")
    return tuple(phrases)


# --- near ---

_NEAR: Final = ("next to", "near", "beside", "close to", "by", "adjacent to", "alongside")


def _near_phrases(name: str, count: int, rng: np.random.Generator) -> tuple[str, ...]:
    noun = noun_of(name)
    one = pick_word(noun.singular, rng)
    phrases = [f"{opening} the {one}" for opening in _NEAR]
    if noun.is_counted:
        phrases += [f"next to a {one}", f"near a {one}"]
        if count > 1:
            phrases += [f"near the {pick_word(noun.plural, rng)}", f"next to {noun.plural[0]}"]
    return tuple(write_words.replace(" a a", " an a") for write_words in phrases)


def _judge_near(candidates: Candidates, anchors: Candidates, gaps: NDArray[np.float64]) -> Verdicts:
    """Which candidates are near an anchor, int8 [n].

    Near is closer than half the size of the larger object; not near is farther than 1.2 times its
    size. Fractions of the image bound both, because a large anchor would make everything near.

    Args:
        candidates: the objects to judge.
        anchors: the objects that they can be near.
        gaps: distances between them in pixels, [n, m].
    """
    side = min(candidates.shape)
    size = np.maximum(
        np.sqrt(candidates.areas)[:, None], np.minimum(np.sqrt(anchors.areas)[None], 0.2 * side)
    )
    near = (gaps <= np.minimum(0.5 * size, 0.08 * side)).any(1)
    far = (gaps >= np.maximum(1.2 * size, 0.16 * side)).all(1)
    return np.where(near, FITS, np.where(far, FAILS, UNCLEAR)).astype(np.int8)


def _gaps(candidates: Candidates, anchors: Candidates) -> NDArray[np.float64]:
    """Distances between the outlines in pixels, [n, m]; approximate for long outlines."""
    outlines = [_outline(item, 400) for item in anchors.items]
    gaps = np.empty((len(candidates), len(anchors)))
    for row, item in enumerate(candidates.items):
        points = _outline(item, 48)
        for col, outline in enumerate(outlines):
            steps = points[:, None] - outline[None]
            gaps[row, col] = np.sqrt((steps**2).sum(-1).min())
    return gaps


def _outline(item: Instance, max_points: int) -> NDArray[np.float32]:
    """Points (row, col) of an outline, float32 [n, 2] with n up to ``max_points``."""
    mask = np.pad(item.mask, 1)
    inner = mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    points = np.argwhere(item.mask & ~inner)
    if len(points) > max_points:
        points = points[:: len(points) // max_points + 1]
    return np.asarray(points + np.array(item.bbox[:2]), np.float32)


# --- sides of a single anchor ---

_SIDE_WORDS: Final = {
    (1, -1): ("to the left of the", "on the left of the", "left of the", "west of the"),
    (1, 1): ("to the right of the", "on the right of the", "right of the", "east of the"),
    (0, -1): ("above the", "north of the"),
    (0, 1): ("below the", "south of the"),
}


def _side_clauses(
    candidates: Candidates, anchors: Candidates, rng: np.random.Generator
) -> Iterator[Clause]:
    noun = noun_of(anchors.category)
    for (axis, sign), words in _SIDE_WORDS.items():
        after = tuple(f"{word} {pick_word(noun.singular, rng)}" for word in words)
        yield Clause("side", (), after, _judge_side(candidates, anchors, axis, sign))


def _judge_side(candidates: Candidates, anchors: Candidates, axis: int, sign: int) -> Verdicts:
    """Which candidates lie on one side of the anchor: beyond its box, and not too diagonally."""
    steps = (candidates.centroids - anchors.centroids[0]) * np.array(candidates.shape)
    along, across = steps[:, axis] * sign, np.abs(steps[:, 1 - axis])
    if sign > 0:
        past = candidates.boxes[:, axis] - anchors.boxes[0, axis + 2]
    else:
        past = anchors.boxes[0, axis] - candidates.boxes[:, axis + 2]
    verdicts = np.full(len(candidates), UNCLEAR, np.int8)
    verdicts[(past >= -0.02) & (across <= 0.8 * along)] = FITS
    verdicts[(along <= 0) | (across >= 3.5 * along)] = FAILS
    return verdicts


def _judge_between(candidates: Candidates, anchors: Candidates) -> Verdicts:
    """Which candidates lie between two anchors."""
    places = candidates.centroids * np.array(candidates.shape)
    first, second = anchors.centroids * np.array(candidates.shape)
    way = second - first
    length = max(float(np.hypot(*way)), 1.0)
    along = (places - first) @ way / length**2
    aside = np.abs((places - first) @ np.array([-way[1], way[0]])) / length**2
    verdicts = np.full(len(candidates), UNCLEAR, np.int8)
    verdicts[(along > 0.2) & (along < 0.8) & (aside < 0.2)] = FITS
    verdicts[(along < 0) | (along > 1) | (aside > 0.5)] = FAILS
    return verdicts
