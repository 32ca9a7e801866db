"""What rules ask of objects, batch by batch."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.resolve.frame import Float64, Shapes


class ObjectBatch(Shapes, Protocol):
    """Some objects, with what rules ask of them."""

    @property
    def area_m2(self) -> Float64:
        """Area [N] on the ground; NaN if unknown."""

    @property
    def score(self) -> Float64:
        """Mean probability [N] of the pixels."""

    @property
    def n_vertices(self) -> int:
        """Of all polygons together."""

    @property
    def area_limit_m2(self) -> Float64:
        """What the area of no object [N], and of no part of one, exceeds; NaN if unknown."""

    def __len__(self) -> int: ...

    def parts(self) -> Self:
        """The objects that rules are about: split where they touch, if they are to be."""

    def take(self, index: NDArray[np.intp]) -> Self:
        """Some of the objects, in the order of the index."""


Batch = TypeVar("Batch", bound=ObjectBatch)
Facts = dict[str, NDArray[Any]]

ReadObjects = Callable[[str, bool], Iterator[Batch]]
"""Reads the objects of a phrase, each time from the start; True: those of a target, which are
filtered and simplified as the options say."""
