"""Which characters of an expression name its target, other objects, and positions.

Everything works by character offsets, so that a word split into several pieces by the tokenizer is
still one word here. The tagger and the chunker are NLTK classes that need no downloaded data; they
are deterministic.
"""

import re
from functools import cache, lru_cache
from typing import NamedTuple

from nltk.chunk import RegexpParser
from nltk.tag import RegexpTagger, UnigramTagger
from nltk.tokenize import RegexpTokenizer

from rrsis_geo.text.categories import CATEGORIES
from rrsis_geo.text.grammar_words import (
    NOT_SUPERLATIVE,
    PARTITIVE_NOUNS,
    PICTURE_NOUNS,
    RELATIONAL_NOUNS,
    SUFFIX_TAGS,
    WORD_TAGS,
)
from rrsis_geo.text.vocabulary import COMPOUNDS, SYNONYMS, pluralize


class Span(NamedTuple):
    """Characters ``start <= i < stop`` of an expression."""

    start: int
    stop: int


class Word(NamedTuple):
    """A word or a punctuation mark, lower-case, with its place and its Penn Treebank tag."""

    text: str
    span: Span
    tag: str


class Phrases(NamedTuple):
    """The phrases of one expression.

    Attributes:
        subject: the phrase that names the target, None where none is found.
        objects: every category name, in order, without overlap.
        positions: position phrases, in order, without overlap.
    """

    subject: Span | None
    objects: tuple[Span, ...]
    positions: tuple[Span, ...]


@lru_cache(maxsize=65536)
def find_phrases(expression: str) -> Phrases:
    """The subject, the objects and the position phrases of an expression."""
    words = tag_words(expression)
    subject = _subject(words, _named_things(expression))
    return Phrases(subject, object_spans(expression), _position_spans(words))


def subject_span(expression: str) -> Span | None:
    """The phrase that names the target: the left-most candidate.

    A candidate is a known category name (the longest that fits), or else a maximal run of nouns.
    Nouns that only tell a place or a picture ("the left side of the image"), and those that stand
    for a number of things ("a pair of"), are not candidates.
    """
    return find_phrases(expression).subject


def object_spans(expression: str) -> tuple[Span, ...]:
    """Every category name in the expression, longest first, at word boundaries, plural or not."""
    return tuple(span for span, category in _named_things(expression) if category)


def position_spans(expression: str) -> tuple[Span, ...]:
    """Position phrases by FIANet's chunk rules; phrases with the word "of" are dropped.

    A preposition, an optional determiner, then adjectives and nouns, adjectives alone, or an
    adjective and a verb in the past tense ("the lower left", as taggers see it). Source: arXiv
    2409.13637. There, one adjective and one singular noun at most are taken; here, their whole run.
    """
    return find_phrases(expression).positions


def categories_in(expression: str) -> list[str]:
    """The categories that the expression names, each once, in the order of their first mention."""
    return list(dict.fromkeys(name for _, name in _named_things(expression) if name))


def category_of(expression: str) -> str:
    """The category of the target, singular; "" where the target is of no known category."""
    subject = subject_span(expression)
    return next((name for span, name in _named_things(expression) if span == subject), "")


def scene_wide_words(expression: str) -> list[str]:
    """Words that only make sense over the whole picture, lower-case, in their order.

    Superlatives ("the largest"), "the only", ordinals, and places in the picture ("leftmost",
    "in the top left"). A place relative to a thing ("on the left of the road") is not one of them.
    """
    text = _lower(expression)
    found: list[tuple[int, str]] = []
    for match in _PLACE.finditer(text):
        relative = _OF_THING.match(text, match.end())
        if relative is None:
            found.append((match.start(), match.group()))
        elif relative["noun"] in PICTURE_NOUNS:
            found.append((match.start(), match.group() + relative.group()))
    taken = [(start, start + len(words)) for start, words in found]
    for match in _WHOLE_PICTURE_WORD.finditer(text):
        inside = any(start <= match.start("word") < stop for start, stop in taken)
        if not inside and match["word"] not in NOT_SUPERLATIVE:
            found.append((match.start(), match.group()))
    return [" ".join(words.split()) for _, words in sorted(found)]


def tag_words(expression: str) -> list[Word]:
    """The words of an expression with their offsets and tags."""
    text = _lower(expression)
    spans = [Span(*span) for span in _WORD_TOKENIZER.span_tokenize(text)]
    texts = [text[start:stop] for start, stop in spans]
    tagged = _tagger().tag(texts)
    return [Word(text, span, tag) for (text, tag), span in zip(tagged, spans, strict=True)]


def _lower(expression: str) -> str:
    """Lower case that keeps every character's offset ("İ" would grow)."""
    return "".join(low if len(low := char.lower()) == 1 else char for char in expression)


def _subject(words: list[Word], named: tuple[tuple[Span, str], ...]) -> Span | None:
    named_spans = [span for span, _ in named]
    run: list[Word] = []
    for index, word in enumerate(words):
        holder = next((s for s in named_spans if s.start <= word.span.start < s.stop), None)
        if holder is not None:
            return holder  # a category's name ends the noun run before it: "rooftop car" is a car
        if word.tag.startswith("NN") and not _skipped_noun(words, index):
            run.append(word)
        elif run:
            break
    return Span(run[0].span.start, run[-1].span.stop) if run else None


def _skipped_noun(words: list[Word], index: int) -> bool:
    text = words[index].text
    singular = text[:-1] if text.endswith("s") else text
    if {text, singular} & RELATIONAL_NOUNS:
        return True
    followed_by_of = index + 1 < len(words) and words[index + 1].text == "of"
    return followed_by_of and bool({text, singular} & PARTITIVE_NOUNS)


def _position_spans(words: list[Word]) -> tuple[Span, ...]:
    if not words:
        return ()
    # the word's place in the list travels through the parser in the token's stead
    tree = _parser().parse([(str(index), word.tag) for index, word in enumerate(words)])
    spans = []
    for chunk in tree.subtrees(lambda node: node.label() == "POSITION"):
        members = [words[int(index)] for index, _ in chunk.leaves()]
        if all(word.text != "of" for word in members):
            spans.append(Span(members[0].span.start, members[-1].span.stop))
    return tuple(spans)


@lru_cache(maxsize=65536)
def _named_things(expression: str) -> tuple[tuple[Span, str], ...]:
    """Known names in the text with their category; "" for compounds that are of none."""
    things = []
    for match in _name_pattern().finditer(_lower(expression)):
        name = re.sub(r"[\s_-]+", " ", match.group())
        things.append((Span(*match.span()), _names()[name]))
    return tuple(things)


@cache
def _names() -> dict[str, str]:
    """Every known name, singular and plural -> its category, or ""."""
    singular = {name: name for name in CATEGORIES} | SYNONYMS | dict.fromkeys(COMPOUNDS, "")
    return {
        form: category for name, category in singular.items() for form in (name, pluralize(name))
    }


@cache
def _name_pattern() -> re.Pattern[str]:
    longest_first = sorted(_names(), key=lambda name: (-len(name), name))
    forms = "|".join(re.escape(name).replace(r"\ ", r"[\s_-]+") for name in longest_first)
    return re.compile(rf"(?<![\w-])(?:{forms})(?!\w)")


@cache
def _tagger() -> UnigramTagger:
    suffixes = [(f"^(?:{pattern})$", tag) for pattern, tag in SUFFIX_TAGS]
    return UnigramTagger(model=WORD_TAGS, backoff=RegexpTagger(suffixes))


@cache
def _parser() -> RegexpParser:
    return RegexpParser(r"""
        POSITION: {<IN|TO><DT|PRP\$>?<JJ.*>*<NN.*>+}
                  {<IN|TO><DT|PRP\$>?<JJ.*>+}
                  {<IN|TO><DT|PRP\$>?<JJ.*><VBD>}
    """)


_WORD_TOKENIZER = RegexpTokenizer(r"[^\W_]+(?:[-'’][^\W_]+)*|[^\w\s]|_")

_COMPASS = r"(?:north|south)[\s-]?(?:east|west)(?:ern)?|(?:north|south|east|west)(?:ern)?"
_SIDE = rf"(?:top|bottom|upper|lower|left|right|cent(?:er|re|ral)|middle|{_COMPASS})(?:-hand)?"
_REGION = (
    r"(?:corner|side|part|half|edge|quarter|area|end|portion|region|border|section|quadrant)s?"
)
_PLACE = re.compile(
    rf"\b(?:(?:in|at|on|to|from|near|towards?|along)\s+)?"
    rf"(?:the\s+(?:very\s+|far\s+|extreme\s+)?{_SIDE}(?:[\s-]+{_SIDE})*(?:\s+{_REGION})?"
    rf"|(?:top|bottom|upper|lower)[\s-]+(?:left|right|cent(?:er|re)|middle)(?:\s+{_REGION})?"
    rf"|(?<=in\s)the\s+(?:corner|background|foreground)"
    rf"|(?<=at\s)the\s+(?:edge|border))\b"
)
_OF_THING = re.compile(r"\s+of\s+(?:(?:the|this|that|a|an)\s+)?(?P<noun>\w+)?")
_WHOLE_PICTURE_WORD = re.compile(
    r"\b(?:the\s+)?(?P<word>(?:most|least)\s+[\w-]+"
    r"|\w{2,}est|\w{3,}most|only|first|second|third|fourth|fifth|sixth|last)\b"
)
