"""Names of things: categories, their synonyms, plurals and rare names.

:data:`THINGS` is the only list of names. The parser, the expression writer and the rewording of
training samples read different fields of it.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """The names of a category, all in the singular; :func:`pluralize` makes the plurals.

    The three lists of names differ on purpose. A word that is safe to write can be unsafe to parse:
    if the parser took "river" for water, "river bridge" would be water.

    Attributes:
        synonyms: names that the parser reads as this category, besides the category itself.
        written: names that the expression writer uses, the most common first. If empty, the writer
            uses the category itself.
        rare: names that only reworded training samples use. Some name a kind of the category that
            labels do not tell apart ("lake"), so "the lake" refers to all water.
        kinds: categories that are kinds of this one: "vehicle" refers to cars too.
        is_counted: whether "a" and "two" can precede the name.
    """

    synonyms: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    rare: tuple[str, ...] = ()
    kinds: frozenset[str] = frozenset()
    is_counted: bool = True


THINGS: dict[str, Thing] = {
    "airplane": Thing(
        synonyms=("aeroplane", "aircraft", "plane"),
        written=("airplane", "plane", "aircraft", "aeroplane"),
        rare=("jet", "jetliner", "airliner", "passenger plane", "passenger jet"),
    ),
    "ship": Thing(
        synonyms=("boat", "vessel", "watercraft"),
        written=("ship", "boat", "vessel", "watercraft"),
        rare=("cargo ship", "cargo vessel", "yacht", "freighter", "motorboat"),
    ),
    "storage tank": Thing(
        synonyms=("fuel tank", "oil tank", "tank"),
        written=("storage tank", "oil tank", "tank", "fuel tank", "round tank"),
        rare=("silo", "cylindrical tank", "circular tank", "petroleum tank", "oil storage tank"),
    ),
    "baseball field": Thing(
        synonyms=("ball field", "baseball court", "baseball pitch"),
        written=("baseball field", "baseball diamond", "ball field", "baseball pitch"),
        rare=("baseball ground", "softball field", "diamond for baseball"),
    ),
    "tennis court": Thing(
        synonyms=("court for tennis",),
        written=("tennis court", "court for tennis"),
        rare=("tennis field", "tennis ground", "place to play tennis"),
    ),
    "basketball court": Thing(
        synonyms=("court for basketball",),
        written=("basketball court", "court for basketball"),
        rare=("basketball field", "basketball ground", "place to play basketball"),
    ),
    "ground track field": Thing(
        synonyms=(
            "athletic field",
            "athletic track",
            "athletics track",
            "running track",
            "track field",
        ),
        written=(
            "ground track field",
            "running track",
            "track field",
            "athletics track",
            "athletic field",
        ),
        rare=("race track", "oval track", "sports track", "track and field venue", "stadium track"),
    ),
    "soccer field": Thing(
        written=("soccer field", "football field", "football pitch", "soccer pitch"),
        rare=("soccer ground", "football ground", "place to play football"),
    ),
    "harbor": Thing(
        synonyms=("harbour",),
        written=("harbor", "harbour", "dock", "jetty", "pier"),
        rare=("wharf", "quay", "marina", "port", "berth", "boat dock"),
    ),
    "bridge": Thing(rare=("viaduct", "road bridge")),
    "vehicle": Thing(
        synonyms=("motor vehicle",),
        written=("vehicle", "motor vehicle"),
        rare=("road vehicle", "automotive vehicle"),
        kinds=frozenset(
            {
                *("airport vehicle", "bus", "car", "large vehicle", "small vehicle"),
                *("trailer", "truck", "van"),
            }
        ),
    ),
    "large vehicle": Thing(
        synonyms=("big vehicle", "heavy vehicle"),
        written=("large vehicle", "big vehicle", "heavy vehicle"),
        rare=("heavy-duty vehicle", "oversized vehicle"),
        kinds=frozenset({"bus", "truck"}),
    ),
    "small vehicle": Thing(
        synonyms=("light vehicle", "little vehicle"),
        written=("small vehicle", "light vehicle", "little vehicle"),
        rare=("compact vehicle",),
    ),
    "car": Thing(
        synonyms=("automobile", "motor car", "passenger car"),
        written=("car", "automobile", "passenger car", "motor car"),
        rare=("sedan", "suv", "hatchback", "private car", "family car"),
    ),
    "truck": Thing(
        synonyms=("lorry",),
        written=("truck", "lorry"),
        rare=("cargo truck", "freight truck", "goods vehicle", "heavy goods vehicle"),
    ),
    "bus": Thing(
        synonyms=("coach",),
        written=("bus", "coach"),
        rare=("city bus", "passenger bus", "public bus", "transit bus"),
    ),
    "van": Thing(
        synonyms=("delivery van", "minivan"),
        written=("van", "minivan", "delivery van"),
        rare=("cargo van", "panel van", "transit van"),
    ),
    "trailer": Thing(),
    "airport vehicle": Thing(
        written=("airport vehicle", "airport service vehicle", "ground support vehicle"),
        rare=("apron vehicle", "airport ground vehicle"),
    ),
    "building": Thing(
        synonyms=("built structure", "house", "structure"),
        written=("building", "house", "structure", "rooftop", "built structure"),
        rare=("residence", "roof", "edifice", "roofed structure", "building roof"),
        kinds=frozenset({"hall", "house", "warehouse"}),
    ),
    "house": Thing(written=("house", "home", "residential house", "residential building")),
    "hall": Thing(written=("hall", "warehouse", "large hall", "industrial building")),
    "warehouse": Thing(written=("warehouse", "hall", "storehouse", "industrial building")),
    "road": Thing(
        synonyms=("highway", "roadway", "street"),
        written=("road", "street", "roadway", "paved road"),
        rare=("highway", "avenue", "carriageway", "motorway", "asphalt road", "tarmac road"),
    ),
    "water": Thing(
        synonyms=(
            "body of water",
            "open water",
            "piece of water",
            "stretch of water",
            "water area",
            "water body",
        ),
        written=("water", "body of water", "water body", "water area", "open water"),
        rare=("sea", "lake", "river", "pond", "ocean", "waterway", "water surface"),
        is_counted=False,
    ),
    "tree": Thing(rare=("leafy tree", "tree crown", "treetop")),
    "vegetation": Thing(
        synonyms=("greenery", "plant cover", "vegetated area"),
        written=("vegetation", "greenery", "green vegetation", "plant cover", "vegetated area"),
        rare=("plants", "green area", "green space", "foliage", "plant life"),
        kinds=frozenset({"tree"}),
        is_counted=False,
    ),
    "grass": Thing(written=("grass", "lawn", "grassland", "grass area"), is_counted=False),
    "low vegetation": Thing(
        synonyms=("grass and shrubs",),
        written=("low vegetation", "grass and shrubs"),
        is_counted=False,
    ),
    "impervious surface": Thing(
        synonyms=("sealed surface",), written=("impervious surface", "sealed surface")
    ),
    "swimming pool": Thing(
        synonyms=("pool",),
        written=("swimming pool", "pool"),
        rare=("backyard pool", "outdoor pool", "garden pool", "pool of water"),
    ),
    "parking lot": Thing(
        written=("parking lot", "car park", "parking area", "parking space"),
        rare=("parking place", "parking ground", "car parking area"),
    ),
    "crossing": Thing(written=("pedestrian crossing", "crosswalk", "zebra crossing")),
    "crosswalk": Thing(written=("crosswalk", "pedestrian crossing", "zebra crossing")),
    "field": Thing(written=("field", "crop field", "farm field", "cultivated field")),
    "farmland": Thing(written=("farmland", "cropland", "farm land"), is_counted=False),
    "pier": Thing(written=("pier", "jetty", "dock", "landing stage")),
    "apron": Thing(written=("apron", "airport apron", "aircraft parking area")),
    "runway": Thing(written=("runway", "airstrip", "landing strip")),
    "roundabout": Thing(synonyms=("traffic circle",), written=("roundabout", "traffic circle")),
    "sidewalk": Thing(written=("sidewalk", "pavement", "footpath")),
    "forest": Thing(written=("forest", "wood", "woodland")),
    "container": Thing(written=("container", "shipping container", "cargo container")),
    "helicopter": Thing(
        synonyms=("chopper",),
        written=("helicopter", "chopper"),
        rare=("rotorcraft", "rescue helicopter"),
    ),
    "solar panel": Thing(
        synonyms=("photovoltaic panel", "solar array"),
        written=("solar panel", "photovoltaic panel", "solar array"),
        rare=("solar module", "pv panel", "photovoltaic array"),
    ),
    "wind turbine": Thing(
        written=("wind turbine", "windmill"),
        rare=("wind power plant", "wind generator"),
    ),
    "overpass": Thing(synonyms=("flyover",), written=("overpass", "flyover")),
    "soccer ball field": Thing(
        synonyms=("football field", "football pitch", "soccer field", "soccer pitch")
    ),
    "golf field": Thing(synonyms=("golf course",)),
    "road marking": Thing(synonyms=("lane marking",)),
    "bikeway": Thing(synonyms=("bicycle lane", "bike lane")),
    "expressway service area": Thing(
        synonyms=("expressway service station", "highway service area")
    ),
    "expressway toll station": Thing(synonyms=("toll gate", "toll station")),
    "train station": Thing(synonyms=("railway station",)),
    "windmill": Thing(synonyms=("wind turbine",)),
}
"""Category -> its names. A category that is not listed has only its own name."""

COMPOUNDS = (
    "aircraft parking area",
    "airport apron",
    "airport runway",
    "bridge pier",
    "building site",
    "bus lane",
    "bus station",
    "bus stop",
    "car park",
    "ship lock",
    "truck stop",
    "water tank",
    "water tower",
)
"""Names that begin with the name of a category and are not of that category."""

FOREIGN_THINGS = (
    *("cooling tower", "dam"),
    *("power plant", "nuclear reactor", "oil rig", "pylon", "power line", "pipeline", "antenna"),
    *("satellite dish", "radio telescope", "lighthouse", "castle", "pyramid", "temple", "church"),
    *("mosque", "monument", "statue", "fountain", "ferris wheel", "roller coaster", "waterslide"),
    *("golf course", "ski slope", "race horse", "horse", "cow", "sheep", "elephant", "camel"),
    *("bird", "whale", "dog", "tent", "igloo", "caravan", "tractor", "combine harvester"),
    *("excavator", "bulldozer", "missile", "rocket", "submarine"),
    *("hot air balloon", "train", "locomotive", "tram", "motorcycle"),
    *("greenhouse", "vineyard", "rice paddy", "orchard", "quarry", "open pit mine", "landfill"),
    *("cemetery", "grave", "volcano", "glacier", "iceberg", "waterfall", "sand dune", "cave"),
    *("coral reef", "toll station", "drilling site", "oil well", "log pile", "scarecrow"),
)
"""Things that no training label names and that training images hardly ever show; singular."""

SYNONYMS = {name: category for category, thing in THINGS.items() for name in thing.synonyms}
"""Synonym that the parser recognises -> its category."""


@dataclass(frozen=True, slots=True)
class Noun:
    """The names with which the expression writer refers to a category.

    Attributes:
        singular: names for one object, the most common first.
        plural: the same names in the plural; empty for what is not counted ("vegetation").
    """

    singular: tuple[str, ...]
    plural: tuple[str, ...]

    @property
    def is_counted(self) -> bool:
        """Whether "a" and "two" can precede the noun."""
        return bool(self.plural)


@cache
def noun_of(category: str) -> Noun:
    """The noun of a category. A category that :data:`THINGS` lacks is its own noun."""
    thing = THINGS.get(category, Thing())
    singular = thing.written or (category,)
    return Noun(singular, tuple(map(pluralize, singular)) if thing.is_counted else ())


def names_of(category: str) -> frozenset[str]:
    """All names that training samples use for a category, singular and plural."""
    noun = noun_of(category)
    rare = THINGS.get(category, Thing()).rare
    return frozenset({*noun.singular, *noun.plural, *rare, *map(pluralize, rare)})


def synonyms_of(category: str) -> frozenset[str]:
    """The category and its synonyms, singular."""
    return frozenset({category, *THINGS.get(category, Thing()).synonyms})


def kinds_of(category: str) -> frozenset[str]:
    """The category and the categories that are kinds of it."""
    return THINGS.get(category, Thing()).kinds | {category}


def wider_than(category: str) -> list[str]:
    """The categories that this one is a kind of."""
    return [wider for wider, thing in THINGS.items() if category in thing.kinds]


def pluralize(name: str) -> str:
    """The plural of a noun phrase: "bus" -> "buses", "body of water" -> "bodies of water"."""
    head, preposition, rest = re.split(r"( of | for | to |$)", name, maxsplit=1)
    if preposition:
        return pluralize(head) + preposition + rest
    if name.endswith(("craft", "shrubs")):
        return name
    if name.endswith(("s", "x", "ch", "sh")):
        return name + "es"
    if name.endswith("y") and name[-2] not in "aeiou":
        return name[:-1] + "ies"
    return name + "s"


def category_from_label(label: str) -> str:
    """The category that a user's label names: lower-case, singular, words separated by blanks.

    "Storage_Tanks" becomes "storage tank". An unknown label that ends in -s is taken for a regular
    plural, unless its ending is that of a singular ("gas", "bus", "grass"). "Other vehicle" is a
    vehicle of unknown kind.
    """
    return singularize(_plain_words(label).removeprefix("other "))


def singularize(name: str) -> str:
    """The singular of a noun phrase in lower case; of an unknown one by its ending."""
    if name in _singulars():
        return _singulars()[name]
    if not name.endswith("s") or name.endswith(("ss", "us", "is", "as")):
        return name
    for plural, single in (("ies", "y"), ("ches", "ch"), ("shes", "sh"), ("sses", "ss")):
        if name.endswith(plural):
            return name.removesuffix(plural) + single
    return name.removesuffix("s")


@cache
def _singulars() -> dict[str, str]:
    """Every known name, singular and plural -> its singular."""
    names = {*THINGS, *SYNONYMS, *COMPOUNDS}
    for thing in THINGS.values():
        names |= {*thing.written, *thing.rare}
    return {pluralize(name): name for name in sorted(names)} | {name: name for name in names}


def _plain_words(label: str) -> str:
    """A label in lower case, with single blanks between its words."""
    return " ".join(label.replace("_", " ").lower().split())


_NO_NAMES = frozenset(
    {
        *("n/a", "n.a.", "na", "nan", "nil", "none", "null", "no data", "nodata", "tbd"),
        *("unknown", "undefined", "unclassified", "unlabeled", "unlabelled", "unnamed"),
        *("other", "others", "misc", "miscellaneous", "background", "ignore", "ignored"),
    }
)
"""Labels that say only that there is no name."""


def can_be_named(label: str) -> bool:
    """Whether an English sentence can name what a label says.

    It cannot name a class number ("4"), a word for no name ("n/a") or a word in another script.
    """
    name = _plain_words(label)
    letters = [letter for letter in name if letter.isalpha()]
    is_latin = all("LATIN" in unicodedata.name(letter, "") for letter in letters)
    return bool(letters) and is_latin and name not in _NO_NAMES
