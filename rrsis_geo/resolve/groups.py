"""Which objects are in a group, and which are isolated."""

from typing import Final

import numpy as np

from rrsis_geo.resolve.choice import Column
from rrsis_geo.resolve.fact_columns import plain_rule
from rrsis_geo.resolve.frame import Float64, Things
from rrsis_geo.resolve.relations import nearest_other_m
from rrsis_geo.text.query.records import Grouping, Query

GROUP_LENGTHS: Final = 3.0
"""Objects are in a group if the centroid of another one is nearer than this times their length."""


class Groups:
    """Collects what the rules about groups need, if a query has any."""

    def __init__(self, query: Query) -> None:
        kinds = [plain_rule(rule) for rule in query.rules]
        self._kinds = {i: rule.kind for i, rule in enumerate(kinds) if isinstance(rule, Grouping)}
        self._centres: list[Float64] = []
        self._lengths: list[Float64] = []

    def add(self, things: Things) -> None:
        if self._kinds:
            self._centres.append(things.centres(compass=True))
            self._lengths.append(things.sides_m()[0])

    def fill(self, columns: list[Column]) -> list[Column]:
        """The columns of all rules, with those about groups filled in."""
        if not self._centres:
            return columns
        lengths = np.concatenate(self._lengths)
        grouped = nearest_other_m(np.concatenate(self._centres)) <= GROUP_LENGTHS * lengths
        holds = {i: grouped if kind == "grouped" else ~grouped for i, kind in self._kinds.items()}
        return [Column(holds=holds[i]) if i in holds else each for i, each in enumerate(columns)]
