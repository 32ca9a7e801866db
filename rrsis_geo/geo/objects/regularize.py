"""Regularize outlines of buildings and other made things: straight walls and right angles.

Most walls of an object follow two directions at right angles on the ground. Its outline is
simplified to edges. Each edge takes the nearer of the two directions, or keeps its own where it is
long and clearly diagonal, and is moved to the mean of the outline that it stands for. Neighbouring
edges of one direction become one wall. Corners are where walls meet.

A ring is regularized with the largest tolerance at which it keeps its shape. A ring without such
a tolerance, like that of a round tank, is smoothed, as are objects that would touch others.

Letters: N objects, R rings, P points of rings, E edges or walls; those of a ring follow each other.
"""

from typing import Any, Final, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from rrsis_geo.geo.objects.closeness import CLOSE, iou_with_pixels
from rrsis_geo.geo.objects.cut import cut_whole
from rrsis_geo.geo.objects.outlines import Float64, Int64, Outlines, Rings, concat_ranges
from rrsis_geo.geo.objects.simplify import as_outlines
from rrsis_geo.geo.objects.smooth import draw_points, smooth_outlines

TOLERANCES_PX: Final = (2.0, 1.4, 1.0)
"""For the edges of an outline, the coarsest first."""
LEAST_IOU: Final = 0.92
"""Of a regularized outline with its pixels. Outlines below are smoothed. Finer tolerances are tried
where it is below `CLOSE`."""
DIAGONAL_RAD: Final = np.radians(25)
"""Edges are turned by at most this, or else are diagonal."""
LEAST_DIAGONAL_PX: Final = 8.0
LEAST_DIAGONAL: Final = 0.15
"""Shorter diagonals, in pixels or relative to the root of the area of the ring, are round corners
or steps."""
_SIN_PARALLEL: Final = np.sin(np.radians(12))
_TRIMMED_POINTS: Final = 2  # at each end of an edge, where corners are round
_CHUNK_VERTICES: Final = 2**16

Polygons = NDArray[Any]
Mask = NDArray[np.bool_]


def regularize_outlines(
    outlines: Outlines, to_ground: Float64 | None = None, *, split_from: Int64 | None = None
) -> Outlines:
    """Regularize outlines that have walls, and smooth the others.

    Every object remains one polygon with all its holes, and objects do not overlap. The parts of an
    object that was split are cut from its regularized outline, so they share their borders. The
    result for an object depends on it and its neighbours only. All objects of a scene must be given
    at once.

    Args:
        outlines: pixel outlines of all objects.
        to_ground: [2, 2], from (columns, rows) to a plane in which right angles are those of the
            ground; None if pixels are square.
        split_from: number [N] of the object that each is a part of, 0 for whole ones; see
            `split_objects`.

    Returns:
        Outlines with float64 vertices, in pixels.
    """
    number = np.zeros(len(outlines), np.int64) if split_from is None else split_from
    smooth = smooth_outlines(outlines, split_from=number)
    if not len(outlines):
        return smooth
    matrix = np.eye(2) if to_ground is None else to_ground / np.sqrt(abs(np.linalg.det(to_ground)))
    polygons = smooth.polygons()
    is_regular = np.zeros(len(outlines), bool)
    for index in _chunks(outlines, np.flatnonzero(number == 0)):
        found, is_found = _regularize(outlines.take(index), polygons[index], matrix)
        polygons[index[is_found]] = found[is_found]
        is_regular[index] = is_found
    for index in _wholes(number):
        parts = _regularize_parts(outlines.take(index), polygons[index], matrix)
        if parts is not None:
            polygons[index] = parts
            is_regular[index] = True
    _restore_overlapping(polygons, smooth, is_regular, number)
    return as_outlines(polygons)


def _chunks(outlines: Outlines, index: Int64) -> list[Int64]:
    """The indices in runs of objects that are regularized together, which bounds the memory."""
    if not len(index):
        return []
    n_vertices = np.diff(outlines.ring_offsets[outlines.object_offsets])[index]
    number = np.cumsum(n_vertices) // _CHUNK_VERTICES
    return np.split(index, np.flatnonzero(np.diff(number)) + 1)


def _wholes(split_from: Int64) -> list[Int64]:
    """The indices of the parts of each object that was split."""
    parts = np.flatnonzero(split_from)
    if not len(parts):
        return []
    parts = parts[np.argsort(split_from[parts], kind="stable")]
    return np.split(parts, np.flatnonzero(np.diff(split_from[parts])) + 1)


def _regularize_parts(parts: Outlines, smooth: Polygons, matrix: Float64) -> Polygons | None:
    """The parts of one object, cut from its regularized outline; None if that is not possible."""
    pixels = parts.polygons()
    whole = shapely.union_all(pixels)
    if shapely.get_type_id(whole) != shapely.GeometryType.POLYGON:
        return None
    outlines = as_outlines(np.array([whole], object))
    (found,), (is_found,) = _regularize(outlines, smooth_outlines(outlines).polygons(), matrix)
    pieces = cut_whole(found, smooth) if is_found else None
    return (
        pieces
        if pieces is not None and (iou_with_pixels(pieces, pixels) >= LEAST_IOU).all()
        else None
    )


def _restore_overlapping(
    polygons: Polygons, smooth: Outlines, is_regular: Mask, split_from: Int64
) -> None:
    """Smooth regular objects [N] that overlap any other, in place. Smooth ones do not overlap.

    All parts of an object are smoothed together, since they share borders.
    """
    suspects = np.flatnonzero(is_regular)
    while len(suspects):
        one, other = shapely.STRtree(polygons).query(polygons[suspects], predicate="intersects")
        one = suspects[one]
        one, other = one[one != other], other[one != other]
        overlap = shapely.relate_pattern(polygons[one], polygons[other], "T********")
        is_found = np.zeros(len(polygons), bool)
        is_found[one[overlap]] = is_found[other[overlap]] = True
        is_found |= (split_from > 0) & np.isin(split_from, split_from[is_found])
        found = np.flatnonzero(is_found & is_regular)
        if not len(found):
            return
        polygons[found] = smooth.take(found).polygons()
        is_regular[found] = False
        # A smooth outline may reach into a regular one that was clear of it.
        _, near = shapely.STRtree(polygons).query(polygons[found], predicate="intersects")
        suspects = np.unique(near[is_regular[near]])


def _regularize(outlines: Outlines, smooth: Polygons, matrix: Float64) -> tuple[Polygons, Mask]:
    """Polygons [N] with those rings regularized that have walls; and which objects have any.

    Args:
        outlines: pixel outlines of N objects.
        smooth: the same objects smoothed, for the other rings.
        matrix: from (columns, rows) to a plane in which right angles are those of the ground.
    """
    points = draw_points(outlines)
    lines = _Lines(points.xy @ matrix.T, points.ring_offsets)
    owner = np.repeat(np.arange(len(outlines)), np.diff(outlines.object_offsets))
    pixels = _as_polygons(
        Rings(outlines.vertices.astype(np.float64), outlines.ring_offsets, outlines.object_offsets)
    )
    chosen = np.asarray(shapely.polygons(shapely.get_rings(smooth)))
    is_regular, is_good = np.zeros((2, len(owner)), bool)
    for tolerance in TOLERANCES_PX:
        todo = np.flatnonzero(~is_good)
        if not len(todo):
            break
        rings, found = _build_walls(lines.take(todo), owner[todo], tolerance)
        built = _as_polygons(rings._replace(xy=rings.xy @ np.linalg.inv(matrix).T))
        ring = todo[found]
        iou = iou_with_pixels(built, pixels[ring])
        is_better = (iou >= CLOSE) | ((iou >= LEAST_IOU) & ~is_regular[ring])
        chosen[ring[is_better]] = built[is_better]
        is_regular[ring] |= is_better
        is_good[ring] = iou >= CLOSE
    xy, ring_of_xy = shapely.get_coordinates(chosen, return_index=True)
    offsets = np.searchsorted(ring_of_xy, np.arange(len(chosen) + 1))
    polygons = Rings(xy, offsets, outlines.object_offsets).polygons()
    has_walls = np.logical_or.reduceat(is_regular, outlines.object_offsets[:-1])
    index = np.flatnonzero(has_walls & (np.diff(outlines.object_offsets) > 1))
    has_walls[index] = (
        iou_with_pixels(polygons[index], outlines.take(index).polygons()) >= LEAST_IOU
    )
    return polygons, has_walls


class _Lines(NamedTuple):
    """The points of rings, not closed."""

    xy: Float64  # [P, 2]
    offsets: Int64  # [R + 1]

    def take(self, index: Int64) -> "_Lines":
        counts = np.diff(self.offsets)[index]
        points = concat_ranges(self.offsets[:-1][index], counts)
        return _Lines(self.xy[points], np.append(0, np.cumsum(counts)))

    def ring(self) -> Int64:
        """The ring of each point, [P]."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def closed(self) -> Rings:
        """The rings, each as a polygon."""
        n = len(self.offsets) - 1
        xy = np.insert(self.xy, self.offsets[1:], self.xy[self.offsets[:-1]], axis=0)
        return Rings(xy, self.offsets + np.arange(n + 1), np.arange(n + 1))

    def from_farthest(self) -> "_Lines":
        """The same rings, each from its point that is farthest from its middle: a corner."""
        ring, starts, counts = self.ring(), self.offsets[:-1], np.diff(self.offsets)
        middle = np.add.reduceat(self.xy, starts) / counts[:, None]
        distance = np.hypot(*(self.xy - middle[ring]).T)
        farthest = np.flatnonzero(distance == np.maximum.reduceat(distance, starts)[ring])
        shift = farthest[np.searchsorted(farthest, starts)] - starts
        place = np.arange(len(self.xy)) - starts[ring]
        return self._replace(xy=self.xy[starts[ring] + (place + shift[ring]) % counts[ring]])


class _Edges(NamedTuple):
    """The edges of simplified rings, [E].

    Attributes:
        start: index of the point at which an edge starts.
        stop: index of the point at which it stops.
        angle: its direction, in radians.
        quarter: the nearest direction of walls, as a number of right angles.
        ring: its ring.
    """

    start: Int64
    stop: Int64
    angle: Float64
    quarter: Int64
    ring: Int64

    def take(self, index: NDArray[Any]) -> "_Edges":
        return _Edges(*(column[index] for column in self))


def _build_walls(lines: _Lines, owner: Int64, tolerance: float) -> tuple[Rings, Int64]:
    """The rings that have walls, as polygons of their own; and their indices.

    Args:
        lines: points of rings, in a plane with the right angles of the ground.
        owner: the object [R] of each ring. The rings of an object have the same directions.
        tolerance: for the edges.
    """
    n_rings = len(lines.offsets) - 1
    lines = lines.from_farthest()
    edges, base = _find_edges(lines, owner, tolerance)
    edges, is_diagonal = _settle_diagonals(edges, base, lines)
    before = _cyclic(edges.ring)[0]
    starts = is_diagonal | is_diagonal[before] | (edges.quarter != edges.quarter[before])
    starts &= np.bincount(edges.ring[starts], minlength=n_rings)[edges.ring] >= 3
    first = np.flatnonzero(starts)
    walls = edges.take(first)
    direction = np.where(
        is_diagonal[first], walls.angle, base[walls.ring] + walls.quarter * (np.pi / 2)
    )
    _, after = _cyclic(walls.ring)
    last = before[first][after]  # the last edge of each wall
    normal = np.column_stack([-np.sin(direction), np.cos(direction)])
    offset = _mean_offsets(lines, walls._replace(stop=edges.stop[last]), normal)
    # A step connects parallel walls that follow each other.
    steps = np.flatnonzero(np.abs(np.sin(direction[after] - direction)) < _SIN_PARALLEL)
    across = np.column_stack([-normal[steps, 1], normal[steps, 0]])
    corner = lines.xy[walls.start[after[steps]]]
    normal = np.insert(normal, steps + 1, across, axis=0)
    offset = np.insert(offset, steps + 1, (corner * across).sum(1))
    ring = np.insert(walls.ring, steps + 1, walls.ring[steps])
    return _intersect(normal, offset, ring, n_rings)


def _find_edges(lines: _Lines, owner: Int64, tolerance: float) -> tuple[_Edges, Float64]:
    """The edges of rings, and the direction of the walls of each ring, [R], in radians."""
    n_rings = len(lines.offsets) - 1
    closed = lines.closed()
    rings = shapely.from_ragged_array(
        shapely.GeometryType.LINESTRING, closed.xy, (closed.ring_offsets,)
    )
    xy, ring_of_xy = shapely.get_coordinates(
        shapely.simplify(rings, tolerance, preserve_topology=False), return_index=True
    )
    is_corner = _contains(xy, ring_of_xy, lines.xy, lines.ring())
    start = np.flatnonzero(is_corner)
    ring = lines.ring()[start]
    _, after = _cyclic(ring)
    stop = start[after]
    vector = lines.xy[stop] - lines.xy[start]
    angle = _fit_angles(lines, start, stop, ring)
    turns = np.zeros(int(owner.max()) + 1, complex)
    # Angles that differ by a right angle are equal when they are multiplied by four.
    np.add.at(turns, owner[ring], (vector**2).sum(1) * np.exp(4j * angle))
    base = (np.angle(turns) / 4)[owner]
    quarter = np.rint((angle - base[ring]) / (np.pi / 2)).astype(np.int64) % 4
    assert len(np.unique(ring)) == n_rings
    return _Edges(start, stop, angle, quarter, ring), base


def _contains(xy: Float64, ring: Int64, others: Float64, other_ring: Int64) -> Mask:
    """Which of the other points are among the points of the same ring."""
    keys = np.column_stack([ring, xy]).view("V24").ravel()
    other_keys = np.column_stack([other_ring, others]).view("V24").ravel()
    found: Mask = np.isin(other_keys, keys)
    return found


def _settle_diagonals(edges: _Edges, base: Float64, lines: _Lines) -> tuple[_Edges, Mask]:
    """Edges without those that are round corners, and which of them are diagonal walls.

    A short diagonal edge between walls of one direction is a step; between others it is the round
    corner of a right angle.
    """
    length = np.hypot(*(lines.xy[edges.stop] - lines.xy[edges.start]).T)
    off = np.abs(_wrap(edges.angle - base[edges.ring] - edges.quarter * (np.pi / 2)))
    area = shapely.area(lines.closed().polygons())
    least = np.maximum(LEAST_DIAGONAL_PX, LEAST_DIAGONAL * np.sqrt(area))[edges.ring]
    is_diagonal = off > DIAGONAL_RAD
    is_short = is_diagonal & (length < least)
    before, after = _cyclic(edges.ring)
    is_step = is_short & (edges.quarter[before] == edges.quarter[after])
    side = np.sin(edges.angle - edges.angle[before]) < 0
    quarter = np.where(is_step, edges.quarter[before] + np.where(side, 3, 1), edges.quarter) % 4
    is_kept = ~is_short | is_step | is_short[before] | is_short[after]
    edges = edges._replace(quarter=quarter)
    return edges.take(np.flatnonzero(is_kept)), (is_diagonal & ~is_short)[is_kept]


def _wrap(angle: Float64) -> Float64:
    """Angles in [-pi, pi)."""
    wrapped: Float64 = np.remainder(angle + np.pi, 2 * np.pi) - np.pi
    return wrapped


def _fit_angles(lines: _Lines, start: Int64, stop: Int64, ring: Int64) -> Float64:
    """The directions [E], in radians, of the lines through the points of edges."""
    points, edge = _points_of(lines, start, stop, ring)
    count = np.bincount(edge)
    x, y = (axis - (np.bincount(edge, axis) / count)[edge] for axis in lines.xy[points].T)
    xx, yy, xy = (np.bincount(edge, product) for product in (x * x, y * y, x * y))
    angle = np.arctan2(2 * xy, xx - yy) / 2  # the principal axis
    along = lines.xy[stop] - lines.xy[start]
    is_back = along[:, 0] * np.cos(angle) + along[:, 1] * np.sin(angle) < 0
    fitted = np.where(count > 2, angle + np.pi * is_back, np.arctan2(along[:, 1], along[:, 0]))
    return np.asarray(fitted)


def _mean_offsets(lines: _Lines, walls: _Edges, normal: Float64) -> Float64:
    """The mean position [E] along the normal of the points of each wall."""
    points, wall = _points_of(lines, walls.start, walls.stop, walls.ring)
    mean: Float64 = np.bincount(wall, (lines.xy[points] * normal[wall]).sum(1)) / np.bincount(wall)
    return mean


def _points_of(lines: _Lines, start: Int64, stop: Int64, ring: Int64) -> tuple[Int64, Int64]:
    """The points of edges but those near their ends, where corners are round; and the edge of each.

    Args:
        lines: points of rings.
        start: first point of each edge, [E].
        stop: last point of each edge, [E].
        ring: ring of each edge, [E].
    """
    size, first = np.diff(lines.offsets)[ring], lines.offsets[:-1][ring]
    count = (stop - start) % size + 1
    trim = np.minimum(_TRIMMED_POINTS, (count - 1) // 3)
    place = concat_ranges(start - first + trim, count - 2 * trim)
    edge = np.repeat(np.arange(len(count)), count - 2 * trim)
    return first[edge] + place % size[edge], edge


def _intersect(normal: Float64, offset: Float64, ring: Int64, n_rings: int) -> tuple[Rings, Int64]:
    """Rings whose corners are where walls meet, and the indices of these rings."""
    _, after = _cyclic(ring)
    cross = normal[:, 0] * normal[after, 1] - normal[:, 1] * normal[after, 0]
    is_parallel = np.abs(cross) < _SIN_PARALLEL
    cross[is_parallel] = 1
    x = (offset * normal[after, 1] - offset[after] * normal[:, 1]) / cross
    y = (normal[:, 0] * offset[after] - normal[after, 0] * offset) / cross
    counts = np.bincount(ring, minlength=n_rings)
    is_found = (counts >= 3) & (np.bincount(ring, is_parallel, minlength=n_rings) == 0)
    is_kept = is_found[ring]
    corners = _Lines(np.column_stack([x, y])[is_kept], np.append(0, np.cumsum(counts[is_found])))
    return corners.closed(), np.flatnonzero(is_found)


def _cyclic(ring: Int64) -> tuple[Int64, Int64]:
    """The edges before and after each edge of its ring, int64 [E] each."""
    begins = np.append(np.flatnonzero(np.diff(ring, prepend=-1)), len(ring))
    before, after = np.arange(-1, len(ring) - 1), np.arange(1, len(ring) + 1)
    before[begins[:-1]] = begins[1:] - 1
    after[begins[1:] - 1] = begins[:-1]
    return before, after


def _as_polygons(rings: Rings) -> Polygons:
    """Each ring as a polygon of its own, [R]."""
    return rings._replace(object_offsets=np.arange(len(rings.ring_offsets))).polygons()
