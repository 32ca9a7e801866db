"""The words of an expression: articles, nouns, and the order of its clauses."""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from rrsis_geo.data.expressions.clauses import BE, Clause
from rrsis_geo.data.sample import LabelledImage
from rrsis_geo.text.vocabulary import noun_of


def write_words(
    labelled_image: LabelledImage,
    category: str,
    clauses: Sequence[Clause],
    count: int,
    rng: np.random.Generator,
    *,
    exact: bool = False,
) -> str:
    """Put a category and its clauses into words.

    Args:
        labelled_image: the image. A synonym that is the name of another of its categories is not
            used.
        category: the category to name.
        clauses: the clauses that restrict it.
        count: number of objects in the target, 0 if it is absent.
        rng: source of all randomness.
        exact: whether ``count`` is certain, so the expression can state it.
    """
    noun = noun_of(category)
    is_superlative = any(clause.rank_by is not None for clause in clauses)
    is_plural = (
        noun.is_counted and not is_superlative and rng.random() < (0.65 if count > 1 else 0.25)
    )
    if count == 0 and noun.is_counted and not is_superlative:
        is_plural = rng.random() < 0.45
    others = (labelled_image.complete | {item.category for item in labelled_image.instances}) - {
        category
    }
    words = noun.plural if is_plural else noun.singular
    usable = [
        word for word, single in zip(words, noun.singular, strict=True) if single not in others
    ]
    before, after = _place_phrases(clauses, rng)
    number = _NUMBERS.get(count, "") if is_plural and exact and count > 1 else ""
    form = "plural" if is_plural else "singular" if noun.is_counted else "mass"
    article = _draw_article(number, "superlative" if is_superlative else form, rng)
    parts = [article, *before, pick_word(usable or words, rng), *after]
    text = " ".join(part for part in parts if part)
    if not before and not after and rng.random() < 0.06:
        text += " " + _ASIDES[int(rng.integers(len(_ASIDES)))]
    return correct_articles(text.replace(BE, "are" if is_plural else "is"))


_NUMBERS: Final = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
_ASIDES: Final = ("in the image", "in the scene", "in this picture", "seen from above", "here")
_ADJECTIVE_ORDER: Final = ("size", "position", "contact", "side", "colour")
_LINKS: Final = ("located", "situated", f"that {BE}", "lying")


def _place_phrases(
    clauses: Sequence[Clause], rng: np.random.Generator
) -> tuple[list[str], list[str]]:
    """Draw a phrase of each clause, and sort them into before and after the noun."""
    before: list[str] = []
    after: list[str] = []
    for clause in sorted(clauses, key=lambda clause: _ADJECTIVE_ORDER.index(clause.kind)):
        before_probability = {"position": 0.3, "colour": 0.8, "size": 0.92}.get(clause.kind, 0.0)
        if clause.rank_by is not None:
            before_probability = 0.92
        has_adjective = bool(before) and clause.kind != "colour"
        if clause.before and (
            not clause.after or (rng.random() < before_probability and not has_adjective)
        ):
            before.append(pick_word(clause.before, rng))
        elif clause.after:
            words = clause.after[int(rng.integers(len(clause.after)))]
            takes_link = not after and clause.kind != "colour" and clause.rank_by is None
            if takes_link and rng.random() < 0.15 and words.split()[0] in _LINKABLE:
                words = f"{_LINKS[int(rng.integers(len(_LINKS)))]} {words}"
            after.append(words)
        else:
            before.append(pick_word(clause.before, rng))
    return before, after


_LINKABLE: Final = frozenset(
    {"in", "on", "at", "near", "along", "next", "close", "by", "beside", "between", "to"}
)


_ARTICLES: Final[dict[str, dict[str, float]]] = {
    "superlative": {"the": 0.8, "": 0.2},
    "mass": {"the": 0.35, "": 0.35, "all": 0.1, "all the": 0.15, "any": 0.05},
    "plural": {"the": 0.3, "": 0.32, "all": 0.2, "all the": 0.12, "all of the": 0.03, "any": 0.03},
    "singular": {"the": 0.5, "": 0.25, "a": 0.13, "every": 0.06, "each": 0.03, "any": 0.03},
}


def _draw_article(number: str, form: str, rng: np.random.Generator) -> str:
    if number and rng.random() < 0.12:
        return f"the {number}" if rng.random() < 0.7 else number
    choices = _ARTICLES[form]
    return list(choices)[int(rng.choice(len(choices), p=list(choices.values())))]


def correct_articles(text: str) -> str:
    """Correct "a" and "an" by the letter that follows: "a airplane" -> "an airplane"."""
    return re.sub(r"\ban? (?=(\w))", lambda m: "an " if m[1] in "aeio" else "a ", text)


def pick_word(words: Sequence[str], rng: np.random.Generator) -> str:
    """Draw a word. The first is drawn about half of the time."""
    if len(words) == 1 or rng.random() < 0.45:
        return words[0]
    return words[int(rng.integers(len(words)))]
