"""Rare words for training, so that a network learns English and not the writer's word lists.

Validation samples are never reworded: their scores stay comparable.
"""

import re
from functools import cache
from typing import Final

import numpy as np

from rrsis_geo.data.expressions.wording import correct_articles
from rrsis_geo.text.vocabulary import FOREIGN_THINGS, THINGS, noun_of, pluralize

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
_REQUEST_SHARE: Final = 0.2
_ASIDE_SHARE: Final = 0.1


def reword_expression(expression: str, rng: np.random.Generator) -> str:
    """Replace names of things by rare names, and sometimes turn the expression into a request.

    Args:
        expression: an expression of :func:`rrsis_geo.data.expressions.writer.write_expression`.
        rng: source of all randomness.
    """

    def pick_rare_name(match: re.Match[str]) -> str:
        category, is_plural = _replaceable_names()[match.group()]
        names = THINGS[category].rare
        name = names[int(rng.integers(len(names)))]
        return pluralize(name) if is_plural else name

    text = correct_articles(_replaceable_name_pattern().sub(pick_rare_name, expression))
    if rng.random() < _ASIDE_SHARE:
        text += " " + _ASIDES[int(rng.integers(len(_ASIDES)))]
    if rng.random() < _REQUEST_SHARE:
        text = _REQUESTS[int(rng.integers(len(_REQUESTS)))] + " " + text
    return text


def write_foreign_expression(rng: np.random.Generator) -> str:
    """Write an expression about one of :data:`~rrsis_geo.text.vocabulary.FOREIGN_THINGS`."""
    name = FOREIGN_THINGS[int(rng.integers(len(FOREIGN_THINGS)))]
    is_plural = rng.random() < 0.5
    text = (pluralize(name) if is_plural else name) + str(rng.choice(_PLACES, p=_PLACE_WEIGHTS))
    article = str(rng.choice(["the ", "", "all the " if is_plural else "a "], p=[0.45, 0.35, 0.2]))
    return correct_articles(article + text)


_PLACES: Final = ("", " on the left", " on the right", " in the middle", " at the top", " here")
_PLACE_WEIGHTS: Final = (0.75, 0.05, 0.05, 0.05, 0.05, 0.05)


@cache
def _replaceable_names() -> dict[str, tuple[str, bool]]:
    """Written name -> (its category, whether it is a plural), of the categories with rare names."""
    return {
        name: (category, is_plural)
        for category, thing in THINGS.items()
        if thing.rare
        for is_plural, names in (
            (False, noun_of(category).singular),
            (True, noun_of(category).plural),
        )
        for name in names
    }


@cache
def _replaceable_name_pattern() -> re.Pattern[str]:
    longest_first = sorted(_replaceable_names(), key=lambda name: (-len(name), name))
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, longest_first))})\b")
