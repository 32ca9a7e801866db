"""What rules about groups need to know of objects: where they are, and how long."""

import numpy as np

from rrsis_geo.resolve.choice import GROUP_LENGTHS, SURE_SCORE, Column
from rrsis_geo.resolve.frame import Flags, Float64, Things
from rrsis_geo.resolve.relations import nearest_other_m
from rrsis_geo.text.query.records import Grouping, Query, is_negated, plain_rule


class Groups:
    """Collects the facts for rules about groups, if a query has any."""

    def __init__(self, query: Query) -> None:
        self._rules = [isinstance(plain_rule(rule), Grouping) for rule in query.rules]
        self._wants_single = any(
            isinstance(inner, Grouping) and (inner.kind == "isolated") != is_negated(rule)
            for rule, inner in zip(query.rules, map(plain_rule, query.rules), strict=True)
        )
        self._centres: list[Float64] = []
        self._lengths: list[Float64] = []

    def add(self, things: Things, scores: Float64) -> Flags:
        """Add some objects, and their mean probabilities.

        Returns:
            Which of them can still be chosen. More objects only bring more neighbours.
        """
        if not any(self._rules):
            return np.ones(len(scores), bool)
        (lengths, _), _ = things.side_bounds_m()
        centres = things.centres(compass=True)
        sure = np.flatnonzero(scores >= SURE_SCORE)
        is_grouped = np.zeros(len(scores), bool)
        is_grouped[sure] = nearest_other_m(centres[sure]) <= GROUP_LENGTHS * lengths[sure]
        rest = np.flatnonzero(~is_grouped)  # the least length is enough for the others
        lengths[rest] = things.take(rest).sides_m()[0]
        self._centres.append(centres)
        self._lengths.append(lengths)
        return ~(is_grouped & self._wants_single)

    def fill(self, columns: list[Column]) -> list[Column]:
        """The columns of all rules, with those about groups filled in."""
        if not self._centres:
            return columns
        facts = Column(value=np.concatenate(self._lengths), centres=np.concatenate(self._centres))
        pairs = zip(self._rules, columns, strict=True)
        return [facts if is_grouping else column for is_grouping, column in pairs]
