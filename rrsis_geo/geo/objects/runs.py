"""Find runs of object pixels in the rows of a mask, and connect runs of neighbouring rows."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.geo.objects.outlines import Int32, Int64, concat_ranges

PROBABILITY_STEPS = 1 << 24
"""Probabilities are summed as integers in these steps, so the order of the sum does not matter."""

SLAB_PIXELS = 1 << 20
"""Masks are processed in slabs of about this size, which fit the cache of the CPU."""

EMPTY: Int64 = np.empty(0, np.int64)


class Runs(NamedTuple):
    """K runs of object pixels in reading order; arrays [K]. Row 0 is the first row of the band."""

    row: Int64
    start: Int64
    stop: Int64
    probability_sum: Int64
    probability_max: NDArray[np.float32]


def find_runs(mask: NDArray[np.bool_], probability: NDArray[np.float32]) -> Runs:
    """The runs of a mask [H, W], with the sum and maximum of the probability of each."""
    height, width = mask.shape
    stride = width + 1  # a column of False separates the rows
    rows = min(height, max(1, SLAB_PIXELS // stride))
    flat = np.zeros(1 + rows * stride, bool)
    padded = flat[1:].reshape(rows, stride)
    parts = [Runs(EMPTY, EMPTY, EMPTY, EMPTY, np.empty(0, np.float32))]
    for top in range(0, height, rows):
        slab = mask[top : top + rows]
        if not slab.any():
            continue
        n = len(slab) * stride
        padded[: len(slab), :width] = slab
        changes = np.flatnonzero(flat[1 : n + 1] != flat[:n])
        starts, stops = changes[0::2], changes[1::2]
        lengths = stops - starts
        values = probability[top : top + rows][slab]
        begins = np.cumsum(lengths) - lengths
        steps = np.rint(values.astype(np.float64) * PROBABILITY_STEPS).astype(np.int64)
        row = starts // stride
        parts.append(
            Runs(
                row + top,
                starts - row * stride,
                stops - row * stride,
                np.add.reduceat(steps, begins),
                np.maximum.reduceat(values, begins),
            )
        )
    return Runs(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def find_overlaps(
    start: Int64, stop: Int64, other_start: Int64, other_stop: Int64
) -> tuple[Int64, Int64]:
    """Range [first, last) of the other runs that share a column with each run.

    Both sets of runs are sorted.
    """
    first = np.searchsorted(other_stop, start, side="right")
    last = np.searchsorted(other_start, stop, side="left")
    return first, last


def find_gaps(
    start: Int64, stop: Int64, others: tuple[Int64, Int64], first: Int64, last: Int64
) -> tuple[Int64, Int64, Int64]:
    """The parts of each run that are not covered by runs of the neighbouring row.

    Args:
        start: first column of each run, [K].
        stop: one past the last column of each run, [K].
        others: start and stop columns of the runs of the neighbouring row.
        first: from `find_overlaps`, [K].
        last: from `find_overlaps`, [K].

    Returns:
        For each part: index of the run, first column, one past the last column.
    """
    n_gaps = last - first + 1
    run = np.repeat(np.arange(len(start)), n_gaps)
    ends = np.cumsum(n_gaps)
    begins = ends - n_gaps
    # Gap k of a run lies between the others first + k - 1 and first + k.
    following = concat_ranges(first, n_gaps)
    left = np.append(others[1], 0)[following - 1]
    right = np.append(others[0], 0)[following]
    left[begins] = start
    right[ends - 1] = stop
    part = np.flatnonzero(left < right)
    return run[part], left[part], right[part]


def make_edges(line: Int64, left: Int64, right: Int64, *, below: bool) -> Int32:
    """Edge array [E, 4], see `outlines`."""
    return np.stack((line, left, right, np.full(len(line), below)), axis=1).astype(np.int32)


def connect_runs(first: Int64, last: Int64) -> tuple[Int64, int]:
    """Connected components of runs; each run is connected to runs [first, last) of the row above.

    Returns:
        The component of each run, [K], numbered from 0 in the order of first runs, and the number
        of components.
    """
    n = len(first)
    node = np.arange(n)
    parent = _flatten(np.where(last > first, first, node))
    # Other overlaps: a run that connects components of the rows above.
    extra = np.maximum(last - first - 1, 0)
    parent = union_sets(parent, np.repeat(node, extra), concat_ranges(first + 1, extra))
    is_root = parent == node
    return (np.cumsum(is_root) - 1)[parent], int(is_root.sum())


def union_sets(parent: Int64, a: Int64, b: Int64) -> Int64:
    """Union of the sets that contain a[i] and b[i], for all i.

    `parent` and the result map each element to the smallest member of its set.
    """
    while True:
        a, b = parent[a], parent[b]
        apart = np.flatnonzero(a != b)
        if not len(apart):
            return parent
        a, b = a[apart], b[apart]
        parent = parent.copy()
        np.minimum.at(parent, np.maximum(a, b), np.minimum(a, b))
        parent = _flatten(parent)


def _flatten(parent: Int64) -> Int64:
    """Map every element to its root."""
    while True:
        grandparent = parent[parent]
        if np.array_equal(grandparent, parent):
            return parent
        parent = grandparent
