"""The objects of one category in an image, with the measurements that expressions use."""

from collections.abc import Iterable
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.data.expressions.colours import COLOURS, colour_shares, measure_brightness
from rrsis_geo.data.sample import Instance, LabelledImage
from rrsis_geo.text.vocabulary import kinds_of, wider_than

CUT: Final = "cut"
"""Attribute of an instance that a crop cuts. Its value is :data:`SLIVER` or "edge"."""
SLIVER: Final = "sliver"
"""Too little of the object is left to refer to it. Its pixels still belong to "all of them"."""
OUTLINE: Final = "outline"
"""Attribute of an instance. If its value is "box", the mask is the object's bounding box."""

Verdicts = NDArray[np.int8]
"""int8 [n]: :data:`FITS`, :data:`FAILS` or :data:`UNCLEAR` for each object."""
FITS: Final = 1
FAILS: Final = 0
UNCLEAR: Final = -1

_COLOUR_NAMES: Final = {"grey": "gray", "silver": "gray", "dark": "black", "cyan": "turquoise"}


class Candidates:
    """All objects of a category and of its kinds in one labelled image.

    Attributes:
        category: the category that the expression names.
        items: the objects.
        shape: (height, width) of the image, pixels.
    """

    def __init__(self, labelled_image: LabelledImage, category: str) -> None:
        kinds = kinds_of(category)
        self.category = category
        self.items = [item for item in labelled_image.instances if item.category in kinds]
        self.shape: tuple[int, int] = (labelled_image.image.shape[0], labelled_image.image.shape[1])
        self._image = labelled_image.image

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def boxes(self) -> NDArray[np.float64]:
        """(top, left, bottom, right) as fractions of the image's height and width, [n, 4]."""
        height, width = self.shape
        boxes = np.array([item.bbox for item in self.items], np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        scaled: NDArray[np.float64] = boxes / np.array([height, width, height, width])
        return scaled

    @cached_property
    def areas(self) -> NDArray[np.float64]:
        """Pixels of each object, [n]."""
        return np.array([np.count_nonzero(item.mask) for item in self.items], np.float64)

    @cached_property
    def centroids(self) -> NDArray[np.float64]:
        """(row, col) of each centroid as fractions of the image's height and width, [n, 2]."""
        out = np.empty((len(self.items), 2))
        height, width = self.shape
        for index, item in enumerate(self.items):
            rows = item.mask.sum(1)
            cols = item.mask.sum(0)
            total = max(int(rows.sum()), 1)
            out[index, 0] = (item.bbox[0] + rows @ np.arange(len(rows)) / total + 0.5) / height
            out[index, 1] = (item.bbox[1] + cols @ np.arange(len(cols)) / total + 0.5) / width
        return out

    @cached_property
    def is_sliver(self) -> NDArray[np.bool_]:
        """Which objects are cut to a sliver, [n]."""
        return np.array([item.attributes.get(CUT) == SLIVER for item in self.items], bool)

    @cached_property
    def touches_border(self) -> NDArray[np.bool_]:
        """Which objects touch the image's border, so their size is unknown, [n]."""
        touching = np.hstack([self.boxes[:, :2] <= 0, self.boxes[:, 2:] >= 1])
        return np.asarray(touching.any(1), bool)

    @cached_property
    def has_outline(self) -> NDArray[np.bool_]:
        """Which objects have an outline, so their areas can be compared, [n]."""
        return np.array([item.attributes.get(OUTLINE) != "box" for item in self.items], bool)

    @cached_property
    def colours(self) -> NDArray[np.float32]:
        """Fraction of each object's pixels in each colour, [n, len(COLOURS) + 2]."""
        shares = np.zeros((len(self.items), len(COLOURS) + 2), np.float32)
        brightness = measure_brightness(self._image)
        for index, item in enumerate(self.items):
            colour = item.attributes.get("colour")
            if colour is None:
                shares[index] = colour_shares(
                    self._image,
                    item.mask,
                    item.bbox,
                    is_box=item.attributes.get(OUTLINE) == "box",
                    brightness=brightness,
                )
                continue
            colour = _COLOUR_NAMES.get(colour, colour)
            if colour in COLOURS:
                shares[index, COLOURS.index(colour)] = 1
        return shares

    def share_inside(self, index: int, zone: tuple[float, float, float, float]) -> float:
        """Fraction of an object's pixels inside a zone.

        Args:
            index: number of the object.
            zone: (top, left, bottom, right) as fractions of the image's height and width.
        """
        height, width = self.shape
        row, col, _, _ = self.items[index].bbox
        top, left, bottom, right = (
            round(zone[0] * height) - row,
            round(zone[1] * width) - col,
            round(zone[2] * height) - row,
            round(zone[3] * width) - col,
        )
        if bottom <= 0 or right <= 0:
            return 0.0
        part = self.items[index].mask[max(top, 0) : bottom, max(left, 0) : right]
        return float(np.count_nonzero(part) / max(self.areas[index], 1))

    def union(self, chosen: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
        """The pixels of the chosen objects, bool [H, W]. None chooses all objects."""
        items: Iterable[Instance] = (
            self.items
            if chosen is None
            else (item for item, keep in zip(self.items, chosen, strict=True) if keep)
        )
        return union_mask(items, self.shape)


def union_mask(items: Iterable[Instance], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels of all instances, bool [H, W]."""
    mask = np.zeros(shape, bool)
    for item in items:
        row, col, height, width = item.bbox
        mask[row : row + height, col : col + width] |= item.mask
    return mask


def referable_categories(labelled_image: LabelledImage) -> list[str]:
    """Categories that an expression can name: the labels and the categories above them, sorted."""
    labels = {item.category for item in labelled_image.instances}
    wider = {wider for label in labels for wider in wider_than(label)}
    return sorted((labels | wider) - labelled_image.unclear)
