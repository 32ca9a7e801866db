"""Readers of image, mask and text files of datasets.

Images are read with Pillow, because training needs no raster library.
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
    SyntaxError,  # raised by Pillow for a broken PNG
    ValueError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
)
_MAX_MASK_PX: Final = 2**28
"""Most pixels of a mask. A larger size is a mistake or an attack on memory."""
_MAX_CORNER_PX: Final = 2**17
"""Largest coordinate of a polygon: pycocotools draws every point, even outside the image."""
_RUN_CHARACTERS: Final = 7
"""Most characters, of five bits each, of a run in a COCO RLE."""


def read_image(path: Path, content: bytes | None = None) -> NDArray[np.uint8]:
    """Read an image file as uint8 RGB [H, W, 3]. Gray, palette and RGBA images become RGB.

    Args:
        path: path of the file.
        content: bytes of the file. If given, the path is only used in messages.

    Raises:
        InputError: the file is missing or damaged, or has more than 8 bits per band.
    """
    try:
        with Image.open(path if content is None else io.BytesIO(content)) as file:
            if not _has_more_than_8_bits(file):
                return np.array(file.convert("RGB"))
    except FileNotFoundError as err:
        raise InputError(f"{path}: no such image") from err
    except _DAMAGED as err:
        raise InputError(f"{path}: cannot be read as an image: {err}") from err
    raise InputError(
        f"{path}: has more than 8 bits per band; convert it to 8 bits first, for example with "
        '"gdal_translate -ot Byte -scale"'
    )


def read_mask(path: Path, threshold: int = 0, content: bytes | None = None) -> NDArray[np.bool_]:
    """Read a mask file as bool [H, W]: pixels above ``threshold`` in any colour band.

    Args:
        path: path of the file.
        threshold: the greatest value of the background.
        content: bytes of the file. If given, the path is only used in messages.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        with Image.open(path if content is None else io.BytesIO(content)) as file:
            # Indices of a palette are not values, and alpha does not mark the target.
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


def _has_more_than_8_bits(file: Image.Image) -> bool:
    """Whether a band has more than 8 bits. Pillow silently truncates 16-bit RGB files."""
    if file.mode in ("I", "F") or file.mode.startswith("I;16"):
        return True
    return any(";16" in str(tile[3]) for tile in getattr(file, "tile", ()))


def decode_segmentation(
    segmentation: Any, shape: tuple[int, int] | None, where: str
) -> NDArray[np.bool_]:
    """Decode a COCO segmentation to the union of its parts, bool [H, W].

    Args:
        segmentation: an RLE (a dictionary of "size" and "counts", the latter a string or a list of
            numbers), a list of RLEs, or a list of polygons [x, y, x, y, ...].
        shape: (height, width) of the image, needed for polygons.
        where: description of the segmentation for messages.

    Raises:
        InputError: the segmentation has another form or is damaged.
    """
    parts = segmentation if isinstance(segmentation, list) else [segmentation]
    try:
        if not parts:
            raise ValueError("it is an empty list")
        runs = [_to_rle(part, shape) for part in parts]
        if len({tuple(item["size"]) for item in runs}) > 1:
            raise ValueError("its parts are of different sizes")
        mask = np.zeros(tuple(runs[0]["size"]), np.bool_)
        for item in runs:
            mask |= coco_mask.decode([item])[..., 0].astype(bool)
        return mask
    except (ValueError, TypeError, KeyError, IndexError, OverflowError) as err:
        raise InputError(f"{where}: the segmentation cannot be decoded: {err}") from err


def _to_rle(part: Any, shape: tuple[int, int] | None) -> Any:
    """Convert a polygon or an RLE to a compressed RLE of pycocotools."""
    if isinstance(part, list):
        if shape is None:
            raise ValueError("polygons need the size of their image")
        if len(part) < 6 or len(part) % 2:
            raise ValueError(
                f"a polygon has {len(part)} numbers; it needs an even count of at least 6"
            )
        corners = [float(value) for value in part]
        if not all(abs(value) <= _MAX_CORNER_PX for value in corners):
            raise ValueError("a polygon vertex is far outside the image")
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
    _check_rle(coded)
    return {"size": [height, width], "counts": coded}


def _check_rle(coded: bytes) -> None:
    """Check an RLE string, because pycocotools would read and write beyond the end of a bad one.

    A number has one to seven characters from "0" to "o". Each character holds five bits of the
    number and one bit that is set if another character follows.

    Raises:
        ValueError: a character is invalid, or a number is too long or incomplete.
    """
    values = np.frombuffer(coded, np.uint8).astype(np.int16) - ord("0")
    if values.size and not (values.min() >= 0 and values.max() < 64):
        raise ValueError('its counts have characters outside "0" to "o"')
    ends = np.flatnonzero(values & 0x20 == 0)
    if values.size and (not len(ends) or ends[-1] != values.size - 1):
        raise ValueError("its counts end in the middle of a number")
    if np.diff(ends, prepend=-1).max(initial=0) > _RUN_CHARACTERS:
        raise ValueError("a number in its counts is too long")


def encode_mask(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Encode a mask, bool [H, W], as a COCO RLE for JSON."""
    runs = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": [int(side) for side in mask.shape], "counts": runs["counts"].decode("ascii")}


def path_inside(folder: Path, name: object, where: str) -> Path:
    """The path of a file that a dataset names. The file must lie inside the dataset's folder.

    Symbolic links are followed, but a name cannot leave the folder, because lists of files can come
    from untrusted sources.

    Raises:
        InputError: the name is absolute or leaves the folder, or is not a file name.
    """
    if not isinstance(name, str) or not name or "\0" in name:
        raise InputError(f"{where}: expected a file name, got {name!r}")
    parts = PureWindowsPath(name)  # handles drives and both slashes
    if parts.anchor or ".." in parts.parts:
        raise InputError(f"{where}: {name!r} is outside of {folder}; use a path inside it")
    return folder / name


def read_lines(path: Path) -> list[tuple[int, str]]:
    """Read the non-blank lines of a UTF-8 text file as (line number from 1, line).

    Raises:
        InputError: the file cannot be read as text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as err:
        raise InputError(f"{path}: no such file") from err
    except (OSError, UnicodeDecodeError) as err:
        raise InputError(f"{path}: cannot be read as text: {err}") from err
    # str.splitlines would also split expressions at characters such as U+2028.
    return [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def read_phrases(path: Path) -> list[tuple[str, str, str]]:
    """Read a list of lines "<name> <expression>" as (name, expression, description of the line).

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
