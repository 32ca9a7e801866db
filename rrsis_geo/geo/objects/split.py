"""Split objects that touch: roofs or cars that a mask joins by a narrow neck.

The split is a watershed on the distance of each pixel to the outline. A maximum of that distance is
the middle of a wide place. Two wide places are parts of their own if every way between them has a
neck narrower than MAX_NECK times the narrower of the two. Both must be compact: a building with
wings, an aircraft, or a street with a bottleneck stays whole. So does a roof with a small bump.

An object is split by its outline alone, after shards are merged. So the result does not depend on
shards. Probabilities of single pixels are not known then: the parts have the score of the whole.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, label
from skimage.morphology import local_maxima
from skimage.segmentation import watershed

from rrsis_geo.geo.objects.objects import NO_OBJECTS, Objects
from rrsis_geo.geo.objects.outlines import Int32, Int64, Outlines, trace_outlines
from rrsis_geo.geo.objects.runs import make_edges, union_sets

MAX_NECK: Final = 0.6
"""Width of a neck, relative to the narrower of the parts that it joins."""
MIN_RADIUS_PX: Final = 2.0
"""Of the largest disc in a part; smaller ones are bumps of an outline."""
MIN_SOLIDITY: Final = 0.75
"""Share of its convex hull that a part fills."""
MIN_PART: Final = 0.03
"""Area of a part, relative to the largest part that it touches; smaller ones are bumps of it. On
real scenes, bumps of roofs have up to 0.02."""
MAX_BOX_PIXELS: Final = 2**22
"""Objects with larger bounding boxes are left whole, which bounds the memory."""
_FINE_BOX_PIXELS: Final = 2**12  # smaller ones are measured in half pixels
_GROUP_PIXELS: Final = 2**18  # of objects that are split together
_STEP: Final = np.log(1.05)  # widths of necks are compared to 5 %
_DIAGONALS_TOO: Final = np.ones((3, 3), int)
_MIN_NOTCHES_PX: Final = 4 * MIN_RADIUS_PX * (1 - MAX_NECK)  # both sides of both notches
_MIN_NOTCH_PX: Final = 1.25  # the pixels of a disc leave notches of up to 1.2
_MIN_PIXELS: Final = 2 * 12  # two discs of the least radius

Mask = NDArray[np.bool_]
Float64 = NDArray[np.float64]
Labels = NDArray[np.int32]
Index = NDArray[np.intp]


def split_objects(batches: Iterable[Objects]) -> Iterator[Objects]:
    """Split the objects of each batch.

    Args:
        batches: all objects of a mask, in any number of batches.

    Yields:
        A batch for each of `batches`. The parts of an object stand in its place, in reading order.
        `split_from` of parts is the number of the object among all of them, from 1.
    """
    first = 1
    for objects in batches:
        yield split_batch(objects, np.arange(first, first + len(objects)))[0]
        first += len(objects)


def split_batch(objects: Objects, numbers: Int64) -> tuple[Objects, Index]:
    """Split N objects, see `split_objects`.

    Args:
        objects: to split.
        numbers: [N], of the objects among all of them: the `split_from` of parts.

    Returns:
        The M parts and whole objects, and the index of the object of each, [M].
    """
    index = np.flatnonzero(_has_necks(objects))
    found, owners = [NO_OBJECTS], [np.empty(0, np.intp)]
    for group, scale in _groups(objects.outlines.bounds()[index]):
        parts, owner = _split_group(objects.take(index[group]), scale)
        found.append(parts)
        owners.append(index[group][owner])
    owner = np.concatenate(owners)
    if not len(owner):
        return objects, np.arange(len(objects))
    parts = replace(Objects.concat(found), split_from=numbers[owner])
    joined = Objects.concat([objects, parts])
    owner_of = np.append(np.arange(len(objects)), owner)
    order = np.lexsort((*joined.last_pixel.T[::-1], owner_of))
    is_whole = np.ones(len(joined), bool)
    is_whole[owner] = False
    order = order[is_whole[order]]
    return joined.take(order), owner_of[order]


def _groups(bounds: Int32) -> Iterator[tuple[Index, int]]:
    """Groups of objects that are split together, and how many times finer than pixels.

    Args:
        bounds: of the objects, [N, 4].
    """
    widths, heights = (bounds[:, 2:] - bounds[:, :2]).T.astype(np.int64)
    is_fine = widths * heights <= _FINE_BOX_PIXELS
    for scale, members in ((2, np.flatnonzero(is_fine)), (1, np.flatnonzero(~is_fine))):
        members = members[np.argsort(widths[members], kind="stable")]
        start, n_rows = 0, 0
        for stop, member in enumerate(members.tolist()):
            n_rows += int(heights[member])
            if stop > start and n_rows * widths[member] > _GROUP_PIXELS:
                yield members[start:stop], scale
                start, n_rows = stop, int(heights[member])
        if len(members):
            yield members[start:], scale


class _Sheet(NamedTuple):
    """Objects one below the other, with a pixel of background around each.

    Attributes:
        mask: bool [H, W], their pixels.
        rows: int64 [N + 1], the row of background above each object, and the last row.
        shift: int64 [N, 2], (column, row) from the sheet to the scene.
    """

    mask: Mask
    rows: Int64
    shift: Int64

    @staticmethod
    def of(outlines: Outlines) -> "_Sheet":
        left, top, right, bottom = outlines.bounds().T.astype(np.int64)
        rows = np.append(0, np.cumsum(bottom - top + 1))
        shift = np.column_stack([left - 1, top - rows[:-1] - 1])
        n_vertices = np.diff(outlines.ring_offsets[outlines.object_offsets])
        vertices = outlines.vertices - np.repeat(shift, n_vertices, axis=0)
        placed = replace(outlines, vertices=vertices.astype(np.int32))
        return _Sheet(placed.fill(int(rows[-1]) + 1, int((right - left).max()) + 2), rows, shift)

    def owner(self, row: NDArray[np.integer[Any]]) -> Index:
        """The index of the object that a row of pixels belongs to."""
        return np.searchsorted(self.rows, row) - 1


def _split_group(wholes: Objects, scale: int) -> tuple[Objects, Index]:
    """The parts of those objects that have several, and the index of the object of each part.

    Args:
        wholes: some objects.
        scale: how many times finer than pixels the objects are measured.
    """
    sheet = _Sheet.of(wholes.outlines)
    labels = _label_parts(sheet, scale)
    if not labels.any():
        return NO_OBJECTS, np.empty(0, np.intp)
    labels = _join_parts(labels)
    owner = _owners(sheet, labels)
    has_parts = np.bincount(owner, minlength=len(wholes)) > 1
    labels = _renumber(labels, has_parts[owner])
    owner = owner[has_parts[owner]]
    outlines, last_pixel = trace_outlines(*_label_edges(labels), len(owner))
    n_vertices = np.diff(outlines.ring_offsets[outlines.object_offsets])
    vertices = outlines.vertices + np.repeat(sheet.shift[owner], n_vertices, axis=0)
    n_pixels = np.bincount(labels.ravel(), minlength=len(owner) + 1)[1:]
    mean = wholes.probability_sum[owner] / wholes.n_pixels[owner]
    parts = Objects(
        outlines=replace(outlines, vertices=vertices.astype(np.int32)),
        n_pixels=n_pixels,
        probability_sum=np.rint(n_pixels * mean).astype(np.int64),
        probability_max=wholes.probability_max[owner],
        last_pixel=(last_pixel + sheet.shift[owner, ::-1]).astype(np.int32),
        split_from=np.zeros(len(owner), np.int64),
    )
    return parts, owner


def _owners(sheet: _Sheet, labels: Labels) -> Index:
    """The index of the object of each label from 1, [L]."""
    rows, columns = np.nonzero(labels)
    found = np.empty(int(labels.max()), np.intp)
    found[labels[rows, columns] - 1] = sheet.owner(rows)
    return found


def _renumber(labels: Labels, selection: Mask) -> Labels:
    """The selected labels, numbered from 1 without gaps; 0 elsewhere. `selection` is bool [L]."""
    numbers = np.where(selection, np.cumsum(selection), 0)
    renumbered: Labels = np.append(0, numbers).astype(np.int32)[labels]
    return renumbered


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


def _label_parts(sheet: _Sheet, scale: int) -> Labels:
    """Number the wide places of objects from 1, and assign every pixel to one of its object.

    Objects with fewer than two wide places are left out.
    """
    fine = sheet.mask.repeat(scale, 0).repeat(scale, 1)
    radius_px = distance_transform_edt(fine) / scale
    tops = np.argwhere(local_maxima(radius_px) & (radius_px >= MIN_RADIUS_PX))
    first = np.searchsorted(tops[:, 0], sheet.rows * scale)
    found = [np.empty((0, 2), np.intp)]
    mask = np.zeros_like(sheet.mask)
    for top, bottom, start, stop in zip(
        sheet.rows[:-1].tolist(), sheet.rows[1:].tolist(), first[:-1], first[1:], strict=True
    ):
        here = radius_px[top * scale : bottom * scale]
        middles = _find_middles(here, tops[start:stop] - (top * scale, 0))
        if len(middles) > 1:
            found.append(middles // scale + (top, 0))
            mask[top:bottom] = sheet.mask[top:bottom]
    rows, columns = np.concatenate(found).T
    markers = np.zeros(mask.shape, np.int32)
    markers[rows, columns] = np.arange(1, len(rows) + 1)
    labels: Labels = watershed(-radius_px[::scale, ::scale], markers, mask=mask)
    return labels


def _find_middles(radius_px: Float64, tops: Index) -> Index:
    """(row, column) of the middle of each wide place of an object, [M, 2].

    Where the object is cut at the width of the widest neck that separates a place, what remains
    about the place has no other middle. So places are looked at from the widest to the narrowest.

    Args:
        radius_px: distances to the outline.
        tops: (row, column) of their local maxima, [T, 2].
    """
    if len(tops) == 1:
        return tops
    heights = radius_px[tuple(tops.T)]
    order = np.argsort(-heights, kind="stable")
    tops, heights = tops[order], heights[order]
    middles: list[int] = []  # indices of tops
    steps = np.unique(np.floor(np.log(MAX_NECK * heights) / _STEP))[::-1]
    for neck_px in np.exp(steps * _STEP).tolist():
        places, n_places = label(radius_px > neck_px, _DIAGONALS_TOO)
        place = places[tuple(tops.T)]
        highest = np.full(n_places + 1, -1)
        highest[place[::-1]] = np.arange(len(tops))[::-1]  # the first one stays
        highest[place[middles]] = -1
        highest = highest[highest >= 0]
        middles += highest[MAX_NECK * heights[highest] >= neck_px].tolist()
    return np.asarray(tops[middles], np.intp)


def _join_parts(labels: Labels) -> Labels:
    """Labels from 1 with parts that are no objects joined to others.

    Parts that are not compact are joined to all parts that they touch, and bumps to the largest.
    """
    n = int(labels.max())
    outlines, _ = trace_outlines(*_label_edges(labels), n)
    polygons = outlines.polygons()
    areas = shapely.area(polygons)
    is_bulky = areas < MIN_SOLIDITY * shapely.area(shapely.convex_hull(polygons))
    beside = np.concatenate(
        [
            np.stack([labels[:, 1:].ravel(), labels[:, :-1].ravel()]),
            np.stack([labels[1:].ravel(), labels[:-1].ravel()]),
        ],
        axis=1,
    )
    beside = np.unique(beside[:, (beside > 0).all(0) & (beside[0] != beside[1])], axis=1) - 1
    joins = np.concatenate([beside[:, is_bulky[beside].any(0)], _bumps(areas, beside)], axis=1)
    root = union_sets(np.arange(n), *joins.astype(np.int64))
    number = np.unique(root, return_inverse=True)[1] + 1
    joined: Labels = np.append(0, number).astype(np.int32)[labels]
    return joined


def _bumps(areas: Float64, beside: Index) -> Index:
    """Pairs [2, P] of a bump and the largest part that it touches, from all that touch, [2, Q]."""
    small, large = np.concatenate([beside, beside[::-1]], axis=1)
    is_bump = areas[small] < MIN_PART * areas[large]
    small, large = small[is_bump], large[is_bump]
    order = np.argsort(areas[large], kind="stable")
    largest = np.full(len(areas), -1)
    largest[small[order]] = large[order]  # the last one stays
    bumps = np.flatnonzero(largest >= 0)
    return np.stack([bumps, largest[bumps]])


def _label_edges(labels: Labels) -> tuple[Int32, Int64]:
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
        edges.append(make_edges(row, start, start + length, below=side is below))
        owners.append(owner[run].astype(np.int64) - 1)
    return np.concatenate(edges), np.concatenate(owners)
