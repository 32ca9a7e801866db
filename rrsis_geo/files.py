"""Files and folders that are written whole or not at all, and JSON files written that way.

Everything is written under a temporary name next to its target and renamed at the end.
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
from typing import Any, BinaryIO

from rrsis_geo.errors import OutputError


def check_writable(path: str | Path, *, overwrite: bool = False) -> Path:
    """Check that an output file can be created, before any work is done for it.

    Raises:
        OutputError: the folder is missing or not writable, or the file exists.
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
def open_atomic(path: Path) -> Iterator[BinaryIO]:
    """Open a binary file that replaces `path` when the block ends without an error.

    If the block raises, the new file is removed and `path` is unchanged.

    Raises:
        OSError: the file cannot be written.
    """
    part = path.with_name(f"{path.name}.part-{process_name()}")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def atomic_file(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a path in a temporary folder, with the same file name as `path`.

    For libraries that open files themselves and may write several, such as a Shapefile. When the
    block ends, all files in the temporary folder are moved next to `path` and replace files of the
    same name. If the block raises, the temporary files are removed and nothing is replaced.

    Raises:
        OutputError: see `check_writable`; or a file cannot be moved, or the disk is full.
    """
    path = check_writable(path, overwrite=overwrite)
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    except OSError as err:
        raise OutputError(f"{path}: cannot be written ({err.strerror})") from err
    try:
        yield folder / path.name
        files = sorted(folder.iterdir(), key=lambda file: (file.name == path.name, file.name))
        _move(files, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _move(files: Sequence[Path], path: Path) -> None:
    """Move files next to `path`, in the order given."""
    try:
        for file in files:
            sync(file)
        for file in files:
            os.replace(file, path.parent / file.name)  # noqa: PTH105 - atomic on every system
        sync(path.parent)
    except PermissionError as err:
        raise OutputError(
            f"{path}: cannot be replaced ({err.strerror}); is it open in another program?"
        ) from err
    except OSError as err:
        raise OutputError(f"{path}: cannot be written ({err.strerror})") from err


@contextmanager
def atomic_files(folder: Path) -> Iterator[Path]:
    """Give a temporary folder inside the existing `folder`, for any number of files.

    When the block ends, the files are moved into `folder` and replace files of the same name. If
    the block raises, they are removed. Unlike `atomic_file`, the disk is not synchronized.

    Raises:
        OutputError: the temporary folder cannot be created, or a file cannot be moved.
    """
    try:
        part = Path(tempfile.mkdtemp(prefix=".", suffix=".part", dir=folder))
    except OSError as err:
        raise OutputError(f"{folder}: cannot be written ({err.strerror})") from err
    try:
        yield part
        try:
            for path in sorted(part.iterdir()):
                path.replace(folder / path.name)
        except OSError as err:
            raise OutputError(f"{folder}: cannot be written ({err.strerror})") from err
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Give a hidden temporary folder that becomes `target` when the block ends without an error.

    An existing folder at `target` is replaced; it is restored if the replacement fails. If the
    block raises, the temporary folder is removed.

    Raises:
        OSError: the folder cannot be created or moved.
    """
    parent = target.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.part-", dir=parent))
    try:
        yield folder
        folder.chmod(0o755)  # mkdtemp gives access to the owner only
        _replace_folder(target, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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


def remove_leftovers(path: Path) -> None:
    """Remove temporary files of `path` left by processes that were killed.

    Call it only when no other process is writing `path`.
    """
    name = glob.escape(path.name)
    for leftover in (*path.parent.glob(f".{name}.*.part"), *path.parent.glob(f"{name}.part*")):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a JSON file, whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        with open_atomic(path) as file:
            file.write(json.dumps(record, indent=1).encode())
    except OSError as err:
        raise OutputError(f"{path}: cannot be written ({err.strerror or err})") from err


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk. Windows cannot flush folders; they are skipped."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_empty(folder: Path) -> bool:
    """Whether the path is a folder without entries."""
    return folder.is_dir() and not any(folder.iterdir())


def process_name() -> str:
    """Host name and process id: unique among running processes."""
    return f"{socket.gethostname()}-{os.getpid()}"


def absolute_path(path: str | Path) -> str:
    """Absolute path of a file that exists; any other text, such as a URL, unchanged."""
    return str(Path(path).absolute()) if Path(path).exists() else str(path)
