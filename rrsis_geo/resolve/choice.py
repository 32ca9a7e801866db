"""Which objects the rules of a query choose, from one column of facts a rule.

What a rule needs to know of an object (a distance, a place, a measure) is computed elsewhere: over
a scene from polygons, over a single image from its mask. How rules combine is the same for both.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.resolve.relations import nearest_other_m
from rrsis_geo.resolve.size_classes import in_size_class
from rrsis_geo.text.query.records import (
    Grouping,
    Not,
    Only,
    Rank,
    Rule,
    SizeClass,
    is_negated,
    plain_rule,
)

NEAR_TIE = 0.1
"""Share by which the last object that is chosen must lead, or a warning is due."""
SURE_SCORE = 0.85
"""Objects whose mean probability is lower come last in every order but those from the largest down,
and are neither isolated nor in a group. On the validation images that is the case for 87 % of the
objects that are none, most of them crumbs of a few pixels, and for 6 % of those that are."""
LARGEST_SCORE = 0.6
"""The same limit where the largest come first. Crumbs are the last there by their size, and large
objects have lower scores than small ones: on the validation images, of the objects at least a tenth
as large as the largest in the picture, 201 of 306 with a score from 0.6 to 0.85 are right."""
GROUP_LENGTHS = 3.0
"""Objects are in a group if the centroid of another one is nearer than this times their length."""

Flags = NDArray[np.bool_]
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Column:
    """The facts of one rule about N objects.

    Attributes:
        holds: bool [N], for rules that filter.
        value: float64 [N], what a rank compares, the distance that a filter looked at, or the
            length of the objects for a rule about groups.
        centres: centroids, float64 [N, 2], for a rule about groups, in the unit of lengths.
    """

    holds: Flags | None = None
    value: Values | None = None
    centres: Values | None = None


def join_columns(batches: Sequence[Sequence[Column]], rules: Sequence[Rule]) -> list[Column]:
    """The columns of all rules over all objects, from those of each batch."""
    if not batches:
        return [Column(np.empty(0, bool), np.empty(0)) for _ in rules]
    joined = []
    for columns in zip(*batches, strict=True):
        holds = [column.holds for column in columns if column.holds is not None]
        values = [column.value for column in columns if column.value is not None]
        joined.append(
            Column(
                holds=np.concatenate(holds) if holds else None,
                value=np.concatenate(values) if values else None,
            )
        )
    return joined


@dataclass(frozen=True, slots=True)
class Choice:
    """The objects that all rules choose.

    Attributes:
        chosen: bool [N].
        rank: int64 [N], from 1, where the last rank counted an object; 0 elsewhere.
        warnings: near ties and shortages, for the user.
    """

    chosen: Flags
    rank: NDArray[np.int64]
    warnings: tuple[str, ...] = field(default=())


def choose(rules: Sequence[Rule], columns: Sequence[Column], scores: Values) -> Choice:
    """Apply rules in order to N objects.

    Args:
        rules: of a query; filters first, as the parser leaves them.
        columns: of each rule; empty for `Only`.
        scores: float64 [N], mean probability of each object.
    """
    n = len(scores)
    chosen = np.ones(n, bool)
    rank = np.zeros(n, np.int64)
    warnings: list[str] = []
    for rule, column in zip(rules, columns, strict=True):
        if isinstance(rule, Rank):
            assert column.value is not None
            chosen, rank = _first(rule, column.value, scores, chosen, warnings)
        elif isinstance(rule, Only):
            if 0 < chosen.sum() != rule.count:
                expected = "only one" if rule.count == 1 else f"{rule.count}"
                warnings.append(f"{chosen.sum()} objects fit, where the expression says {expected}")
        elif isinstance(plain_rule(rule), SizeClass):
            chosen &= _holds_of_size_class(rule, column.value, scores)
        elif column.centres is not None:
            chosen &= _holds_of_grouping(rule, column.centres, column.value, scores)
        else:
            chosen &= holds_of(rule, column)
    return Choice(chosen, rank, tuple(warnings))


def holds_of(rule: Rule, column: Column) -> Flags:
    """Of which objects a rule holds, from its facts: those of `Not` are of the rule in it."""
    assert column.holds is not None
    return ~column.holds if isinstance(rule, Not) else column.holds


def _holds_of_grouping(
    rule: Rule, centres: Values, lengths: Values | None, scores: Values
) -> Flags:
    """Which objects are in a group, or isolated: only those that are sure, as neighbours too."""
    grouping = plain_rule(rule)
    assert isinstance(grouping, Grouping)
    assert lengths is not None
    index = _sure(scores)
    is_grouped = nearest_other_m(centres[index]) <= GROUP_LENGTHS * lengths[index]
    wants_group = (grouping.kind == "grouped") != is_negated(rule)
    holds = np.zeros(len(scores), bool)
    holds[index] = is_grouped == wants_group
    return holds


def _holds_of_size_class(rule: Rule, sizes: Values | None, scores: Values) -> Flags:
    """Which objects are large, or small: only those that are sure."""
    size_class = plain_rule(rule)
    assert isinstance(size_class, SizeClass)
    assert sizes is not None
    index = _sure(scores)
    belongs = in_size_class(sizes[index], is_large=size_class.is_large)
    holds = np.zeros(len(scores), bool)
    holds[index] = belongs != is_negated(rule)
    return holds


def _sure(scores: Values) -> NDArray[np.intp]:
    """The objects that are compared with others: those that are sure, or all if none is."""
    is_sure = scores >= SURE_SCORE
    return np.flatnonzero(is_sure if is_sure.any() else ~is_sure)


def least_score(rule: Rank) -> float:
    """The mean probability below which objects come last in an order."""
    has_largest_first = rule.descending and rule.key in ("area", "length", "width")
    return LARGEST_SCORE if has_largest_first else SURE_SCORE


def _first(
    rule: Rank, values: Values, scores: Values, among: Flags, warnings: list[str]
) -> tuple[Flags, NDArray[np.int64]]:
    """The objects of the wanted ranks; ties go by the order of the objects."""
    index = np.flatnonzero(among & np.isfinite(values))
    keys = -values[index] if rule.descending else values[index]
    order = index[np.lexsort((keys, scores[index] < least_score(rule)))]
    rank = np.zeros(len(values), np.int64)
    rank[order] = np.arange(1, len(order) + 1)
    start, stop = rule.first - 1, rule.first - 1 + rule.count
    if len(index) and stop > len(order):
        warnings.append(f"{rule}: only {len(order)} objects can be compared")
    chosen = np.zeros(len(values), bool)
    chosen[order[start:stop]] = True
    for edge in (start, stop):  # the neighbours on both sides of the limit
        if rule.key != "place" and 0 < edge < len(order):
            first, second = values[order[edge - 1]], values[order[edge]]
            largest = max(abs(first), abs(second))
            if largest and abs(first - second) < NEAR_TIE * largest:
                warnings.append(
                    f"{rule}: number {edge} and number {edge + 1} differ by less than "
                    f"{NEAR_TIE:.0%} ({first:.4g} and {second:.4g})"
                )
    return chosen, rank
