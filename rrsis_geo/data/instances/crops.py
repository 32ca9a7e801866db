"""Square crops of labelled images: cropped, scaled, mirrored and rotated with their masks.

Expressions are written about the crop, so they are true of what the crop shows.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from rrsis_geo.data.expressions.candidates import CUT, SLIVER
from rrsis_geo.data.expressions.traits import GROUND
from rrsis_geo.data.sample import Instance, LabelledImage

_MIN_SHARE: Final = 0.25
"""An object is a sliver if less than this fraction of it is left ..."""
_RECOGNIZABLE_SHARE: Final = 0.02
"""... unless the rest fills this fraction of the crop."""
MIN_PIXELS: Final = 12
"""An object with fewer pixels is always a sliver."""


class CropBox(NamedTuple):
    """A rectangle of an image, in pixels."""

    row: int
    col: int
    height: int
    width: int


def plan_crop(
    labelled_image: LabelledImage,
    rng: np.random.Generator,
    size_px: int,
    *,
    scale_range: tuple[float, float] = (0.5, 2.0),
    gsd_range_m: tuple[float, float] | None = None,
    around: Instance | None = None,
) -> CropBox:
    """Choose a random square of an image.

    Args:
        labelled_image: the image.
        rng: source of all randomness.
        size_px: side of the scaled crop.
        scale_range: pixels of the image per pixel of the crop, drawn log-uniformly. Small images
            lower it.
        gsd_range_m: range for the ground sample distance of the crop. It applies if that of the
            image is known, within ``scale_range``.
        around: an object whose centre the crop must contain.
    """
    height, width = labelled_image.image.shape[:2]
    low, high = scale_range
    if gsd_range_m is not None and labelled_image.gsd_m is not None:
        low = min(max(low, gsd_range_m[0] / labelled_image.gsd_m), high)
        high = max(min(high, gsd_range_m[1] / labelled_image.gsd_m), low)
    high = min(high, min(height, width) / size_px)
    low = min(low, high)
    side = max(1, int(size_px * np.exp(rng.uniform(np.log(low), np.log(high)))))
    if around is None:
        top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        return CropBox(top, left, side, side)
    row, col, tall, wide = around.bbox
    margin = 0.1 * side
    row_px = row + tall / 2 - rng.uniform(margin, side - margin)
    col_px = col + wide / 2 - rng.uniform(margin, side - margin)
    top, left = int(np.clip(row_px, 0, height - side)), int(np.clip(col_px, 0, width - side))
    return CropBox(top, left, side, side)


def crop_labelled(
    labelled_image: LabelledImage,
    rng: np.random.Generator,
    size_px: int,
    box: CropBox,
    *,
    turn: bool = True,
    jitter: bool = True,
) -> LabelledImage:
    """Crop a rectangle from a labelled image, and scale it to [size_px, size_px].

    An object cut to a sliver stays, with the attribute "cut". It belongs to "all of them", but no
    other expression refers to it. An object without pixels in the crop is dropped.

    Args:
        labelled_image: the image.
        rng: source of all randomness.
        size_px: side of the result, pixels.
        box: the rectangle, for example from :func:`plan_crop`. A whole image is squashed.
        turn: mirror and rotate by quarter turns at random.
        jitter: change brightness, contrast and saturation a little. Colours keep their names.
    """
    mirror, turns = (bool(rng.random() < 0.5), int(rng.integers(4))) if turn else (False, 0)
    piece = labelled_image.image[box.row : box.row + box.height, box.col : box.col + box.width]
    picture = Image.fromarray(piece)
    if (box.height, box.width) != (size_px, size_px):
        picture = picture.resize((size_px, size_px), Image.Resampling.BILINEAR)
    if jitter:
        picture = jitter_light(picture, rng)
    image = np.asarray(_flip_rotate_picture(picture, mirror, turns))
    instances, rough = (
        [
            _flip_rotate_instance(item, size_px, mirror, turns)
            for item in _crop_instances(items, box, size_px)
        ]
        for items in (labelled_image.instances, labelled_image.rough)
    )
    gsd_m = labelled_image.gsd_m
    if gsd_m is not None:
        gsd_m *= (box.height * box.width) ** 0.5 / size_px
    return replace(labelled_image, image=image, instances=instances, rough=rough, gsd_m=gsd_m)


def _crop_instances(
    instances: Iterable[Instance], box: CropBox, size_px: int
) -> Iterable[Instance]:
    """Crop and scale the objects (nearest neighbour)."""
    steps = (np.arange(size_px) + 0.5) / size_px
    rows = box.row + (steps * box.height).astype(np.intp)
    cols = box.col + (steps * box.width).astype(np.intp)
    for item in instances:
        row, col, height, width = item.bbox
        first_row, stop_row = np.searchsorted(rows, (row, row + height))
        first_col, stop_col = np.searchsorted(cols, (col, col + width))
        if first_row == stop_row or first_col == stop_col:
            continue
        mask = item.mask[(rows[first_row:stop_row] - row)[:, None], cols[first_col:stop_col] - col]
        if not mask.any():
            continue
        bbox, mask = shrink_box(mask, int(first_row), int(first_col))
        visible = Instance(item.category, bbox, mask, item.attributes)
        yield mark_cut(visible, _visible_fraction(item, box), size_px)


def mark_cut(item: Instance, share: float, size_px: int) -> Instance:
    """Set the attribute "cut" of an object of which a crop shows only a part.

    Args:
        item: the visible part of the object.
        share: fraction of the object that is visible.
        size_px: side of the crop, pixels.
    """
    if _is_sliver(item, share, int(np.count_nonzero(item.mask)), size_px):
        return replace(item, attributes={**item.attributes, CUT: SLIVER})
    if share < 0.95:
        return replace(item, attributes={**item.attributes, CUT: "edge"})
    return item


def _is_sliver(item: Instance, share: float, n_pixels: int, size_px: int) -> bool:
    if item.attributes.get(CUT) == SLIVER or n_pixels < MIN_PIXELS:
        return True
    few = n_pixels < _RECOGNIZABLE_SHARE * size_px**2
    if item.category in GROUND:
        return n_pixels < 0.1 * _RECOGNIZABLE_SHARE * size_px**2
    return share < _MIN_SHARE and few


def _visible_fraction(item: Instance, box: CropBox) -> float:
    """Fraction of an object's pixels inside a crop."""
    row, col, height, width = item.bbox
    top, left = max(box.row - row, 0), max(box.col - col, 0)
    bottom, right = box.row + box.height - row, box.col + box.width - col
    if not top and not left and bottom >= height and right >= width:
        return 1.0
    inside = np.count_nonzero(item.mask[top:bottom, left:right])
    return int(inside) / max(int(np.count_nonzero(item.mask)), 1)


def shrink_box(
    mask: NDArray[np.bool_], row: int, col: int
) -> tuple[tuple[int, int, int, int], NDArray[np.bool_]]:
    """The smallest box around the pixels of a mask, and the mask inside it.

    Args:
        mask: bool [h, w] with at least one pixel.
        row: row of the mask's first pixel in the image.
        col: column of the mask's first pixel in the image.
    """
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(cols[0]), int(cols[-1]) + 1
    bbox = (row + top, col + left, bottom - top, right - left)
    return bbox, mask[top:bottom, left:right]


# --- mirror and rotate ---

_Pixel = TypeVar("_Pixel", bound=np.generic)


def flip_rotate(array: NDArray[_Pixel], mirror: bool, turns: int) -> NDArray[_Pixel]:
    """Mirror left to right, then rotate counter-clockwise by quarter turns, [H, W, ...]."""
    flipped = array[:, ::-1] if mirror else array
    return np.ascontiguousarray(np.rot90(flipped, turns))


def _flip_rotate_picture(picture: Image.Image, mirror: bool, turns: int) -> Image.Image:
    """The same as :func:`flip_rotate`, in a quarter of its time for pictures in colour."""
    if mirror:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    turn = _TURNS[turns % 4]
    return picture if turn is None else picture.transpose(turn)


_TURNS: Final = (
    None,
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_180,
    Image.Transpose.ROTATE_270,
)
"""Number of quarter turns, counter-clockwise -> the name that Pillow gives them."""


def _flip_rotate_instance(item: Instance, size_px: int, mirror: bool, turns: int) -> Instance:
    row, col, height, width = item.bbox
    if mirror:
        col = size_px - col - width
    for _ in range(turns):
        row, col, height, width = size_px - col - width, row, width, height
    mask = flip_rotate(item.mask, mirror, turns)
    return Instance(item.category, (row, col, height, width), mask, item.attributes)


def jitter_light(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Change gain, gamma, contrast, tint and saturation of an RGB picture at random."""
    gain = float(np.exp(rng.normal(0, 0.08)))
    gamma = float(np.exp(rng.normal(0, 0.1)))
    pivot = rng.uniform(0.3, 0.6)
    contrast = float(np.exp(rng.normal(0, 0.08)))
    levels = np.arange(256) / 255
    tables = []
    for tint in np.exp(rng.normal(0, 0.015, 3)):
        curve = (levels**gamma * gain * tint - pivot) * contrast + pivot
        tables.append(np.clip(np.rint(curve * 255), 0, 255).astype(int))
    picture = picture.point(np.concatenate(tables).tolist())
    return ImageEnhance.Color(picture).enhance(float(np.exp(rng.normal(0, 0.1))))


def with_false_colours(labelled_image: LabelledImage, rng: np.random.Generator) -> LabelledImage:
    """Show an image in the colours of an infrared camera, so that expressions name no colours.

    Near infrared is estimated: vegetation is bright in it, and other things are as bright as in the
    visible bands. Most images show (infrared, red, green) or (red, infrared, green), as maps do.
    """
    red, green, blue = np.moveaxis(labelled_image.image.astype(np.float32), 2, 0)
    greenness = np.clip((2 * green - red - blue) / rng.uniform(20, 60), 0, 1)
    infrared = (red + green + blue) / 3 * rng.uniform(0.7, 1.2) + greenness * rng.uniform(60, 150)
    bands = [infrared, red, green] if rng.random() < 0.6 else [red, infrared, green]
    if rng.random() < 0.2:
        bands = [bands[index] for index in rng.permutation(3)]
    image = np.clip(np.stack(bands, 2), 0, 255).astype(np.uint8)
    return replace(labelled_image, image=image, false_colour=True)
