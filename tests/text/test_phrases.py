"""Phrases of expressions: target, objects, positions, and words about the whole scene."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrsis_geo.text.categories import CATEGORIES
from rrsis_geo.text.grammar_words import WORDS_BY_TAG
from rrsis_geo.text.phrases import (
    Span,
    categories_in,
    category_of,
    find_phrases,
    position_spans,
    subject_span,
    tag_words,
)
from rrsis_geo.text.vocabulary import THINGS, noun_of, pluralize


def texts_of(expression: str, spans: tuple[Span, ...]) -> list[str]:
    return [expression[start:stop] for start, stop in spans]


@pytest.mark.parametrize(
    ("expression", "subject"),
    [
        ("the truck on the road", "truck"),
        ("all buildings", "buildings"),
        ("The ground-track field beside the stadium", "ground-track field"),
        ("light-duty vehicle driving on the road", "vehicle"),
        ("the white aircraft parked at the terminal", "aircraft"),
        ("two buses", "buses"),
        # the left-most candidate, known category or not
        ("the parking lot beside the road", "parking lot"),
        ("the grey roof next to the trees", "roof"),
        ("solar panels on the roof", "solar panels"),
        # a compound that starts with the name of a category is not of that category
        ("the car park", "car park"),
        ("a carport", "carport"),
        # relational and partitive nouns are not candidates
        ("In the top left of the image, a large ship", "ship"),
        ("on the right side is a dam", "dam"),
        ("a pair of ships", "ships"),
        ("a group of small vehicles", "small vehicles"),
        ("the golf field surrounded by trees", "golf field"),
        ("a storage  tank", "storage  tank"),
        ("TENNIS COURT", "TENNIS COURT"),
    ],
)
def test_subject(expression: str, subject: str) -> None:
    span = subject_span(expression)
    assert span is not None
    assert expression[span.start : span.stop] == subject


@pytest.mark.parametrize("expression", ["", "  ", "on the left", "the edge of the image", "?!"])
def test_no_subject(expression: str) -> None:
    assert subject_span(expression) is None


def test_objects_are_the_longest_names_at_word_boundaries() -> None:
    expression = "cars and a carport on the road marking near road; a swimming pool"
    assert texts_of(expression, find_phrases(expression).objects) == [
        "cars",
        "road marking",
        "road",
        "swimming pool",
    ]


@pytest.mark.parametrize(
    ("expression", "positions"),
    [
        ("the truck on the road", ["on the road"]),
        ("the ship in the lower left", ["in the lower left"]),
        ("the ship on the upper left side", ["on the upper left side"]),
        ("a car near the storage tanks", ["near the storage tanks"]),
        ("a pair of ships near the harbor", ["near the harbor"]),
        ("the car on the left of the road", ["on the left"]),
        ("the panels on the roof", ["on the roof"]),  # "roof" does not contain the word "of"
        ("all buildings", []),
    ],
)
def test_positions(expression: str, positions: list[str]) -> None:
    assert texts_of(expression, position_spans(expression)) == positions


@pytest.mark.parametrize(
    ("expression", "category"),
    [
        ("all trucks on the road", "truck"),
        ("the planes", "airplane"),
        ("a pool", "swimming pool"),
        ("the roof beside the car", ""),
        ("the bus stop", ""),
        ("on the left", ""),
    ],
)
def test_category_of(expression: str, category: str) -> None:
    assert category_of(expression) == category


def test_categories_in_has_no_duplicates() -> None:
    assert categories_in("the car left of the car on the street") == ["car", "road"]


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_category_is_found_in_singular_and_plural(category: str) -> None:
    for name in (category, pluralize(category)):
        assert category_of(f"the white {name} near the river") == category


@pytest.mark.parametrize("category", THINGS)
def test_names_used_in_training_are_subjects(category: str) -> None:
    noun = noun_of(category)
    for name in noun.singular + noun.plural:
        expression = f"all the white {name} beside the river"
        span = subject_span(expression)
        assert span is not None
        start = expression.index(name)
        assert start <= span.start < span.stop <= start + len(name), name


def test_no_listed_word_has_two_tags() -> None:
    counts = Counter(word for words in WORDS_BY_TAG.values() for word in words.split())
    assert [word for word, count in counts.items() if count > 1] == []


@settings(deadline=None)
@given(st.text(max_size=40))
def test_spans_of_any_text_are_ordered_and_inside_it(expression: str) -> None:
    phrases = find_phrases(expression)
    for spans in (
        phrases.objects,
        phrases.positions,
        [word.span for word in tag_words(expression)],
    ):
        ends = [end for span in spans for end in span]
        assert ends == sorted(ends)
        assert all(0 <= start < stop <= len(expression) for start, stop in spans)


def test_offsets_are_right_after_letters_with_a_longer_lower_case() -> None:
    expression = "İİİ cars"
    assert texts_of(expression, find_phrases(expression).objects) == ["cars"]
