"""The grammar, held against sentences whose readings were checked by hand."""

import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rrsis_geo.errors import InputError
from rrsis_geo.text.query.parser import parse_query
from rrsis_geo.text.query.records import Find, Query

LINES = [
    line
    for line in Path(__file__).with_name("expressions.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
READINGS = [line.split(" -> ") for line in LINES if " -> " in line]
REFUSALS = [line.split(" !! ") for line in LINES if " !! " in line]
WORDS = (
    *("near", "the", "car", "building", "within", "200 m", "of", "not", "and", "or", ",", "left"),
    *("between", "in", "northern", "half", "largest", "two", "second", "closest", "to", "from"),
    *("road", "that", "is", "with", "except", "without", "edge", "above", "clusters", "only"),
)


@pytest.mark.parametrize(("expression", "reading"), READINGS, ids=[line[0] for line in READINGS])
def test_reading(expression: str, reading: str) -> None:
    query = parse_query(expression)
    phrases = "" if query.is_plain else f" [{', '.join(query.phrases())}]"
    assert f"{query}{phrases}" == reading


@pytest.mark.parametrize(("expression", "error"), REFUSALS, ids=[line[0] for line in REFUSALS])
def test_refusal(expression: str, error: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_query(expression)
    assert error in str(caught.value)


def test_every_kind_has_sentences() -> None:
    assert len(READINGS) > 190
    assert len(REFUSALS) >= 20


@pytest.mark.parametrize(
    "expression",
    ["red car", "The red cars, please", "show me all red cars", "every red car in the image"],
)
def test_plain_expressions_have_one_wording(expression: str) -> None:
    query = parse_query(expression)
    assert query == Query((Find("red cars"),))
    assert query.is_plain
    assert query.phrases() == ("red cars",)


def test_length_is_limited() -> None:
    parse_query("car " * 250)
    with pytest.raises(InputError, match="1,001 characters, 1,000 are allowed"):
        parse_query("c" * 1001)


def test_a_typo_is_suggested() -> None:
    with pytest.raises(InputError, match='"largset" is not understood; did you mean "largest"'):
        parse_query("the largset building")


def test_rules_are_in_order_with_the_rank_last() -> None:
    query = parse_query("the two largest white tanks within 300 m of the railway in the north")
    assert [type(rule).__name__ for rule in query.rules] == ["Distance", "Region", "Rank"]
    assert [str(landmark) for landmark in query.landmarks()] == ["railways"]
    assert query.to_dict()["rules"][2]["count"] == 2


@pytest.mark.parametrize(
    "expression",
    ["the largest car closest to the road", "the leftmost largest car", "the largest smallest car"],
)
def test_two_orders_are_refused(expression: str) -> None:
    with pytest.raises(InputError, match="in order twice"):
        parse_query(expression)


def test_many_things_in_a_row_are_refused_at_once() -> None:
    start = time.perf_counter()
    with pytest.raises(InputError, match="more than 10 things in a row"):
        parse_query("cars near the largest car near " * 30 + "the car")
    assert time.perf_counter() - start < 5


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=40).map(" ".join))
@example("near not , not the")
def test_any_words_are_read_or_refused(expression: str) -> None:
    try:
        query = parse_query(expression)
    except InputError:
        return
    assert all(query.phrases())
    assert str(query)


def test_contact_with_a_landmark_that_is_known_is_a_rule() -> None:
    given = frozenset({"harbors"})
    assert str(parse_query("ships in the harbor")) == "ships in the harbor"
    assert str(parse_query("ships in the harbor", given)) == 'ships ; in "harbors"'
    assert (
        str(parse_query("ships not in a harbor", given)) == 'ships without (ships ; in "harbors")'
    )
    assert str(parse_query("ships in the lake", given)) == "ships in the lake"


@pytest.mark.parametrize(
    ("expression", "reading"),
    [
        ("ships at the pier", 'ships ; next to "piers"'),
        ("the largest ship moored at the pier", 'ships ; next to "piers" ; the largest'),
        (
            "ships at the pier or in the north",
            '(ships ; next to "piers") or (ships ; northern half)',
        ),
        ("ships in the north and at the pier", 'ships ; northern half ; next to "piers"'),
        ("ships at the pier or at the quay", '(ships ; next to "piers") or ships at the quay'),
        ("ships not at the pier", 'ships without (ships ; next to "piers")'),
    ],
)
def test_ships_at_a_pier_that_is_known(expression: str, reading: str) -> None:
    assert str(parse_query(expression, frozenset({"piers"}))) == reading
