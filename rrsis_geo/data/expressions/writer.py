"""The expression writer: a referring sentence about a labelled image, and the mask it means.

An expression means everything in the image that fits it, also where it is in the singular ("the
truck on the road" means every truck on a road). An absent target is claimed only of categories of
which everything is labelled.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.data.expressions.candidates import FAILS, FITS, Candidates, named_categories
from rrsis_geo.data.expressions.clauses import (
    LARGE,
    LARGEST,
    SMALL,
    SMALLEST,
    Clause,
    chosen_by,
    colour_clause,
    colour_clauses,
    position_clauses,
    size_clauses,
)
from rrsis_geo.data.expressions.colours import COLOURS
from rrsis_geo.data.expressions.relations import missing_relations, on_clauses, relation_clauses
from rrsis_geo.data.expressions.traits import COLOURLESS, COVERED_BY, GROUND
from rrsis_geo.data.expressions.wording import phrase
from rrsis_geo.data.sample import LabelledImage
from rrsis_geo.text.vocabulary import kinds_of, wider_than

KIND_WEIGHTS: Final[Mapping[str, float]] = {
    "category": 0.32,
    "colour": 0.12,
    "size": 0.1,
    "position": 0.16,
    "relation": 0.06,
    "combination": 0.06,
    "absent": 0.18,
}
"""Kind of expression -> its share of the samples."""

_ON_FIRST: Final = 0.8
"""How often what a thing is on is said rather than another relation, where labels tell it."""

MAX_INDIVIDUALS: Final = {"tree": 5}
"""Category -> how many of it may be meant where not all are: its masks are only approximate."""


class Written(NamedTuple):
    """An expression and what it means.

    Attributes:
        expression: the referring sentence, lower-case.
        mask: bool [H, W]; all False where the target is absent.
        kind: see :data:`KIND_WEIGHTS`.
        category: the target's category as spoken of ("vehicle", though all of them are cars).
    """

    expression: str
    mask: NDArray[np.bool_]
    kind: str
    category: str


def write_expression(
    labelled: LabelledImage,
    rng: np.random.Generator,
    kind: str | None = None,
    *,
    category: str | None = None,
) -> Written | None:
    """Write one expression about an image; None where nothing of that kind can truly be said.

    Args:
        labelled: the image; the writer believes ``attributes`` "colour" and "on" where given.
        rng: the only source of chance.
        kind: one of :data:`KIND_WEIGHTS`; None tries kinds by their weights until one is possible.
        category: speak of this category, or of one that it is a kind of, only.
    """
    if kind is None:
        kinds = list(KIND_WEIGHTS)
        weights = np.array(list(KIND_WEIGHTS.values()))
        for index in rng.choice(len(kinds), len(kinds), replace=False, p=weights / weights.sum()):
            written = write_expression(labelled, rng, kinds[index], category=category)
            if written is not None:
                return written
        return None
    if kind == "absent":
        return _write_absent(labelled, rng, category)
    for name in _spoken_categories(labelled, rng, category):
        candidates = Candidates(labelled, name)
        if candidates.slivers.all():
            continue
        found = (
            ([], np.ones(len(candidates), bool))
            if kind == "category"
            else _find_clauses(labelled, candidates, kind, rng)
        )
        if found is not None:
            clauses, chosen = found
            exact = name in claimable(labelled) and not candidates.slivers.any()
            text = phrase(labelled, name, clauses, int(chosen.sum()), rng, exact=exact)
            return Written(text, candidates.union(chosen), kind, name)
    return None


def count_parts(labelled: LabelledImage, category: str, rng: np.random.Generator) -> int:
    """How many different parts of a category's objects a word of place, size or colour picks out.

    None of a category of which only few may be meant.
    """
    if category in MAX_INDIVIDUALS:
        return 0
    candidates = Candidates(labelled, category)
    parts = set()
    for kind in ("position", "size", "colour"):
        for clause in _clauses(labelled, candidates, kind, rng):
            chosen = chosen_by([clause], candidates)
            if chosen is None or chosen.all() or not chosen.any():
                continue
            if not candidates.slivers[chosen].all():
                parts.add(chosen.tobytes())
    return len(parts)


def _spoken_categories(
    labelled: LabelledImage, rng: np.random.Generator, category: str | None
) -> list[str]:
    """Categories to try, in a random order; wider words ("vehicle") come after narrow ones."""
    names = named_categories(labelled)
    if category is not None:
        names = [name for name in names if category in kinds_of(name)]
    labelled_as = {item.category for item in labelled.instances}
    weights = np.array([1.0 if name in labelled_as else 0.35 for name in names])
    if not names:
        return []
    order = rng.choice(len(names), len(names), replace=False, p=weights / weights.sum())
    return [names[index] for index in order]


# --- which clauses ---


def _find_clauses(
    labelled: LabelledImage, candidates: Candidates, kind: str, rng: np.random.Generator
) -> tuple[list[Clause], NDArray[np.bool_]] | None:
    """Clauses of a kind that are clear and fit something, and what they fit."""
    reserve: tuple[list[Clause], NDArray[np.bool_]] | None = None
    for clauses in _proposals(labelled, candidates, kind, rng):
        chosen = chosen_by(clauses, candidates)
        if chosen is None or not chosen.any() or candidates.slivers[chosen].all():
            continue
        if len(clauses) > 1 and not _each_needed(clauses, chosen, candidates):
            continue
        limit = MAX_INDIVIDUALS.get(candidates.category)
        if limit is not None and (chosen.sum() > limit or len(candidates) > 3 * limit):
            continue
        if not chosen.all() or len(candidates) == 1:
            return clauses, chosen
        reserve = reserve or (clauses, chosen)
    # What fits every object tells nothing apart; such expressions are true, and some are wanted.
    return reserve if rng.random() < 0.4 else None


def _each_needed(clauses: list[Clause], chosen: NDArray[np.bool_], candidates: Candidates) -> bool:
    """Whether a combination says more than one of its clauses alone; also true of a lone object."""
    if len(candidates) == 1:
        return True
    alone = [chosen_by([clause], candidates) for clause in clauses]
    return not any(one is not None and (one == chosen).all() for one in alone)


def _proposals(
    labelled: LabelledImage, candidates: Candidates, kind: str, rng: np.random.Generator
) -> Iterator[list[Clause]]:
    """Clauses, or combinations of them, to try in turn."""
    if kind != "combination":
        yield from ([clause] for clause in _clauses(labelled, candidates, kind, rng))
        return
    pairs = [("colour", "position"), ("size", "position"), ("colour", "relation")]
    pairs += [("size", "colour"), ("position", "relation"), ("size", "relation")]
    made: dict[str, list[Clause]] = {}
    for index in rng.permutation(len(pairs)):
        for name in pairs[index]:
            if name not in made:
                made[name] = list(_clauses(labelled, candidates, name, rng))
        first, second = pairs[index]
        for one in made[first]:
            if one.best_of is None and not (one.verdicts == FITS).any():
                continue
            for other in made[second]:
                if one.best_of is None or other.best_of is None:
                    yield [one, other]


def _clauses(
    labelled: LabelledImage, candidates: Candidates, kind: str, rng: np.random.Generator
) -> Iterable[Clause]:
    match kind:
        case "colour":
            return _shuffled(colour_clauses(labelled, candidates), rng)
        case "size":
            return _shuffled(size_clauses(candidates), rng)
        case "position":
            return position_clauses(candidates, rng)
        case "relation":
            first = on_clauses(candidates, rng) if rng.random() < _ON_FIRST else ()
            rest = relation_clauses(labelled, candidates, rng)
            return [*_shuffled(first, rng), *_shuffled(rest, rng)]
    raise ValueError(f"no kind of expression is called {kind!r}")


def _shuffled(clauses: Iterable[Clause], rng: np.random.Generator) -> list[Clause]:
    made = list(clauses)
    return [made[index] for index in rng.permutation(len(made))]


# --- absent targets ---


def claimable(labelled: LabelledImage) -> frozenset[str]:
    """Categories of which every object is labelled, those that follow from their kinds included."""
    wider = {name for name, kinds in COVERED_BY.items() if kinds <= labelled.complete}
    return labelled.complete | wider


def absent_categories(labelled: LabelledImage) -> list[str]:
    """Categories that are surely not in the image, sorted."""
    here = {item.category for item in labelled.instances}
    return [
        name
        for name in sorted(claimable(labelled))
        if not here & kinds_of(name) and not here.intersection(wider_than(name))
    ]


def _write_absent(
    labelled: LabelledImage, rng: np.random.Generator, category: str | None
) -> Written | None:
    """An expression that nothing fits: no such thing, or none of that colour, place or relation."""
    missing = absent_categories(labelled)
    present = [name for name in named_categories(labelled) if name in claimable(labelled)]
    if category is not None:
        missing = [name for name in missing if name == category]
        present = [name for name in present if category in kinds_of(name)]
    mask = np.zeros(labelled.image.shape[:2], bool)
    if missing and (not present or rng.random() < 0.6):
        weights = np.array([_VEHICLE_WEIGHT if wider_than(name) else 1.0 for name in missing])
        name = missing[int(rng.choice(len(missing), p=weights / weights.sum()))]
        clauses = _made_up_clauses(labelled, name, rng)
        return Written(phrase(labelled, name, clauses, 0, rng), mask, "absent", name)
    for index in rng.permutation(len(present)):
        name = present[index]
        clause = _failing_clause(labelled, Candidates(labelled, name), rng)
        if clause is not None:
            return Written(phrase(labelled, name, [clause], 0, rng), mask, "absent", name)
    return None


def _made_up_clauses(
    labelled: LabelledImage, category: str, rng: np.random.Generator
) -> list[Clause]:
    """Now and then a clause about a category that is not there: it stays untrue."""
    nothing = Candidates(labelled, category)
    assert not len(nothing)
    match str(rng.choice(["", "colour", "position", "relation", "size"], p=_MADE_UP_WEIGHTS)):
        case "colour" if category not in COLOURLESS:
            colour = int(rng.choice(len(COLOURS), p=_MADE_UP_COLOURS))
            return [colour_clause(colour, nothing)]
        case "size" if category not in GROUND and not category.endswith("vehicle"):
            words, best = _MADE_UP_SIZES[int(rng.integers(len(_MADE_UP_SIZES)))]
            none = np.zeros(0, np.int8)
            return [Clause("size", words, (), none, best_of=np.zeros(0) if best else None)]
        case "position":
            return list(islice(position_clauses(nothing, rng), 1))
        case "relation":
            return _shuffled(missing_relations(labelled, nothing), rng)[:1]
    return []


_VEHICLE_WEIGHT: Final = 2.5
"""Kinds of vehicles are called absent more often than others: they are taken for one another."""
_MADE_UP_SIZES: Final = ((LARGEST, True), (SMALLEST, True), (LARGE, False), (SMALL, False))
_MADE_UP_WEIGHTS: Final = (0.6, 0.1, 0.16, 0.1, 0.04)
_MADE_UP_COLOURS: Final = np.array([5, 3, 3, 4, 1, 1, 2, 2, 0.5, 4, 0.3, 0.2]) / 26


def _failing_clause(
    labelled: LabelledImage, candidates: Candidates, rng: np.random.Generator
) -> Clause | None:
    """A clause that surely fits none of the objects that are there; None if there is none."""
    makers: list[Iterable[Clause]] = [
        _clauses(labelled, candidates, "colour", rng),
        position_clauses(candidates, rng),
        chain(
            _clauses(labelled, candidates, "relation", rng),
            _shuffled(missing_relations(labelled, candidates), rng),
        ),
    ]
    for index in rng.permutation(len(makers)):
        for clause in makers[int(index)]:
            if clause.best_of is None and not (clause.verdicts != FAILS).any():
                return clause
    return None
