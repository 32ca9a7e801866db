"""Split objects that touch: roofs or cars that a mask joins by a narrow neck.

The split is a watershed on the distance of each pixel to the outline. A maximum of that distance is
the middle of a wide place. Two wide places are parts of their own if every way between them has a
neck narrower than MAX_NECK times the narrower of the two. Both must be compact: a building with
wings, an aircraft, or a street with a bottleneck stays whole.

An object is split by its outline alone, after shards are merged. So the result does not depend on
shards. Probabilities of single pixels are not known then: the parts have the score of the whole.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, label
from skimage.morphology import local_maxima
from skimage.segmentation import watershed

from rrsis_geo.geo.objects.objects import Objects
from rrsis_geo.geo.objects.outlines import Int32, Int64, Outlines, concat_ranges, trace_outlines
from rrsis_geo.geo.objects.runs import make_edges, union_sets

MAX_NECK: Final = 0.6
"""Width of a neck, relative to the narrower of the parts that it joins."""
MIN_RADIUS_PX: Final = 2.0
"""Of the largest disc in a part; smaller ones are bumps of an outline."""
MIN_SOLIDITY: Final = 0.75
"""Share of its convex hull that a part fills."""
MAX_BOX_PIXELS: Final = 2**22
"""Objects with larger bounding boxes are left whole, which bounds the memory."""
_FINE_BOX_PIXELS: Final = 2**12  # smaller ones are measured in half pixels
_STEP: Final = np.log(1.05)  # widths of necks are compared to 5 %
_DIAGONALS_TOO: Final = np.ones((3, 3), int)
_MIN_NOTCHES_PX: Final = 4 * MIN_RADIUS_PX * (1 - MAX_NECK)  # both sides of both notches
_MIN_NOTCH_PX: Final = 1.25  # the pixels of a disc leave notches of up to 1.2
_MIN_PIXELS: Final = 2 * 12  # two discs of the least radius

Mask = NDArray[np.bool_]
Float64 = NDArray[np.float64]
Labels = NDArray[np.int32]


def split_objects(batches: Iterable[Objects]) -> Iterator[Objects]:
    """Split the objects of each batch, one object at a time.

    Args:
        batches: all objects of a mask, in any number of batches.

    Yields:
        A batch for each of `batches`. The parts of an object stand in its place, in reading order.
        `split_from` of parts is the number of the object among all of them, from 1.
    """
    first = 1
    for objects in batches:
        yield _split_batch(objects, first)
        first += len(objects)


def _split_batch(objects: Objects, first: int) -> Objects:
    found: list[Objects] = []
    start = 0
    for index in np.flatnonzero(_has_necks(objects)).tolist():
        whole = objects.take(np.array([index]))
        parts = split_object(whole)
        if len(parts) == 1:
            continue
        numbers = np.full(len(parts), first + index)
        found += [
            objects.take(np.arange(start, index)),
            replace(parts, split_from=numbers),
        ]
        start = index + 1
    if not found:
        return objects
    return Objects.concat([*found, objects.take(np.arange(start, len(objects)))])


def split_object(whole: Objects) -> Objects:
    """The parts of one object in reading order, or the object itself."""
    mask, (left, top) = _rasterize(whole.outlines)
    labels = _label_parts(mask)
    if labels.max() > 1:
        labels = _join_bulky(labels)
    n = int(labels.max())
    if n == 1:
        return whole
    outlines, last_pixel = trace_outlines(*_label_edges(labels, left, top), n)
    n_pixels = np.bincount(labels.ravel())[1:]
    mean = int(whole.probability_sum[0]) / int(whole.n_pixels[0])
    return Objects(
        outlines=outlines,
        n_pixels=n_pixels,
        probability_sum=np.rint(n_pixels * mean).astype(np.int64),
        probability_max=np.repeat(whole.probability_max, n),
        last_pixel=last_pixel,
        split_from=np.zeros(n, np.int64),
    ).in_reading_order()


def _has_necks(objects: Objects) -> Mask:
    """Which objects may have necks, bool [N]: those with holes, notches or empty corners.

    An outline without notches is as long as its bounding box.
    """
    outlines = objects.outlines
    if not len(objects):
        return np.zeros(0, bool)
    low, high = np.split(outlines.bounds().astype(np.int64), 2, axis=1)
    sides = high - low
    shells = outlines.object_offsets[:-1]
    steps = np.abs(np.diff(outlines.vertices, axis=0, append=0)).sum(1)
    steps[outlines.ring_offsets[1:] - 1] = 0  # from one ring to the next
    length = np.add.reduceat(steps, outlines.ring_offsets[:-1])[shells]
    found = length - 2 * sides.sum(1) >= _MIN_NOTCHES_PX
    found |= np.diff(outlines.object_offsets) > 1
    found |= objects.n_pixels < MIN_SOLIDITY * _octagon_areas(outlines)
    found &= (sides.min(1) >= 2 * MIN_RADIUS_PX) & (objects.n_pixels >= _MIN_PIXELS)
    found &= sides.prod(1) <= MAX_BOX_PIXELS
    index = np.flatnonzero(found)
    polygons = outlines.take(index).polygons()
    hulls = shapely.boundary(shapely.convex_hull(polygons))
    notch_px = shapely.hausdorff_distance(shapely.get_exterior_ring(polygons), hulls)
    found[index] = (notch_px >= _MIN_NOTCH_PX) | (shapely.get_num_interior_rings(polygons) > 0)
    return np.asarray(found)


def _octagon_areas(outlines: Outlines) -> Float64:
    """Area [N] of the smallest octagon about each object, with sides along and between the axes."""
    starts = outlines.ring_offsets[outlines.object_offsets[:-1]]
    x, y = outlines.vertices.T.astype(np.int64)
    low, high = (
        [edge.reduceat(axis, starts) for axis in (x, y, x + y, x - y)]
        for edge in (np.minimum, np.maximum)
    )
    corners = [
        low[2] - low[0] - low[1],
        high[0] + high[1] - high[2],
        high[0] - low[1] - high[3],
        low[3] - low[0] + high[1],
    ]
    box = (high[0] - low[0]) * (high[1] - low[1])
    areas: Float64 = box - sum(corner**2 for corner in corners) / 2
    return areas


def _rasterize(outline: Outlines) -> tuple[Mask, tuple[int, int]]:
    """The pixels of one object in its bounding box, and the (column, row) of the box."""
    ((left, top, right, bottom),) = outline.bounds().tolist()
    starts, stops = outline.vertices[:-1], outline.vertices[1:]
    is_edge = np.ones(len(starts), bool)
    is_edge[outline.ring_offsets[1:-1] - 1] = False  # from one ring to the next
    is_edge &= starts[:, 0] == stops[:, 0]
    column = starts[is_edge, 0] - left
    first = np.minimum(starts, stops)[is_edge, 1].astype(np.int64) - top
    length = np.abs(stops - starts)[is_edge, 1].astype(np.int64)
    edges = np.zeros((bottom - top, right - left + 1), bool)
    edges[concat_ranges(first, length), np.repeat(column, length)] = True
    return np.logical_xor.accumulate(edges, axis=1)[:, :-1], (left, top)


def _label_parts(mask: Mask) -> Labels:
    """Number the wide places of an object from 1 and assign every pixel to one of them."""
    scale = 2 if mask.size <= _FINE_BOX_PIXELS else 1
    fine = np.pad(mask.repeat(scale, 0).repeat(scale, 1), 1)
    radius_px = distance_transform_edt(fine) / scale
    middles = _find_middles(radius_px)
    if len(middles) < 2:
        return mask.astype(np.int32)
    rows, columns = (middles.T - 1) // scale
    markers = np.zeros(mask.shape, np.int32)
    markers[rows, columns] = np.arange(1, len(middles) + 1)
    depth = -radius_px[1:-1:scale, 1:-1:scale]
    labels: Labels = watershed(depth, markers, mask=mask)
    return labels


def _find_middles(radius_px: Float64) -> NDArray[np.intp]:
    """(row, column) of the middle of each wide place, [M, 2], from distances to the outline.

    Where the object is cut at the width of the widest neck that separates a place, what remains
    about the place has no other middle. So places are looked at from the widest to the narrowest.
    """
    tops = np.argwhere(local_maxima(radius_px) & (radius_px >= MIN_RADIUS_PX))
    heights = radius_px[tuple(tops.T)]
    order = np.argsort(-heights, kind="stable")
    tops, heights = tops[order], heights[order]
    middles: list[int] = []  # indices of tops
    steps = np.unique(np.floor(np.log(MAX_NECK * heights) / _STEP))[::-1]
    for neck_px in np.exp(steps * _STEP).tolist():
        places, _ = label(radius_px > neck_px, _DIAGONALS_TOO)
        place = places[tuple(tops.T)]
        _, highest = np.unique(place, return_index=True)
        is_new = MAX_NECK * heights[highest] >= neck_px
        is_new &= ~np.isin(place[highest], place[middles])
        middles += highest[is_new].tolist()
    return np.asarray(tops[middles], np.intp)


def _join_bulky(labels: Labels) -> Labels:
    """Labels from 1 with parts that are not compact joined to the parts that they touch."""
    n = int(labels.max())
    outlines, _ = trace_outlines(*_label_edges(labels, 0, 0), n)
    polygons = outlines.polygons()
    is_bulky = shapely.area(polygons) < MIN_SOLIDITY * shapely.area(shapely.convex_hull(polygons))
    beside = np.concatenate(
        [
            np.stack([labels[:, 1:].ravel(), labels[:, :-1].ravel()]),
            np.stack([labels[1:].ravel(), labels[:-1].ravel()]),
        ],
        axis=1,
    )
    beside = np.unique(beside[:, (beside > 0).all(0) & (beside[0] != beside[1])], axis=1) - 1
    one, other = beside[:, is_bulky[beside].any(0)].astype(np.int64)
    root = union_sets(np.arange(n), one, other)
    number = np.unique(root, return_inverse=True)[1] + 1
    joined: Labels = np.append(0, number).astype(np.int32)[labels]
    return joined


def _label_edges(labels: Labels, left: int, top: int) -> tuple[Int32, Int64]:
    """Horizontal boundary edges [E, 4] of labels from 1, and the index of the object of each."""
    padded = np.pad(labels, ((1, 1), (0, 1)))
    above, below = padded[:-1], padded[1:]
    stride = padded.shape[1]
    edges, owners = [], []
    for side in (below, above):
        value = np.append(0, np.where(above != below, side, 0))
        changes = np.flatnonzero(value[1:] != value[:-1])
        starts, stops = changes[:-1], changes[1:]
        owner = value[starts + 1]
        run = np.flatnonzero(owner)
        row, start = np.divmod(starts[run], stride)
        length = stops[run] - starts[run]
        edges.append(
            make_edges(row + top, start + left, start + length + left, below=side is below)
        )
        owners.append(owner[run].astype(np.int64) - 1)
    return np.concatenate(edges), np.concatenate(owners)
