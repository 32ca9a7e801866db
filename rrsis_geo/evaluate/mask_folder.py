"""Save predicted masks to a folder, all of them or none."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rrsis_geo.errors import OutputError
from rrsis_geo.files import atomic_files

_NAME_LENGTH: Final = 100


@contextmanager
def open_mask_folder(folder: Path) -> Iterator["MaskFolder"]:
    """Open an existing folder for masks. They appear when the block ends without an error.

    Raises:
        OutputError: the folder cannot be written.
    """
    with atomic_files(folder) as part:
        yield MaskFolder(part, folder)


class MaskFolder:
    """Writes masks under unique file names.

    Args:
        part: temporary folder to write to.
        folder: final folder, for error messages.
    """

    def __init__(self, part: Path, folder: Path) -> None:
        self._part, self._folder = part, folder
        self._names: set[str] = set()

    def write(self, id_: str, mask: NDArray[np.bool_]) -> str:
        """Write the mask of a sample, white where True, and return its file name.

        Raises:
            OutputError: the file cannot be written.
        """
        name = self._choose_name(id_)
        try:
            Image.fromarray(mask).save(self._part / name)
        except OSError as err:
            raise OutputError(f"{self._folder / name}: cannot be written ({err})") from err
        return name

    def _choose_name(self, id_: str) -> str:
        """A unique file name that is valid on every operating system."""
        stem = re.sub(r"\.(png|jpe?g|tiff?|bmp)$", "", id_, flags=re.IGNORECASE)
        stem = re.sub(r"[^A-Za-z0-9_.-]+", "_", stem).strip("._")[:_NAME_LENGTH] or "sample"
        name, number = stem, 1
        while name.lower() in self._names:
            number += 1
            name = f"{stem}-{number}"
        self._names.add(name.lower())
        return f"{name}.png"
