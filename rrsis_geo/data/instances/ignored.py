"""Which pixels of a partly labelled image may or may not belong to a target."""

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.data.expressions.candidates import union_mask
from rrsis_geo.data.expressions.traits import can_be
from rrsis_geo.data.expressions.writer import fully_labelled_categories
from rrsis_geo.data.sample import Instance, LabelledImage
from rrsis_geo.text.vocabulary import kinds_of

RING_SHARE: Final = 0.1
"""Width of the known ring around an object, as a share of the root of its area. With 0.15 it would
cover much of the unlabelled neighbours in rows of parked buses."""
MIN_RING_PX: Final = 2


def ignored_pixels(
    labelled_image: LabelledImage, category: str, target: NDArray[np.bool_]
) -> NDArray[np.bool_] | None:
    """The pixels that may or may not belong to the target, bool [H, W]; None if there are none.

    If the category is fully labelled, or the image is not partly labelled, everything outside the
    target is known, except objects of which only a box is known and that can be of the category.
    Otherwise an unlabelled object can be anywhere. Known are then the target, the labelled objects
    and a ring around each.

    Args:
        labelled_image: the image.
        category: category that the expression names.
        target: bool [H, W], the target.
    """
    if not labelled_image.partly_labelled and not labelled_image.rough:
        return None
    shape = target.shape
    unclear = [item for item in labelled_image.rough if can_be(item.category, category)]
    known: NDArray[np.bool_] = np.ones(shape, bool)
    if labelled_image.partly_labelled and category not in fully_labelled_categories(labelled_image):
        clear: list[Instance] = []
        for item in labelled_image.instances:
            is_kind = item.category in kinds_of(category)
            is_clear = is_kind or not can_be(item.category, category)
            (clear if is_clear else unclear).append(item)
        known = _objects_with_rings(clear, shape)
    known &= ~union_mask(unclear, shape)
    known |= target
    return None if known.all() else ~known


def _objects_with_rings(items: Iterable[Instance], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels of objects and of a ring around each, bool [H, W]."""
    height, width = shape
    covered = np.zeros(shape, bool)
    for item in items:
        ring = max(MIN_RING_PX, round(RING_SHARE * np.count_nonzero(item.mask) ** 0.5))
        grown = grow_rows(grow_rows(item.mask, ring).T, ring).T
        top, left = item.bbox[0] - ring, item.bbox[1] - ring
        bottom, right = min(top + grown.shape[0], height), min(left + grown.shape[1], width)
        part = grown[max(-top, 0) : bottom - top, max(-left, 0) : right - left]
        covered[max(top, 0) : bottom, max(left, 0) : right] |= part
    return covered


def grow_rows(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """Grow a mask up and down, bool [h, w] -> [h + 2 pixels, w]; transpose it for the sides."""
    window = 2 * pixels + 1
    counts = np.pad(mask, ((window, window - 1), (0, 0))).cumsum(0, np.int32)
    grown: NDArray[np.bool_] = counts[window:] > counts[:-window]
    return grown
