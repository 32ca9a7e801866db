"""Images, masks, lists and paths: what the files of every data set have in common.

Images are read by Pillow alone, so that training needs no raster library.
"""

import io
import struct
from pathlib import Path, PureWindowsPath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from rrsis_geo.errors import InputError

_DAMAGED: Final = (
    OSError,
    SyntaxError,  # Pillow's word for a broken PNG
    ValueError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
)
_MAX_MASK_PX: Final = 2**28
"""No image of a data set has as many pixels: such a size is a slip, or an attack on memory."""
_MAX_CORNER_PX: Final = 2**17
"""Outlines are drawn point by point, also where nobody sees them."""
_RUN_CHARACTERS: Final = 7
"""Of five bits each, the most that a run of a COCO RLE takes."""


def read_image(path: Path, content: bytes | None = None) -> NDArray[np.uint8]:
    """An image file as uint8 RGB [H, W, 3]; grey, palette and RGBA images become RGB.

    Args:
        path: of the file.
        content: the bytes of the file where they are at hand; the path then only names them.

    Raises:
        InputError: the file is missing or damaged, or has more than 8 bits a band.
    """
    try:
        with Image.open(path if content is None else io.BytesIO(content)) as file:
            if not _is_deep(file):
                return np.array(file.convert("RGB"))
    except FileNotFoundError as err:
        raise InputError(f"{path}: no such image") from err
    except _DAMAGED as err:
        raise InputError(f"{path}: cannot be read as an image: {err}") from err
    raise InputError(
        f"{path}: has more than 8 bits a band, and nothing says how to stretch them; convert it "
        'to 8 bits first, as with "gdal_translate -ot Byte -scale"'
    )


def read_mask(path: Path, threshold: int = 0, content: bytes | None = None) -> NDArray[np.bool_]:
    """A mask file as bool [H, W]: the pixels above ``threshold`` in any of their colours.

    Args:
        path: of the file.
        threshold: the greatest value that is not the target.
        content: the bytes of the file where they are at hand; the path then only names them.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        with Image.open(path if content is None else io.BytesIO(content)) as file:
            # A palette's numbers are names, not values; and alpha says nothing of the target.
            if file.mode == "LA":
                values = np.array(file.getchannel("L"))
            elif file.mode in ("1", "L", "I", "F") or file.mode.startswith("I;16"):
                values = np.array(file)
            else:
                values = np.array(file.convert("RGB")).max(2)
    except FileNotFoundError as err:
        raise InputError(f"{path}: no such mask") from err
    except _DAMAGED as err:
        raise InputError(f"{path}: cannot be read as a mask: {err}") from err
    above: NDArray[np.bool_] = values if values.dtype == bool else values > threshold
    return above


def _is_deep(file: Image.Image) -> bool:
    """Whether a band has more than 8 bits; Pillow silently drops those of 16-bit RGB files."""
    if file.mode in ("I", "F") or file.mode.startswith("I;16"):
        return True
    return any(";16" in str(tile[3]) for tile in getattr(file, "tile", ()))


def decode_segmentation(
    segmentation: Any, shape: tuple[int, int] | None, where: str
) -> NDArray[np.bool_]:
    """A COCO segmentation as bool [H, W]; where parts overlap, they are joined.

    Args:
        segmentation: an RLE (a dictionary of "size" and "counts", the latter a string or a list of
            numbers), a list of RLEs, or a list of polygons [x, y, x, y, ...].
        shape: (height, width) on which polygons are drawn; RLEs bring their own.
        where: names the segmentation in messages.

    Raises:
        InputError: it is none of these, or is damaged.
    """
    parts = segmentation if isinstance(segmentation, list) else [segmentation]
    try:
        if not parts:
            raise ValueError("it is an empty list")
        runs = [_as_runs(part, shape) for part in parts]
        if len({tuple(item["size"]) for item in runs}) > 1:
            raise ValueError("its parts are of different sizes")
        mask = np.zeros(tuple(runs[0]["size"]), np.bool_)
        for item in runs:
            mask |= coco_mask.decode([item])[..., 0].astype(bool)
        return mask
    except (ValueError, TypeError, KeyError, IndexError, OverflowError) as err:
        raise InputError(f"{where}: the segmentation cannot be decoded: {err}") from err


def _as_runs(part: Any, shape: tuple[int, int] | None) -> Any:
    """One polygon or RLE as the compressed RLE of pycocotools."""
    if isinstance(part, list):
        if shape is None:
            raise ValueError("polygons need the size of their image")
        if len(part) < 6 or len(part) % 2:
            raise ValueError(f"a polygon of {len(part)} numbers; it takes an even number from 6")
        corners = [float(value) for value in part]
        if not all(abs(value) <= _MAX_CORNER_PX for value in corners):
            raise ValueError("a corner of a polygon is far outside the image")
        return coco_mask.frPyObjects([corners], *shape)[0]
    if not isinstance(part, dict):
        raise TypeError(f"expected an RLE or a polygon, got {type(part).__name__}")
    height, width = (int(value) for value in part["size"])
    if min(height, width) < 1 or height * width > _MAX_MASK_PX:
        raise ValueError(f"its size is {height} x {width}")
    counts = part["counts"]
    if isinstance(counts, list):
        if sum(counts) != height * width or min(counts) < 0:
            raise ValueError(f"its runs do not add up to {height} x {width}")
        return coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    if not isinstance(counts, str | bytes):
        raise TypeError(f'its "counts" are of type {type(counts).__name__}')
    coded = counts.encode("ascii") if isinstance(counts, str) else counts
    _check_runs(coded)
    return {"size": [height, width], "counts": coded}


def _check_runs(coded: bytes) -> None:
    """Refuse an RLE string that pycocotools would read on beyond its end, and so write too.

    A number is one to seven characters from "0" to "o", each with five of its bits and one that
    says whether another follows; the last character of all must say that none does.
    """
    values = np.frombuffer(coded, np.uint8).astype(np.int16) - ord("0")
    if values.size and not (values.min() >= 0 and values.max() < 64):
        raise ValueError('its runs hold other characters than "0" to "o"')
    ends = np.flatnonzero(values & 0x20 == 0)
    if values.size and (not len(ends) or ends[-1] != values.size - 1):
        raise ValueError("its runs end in the middle of a number")
    if np.diff(ends, prepend=-1).max(initial=0) > _RUN_CHARACTERS:
        raise ValueError("a run is too long a number")


def encode_mask(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """A mask, bool [H, W], as a COCO RLE that JSON can hold."""
    runs = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": [int(side) for side in mask.shape], "counts": runs["counts"].decode("ascii")}


def path_inside(folder: Path, name: object, where: str) -> Path:
    """The path of a file that a data set names, which must lie in its folder.

    Links may lead out of it, names may not: a list of files can come from anybody.

    Raises:
        InputError: the name is absolute or climbs out of the folder, or is no name.
    """
    if not isinstance(name, str) or not name or "\0" in name:
        raise InputError(f"{where}: expected the name of a file, got {name!r}")
    parts = PureWindowsPath(name)  # knows drives and both slashes
    if parts.anchor or ".." in parts.parts:
        raise InputError(f"{where}: {name!r} leads out of {folder}; name files inside it")
    return folder / name


def read_lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a UTF-8 text file that are not blank, each with its number from 1.

    Raises:
        InputError: the file cannot be read as text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as err:
        raise InputError(f"{path}: no such file") from err
    except (OSError, UnicodeDecodeError) as err:
        raise InputError(f"{path}: cannot be read as text: {err}") from err
    # Not str.splitlines: it would also split expressions at rarer signs, such as U+2028.
    return [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def read_phrases(path: Path) -> list[tuple[str, str, str]]:
    """The (name, expression, where) of each line of a list: name, first blank, expression.

    Raises:
        InputError: the file cannot be read, or a line has no expression.
    """
    phrases = []
    for number, line in read_lines(path):
        where = f"{path}, line {number}"
        name, _, expression = line.strip().partition(" ")
        if not expression.strip():
            raise InputError(f'{where}: expected "<name> <expression>", got {line.strip()!r}')
        phrases.append((name, expression.strip(), where))
    return phrases
