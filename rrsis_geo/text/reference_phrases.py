"""Fragments of expressions by the rules of FIANet's code, with which its weights were trained.

The rules use the numbers of words as those of tokens, find names inside of words, and place each
"in" at the first "in". `rrsis_geo.text.phrases` has better rules. One thing differs from the code:
tags are those of our tagger, because the one of NLTK has to be downloaded.

Source: the behaviour of https://github.com/Shaosifan/FIANet. No code was taken.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

from rrsis_geo.errors import ConfigError
from rrsis_geo.text.categories import REFSEGRS_CATEGORIES, RRSISD_CATEGORIES
from rrsis_geo.text.chunks import find_chunks, tag_texts

if TYPE_CHECKING:
    from nltk.tokenize import NLTKWordTokenizer

TextRules = Literal["aligned", "reference-refsegrs", "reference-rrsisd"]
"""Rules for the fragments of expressions: ours, or those of FIANet's code, which knows the names of
one dataset."""
NAMES = {"reference-refsegrs": REFSEGRS_CATEGORIES, "reference-rrsisd": RRSISD_CATEGORIES}


class TokenPlaces(NamedTuple):
    """Places of tokens, where 0 is ``[CLS]``.

    Attributes:
        objects: of the names of objects.
        positions: of the phrases of position; empty if there are none.
    """

    objects: frozenset[int]
    positions: frozenset[int]


@lru_cache(maxsize=65536)
def find_reference_places(expression: str, rules: TextRules) -> TokenPlaces:
    """Find the names of objects and the phrases of position by the rules of FIANet's code.

    Args:
        expression: upper and lower case differ.
        rules: a key of `NAMES`.
    """
    words = _word_tokenizer().tokenize(expression)
    objects: set[int] = set()
    for name in NAMES[rules]:
        if name in expression:
            parts = name.split()
            start = next((i for i, word in enumerate(words) if parts[0] in word), 0)
            objects |= _token_places(start, len(parts))
    positions: set[int] = set()
    for place in find_chunks(tag_texts(words), _POSITION_RULES):
        chunk = words[place]
        if "of" not in " ".join(chunk):
            positions |= _token_places(words.index(chunk[0]), len(chunk))
    return TokenPlaces(frozenset(objects), frozenset(positions))


def check_text_rules(rules: TextRules) -> None:
    """Check that the libraries of some rules are installed.

    Raises:
        ConfigError: they are not.
    """
    if rules != "aligned":
        _word_tokenizer()


@lru_cache
def _word_tokenizer() -> "NLTKWordTokenizer":
    try:
        from nltk.tokenize import NLTKWordTokenizer  # takes seconds, and only FIANet needs it
    except ImportError as err:
        raise ConfigError(
            'FIANet finds words by NLTK, which is not installed; pip install "rrsis-geo[fianet]"'
        ) from err
    return NLTKWordTokenizer()


def _token_places(start: int, count: int) -> set[int]:
    return set(range(start + 1, start + 1 + count))


_POSITION_RULES = ("<IN><DT>?<JJ.*>?<NN>", "<IN><DT>?<JJ.*>?<JJ>", "<IN><DT>?<JJ.*><VBD>")
"""Each for what the rules before left. Plurals and proper nouns do not match."""
