"""Outlines with fewer vertices, in which no object grows into its neighbour."""

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from rrsis_geo.geo.objects.outlines import Int64, Outlines
from rrsis_geo.geo.objects.runs import unite

LARGEST_CHANGE = 0.2
"""A simplified outline may change its object's area by this share at most."""

SMALLEST_TOLERANCE_PX = 0.7
"""Below this nothing of an outline can go: the least that a dropped corner spans is 0.5 px2."""

BATCH = 500  # objects simplified at once: more is slower, each call has a price too


def simplify_outlines(outlines: Outlines, tolerance_px: float) -> Outlines:
    """Drop vertices by the area they span (Visvalingam-Whyatt), with the topology kept.

    Every object stays one polygon with all its holes, its vertices a choice of those it had.
    Objects do not overlap: a simplified outline stays in its object's bounding box, and those
    whose boxes overlap are simplified together. An object that would lose its shape is simplified
    less, or, among others, not at all.

    Memory is that of the outlines, twice, so all objects of a scene can be given at once, as they
    must be if no two of them are to overlap.

    Args:
        outlines: of all objects.
        tolerance_px: about the square root of the area, in pixels, that a dropped vertex spans.
    """
    if tolerance_px < SMALLEST_TOLERANCE_PX or not len(outlines):
        return outlines
    group = _groups(outlines)
    is_alone = np.bincount(group)[group] == 1
    alone, crowd = np.flatnonzero(is_alone), np.flatnonzero(~is_alone)
    order, parts = [], []
    for batch in np.split(alone, range(BATCH, len(alone), BATCH)):
        order.append(batch)
        parts.append(_simplify_alone(outlines.take(batch).polygons(), tolerance_px))
    for batch in _whole_groups(group[crowd]):
        order.append(crowd[batch])
        parts.append(_simplify_together(outlines.take(crowd[batch]).polygons(), tolerance_px))
    place = np.empty(len(outlines), np.int64)
    place[np.concatenate(order)] = np.arange(len(outlines))
    return Outlines.concat([_as_outlines(part) for part in parts if len(part)]).take(place)


def _groups(outlines: Outlines) -> Int64:
    """Objects whose bounding boxes overlap share a number, int64 [N]."""
    first = outlines.ring_offsets[outlines.object_offsets[:-1]]
    low = np.minimum.reduceat(outlines.vertices, first, axis=0)
    high = np.maximum.reduceat(outlines.vertices, first, axis=0)
    # Boxes that only touch do not overlap: shrunk by less than half a pixel, they are apart.
    boxes = shapely.box(low[:, 0] + 0.25, low[:, 1] + 0.25, high[:, 0] - 0.25, high[:, 1] - 0.25)
    one, other = shapely.STRtree(boxes).query(boxes, predicate="intersects")
    return unite(np.arange(len(outlines)), one, other)


def _whole_groups(group: Int64) -> list[Int64]:
    """Places of the members of whole groups, put together to batches of about BATCH objects."""
    order = np.argsort(group, kind="stable")
    begins = np.flatnonzero(np.diff(group[order], prepend=-1))
    cuts = begins[np.flatnonzero(np.diff(begins // BATCH, prepend=0))]
    return np.split(order, cuts)


def _has_changed(polygons: NDArray[Any], simple: NDArray[Any]) -> NDArray[np.bool_]:
    area = shapely.area(polygons)
    changed: NDArray[np.bool_] = np.abs(shapely.area(simple) - area) > LARGEST_CHANGE * area
    return changed


def _simplify_alone(polygons: NDArray[Any], tolerance_px: float) -> NDArray[Any]:
    """Objects that none can come near: each with the largest tolerance that leaves its shape."""
    simple = polygons.copy()
    todo = np.arange(len(polygons))
    while len(todo) and tolerance_px >= SMALLEST_TOLERANCE_PX:
        simple[todo] = shapely.coverage_simplify(polygons[todo], tolerance_px)
        todo = todo[_has_changed(polygons[todo], simple[todo])]
        tolerance_px /= 2
    simple[todo] = polygons[todo]
    return simple


def _simplify_together(polygons: NDArray[Any], tolerance_px: float) -> NDArray[Any]:
    """Neighbours: an object that would change keeps its outline, unless another reaches into it."""
    simple = shapely.coverage_simplify(polygons, tolerance_px)
    kept = _has_changed(polygons, simple)
    while kept.any():
        inside, rest = np.flatnonzero(kept), np.flatnonzero(~kept)
        i, j = shapely.STRtree(simple[rest]).query(polygons[inside], predicate="intersects")
        meet = shapely.relate_pattern(polygons[inside[i]], simple[rest[j]], "T********")
        if not meet.any():
            break
        kept[inside[i[meet]]] = False
    simple[kept] = polygons[kept]
    return simple


def _as_outlines(polygons: NDArray[Any]) -> Outlines:
    # Shells turn as they do when traced: clockwise where the y axis points up.
    polygons = shapely.orient_polygons(polygons, exterior_cw=True)
    kind, xy, offsets = shapely.to_ragged_array(polygons)
    assert kind == shapely.GeometryType.POLYGON
    ring_offsets, object_offsets = offsets
    return Outlines(
        vertices=xy.astype(np.int32),
        ring_offsets=ring_offsets.astype(np.int64),
        object_offsets=object_offsets.astype(np.int64),
    )
