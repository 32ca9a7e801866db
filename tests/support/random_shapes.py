"""Random shapes for the geometry of rules."""

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

Polygons = NDArray[Any]


def random_shapes(seed: int, n: int) -> Polygons:
    """Boxes, discs, lines and points, as users' landmarks may be."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 500, (2, n))
    width, height = rng.uniform(1, 30, (2, n))
    points = shapely.points(x, y)
    kinds = [
        shapely.box(x, y, x + width, y + height),
        shapely.buffer(points, width / 2),
        shapely.linestrings(np.stack([[x, x + width], [y, y + height]], 2).transpose(1, 2, 0)),
        points,
    ]
    return np.choose(rng.integers(4, size=n), kinds)


def streets(seed: int) -> shapely.Polygon:
    """A network of crooked streets as one polygon with holes and thousands of vertices."""
    rng = np.random.default_rng(seed)
    along = np.linspace(0, 500, 300)
    lines = []
    for at in (100, 250, 400):
        lines.append(np.column_stack([along, at + rng.uniform(-2, 2, 300)]))
        lines.append(np.column_stack([at + rng.uniform(-2, 2, 300), along]))
    network: shapely.Polygon = shapely.union_all(shapely.buffer(shapely.linestrings(lines), 5))
    return network
