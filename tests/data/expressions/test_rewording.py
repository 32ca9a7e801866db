"""Rarer words for the same things."""

import numpy as np
import pytest

from rrsis_geo.data.expressions.lexicon import NOUNS
from rrsis_geo.data.expressions.rewording import (
    FOREIGN,
    RARE_NAMES,
    _usual_name,
    foreign,
    names_of,
    reworded,
)


def variants(expression: str, n: int = 300) -> set[str]:
    return {reworded(expression, np.random.default_rng(i)) for i in range(n)}


def test_things_get_rarer_names_of_the_same_number():
    said = variants("the white airplanes next to the harbor")
    assert "the white jetliners next to the wharf" in said
    assert not any("airplane" in text or "harbor" in text for text in said)
    said = variants("the red car at the bottom")
    assert any(text.startswith("the red sedan at the bottom") for text in said)


def test_articles_follow_the_new_name():
    said = variants("an airplane")
    assert "a jet" in said
    assert "an airliner" in said


def test_heads_of_long_names_are_what_is_counted():
    assert "places to play tennis" in variants("tennis courts")
    assert "pools of water" in variants("swimming pools")
    assert "all plants" in variants("all vegetation")


def test_requests_and_asides_are_rare():
    said = [reworded("blue trucks", np.random.default_rng(i)) for i in range(1000)]
    plain = sum(text.startswith("blue ") and text.count(" ") <= 3 for text in said)
    assert 600 < plain < 850
    assert any(text.startswith("show me blue ") for text in said)


def test_what_is_unknown_stays():
    assert "the thing over there" in variants("the thing over there")


@pytest.mark.parametrize("category", sorted(RARE_NAMES))
def test_rare_names_name_no_other_category(category):
    taken = {name for noun in NOUNS.values() for name in (*noun.singular, *noun.plural)}
    assert not taken & set(RARE_NAMES[category])
    everything = [name for names in RARE_NAMES.values() for name in names]
    assert len(everything) == len(set(everything))


def test_names_of_a_category_known_or_not():
    assert {"lake", "lakes", "body of water"} <= names_of("water")
    assert names_of("semi-trailer") == {"semi-trailer", "semi-trailers"}


def test_what_is_foreign_is_no_thing_that_is_known():
    known = {name for category in NOUNS for name in names_of(category)}
    assert not known & set(FOREIGN)
    assert not any(_usual_name().search(name) for name in FOREIGN)  # "tank", also in a longer name
    said = {foreign(np.random.default_rng(i)) for i in range(10000)}
    assert {"the dam", "wind turbines", "all the cooling towers", "an igloo"} <= said
    assert any(text.endswith("horses on the left") for text in said)
