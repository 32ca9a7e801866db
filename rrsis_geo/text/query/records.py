"""What an expression means over a whole scene: phrases for the network, rules over its objects.

`rrsis_geo.text.query.parser.parse_query` makes a `Query` of an expression. The network answers its
phrases window by window; `rrsis_geo.resolve.resolver` applies its rules to the objects of
the whole scene. docs/language.md describes the grammar.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from math import inf
from typing import Any, Final, Literal

Side = Literal["north", "south", "east", "west", "top", "bottom", "left", "right"]
"""Compass sides go by true north, the others by the picture as it is displayed."""
Measure = Literal["area", "length", "width"]

COMPASS: Final = ("north", "south", "east", "west")


@dataclass(frozen=True, slots=True)
class Find:
    """Objects that the network finds.

    Attributes:
        phrase: for the network, in each window.
        excluded: what is not meant: "red cars" for "cars that are not red".
    """

    phrase: str
    excluded: "tuple[Query, ...]" = ()


@dataclass(frozen=True, slots=True)
class Query:
    """Objects of one or several sources, of which all rules hold, in order.

    Attributes:
        sources: what to find; several for "cars or trucks".
        rules: filters and ranks; a rank compares what the rules before it leave.
    """

    sources: "tuple[Find | Query, ...]"
    rules: "tuple[Rule, ...]" = ()

    @property
    def is_plain(self) -> bool:
        """Whether the network alone answers it."""
        source = self.sources[0]
        return (
            len(self.sources) == 1
            and not self.rules
            and isinstance(source, Find)
            and not source.excluded
        )

    def phrases(self) -> tuple[str, ...]:
        """Every phrase that the network is asked for, landmarks included, each once."""
        return tuple(dict.fromkeys(self._all_phrases()))

    def targets(self) -> tuple[str, ...]:
        """The phrases of the objects that are meant, each once."""
        found: dict[str, None] = {}
        for source in self.sources:
            names = (source.phrase,) if isinstance(source, Find) else source.targets()
            found |= dict.fromkeys(names)
        return tuple(found)

    def landmarks(self) -> "tuple[Query, ...]":
        """The landmarks that the rules refer to, each once, not those of landmarks."""
        found: dict[Query, None] = {}
        for source in self.sources:
            inner = source.excluded if isinstance(source, Find) else (source,)
            for query in inner:
                found |= dict.fromkeys(query.landmarks())
        for rule in self.rules:
            found |= dict.fromkeys(landmarks_of(rule))
        return tuple(found)

    def _all_phrases(self) -> Iterator[str]:
        for source in self.sources:
            if isinstance(source, Find):
                yield source.phrase
                for query in source.excluded:
                    yield from query._all_phrases()
            else:
                yield from source._all_phrases()
        for rule in self.rules:
            for landmark in landmarks_of(rule):
                yield from landmark._all_phrases()

    def to_dict(self) -> dict[str, Any]:
        """The tree, ready for JSON."""
        tree: dict[str, Any] = _as_json(self)
        return tree

    def __str__(self) -> str:
        """The reading as people check it: ``tanks (white) ; within 300 m of "railway"``."""
        names = " or ".join(
            source.phrase + "".join(f" without {_quoted(each)}" for each in source.excluded)
            if isinstance(source, Find)
            else f"({source})"
            for source in self.sources
        )
        return " ; ".join([names, *map(str, self.rules)])


@dataclass(frozen=True, slots=True)
class Place:
    """A place of the scene, or of the area of interest, that distances are measured from.

    Attributes:
        kind: "centre" is a point, "corner" the one between two sides, "edge" the whole outline.
        sides: two for a corner.
    """

    kind: Literal["centre", "corner", "edge"]
    sides: tuple[Side, ...] = ()

    def __str__(self) -> str:
        if not self.sides:
            return f"the {self.kind}"
        ending = "ern" if self.sides[0] in COMPASS else ""
        return f"the {_direction(self.sides)}{ending} corner"


Landmark = Query | Place


@dataclass(frozen=True, slots=True)
class Region:
    """Centroid in a part of the scene, or of a landmark's bounds.

    Attributes:
        sides: () is the centre; one side, or two for a corner.
        part: "half" of the extent (a quadrant for two sides), a "third" (the middle one without a
            side), a "quarter", the outer "edge", the outer "corner", or the "middle" of one side.
        landmark: whose bounds are meant; None for the scene or the area of interest.
    """

    sides: tuple[Side, ...]
    part: Literal["half", "third", "quarter", "middle", "edge", "corner"]
    landmark: Query | None = None

    def __str__(self) -> str:
        if not self.sides:
            text = "centre" if self.part == "third" else "any edge"
        else:
            ending = "ern" if self.sides[0] in COMPASS else ""
            text = f"{_direction(self.sides)}{ending} {self.part}"
            text = text.replace("half", "quadrant") if len(self.sides) == 2 else text
        return text if self.landmark is None else f"{text} of {_quoted(self.landmark)}"


@dataclass(frozen=True, slots=True)
class SideOf:
    """On one side of a landmark, or diagonally from it (two sides)."""

    sides: tuple[Side, ...]
    landmark: Query

    def __str__(self) -> str:
        name = _direction(self.sides)
        word = {"top": "above", "bottom": "below"}.get(name, f"{name} of")
        return f"{word} {_quoted(self.landmark)}"


@dataclass(frozen=True, slots=True)
class Distance:
    """Distance in metres, from outline to outline; from a place of the scene to the centroid."""

    landmark: Landmark
    at_least_m: float = 0.0
    at_most_m: float = inf

    def __str__(self) -> str:
        bounds = _range(self.at_least_m, self.at_most_m, "within", _metres)
        word = "from" if self.at_least_m else "of"
        return f"{bounds} {word} {_quoted(self.landmark)}"


Relation = Literal["on", "in", "next to", "between", "along", "around", "outside"]


@dataclass(frozen=True, slots=True)
class Relative:
    """In a geometric relation to landmarks.

    Attributes:
        relation: "between" needs two landmarks, or one whose objects are taken in pairs.
        landmarks: one, or two for "between".
    """

    relation: Relation
    landmarks: tuple[Query, ...]

    def __str__(self) -> str:
        return f"{self.relation} {' and '.join(map(_quoted, self.landmarks))}"


@dataclass(frozen=True, slots=True)
class Size:
    """A measure in metres or square metres between two bounds."""

    measure: Measure
    at_least: float = 0.0
    at_most: float = inf

    def __str__(self) -> str:
        write = _square_metres if self.measure == "area" else _metres
        return f"{self.measure} {_range(self.at_least, self.at_most, 'under', write)}"


@dataclass(frozen=True, slots=True)
class SizeClass:
    """Of the larger or the smaller of two classes by size: "large ships"."""

    measure: Measure
    is_large: bool

    def __str__(self) -> str:
        return f"{SIZE_CLASS_OF[self.measure, self.is_large]} (of two classes by {self.measure})"


@dataclass(frozen=True, slots=True)
class Grouping:
    """Near others of the same query, or not."""

    kind: Literal["isolated", "grouped"]

    def __str__(self) -> str:
        return {"isolated": "isolated", "grouped": "in groups"}[self.kind]


@dataclass(frozen=True, slots=True)
class Only:
    """The number of objects that the expression expects; a warning is due where others fit."""

    count: int = 1

    def __str__(self) -> str:
        return "the only one" if self.count == 1 else f"expected: {self.count}"


@dataclass(frozen=True, slots=True)
class Not:
    """Objects of which a rule does not hold."""

    rule: "Rule"

    def __str__(self) -> str:
        return f"not {self.rule}"


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Objects of which one of several rules holds: "in the north or in the south"."""

    rules: "tuple[Rule, ...]"

    def __str__(self) -> str:
        return " or ".join(map(str, self.rules))


RankKey = Literal["area", "length", "width", "place", "distance"]


@dataclass(frozen=True, slots=True)
class Rank:
    """The first objects in an order.

    Attributes:
        key: what is compared; "place" needs `sides`, "distance" a landmark.
        descending: whether the greatest comes first.
        first: rank of the first object that is meant, from 1.
        count: how many are meant.
        sides: along which side a "place" is measured; the farthest to it comes first.
        landmark: from which a distance is measured.
    """

    key: RankKey
    descending: bool = True
    first: int = 1
    count: int = 1
    sides: tuple[Side, ...] = ()
    landmark: Landmark | None = None

    def __str__(self) -> str:
        if self.key == "distance":
            assert self.landmark is not None
            word = "farthest from" if self.descending else "closest to"
            text = f"{word} {_quoted(self.landmark)}"
        elif self.key == "place":
            ending = "ernmost" if self.sides[0] in COMPASS else "most"
            text = f"{_direction(self.sides)}{ending}"
        else:
            text = SUPERLATIVE_OF[self.key, self.descending]
        rank = "" if self.first == 1 else f"{ordinal(self.first)} "
        count = "" if self.count == 1 else f"{self.count} "
        return f"the {rank}{count}{text}"


Rule = (
    Region | SideOf | Distance | Relative | Size | SizeClass | Grouping | Only | Not | AnyOf | Rank
)

SUPERLATIVE_OF: Final[dict[tuple[str, bool], str]] = {
    ("area", True): "largest",
    ("area", False): "smallest",
    ("length", True): "longest",
    ("length", False): "shortest",
    ("width", True): "widest",
    ("width", False): "narrowest",
}


SIZE_CLASS_OF: Final[dict[tuple[Measure, bool], str]] = {
    ("area", True): "large",
    ("area", False): "small",
    ("length", True): "long",
    ("length", False): "short",
    ("width", True): "wide",
    ("width", False): "narrow",
}


def landmarks_of(rule: Rule) -> tuple[Query, ...]:
    """The landmarks that a rule refers to."""
    match rule:
        case Not(inner):
            return landmarks_of(inner)
        case AnyOf(rules):
            return tuple(landmark for each in rules for landmark in landmarks_of(each))
        case Relative():
            return rule.landmarks
        case SideOf() | Distance() | Region() | Rank():
            return (rule.landmark,) if isinstance(rule.landmark, Query) else ()
        case _:
            return ()


def alternatives_of(rule: Rule) -> tuple[Rule, ...]:
    """The rules of which one must hold; of a rule without alternatives, itself."""
    return rule.rules if isinstance(rule, AnyOf) else (rule,)


def plain_rule(rule: Rule) -> Rule:
    """A rule without the negations around it."""
    return plain_rule(rule.rule) if isinstance(rule, Not) else rule


def is_negated(rule: Rule) -> bool:
    """Whether a rule says the opposite of the plain one in it."""
    return isinstance(rule, Not) and not is_negated(rule.rule)


def parts_of(rule: Rule) -> tuple[Rule, ...]:
    """The rules that a rule combines; of one that combines none, itself."""
    match rule:
        case Not(inner):
            return parts_of(inner)
        case AnyOf(rules):
            return tuple(part for each in rules for part in parts_of(each))
        case _:
            return (rule,)


def _quoted(landmark: Landmark) -> str:
    text = str(landmark)
    if isinstance(landmark, Place):
        return text
    return f'"{text}"' if " ; " not in text else f"({text})"


def ordinal(number: int) -> str:
    """Of 2, "2nd"."""
    endings = {1: "st", 2: "nd", 3: "rd"}
    ending = "th" if number % 100 in (11, 12, 13) else endings.get(number % 10, "th")
    return f"{number}{ending}"


def _direction(sides: tuple[Side, ...]) -> str:
    return ("-" if sides[0] in COMPASS else " ").join(sides)


def _range(low: float, high: float, word: str, write: Callable[[float], str]) -> str:
    if high == inf:
        return f"at least {write(low)}"
    return f"{word} {write(high)}" if not low else f"{write(low)} to {write(high)}"


def _metres(value: float) -> str:
    return f"{value / 1000:g} km" if value >= 1000 else f"{value:g} m"


def _square_metres(value: float) -> str:
    return f"{value / 1e4:g} ha" if value >= 1e4 else f"{value:g} m²"


def _as_json(value: Any) -> Any:
    if is_dataclass(value):
        record = {field.name: _as_json(getattr(value, field.name)) for field in fields(value)}
        return {"type": type(value).__name__.lower(), **record}
    if isinstance(value, tuple):
        return [_as_json(each) for each in value]
    return None if value == inf else value
