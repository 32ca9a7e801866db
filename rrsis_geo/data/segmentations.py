"""COCO segmentations: polygons and run-length encodings (RLE), checked and made masks."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.errors import InputError

_MAX_MASK_PX: Final = 2**28
"""Most pixels of a mask. A larger size is a mistake or an attack on memory."""
_MAX_CORNER_PX: Final = 2**17
"""Largest coordinate of a polygon: pycocotools draws every point, even outside the image."""
_RUN_CHARACTERS: Final = 7
"""Most characters, of five bits each, of a run in a COCO RLE."""
_INVALID: Final = (ValueError, TypeError, KeyError, IndexError, OverflowError)


class _Runs(NamedTuple):
    """An RLE: lengths of the runs of background and target in turn, column by column."""

    shape: tuple[int, int]
    lengths: NDArray[np.int64]

    def mask(self) -> NDArray[np.bool_]:
        is_target = np.arange(len(self.lengths)) % 2 == 1
        return np.repeat(is_target, self.lengths).reshape(self.shape, order="F")


class _Polygon(NamedTuple):
    """A polygon of an image: x, y, x, y, ..."""

    shape: tuple[int, int]
    corners: list[float]

    def mask(self) -> NDArray[np.bool_]:
        from pycocotools import mask as coco_mask  # RLEs need it only to be written

        drawn = coco_mask.decode(coco_mask.frPyObjects([self.corners], *self.shape))
        return np.asarray(drawn[..., 0], np.bool_)


def decode_segmentation(
    segmentation: Any, shape: tuple[int, int] | None, where: str
) -> NDArray[np.bool_]:
    """Decode a COCO segmentation to the union of its parts, bool [H, W].

    Args:
        segmentation: an RLE (a dictionary of "size" and "counts", the latter a string or a list of
            numbers), a list of RLEs, a polygon [x, y, x, y, ...] or a list of polygons.
        shape: (height, width) of the image, needed for polygons and for RLEs without a size.
        where: description of the segmentation for messages.

    Raises:
        InputError: the segmentation has another form or is damaged.
    """
    try:
        parts = _parse(segmentation, shape)
    except _INVALID as err:
        raise InputError(f"{where}: the segmentation cannot be decoded: {err}") from err
    mask = np.zeros(parts[0].shape, np.bool_)
    for part in parts:
        mask |= part.mask()
    return mask


def has_size(segmentation: Any) -> bool:
    """Whether a segmentation tells the size of its mask, as RLEs do and polygons do not."""
    parts = segmentation if isinstance(segmentation, list) else [segmentation]
    return all(isinstance(part, dict) and "size" in part for part in parts)


def find_fault(segmentation: Any, shape: tuple[int, int]) -> str:
    """What is wrong with the segmentation of an image, "" if it can be decoded.

    Args:
        segmentation: see :func:`decode_segmentation`.
        shape: (height, width) of the image, and so of the mask.
    """
    try:
        parts = _parse(segmentation, shape)
    except _INVALID as err:
        return str(err)
    height, width = parts[0].shape
    if (height, width) != shape:
        return f"its mask is {width} x {height} pixels, the image {shape[1]} x {shape[0]}"
    return ""


def encode_mask(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Encode a mask, bool [H, W], as a COCO RLE for JSON."""
    from pycocotools import mask as coco_mask

    runs = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": [int(side) for side in mask.shape], "counts": runs["counts"].decode("ascii")}


def _parse(segmentation: Any, shape: tuple[int, int] | None) -> Sequence[_Runs | _Polygon]:
    """The parts of a segmentation, at least one, all of one size.

    Raises:
        ValueError, TypeError, KeyError, IndexError, OverflowError: it is not a segmentation.
    """
    items = segmentation if isinstance(segmentation, list) else [segmentation]
    if not items:
        raise ValueError("it is an empty list")
    if all(isinstance(item, int | float) for item in items):  # one polygon without its list
        items = [items]
    # A point or a line has no area, so the mask is the same without it.
    areas = [item for item in items if not (isinstance(item, list) and len(item) in (2, 4))]
    parts = [_parse_part(item, shape) for item in areas or items]
    if len({part.shape for part in parts}) > 1:
        raise ValueError("its parts are of different sizes")
    return parts


def _parse_part(part: Any, shape: tuple[int, int] | None) -> _Runs | _Polygon:
    if isinstance(part, dict):
        return _parse_rle(part, shape)
    if not isinstance(part, list):
        raise TypeError(f"expected an RLE or a polygon, got {type(part).__name__}")
    if shape is None:
        raise ValueError("polygons need the size of their image")
    if len(part) < 6 or len(part) % 2:
        raise ValueError(f"a polygon has {len(part)} numbers; it needs an even count of at least 6")
    corners = [float(value) for value in part]
    if not all(abs(value) <= _MAX_CORNER_PX for value in corners):
        raise ValueError("a polygon vertex is far outside the image")
    return _Polygon(shape, corners)


def _parse_rle(part: dict[str, Any], shape: tuple[int, int] | None) -> _Runs:
    size = part.get("size") or shape
    if size is None:
        raise ValueError("it has no size, and the size of its image is unknown")
    height, width = (int(value) for value in size)
    if min(height, width) < 1 or height * width > _MAX_MASK_PX:
        raise ValueError(f"its size is {height} x {width}")
    counts = part["counts"]
    if isinstance(counts, list):
        if not all(isinstance(count, int) for count in counts):
            raise TypeError("its runs are not whole numbers")
        if sum(counts) != height * width or min(counts) < 0:
            raise ValueError(f"its runs do not add up to {height} x {width}")
        return _Runs((height, width), np.array(counts, np.int64))
    if not isinstance(counts, str | bytes):
        raise TypeError(f'its "counts" are of type {type(counts).__name__}')
    coded = counts.encode("ascii") if isinstance(counts, str) else counts
    lengths = _decode_runs(np.frombuffer(coded, np.uint8), height * width)
    if lengths.sum() != height * width:
        raise ValueError(f"its runs do not add up to {height} x {width}")
    return _Runs((height, width), lengths)


def _decode_runs(characters: NDArray[np.uint8], most: int) -> NDArray[np.int64]:
    """Decode the string of an RLE to the lengths of its runs, each from 0 to ``most``.

    pycocotools, which defines the format, reads and writes beyond the end of a bad string, and
    leaves the rest of the mask uninitialized after a short one. A number has one to seven
    characters from "0" to "o". Each holds five bits of the number, the lowest first, and one bit
    that is set if another character follows. From the fourth on, a number is the difference to the
    last run of the same kind.

    Raises:
        ValueError: a character is invalid, or a number is too long, incomplete or out of range.
    """
    values = characters.astype(np.int64) - ord("0")
    if not values.size:
        return values
    if not (values.min() >= 0 and values.max() < 64):
        raise ValueError('its counts have characters outside "0" to "o"')
    ends = np.flatnonzero(values & 0x20 == 0)
    if not len(ends) or ends[-1] != values.size - 1:
        raise ValueError("its counts end in the middle of a number")
    starts = np.append(0, ends[:-1] + 1)
    sizes = ends - starts + 1
    if sizes.max() > _RUN_CHARACTERS:
        raise ValueError("a number in its counts is too long")
    shifts = 5 * (np.arange(values.size) - np.repeat(starts, sizes))
    numbers = np.add.reduceat((values & 0x1F) << shifts, starts)
    numbers -= np.where(values[ends] & 0x10, 1 << 5 * sizes, 0)  # the highest bit is the sign
    if np.abs(numbers).max() > most:
        raise ValueError("a run is longer than the mask")
    lengths = numbers
    for first in (1, 2):
        lengths[first::2] = np.cumsum(numbers[first::2])
    if lengths.min() < 0 or lengths.max() > most:
        raise ValueError("a run is longer than the mask or negative")
    return lengths
