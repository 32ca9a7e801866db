"""Find the phrases of an expression that name the target, other objects, and positions.

Phrases are spans of characters, so they do not depend on how the tokenizer splits words.
"""

import re
from functools import cache, lru_cache
from typing import NamedTuple

from rrsis_geo.text.categories import CATEGORIES
from rrsis_geo.text.chunks import find_chunks, tag_texts
from rrsis_geo.text.grammar_words import PARTITIVE_NOUNS, RELATIONAL_NOUNS
from rrsis_geo.text.vocabulary import COMPOUNDS, SYNONYMS, pluralize


class Span(NamedTuple):
    """Characters ``start <= i < stop`` of an expression."""

    start: int
    stop: int


class Word(NamedTuple):
    """A word or punctuation mark in lower case, its span, and its Penn Treebank tag."""

    text: str
    span: Span
    tag: str


class Phrases(NamedTuple):
    """The phrases of one expression.

    Attributes:
        subject: the phrase that names the target, or None.
        objects: category names in the order of the text, without overlap. At each place the
            longest name is taken, singular or plural.
        positions: position phrases in the order of the text, without overlap.
    """

    subject: Span | None
    objects: tuple[Span, ...]
    positions: tuple[Span, ...]


@lru_cache(maxsize=65536)
def find_phrases(expression: str) -> Phrases:
    """Find the subject, the objects and the position phrases of an expression."""
    words, names = tag_words(expression), _find_names(expression)
    objects = tuple(span for span, category in names if category)
    return Phrases(_find_subject(words, names), objects, _find_positions(words))


def subject_span(expression: str) -> Span | None:
    """Phrase that names the target: the left-most candidate, or None.

    A candidate is the longest matching category name, or else a maximal run of nouns. Nouns of
    place or picture ("the left side of the image") and of quantity ("a pair of") are not
    candidates.
    """
    return find_phrases(expression).subject


def position_spans(expression: str) -> tuple[Span, ...]:
    """Position phrases by the chunk rules of FIANet, without phrases that contain "of".

    A position phrase is a preposition, an optional determiner, and then adjectives and nouns,
    adjectives alone, or an adjective and a verb in the past tense (how taggers read "the lower
    left"). Source: arXiv 2409.13637, which takes at most one adjective and one singular noun; here
    any number is taken.
    """
    return find_phrases(expression).positions


def categories_in(expression: str) -> list[str]:
    """Categories named in the expression, without duplicates, in the order of the text."""
    return list(dict.fromkeys(name for _, name in _find_names(expression) if name))


def category_of(expression: str) -> str:
    """Category of the target in the singular, "" if it is not known."""
    subject = subject_span(expression)
    return next((name for span, name in _find_names(expression) if span == subject), "")


def tag_words(expression: str) -> list[Word]:
    """Split an expression into words and tag them."""
    text = _lower(expression)
    spans = [Span(*match.span()) for match in _WORD.finditer(text)]
    texts = [text[start:stop] for start, stop in spans]
    return [Word(*each) for each in zip(texts, spans, tag_texts(texts), strict=True)]


def _lower(expression: str) -> str:
    """Lower case without changing offsets: "İ" would become two characters."""
    return "".join(low if len(low := char.lower()) == 1 else char for char in expression)


def _find_subject(words: list[Word], names: tuple[tuple[Span, str], ...]) -> Span | None:
    name_spans = [span for span, _ in names]
    run: list[Word] = []
    for index, word in enumerate(words):
        name = next((s for s in name_spans if s.start <= word.span.start < s.stop), None)
        if name is not None:
            return name  # also at the end of a run of nouns: "rooftop car" is a car
        if word.tag.startswith("NN") and not _is_place_or_quantity(words, index):
            run.append(word)
        elif run:
            break
    return Span(run[0].span.start, run[-1].span.stop) if run else None


def _is_place_or_quantity(words: list[Word], index: int) -> bool:
    """Whether a noun names a place, the picture or, before "of", a quantity."""
    text = words[index].text
    singular = text[:-1] if text.endswith("s") else text
    if {text, singular} & RELATIONAL_NOUNS:
        return True
    followed_by_of = index + 1 < len(words) and words[index + 1].text == "of"
    return followed_by_of and bool({text, singular} & PARTITIVE_NOUNS)


def _find_positions(words: list[Word]) -> tuple[Span, ...]:
    spans = []
    for chunk in find_chunks([word.tag for word in words], _POSITION_RULES):
        members = words[chunk]
        if all(word.text != "of" for word in members):
            spans.append(Span(members[0].span.start, members[-1].span.stop))
    return tuple(spans)


@lru_cache(maxsize=65536)
def _find_names(expression: str) -> tuple[tuple[Span, str], ...]:
    """Known names in the text with their category, "" for compounds without a category."""
    names = []
    for match in _name_pattern().finditer(_lower(expression)):
        name = re.sub(r"[\s_-]+", " ", match.group())
        names.append((Span(*match.span()), _names()[name]))
    return tuple(names)


@cache
def _names() -> dict[str, str]:
    """Every known name, singular and plural -> its category, or "" if it has none."""
    singular = {name: name for name in CATEGORIES} | SYNONYMS | dict.fromkeys(COMPOUNDS, "")
    return {
        form: category for name, category in singular.items() for form in (name, pluralize(name))
    }


@cache
def _name_pattern() -> re.Pattern[str]:
    longest_first = sorted(_names(), key=lambda name: (-len(name), name))
    forms = "|".join(re.escape(name).replace(r"\ ", r"[\s_-]+") for name in longest_first)
    return re.compile(rf"(?<![\w-])(?:{forms})(?!\w)")


_POSITION_RULES = (
    r"<IN|TO><DT|PRP\$>?<JJ.*>*<NN.*>+",
    r"<IN|TO><DT|PRP\$>?<JJ.*>+",
    r"<IN|TO><DT|PRP\$>?<JJ.*><VBD>",
)
_WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*|[^\w\s]|_")
