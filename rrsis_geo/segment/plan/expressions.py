"""Expressions as users type them: what can be segmented, in one spelling."""

import unicodedata
from collections.abc import Sequence
from typing import Final

from rrsis_geo.errors import InputError
from rrsis_geo.text.query.parser import parse_query

MAX_CHARACTERS: Final = 1000
"""Longest expression. Models read about 60 words; a longer text is most likely a mistake."""


def clean_expressions(expressions: str | Sequence[str]) -> tuple[str, ...]:
    """The expressions, without repetitions and extra blanks.

    Raises:
        InputError: there is no expression, or one cannot be used; see `clean_expression`.
    """
    given = (expressions,) if isinstance(expressions, str) else tuple(expressions)
    return tuple(dict.fromkeys(map(clean_expression, given or ("",))))


def clean_expression(expression: str) -> str:
    """The expression without extra blanks.

    Raises:
        InputError: it has no word, is too long, has characters that files cannot hold, or is not
            understood.
    """
    cleaned = " ".join(expression.split())
    if not any(map(str.isalnum, cleaned)):
        raise InputError('the expression is empty; say what to look for, as in "the red car"')
    shown = ascii(cleaned if len(cleaned) <= 60 else f"{cleaned[:60]}...")
    if len(cleaned) > MAX_CHARACTERS:
        raise InputError(
            f"the expression {shown} has {len(cleaned):,} characters; at most "
            f"{MAX_CHARACTERS:,} are allowed, and models read only the first words"
        )
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in cleaned):
        raise InputError(
            f"the expression {shown} has characters that are not text; is it in another encoding "
            "than UTF-8?"
        )
    parse_query(cleaned)
    return cleaned
