"""Clauses that restrict a category by colour, size or position.

A clause holds its words and a verdict for each object. If people could disagree about an object,
its verdict is unclear, and the clause is not used.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.data.expressions.candidates import FAILS, FITS, UNCLEAR, Candidates, Verdicts
from rrsis_geo.data.expressions.colours import (
    COLOUR_WORDS,
    COLOURS,
    DARKISH,
    LIGHTISH,
    NEIGHBOURS,
    is_colourless,
)
from rrsis_geo.data.expressions.places import (
    CORNERS,
    EDGES,
    EXTREMES,
    HALVES,
    MIDDLES,
    Edge,
    Extreme,
    Place,
    judge_edge,
    judge_place,
)
from rrsis_geo.data.expressions.traits import COLOURLESS, GROUND, POSSIBLE_COLOURS, WHOLE_ONLY
from rrsis_geo.data.sample import LabelledImage

BE: Final = "{be}"
"""Placeholder for "is" or "are" in the words of a clause."""


@dataclass(frozen=True, slots=True, eq=False)
class Clause:
    """A restriction on objects and the words for it.

    Attributes:
        kind: one of :data:`rrsis_geo.data.expressions.kinds.ALL_CLAUSES`.
        before: phrases that precede the noun.
        after: phrases that follow the noun.
        verdicts: int8 [n], whether each candidate fits.
        rank_by: [n] or None. If given, the clause selects the object with the greatest value among
            the objects that the other clauses select. An unclear verdict then marks an object whose
            value is unknown.
        lead: the least difference between the greatest and the second greatest value.
    """

    kind: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    verdicts: Verdicts
    rank_by: NDArray[np.float64] | None = None
    lead: float = 0.0


def select(clauses: list[Clause], candidates: Candidates) -> NDArray[np.bool_] | None:
    """The candidates that fit all clauses, bool [n]. None if this is unclear for any candidate."""
    verdicts = np.full(len(candidates), FITS, np.int8)
    for clause in clauses:
        if clause.rank_by is None:
            verdicts = _both(verdicts, clause.verdicts)
    if (verdicts == UNCLEAR).any():
        return None
    chosen: NDArray[np.bool_] = verdicts == FITS
    for clause in clauses:
        if clause.rank_by is not None:
            chosen_or_none = _best(chosen, clause, candidates)
            if chosen_or_none is None:
                return None
            chosen = chosen_or_none
    return chosen


def _both(first: Verdicts, second: Verdicts) -> Verdicts:
    """Three-valued "and": an object that fails one clause fails."""
    fails = (first == FAILS) | (second == FAILS)
    fits = (first == FITS) & (second == FITS)
    return np.where(fails, FAILS, np.where(fits, FITS, UNCLEAR)).astype(np.int8)


def _best(
    chosen: NDArray[np.bool_], clause: Clause, candidates: Candidates
) -> NDArray[np.bool_] | None:
    """The chosen candidate with the greatest value, bool [n]. None if its lead is too small."""
    assert clause.rank_by is not None
    indices = np.flatnonzero(chosen)
    if len(indices) < 2 or (clause.verdicts[indices] == UNCLEAR).any():
        return None
    order = indices[np.argsort(clause.rank_by[indices])]
    first, second = order[-1], order[-2]
    if clause.rank_by[first] - clause.rank_by[second] < clause.lead or candidates.is_sliver[first]:
        return None
    best = np.zeros(len(candidates), bool)
    best[first] = True
    return best


# --- colour ---

_MAIN_SHARE: Final = 0.5
"""Least fraction of pixels of a colour in an object that has it."""
_STRAY_SHARE: Final = 0.1
"""Largest fraction of pixels of a colour in an object that does not have it."""


def colour_clauses(labelled_image: LabelledImage, candidates: Candidates) -> Iterator[Clause]:
    """One clause for each colour. False-colour images and colourless categories have none.

    Colours in the labels (painted scenes) take precedence over measured colours.
    """
    if not may_name_colours(labelled_image, candidates):
        return
    possible = POSSIBLE_COLOURS.get(candidates.category, COLOURS)
    for index, colour in enumerate(COLOURS):
        clause = colour_clause(index, candidates)
        if colour in possible or not (clause.verdicts == FITS).any():
            yield clause


def colour_clause(colour: int, candidates: Candidates) -> Clause:
    """The clause for a colour, given by its index in :data:`COLOURS`."""
    before, after = _colour_phrases(COLOUR_WORDS[COLOURS[colour]], candidates.category)
    return Clause("colour", before, after, judge_colour(colour, candidates))


def may_name_colours(labelled_image: LabelledImage, candidates: Candidates) -> bool:
    """Whether expressions can name the colours of these objects."""
    if candidates.category in COLOURLESS or len(candidates) > 80:
        return False
    if labelled_image.false_colour:
        return False
    are_labelled = all("colour" in item.attributes for item in candidates.items)
    return are_labelled or not is_colourless(labelled_image.image)


def judge_colour(colour: int, candidates: Candidates) -> Verdicts:
    """Which candidates have a colour, given by its index in :data:`COLOURS`, int8 [n].

    An object of a neighbouring colour ("gray" for "white") does not count as clearly different,
    unless almost none of its pixels have the colour.
    """
    shares = candidates.colours
    share = shares[:, colour]
    rest = shares.copy()
    rest[:, colour] = 0
    neighbours = [COLOURS.index(name) for name in NEIGHBOURS[COLOURS[colour]]]
    if COLOURS[colour] in ("black", "gray", "white"):
        neighbours += [DARKISH, LIGHTISH]
    other = rest.copy()
    other[:, neighbours] = 0
    verdicts = np.full(len(candidates), UNCLEAR, np.int8)
    verdicts[(share >= _MAIN_SHARE) & (rest[:, : len(COLOURS)].max(1) <= 0.3)] = FITS
    clearly_other = (other.max(1) >= 0.4) | (rest.max(1) >= 0.6)
    verdicts[(share <= _STRAY_SHARE) & clearly_other] = FAILS
    return verdicts


def _colour_phrases(
    words: tuple[str, ...], category: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    main = words[0]
    before = [*words, *words, f"{main}-colored", f"{main} colored"]
    after = [f"that {BE} {main}", f"of {main} color", f"in {main}", f"which {BE} {main} in color"]
    if category in ("building", "house", "hall", "warehouse"):
        after += [f"with a {main} roof", f"with {main} roofs", f"with a {main} rooftop"]
        before.append(f"{main}-roofed")
    return tuple(before), tuple(after)


# --- size ---

LARGEST: Final = ("largest", "biggest")
SMALLEST: Final = ("smallest", "tiniest")
LARGE: Final = ("large", "big", "larger", "bigger")
SMALL: Final = ("small", "little", "smaller", "tiny")
_LEAD: Final = float(np.log(1.35))


def size_clauses(candidates: Candidates) -> Iterator[Clause]:
    """Clauses for the largest and the smallest object, and for large and small ones.

    Large and small are used if a clear gap in area separates two groups. An object at the image's
    border can be larger than its visible part: it is never small, and no object is the largest if
    an object at the border is nearly as large.
    """
    named_by_size = candidates.category.startswith(("large ", "small "))
    if candidates.category in GROUND or named_by_size or len(candidates) < 2:
        return
    if candidates.has_outline.any() and not candidates.has_outline.all():
        return
    areas = np.log(np.maximum(candidates.areas, 1))
    cut = candidates.touches_border | candidates.is_sliver
    rivals = cut & (areas > areas.max() - np.log(4))
    rivals[areas.argmax()] = False
    for words, values, unknown in ((LARGEST, areas, rivals), (SMALLEST, -areas, cut)):
        verdicts = np.where(unknown, UNCLEAR, FITS).astype(np.int8)
        yield Clause("size", words, (), verdicts, rank_by=values, lead=_LEAD)
    order = np.argsort(areas)
    gaps = np.diff(areas[order])
    split = int(gaps.argmax())
    small, large = order[: split + 1], order[split + 1 :]
    spread = max(np.ptp(areas[small]), np.ptp(areas[large]))
    if gaps[split] >= max(np.log(1.8), 0.8 * spread) and not cut[small].any():
        is_large = np.zeros(len(candidates), np.int8)
        is_large[large] = FITS
        yield Clause("size", LARGE, (), is_large)
        yield Clause("size", SMALL, (), (1 - is_large).astype(np.int8))


# --- position ---


def position_clauses(candidates: Candidates, rng: np.random.Generator) -> Iterator[Clause]:
    """Clauses for places in the image, in random order. Ground has no edges and no extremes."""
    if candidates.category in WHOLE_ONLY:
        return
    groups: tuple[tuple[Place | Edge | Extreme, ...], ...] = (HALVES, CORNERS, MIDDLES)
    shares = np.array([0.26, 0.28, 0.14, 0.14, 0.18])
    if candidates.category not in GROUND:
        groups += (EDGES, EXTREMES)
    shares = shares[: len(groups)] / shares[: len(groups)].sum()
    places = [place for group in groups for place in group]
    weights = np.repeat(shares / [len(group) for group in groups], [len(g) for g in groups])
    for index in rng.choice(len(places), len(places), replace=False, p=weights):
        yield place_clause(places[index], candidates)


def place_clause(place: Place | Edge | Extreme, candidates: Candidates) -> Clause:
    """The clause for a place in the image."""
    match place:
        case Place():
            verdicts = judge_place(place, candidates)
            return Clause("position", place.before, place.after, verdicts)
        case Edge():
            return Clause("position", (), place.after, judge_edge(place, candidates))
        case Extreme():
            values = candidates.centroids[:, place.axis] * place.sign
            fits = np.full(len(candidates), FITS, np.int8)
            return Clause(
                "position", place.before, place.after, fits, rank_by=values, lead=_EXTREME_LEAD
            )


_EXTREME_LEAD: Final = 0.05
"""Least distance between the leftmost object and the next, as a fraction of the image's width."""
