"""Rarer words for training, so that a network learns language and not our writer's lists.

Validation samples are never reworded: what they say stays comparable, and rare names of things do
not count for more than usual ones.
"""

import re
from functools import cache
from typing import Final

import numpy as np

from rrsis_geo.data.expressions.lexicon import NOUNS, noun_of, pluralize, with_articles

RARE_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "airplane": ("jet", "jetliner", "airliner", "passenger plane", "passenger jet"),
    "ship": ("cargo ship", "cargo vessel", "yacht", "freighter", "motorboat"),
    "storage tank": (
        "silo",
        "cylindrical tank",
        "circular tank",
        "petroleum tank",
        "oil storage tank",
    ),
    "baseball field": ("baseball ground", "softball field", "diamond for baseball"),
    "tennis court": ("tennis field", "tennis ground", "place to play tennis"),
    "basketball court": ("basketball field", "basketball ground", "place to play basketball"),
    "ground track field": (
        "race track",
        "oval track",
        "sports track",
        "track and field venue",
        "stadium track",
    ),
    "soccer field": ("soccer ground", "football ground", "place to play football"),
    "harbor": ("wharf", "quay", "marina", "port", "berth", "boat dock"),
    "bridge": ("viaduct", "road bridge"),
    "building": ("residence", "roof", "edifice", "roofed structure", "building roof"),
    "road": (
        "highway",
        "avenue",
        "carriageway",
        "motorway",
        "asphalt road",
        "tarmac road",
    ),
    "water": ("sea", "lake", "river", "pond", "ocean", "waterway", "water surface"),
    "tree": ("leafy tree", "tree crown", "treetop"),
    "vegetation": ("plants", "green area", "green space", "foliage", "plant life"),
    "swimming pool": ("backyard pool", "outdoor pool", "garden pool", "pool of water"),
    "parking lot": ("parking place", "parking ground", "car parking area"),
    "vehicle": ("road vehicle", "automotive vehicle"),
    "large vehicle": ("heavy-duty vehicle", "oversized vehicle"),
    "small vehicle": ("compact vehicle",),
    "car": ("sedan", "suv", "hatchback", "private car", "family car"),
    "truck": ("cargo truck", "freight truck", "goods vehicle", "heavy goods vehicle"),
    "bus": ("city bus", "passenger bus", "public bus", "transit bus"),
    "van": ("cargo van", "panel van", "transit van"),
}
"""Category -> names that our writer does not use, in the singular.

Some are kinds of it ("lake"), which the labels do not tell apart: who asks for one gets them all.
"""

FOREIGN: Final = (
    *("wind turbine", "windmill", "cooling tower", "dam"),
    *("power plant", "nuclear reactor", "oil rig", "pylon", "power line", "pipeline", "antenna"),
    *("satellite dish", "radio telescope", "lighthouse", "castle", "pyramid", "temple", "church"),
    *("mosque", "monument", "statue", "fountain", "ferris wheel", "roller coaster", "waterslide"),
    *("golf course", "ski slope", "race horse", "horse", "cow", "sheep", "elephant", "camel"),
    *("bird", "whale", "dog", "tent", "igloo", "caravan", "tractor", "combine harvester"),
    *("excavator", "bulldozer", "missile", "rocket", "submarine"),
    *("hot air balloon", "train", "locomotive", "tram", "bicycle", "motorcycle"),
    *("greenhouse", "vineyard", "rice paddy", "orchard", "quarry", "open pit mine", "landfill"),
    *("cemetery", "grave", "volcano", "glacier", "iceberg", "waterfall", "sand dune", "cave"),
    *("coral reef", "toll station", "drilling site", "oil well", "log pile", "scarecrow"),
)
"""Things that no label knows and that our images, painted ones too, hardly ever show; singular."""

_REQUESTS: Final = (
    "find",
    "find me",
    "show",
    "show me",
    "segment",
    "mark",
    "highlight",
    "locate",
    "outline",
    "please find",
    "i am looking for",
    "i want to see",
    "can you find",
    "where are",
    "look for",
)
_ASIDES: Final = (
    "you can see",
    "visible here",
    "in view",
    "in this aerial photo",
    "in the satellite picture",
    "shown here",
    "on the ground",
    "in this area",
    "that are there",
    "if any",
)
_REQUESTED: Final = 0.2
_ASIDE: Final = 0.1


def reworded(expression: str, rng: np.random.Generator) -> str:
    """The expression with rarer names of the things in it, now and then as a request.

    Args:
        expression: as :func:`rrsis_geo.data.expressions.writer.write_expression` words it.
        rng: the only source of chance.
    """

    def rare(match: re.Match[str]) -> str:
        category, plural = _usual_names()[match.group()]
        names = RARE_NAMES[category]
        name = names[int(rng.integers(len(names)))]
        return _plural(name) if plural else name

    text = with_articles(_usual_name().sub(rare, expression))
    if rng.random() < _ASIDE:
        text += " " + _ASIDES[int(rng.integers(len(_ASIDES)))]
    if rng.random() < _REQUESTED:
        text = _REQUESTS[int(rng.integers(len(_REQUESTS)))] + " " + text
    return text


def foreign(rng: np.random.Generator) -> str:
    """An expression about one of :data:`FOREIGN`."""
    name = FOREIGN[int(rng.integers(len(FOREIGN)))]
    plural = rng.random() < 0.5
    text = (_plural(name) if plural else name) + str(rng.choice(_PLACES, p=_PLACE_WEIGHTS))
    article = str(rng.choice(["the ", "", "all the " if plural else "a "], p=[0.45, 0.35, 0.2]))
    return with_articles(article + text)


_PLACES: Final = ("", " on the left", " on the right", " in the middle", " at the top", " here")
_PLACE_WEIGHTS: Final = (0.75, 0.05, 0.05, 0.05, 0.05, 0.05)


def names_of(category: str) -> frozenset[str]:
    """All that a category is called, usual and rare, in the singular and the plural."""
    noun, rare = noun_of(category), RARE_NAMES.get(category, ())
    return frozenset({*noun.singular, *noun.plural, *rare, *map(_plural, rare)})


def _plural(name: str) -> str:
    """The plural of a rare name: "pools of water", "places to play tennis"."""
    head, *rest = re.split(r"( of | to | for )", name, maxsplit=1)
    return pluralize(head) + "".join(rest)


@cache
def _usual_names() -> dict[str, tuple[str, bool]]:
    """What our writer calls things -> the category, and whether that is the plural."""
    return {
        name: (category, plural)
        for category in RARE_NAMES
        for plural, names in ((False, NOUNS[category].singular), (True, NOUNS[category].plural))
        for name in names
    }


@cache
def _usual_name() -> re.Pattern[str]:
    longest_first = sorted(_usual_names(), key=lambda name: (-len(name), name))
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, longest_first))})\b")
