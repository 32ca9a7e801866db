"""The coordinates in which objects are compared: those of the scene, and a plane of metres.

Distances and compass directions are measured in a plane of metres about the scene's centre whose y
axis points to true north there; picture directions go by the coordinates of the scene's CRS, as
maps are displayed. North is the top of a picture without a CRS.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import shapely

from rrsis_geo.resolve.pieces import Flags, Float64, Index, Pieces, Polygons

__all__ = ["Drawn", "Flags", "Float64", "Frame", "MovePoints", "Polygons", "Things"]

_ROUNDING = 1e-9
"""Lengths that are rounding errors, as a share of the scene's extent."""

MovePoints = Callable[[Float64], Float64]


class Shapes(Protocol):
    """Some objects, as polygons."""

    @property
    def polygons(self) -> Polygons:
        """Shapely polygons [N], in the coordinates of the scene."""

    def moved(self, move: MovePoints) -> Polygons:
        """The polygons [N] with every vertex moved."""


class Drawn(NamedTuple):
    """Shapes that are polygons already."""

    polygons: Polygons

    def moved(self, move: MovePoints) -> Polygons:
        """See `Shapes`."""
        return np.asarray(shapely.transform(self.polygons, move))


ReadShapes = Callable[[], Iterable[Shapes]]
"""Reads objects in batches, each time from the start."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The scene's extent, and the way from its coordinates to the plane of metres.

    Attributes:
        corners: float64 [4 * S, 2], in turn around each of S scenes, or the parts of them that are
            segmented, in their coordinates.
        to_plane: moves points, float64 [N, 2], to the plane. None if lengths on the ground are
            unknown: the plane is the scene's own then, with the y axis up.
        y_is_down: whether the displayed picture's y axis points down, as in pixel coordinates.
    """

    corners: Float64
    to_plane: MovePoints | None
    y_is_down: bool

    @property
    def has_metres(self) -> bool:
        """Whether lengths in the plane are metres."""
        return self.to_plane is not None

    def bounds(self, *, compass: bool) -> Float64:
        """[[x_min, y_min], [x_max, y_max]] of the scene, y up, in the plane or as displayed."""
        points = self.plane_points(self.corners) if compass else self.corners
        if self.y_is_down and not compass:
            points = points * (1.0, -1.0)
        return np.stack([points.min(0), points.max(0)])

    def edge(self) -> shapely.Geometry:
        """The outline of the area that the scenes cover together, in the plane."""
        scenes = shapely.polygons(self.plane_points(self.corners).reshape(-1, 4, 2))
        return shapely.boundary(shapely.union_all(scenes, grid_size=self.rounding(compass=True)))

    def rounding(self, *, compass: bool) -> float:
        """Length up to which gaps and steps are rounding errors, in the plane or as displayed."""
        return _ROUNDING * float(np.ptp(self.bounds(compass=compass), axis=0).max())

    @property
    def is_plane(self) -> bool:
        """Whether the coordinates of the scene are those of the plane."""
        return self.to_plane is None and not self.y_is_down

    def plane(self, polygons: Polygons) -> Polygons:
        """Polygons in the plane of metres."""
        return polygons if self.is_plane else shapely.transform(polygons, self.plane_points)

    def plane_of(self, shapes: Shapes) -> Polygons:
        """The polygons of some objects in the plane of metres."""
        return shapes.polygons if self.is_plane else shapes.moved(self.plane_points)

    def plane_points(self, points: Float64) -> Float64:
        """Points [N, 2] in the plane of metres."""
        if self.to_plane is not None:
            return self.to_plane(points)
        return points * (1.0, -1.0) if self.y_is_down else points


class Things:
    """Objects in memory, in either coordinate system or both.

    What is asked for is computed once. Objects that are read are held only in the coordinates that
    were asked for: rules about sides and parts of the displayed picture need the scene's own, all
    others the plane.
    """

    def __init__(self, read: ReadShapes, frame: Frame) -> None:
        """Nothing is read yet.

        Args:
            read: reads the objects.
            frame: of the scene.
        """
        self.frame = frame
        self._read = read
        self._covers: dict[tuple[float, bool], Pieces] = {}
        self._holes: dict[float, Pieces] = {}
        self._clusters: dict[float, _Clusters] = {}

    @staticmethod
    def of(polygons: Polygons, frame: Frame) -> "Things":
        """Polygons, shapely [N], in the scene's coordinates."""
        return Things(lambda: (Drawn(polygons),), frame)

    def __len__(self) -> int:
        return len(self.own if "own" in vars(self) else self.plane)

    def take(self, index: Index) -> "Things":
        """Some of the objects, in the order of the index."""
        taken = Things(lambda: (Drawn(self.own[index]),), self.frame)
        if "own" in vars(self):
            taken.own = self.own[index]
        if "plane" in vars(self):
            taken.plane = self.plane[index]
        return taken

    @cached_property
    def own(self) -> Polygons:
        """Shapely [N], in the scene's coordinates."""
        return _join(shapes.polygons for shapes in self._read())

    @cached_property
    def plane(self) -> Polygons:
        """Shapely [N], in the plane of metres."""
        if "own" in vars(self) or self.frame.is_plane:
            return self.frame.plane(self.own)
        return _join(map(self.frame.plane_of, self._read()))

    def find(self, polygons: Polygons) -> Index:
        """The numbers [N] of the objects that have these outlines in the plane, -1 for none."""
        row, number = self.pieces.whole_tree.query(polygons)
        alike = (shapely.bounds(polygons)[row] == self.pieces.whole_bounds[number]).all(1)
        row, number = row[alike], number[alike]
        ours, theirs = shapely.normalize(self.plane[number]), shapely.normalize(polygons[row])
        alike = shapely.equals_exact(ours, theirs)
        found = np.full(len(polygons), -1)
        found[row[alike]] = number[alike]
        return found

    @cached_property
    def pieces(self) -> Pieces:
        """Of the objects, in the plane."""
        return Pieces(self.plane)

    @cached_property
    def own_pieces(self) -> Pieces:
        """Of the objects, in the scene's coordinates."""
        return self.pieces if self.plane is self.own else Pieces(self.own)

    def clusters_near(self, boxes: Float64, buffer_m: float) -> list["Things"]:
        """The objects that boxes [N, 4] can touch when they are widened, and those in one cluster.

        Objects that touch each other when they are widened are in one cluster. What is returned
        are disjoint sets of clusters, the same ones each time: what is known of a set, such as its
        cover, is computed once.
        """
        if buffer_m not in self._clusters:
            self._clusters[buffer_m] = _Clusters(self, buffer_m)
        return self._clusters[buffer_m].near(boxes)

    def cover(self, buffer_m: float = 0.0, *, filled: bool = False) -> Pieces:
        """The area in the plane that the objects cover, each place once.

        Args:
            buffer_m: the objects are widened by this.
            filled: whether their holes count.
        """
        if (buffer_m, filled) not in self._covers:
            shapes = widen(self.plane, buffer_m, filled=filled)
            pieces = self.pieces if shapes is self.plane else Pieces(shapes)
            self._covers[buffer_m, filled] = pieces.joined()
        return self._covers[buffer_m, filled]

    def holes(self, buffer_m: float) -> Pieces:
        """The holes of what the objects cover when they are widened."""
        if buffer_m not in self._holes:
            parts = shapely.get_parts(self.cover(buffer_m).whole)
            parts = parts[shapely.get_num_interior_rings(parts) > 0]
            rings, part = shapely.get_rings(parts, return_index=True)
            is_hole = np.diff(part, prepend=-1) == 0
            self._holes[buffer_m] = Pieces(np.asarray(shapely.polygons(rings[is_hole])))
        return self._holes[buffer_m]

    @cached_property
    def _own_centres(self) -> Float64:
        points: Float64 = shapely.get_coordinates(shapely.centroid(self.own))
        return points * (1.0, -1.0) if self.frame.y_is_down else points

    @cached_property
    def _plane_centres(self) -> Float64:
        if "plane" in vars(self):
            points: Float64 = shapely.get_coordinates(shapely.centroid(self.plane))
            return points
        return self.frame.plane_points(shapely.get_coordinates(shapely.centroid(self.own)))

    def centres(self, *, compass: bool) -> Float64:
        """Centroids [N, 2], x before y, y up."""
        return self._plane_centres if compass else self._own_centres

    def boxes(self, *, compass: bool) -> Float64:
        """(x_min, y_min, x_max, y_max) of each, [N, 4], y up."""
        boxes: Float64 = shapely.bounds(self.plane if compass else self.own)
        if self.frame.y_is_down and not compass:
            boxes = boxes[:, [0, 3, 2, 1]] * (1.0, -1.0, 1.0, -1.0)
        return boxes

    def areas(self) -> Float64:
        """Area [N] in the plane."""
        areas: Float64 = shapely.area(self.plane)
        return areas

    def side_bounds_m(self) -> tuple[tuple[Float64, Float64], tuple[Float64, Float64]]:
        """The least and the greatest length [N], and width, that `sides_m` can find.

        The length is at most the diameter, and the diagonal of the rectangle is at least that. Its
        area is at most that of the bounding box, and at least that of the object: at most the
        square of its length.
        """
        boxes = self.boxes(compass=True)
        sides = boxes[:, 2:] - boxes[:, :2]
        longer, shorter, diagonal = sides.max(1), sides.min(1), np.hypot(*sides.T)
        areas = self.areas()
        with np.errstate(invalid="ignore"):  # a point has no diagonal
            least_width = areas / diagonal
        up, down = 1 + _ROUNDING, 1 - _ROUNDING
        length = np.maximum(longer / np.sqrt(2), np.sqrt(areas)) * down, diagonal * up
        return length, (np.nan_to_num(least_width) * down, shorter * np.sqrt(2) * up)

    def sides_m(self) -> tuple[Float64, Float64]:
        """Length and width [N]: of the smallest rectangle about each, in metres."""
        boxes = shapely.minimum_rotated_rectangle(self.plane)
        points, index = shapely.get_coordinates(boxes, return_index=True)
        rows = np.arange(len(self))
        first, n_points = np.searchsorted(index, rows), np.bincount(index, minlength=len(self))
        corners = np.full((len(self), 3, 2), np.nan)
        known = n_points > 0
        step = np.minimum(np.arange(3), n_points[known, None] - 1)  # lines have two points
        corners[known] = points[first[known, None] + step]
        steps = np.hypot(*np.moveaxis(np.diff(corners, axis=1), 2, 0))
        length, width = steps.max(1), steps.min(1)
        (_, diagonal), _ = self.side_bounds_m()
        is_straight = width <= _ROUNDING * diagonal  # GEOS can give too short a rectangle then
        return np.where(is_straight, diagonal, length), width


class _Clusters:
    """Objects that touch each other when they are widened: found once, taken when asked for."""

    def __init__(self, things: Things, buffer_m: float) -> None:
        from scipy.sparse import coo_array  # takes long to import, and few rules need it
        from scipy.sparse.csgraph import connected_components

        self._things = things
        pieces, n = things.pieces, len(things)
        reach = buffer_m + things.frame.rounding(compass=True)
        pairs = pieces.tree.query(pieces.shapes, predicate="dwithin", distance=2 * reach)
        row, column = pieces.owner[pairs]
        links = coo_array((np.ones(len(row), bool), (row, column)), (n, n))
        n_clusters, self._cluster = connected_components(links, directed=False)
        order = np.argsort(self._cluster, kind="stable")
        first = np.searchsorted(self._cluster[order], np.arange(n_clusters))
        low, high = np.split(pieces.whole_bounds[order], 2, axis=1)
        low, high = np.minimum.reduceat(low, first), np.maximum.reduceat(high, first)
        corners = np.concatenate([low - reach, high + reach], 1)
        self._tree = shapely.STRtree(shapely.box(*corners.T))
        self._taken: list[Things] = []
        self._place = np.full(n_clusters, -1)  # of each cluster in `_taken`

    def near(self, boxes: Float64) -> list[Things]:
        """See `Things.clusters_near`."""
        clusters = np.unique(self._tree.query(shapely.box(*boxes.T))[1])
        new = clusters[self._place[clusters] < 0]
        if len(new):
            self._place[new] = len(self._taken)
            members = np.flatnonzero(np.isin(self._cluster, new))
            self._taken.append(self._things.take(members))
        return [self._taken[place] for place in np.unique(self._place[clusters])]


def _join(batches: Iterable[Polygons]) -> Polygons:
    return np.concatenate([np.empty(0, object), *batches])


def widen(polygons: Polygons, buffer_m: float, *, filled: bool) -> Polygons:
    """Polygons widened by a buffer, with their holes filled or not."""
    shapes = _fill_holes(polygons) if filled else polygons
    return shapely.buffer(shapes, buffer_m, quad_segs=2) if buffer_m else shapes


def _fill_holes(polygons: Polygons) -> Polygons:
    """Polygons [N] without their holes; the same array if there are none."""
    parts, row = shapely.get_parts(polygons, return_index=True)
    rows = np.unique(row[shapely.get_num_interior_rings(parts) > 0])
    if not len(rows):
        return polygons
    filled = polygons.copy()
    shells: Polygons = np.asarray(shapely.polygons(shapely.get_exterior_ring(parts)))
    for one in rows.tolist():
        first, last = np.searchsorted(row, [one, one + 1])
        filled[one] = shells[first] if last - first == 1 else shapely.union_all(shells[first:last])
    return filled
