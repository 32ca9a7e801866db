"""Simplify outlines without overlaps between neighbours."""

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
    if tolerance_px < SMALLEST_TOLERANCE_PX or not len(outlines):
        return outlines
    group = _groups(outlines)
    is_alone = np.bincount(group)[group] == 1
    alone, grouped = np.flatnonzero(is_alone), np.flatnonzero(~is_alone)
    order, parts = [], []
    for batch in np.split(alone, range(BATCH_SIZE, len(alone), BATCH_SIZE)):
        order.append(batch)
        parts.append(_simplify_alone(outlines.take(batch).polygons(), tolerance_px))
    for batch in _batch_groups(group[grouped]):
        order.append(grouped[batch])
        parts.append(_simplify_together(outlines.take(grouped[batch]).polygons(), tolerance_px))
    position = np.empty(len(outlines), np.int64)
    position[np.concatenate(order)] = np.arange(len(outlines))
    return Outlines.concat([_as_outlines(part) for part in parts if len(part)]).take(position)


def _groups(outlines: Outlines) -> Int64:
    """Group of each object, int64 [N]; objects with overlapping bounding boxes are in one group."""
    first = outlines.ring_offsets[outlines.object_offsets[:-1]]
    low = np.minimum.reduceat(outlines.vertices, first, axis=0)
    high = np.maximum.reduceat(outlines.vertices, first, axis=0)
    # Shrink the boxes by less than half a pixel, so that boxes that only touch do not overlap.
    boxes = shapely.box(low[:, 0] + 0.25, low[:, 1] + 0.25, high[:, 0] - 0.25, high[:, 1] - 0.25)
    one, other = shapely.STRtree(boxes).query(boxes, predicate="intersects")
    return union_sets(np.arange(len(outlines)), one, other)


def _batch_groups(group: Int64) -> list[Int64]:
    """Indices of objects, in batches of whole groups with about BATCH_SIZE objects."""
    order = np.argsort(group, kind="stable")
    begins = np.flatnonzero(np.diff(group[order], prepend=-1))
    cuts = begins[np.flatnonzero(np.diff(begins // BATCH_SIZE, prepend=0))]
    return np.split(order, cuts)


def _has_changed(polygons: NDArray[Any], simple: NDArray[Any]) -> NDArray[np.bool_]:
    area = shapely.area(polygons)
    changed: NDArray[np.bool_] = np.abs(shapely.area(simple) - area) > LARGEST_CHANGE * area
    return changed


def _simplify_alone(polygons: NDArray[Any], tolerance_px: float) -> NDArray[Any]:
    """Simplify objects without neighbours, each with the largest tolerance that keeps its area."""
    simple = polygons.copy()
    todo = np.arange(len(polygons))
    while len(todo) and tolerance_px >= SMALLEST_TOLERANCE_PX:
        simple[todo] = shapely.coverage_simplify(polygons[todo], tolerance_px)
        todo = todo[_has_changed(polygons[todo], simple[todo])]
        tolerance_px /= 2
    simple[todo] = polygons[todo]
    return simple


def _simplify_together(polygons: NDArray[Any], tolerance_px: float) -> NDArray[Any]:
    """Simplify neighbours. An object whose area would change too much keeps its outline, unless a
    simplified neighbour overlaps it."""
    simple = shapely.coverage_simplify(polygons, tolerance_px)
    is_restored = _has_changed(polygons, simple)
    while is_restored.any():
        inside, rest = np.flatnonzero(is_restored), np.flatnonzero(~is_restored)
        i, j = shapely.STRtree(simple[rest]).query(polygons[inside], predicate="intersects")
        meet = shapely.relate_pattern(polygons[inside[i]], simple[rest[j]], "T********")
        if not meet.any():
            break
        is_restored[inside[i[meet]]] = False
    simple[is_restored] = polygons[is_restored]
    return simple


def _as_outlines(polygons: NDArray[Any]) -> Outlines:
    # The same orientation as traced outlines: clockwise where the y axis points up.
    polygons = shapely.orient_polygons(polygons, exterior_cw=True)
    kind, xy, offsets = shapely.to_ragged_array(polygons)
    assert kind == shapely.GeometryType.POLYGON
    ring_offsets, object_offsets = offsets
    return Outlines(
        vertices=xy.astype(np.int32),
        ring_offsets=ring_offsets.astype(np.int64),
        object_offsets=object_offsets.astype(np.int64),
    )
