"""Shapes cut into small pieces, and the nearest of them: fast for many shapes and for large ones.

GEOS compares every edge of one shape with every edge of another. A street network with a million
vertices is therefore cut into pieces of a few edges each before anything is compared with it.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.spatial import KDTree

Polygons = NDArray[Any]
Float64 = NDArray[np.float64]
Flags = NDArray[np.bool_]
Index = NDArray[np.intp]

MAX_VERTICES: Final = 128
"""Shapes with more vertices are cut."""
_LARGE: Final = 512  # the nearest point of a shape with more vertices is sought by its pieces
_BLOCK: Final = 4096
_ROUNDING: Final = 1 + 1e-9


class Nearest(NamedTuple):
    """The nearest other shape of each of N shapes.

    Attributes:
        distance: float64 [N]; inf where there is no other shape.
        number: of the other shape, [N]; the first of those at the same distance; -1 without one.
    """

    distance: Float64
    number: Index


class Pieces:
    """N shapes as P pieces of at most MAX_VERTICES vertices, with indices to search them.

    Valid points, lines and polygons may be mixed. What has no finite coordinates is left out.

    Attributes:
        whole: the shapes, shapely [N].
        shapes: the pieces, shapely [P].
        owner: index of the shape of each piece, [P].
    """

    def __init__(self, whole: Polygons) -> None:
        self.whole = whole
        self.shapes, self.owner = _cut(whole)
        self._of: dict[int, Pieces] = {}

    @cached_property
    def bounds(self) -> Float64:
        """[x_min, y_min, x_max, y_max] of each piece, [P, 4]."""
        bounds: Float64 = shapely.bounds(self.shapes).reshape(-1, 4)
        return bounds

    @cached_property
    def centres(self) -> Float64:
        """Centre of the bounds of each piece, [P, 2]."""
        centres: Float64 = self.bounds.reshape(-1, 2, 2).mean(1)
        return centres

    @cached_property
    def tree(self) -> shapely.STRtree:
        """Of the pieces."""
        return shapely.STRtree(self.shapes)

    @cached_property
    def centre_tree(self) -> "KDTree":
        """Of the centres of the pieces."""
        return _make_tree(self.centres)

    @cached_property
    def whole_bounds(self) -> Float64:
        """Bounds of each shape, [N, 4]."""
        bounds: Float64 = shapely.bounds(self.whole).reshape(-1, 4)
        return bounds

    @cached_property
    def whole_tree(self) -> shapely.STRtree:
        """Of the shapes."""
        return shapely.STRtree(self.whole)

    @cached_property
    def start_tree(self) -> "KDTree":
        """Of one point of each shape that has pieces."""
        first = np.unique(self.owner, return_index=True)[1]
        corner, piece = shapely.get_coordinates(self.shapes, return_index=True)
        return _make_tree(corner[np.searchsorted(piece, first)])

    def joined(self) -> "Pieces":
        """The same area as shapes that do not touch each other: those that do are joined."""
        piece, other = self.owner[self.tree.query(self.shapes, predicate="intersects")]
        touches = np.zeros(len(self.whole), bool)
        touches[piece[piece != other]] = True
        if not touches.any():
            return self
        unions = shapely.get_parts(shapely.disjoint_subset_union_all(self.whole[touches]))
        return Pieces(np.concatenate([self.whole[~touches], unions]))

    def of(self, index: int) -> "Pieces":
        """The pieces of one shape, each as a shape."""
        if index not in self._of:
            first, last = np.searchsorted(self.owner, [index, index + 1])
            self._of[index] = Pieces(self.shapes[first:last])
        return self._of[index]


def _make_tree(points: Float64) -> "KDTree":
    """A tree of points, [P, 2]."""
    from scipy.spatial import KDTree  # takes half a second, and few rules measure distances

    return KDTree(points)


def find_nearest(shapes: Pieces, others: Pieces) -> Nearest:
    """The nearest of other shapes, outline to outline; 0 where shapes overlap."""
    n = len(shapes.whole)
    found = Nearest(np.full(n, np.inf), np.full(n, -1))
    if not len(shapes.shapes) or not len(others.shapes):
        return found
    pairs = [_candidates(shapes, block, others) for block in _blocks(len(shapes.shapes))]
    piece, other, distance = (np.concatenate(column) for column in zip(*pairs, strict=True))
    owner, index = shapes.owner[piece], others.owner[other]
    first = _first_of_each(owner, distance, index)
    found.distance[owner[first]] = distance[first]
    found.number[owner[first]] = index[first]
    return found


def find_nearest_others(shapes: Pieces, others: Pieces, own: Index) -> Nearest:
    """The nearest of other shapes, but for number `own` [N]: the shape itself."""
    n = len(shapes.whole)
    found = Nearest(np.full(n, np.inf), np.full(n, -1))
    known = np.unique(others.owner)
    rows = np.unique(shapes.owner) if len(known) > 1 else np.empty(0, np.intp)
    for block in _blocks(len(rows)):
        here = rows[block]
        bounds, whole = shapes.whole_bounds[here], shapes.whole[here]
        middles = bounds.reshape(-1, 2, 2).mean(1)
        first, second = known[others.start_tree.query(middles, k=2)[1]].T
        guess = np.where(first == own[here], second, first)
        reach = shapely.distance(whole, others.whole[guess])[:, None] * _ROUNDING
        grown = np.concatenate([bounds[:, :2] - reach, bounds[:, 2:] + reach], 1)
        row, piece = others.tree.query(shapely.box(*grown.T))
        is_other = others.owner[piece] != own[here][row]
        row, piece = row[is_other], piece[is_other]
        distance = shapely.distance(whole[row], others.shapes[piece])
        least = _first_of_each(row, distance, others.owner[piece])
        found.distance[here[row[least]]] = distance[least]
        found.number[here[row[least]]] = others.owner[piece[least]]
    return found


class SeveralNearest(NamedTuple):
    """Pairs of a point and a shape near it, [M]: by point, nearest first.

    Attributes:
        point: index of the point.
        shape: index of the shape.
        place: nearest point of the shape, float64 [M, 2]: the point itself if that is inside.
    """

    point: Index
    shape: Index
    place: Float64


def find_several_nearest(points: Float64, others: Pieces, count: int) -> SeveralNearest:
    """The nearest `count` shapes of each point [N, 2], or all if there are fewer."""
    known = np.unique(others.owner)
    empty = np.empty(0, np.intp)
    found = [SeveralNearest(empty, empty, np.empty((0, 2)))]
    for block in _blocks(len(points) if len(known) else 0):
        here = points[block]
        if len(known) <= count:
            point = np.repeat(np.arange(len(here)), len(known))
            other = np.tile(known, len(here))
        else:
            # The shape of a start is at most as far as the start.
            reach = others.start_tree.query(here, k=[count])[0][:, 0] * _ROUNDING
            grown = np.concatenate([here - reach[:, None], here + reach[:, None]], 1)
            point, other = others.whole_tree.query(shapely.box(*grown.T))
            gap = _gaps(np.tile(here[point], 2), others.whole_bounds[other])
            near = gap <= reach[point]
            point, other = point[near], other[near]
        place = nearest_points(here[point], others, other)
        order = np.lexsort((other, np.hypot(*(place - here[point]).T), point))
        rank = np.arange(len(point)) - np.searchsorted(point, point)  # in that order
        order = order[rank < count]
        found.append(SeveralNearest(point[order] + block.start, other[order], place[order]))
    return SeveralNearest(*(np.concatenate(column) for column in zip(*found, strict=True)))


def nearest_points(points: Float64, others: Pieces, index: Index) -> Float64:
    """The nearest point [N, 2] of shape `index` [N] to each point [N, 2]: itself if inside."""
    targets: Polygons = others.whole[index]
    is_large = shapely.get_num_coordinates(targets) > _LARGE
    for large in np.unique(index[is_large]).tolist():
        rows = np.flatnonzero(index == large)
        parts = others.of(large)
        nearest = find_nearest(Pieces(np.asarray(shapely.points(points[rows]))), parts)
        targets[rows] = parts.whole[nearest.number]
    lines = shapely.shortest_line(targets, shapely.points(points))
    ends: Float64 = shapely.get_coordinates(lines)[::2]
    return ends


def _cut(whole: Polygons) -> tuple[Polygons, Index]:
    """Pieces of shapes, and the index of the shape of each, ascending."""
    is_multi = shapely.get_type_id(whole) > shapely.GeometryType.POLYGON
    parts, index = shapely.get_parts(whole[is_multi], return_index=True)
    shapes = np.concatenate([whole[~is_multi], parts])  # the others are not copied
    owner = np.concatenate([np.flatnonzero(~is_multi), np.flatnonzero(is_multi)[index]])
    finite = np.isfinite(shapely.bounds(shapes).reshape(-1, 4)).all(1)
    shapes, owner = shapes[finite], owner[finite]
    done: list[tuple[Polygons, Index]] = []
    while len(shapes):
        is_large = shapely.get_num_coordinates(shapes) > MAX_VERTICES
        is_large &= _has_extent(shapes)
        small = shapes[~is_large], owner[~is_large]
        done.append(_mend(*small) if done else small)
        shapes, owner = _halve(shapes[is_large], owner[is_large])
    if not done:
        return np.empty(0, object), np.empty(0, np.intp)
    shapes, owner = (np.concatenate(column) for column in zip(*done, strict=True))
    order = np.argsort(owner, kind="stable")
    return shapes[order], owner[order]


def _has_extent(shapes: Polygons) -> Flags:
    """Whether halving makes shapes smaller: not if all their vertices are at one place."""
    bounds: Float64 = shapely.bounds(shapes).reshape(-1, 4)
    extent = np.maximum(bounds[:, 2] - bounds[:, 0], bounds[:, 3] - bounds[:, 1])
    return np.asarray(extent > 1e-9 * np.abs(bounds).max(1))


def _halve(shapes: Polygons, owner: Index) -> tuple[Polygons, Index]:
    """Each shape cut in the middle of its longer side."""
    boxes = shapely.bounds(shapes).reshape(-1, 2, 2)
    axis = np.argmax(boxes[:, 1] - boxes[:, 0], axis=1)
    row = np.arange(len(boxes))
    middle = boxes.mean(1)[row, axis]
    halves: list[Polygons] = []
    for side in (0, 1):
        box = boxes.copy()
        box[row, 1 - side, axis] = middle
        clipped = [
            shapely.clip_by_rect(shape, *corners)  # ten times as fast as an intersection
            for shape, corners in zip(shapes, box.reshape(-1, 4).tolist(), strict=True)
        ]
        halves.append(np.array(clipped, dtype=object))
    parts, index = shapely.get_parts(np.concatenate(halves), return_index=True)
    whole = np.tile(row, 2)[index]
    is_alike = shapely.get_dimensions(parts) == shapely.get_dimensions(shapes)[whole]
    return parts[is_alike], owner[whole[is_alike]]


def _mend(shapes: Polygons, owner: Index) -> tuple[Polygons, Index]:
    """Valid pieces: cutting can leave rings that touch themselves."""
    is_broken = ~shapely.is_valid(shapes) & (shapely.get_dimensions(shapes) == 2)
    if not is_broken.any():
        return shapes, owner
    parts, index = shapely.get_parts(shapely.make_valid(shapes[is_broken]), return_index=True)
    is_area = shapely.get_dimensions(parts) == 2
    return (
        np.concatenate([shapes[~is_broken], parts[is_area]]),
        np.concatenate([owner[~is_broken], owner[is_broken][index[is_area]]]),
    )


def _candidates(shapes: Pieces, block: slice, others: Pieces) -> tuple[Index, Index, Float64]:
    """Pairs of pieces and distances among which the nearest of each piece is."""
    own, bounds = shapes.shapes[block], shapes.bounds[block]
    guess = others.centre_tree.query(shapes.centres[block])[1]
    reach: Float64 = shapely.distance(own, others.shapes[guess])
    margin = reach[:, None] * _ROUNDING
    grown = np.concatenate([bounds[:, :2] - margin, bounds[:, 2:] + margin], 1)
    piece, other = others.tree.query(shapely.box(*grown.T))
    near = _gaps(bounds[piece], others.bounds[other]) <= margin[piece, 0]
    near &= other != guess[piece]
    piece, other = piece[near], other[near]
    distance = shapely.distance(own[piece], others.shapes[other])
    return (
        np.concatenate([np.arange(len(own)), piece]) + block.start,
        np.concatenate([guess, other]),
        np.concatenate([reach, distance]),
    )


def _gaps(bounds: Float64, others: Float64) -> Float64:
    """Distance between boxes, [N] of [N, 4] and [N, 4]."""
    steps = np.maximum(bounds[:, :2] - others[:, 2:], others[:, :2] - bounds[:, 2:])
    gap: Float64 = np.hypot(*np.maximum(steps, 0).T)
    return gap


def _first_of_each(group: Index, value: Float64, tie: Index) -> Index:
    """Index of the least (value, tie) of each group."""
    order = np.lexsort((tie, value, group))
    is_first = np.diff(group[order], prepend=-1) > 0
    return order[is_first]


def _blocks(n: int) -> Iterator[slice]:
    for start in range(0, n, _BLOCK):
        yield slice(start, min(start + _BLOCK, n))
