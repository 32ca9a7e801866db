"""Which objects are split into parts before rules choose among them."""

from typing import NamedTuple

from rrsis_geo.text.query.records import (
    Grouping,
    Only,
    Query,
    Rank,
    Size,
    SizeClass,
    landmarks_of,
    plain_rule,
)


class SplitPhrases(NamedTuple):
    """The objects of a query that are split where they touch, see `geo.objects.split`.

    Attributes:
        targets: whether those of its targets are.
        landmarks: phrases of landmarks whose objects are.
    """

    targets: bool
    landmarks: frozenset[str]

    def includes(self, phrase: str, *, is_target: bool) -> bool:
        """Whether the objects of a phrase are split, where it is a target or a landmark."""
        return self.targets if is_target else phrase in self.landmarks


def split_phrases(
    query: Query, *, split: bool | None = None, is_target: bool = True
) -> SplitPhrases:
    """The objects that are split: those that a rule ranks, counts or measures.

    Args:
        query: any.
        split: True splits all objects, False none.
        is_target: whether its objects are targets; otherwise they are a landmark themselves.
    """
    if split is False:
        return SplitPhrases(False, frozenset())
    landmarks = [*_all_landmarks(query), *(() if is_target else (query,))]
    landmarks = [landmark for landmark in landmarks if split or counts(landmark)]
    phrases = frozenset(phrase for landmark in landmarks for phrase in landmark.targets())
    return SplitPhrases(split or counts(query), phrases)


def counts(query: Query) -> bool:
    """Whether the answer depends on where one object ends and the next begins."""
    rules = map(plain_rule, query.rules)
    return any(
        isinstance(rule, Rank | Size | SizeClass | Grouping | Only) for rule in rules
    ) or any(counts(source) for source in query.sources if isinstance(source, Query))


def _all_landmarks(query: Query) -> list[Query]:
    found = [landmark for rule in query.rules for landmark in landmarks_of(rule)]
    inner = [*found, *(source for source in query.sources if isinstance(source, Query))]
    return [*found, *(landmark for each in inner for landmark in _all_landmarks(each))]
