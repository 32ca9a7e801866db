"""Save predicted masks to a folder, all of them or none."""

import re
import shutil
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rrsis_geo.errors import OutputError

_NAME_LENGTH: Final = 100


class MaskFolder:
    """Context manager that saves masks to an existing folder.

    Masks are written to a hidden subfolder and moved when the block ends without an error.

    Raises:
        OutputError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: set[str] = set()

    def __enter__(self) -> "MaskFolder":
        try:
            self._part = Path(tempfile.mkdtemp(prefix=".masks.part-", dir=self._folder))
        except OSError as err:
            raise OutputError(f"{self._folder}: cannot be written ({err.strerror})") from err
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                for path in self._part.iterdir():
                    path.replace(self._folder / path.name)
        except OSError as err:
            raise OutputError(f"{self._folder}: cannot be written ({err.strerror})") from err
        finally:
            shutil.rmtree(self._part, ignore_errors=True)

    def add(self, id_: str, mask: NDArray[np.bool_]) -> str:
        """Write the mask of a sample, white where True, and return the file name."""
        name = self._free_name(id_)
        try:
            Image.fromarray(mask).save(self._part / name)
        except OSError as err:
            raise OutputError(f"{self._folder / name}: cannot be written ({err})") from err
        return name

    def _free_name(self, id_: str) -> str:
        """A unique file name that is valid on every operating system."""
        stem = re.sub(r"\.(png|jpe?g|tiff?|bmp)$", "", id_, flags=re.IGNORECASE)
        stem = re.sub(r"[^A-Za-z0-9_.-]+", "_", stem).strip("._")[:_NAME_LENGTH] or "sample"
        name, number = stem, 1
        while name.lower() in self._names:
            number += 1
            name = f"{stem}-{number}"
        self._names.add(name.lower())
        return f"{name}.png"
