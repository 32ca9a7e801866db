"""Cut the outline of a whole object along the borders of its parts."""

from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray

Polygons = NDArray[Any]

_REACH_PX: Final = 6.0
"""How far the ends of a border are prolonged, to reach the outline of the whole."""


def cut_whole(whole: Any, parts: Polygons) -> Polygons | None:
    """Cut a polygon into parts that follow the borders between other parts.

    Args:
        whole: polygon of the whole object, in pixels.
        parts: polygons [N], in pixels, that share borders and cover the object nearly.

    Returns:
        Polygons [N], each the piece of the whole that stands for a part; None if there is no such
        piece for each of them.
    """
    borders = _borders(parts)
    if not borders:
        return None
    lines = [shapely.boundary(whole), *map(_prolong, borders)]
    faces = shapely.get_parts(shapely.polygonize([shapely.union_all(lines)]))
    faces = faces[shapely.covers(shapely.buffer(whole, 1e-6), faces)]
    shared = shapely.area(shapely.intersection(faces[:, None], parts[None, :]))
    owner = shared.argmax(1)
    pieces = np.array(
        [shapely.union_all(faces[owner == number]) for number in range(len(parts))], object
    )
    is_one = shapely.get_type_id(pieces) == shapely.GeometryType.POLYGON
    is_one &= ~shapely.is_empty(pieces) & shapely.is_valid(pieces)
    return pieces if is_one.all() else None


def _borders(parts: Polygons) -> list[Any]:
    """The lines that two of the parts share."""
    one, other = shapely.STRtree(parts).query(parts, predicate="intersects")
    pairs = one < other
    common = shapely.intersection(
        shapely.boundary(parts[one[pairs]]), shapely.boundary(parts[other[pairs]])
    )
    lines = shapely.get_parts(shapely.line_merge(_lines_of(common)))
    return [line for line in lines if line.length > 0]


def _lines_of(geometries: Polygons) -> Polygons:
    """The lines of geometries, as multi-lines, without points."""
    pieces, index = shapely.get_parts(geometries, return_index=True)
    is_line = shapely.get_type_id(pieces) == shapely.GeometryType.LINESTRING
    return np.array(
        [
            shapely.multilinestrings(pieces[is_line & (index == number)])
            for number in range(len(geometries))
        ],
        object,
    )


def _prolong(line: Any) -> Any:
    """A line that goes on straight at both ends, as its ends are seen from each other."""
    xy = shapely.get_coordinates(line)
    direction = xy[-1] - xy[0]
    length = float(np.hypot(*direction))
    if length == 0:  # a ring around a part
        return line
    reach = direction / length * _REACH_PX
    return shapely.linestrings(np.vstack([xy[0] - reach, xy, xy[-1] + reach]))
