"""What is true of a painted scene, from the pixels of its objects. NumPy and SciPy only.

Nothing of `rrsis_geo.resolve` is used here: this is what its answers are compared with.
"""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, distance_transform_edt, label
from scipy.spatial import ConvexHull

from rrsis_geo.data.sample import LabelledImage

GSD_M = 0.3

Flags = NDArray[np.bool_]
Values = NDArray[np.float64]


class Truth:
    """The objects of a painted scene, north up.

    Attributes:
        category: of each of N objects.
        colour: "" where unknown.
        surface: what it stands on; "" where unknown.
        pixels: of each, int [K, 2], row before column.
        shape: of the scene, pixels.
    """

    def __init__(self, painted: LabelledImage) -> None:
        items = [item for item in painted.instances if item.mask.any()]
        self.items = items
        self.shape = painted.image.shape[:2]
        self.category = np.array([item.category for item in items])
        self.colour = np.array([item.attributes.get("colour", "") for item in items])
        self.surface = np.array([item.attributes.get("on", "") for item in items])
        self.pixels = [np.argwhere(item.mask) + item.bbox[:2] for item in items]
        self._fields: dict[bytes, Values] = {}

    def __len__(self) -> int:
        return len(self.items)

    def are(self, category: str, colour: str = "", surface: str = "") -> Flags:
        """Which objects have a category, and a colour and a surface if given."""
        found: Flags = self.category == category
        if colour:
            found = found & (self.colour == colour)
        return found & (self.surface == surface) if surface else found

    @cached_property
    def area_m2(self) -> Values:
        """[N]."""
        return np.array([len(each) for each in self.pixels]) * GSD_M**2

    @cached_property
    def centre(self) -> Values:
        """Centroid [N, 2], row before column, pixels from the upper left corner."""
        return np.array([each.mean(0) + 0.5 for each in self.pixels])

    @cached_property
    def share(self) -> Values:
        """Centroid [N, 2] as shares of the scene's height and width."""
        return self.centre / np.array(self.shape)

    @cached_property
    def sides_m(self) -> Values:
        """[N, 2], length before width, of the smallest rectangle about each."""
        return np.array([_rectangle_px(each) for each in self.pixels]) * GSD_M

    @cached_property
    def reach(self) -> Values:
        """Where the pixels of each begin and end, [N, 2, 2], as shares; row before column."""
        ends = [(each.min(0), each.max(0) + 1) for each in self.pixels]
        return np.array(ends) / np.array(self.shape)

    def mask(self, chosen: Flags) -> Flags:
        """Pixels [H, W] of some objects."""
        mask = np.zeros(self.shape, bool)
        for index in np.flatnonzero(chosen):
            mask[tuple(self.pixels[index].T)] = True
        return mask

    def distance_m(self, landmarks: Flags, targets: Flags) -> Values:
        """Distance [N] of targets from pixel to pixel to the nearest landmark, themselves excepted.

        It is infinite for other objects.
        """
        found = np.full(len(self), np.inf)
        for index in np.flatnonzero(targets):
            others = landmarks.copy()
            others[index] = False
            found[index] = self._field(others)[tuple(self.pixels[index].T)].min()
        return found

    def _field(self, landmarks: Flags) -> Values:
        """Distance of each pixel [H, W] to landmarks, metres."""
        key = landmarks.tobytes()
        if key not in self._fields:
            mask = self.mask(landmarks)
            field = distance_transform_edt(~mask) if mask.any() else np.full(self.shape, np.inf)
            self._fields[key] = np.asarray(field * GSD_M, np.float64)
        return self._fields[key]

    def share_inside(self, landmarks: Flags) -> Values:
        """Share [N] of the pixels of each object inside landmarks, whose holes are filled."""
        mask = np.zeros(self.shape, bool)
        for index in np.flatnonzero(landmarks):
            mask |= binary_fill_holes(self.mask(np.arange(len(self)) == index))
        return np.array([mask[tuple(each.T)].mean() for each in self.pixels])

    def share_on(self, landmarks: Flags) -> Values:
        """Share [N] of the pixels of each object on landmarks.

        A hole in the landmarks counts if it has at most four times the pixels of the object.
        """
        mask = self.mask(landmarks)
        hole, _ = label(binary_fill_holes(mask) & ~mask)
        n_pixels = np.bincount(hole.ravel())
        share = np.zeros(len(self))
        for index, own in enumerate(self.pixels):
            here = hole[tuple(own.T)]
            is_own_hole = (here > 0) & (n_pixels[here] <= 4 * len(own))
            share[index] = (mask[tuple(own.T)] | is_own_hole).mean()
        return share

    def steps_from(self, landmarks: Flags) -> Values:
        """Step [N, 2] in pixels to each centroid from the nearest pixel of the nearest landmark."""
        owner = np.full(self.shape, -1)
        for index in np.flatnonzero(landmarks):
            owner[tuple(self.pixels[index].T)] = index
        field, nearest = distance_transform_edt(owner < 0, return_indices=True)
        steps = np.zeros((len(self), 2))
        for index, own in enumerate(self.pixels):
            row, col = own[field[tuple(own.T)].argmin()]
            landmark = self.pixels[owner[tuple(nearest[:, row, col])]] + 0.5
            offsets = self.centre[index] - landmark
            steps[index] = offsets[np.hypot(*offsets.T).argmin()]
        return steps

    def angle_between(self, first: Flags, second: Flags) -> Values:
        """Degrees [N], at each centroid, between the nearest pixels of two landmarks."""
        steps = []
        for landmarks in (first, second):
            pixels = np.argwhere(self.mask(landmarks)) + 0.5
            nearest = [
                pixels[np.hypot(*(pixels - centre).T).argmin()] - centre for centre in self.centre
            ]
            steps.append(np.array(nearest))
        one, other = steps
        lengths = np.maximum(np.hypot(*one.T) * np.hypot(*other.T), 1e-9)
        return np.degrees(np.arccos(np.clip((one * other).sum(1) / lengths, -1, 1)))


def _rectangle_px(pixels: NDArray[np.int_]) -> tuple[float, float]:
    """Length and width of the smallest rectangle about the squares of pixels."""
    corners = np.concatenate([pixels + step for step in ((0, 0), (0, 1), (1, 0), (1, 1))])
    points = corners[ConvexHull(corners).vertices].astype(float)
    edges = np.roll(points, -1, 0) - points
    angles = np.arctan2(edges[:, 1], edges[:, 0])
    along = np.stack([np.cos(angles), np.sin(angles)])
    across = np.stack([-np.sin(angles), np.cos(angles)])
    sizes = np.stack([np.ptp(points @ along, 0), np.ptp(points @ across, 0)])
    best = sizes[:, sizes.prod(0).argmin()]
    return float(best.max()), float(best.min())
