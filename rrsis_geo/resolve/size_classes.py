"""Large and small objects of a kind: two classes of sizes, as "the large ships" names them."""

import numpy as np

from rrsis_geo.resolve.pieces import Flags, Float64


def in_size_class(sizes: Float64, *, is_large: bool) -> Flags:
    """Which of N sizes belong to the larger of two classes, or to the smaller.

    The classes are the natural breaks of the logarithms: of all ways to cut the sorted values in
    two, the one with the least variance within the classes (Jenks 1967; Otsu 1979). Sizes that are
    all equal cannot be told apart and belong to both.
    """
    logs = np.log(np.maximum(sizes, 1e-12))
    values = np.sort(logs)
    if not len(values) or values[0] == values[-1]:
        return np.ones(len(sizes), bool)
    n_below = np.arange(1, len(values))
    below = np.cumsum(values)[:-1]
    between = below**2 / n_below + (values.sum() - below) ** 2 / (len(values) - n_below)
    found: Flags = (logs > values[np.argmax(between)]) == is_large
    return found
