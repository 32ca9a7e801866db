"""Readers of image, mask and text files of datasets.

Images are read with Pillow, because training needs no raster library. Images and masks are read as
viewers show them: upright, if EXIF data say that the file stores them turned.
"""

import io
import logging
import struct
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from rrsis_geo.errors import InputError

logger = logging.getLogger(__name__)

_DAMAGED: Final = (
    OSError,
    SyntaxError,  # raised by Pillow for a broken PNG
    ValueError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
)
_TURN: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what turns the stored image upright."""


def read_image(path: Path, content: bytes | None = None) -> NDArray[np.uint8]:
    """Read an image file as uint8 RGB [H, W, 3]. Gray, palette and RGBA images become RGB.

    An image of more than 8 bits per band is refused: a stretch chosen for each image alone would
    give one ground different colours, and only the user knows the range of all images.

    Args:
        path: path of the file.
        content: bytes of the file. If given, the path is only used in messages.

    Raises:
        InputError: the file is missing or damaged, or has more than 8 bits per band.
    """
    try:
        with Image.open(_source(path, content)) as file:
            if not _has_more_than_8_bits(file):
                return np.array(_turn_upright(file).convert("RGB"))
    except FileNotFoundError as err:
        raise InputError(f"{path}: no such image") from err
    except _DAMAGED as err:
        raise InputError(f"{path}: cannot be read as an image: {err}") from err
    raise InputError(
        f"{path}: has more than 8 bits per band; convert all images to 8 bits with the same range, "
        'for example with "gdal_translate -ot Byte -scale 0 4000 0 255"'
    )


def read_mask(path: Path, threshold: int = 0, content: bytes | None = None) -> NDArray[np.bool_]:
    """Read a mask file as bool [H, W]: pixels above ``threshold`` in any colour band.

    A file of the values 0 and 1 is a mask too, whatever the threshold.

    Args:
        path: path of the file.
        threshold: the greatest value of the background.
        content: bytes of the file. If given, the path is only used in messages.

    Raises:
        InputError: the file is missing or damaged, or its values are neither 0 and 1 nor above the
            threshold.
    """
    try:
        with Image.open(_source(path, content)) as file:
            image = _turn_upright(file)
            # Indices of a palette are not values, and alpha does not mark the target.
            if image.mode == "LA":
                values = np.array(image.getchannel("L"))
            elif image.mode in ("1", "L", "I", "F") or image.mode.startswith("I;16"):
                values = np.array(image)
            else:
                values = np.array(image.convert("RGB")).max(2)
    except FileNotFoundError as err:
        raise InputError(f"{path}: no such mask") from err
    except _DAMAGED as err:
        raise InputError(f"{path}: cannot be read as a mask: {err}") from err
    if values.dtype == bool:
        return values
    greatest = values.max()
    if 1 < greatest <= threshold:
        found = [f"{value:g}" for value in np.unique(values)]
        raise InputError(
            f"{path}: not a mask, its values are {', '.join(found[:8])}"
            f"{', ...' if len(found) > 8 else ''}; write 0 and 255, or 0 and 1"
        )
    above: NDArray[np.bool_] = values > (0 if greatest == 1 else threshold)
    return above


def check_files(paths: Sequence[Path], name: str) -> None:
    """Check that every file of a dataset exists, before work that takes hours.

    Files are not opened. A damaged file raises when it is read.

    Args:
        paths: the files.
        name: name of the dataset or split for messages.

    Raises:
        InputError: a file is missing or empty. The message says how many others are.
    """
    missing = [path for path in paths if not _has_content(path)]
    if missing:
        more = f" (and {len(missing) - 1} more of {len(paths)} files)"
        raise InputError(
            f"{name}: {missing[0]} is missing or empty{more if len(missing) > 1 else ''}; "
            "add the files to the dataset, or remove their samples from its lists"
        )


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except (OSError, ValueError):  # ValueError: the name has a null byte
        return False


def _source(path: Path, content: bytes | None) -> Path | io.BytesIO:
    """What to open. A pipe or a device would never end.

    Raises:
        OSError: the path is not a file.
    """
    if content is not None:
        return io.BytesIO(content)
    if path.exists() and not path.is_file():
        raise OSError("it is not a file")
    return path


def _turn_upright(file: Image.Image) -> Image.Image:
    """The image as viewers show it.

    ``ImageOps.exif_transpose`` also rewrites the EXIF data, and fails if any of them are damaged.
    """
    file.load()  # the EXIF data of a PNG can follow its pixels, and a TIFF is turned here
    turn = _TURN.get(file.getexif().get(ExifTags.Base.Orientation, 1))
    return file if turn is None else file.transpose(turn)


def _has_more_than_8_bits(file: Image.Image) -> bool:
    """Whether a band has more than 8 bits. Pillow silently truncates 16-bit RGB files."""
    if file.mode in ("I", "F") or file.mode.startswith("I;16"):
        return True
    return any(";16" in str(tile[3]) for tile in getattr(file, "tile", ()))


def path_inside(folder: Path, name: object, where: str) -> Path:
    """The path of a file that a dataset names. The file must lie inside the dataset's folder.

    Symbolic links are followed, but a name cannot leave the folder, because lists of files can come
    from untrusted sources. Lists written on Windows have backslashes for slashes.

    Raises:
        InputError: the name is absolute or leaves the folder, or is not a file name.
    """
    if not isinstance(name, str) or not name or "\0" in name:
        raise InputError(f"{where}: expected a file name, got {name!r}")
    parts = PureWindowsPath(name)  # handles drives and both slashes
    if parts.anchor or ".." in parts.parts:
        raise InputError(f"{where}: {name!r} is outside of {folder}; use a path inside it")
    path = folder / name
    if "\\" in name and not path.exists():  # written on Windows; elsewhere "\\" is a character
        return folder.joinpath(*parts.parts)
    return path


class FileFinder:
    """Finds the files that a list names in a folder, also if upper and lower case differ.

    Some lists name ``00001.jpg`` where the file is ``00001.JPG``.

    Attributes:
        folder: the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names: dict[Path, dict[str, str]] = {}

    def find(self, name: object, where: str) -> Path:
        """The path of a file. It is that in the list if there is no such file in any case.

        Raises:
            InputError: see :func:`path_inside`.
        """
        path = path_inside(self.folder, name, where)
        if path.exists():
            return path
        if path.parent not in self._names:
            self._names[path.parent] = {
                other.name.lower(): other.name for other in _list_files(path.parent)
            }
        return path.with_name(self._names[path.parent].get(path.name.lower(), path.name))


def _list_files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def read_lines(path: Path, *, other_encoding: str | None = None) -> list[tuple[int, str]]:
    """Read the non-blank lines of a UTF-8 text file as (line number from 1, line).

    Args:
        path: the file.
        other_encoding: encoding of a file that is not UTF-8; a warning names it. None refuses it.

    Raises:
        InputError: the file cannot be read as text.
    """
    try:
        text = _decode(path, path.read_bytes(), other_encoding)
    except FileNotFoundError as err:
        raise InputError(f"{path}: no such file") from err
    except (OSError, UnicodeDecodeError) as err:
        raise InputError(f"{path}: cannot be read as text: {err}; save it as UTF-8") from err
    # str.splitlines would also split expressions at characters such as U+2028.
    return [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def _decode(path: Path, content: bytes, other_encoding: str | None) -> str:
    """Text of a file, with line ends as in Python."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        if other_encoding is None or b"\0" in content:
            raise
        text = content.decode(other_encoding)
        logger.warning("%s: not UTF-8; read as %s", path, other_encoding)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_phrases(path: Path) -> list[tuple[str, str, str]]:
    """Read a list of lines "<name> <expression>" as (name, expression, description of the line).

    Name and expression are separated by blanks or tabs. Files that are not UTF-8 are read as
    Latin-1 (Windows-1252), in which old programs write. If the last line is a single word, it is
    left out with a warning, because lists of the first release of RefSegRS may end so.

    Raises:
        InputError: the file cannot be read, or a line has no expression.
    """
    phrases: list[tuple[str, str, str]] = []
    lines = read_lines(path, other_encoding="cp1252")
    for number, line in lines:
        where = f"{path}, line {number}"
        name, *rest = line.split(maxsplit=1)
        if not rest:
            if phrases and number == lines[-1][0]:
                logger.warning("%s: left out, %r has no expression", where, name)
                break
            raise InputError(f'{where}: expected "<name> <expression>", got {line.strip()!r}')
        phrases.append((name, rest[0].strip(), where))
    return phrases
