"""Files and folders that appear under their name when they are whole, and JSON written so.

The one place of the package that writes beside a path and renames.
"""

import glob
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A hidden folder beside a place, moved there when the block ends without an error.

    A folder that stands in the place is replaced then, and put back where that fails half-way. If
    the block raises, nothing is left of the new one.

    Raises:
        OSError: it cannot be made or moved.
    """
    parent = target.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.part-", dir=parent))
    try:
        yield folder
        folder.chmod(0o755)  # mkdtemp makes folders that only their owner may enter
        _replace_folder(target, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def is_empty(folder: Path) -> bool:
    """Whether it is a folder with nothing in it."""
    return folder.is_dir() and not any(folder.iterdir())


def _replace_folder(target: Path, new: Path) -> None:
    if not target.exists():
        new.rename(target)
        return
    old = new.with_name(new.name + "-old")
    target.rename(old)
    try:
        new.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a file so that it is there whole or not at all, whatever happens."""
    part = path.with_name(f"{path.name}.part-{process_name()}")
    try:
        with part.open("w", encoding="utf-8") as file:
            json.dump(record, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync(path.parent)
    except OSError as err:
        part.unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot be written ({err.strerror or err})") from err


def process_name() -> str:
    """What no other process bears in a name."""
    return f"{socket.gethostname()}-{os.getpid()}"
