"""What rules ask of objects, batch by batch."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import shapely
from numpy.typing import NDArray

from rrsis_geo.resolve.frame import Float64, MovePoints, Polygons, Shapes


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


class MeasuredPolygons:
    """What follows from polygons that are apart and have been measured; a base of batches."""

    __slots__ = ()
    polygons: Polygons
    area_m2: Float64

    @property
    def n_vertices(self) -> int:
        """Of all polygons together."""
        return int(shapely.get_num_coordinates(self.polygons).sum())

    @property
    def area_limit_m2(self) -> Float64:
        """The area itself."""
        return self.area_m2

    def parts(self) -> Self:
        """The objects, which are apart."""
        return self

    def moved(self, move: MovePoints) -> Polygons:
        """The polygons [N] with every vertex moved."""
        return np.asarray(shapely.transform(self.polygons, move))


Batch = TypeVar("Batch", bound=ObjectBatch)
Facts = dict[str, NDArray[Any]]

ReadObjects = Callable[[str, bool], Iterator[Batch]]
"""Reads the objects of a phrase, each time from the start; True: those of a target, which are
filtered and simplified as the options say."""
