"""Draw objects so that each is close to its pixels and overlaps no other."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray

Polygons = NDArray[Any]
Int64 = NDArray[np.int64]

CLOSE: Final = 0.95
"""Least intersection over union of a drawing with the pixels of its object."""


def iou_with_pixels(polygons: Polygons, pixels: Polygons) -> NDArray[np.float64]:
    """Intersection over union [N] of polygons and the pixels that they stand for; 0 if invalid."""
    iou = np.zeros(len(polygons))
    index = np.flatnonzero(shapely.is_valid(polygons))
    common = shapely.area(shapely.intersection(polygons[index], pixels[index]))
    iou[index] = common / (shapely.area(polygons[index]) + shapely.area(pixels[index]) - common)
    return iou


class CloseDrawing:
    """Draws each object in the first of several ways that is close to its pixels.

    Within a way, no objects overlap. Where objects that are drawn in different ways would, those in
    the earlier way are drawn in the next one that is close. An object that is close in no way gets
    its pixels; objects drawn in the last way do not overlap the pixels of others.

    Args:
        draw: makes the polygons of the objects at some indices in a way. It gets all objects of a
            group at once.
        n_ways: number of ways.
        pixels: polygons [N] of the pixels.
        unit: number from 0 of the unit of each object, [N]. Objects of a unit share borders, so
            they are drawn in the same way.
        group: number from 0 of the group of each object, [N]. Objects of different groups are
            apart, however they are drawn.
    """

    def __init__(
        self,
        draw: Callable[[int, Int64], Polygons],
        n_ways: int,
        pixels: Polygons,
        unit: Int64,
        group: Int64,
    ) -> None:
        self._n_ways, self._pixels, self._unit = n_ways, pixels, unit
        self._way = np.zeros(unit.max() + 1, np.int64)  # of each unit
        self._drawings: list[Polygons] = []
        index = np.arange(len(pixels))
        for way in range(n_ways):
            drawing = pixels.copy()
            drawing[index] = draw(way, index)
            self._drawings.append(drawing)
            far = self._far_units(self._way == way)
            if not len(far):
                break
            self._way[far] += 1
            has_far = np.zeros(group.max() + 1, bool)
            has_far[group[self._way[unit] > way]] = True
            index = np.flatnonzero(has_far[group])

    def polygons(self) -> Polygons:
        """The polygons [N]. They do not depend on the order of the objects."""
        while True:
            way = self._way[self._unit]
            found = self._pixels.copy()
            for number, drawing in enumerate(self._drawings):
                found[way == number] = drawing[way == number]
            moved = self._overlapping_units(found, way)
            if not len(moved):
                return found
            while len(moved):
                self._way[moved] += 1
                is_moved = np.zeros(len(self._way), bool)
                is_moved[moved] = True
                moved = self._far_units(is_moved & (self._way < self._n_ways))

    def _far_units(self, is_asked: NDArray[np.bool_]) -> Int64:
        """Which of some units [U] have an object that is not close in the way of its unit."""
        index = np.flatnonzero(is_asked[self._unit])
        way, far = self._way[self._unit[index]], np.zeros(len(index), bool)
        for number in np.unique(way):
            there = index[way == number]
            iou = iou_with_pixels(self._drawings[number][there], self._pixels[there])
            far[way == number] = iou < CLOSE
        return np.unique(self._unit[index[far]])

    def _overlapping_units(self, polygons: Polygons, way: Int64) -> Int64:
        """Units that overlap others in a later way."""
        if way.min() == way.max():
            return np.empty(0, np.int64)
        one, other = shapely.STRtree(polygons).query(polygons, predicate="intersects")
        is_earlier = way[one] < way[other]
        one, other = one[is_earlier], other[is_earlier]
        overlap = shapely.relate_pattern(polygons[one], polygons[other], "T********")
        return np.unique(self._unit[one[overlap]])
