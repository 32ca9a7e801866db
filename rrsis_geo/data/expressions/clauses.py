"""What may be said of objects beyond their category: colour, size, place, relation.

A clause knows its words and, for each object, whether it fits. What a person could see either way
is unclear, and then the clause is not used at all.
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
"""Stands for "is" or "are" in a clause's words."""


@dataclass(frozen=True, slots=True, eq=False)
class Clause:
    """A restriction on objects, with its words.

    Attributes:
        kind: "colour", "size", "position" or "relation".
        before: ways to say it before the noun.
        after: ways to say it after the noun.
        verdicts: int8 [n], whether each candidate fits.
        best_of: if given, [n]: of those that the other clauses leave, the one with the greatest
            value is meant; ``verdicts`` then tells which may not be compared at all.
        lead: by how much the greatest value must exceed the second.
    """

    kind: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    verdicts: Verdicts
    best_of: NDArray[np.float64] | None = None
    lead: float = 0.0


def chosen_by(clauses: list[Clause], candidates: Candidates) -> NDArray[np.bool_] | None:
    """Which candidates fit all clauses, bool [n]; None where it is unclear."""
    verdicts = np.full(len(candidates), FITS, np.int8)
    for clause in clauses:
        if clause.best_of is None:
            verdicts = _both(verdicts, clause.verdicts)
    if (verdicts == UNCLEAR).any():
        return None
    chosen: NDArray[np.bool_] = verdicts == FITS
    for clause in clauses:
        if clause.best_of is not None:
            chosen_or_none = _best(chosen, clause, candidates)
            if chosen_or_none is None:
                return None
            chosen = chosen_or_none
    return chosen


def _both(first: Verdicts, second: Verdicts) -> Verdicts:
    """Three-valued "and": what fails one fails, whatever the other says."""
    fails = (first == FAILS) | (second == FAILS)
    fits = (first == FITS) & (second == FITS)
    return np.where(fails, FAILS, np.where(fits, FITS, UNCLEAR)).astype(np.int8)


def _best(
    chosen: NDArray[np.bool_], clause: Clause, candidates: Candidates
) -> NDArray[np.bool_] | None:
    """The one of the chosen that leads by enough; None where none does."""
    assert clause.best_of is not None
    places = np.flatnonzero(chosen)
    if len(places) < 2 or (clause.verdicts[places] == UNCLEAR).any():
        return None
    order = places[np.argsort(clause.best_of[places])]
    first, second = order[-1], order[-2]
    if clause.best_of[first] - clause.best_of[second] < clause.lead or candidates.slivers[first]:
        return None
    best = np.zeros(len(candidates), bool)
    best[first] = True
    return best


# --- colour ---

_MOST_OF_IT: Final = 0.5
_NEXT_TO_NOTHING: Final = 0.1


def colour_clauses(labelled: LabelledImage, candidates: Candidates) -> Iterator[Clause]:
    """One clause for each colour name; the false-colour image and the colourless thing have none.

    Colours told by the labels (painted scenes) count before those measured.
    """
    if not may_name_colours(labelled, candidates):
        return
    possible = POSSIBLE_COLOURS.get(candidates.category, COLOURS)
    for index, colour in enumerate(COLOURS):
        clause = colour_clause(index, candidates)
        if colour in possible or not (clause.verdicts == FITS).any():
            yield clause


def colour_clause(colour: int, candidates: Candidates) -> Clause:
    """The clause that says that things have a colour (its place in COLOURS)."""
    before, after = _colour_phrases(COLOUR_WORDS[COLOURS[colour]], candidates.category)
    return Clause("colour", before, after, judge_colour(colour, candidates))


def may_name_colours(labelled: LabelledImage, candidates: Candidates) -> bool:
    """Whether the colours of these objects can be told."""
    if candidates.category in COLOURLESS or len(candidates) > 80:
        return False
    if labelled.false_colour:
        return False
    told = all("colour" in item.attributes for item in candidates.items)
    return told or not is_colourless(labelled.image)


def judge_colour(colour: int, candidates: Candidates) -> Verdicts:
    """Which candidates have a colour (its place in COLOURS), int8 [n].

    One that has a neighbouring colour ("gray" for "white") is no clear case of another colour,
    unless next to none of its pixels have the colour in question.
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
    verdicts[(share >= _MOST_OF_IT) & (rest[:, : len(COLOURS)].max(1) <= 0.3)] = FITS
    clearly_other = (other.max(1) >= 0.4) | (rest.max(1) >= 0.6)
    verdicts[(share <= _NEXT_TO_NOTHING) & clearly_other] = FAILS
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
    """Largest, smallest, and large and small where a clear gap parts the two.

    What the image's border cuts may be of any size beyond what is seen of it, so it is never small,
    and where one that is cut looks nearly as large as the largest, nothing is said.
    """
    named_by_size = candidates.category.startswith(("large ", "small "))
    if candidates.category in GROUND or named_by_size or len(candidates) < 2:
        return
    if candidates.outlined.any() and not candidates.outlined.all():
        return
    areas = np.log(np.maximum(candidates.areas, 1))
    cut = candidates.at_border | candidates.slivers
    rivals = cut & (areas > areas.max() - np.log(4))
    rivals[areas.argmax()] = False
    for words, values, unknown in ((LARGEST, areas, rivals), (SMALLEST, -areas, cut)):
        verdicts = np.where(unknown, UNCLEAR, FITS).astype(np.int8)
        yield Clause("size", words, (), verdicts, best_of=values, lead=_LEAD)
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
    """Places in the image, in a random order; what covers the ground has no edge nor extreme."""
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
    """The clause that says that things are in a place."""
    match place:
        case Place():
            verdicts = judge_place(place, candidates)
            return Clause("position", place.before, place.after, verdicts)
        case Edge():
            return Clause("position", (), place.after, judge_edge(place, candidates))
        case Extreme():
            values = candidates.middles[:, place.axis] * place.sign
            fits = np.full(len(candidates), FITS, np.int8)
            return Clause(
                "position", place.before, place.after, fits, best_of=values, lead=_EXTREME_LEAD
            )


_EXTREME_LEAD: Final = 0.05
"""By which share of the image's side the leftmost must lie left of the next."""
