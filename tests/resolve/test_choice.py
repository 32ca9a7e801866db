"""How rules combine over objects."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rrsis_geo.resolve.choice import Column, choose
from rrsis_geo.text.query.records import Grouping, Not, Only, Rank, Rule, Size, SizeClass

AREA = np.array([30.0, 50.0, 10.0, 50.0, np.nan])


def sure(n: int) -> NDArray[np.float64]:
    """Scores of n objects that are certain."""
    return np.ones(n)


def test_no_rule_chooses_all() -> None:
    choice = choose((), (), sure(3))
    assert choice.chosen.all()
    assert not choice.rank.any()
    assert choice.warnings == ()


def test_ranks_count_from_one_and_ties_go_by_order() -> None:
    choice = choose([Rank("area", count=3)], [Column(value=AREA)], sure(5))
    assert choice.chosen.tolist() == [True, True, False, True, False]
    assert choice.rank.tolist() == [3, 1, 4, 2, 0]


def test_a_later_rank() -> None:
    choice = choose([Rank("area", first=3)], [Column(value=AREA)], sure(5))
    assert np.flatnonzero(choice.chosen).tolist() == [0]
    smallest = choose([Rank("area", descending=False)], [Column(value=AREA)], sure(5))
    assert np.flatnonzero(smallest.chosen).tolist() == [2]


def test_objects_that_are_not_sure_come_last() -> None:
    """A crumb of the mask is not the smallest building."""
    scores = np.array([0.95, 0.9, 0.6, 0.85, 0.95])
    smallest = choose([Rank("area", descending=False)], [Column(value=AREA)], scores)
    assert smallest.rank.tolist() == [1, 2, 4, 3, 0]
    doubtful = choose([Rank("area", descending=False)], [Column(value=AREA)], 0 * scores)
    assert np.flatnonzero(doubtful.chosen).tolist() == [2]
    filtered = choose([Size("area")], [Column(holds=AREA > 0)], scores)
    assert filtered.chosen.tolist() == [True, True, True, True, False]


@pytest.mark.parametrize("key", ["area", "length", "width"])
def test_a_large_object_may_be_less_sure_than_a_crumb(key: Any) -> None:
    """The largest building has a score of 0.65: crumbs come last by their size anyway."""
    scores = np.array([0.95, 0.65, 0.5, 0.55, 0.95])
    largest = choose([Rank(key)], [Column(value=AREA)], scores)
    assert largest.rank.tolist() == [2, 1, 4, 3, 0]
    smallest = choose([Rank(key, descending=False)], [Column(value=AREA)], scores)
    assert smallest.rank.tolist() == [1, 3, 2, 4, 0]


def test_a_rank_compares_what_the_filters_leave() -> None:
    under_40 = Column(holds=AREA < 40)
    choice = choose(
        [Size("area", at_most=40), Rank("area")], [under_40, Column(value=AREA)], sure(5)
    )
    assert np.flatnonzero(choice.chosen).tolist() == [0]


def test_negation() -> None:
    holds = np.array([True, False, True])
    choice = choose([Not(Size("area"))], [Column(holds=holds)], sure(3))
    assert choice.chosen.tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Grouping("isolated"), [False, False, True, True, False]),
        (Not(Grouping("grouped")), [False, False, True, True, False]),
        (Grouping("grouped"), [True, True, False, False, False]),
        (Not(Grouping("isolated")), [True, True, False, False, False]),
    ],
)
def test_groups_are_of_objects_that_are_sure(rule: Rule, expected: list[bool]) -> None:
    """A crumb is no isolated tree, and a tree with a crumb beside it is."""
    centres = np.array([[0, 0], [20, 0], [100, 0], [200, 0], [201, 0]], float)
    column = Column(value=np.full(5, 10.0), centres=centres)
    scores = np.array([0.9, 0.95, 0.85, 0.9, 0.6])
    assert choose([rule], [column], scores).chosen.tolist() == expected


def test_large_and_small_are_of_objects_that_are_sure() -> None:
    area = Column(value=np.array([30.0, 500, 20, 1, 400]))
    scores = np.array([0.9, 0.9, 0.9, 0.6, 0.9])
    large, small = SizeClass("area", is_large=True), SizeClass("area", is_large=False)
    for rule, expected in (
        (large, [False, True, False, False, True]),
        (small, [True, False, True, False, False]),
        (Not(large), [True, False, True, False, False]),
        (Not(Not(small)), [True, False, True, False, False]),
    ):
        assert choose([rule], [area], scores).chosen.tolist() == expected
    assert choose([small], [area], 0 * scores).chosen.tolist() == [True, False, True, True, False]


def test_groups_where_no_object_is_sure() -> None:
    column = Column(value=np.ones(3), centres=np.array([[0, 0], [9, 0], [10, 0]], float))
    isolated = choose([Grouping("isolated")], [column], np.array([0.6, 0.8, 0.7]))
    assert isolated.chosen.tolist() == [True, False, False]


def test_near_ties_are_reported() -> None:
    close = choose([Rank("area")], [Column(value=np.array([100.0, 95.0, 10.0]))], sure(3))
    assert close.warnings == (
        "the largest: number 1 and number 2 differ by less than 10% (100 and 95)",
    )
    clear = choose([Rank("area")], [Column(value=np.array([100.0, 80.0, 79.0]))], sure(3))
    assert clear.warnings == ()


def test_shortages_are_reported() -> None:
    choice = choose([Rank("area", count=3)], [Column(value=np.array([100.0, 50.0]))], sure(2))
    assert choice.chosen.all()
    assert choice.warnings == ("the 3 largest: only 2 objects can be compared",)


@pytest.mark.parametrize(("n", "n_warnings"), [(0, 0), (1, 0), (3, 1)])
def test_only_one(n: int, n_warnings: int) -> None:
    choice = choose([Only()], [Column()], sure(n))
    assert choice.chosen.all()
    assert len(choice.warnings) == n_warnings


@given(
    st.lists(st.integers(0, 20), max_size=12), st.integers(1, 4), st.integers(1, 4), st.booleans()
)
def test_ranks_equal_a_sort(values: list[int], first: int, count: int, descending: bool) -> None:
    rule = Rank("length", descending=descending, first=first, count=count)
    choice = choose([rule], [Column(value=np.array(values, float))], sure(len(values)))
    expected = sorted(values, reverse=descending)[first - 1 : first - 1 + count]
    chosen = sorted(np.array(values)[choice.chosen].tolist(), reverse=descending)
    assert chosen == expected
