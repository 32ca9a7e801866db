"""Small labelled images of coloured rectangles."""

from collections.abc import Iterable

import numpy as np

from rrsis_geo.data.sample import Instance, LabelledImage

PAINT = {
    "white": (240, 240, 238),
    "black": (22, 22, 24),
    "gray": (140, 142, 144),
    "red": (190, 30, 32),
    "blue": (40, 80, 170),
    "green": (60, 150, 60),
    "yellow": (236, 205, 60),
}
GROUND = (120, 105, 85)


def block(
    category: str,
    row: int,
    col: int,
    height: int,
    width: int,
    paint: str = "white",
    **attributes: str,
) -> tuple[Instance, str]:
    """A rectangle and its colour."""
    box = (row, col, height, width)
    return Instance(category, box, np.ones((height, width), bool), attributes), paint


def labelled_blocks(
    blocks: Iterable[tuple[Instance, str]],
    *,
    complete: Iterable[str] = (),
    size: int = 100,
    false_colour: bool = False,
) -> LabelledImage:
    """An image of ground with blocks on it. Its border is green and blue."""
    image = np.full((size, size, 3), GROUND, np.uint8)
    image[:, :3], image[:, -3:] = PAINT["green"], PAINT["blue"]
    instances = []
    for instance, colour in blocks:
        row, col, height, width = instance.bbox
        image[row : row + height, col : col + width] = PAINT[colour]
        instances.append(instance)
    return LabelledImage(image, instances, frozenset(complete), 0.3, false_colour, "blocks")


def pixels_of(
    labelled_image: LabelledImage, *numbers: int
) -> np.ndarray[tuple[int, int], np.dtype]:
    """The mask of some of the blocks, bool [H, W]."""
    mask = np.zeros(labelled_image.image.shape[:2], bool)
    for number in numbers:
        row, col, height, width = labelled_image.instances[number].bbox
        mask[row : row + height, col : col + width] = labelled_image.instances[number].mask
    return mask
