"""The words of the grammar of expressions."""

import re
from typing import Final

from rrsis_geo.text.grammar_words import NOT_SUPERLATIVE
from rrsis_geo.text.query.quantities import read_ordinal
from rrsis_geo.text.query.records import Measure, Region, Relation, Side
from rrsis_geo.text.vocabulary import THINGS

LONGEST_EXPRESSION: Final = 1000
"""Characters."""
DEEPEST: Final = 10
"""Noun phrases inside one another."""

SIZES: Final[dict[str, tuple[Measure, bool]]] = {
    "largest": ("area", True),
    "biggest": ("area", True),
    "greatest": ("area", True),
    "smallest": ("area", False),
    "tiniest": ("area", False),
    "littlest": ("area", False),
    "longest": ("length", True),
    "shortest": ("length", False),
    "widest": ("width", True),
    "broadest": ("width", True),
    "narrowest": ("width", False),
    "thinnest": ("width", False),
}
SIZE_CLASSES: Final[dict[str, tuple[Measure, bool]]] = {  # measure, whether the larger class
    **dict.fromkeys(("large", "big", "huge", "giant"), ("area", True)),
    **dict.fromkeys(("small", "little", "tiny"), ("area", False)),
    "long": ("length", True),
    "short": ("length", False),
    **dict.fromkeys(("wide", "broad"), ("width", True)),
    "narrow": ("width", False),
}
_VERTICAL: Final[tuple[tuple[str, Side], ...]] = (
    ("top", "top"),
    ("upper", "top"),
    ("bottom", "bottom"),
    ("lower", "bottom"),
)
_HORIZONTAL: Final[tuple[Side, ...]] = ("left", "right")
_NORTH_SOUTH: Final[tuple[Side, ...]] = ("north", "south")
_EAST_WEST: Final[tuple[Side, ...]] = ("east", "west")


def _side_words() -> dict[str, tuple[Side, ...]]:
    """The words for sides and corners: "left-hand", "northern", "north-east", "upper-left"."""
    found: dict[str, tuple[Side, ...]] = {}
    for side in _HORIZONTAL:
        found |= {side: (side,), f"{side}-hand": (side,)}
    for word, vertical in _VERTICAL:
        found[word] = (vertical,)
        found |= {f"{word}-{side}": (vertical, side) for side in _HORIZONTAL}
    for side in (*_NORTH_SOUTH, *_EAST_WEST):
        found |= {side: (side,), f"{side}ern": (side,)}
    for first in _NORTH_SOUTH:
        for second in _EAST_WEST:
            for word in (f"{first}{second}", f"{first}-{second}"):
                found |= {word: (first, second), f"{word}ern": (first, second)}
    return found


NAMED_BY_SIZE: Final = frozenset(
    name
    for category, thing in THINGS.items()
    for name in (category, *thing.synonyms, *thing.written, *thing.rare)
    if name.split()[0] in SIZE_CLASSES and " " in name
)
"""Names that begin with a word of size: "small vehicle"."""
SIDE_WORDS: Final = _side_words()


def _most_words() -> dict[str, tuple[Side, ...]]:
    """The words for extremes: "leftmost", "northernmost", "top-most"."""
    found: dict[str, tuple[Side, ...]] = {
        "leftmost": ("left",),
        "rightmost": ("right",),
        "topmost": ("top",),
        "uppermost": ("top",),
        "bottommost": ("bottom",),
        "lowermost": ("bottom",),
    }
    compass = [word for word in SIDE_WORDS if word.endswith("ern") and "-" not in word]
    found |= {f"{word}most": SIDE_WORDS[word] for word in compass}
    return found | {re.sub("most$", "-most", word): sides for word, sides in found.items()}


MOST_WORDS: Final = _most_words()
VERY: Final = "very|far|extreme|outermost"
"""Words before a side that mean its edge."""
CENTRE: Final = "centre|center|middle|central"
PARTS: Final = (
    "half|part|side|area|region|section|portion|zone|third|quarter|quadrant|end|corner|strip"
)
EDGES: Final = "edge|border|boundary|margin|rim"
NEAREST: Final[dict[str, bool]] = {  # whether the greatest distance comes first
    "closest": False,
    "nearest": False,
    "farthest": True,
    "furthest": True,
}
DETERMINERS: Final = frozenset(
    {"the", "a", "an", "all", "every", "each", "any", "some", "these", "those", "this", "that"}
    | {"both", "another"}
)
ROWS: Final = frozenset(["row", "rows", "column", "columns", "line", "lines"])
ROWS_ADVICE: Final = 'rows are not counted; name a half or a side, as in "the top half"'
PRONOUNS: Final = re.compile(
    r"\b(?:it|them|they|itself|themselves|each other|one another|the others?|the rest)\b"
)
EXCEPTIONS: Final = (
    ("except|excluding", "for?"),
    ("other", "than"),
    ("apart|aside", "from"),
    ("minus",),
    ("not", "including|counting|being"),
    ("but", "none", "of?"),
)
EXCEPTION_WORDS: Final = frozenset(
    ["but", "except", "excluding", "other", "apart", "aside", "not", "minus"]
)
"""Words that begin an exclusion from the whole expression, not from a landmark."""
QUESTIONS: Final = re.compile(
    r"(?:how|which|what|when|why|who|whose|is|are|does|do|can|has|have)\b"
)
COUNTED: Final = "name the things to find; the number of objects is in the result"
LONELY: Final = frozenset(["isolated", "lone", "solitary", "stand-alone", "standalone"])
GROUPS: Final = "group|groups|cluster|clusters|clump|clumps|bunch|bunches"
COMPARATIVES: Final[dict[str, tuple[Measure | None, bool]]] = {  # measure, whether above
    "larger": ("area", True),
    "bigger": ("area", True),
    "greater": (None, True),
    "smaller": ("area", False),
    "longer": ("length", True),
    "shorter": ("length", False),
    "wider": ("width", True),
    "broader": ("width", True),
    "narrower": ("width", False),
    "more": (None, True),
    "less": (None, False),
    "fewer": (None, False),
    "closer": (None, False),
    "nearer": (None, False),
    "farther": (None, True),
    "further": (None, True),
}
HEIGHTS: Final = frozenset(
    {"tall", "taller", "tallest", "high", "higher", "highest", "deep", "deeper", "deepest"}
)
HEIGHT_ADVICE: Final = "heights cannot be seen from above"
BOUND_PHRASES: Final[tuple[tuple[tuple[str, ...], bool], ...]] = (  # words, whether above
    (("within",), False),
    (("at", "most"), False),
    (("up", "to"), False),
    (("under",), False),
    (("below",), False),
    (("at", "least"), True),
    (("over",), True),
    (("above",), True),
    (("beyond",), True),
    (("<", "=?"), False),
    ((">", "=?"), True),
    (("≤",), False),
    (("≥",), True),
)
PLAIN_RELATIONS: Final[dict[str, Relation]] = {
    "on": "on",
    "upon": "on",
    "onto": "on",
    "of": "on",
    "over": "on",
    "in": "in",
    "at": "next to",
    "by": "next to",
    "near": "next to",
    "beside": "next to",
    "alongside": "next to",
    "next": "next to",
    "adjacent": "next to",
    "close": "next to",
}
TRAILING: Final = frozenset(
    {"that", "which", "who", "is", "are", "was", "were", "be", "with", "of", "and", "just", ","}
    | {"located", "situated", "lying", "standing", "parked", "placed", "positioned", "found"}
    | {"moored", "docked", "anchored", "berthed"}
    | {"seen", "built", "right", "directly", "lies", "lie", "stands", "stand", "sits", "sit"}
    | {"immediately", "due", "slightly", "far", "but", "ones", "one"}
)
"""Words that only led to a modifier: dropped from the end of a phrase whose modifier was taken."""
COMPARED: Final = "the tool compares area, length, width, place and distance"
ORDER: Final = 'say in which order, as in "second largest" or "second from the left"'
NEGATIONS: Final = "not|neither|isn't|aren't|wasn't|weren't|isn’t|aren’t|wasn’t|weren’t"
REQUESTS: Final = re.compile(
    r"(?:(?:please|can you|could you|i want to|i would like to|i'd like to)\s+)*"
    r"(?:(?:show|find|give|get|list|map|outline|extract|locate|highlight|mark|segment|detect|select|"
    r"identify|display)(?:\s+(?:me|us))?|look for|search for|where\s+(?:is|are)|where's|"
    r"i\s+(?:want|need)(?:\s+to\s+see)?|i am looking for|i'm looking for|please)\s+(?=\w)"
)
RULE_WORDS: Final = frozenset(
    {*SIZES, *MOST_WORDS, *NEAREST, "within", "between", "isolated", "northern", "southern"}
    | {"eastern", "western", "larger", "smaller", "longer", "hectares", "metres", "meters"}
)
"""Words whose misspelling would change the meaning without notice."""


def is_superlative(word: str) -> bool:
    """Whether a word is a superlative, known to the grammar or not; not one of distance."""
    if word in NOT_SUPERLATIVE or word in NEAREST:
        return False
    return word in SIZES or word in MOST_WORDS or bool(re.fullmatch(r"\w{3,}est|\w{4,}most", word))


def region_of(sides: tuple[Side, ...], part: str, *, is_far: bool = False) -> Region:
    """The region that a side and the word after it name; "the far left" is an edge."""
    has_share = part in ("corner", "third", "quarter")
    if part in EDGES.split("|") or part == "end" or (is_far and not has_share):
        return Region(sides, "edge")
    if part == "corner":
        return Region(sides, "corner")
    if part == "third" or (part == "quarter" and len(sides) == 1):
        return Region(sides, "third" if part == "third" else "quarter")
    return Region(sides, "middle" if part == "middle" else "half")


def may_join(first: Side, second: Side) -> bool:
    """Whether two sides name a corner together: "upper left", but not "left right"."""
    vertical = {"north", "south", "top", "bottom"}
    compass = {"north", "south", "east", "west"}
    return (first in vertical) != (second in vertical) and (first in compass) == (second in compass)


def is_grammar_adjective(word: str) -> bool:
    """Whether an adjective is a word of the grammar: one that orders, counts or places."""
    return (
        word in {*SIZES, *MOST_WORDS, *NEAREST, *SIDE_WORDS, *LONELY, *CENTRE.split("|")}
        or word in COMPARATIVES
        or word in SIZE_CLASSES
        or word in ("only", "most", "least", "next", "last", "not", "adjacent", "close", "directly")
        or word.startswith("non-")
        or read_ordinal(word) is not None
        or is_superlative(word)
    )
