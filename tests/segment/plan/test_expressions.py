"""Which expressions are accepted."""

import pytest

from rrsis_geo.errors import InputError
from rrsis_geo.segment.plan.expressions import MAX_CHARACTERS, clean_expression


def test_extra_blanks_are_removed() -> None:
    assert clean_expression("  the\tred \n car ") == "the red car"
    longest = "a" * MAX_CHARACTERS
    assert clean_expression(f" {longest} ") == longest


@pytest.mark.parametrize("letters", ["日本の車", "la façade", "the car \N{AUTOMOBILE}"])
def test_letters_of_any_language_are_accepted(letters: str) -> None:
    assert clean_expression(letters) == letters


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "empty"),
        (" ?! ", "empty"),
        ("a car " * 200, "has 1,199 characters; at most 1,000"),
        ("the car\udcff", r"'the car\\udcff' has characters that are not text"),
        ("the car\0", "characters that are not text"),
        ("\ud83d car", "characters that are not text"),
    ],
)
def test_others_are_refused(expression: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        clean_expression(expression)
    assert len(str(caught.value).encode()) < 250
