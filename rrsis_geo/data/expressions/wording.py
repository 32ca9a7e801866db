"""The words of an expression: articles, nouns, and the order of its clauses."""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from rrsis_geo.data.expressions.clauses import BE, Clause
from rrsis_geo.data.sample import LabelledImage
from rrsis_geo.text.vocabulary import noun_of


def phrase(
    labelled: LabelledImage,
    category: str,
    clauses: Sequence[Clause],
    count: int,
    rng: np.random.Generator,
    *,
    exact: bool = False,
) -> str:
    """Word an expression.

    Args:
        labelled: the image; a synonym that names another category known in it is not used.
        category: what is spoken of.
        clauses: what is said of it.
        count: how many objects are meant, 0 for none.
        rng: the only source of chance.
        exact: the count is sure, so it may be said.
    """
    noun = noun_of(category)
    best = any(clause.best_of is not None for clause in clauses)
    plural = noun.is_counted and not best and rng.random() < (0.65 if count > 1 else 0.25)
    if count == 0 and noun.is_counted and not best:
        plural = rng.random() < 0.45
    others = (labelled.complete | {item.category for item in labelled.instances}) - {category}
    words = noun.plural if plural else noun.singular
    kept = [word for word, single in zip(words, noun.singular, strict=True) if single not in others]
    before, after = _place_words(clauses, rng)
    number = _NUMBERS.get(count, "") if plural and exact and count > 1 else ""
    form = "plural" if plural else "singular" if noun.is_counted else "mass"
    article = _article(number, "best" if best else form, rng)
    parts = [article, *before, pick_word(kept or words, rng), *after]
    text = " ".join(part for part in parts if part)
    if not before and not after and rng.random() < 0.06:
        text += " " + _ASIDES[int(rng.integers(len(_ASIDES)))]
    return with_articles(text.replace(BE, "are" if plural else "is"))


_NUMBERS: Final = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
_ASIDES: Final = ("in the image", "in the scene", "in this picture", "seen from above", "here")
_ADJECTIVES: Final = ("size", "position", "relation", "colour")
_LINKS: Final = ("located", "situated", f"that {BE}", "lying")


def _place_words(
    clauses: Sequence[Clause], rng: np.random.Generator
) -> tuple[list[str], list[str]]:
    """The clauses' words before the noun and after it."""
    before: list[str] = []
    after: list[str] = []
    for clause in sorted(clauses, key=lambda clause: _ADJECTIVES.index(clause.kind)):
        ahead = {"position": 0.3, "colour": 0.8, "size": 0.92}.get(clause.kind, 0.0)
        if clause.best_of is not None:
            ahead = 0.92
        crowded = bool(before) and clause.kind != "colour"
        if clause.before and (not clause.after or (rng.random() < ahead and not crowded)):
            before.append(pick_word(clause.before, rng))
        elif clause.after:
            words = clause.after[int(rng.integers(len(clause.after)))]
            plain = not after and clause.kind != "colour" and clause.best_of is None
            if plain and rng.random() < 0.15 and words.split()[0] in _LINKABLE:
                words = f"{_LINKS[int(rng.integers(len(_LINKS)))]} {words}"
            after.append(words)
        else:
            before.append(pick_word(clause.before, rng))
    return before, after


_LINKABLE: Final = frozenset(
    {"in", "on", "at", "near", "along", "next", "close", "by", "beside", "between", "to"}
)


_ARTICLES: Final[dict[str, dict[str, float]]] = {
    "best": {"the": 0.8, "": 0.2},
    "mass": {"the": 0.35, "": 0.35, "all": 0.1, "all the": 0.15, "any": 0.05},
    "plural": {"the": 0.3, "": 0.32, "all": 0.2, "all the": 0.12, "all of the": 0.03, "any": 0.03},
    "singular": {"the": 0.5, "": 0.25, "a": 0.13, "every": 0.06, "each": 0.03, "any": 0.03},
}


def _article(number: str, counted: str, rng: np.random.Generator) -> str:
    if number and rng.random() < 0.12:
        return f"the {number}" if rng.random() < 0.7 else number
    choices = _ARTICLES[counted]
    return list(choices)[int(rng.choice(len(choices), p=list(choices.values())))]


def with_articles(text: str) -> str:
    """With "a" or "an" as what follows has it: "a airplane" -> "an airplane"."""
    return re.sub(r"\ban? (?=(\w))", lambda m: "an " if m[1] in "aeio" else "a ", text)


def pick_word(words: Sequence[str], rng: np.random.Generator) -> str:
    """One of the words; the first about half of the time."""
    if len(words) == 1 or rng.random() < 0.45:
        return words[0]
    return words[int(rng.integers(len(words)))]
