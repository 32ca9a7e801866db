"""The coordinates in which objects are compared: those of the scene, and a plane of metres.

Distances and compass directions are measured in a plane of metres about the scene's centre whose y
axis points to true north there; picture directions go by the coordinates of the scene's CRS, as
maps are displayed. North is the top of a picture without a CRS.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

Polygons = NDArray[Any]
Float64 = NDArray[np.float64]
Flags = NDArray[np.bool_]
MovePoints = Callable[[Float64], Float64]


@dataclass(frozen=True, slots=True)
class Frame:
    """The scene's extent, and the way from its coordinates to the plane of metres.

    Attributes:
        corners: float64 [4, 2], of the scene or the area of interest, in its coordinates.
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

    def plane(self, polygons: Polygons) -> Polygons:
        """Polygons in the plane of metres."""
        if self.to_plane is None and not self.y_is_down:
            return polygons
        return shapely.transform(polygons, self.plane_points)

    def plane_points(self, points: Float64) -> Float64:
        """Points [N, 2] in the plane of metres."""
        if self.to_plane is not None:
            return self.to_plane(points)
        return points * (1.0, -1.0) if self.y_is_down else points


class Things:
    """Objects in memory, in both coordinate systems.

    Attributes:
        own: shapely [N], in the scene's coordinates.
        plane: shapely [N], in the plane of metres.
    """

    def __init__(self, polygons: Polygons, frame: Frame) -> None:
        self.frame = frame
        self.own = polygons
        self.plane = frame.plane(polygons)
        self._tree: shapely.STRtree | None = None

    def __len__(self) -> int:
        return len(self.own)

    @property
    def tree(self) -> shapely.STRtree:
        """Of the polygons in the plane."""
        if self._tree is None:
            self._tree = shapely.STRtree(self.plane)
        return self._tree

    def centres(self, *, compass: bool) -> Float64:
        """Centroids [N, 2], x before y, y up."""
        points = shapely.get_coordinates(shapely.centroid(self.plane if compass else self.own))
        if self.frame.y_is_down and not compass:
            points = points * (1.0, -1.0)
        return points

    def areas(self) -> Float64:
        """Area [N] in the plane."""
        areas: Float64 = shapely.area(self.plane)
        return areas

    def sides_m(self) -> tuple[Float64, Float64]:
        """Length and width [N]: of the smallest rectangle about each, in metres."""
        boxes = shapely.minimum_rotated_rectangle(self.plane)
        corners = np.full((len(self), 3, 2), np.nan)
        for index, box in enumerate(boxes):
            points = shapely.get_coordinates(box)
            if len(points) >= 3:
                corners[index] = points[:3]
        steps = np.hypot(*np.moveaxis(np.diff(corners, axis=1), 2, 0))
        return steps.max(1), steps.min(1)
