"""Runs: the stretches of object pixels in each row of a mask, and how the rows hang together."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.geo.objects.outlines import Int32, Int64, ranges

PROBABILITY_STEPS = 1 << 24
"""Probabilities are summed as integers of this many steps, so the order of summing never shows."""

SLAB_PIXELS = 1 << 20  # runs are found in slabs of about this size, which stay in the CPU's cache

NONE: Int64 = np.empty(0, np.int64)


class Runs(NamedTuple):
    """Runs of object pixels in reading order; arrays [K]. Rows count from the band's first."""

    row: Int64
    start: Int64
    stop: Int64
    probability_sum: Int64
    probability_max: NDArray[np.float32]


def find_runs(mask: NDArray[np.bool_], probability: NDArray[np.float32]) -> Runs:
    """Runs of a mask [H, W] with the sum and maximum of the probability over each."""
    height, width = mask.shape
    stride = width + 1  # a column of False ends the runs of each row
    rows = min(height, max(1, SLAB_PIXELS // stride))
    flat = np.zeros(1 + rows * stride, bool)
    padded = flat[1:].reshape(rows, stride)
    parts = [Runs(NONE, NONE, NONE, NONE, np.empty(0, np.float32))]
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


def overlapping(
    start: Int64, stop: Int64, other_start: Int64, other_stop: Int64
) -> tuple[Int64, Int64]:
    """Range [first, last) of the other runs that share a column with each run; both sorted."""
    first = np.searchsorted(other_stop, start, side="right")
    last = np.searchsorted(other_start, stop, side="left")
    return first, last


def uncovered(
    start: Int64, stop: Int64, others: tuple[Int64, Int64], first: Int64, last: Int64
) -> tuple[Int64, Int64, Int64]:
    """The parts of each run that the runs beside it leave free.

    Args:
        start: columns where the runs begin, [K].
        stop: columns past their ends, [K].
        others: start and stop columns of the runs beside them.
        first: from `overlapping`, [K].
        last: from `overlapping`, [K].

    Returns:
        Which run, first column, and column past the last, of each free part.
    """
    n_gaps = last - first + 1
    run = np.repeat(np.arange(len(start)), n_gaps)
    ends = np.cumsum(n_gaps)
    begins = ends - n_gaps
    # Gap k of a run lies between the others first + k - 1 and first + k.
    following = ranges(first, n_gaps)
    left = np.append(others[1], 0)[following - 1]
    right = np.append(others[0], 0)[following]
    left[begins] = start
    right[ends - 1] = stop
    free = np.flatnonzero(left < right)
    return run[free], left[free], right[free]


def as_edges(line: Int64, left: Int64, right: Int64, *, below: bool) -> Int32:
    """Edge array [E, 4] of `outlines`."""
    return np.stack((line, left, right, np.full(len(line), below)), axis=1).astype(np.int32)


def connect(first: Int64, last: Int64) -> tuple[Int64, int]:
    """Components of runs, each joined to the runs [first, last) of the row above.

    Returns:
        The component of each run, [K], counted from 0 in the order of their first runs; how many.
    """
    n = len(first)
    node = np.arange(n)
    parent = _flattened(np.where(last > first, first, node))
    # The other overlaps: a run joins branches that came down separately.
    extra = np.maximum(last - first - 1, 0)
    parent = unite(parent, np.repeat(node, extra), ranges(first + 1, extra))
    is_root = parent == node
    return (np.cumsum(is_root) - 1)[parent], int(is_root.sum())


def unite(parent: Int64, a: Int64, b: Int64) -> Int64:
    """Union of the sets of a[i] and b[i] for all i.

    `parent` and the result are flat: the smallest member of each element's set.
    """
    while True:
        a, b = parent[a], parent[b]
        apart = np.flatnonzero(a != b)
        if not len(apart):
            return parent
        a, b = a[apart], b[apart]
        parent = parent.copy()
        np.minimum.at(parent, np.maximum(a, b), np.minimum(a, b))
        parent = _flattened(parent)


def _flattened(parent: Int64) -> Int64:
    """Let every element point at its root."""
    while True:
        grandparent = parent[parent]
        if np.array_equal(grandparent, parent):
            return parent
        parent = grandparent
