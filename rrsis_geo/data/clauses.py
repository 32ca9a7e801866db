"""What may be said of objects beyond their category: colour, size, place, relation.

A clause knows its words and, for each object, whether it fits. What a person could see either way
is unclear, and then the clause is not used at all.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.data.candidates import FAILS, FITS, UNCLEAR, Candidates, Verdicts
from rrsis_geo.data.colours import COLOURS, NEIGHBOURS, is_colourless
from rrsis_geo.data.lexicon import COLOUR_WORDS, COLOURLESS, GROUND
from rrsis_geo.data.places import (
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
from rrsis_geo.data.sample import LabelledImage


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

_MOST_OF_IT: Final = 0.55
_NEXT_TO_NOTHING: Final = 0.1


def colour_clauses(labelled: LabelledImage, candidates: Candidates) -> Iterator[Clause]:
    """One clause for each colour name; the false-colour image and the colourless thing have none.

    Colours told by the labels (painted scenes) count before those measured.
    """
    if not may_name_colours(labelled, candidates):
        return
    for index in range(len(COLOURS)):
        yield colour_clause(index, candidates)


def colour_clause(colour: int, candidates: Candidates) -> Clause:
    """The clause that says that things have a colour (its place in COLOURS)."""
    before, after = _colour_phrases(COLOUR_WORDS[COLOURS[colour]], candidates.category)
    return Clause("colour", before, after, judge_colour(colour, candidates))


def may_name_colours(labelled: LabelledImage, candidates: Candidates) -> bool:
    """Whether the colours of these objects can be told."""
    if labelled.false_colour or candidates.category in COLOURLESS or len(candidates) > 80:
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
    other = rest.copy()
    other[:, neighbours] = 0
    verdicts = np.full(len(candidates), UNCLEAR, np.int8)
    verdicts[(share >= _MOST_OF_IT) & (rest.max(1) <= 0.3)] = FITS
    clearly_other = (other.max(1) >= 0.4) | (rest.max(1) >= 0.6)
    verdicts[(share <= _NEXT_TO_NOTHING) & clearly_other] = FAILS
    return verdicts


def _colour_phrases(
    words: tuple[str, ...], category: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    main = words[0]
    before = [*words, *words, f"{main}-colored", f"{main} colored"]
    after = [f"that is {main}", f"of {main} color", f"in {main}", f"which is {main} in color"]
    if category in ("building", "house", "hall", "warehouse"):
        after += [f"with a {main} roof", f"with {main} roofs", f"with a {main} rooftop"]
        before.append(f"{main}-roofed")
    return tuple(before), tuple(after)


# --- size ---

_LARGEST: Final = ("largest", "biggest", "largest", "most extensive")
_SMALLEST: Final = ("smallest", "smallest", "tiniest", "littlest")
_LARGE: Final = ("large", "big", "larger", "bigger", "sizable")
_SMALL: Final = ("small", "little", "smaller", "tiny")


def size_clauses(candidates: Candidates) -> Iterator[Clause]:
    """Largest, smallest, and large and small where a clear gap parts the two."""
    if candidates.category in GROUND or len(candidates) < 2:
        return
    areas = np.log(np.maximum(candidates.areas, 1))
    fits = np.full(len(candidates), FITS, np.int8)
    plain = "large" not in candidates.category and "small" not in candidates.category
    yield Clause(
        "size", _LARGEST, ("with the largest area",), fits, best_of=areas, lead=np.log(1.25)
    )
    # An object cut by the border looks smaller than it is: then none can be called the smallest.
    uncut = np.where(candidates.at_border | candidates.slivers, UNCLEAR, FITS).astype(np.int8)
    yield Clause(
        "size", _SMALLEST, ("with the smallest area",), uncut, best_of=-areas, lead=np.log(1.25)
    )
    order = np.argsort(areas)
    gaps = np.diff(areas[order])
    split = int(gaps.argmax())
    small, large = order[: split + 1], order[split + 1 :]
    spread = max(np.ptp(areas[small]), np.ptp(areas[large]))
    clear = gaps[split] >= np.log(1.8) and gaps[split] >= 0.8 * spread
    if plain and clear and not (candidates.at_border | candidates.slivers)[small].any():
        is_large = np.zeros(len(candidates), np.int8)
        is_large[large] = FITS
        yield Clause("size", _LARGE, (), is_large)
        yield Clause("size", _SMALL, (), (1 - is_large).astype(np.int8))


# --- position ---


def position_clauses(candidates: Candidates, rng: np.random.Generator) -> Iterator[Clause]:
    """Places in the image, in a random order; extremes come as often as zones."""
    groups = (HALVES, CORNERS, MIDDLES, EDGES, EXTREMES)
    shares = np.array([0.26, 0.28, 0.14, 0.14, 0.18])
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
