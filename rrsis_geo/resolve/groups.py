"""What rules about groups need to know of objects: where they are, and how long."""

import numpy as np

from rrsis_geo.resolve.choice import Column
from rrsis_geo.resolve.frame import Float64, Things
from rrsis_geo.text.query.records import Grouping, Query, plain_rule


class Groups:
    """Collects the facts for rules about groups, if a query has any."""

    def __init__(self, query: Query) -> None:
        self._rules = [isinstance(plain_rule(rule), Grouping) for rule in query.rules]
        self._centres: list[Float64] = []
        self._lengths: list[Float64] = []

    def add(self, things: Things) -> None:
        if any(self._rules):
            self._centres.append(things.centres(compass=True))
            self._lengths.append(things.sides_m()[0])

    def fill(self, columns: list[Column]) -> list[Column]:
        """The columns of all rules, with those about groups filled in."""
        if not self._centres:
            return columns
        facts = Column(value=np.concatenate(self._lengths), centres=np.concatenate(self._centres))
        pairs = zip(self._rules, columns, strict=True)
        return [facts if is_grouping else column for is_grouping, column in pairs]
