"""The expression writer: a referring expression about a labelled image, and its mask.

An expression refers to every object that fits it, even in the singular: "the truck on the road"
refers to every truck on a road. A target is called absent only if its category is fully labelled.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.data.expressions.candidates import FAILS, FITS, Candidates, referable_categories
from rrsis_geo.data.expressions.clauses import (
    LARGE,
    LARGEST,
    SMALL,
    SMALLEST,
    Clause,
    colour_clause,
    colour_clauses,
    position_clauses,
    select,
    size_clauses,
)
from rrsis_geo.data.expressions.colours import COLOURS
from rrsis_geo.data.expressions.kinds import ALL_CLAUSES, COMBINATIONS, KIND_WEIGHTS, can_write
from rrsis_geo.data.expressions.relations import (
    false_relation_clauses,
    on_clauses,
    relation_clauses,
)
from rrsis_geo.data.expressions.traits import COLOURLESS, COVERED_BY, GROUND, can_be
from rrsis_geo.data.expressions.wording import write_words
from rrsis_geo.data.sample import LabelledImage
from rrsis_geo.text.vocabulary import kinds_of, wider_than

_ON_FIRST: Final = 0.8
"""Probability that the surface under an object comes before other relations, if it is labelled."""

MAX_INDIVIDUALS: Final = {"tree": 5}
"""Category -> most objects in a target that is not all of it. Masks of trees are approximate."""


class WrittenExpression(NamedTuple):
    """An expression and its target.

    Attributes:
        expression: the referring expression, lower-case.
        mask: bool [H, W]; all False if the target is absent.
        kind: a key of :data:`KIND_WEIGHTS`.
        category: the category that the expression names ("vehicle" even if all of them are cars).
    """

    expression: str
    mask: NDArray[np.bool_]
    kind: str
    category: str


def write_expression(
    labelled_image: LabelledImage,
    rng: np.random.Generator,
    kind: str | None = None,
    *,
    category: str | None = None,
    allowed: frozenset[str] = ALL_CLAUSES,
) -> WrittenExpression | None:
    """Write one expression about an image. None if no expression of the kind is clearly true.

    Args:
        labelled_image: the image. The attributes "colour" and "on" of its instances take precedence
            over measurements.
        rng: source of all randomness.
        kind: a key of :data:`KIND_WEIGHTS`. None tries the kinds in random order, by their weights.
        category: name only this category or a category that it is a kind of.
        allowed: kinds of clauses that the expression may have.
    """
    if kind is None:
        kinds = [name for name in KIND_WEIGHTS if can_write(name, allowed)]
        weights = np.array([KIND_WEIGHTS[name] for name in kinds])
        for index in rng.choice(len(kinds), len(kinds), replace=False, p=weights / weights.sum()):
            written = write_expression(
                labelled_image, rng, kinds[index], category=category, allowed=allowed
            )
            if written is not None:
                return written
        return None
    if kind == "absent":
        return _write_absent(labelled_image, rng, category, allowed)
    for name in _draw_categories(labelled_image, rng, category):
        candidates = Candidates(labelled_image, name)
        if candidates.is_sliver.all():
            continue
        choice = (
            ([], np.ones(len(candidates), bool))
            if kind == "category"
            else _choose_clauses(labelled_image, candidates, kind, rng, allowed)
        )
        if choice is not None:
            clauses, chosen = choice
            exact = (
                name in fully_labelled_categories(labelled_image) and not candidates.is_sliver.any()
            )
            text = write_words(labelled_image, name, clauses, int(chosen.sum()), rng, exact=exact)
            return WrittenExpression(text, candidates.union(chosen), kind, name)
    return None


def count_distinct_subsets(
    labelled_image: LabelledImage,
    category: str,
    rng: np.random.Generator,
    allowed: frozenset[str] = ALL_CLAUSES,
) -> int:
    """Number of different subsets of a category's objects that one allowed clause can select.

    The number is 0 for :data:`MAX_INDIVIDUALS`.
    """
    if category in MAX_INDIVIDUALS:
        return 0
    candidates = Candidates(labelled_image, category)
    subsets = set()
    for kind in ("position", "size", "colour", "relation"):
        for clause in _clauses(labelled_image, candidates, kind, rng, allowed):
            chosen = select([clause], candidates)
            if chosen is None or chosen.all() or not chosen.any():
                continue
            if not candidates.is_sliver[chosen].all():
                subsets.add(chosen.tobytes())
    return len(subsets)


def _draw_categories(
    labelled_image: LabelledImage, rng: np.random.Generator, category: str | None
) -> list[str]:
    """Categories to try, in random order. Labels tend to come before wider categories."""
    names = referable_categories(labelled_image)
    if category is not None:
        names = [name for name in names if category in kinds_of(name)]
    labels = {item.category for item in labelled_image.instances}
    weights = np.array([1.0 if name in labels else 0.35 for name in names])
    if not names:
        return []
    order = rng.choice(len(names), len(names), replace=False, p=weights / weights.sum())
    return [names[index] for index in order]


# --- clauses ---


def _choose_clauses(
    labelled_image: LabelledImage,
    candidates: Candidates,
    kind: str,
    rng: np.random.Generator,
    allowed: frozenset[str],
) -> tuple[list[Clause], NDArray[np.bool_]] | None:
    """Clauses of a kind that clearly fit at least one object, and the objects that they fit."""
    reserve: tuple[list[Clause], NDArray[np.bool_]] | None = None
    is_partial = _can_lack_labels(labelled_image, candidates.category)
    for clauses in _proposals(labelled_image, candidates, kind, rng, allowed):
        if is_partial and any(
            clause.kind == "size" or clause.rank_by is not None for clause in clauses
        ):
            continue  # an object without a label can be larger, or further to the left
        chosen = select(clauses, candidates)
        if chosen is None or not chosen.any() or candidates.is_sliver[chosen].all():
            continue
        if len(clauses) > 1 and not _all_needed(clauses, chosen, candidates):
            continue
        limit = MAX_INDIVIDUALS.get(candidates.category)
        if limit is not None and (chosen.sum() > limit or len(candidates) > 3 * limit):
            continue
        if not chosen.all() or len(candidates) == 1:
            return clauses, chosen
        reserve = reserve or (clauses, chosen)
    # Clauses that fit every object distinguish nothing, but some such expressions are useful.
    return reserve if rng.random() < 0.4 else None


def _all_needed(clauses: list[Clause], chosen: NDArray[np.bool_], candidates: Candidates) -> bool:
    """Whether no clause alone selects the same objects. A single object always counts as True."""
    if len(candidates) == 1:
        return True
    selections = [select([clause], candidates) for clause in clauses]
    return not any(one is not None and (one == chosen).all() for one in selections)


def _proposals(
    labelled_image: LabelledImage,
    candidates: Candidates,
    kind: str,
    rng: np.random.Generator,
    allowed: frozenset[str],
) -> Iterator[list[Clause]]:
    """Clauses, or pairs of clauses, to try in turn."""
    if kind != "combination":
        yield from ([clause] for clause in _clauses(labelled_image, candidates, kind, rng, allowed))
        return
    by_kind: dict[str, list[Clause]] = {}
    for index in rng.permutation(len(COMBINATIONS)):
        first, second = COMBINATIONS[index]
        for name in (first, second):
            if name not in by_kind:
                by_kind[name] = list(_clauses(labelled_image, candidates, name, rng, allowed))
        for one in by_kind[first]:
            if one.rank_by is None and not (one.verdicts == FITS).any():
                continue
            for other in by_kind[second]:
                if one.rank_by is None or other.rank_by is None:
                    yield [one, other]


def _clauses(
    labelled_image: LabelledImage,
    candidates: Candidates,
    kind: str,
    rng: np.random.Generator,
    allowed: frozenset[str],
) -> Iterable[Clause]:
    """The allowed clauses of a kind, in random order."""
    clauses = _all_clauses(labelled_image, candidates, kind, rng)
    return (clause for clause in clauses if clause.kind in allowed)


def _all_clauses(
    labelled_image: LabelledImage, candidates: Candidates, kind: str, rng: np.random.Generator
) -> Iterable[Clause]:
    match kind:
        case "colour":
            return _shuffled(colour_clauses(labelled_image, candidates), rng)
        case "size":
            return _shuffled(size_clauses(candidates), rng)
        case "position":
            return position_clauses(candidates, rng)
        case "relation":
            first = on_clauses(candidates, rng) if rng.random() < _ON_FIRST else ()
            rest = relation_clauses(labelled_image, candidates, rng)
            return [*_shuffled(first, rng), *_shuffled(rest, rng)]
    raise ValueError(f"unknown kind of expression: {kind!r}")


def _shuffled(clauses: Iterable[Clause], rng: np.random.Generator) -> list[Clause]:
    items = list(clauses)
    return [items[index] for index in rng.permutation(len(items))]


# --- absent targets ---


def fully_labelled_categories(labelled_image: LabelledImage) -> frozenset[str]:
    """Categories of which every object is labelled, directly or through all of their kinds."""
    wider = {name for name, kinds in COVERED_BY.items() if kinds <= labelled_image.complete}
    return labelled_image.complete | wider


def _can_lack_labels(labelled_image: LabelledImage, category: str) -> bool:
    """Whether the image can have objects of a category that are not labelled with an outline."""
    if any(can_be(item.category, category) for item in labelled_image.rough):
        return True
    is_complete = category in fully_labelled_categories(labelled_image)
    return labelled_image.partly_labelled and not is_complete


def absent_categories(labelled_image: LabelledImage) -> list[str]:
    """Categories that are certainly not in the image, sorted."""
    here = {item.category for item in labelled_image.instances}
    return [
        name
        for name in sorted(fully_labelled_categories(labelled_image))
        if not here & kinds_of(name) and not here.intersection(wider_than(name))
    ]


def _write_absent(
    labelled_image: LabelledImage,
    rng: np.random.Generator,
    category: str | None,
    allowed: frozenset[str],
) -> WrittenExpression | None:
    """Write an expression that fits no object: an absent category, or a false clause."""
    missing = absent_categories(labelled_image)
    present = [
        name
        for name in referable_categories(labelled_image)
        if name in fully_labelled_categories(labelled_image)
    ]
    if category is not None:
        missing = [name for name in missing if name == category]
        present = [name for name in present if category in kinds_of(name)]
    mask = np.zeros(labelled_image.image.shape[:2], bool)
    if missing and (not present or rng.random() < 0.6):
        weights = np.array(
            [_ABSENT_VEHICLE_WEIGHT if wider_than(name) else 1.0 for name in missing]
        )
        name = missing[int(rng.choice(len(missing), p=weights / weights.sum()))]
        clauses = _draw_absent_clauses(labelled_image, name, rng, allowed)
        return WrittenExpression(
            write_words(labelled_image, name, clauses, 0, rng), mask, "absent", name
        )
    for index in rng.permutation(len(present)):
        name = present[index]
        clause = _find_false_clause(labelled_image, Candidates(labelled_image, name), rng, allowed)
        if clause is not None:
            return WrittenExpression(
                write_words(labelled_image, name, [clause], 0, rng), mask, "absent", name
            )
    return None


def _draw_absent_clauses(
    labelled_image: LabelledImage,
    category: str,
    rng: np.random.Generator,
    allowed: frozenset[str],
) -> list[Clause]:
    """Sometimes one allowed clause about a category that is absent from the image."""
    candidates = Candidates(labelled_image, category)
    assert not len(candidates)
    kinds = ["", *(kind for kind in _ABSENT_CLAUSE_WEIGHTS if kind in allowed)]
    weights = np.array([_NO_ABSENT_CLAUSE, *(_ABSENT_CLAUSE_WEIGHTS[kind] for kind in kinds[1:])])
    match str(rng.choice(kinds, p=weights / weights.sum())):
        case "colour" if category not in COLOURLESS:
            colour = int(rng.choice(len(COLOURS), p=_ABSENT_COLOUR_WEIGHTS))
            return [colour_clause(colour, candidates)]
        case "size" if category not in GROUND and not category.endswith("vehicle"):
            words, best = _ABSENT_SIZES[int(rng.integers(len(_ABSENT_SIZES)))]
            none = np.zeros(0, np.int8)
            return [Clause("size", words, (), none, rank_by=np.zeros(0) if best else None)]
        case "position":
            return list(islice(position_clauses(candidates, rng), 1))
        case "contact":
            return _shuffled(false_relation_clauses(labelled_image, candidates), rng)[:1]
    return []


_ABSENT_VEHICLE_WEIGHT: Final = 2.5
"""Weight of kinds of vehicles among absent categories. Models confuse them with one another."""
_ABSENT_SIZES: Final = ((LARGEST, True), (SMALLEST, True), (LARGE, False), (SMALL, False))
_NO_ABSENT_CLAUSE: Final = 0.6
"""Weight of no clause about an absent category."""
_ABSENT_CLAUSE_WEIGHTS: Final = {"colour": 0.1, "position": 0.16, "contact": 0.1, "size": 0.04}
_ABSENT_COLOUR_WEIGHTS: Final = np.array([5, 3, 3, 4, 1, 1, 2, 2, 0.5, 4, 0.3, 0.2]) / 26


def _find_false_clause(
    labelled_image: LabelledImage,
    candidates: Candidates,
    rng: np.random.Generator,
    allowed: frozenset[str],
) -> Clause | None:
    """An allowed clause that certainly fits none of the objects. None if there is none."""
    groups: list[Iterable[Clause]] = [
        _all_clauses(labelled_image, candidates, "colour", rng),
        position_clauses(candidates, rng),
        chain(
            _all_clauses(labelled_image, candidates, "relation", rng),
            _shuffled(false_relation_clauses(labelled_image, candidates), rng),
        ),
    ]
    for index in rng.permutation(len(groups)):
        for clause in groups[int(index)]:
            if clause.kind not in allowed or clause.rank_by is not None:
                continue
            if not (clause.verdicts != FAILS).any():
                return clause
    return None
