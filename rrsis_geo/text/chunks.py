"""Tags of words, and chunks: runs of words whose tags match a rule.

The results are those of NLTK's `UnigramTagger`, `RegexpTagger` and `RegexpParser`
(tests/text/test_chunks.py compares them), without NLTK, which takes longer to import than all else
that a command needs.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache

from rrsis_geo.text.grammar_words import SUFFIX_TAGS, WORD_TAGS

_SUFFIX_PATTERNS = [(re.compile(pattern), tag) for pattern, tag in SUFFIX_TAGS]


def tag_texts(words: Sequence[str]) -> list[str]:
    """Penn Treebank tag of each word; upper and lower case are the same."""
    return [_tag(word.lower()) for word in words]


def _tag(word: str) -> str:
    if word in WORD_TAGS:
        return WORD_TAGS[word]
    return next(tag for pattern, tag in _SUFFIX_PATTERNS if pattern.fullmatch(word))


def find_chunks(tags: Sequence[str], rules: Sequence[str]) -> list[slice]:
    """Find the chunks of a sentence, in its order.

    Args:
        tags: of its words.
        rules: regular expressions over tags in angle brackets, such as ``<IN><DT>?<NN.*>+``. A dot
            is any character of a tag. Each rule is for the words that the rules before left, from
            left to right, and takes as many words as it can.
    """
    chunks: list[slice] = []
    for rule in rules:
        for gap in list(_gaps(chunks, len(tags))):
            chunks += [
                slice(gap.start + chunk.start, gap.start + chunk.stop)
                for chunk in _match(rule, tags[gap])
            ]
        chunks.sort(key=lambda chunk: chunk.start)
    return chunks


def _gaps(chunks: Sequence[slice], n_words: int) -> Iterator[slice]:
    """The words before, between and after chunks, which are in order."""
    starts = [0, *(chunk.stop for chunk in chunks)]
    stops = [*(chunk.start for chunk in chunks), n_words]
    return map(slice, starts, stops)


def _match(rule: str, tags: Sequence[str]) -> Iterator[slice]:
    text = "".join(f"<{tag}>" for tag in tags)
    for match in _compile(rule).finditer(text):
        yield slice(text.count("<", 0, match.start()), text.count("<", 0, match.end()))


@cache
def _compile(rule: str) -> re.Pattern[str]:
    inside = rule.replace(".", "[^<>]").replace("<", "(?:<(?:").replace(">", ")>)")
    return re.compile(inside)
