"""Which objects an expression means: its rules, applied to the objects that were found.

Targets are streamed. Where no rule compares them with each other, each batch is judged as it comes.
Otherwise the facts that the rules need are collected first, a few numbers an object, with the
objects that can still be chosen. Where those are too many, the objects are read again. Only
landmarks and excluded objects are all held in memory.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.resolve.batches import Batch, Facts, ReadObjects
from rrsis_geo.resolve.choice import Choice, Column, choose, join_columns
from rrsis_geo.resolve.fact_columns import fact_columns
from rrsis_geo.resolve.frame import Flags, Float64, Frame, Things
from rrsis_geo.resolve.groups import Groups
from rrsis_geo.resolve.leaders import Leaders, Select, everything
from rrsis_geo.resolve.relations import share_covered
from rrsis_geo.resolve.rule_facts import holds_without_landmark, rule_column
from rrsis_geo.text.query.records import (
    Distance,
    Find,
    Grouping,
    Only,
    Query,
    Rank,
    Relative,
    Rule,
    Size,
    SizeClass,
    landmarks_of,
    parts_of,
    plain_rule,
)

logger = logging.getLogger(__name__)

COVERED = 0.5
"""An object is dropped if an excluded phrase, or an earlier one of "or", covers this share."""
LANDMARK_SCORE = 0.8
"""Objects whose mean probability is lower are no landmarks, where any other is surer: a crumb of a
road mask in a yard would put all cars in the yard near the road. On the validation images that is
the case for 79 % of the objects that are none, and for 3 % of the area of those that are. Large
areas have lower scores than things, so SURE_SCORE would drop too many."""
_COMPARING = (Grouping, Only, Rank, SizeClass)  # rules that need all objects
MAX_HELD = 2**21  # vertices, of 16 bytes each


class Meant(NamedTuple, Generic[Batch]):
    """Objects that a query means, or candidates for it.

    Attributes:
        objects: a batch of N.
        facts: columns [N] by name that tell why they were chosen, see `fact_names`; of candidates
            also "chosen", bool. What is unknown of an object is NaN or None.
    """

    objects: Batch
    facts: Facts


class _Part(NamedTuple, Generic[Batch]):
    """Some objects of a phrase, and their numbers among all objects of the phrase, from 0."""

    phrase: str
    numbers: NDArray[np.intp]
    objects: Batch

    def take(self, index: NDArray[np.intp]) -> "_Part[Batch]":
        return _Part(self.phrase, self.numbers[index], self.objects.take(index))


class _Rows(NamedTuple, Generic[Batch]):
    """Some objects that are alive, and their rows among all those of the query."""

    part: _Part[Batch]
    rows: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class _Facts(Generic[Batch]):
    """What is known of the objects of a query after the first pass.

    Attributes:
        choice: which of them are chosen.
        alive: of each part, bool: what no exclusion drops. Other fields count these only.
        places: of each part: its phrase, and the numbers of what is alive.
        columns: facts [N] by name, see `fact_names`.
        held: all objects that can be chosen; None if they must be read again.
        leaders: which objects of each batch were looked at.
    """

    choice: Choice
    alive: list[Flags]
    places: list[tuple[str, NDArray[np.intp]]]
    columns: Facts
    held: list[_Rows[Batch]] | None
    leaders: Leaders


class Resolver(Generic[Batch]):
    """Resolves queries over the objects of one scene or image."""

    def __init__(
        self,
        read: ReadObjects[Batch],
        frame: Frame,
        prefix: str | None = "",
        *,
        max_held: int = MAX_HELD,
    ) -> None:
        """Nothing is read yet.

        Args:
            read: gives the objects of a phrase.
            frame: of the scene.
            prefix: of warnings, to tell several expressions apart; None logs no warnings.
            max_held: vertices of objects that are held until it is known which are chosen. Where
                there are more, the objects are read again.
        """
        self._read = read
        self._frame = frame
        self._max_held = max_held
        self._prefix = prefix
        self._facts: dict[tuple[Query, bool, bool], _Facts[Batch]] = {}
        self._landmarks: dict[tuple[Query, bool], Things] = {}
        self._exclusions: dict[Query, Things] = {}
        self._warned: set[str] = set()

    def meant(self, query: Query, *, is_target: bool = True) -> Iterator[Meant[Batch]]:
        """The objects that a query means, with the facts that chose them."""
        for part, columns in self._chosen(query, is_target):
            yield Meant(part.objects, columns)

    def landmarks(self, query: Query, *, is_target: bool = False) -> Iterator[Meant[Batch]]:
        """The objects of a landmark that count, with the facts that chose them.

        See LANDMARK_SCORE. If none is as sure, all count.

        Args:
            query: the landmark.
            is_target: whether its objects are read as targets are.
        """
        unsure: list[Meant[Batch]] | None = []  # None once one is sure
        for objects, facts in self.meant(query, is_target=is_target):
            index = np.flatnonzero(objects.score >= LANDMARK_SCORE)
            unsure = None if len(index) else unsure
            if unsure is None:
                yield Meant(objects.take(index), {name: facts[name][index] for name in facts})
            else:
                unsure.append(Meant(objects, facts))
        yield from unsure or ()

    def candidates(self, query: Query) -> Iterator[Meant[Batch]]:
        """All objects of the target phrases, with their facts and whether they are chosen.

        Objects that an exclusion drops, and those that an earlier phrase of "or" covers, are not
        chosen and have no other facts.
        """
        known = self._resolve(query, is_target=True, needs_all=True)
        columns = {"chosen": known.choice.chosen, **known.columns}
        for phrase in query.targets():
            numbers = np.concatenate(
                [np.empty(0, int), *(each for name, each in known.places if name == phrase)]
            )
            lengths = [len(each) for _, each in known.places]
            is_here = np.repeat([name == phrase for name, _ in known.places], lengths)
            rows = np.flatnonzero(is_here)
            first = 0
            for whole in self._read(phrase, True):
                batch = whole.parts()
                index = np.flatnonzero((numbers >= first) & (numbers < first + len(batch)))
                at = numbers[index] - first
                first += len(batch)
                yield Meant(
                    batch,
                    {
                        name: _spread(column[rows[index]], at, len(batch))
                        for name, column in columns.items()
                    },
                )

    def _chosen(self, query: Query, is_target: bool) -> Iterator[tuple[_Part[Batch], Facts]]:
        """The objects that a query means, and why they were chosen."""
        if not any(isinstance(plain_rule(rule), _COMPARING) for rule in query.rules):
            yield from self._judge_batches(query, is_target)
            return
        facts = self._resolve(query, is_target)
        for part, rows in (
            self._alive(facts, query, is_target) if facts.held is None else facts.held
        ):
            index = np.flatnonzero(facts.choice.chosen[rows])
            if len(index):
                columns = facts.columns.items()
                yield part.take(index), {name: values[rows[index]] for name, values in columns}

    def _judge_batches(self, query: Query, is_target: bool) -> Iterator[tuple[_Part[Batch], Facts]]:
        """The objects that a query means, in one pass, as no rule compares them."""
        n = 0
        for part, keep in self._kept_parts(query, is_target):
            part = part.take(np.flatnonzero(keep))
            n += len(part.numbers)
            things = self._things_of(part)
            columns = self._rule_columns(query, is_target, part, things)
            choice = choose(query.rules, columns, part.objects.score)
            index = np.flatnonzero(choice.chosen)
            if len(index):
                facts = fact_columns(query, choice, columns, self._frame).items()
                yield part.take(index), {name: values[index] for name, values in facts}
        if n:
            self._warn(self._missing_landmarks(query, is_target))

    def _alive(self, facts: _Facts[Batch], query: Query, is_target: bool) -> Iterator[_Rows[Batch]]:
        """The objects that no exclusion drops, read again."""
        first = 0
        parts = self._parts(query, is_target, facts.leaders.repeat())
        for part, keep in zip(parts, facts.alive, strict=True):
            index = np.flatnonzero(keep)
            yield _Rows(part.take(index), np.arange(first, first + len(index)))
            first += len(index)

    def _resolve(self, query: Query, is_target: bool, *, needs_all: bool = False) -> _Facts[Batch]:
        """First pass: the facts of objects, and which are chosen.

        Objects that can not be among the first of a rank are left out, unless `needs_all`.
        """
        key = query, is_target, needs_all
        if key in self._facts:
            return self._facts[key]
        columns: list[list[Column]] = []
        alive: list[Flags] = []
        places: list[tuple[str, NDArray[np.intp]]] = []
        scores: list[Float64] = [np.empty(0)]
        groups = Groups(query)
        until_rank = _until_rank(query.rules)
        leaders = Leaders(() if needs_all else query.rules, until_rank, self._frame)
        held: list[_Rows[Batch]] | None = []
        first = n_held = 0
        for part, keep in self._kept_parts(query, is_target, leaders.select):
            alive.append(keep)
            part = part.take(np.flatnonzero(keep))
            places.append((part.phrase, part.numbers))
            scores.append(part.objects.score)
            things = self._things_of(part)
            columns.append(self._rule_columns(query, is_target, part, things))
            can_fit = groups.add(things, scores[-1])
            known = columns[-1][: len(until_rank)]
            index = np.flatnonzero(choose(until_rank, known, scores[-1]).chosen & can_fit)
            leaders.add(known, index, scores[-1])
            if held is not None:
                held.append(_Rows(part.take(index), first + index))
                n_held += held[-1].part.objects.n_vertices
                held = held if n_held <= self._max_held else None
            first += len(part.numbers)
        joined = groups.fill(join_columns(columns, query.rules))
        score = np.concatenate(scores)
        choice = choose(query.rules, joined, score)
        self._warn(self._missing_landmarks(query, is_target) if len(score) else ())
        self._warn(choice.warnings)
        why = fact_columns(query, choice, joined, self._frame)
        facts = _Facts(choice, alive, places, why, held, leaders)
        self._facts[key] = facts
        return facts

    def _rule_columns(
        self, query: Query, is_target: bool, part: _Part[Batch], things: Things
    ) -> list[Column]:
        """What each rule needs to know of some objects; `things` are the same."""
        find_landmark = partial(self._landmark, query, is_target)

        def measure() -> Float64:
            return part.objects.area_m2

        return [rule_column(rule, measure, things, find_landmark) for rule in query.rules]

    def _warn(self, texts: Iterable[str]) -> None:
        for text in texts if self._prefix is not None else ():
            if text not in self._warned:  # landmarks can be read twice
                logger.warning("%s%s", self._prefix, text)
            self._warned.add(text)

    def _missing_landmarks(self, query: Query, is_target: bool) -> Iterator[str]:
        """What follows where the landmark of a rule was not found."""
        missing: dict[Query, list[str]] = {}
        for rule in (part for each in query.rules for part in parts_of(each)):
            for landmark in landmarks_of(rule):
                if not len(self._landmark(query, is_target, landmark)):
                    objects = "every object is" if holds_without_landmark(rule) else "no object is"
                    missing.setdefault(landmark, []).append(f"{objects} {rule}")
        for landmark, results in missing.items():
            yield f'"{landmark}" was not found in the scene, so {" and ".join(results)}'

    def _parts(self, query: Query, is_target: bool, select: Select) -> Iterator[_Part[Batch]]:
        """The objects of all sources; of the last source, those that are selected."""
        for source in query.sources:
            if isinstance(source, Find):
                first = 0
                for whole in self._read(source.phrase, is_target):
                    if source is query.sources[-1]:
                        index = select(whole)
                        whole = whole if len(index) == len(whole) else whole.take(index)
                    batch = whole.parts()
                    if len(batch):
                        yield _Part(source.phrase, np.arange(first, first + len(batch)), batch)
                    first += len(batch)
            else:
                yield from (part for part, _ in self._chosen(source, is_target))

    def _kept_parts(
        self, query: Query, is_target: bool, select: Select = everything
    ) -> Iterator[tuple[_Part[Batch], Flags]]:
        """The objects of all sources, with those that an exclusion or an earlier source drops."""
        earlier: list[Things] = []
        for source in query.sources:
            dropping = list(earlier)
            if isinstance(source, Find):
                dropping += [self._excluded(query) for query in source.excluded]
            kept = [np.empty(0, object)]
            is_last = source is query.sources[-1]
            for part in self._parts(Query((source,)), is_target, select if is_last else everything):
                keep = np.ones(len(part.numbers), bool)
                things = self._things_of(part)
                for others in dropping:
                    keep &= share_covered(things, others) < COVERED
                if not is_last:
                    kept.append(part.objects.polygons[keep])
                yield part, keep
            earlier.append(Things.of(np.concatenate(kept), self._frame))

    def _excluded(self, query: Query) -> Things:
        """The objects of an exclusion, in memory."""
        if query not in self._exclusions:
            self._exclusions[query] = self._things(partial(self.meant, query, is_target=False))
        return self._exclusions[query]

    def _landmark(self, query: Query, is_target: bool, landmark: Query) -> Things:
        """The objects of a landmark of a query, in memory.

        If some can be targets too ("within 20 m of another car"), they are read as targets are, so
        that each is recognised by its outline.
        """
        is_same = is_target and not set(query.targets()).isdisjoint(landmark.targets())
        if (landmark, is_same) not in self._landmarks:
            read = partial(self.landmarks, landmark, is_target=is_same)
            self._landmarks[landmark, is_same] = self._things(read)
        return self._landmarks[landmark, is_same]

    def _things(self, read: Callable[[], Iterator[Meant[Batch]]]) -> Things:
        return Things(lambda: (objects for objects, _ in read()), self._frame)

    def _things_of(self, part: _Part[Batch]) -> Things:
        return Things(lambda: (part.objects,), self._frame)


def _spread(values: NDArray[Any], at: NDArray[np.intp], n: int) -> NDArray[Any]:
    """N values: those given at their places, nothing elsewhere."""
    nothing = {"b": False, "f": np.nan}.get(values.dtype.kind)
    found = np.full(n, nothing, values.dtype)
    found[at] = values
    return found


def rules_in_metres(query: Query) -> Iterator[Rule]:
    """The rules of a query, and of its landmarks, that need metres on the ground."""
    for inner in (part for rule in all_rules(query) for part in parts_of(rule)):
        near = isinstance(inner, Relative) and inner.relation in ("along", "around", "next to")
        if isinstance(inner, Distance | Size) or near:
            yield inner


def all_rules(query: Query) -> Iterator[Rule]:
    """The rules of a query, of its sources and of its landmarks."""
    for source in query.sources:
        for inner in source.excluded if isinstance(source, Find) else (source,):
            yield from all_rules(inner)
    for rule in query.rules:
        yield rule
        for landmark in landmarks_of(rule):
            yield from all_rules(landmark)


def _until_rank(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Rules that choose from any part of the objects all those that the whole rules can choose.

    They are the filters before the first rule that needs all objects. If that is a rank, it is the
    last of them, and chooses all ranks up to one after its last: near ties are compared with that.
    """
    for number, rule in enumerate(rules):
        if isinstance(rule, Rank):
            return (*rules[:number], replace(rule, first=1, count=rule.first + rule.count))
        if isinstance(plain_rule(rule), _COMPARING):
            return rules[:number]
    return rules
