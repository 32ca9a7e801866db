"""The words that expressions are written with: what things, colours and places are called.

Each list begins with the usual word; :func:`pick_word` takes that one about half of the time.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np


@dataclass(frozen=True, slots=True)
class Noun:
    """What a category is called.

    Attributes:
        singular: names for one of them, the usual one first.
        plural: the same for several; empty for what is not counted ("vegetation").
    """

    singular: tuple[str, ...]
    plural: tuple[str, ...]

    @property
    def counted(self) -> bool:
        """Whether one may say "a" and "two" of it."""
        return bool(self.plural)


def _noun(*singular: str, counted: bool = True) -> Noun:
    return Noun(singular, tuple(pluralize(word) for word in singular) if counted else ())


def pluralize(name: str) -> str:
    """The regular plural of a noun phrase: its last word is changed."""
    if name in _IRREGULAR:
        return _IRREGULAR[name]
    if name.endswith(("s", "x", "ch", "sh")):
        return name + "es"
    if name.endswith("y") and name[-2] not in "aeiou":
        return name[:-1] + "ies"
    return name + "s"


_IRREGULAR: Final = {
    "aircraft": "aircraft",
    "watercraft": "watercraft",
    "court for tennis": "courts for tennis",
    "court for basketball": "courts for basketball",
    "body of water": "bodies of water",
    "stretch of water": "stretches of water",
    "piece of water": "pieces of water",
}

NOUNS: Final[dict[str, Noun]] = {
    "airplane": _noun("airplane", "plane", "aircraft", "aeroplane"),
    "ship": _noun("ship", "boat", "vessel", "watercraft"),
    "storage tank": _noun("storage tank", "oil tank", "tank", "fuel tank", "round tank"),
    "baseball field": _noun("baseball field", "baseball diamond", "ball field", "baseball pitch"),
    "tennis court": _noun("tennis court", "court for tennis"),
    "basketball court": _noun("basketball court", "court for basketball"),
    "ground track field": _noun(
        "ground track field", "running track", "track field", "athletics track", "athletic field"
    ),
    "soccer field": _noun("soccer field", "football field", "football pitch", "soccer pitch"),
    "harbor": _noun("harbor", "harbour", "dock", "jetty", "pier"),
    "bridge": _noun("bridge"),
    "vehicle": _noun("vehicle", "motor vehicle"),
    "large vehicle": _noun("large vehicle", "big vehicle", "heavy vehicle"),
    "small vehicle": _noun("small vehicle", "light vehicle", "little vehicle"),
    "car": _noun("car", "automobile", "passenger car", "motor car"),
    "truck": _noun("truck", "lorry"),
    "bus": _noun("bus", "coach"),
    "van": _noun("van", "minivan", "delivery van"),
    "trailer": _noun("trailer"),
    "building": _noun("building", "house", "structure", "rooftop", "built structure"),
    "house": _noun("house", "home", "residential house", "residential building"),
    "hall": _noun("hall", "warehouse", "large hall", "industrial building"),
    "warehouse": _noun("warehouse", "hall", "storehouse", "industrial building"),
    "road": _noun("road", "street", "roadway", "paved road"),
    "water": Noun(
        ("water", "body of water", "water body", "water area", "open water"),
        (),
    ),
    "tree": _noun("tree"),
    "vegetation": Noun(
        ("vegetation", "greenery", "green vegetation", "plant cover", "vegetated area"), ()
    ),
    "grass": Noun(("grass", "lawn", "grassland", "grass area"), ()),
    "low vegetation": Noun(("low vegetation", "grass and shrubs"), ()),
    "impervious surface": _noun("impervious surface", "sealed surface"),
    "swimming pool": _noun("swimming pool", "pool"),
    "parking lot": _noun("parking lot", "car park", "parking area", "parking space"),
    "crossing": _noun("pedestrian crossing", "crosswalk", "zebra crossing"),
    "crosswalk": _noun("crosswalk", "pedestrian crossing", "zebra crossing"),
    "field": _noun("field", "crop field", "farm field", "cultivated field"),
    "farmland": Noun(("farmland", "cropland", "farm land"), ()),
    "pier": _noun("pier", "jetty", "dock", "landing stage"),
    "apron": _noun("apron", "airport apron", "aircraft parking area"),
    "runway": _noun("runway", "airstrip", "landing strip"),
    "roundabout": _noun("roundabout", "traffic circle"),
    "sidewalk": _noun("sidewalk", "pavement", "footpath"),
    "forest": _noun("forest", "wood", "woodland"),
    "container": _noun("container", "shipping container", "cargo container"),
    "helicopter": _noun("helicopter", "chopper"),
    "overpass": _noun("overpass", "flyover"),
}
"""Category -> its names. A category that is not here is called by its own name."""

KINDS_OF: Final[dict[str, frozenset[str]]] = {
    "vehicle": frozenset(
        {"car", "truck", "bus", "van", "large vehicle", "small vehicle", "trailer"}
    ),
    "large vehicle": frozenset({"truck", "bus"}),
    "vegetation": frozenset({"tree"}),
    "building": frozenset({"house", "hall", "warehouse"}),
}
"""Category -> the categories that are kinds of it: the word "vehicle" means cars too."""

COVERED_BY: Final[dict[str, frozenset[str]]] = {
    "vehicle": frozenset({"car", "truck", "bus", "van"}),
    "building": frozenset({"house", "hall"}),
}
"""Category -> kinds of it which together are all of it: where each is known, so is the category."""

GROUND: Final = frozenset(
    {
        "road",
        "water",
        "vegetation",
        "grass",
        "low vegetation",
        "impervious surface",
        "farmland",
        "field",
        "forest",
        "parking lot",
        "sidewalk",
        "apron",
        "runway",
    }
)
"""What lies under other things: it has no size or neighbour worth naming."""

WHOLE_ONLY: Final = frozenset({"vegetation", "grass", "low vegetation", "impervious surface"})
"""What is everywhere and has no parts worth telling apart: only all of it is spoken of."""

COLOURLESS: Final = GROUND | {"tree", "harbor", "pier", "baseball field", "ground track field"}
"""Categories whose colour tells nothing, or whose parts are of several colours."""

POSSIBLE_COLOURS: Final = {"swimming pool": frozenset({"blue", "turquoise", "green"})}
"""Category -> the only colours that are believed of it."""

COLOUR_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "white": ("white",),
    "black": ("black", "dark"),
    "gray": ("gray", "grey", "silver"),
    "red": ("red",),
    "orange": ("orange",),
    "brown": ("brown",),
    "yellow": ("yellow",),
    "green": ("green",),
    "turquoise": ("turquoise", "cyan", "blue-green"),
    "blue": ("blue",),
    "purple": ("purple", "violet"),
    "beige": ("beige", "tan", "sand-colored"),
}
"""Colour -> what it is called."""

NUMBERS: Final = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}


def noun_of(category: str) -> Noun:
    """The names of a category, known to :data:`NOUNS` or not."""
    return NOUNS.get(category) or _noun(category)


def category_of(label: str) -> str:
    """The category that a user's label means: lower-case, singular, words parted by blanks.

    "Storage_Tanks" is "storage tank". A word that ends in -s and is not known is taken for a
    regular plural, unless its ending speaks against it ("gas", "bus", "grass").
    """
    name = " ".join(label.replace("_", " ").lower().split())
    if name in NOUNS or not name.endswith("s") or name.endswith(("ss", "us", "is", "as")):
        return name
    for category, noun in NOUNS.items():
        if name in noun.plural[:1]:
            return category
    for plural, single in (("ies", "y"), ("ches", "ch"), ("shes", "sh"), ("sses", "ss")):
        if name.endswith(plural):
            return name.removesuffix(plural) + single
    return name.removesuffix("s")


def kinds_of(category: str) -> frozenset[str]:
    """The category and all that are kinds of it."""
    return KINDS_OF.get(category, frozenset()) | {category}


def wider_than(category: str) -> list[str]:
    """The categories that this one is a kind of."""
    return [wider for wider, kinds in KINDS_OF.items() if category in kinds]


def with_articles(text: str) -> str:
    """With "a" or "an" as what follows has it: "a airplane" -> "an airplane"."""
    return re.sub(r"\ban? (?=(\w))", lambda m: "an " if m[1] in "aeio" else "a ", text)


def pick_word(words: Sequence[str], rng: np.random.Generator) -> str:
    """One of the words; the first about half of the time."""
    if len(words) == 1 or rng.random() < 0.45:
        return words[0]
    return words[int(rng.integers(len(words)))]
