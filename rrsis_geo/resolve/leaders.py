"""Which objects can still be among the largest, before they are split and measured."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.resolve.batches import ObjectBatch
from rrsis_geo.resolve.choice import Column, least_score
from rrsis_geo.resolve.frame import Flags, Float64, Frame
from rrsis_geo.text.query.records import Grouping, Rank, Rule, SizeClass, plain_rule

Index = NDArray[np.intp]
Select = Callable[[ObjectBatch], Index]
"""Gives the objects of a batch that are looked at."""


def everything(batch: ObjectBatch) -> Index:
    """All objects of a batch."""
    return np.arange(len(batch))


class Leaders:
    """The largest objects so far; what is smaller in any case is left out.

    Of most objects of a scene, "the ten largest" then needs the bounding box only. Objects are left
    out where the first rule that compares objects is a rank from the largest down.
    """

    def __init__(self, rules: Sequence[Rule], until_rank: Sequence[Rule], frame: Frame) -> None:
        """No objects are known yet.

        Args:
            rules: of the query; () to leave out nothing.
            until_rank: those before a rank, and the rank of as many objects as must be known.
            frame: of the scene.
        """
        rank = until_rank[-1] if rules and until_rank else None
        compares = any(isinstance(plain_rule(rule), Grouping | SizeClass) for rule in rules)
        self._rank: Rank | None = None
        if isinstance(rank, Rank) and frame.has_metres and not compares:
            self._rank = rank if rank.key == "area" and rank.descending else None
        self._is_sure: Flags = np.empty(0, bool)
        self._area_m2: Float64 = np.empty(0)
        self._selected: list[Index] = []

    def select(self, batch: ObjectBatch) -> Index:
        """The objects of a batch that can be among the first, as whole objects or by a part."""
        index = everything(batch)
        if self._rank is not None and len(self._area_m2) == self._rank.count:
            last_is_sure, last_m2 = self._is_sure[-1], self._area_m2[-1]
            is_sure = batch.score >= least_score(self._rank)
            is_smaller = batch.area_limit_m2 < last_m2  # False if unknown
            index = np.flatnonzero(
                (is_sure > last_is_sure) | ((is_sure == last_is_sure) & ~is_smaller)
            )
        if self._rank is not None:
            self._selected.append(index)
        return index

    def repeat(self) -> Select:
        """Selects the same objects when the same batches are read again."""
        if self._rank is None:
            return everything
        selected = iter(self._selected)
        return lambda batch: next(selected)

    def add(self, columns: Sequence[Column], index: Index, scores: Float64) -> None:
        """Add the first objects of a batch.

        Args:
            columns: facts of N objects about each rule until the rank.
            index: of the first objects by the rank.
            scores: of the N objects.
        """
        if self._rank is None:
            return
        area_m2: Any = columns[-1].value
        self._area_m2 = np.append(self._area_m2, area_m2[index])
        is_sure = scores[index] >= least_score(self._rank)
        self._is_sure = np.append(self._is_sure, is_sure)
        order = np.lexsort((-self._area_m2, ~self._is_sure))[: self._rank.count]
        self._area_m2, self._is_sure = self._area_m2[order], self._is_sure[order]
