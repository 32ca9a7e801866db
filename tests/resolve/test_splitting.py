"""Which objects are split before rules choose."""

import pytest

from rrsis_geo.resolve.splitting import SplitPhrases, split_phrases
from rrsis_geo.text.query.parser import parse_query


@pytest.mark.parametrize(
    ("expression", "targets", "landmarks"),
    [
        ("the buildings", False, set()),
        ("the largest building", True, set()),
        ("the northernmost building", True, set()),
        ("buildings larger than 500 m2", True, set()),
        ("isolated buildings", True, set()),
        ("large buildings", True, set()),
        ("buildings within 50 m of a large tank", False, {"tanks"}),
        ("buildings within 50 m of the road", False, set()),
        ("buildings within 50 m of the largest tank", False, {"tanks"}),
        ("the largest building within 50 m of the road", True, set()),
        ("the largest building or the smallest building", True, set()),
        ("buildings in the northern half", False, set()),
    ],
)
def test_what_is_ranked_counted_or_measured(
    expression: str, targets: bool, landmarks: set[str]
) -> None:
    query = parse_query(expression)
    splits = split_phrases(query)
    assert splits.targets == targets
    assert splits.landmarks == landmarks
    assert split_phrases(query, split=False) == SplitPhrases(False, frozenset())
    everything = split_phrases(query, split=True)
    assert everything.targets
    assert everything.landmarks >= splits.landmarks


def test_a_landmark_by_itself() -> None:
    largest, plain = parse_query("the largest tank"), parse_query("the tank")
    assert len(split_phrases(largest, is_target=False).landmarks) == 1
    assert not split_phrases(plain, is_target=False).landmarks
    assert len(split_phrases(plain, is_target=False, split=True).landmarks) == 1
