"""Simplify outlines without overlaps between neighbours."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from rrsis_geo.geo.objects.outlines import Int64, Outlines
from rrsis_geo.geo.objects.runs import union_sets

LARGEST_CHANGE = 0.2
"""Maximum relative change of the area of an object."""

SMALLEST_TOLERANCE_PX = 0.7
"""Smaller tolerances have no effect: the smallest area at a corner is 0.5 px2."""

BATCH_SIZE = 500
"""Number of objects per call of shapely; larger and smaller batches are slower."""

DrawPolygons = Callable[[Outlines], NDArray[Any]]


def simplify_outlines(outlines: Outlines, tolerance_px: float) -> Outlines:
    """Simplify outlines by the algorithm of Visvalingam and Whyatt and keep their topology.

    Every object remains one polygon with all its holes, and its vertices are a subset of the
    original ones. Objects do not overlap: a simplified outline stays inside the bounding box of its
    object, and objects with overlapping boxes are simplified together. An object whose area would
    change by more than LARGEST_CHANGE is simplified less, or not at all if its box overlaps others.

    All objects of a scene must be given at once. Memory is twice that of the outlines.

    Args:
        outlines: outlines of all objects.
        tolerance_px: square root, in pixels, of the area that a vertex spans with its neighbours;
            vertices below it are dropped.
    """
    if tolerance_px < SMALLEST_TOLERANCE_PX:
        return outlines
    simple = simplify_in_groups(outlines, tolerance_px)
    return replace(simple, vertices=simple.vertices.astype(np.int32))


def simplify_in_groups(
    outlines: Outlines,
    tolerance_px: float,
    *,
    draw: DrawPolygons = Outlines.polygons,
    margin_px: float = 0.0,
    largest_change: float = LARGEST_CHANGE,
) -> Outlines:
    """Simplify what is drawn for outlines, see `simplify_outlines`.

    Args:
        outlines: pixel outlines of all objects.
        tolerance_px: see `simplify_outlines`.
        draw: makes polygons [N] of some outlines, which do not overlap. It gets all objects with
            overlapping boxes at once.
        margin_px: how far the polygons may leave the boxes of the outlines.
        largest_change: maximum relative change of the area of a polygon.

    Returns:
        Outlines with float64 vertices.
    """
    if not len(outlines):
        return outlines
    group = group_by_boxes(outlines, margin_px)
    is_alone = np.bincount(group)[group] == 1
    alone, grouped = np.flatnonzero(is_alone), np.flatnonzero(~is_alone)
    order, parts = [], []
    for batch in np.split(alone, range(BATCH_SIZE, len(alone), BATCH_SIZE)):
        if len(batch):
            order.append(batch)
            polygons = draw(outlines.take(batch))
            parts.append(_simplify_alone(polygons, tolerance_px, largest_change))
    for batch in batch_groups(group[grouped]):
        if len(batch):
            order.append(grouped[batch])
            polygons = draw(outlines.take(grouped[batch]))
            parts.append(_simplify_together(polygons, tolerance_px, largest_change))
    position = np.empty(len(outlines), np.int64)
    position[np.concatenate(order)] = np.arange(len(outlines))
    return Outlines.concat([as_outlines(part) for part in parts]).take(position)


def group_by_boxes(outlines: Outlines, margin_px: float) -> Int64:
    """Group of each object, int64 [N]; objects with overlapping bounding boxes are in one group."""
    low, high = np.split(outlines.bounds().astype(np.float64), 2, axis=1)
    # Boxes that only touch do not overlap, unless the polygons may leave them.
    shrink = 0.25 - margin_px
    boxes = np.asarray(shapely.box(*(low + shrink).T, *(high - shrink).T))
    one, other = shapely.STRtree(boxes).query(boxes, predicate="intersects")
    return union_sets(np.arange(len(outlines)), one, other)


def batch_groups(group: Int64) -> list[Int64]:
    """Indices of objects, in batches of whole groups with about BATCH_SIZE objects."""
    order = np.argsort(group, kind="stable")
    begins = np.flatnonzero(np.diff(group[order], prepend=-1))
    cuts = begins[np.flatnonzero(np.diff(begins // BATCH_SIZE, prepend=0))]
    return np.split(order, cuts)


def _has_changed(
    polygons: NDArray[Any], simple: NDArray[Any], largest_change: float
) -> NDArray[np.bool_]:
    area = shapely.area(polygons)
    changed: NDArray[np.bool_] = np.abs(shapely.area(simple) - area) > largest_change * area
    return changed


def _simplify_alone(
    polygons: NDArray[Any], tolerance_px: float, largest_change: float
) -> NDArray[Any]:
    """Simplify objects without neighbours, each with the largest tolerance that keeps its area."""
    simple = polygons.copy()
    todo = np.arange(len(polygons))
    while len(todo) and tolerance_px >= SMALLEST_TOLERANCE_PX / 4:
        simple[todo] = shapely.coverage_simplify(polygons[todo], tolerance_px)
        todo = todo[_has_changed(polygons[todo], simple[todo], largest_change)]
        tolerance_px /= 2
    simple[todo] = polygons[todo]
    return simple


def _simplify_together(
    polygons: NDArray[Any], tolerance_px: float, largest_change: float
) -> NDArray[Any]:
    """Simplify neighbours. An object whose area would change too much keeps its outline, unless a
    simplified neighbour overlaps it."""
    simple = shapely.coverage_simplify(polygons, tolerance_px)
    is_restored = _has_changed(polygons, simple, largest_change)
    while is_restored.any():
        inside, rest = np.flatnonzero(is_restored), np.flatnonzero(~is_restored)
        i, j = shapely.STRtree(simple[rest]).query(polygons[inside], predicate="intersects")
        meet = shapely.relate_pattern(polygons[inside[i]], simple[rest[j]], "T********")
        if not meet.any():
            break
        is_restored[inside[i[meet]]] = False
    simple[is_restored] = polygons[is_restored]
    return simple


def as_outlines(polygons: NDArray[Any]) -> Outlines:
    """The outlines of polygons [N] in pixels, oriented as traced ones; float64 vertices."""
    # The same orientation as traced outlines: clockwise where the y axis points up.
    polygons = shapely.orient_polygons(polygons, exterior_cw=True)
    kind, xy, offsets = shapely.to_ragged_array(polygons)
    assert kind == shapely.GeometryType.POLYGON
    ring_offsets, object_offsets = offsets
    return Outlines(
        vertices=xy,
        ring_offsets=ring_offsets.astype(np.int64),
        object_offsets=object_offsets.astype(np.int64),
    )
