"""Modifiers of a noun phrase that are rules over the whole scene: distances, sizes, places."""

import re
from abc import ABC, abstractmethod
from dataclasses import replace
from math import inf
from typing import NamedTuple

from rrsis_geo.text.query.drafts import Draft, set_rank
from rrsis_geo.text.query.quantities import Dimension, Quantity, read_quantity
from rrsis_geo.text.query.records import (
    AnyOf,
    Distance,
    Grouping,
    Measure,
    Query,
    Rank,
    Region,
    Relation,
    Relative,
    Rule,
    SideOf,
    Size,
    SizeClass,
)
from rrsis_geo.text.query.tokens import TokenStream, lower
from rrsis_geo.text.query.words import (
    BOUND_PHRASES,
    CENTRE,
    COMPARATIVES,
    EDGES,
    GROUPS,
    HEIGHT_ADVICE,
    HEIGHTS,
    LONELY,
    NEAREST,
    PARTS,
    SIZE_CLASSES,
    VERY,
    region_of,
)


class _Bounds(NamedTuple):
    """A range of a measure, in metres or square metres."""

    low: float
    high: float
    dimension: Dimension
    measure: Measure | None  # None where the words do not name it


class ModifierReader(TokenStream, ABC):
    """Reads one modifier at a time. Its methods give None where theirs does not begin."""

    @abstractmethod
    def landmark(self) -> Query:
        """Read the noun phrase that a rule refers to."""

    @abstractmethod
    def starts_modifier(self, ahead: int = 0) -> bool:
        """Whether a modifier begins at the next word or a later one."""

    def modifier(self, draft: Draft) -> list[Rule] | None:
        """The rules of one modifier, None where none begins at the token at hand."""
        start = self.at
        for read in (self.measured, self.side_or_region, self.geometry, self.grouping):
            rules = read()
            if rules is not None:
                return rules
            self.at = start
        if self.measure_of_order(draft):
            return []
        rules = self.order_from_side(draft)
        return self.nearest_to(draft) if rules is None else rules

    def measure_of_order(self, draft: Draft) -> bool:
        """ "by area" after "the largest building": whether it stood there."""
        rank = draft.rank
        found = self.accept("by|in", "area|size|footprint|length|width") if rank else None
        if found is None or rank is None or rank.key not in ("area", "length", "width"):
            return False
        measures: dict[str, Measure] = {"length": "length", "width": "width"}
        draft.rank = replace(rank, key=measures.get(found[1], "area"))
        return True

    def order_from_side(self, draft: Draft) -> list[Rule] | None:
        """ "from the left" after "the second car"."""
        start = self.at
        if draft.ordinal is not None and self.accept("from", "the?"):
            sides = self.sides()
            if len(sides) == 1:
                self.accept("side|edge|end")
                set_rank(draft, Rank("place", sides=sides), self.expression)
                return []
        self.at = start
        return None

    def nearest_to(self, draft: Draft) -> list[Rule] | None:
        """ "closest to the road", or "to the road" after "the closest car"."""
        start = self.at
        descending = draft.nearest
        if self.accept("farthest|furthest", "to?", "the?") and (sides := self.sides()):
            set_rank(draft, Rank("place", sides=sides), self.expression)
            return []
        self.at = start
        if self.peek() in NEAREST:
            descending = NEAREST[self.peek()]
            self.at += 1
            self.accept("away")
            if not self.accept("to|from") and self.peek() != "the":
                self.at = start
                return None
        elif descending is None or not self.accept("to|from"):
            return None
        draft.nearest = None
        rank = self.rank_of_distance(descending)
        set_rank(draft, replace(rank, count=1), self.expression)
        return []

    def rank_of_distance(self, descending: bool) -> Rank:
        """The order by the distance to what follows: the centre, a side, or a landmark."""
        start = self.at
        if (place := self.place_of_picture()) is not None:
            return Rank("distance", descending, landmark=place)
        if self.accept("the"):
            sides = self.sides()
            if sides and self.accept(f"{EDGES}|{PARTS}") and self.of_picture():
                return Rank("place", not descending, sides=sides)
            if sides and self.of_picture() and not self.tag().startswith("NN"):
                return Rank("place", not descending, sides=sides)
        self.at = start
        return Rank("distance", descending, landmark=self.landmark())

    def measured(self) -> list[Rule] | None:
        """A number of metres from a landmark, or a size: both begin alike."""
        bounds = self.bounds()
        if bounds is None:
            return None
        low, high, dimension, measure = bounds
        is_long = self.accept("long") or self.accept("in", "length")
        is_wide = self.accept("wide") or self.accept("in", "width")
        self.accept("in", "area|size") or self.accept("large|big")
        if is_long or is_wide:
            measure = "length" if is_long else "width"
        elif self.accept("away?", "of|from|to|off", "of?") is not None:
            if dimension != "length":
                raise self.error("of", "a distance needs a length, as in 200 m")
            if (place := self.place_of_picture()) is not None:
                return [Distance(place, low, high)]
            return [Distance(landmark, low, high) for landmark in self.landmarks_joined_by_and()]
        if dimension == "area" and measure in (None, "area"):
            return [Size("area", low, high)]
        if dimension == "length" and measure in ("length", "width"):
            return [Size(measure, low, high)]
        if dimension == "length" and measure is None:
            raise self.error(
                self.tokens[self.at - 1].text, 'say from what ("of the road"), or "long" or "wide"'
            )
        unit = "an area, as in 500 m2" if measure == "area" else "a length, as in 20 m"
        raise self.error(self.tokens[self.at - 1].text, f"that comparison needs {unit}")

    def landmarks_joined_by_and(self) -> list[Query]:
        """The landmarks of "within 50 m of the road and the river"."""
        found = [self.landmark()]
        while self.peek() == "and" and not self.starts_modifier(1) and self.tag(1) == "DT":
            self.at += 1
            found.append(self.landmark())
        return found

    def bounds(self) -> _Bounds | None:
        """ "within 200 m", "larger than 500 m2", "between 50 and 100 square metres"."""
        if self.peek() in ("of", "with"):
            self.accept("of|with|at", "an|a?", "area|size|length|width?", "of?")
        measure = self.measure_before()
        is_negated = bool(self.accept("no"))
        word = self.peek()
        if word in COMPARATIVES and self.peek(1) == "than":
            return self.compared(word, measure, is_negated=is_negated)
        if word in HEIGHTS and self.peek(1) == "than":
            raise self.error(word, HEIGHT_ADVICE)
        start = self.at
        self.accept("between|from")
        if (bounds := self.two_bounds(measure)) is not None:
            return bounds
        if self.at > start and self.tokens[start].text in ("between", "from"):
            return None
        self.at = start
        for phrase, is_above in BOUND_PHRASES:
            start = self.at
            if self.accept(*phrase):
                quantity = self.quantity()
                if quantity is not None and quantity.dimension is not None:
                    return self.one_bound(quantity, measure, is_above=is_above)
                self.at = start
        quantity = self.quantity()
        if quantity is None or quantity.dimension is None:
            return None
        if found := self.accept("or", "|".join(COMPARATIVES)):
            own, is_above = COMPARATIVES[found[1]]
            return self.one_bound(quantity, own or measure, is_above=is_above)
        raise self.error(
            self.tokens[self.at - 1].text, 'say "within", "at least" or "more than" before it'
        )

    def measure_before(self) -> Measure | None:
        """The measure that the words before the next one name: "with an area of"."""
        before = [token.text for token in self.tokens[max(self.at - 2, 0) : self.at]]
        if before and before[-1] == "of":
            before.pop()
        measures: tuple[Measure, ...] = ("area", "length", "width")
        return next((each for each in measures if before and before[-1] == each), None)

    def compared(self, word: str, measure: Measure | None, *, is_negated: bool) -> _Bounds | None:
        """The quantity after "larger than"."""
        self.at += 2
        own, is_above = COMPARATIVES[word]
        quantity = self.quantity()
        if quantity is None:
            if self.peek() and word in ("more", "less", "fewer"):
                return None
            raise self.error(f"{word} than", "give a measure, as in 500 m2 or 20 m")
        return self.one_bound(quantity, own or measure, is_above=is_above != is_negated)

    def two_bounds(self, measure: Measure | None) -> _Bounds | None:
        """The quantities after "between", or of "50 to 100 m"; None where others follow."""
        low = self.quantity()
        if low is None or not self.accept("and|to|-|–"):
            return None
        high = self.quantity()
        if high is None or high.dimension is None:
            return None
        factor = 1.0 if low.dimension else self.unit_factor(high)
        bounds = sorted((low.value * factor, high.value))
        return _Bounds(bounds[0], bounds[1], high.dimension, measure)

    def one_bound(self, quantity: Quantity, measure: Measure | None, *, is_above: bool) -> _Bounds:
        """The bound on one side that a quantity gives."""
        if quantity.dimension is None:
            raise self.error(f"{quantity.value:g}", "give a unit, as in 500 m2 or 20 m")
        low, high = (quantity.value, inf) if is_above else (0.0, quantity.value)
        return _Bounds(low, high, quantity.dimension, measure)

    def unit_factor(self, high: Quantity) -> float:
        """What a bare number is worth in the unit of the one after it."""
        text = lower(self.expression)[: high.stop]
        token = self.tokens[self.at - 1]
        bare = read_quantity(re.sub(r"[^\d.,\w ]", "", text[token.start :]).split()[0], 0)
        return 1.0 if bare is None or not bare.value else high.value / bare.value

    def side_or_region(self) -> list[Rule] | None:
        """A part of the scene, or a side of a landmark."""
        start = self.at
        preposition = self.accept("in|on|at|to|toward|towards|near|along|by")
        preposition = preposition or self.accept("next|close|closer", "to")
        is_far = bool(preposition and self.far())
        sides, part = self.sides_and_part()
        if not sides:
            self.at = start
            return self.centre() or self.edge() or self.above_or_below()
        if self.peek() == "of":
            after = self.at
            if self.of_picture():
                return [region_of(sides, part, is_far=is_far)]
            self.at = after + 1
            landmark = self.landmark()
            is_beside = preposition is None or preposition[0] in ("to", "on", "at")
            if is_beside and part in ("", "side"):
                return [SideOf(sides, landmark)]
            return [replace(region_of(sides, part, is_far=is_far), landmark=landmark)]
        if preposition is None or (self.tag().startswith("NN") and not part):
            self.at = start
            return None
        regions = [region_of(sides, part, is_far=is_far), *self.further_regions()]
        self.of_picture()
        return [regions[0] if len(regions) == 1 else AnyOf(tuple(regions))]

    def far(self) -> bool:
        """Read "the very" or "the": whether a word said "very"."""
        self.accept("the")
        return self.accept(VERY) is not None

    def further_regions(self) -> list[Region]:
        """ "and south" after "in the north"."""
        found = []
        start = self.at
        while self.accept("and|or"):
            is_far = self.far()
            sides, part = self.sides_and_part()
            is_name = self.peek() and not self.of_picture() and self.tag().startswith(("NN", "JJ"))
            if not sides or is_name:
                break
            found.append(region_of(sides, part, is_far=is_far))
            start = self.at
        self.at = start
        return found

    def centre(self) -> list[Rule] | None:
        """ "in the centre of the image", "in the middle of the harbor"."""
        start = self.at
        if self.accept("in|at|near", "the", "very?", CENTRE, f"{PARTS}?") is None:
            self.at = start
            return None
        if self.peek() == "of":
            if self.of_picture():
                return [Region((), "third")]
            self.at += 1
            return [Region((), "third", self.landmark())]
        return [Region((), "third")]

    def edge(self) -> list[Rule] | None:
        """ "at the edge of the image"."""
        start = self.at
        if self.accept("at|near|along|on|by", "the|an", f"{EDGES}|edges|borders") is None:
            return None
        if self.of_picture():
            return [Region((), "edge")]
        self.at = start
        return None

    def above_or_below(self) -> list[Rule] | None:
        """ "above the road"."""
        word = self.accept("above|below")
        if word is None or self.tag() not in ("DT", "NN", "NNS", "JJ"):
            return None
        return [SideOf(("top",) if word[0] == "above" else ("bottom",), self.landmark())]

    def geometry(self) -> list[Rule] | None:
        """Between, along, around, inside, outside."""
        if self.accept("in?", "between"):
            first = self.landmark()
            if not self.accept("and"):
                return [Relative("between", (first,))]
            return [Relative("between", (first, self.landmark()))]
        relations: tuple[tuple[str, Relation], ...] = (
            ("along", "along"),
            ("around|surrounding", "around"),
            ("inside|within", "in"),
            ("outside", "outside"),
        )
        for words, relation in relations:
            if found := self.accept(words):
                self.accept("of")
                if found == ["within"] and self.bare_number() is not None:
                    raise self.error(self.tokens[self.at - 1].text, "give a unit, as in 200 m")
                return [Relative(relation, (self.landmark(),))]
        return None

    def grouping(self) -> list[Rule] | None:
        """ "in groups", "by itself", and "isolated" or "small" after "that are"."""
        if self.accept("in", GROUPS):
            return [Grouping("grouped")]
        if self.accept("by|on", "itself|themselves|its|their", "own?") or self.accept("alone"):
            return [Grouping("isolated")]
        is_noun = self.tag(1).startswith(("NN", "JJ", "VBG", "CD"))  # "or isolated trees"
        if self.peek() in LONELY and not is_noun:
            self.at += 1
            return [Grouping("isolated")]
        if self.peek() in SIZE_CLASSES and not is_noun:  # "that are small"
            self.at += 1
            return [SizeClass(*SIZE_CLASSES[self.tokens[self.at - 1].text])]
        return None
