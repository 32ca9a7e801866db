"""One wording of a phrase, so that the network answers "the cars" as it answers "car"."""

import re
from functools import lru_cache
from typing import Final

from rrsis_geo.text.grammar_words import PICTURE_NOUNS, UNCOUNTED
from rrsis_geo.text.phrases import category_of, subject_span, tag_words
from rrsis_geo.text.query.words import DETERMINERS
from rrsis_geo.text.vocabulary import noun_of, pluralize, singularize

_ASIDES: Final = re.compile(
    rf"\s+(?:(?:in|on|of|from) (?:the|this|that) (?:{'|'.join(sorted(PICTURE_NOUNS))})"
    r"|here|please|seen from above|from above)$"
)
_VERBS: Final = re.compile(r"\b(that|which) (is|was)\b")


@lru_cache(maxsize=4096)
def canonical_phrase(phrase: str) -> str:
    """A phrase in lower case without article, with its subject in the plural.

    Networks give "the building" and "all buildings" different outlines. Rules compare objects of
    several wordings, "the largest building" of "the buildings", so all are asked for in one: in
    that which benchmarks/wording.py measured best.
    """
    text = " ".join(phrase.lower().split()).rstrip(" .,;!?")
    while match := _ASIDES.search(text):
        text = text[: match.start()].rstrip(" ,")
    text = _without_determiners(text)
    span = subject_span(text)
    if span is None:
        return text
    stop, words = span.stop, tag_words(text)
    for index, word in enumerate(words):
        is_noun = word.span.start == stop + 1 and word.tag.startswith("NN")
        if is_noun and not any(each.tag == "DT" for each in words[index + 1 : index + 2]):
            stop = word.span.stop  # "lot" of "parking lot of the", not "crossing" before "the"
    name, after = text[span.start : stop], text[stop:]
    if (many := _plural(name)) != name:
        after = _VERBS.sub(lambda m: f"{m[1]} {'are' if m[2] == 'is' else 'were'}", after, count=1)
    return text[: span.start] + many + after


def _plural(name: str) -> str:
    """The plural of a noun phrase; what is not counted stays."""
    one = singularize(name)
    if not noun_of(category_of(one) or one).is_counted or one.split()[-1] in UNCOUNTED:
        return one
    return name if one != name else pluralize(name)


def _without_determiners(text: str) -> str:
    words = tag_words(text)
    start = 0
    while start < len(words) - 1 and words[start].text in DETERMINERS | {"of"}:
        start += 1
    return text[words[start].span.start :] if words else text
