"""One wording of a phrase, so that the network answers "the cars" as it answers "car"."""

import re
from functools import lru_cache
from typing import Final

from rrsis_geo.text.grammar_words import PICTURE_NOUNS
from rrsis_geo.text.phrases import subject_span, tag_words
from rrsis_geo.text.query.words import DETERMINERS
from rrsis_geo.text.vocabulary import singularize

_ASIDES: Final = re.compile(
    rf"\s+(?:(?:in|on|of|from) (?:the|this|that) (?:{'|'.join(sorted(PICTURE_NOUNS))})"
    r"|here|please|seen from above|from above)$"
)
_VERBS: Final = re.compile(r"\b(that|which) (are|were)\b")


@lru_cache(maxsize=4096)
def canonical_phrase(phrase: str) -> str:
    """A phrase in lower case without article, with its subject in the singular.

    Networks give "the building" and "all buildings" different outlines. Rules compare objects of
    several wordings, "the largest building" of "the buildings", so all are asked for in one.
    """
    text = " ".join(phrase.lower().split()).rstrip(" .,;!?")
    while match := _ASIDES.search(text):
        text = text[: match.start()]
    text = _without_determiners(text)
    span = subject_span(text)
    if span is None:
        return text
    name = text[span.start : span.stop]
    after = text[span.stop :]
    if (one := singularize(name)) != name:
        after = _VERBS.sub(lambda m: f"{m[1]} {'is' if m[2] == 'are' else 'was'}", after, count=1)
    return text[: span.start] + one + after


def _without_determiners(text: str) -> str:
    words = tag_words(text)
    start = 0
    while start < len(words) - 1 and words[start].text in DETERMINERS | {"of"}:
        start += 1
    return text[words[start].span.start :] if words else text
