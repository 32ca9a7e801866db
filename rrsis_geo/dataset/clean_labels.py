"""Which labels of a vector file sentences can be written about."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import shapely

from rrsis_geo.errors import InputError
from rrsis_geo.geo.chips.labels import Labels
from rrsis_geo.text.tokenizer import Tokenizer
from rrsis_geo.text.vocabulary import THINGS, can_be_named

_STRANGE_PIECES: Final = 3
"""A word that the tokenizer of an English model cuts into as many pieces may not be English."""
_MOST_NAMES: Final = 5
"""Most names in a message."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Labels that were left out.

    Attributes:
        nameless: category that is no English name -> number of labels.
        repeated: number of labels with the shape and the category of another.
    """

    nameless: Counter[str]
    repeated: int


def keep_usable(labels: Labels, path: str | Path) -> tuple[Labels, LeftOut]:
    """Leave out labels whose category is no English name, and those that lie there twice.

    Attributes without an English name are left out too, but not their labels.

    Args:
        labels: the labels of a scene.
        path: the vector file, for messages.

    Raises:
        InputError: no label is left.
    """
    nameless: Counter[str] = Counter()
    seen: set[tuple[str, bytes]] = set()
    chosen: list[int] = []
    repeated = 0
    for index, shape in enumerate(shapely.to_wkb(shapely.normalize(labels.shapes))):
        category = labels.categories[index]
        if not can_be_named(category):
            nameless[category] += 1
        elif (category, shape) in seen:
            repeated += 1
        else:
            seen.add((category, shape))
            chosen.append(index)
    if not chosen:
        raise InputError(
            f"{path}: no label has an English name: their categories are {quote(nameless)}; choose "
            "or add a column with English names, or give --category for all labels"
        )
    kept = replace(
        labels,
        shapes=labels.shapes[chosen],
        categories=[labels.categories[index] for index in chosen],
        attributes=[
            {name: text for name, text in labels.attributes[index].items() if can_be_named(text)}
            for index in chosen
        ],
        from_points=labels.from_points[chosen],
    )
    return kept, LeftOut(nameless, repeated)


def find_strange_words(categories: Iterable[str], tokenizer: Tokenizer) -> list[str]:
    """Words of categories that may not be English, sorted. A rare English word can be among them.

    Args:
        categories: names that :func:`can_be_named`.
        tokenizer: tokenizer of the model.
    """
    words = {
        word
        for category in categories
        if category not in THINGS
        for word in re.findall(r"[^\W\d_]+", category)
    }
    return sorted(
        word
        for word in words
        if not word.isascii() or tokenizer.length(word) - 2 >= _STRANGE_PIECES
    )


def quote(names: Iterable[str]) -> str:
    """A few names in quotation marks."""
    quoted = [f'"{name}"' for name in names]
    more = f" and {len(quoted) - _MOST_NAMES} more" if len(quoted) > _MOST_NAMES else ""
    return ", ".join(quoted[:_MOST_NAMES]) + more
