"""Outputs made in a hidden folder beside their place, and moved there when they are whole."""

import glob
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rrsis_geo.errors import OutputError


def check_writable(path: str | Path, *, overwrite: bool = False) -> Path:
    """Refuse a place for an output before any work is done for it.

    Raises:
        OutputError: its folder is missing or not writable, or something is there already.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise OutputError(f"{path}: the folder {path.parent} does not exist; create it first")
    if path.is_dir():
        raise OutputError(f"{path}: this is a folder; name a file")
    if path.exists() and not overwrite:
        raise OutputError(f"{path}: exists already; choose another name, or --overwrite")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: the folder {path.parent} is not writable")
    return path


@contextmanager
def staged(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A place of the same name in a temporary folder beside `path`.

    All files found in that folder when the block ends are moved beside `path`, over those of the
    same names; if the block raises, they are removed and what was there before is untouched.

    Raises:
        OutputError: see `check_writable`; or the files cannot be moved, or the disk is full.
    """
    path = check_writable(path, overwrite=overwrite)
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    except OSError as err:
        raise OutputError(f"{path}: cannot be written ({err.strerror})") from err
    try:
        yield folder / path.name
        made = sorted(folder.iterdir(), key=lambda file: (file.name == path.name, file.name))
        _move(made, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _move(files: Sequence[Path], path: Path) -> None:
    """Move each file beside `path`, the one of its name last."""
    try:
        for file in files:
            sync(file)
        for file in files:
            os.replace(file, path.parent / file.name)  # noqa: PTH105 - as atomic as it gets
        sync(path.parent)
    except PermissionError as err:
        raise OutputError(
            f"{path}: cannot be replaced ({err.strerror}); is it open in another program?"
        ) from err
    except OSError as err:
        raise OutputError(f"{path}: cannot be written ({err.strerror})") from err


def remove_leftovers(path: Path) -> None:
    """Remove what a process left beside an output when it was killed while making it.

    For who knows that no other process is making it now.
    """
    name = glob.escape(path.name)
    for left in (*path.parent.glob(f".{name}.*.part"), *path.parent.glob(f"{name}.part*")):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Have the system write a file or a folder to the disk, where it can do that for one."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
