"""Which objects an expression means: its rules, applied to the objects that were found.

Targets are streamed twice: first for the facts that the rules need, a few numbers an object; then
to pass on those that are chosen. Only landmarks and excluded objects are held in memory.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.resolve.choice import Choice, Column, choose
from rrsis_geo.resolve.frame import Flags, Float64, Frame, Polygons, Things
from rrsis_geo.resolve.relations import nearest_other_m, share_covered
from rrsis_geo.resolve.rule_facts import rule_column
from rrsis_geo.text.query.records import (
    Distance,
    Find,
    Grouping,
    Not,
    Query,
    Rank,
    Relative,
    Rule,
    Size,
    landmarks_of,
)

logger = logging.getLogger(__name__)

COVERED = 0.5
"""An object is dropped if an excluded phrase, or an earlier one of "or", covers this share."""
GROUP_LENGTHS = 3.0
"""Objects are in a group if the centroid of another one is nearer than this times their length."""


class ObjectBatch(Protocol):
    """Some objects, with what rules ask of them."""

    @property
    def polygons(self) -> Polygons:
        """Shapely polygons [N], in the coordinates of the scene."""

    @property
    def area_m2(self) -> Float64:
        """Area [N] on the ground; NaN if unknown."""

    @property
    def score(self) -> Float64:
        """Mean probability [N] of the pixels."""

    def __len__(self) -> int: ...

    def take(self, index: NDArray[np.intp]) -> Self:
        """Some of the objects, in the order of the index."""


Batch = TypeVar("Batch", bound=ObjectBatch)

ReadObjects = Callable[[str, bool], Iterator[Batch]]
"""Reads the objects of a phrase, each time from the start; True: those of a target, which are
filtered and simplified as the options say."""


class Meant(NamedTuple, Generic[Batch]):
    """Objects that a query means.

    Attributes:
        objects: a batch of N.
        facts: columns [N] by name that tell why they were chosen, see `fact_names`.
    """

    objects: Batch
    facts: dict[str, NDArray[np.generic]]


@dataclass(slots=True)
class _Facts:
    """What is known of the objects of a query after the first pass.

    Attributes:
        choice: which of them are chosen.
        alive: of each batch, bool: what no exclusion drops. Other fields count these only.
        distance_m: float64 [N], from the first rule of distance; empty without one.
    """

    choice: Choice
    alive: list[Flags]
    distance_m: Float64 = field(default_factory=lambda: np.empty(0))


class Resolver(Generic[Batch]):
    """Resolves queries over the objects of one scene or image."""

    def __init__(self, read: ReadObjects[Batch], frame: Frame, prefix: str = "") -> None:
        """Nothing is read yet.

        Args:
            read: gives the objects of a phrase.
            frame: of the scene.
            prefix: of warnings, to tell several expressions apart.
        """
        self._read = read
        self._frame = frame
        self._prefix = prefix
        self._facts: dict[Query, _Facts] = {}
        self._things: dict[Query | str, Things] = {}

    def meant(self, query: Query, *, is_target: bool = True) -> Iterator[Meant[Batch]]:
        """The objects that a query means, with the facts that chose them."""
        facts = self._resolve(query, is_target)
        at, names = 0, fact_names(query)
        for batch, alive in zip(self._batches(query, is_target), facts.alive, strict=True):
            batch = batch.take(np.flatnonzero(alive))
            rows = np.arange(at, at + len(batch))
            at += len(batch)
            index = np.flatnonzero(facts.choice.chosen[rows])
            if not len(index):
                continue
            rows = rows[index]
            columns: dict[str, NDArray[np.generic]] = {}
            if "rank" in names:
                columns["rank"] = facts.choice.rank[rows]
            if "distance_m" in names:
                columns["distance_m"] = facts.distance_m[rows].round(2)
            yield Meant(batch.take(index), columns)

    def _resolve(self, query: Query, is_target: bool) -> _Facts:
        """First pass: the facts of all objects, and which are chosen."""
        if query in self._facts:
            return self._facts[query]
        columns: list[list[Column]] = []
        alive: list[Flags] = []
        centres: list[Float64] = []
        lengths: list[Float64] = []
        scores: list[Float64] = [np.empty(0)]
        has_groups = any(isinstance(_plain_rule(rule), Grouping) for rule in query.rules)
        for batch, keep in self._kept_batches(query, is_target):
            alive.append(keep)
            batch = batch.take(np.flatnonzero(keep))
            scores.append(batch.score)
            things = Things(batch.polygons, self._frame)
            columns.append(
                [rule_column(rule, batch.area_m2, things, self._landmark) for rule in query.rules]
            )
            if has_groups:
                centres.append(things.centres(compass=True))
                lengths.append(things.sides_m()[0])
        joined = [_join([row[i] for row in columns]) for i in range(len(query.rules))]
        if has_groups and centres:
            grouped = _is_grouped(np.concatenate(centres), np.concatenate(lengths))
            joined = _with_groups(query.rules, joined, grouped)
        known = np.concatenate(scores)
        choice = choose(query.rules, joined if len(known) else _empty(query.rules), known)
        for text in choice.warnings:
            logger.warning("%s%s", self._prefix, text)
        facts = _Facts(choice, alive, _distances(query.rules, joined))
        self._facts[query] = facts
        return facts

    def _batches(self, query: Query, is_target: bool) -> Iterator[Batch]:
        for source in query.sources:
            if isinstance(source, Find):
                yield from self._read(source.phrase, is_target)
            else:
                yield from (found.objects for found in self.meant(source, is_target=is_target))

    def _kept_batches(self, query: Query, is_target: bool) -> Iterator[tuple[Batch, Flags]]:
        """The objects of all sources, with those that an exclusion or an earlier source drops."""
        earlier: list[Things] = []
        for source in query.sources:
            batches: Iterable[Batch] = self._batches(Query((source,)), is_target)
            dropping = list(earlier)
            if isinstance(source, Find):
                dropping += [self._objects_of(phrase) for phrase in source.excluded]
            kept: list[Batch] = []
            for batch in batches:
                keep = np.ones(len(batch), bool)
                for others in dropping:
                    plane = self._frame.plane(batch.polygons)
                    keep &= share_covered(plane, others.plane) < COVERED
                if source is not query.sources[-1]:
                    kept.append(batch.take(np.flatnonzero(keep)))
                yield batch, keep
            earlier.append(self._as_things(kept))

    def _objects_of(self, phrase: str) -> Things:
        if phrase not in self._things:
            self._things[phrase] = self._as_things(self._read(phrase, False))
        return self._things[phrase]

    def _landmark(self, query: Query) -> Things:
        if query not in self._things:
            found = self.meant(query, is_target=False)
            things = self._as_things(batch for batch, _ in found)
            self._things[query] = things
            if not len(things):
                logger.warning(
                    '%s"%s" was not found in the scene: no object is known to lie near it',
                    self._prefix,
                    query,
                )
        return self._things[query]

    def _as_things(self, batches: Iterable[Batch]) -> Things:
        polygons = [batch.polygons for batch in batches]
        empty = np.empty(0, object)
        return Things(np.concatenate([empty, *polygons]), self._frame)


def fact_names(query: Query) -> tuple[str, ...]:
    """Names of the columns that tell how the objects of a query were chosen."""
    has_rank = any(isinstance(rule, Rank) for rule in query.rules)
    has_distance = any(_is_distance(rule) for rule in query.rules)
    return (("rank",) if has_rank else ()) + (("distance_m",) if has_distance else ())


def rules_in_metres(query: Query) -> Iterator[Rule]:
    """The rules of a query, and of its landmarks, that need metres on the ground."""
    for rule in _all_rules(query):
        inner = _plain_rule(rule)
        near = isinstance(inner, Relative) and inner.relation in ("along", "around", "next to")
        if isinstance(inner, Distance | Size) or near:
            yield inner


def _all_rules(query: Query) -> Iterator[Rule]:
    for source in query.sources:
        if isinstance(source, Query):
            yield from _all_rules(source)
    for rule in query.rules:
        yield rule
        for landmark in landmarks_of(rule):
            yield from _all_rules(landmark)


def _plain_rule(rule: Rule) -> Rule:
    return _plain_rule(rule.rule) if isinstance(rule, Not) else rule


def _is_distance(rule: Rule) -> bool:
    return isinstance(rule, Distance) or (
        isinstance(rule, Rank) and rule.key in ("distance", "centre")
    )


def _distances(rules: tuple[Rule, ...], columns: list[Column]) -> Float64:
    for rule, column in zip(rules, columns, strict=True):
        if _is_distance(rule) and column.value is not None:
            return column.value
    return np.empty(0)


def _join(columns: list[Column]) -> Column:
    """One column of the columns of all batches."""
    holds = [column.holds for column in columns if column.holds is not None]
    values = [column.value for column in columns if column.value is not None]
    return Column(
        holds=np.concatenate(holds) if holds else None,
        value=np.concatenate(values) if values else None,
    )


def _empty(rules: tuple[Rule, ...]) -> list[Column]:
    return [Column(np.empty(0, bool), np.empty(0)) for _ in rules]


def _is_grouped(centres: Float64, lengths: Float64) -> Flags:
    return nearest_other_m(centres) <= GROUP_LENGTHS * lengths


def _with_groups(rules: tuple[Rule, ...], columns: list[Column], grouped: Flags) -> list[Column]:
    """The columns, with those of groupings filled in."""
    found = list(columns)
    for number, rule in enumerate(rules):
        inner = _plain_rule(rule)
        if isinstance(inner, Grouping):
            found[number] = Column(holds=grouped if inner.kind == "grouped" else ~grouped)
    return found
