"""Files and folders that are written whole or not at all, and JSON files written that way.

Everything is written under a temporary name next to its target and moved at the end. Temporary
names contain a random token, so that leftovers of killed processes are never confused with files of
the user. A target that is a symbolic link is followed: the file that it names is replaced.
"""

import errno
import json
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from rrsis_geo.errors import OutputError

MAX_NAME_BYTES = 230
"""Longest name of an output. File systems allow 255 bytes; temporary names are up to 25 longer."""

_UNUSABLE = re.compile(r"[\0-\x1f\x7f]")
_IS_WINDOWS = os.name == "nt"
_MOVE_ATTEMPTS = 6
_FULL_BYTES = 2**20
_FULL_WORDS = ("disk is full", "No space left")
_WRITE_FAILURES = (
    *("TIFFAppendToStrip", "I/O failure", "I/O error", "Cannot write feature"),
    *("Failed to read directory", "IReadBlock failed", "Failed to retrieve overview"),
    "not recognized as being in",
)
"""What libraries say that have not written, or cannot read what they wrote, and do not say why."""


def check_writable(
    path: str | Path, *, overwrite: bool = False, companions: Iterable[Path] = ()
) -> Path:
    """Check that an output file can be created, before any work is done for it.

    Args:
        path: path of the file.
        overwrite: the file and its companions may be replaced.
        companions: other files that are written or removed with it.

    Raises:
        OutputError: the name is too long, the folder is missing or not writable, or a file exists.
    """
    path = Path(path)
    target = follow_link(path)
    if not target.parent.is_dir():
        raise OutputError(f"{path}: the folder {target.parent} does not exist; create it first")
    if target.is_dir():
        raise OutputError(f"{path}: this is a folder; name a file")
    for file in () if overwrite else (path, *companions):
        if file.exists():
            raise OutputError(f"{file}: exists already; choose another name, or --overwrite")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: the folder {target.parent} is not writable")
    return path


def follow_link(path: Path) -> Path:
    """The file or folder that a path stands for: the end of a symbolic link, or the path itself.

    Raises:
        OutputError: the link leads back to itself, or the name is too long for an output.
    """
    check_name(path)
    if not path.is_symlink():
        return path
    return path.resolve()


def check_name(path: Path) -> None:
    """Check that libraries can write an output of this name, and its temporary files too.

    Raises:
        OutputError: the name is too long, has characters that are not text, or is a link that leads
            back to itself.
    """
    if _UNUSABLE.search(str(path)):  # pyogrio drops line breaks from paths, others end at NUL
        raise OutputError(f"{str(path)!a}: the path has control characters; choose another one")
    if any(0xD800 <= ord(character) < 0xE000 for character in str(path)):
        raise OutputError(f"{str(path)!a}: the name is not UTF-8 text; choose another one")
    n_bytes = len(os.fsencode(path.name))
    if n_bytes > MAX_NAME_BYTES:
        raise OutputError(
            f"{path}: the name has {n_bytes} bytes; choose one of at most {MAX_NAME_BYTES}"
        )
    try:
        path.stat()
    except OSError as err:
        if err.errno == errno.ENAMETOOLONG:
            raise OutputError(f"{path}: the path is too long; choose another folder") from err
        if err.errno == errno.ELOOP:
            raise OutputError(f"{path}: is a link that leads back to itself; remove it") from err


def write_error(path: Path, err: BaseException) -> OutputError:
    """The error to raise if `path` cannot be written. Says so if the disk is full."""
    reason = getattr(err, "strerror", None) or str(err.__cause__ or err)
    if _is_full(path, err, reason):
        return OutputError(
            f"{path}: cannot be written (the disk is full); free some space, or write to another "
            "disk"
        )
    hint = "; is the disk full?" if any(words in reason for words in _WRITE_FAILURES) else ""
    return OutputError(f"{path}: cannot be written ({reason}){hint}")


def _is_full(path: Path, err: BaseException, reason: str) -> bool:
    """Whether an error means a full disk, which the message of a library may not say."""
    if getattr(err, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return True
    if any(words in reason for words in _FULL_WORDS):
        return True
    try:
        return shutil.disk_usage(follow_link(path).parent).free < _FULL_BYTES
    except OSError:
        return False


@contextmanager
def open_atomic(path: Path) -> Iterator[BinaryIO]:
    """Open a binary file that replaces `path` when the block ends without an error.

    If the block raises, the new file is removed and `path` is unchanged.

    Raises:
        OSError: the file cannot be written.
    """
    target = follow_link(path)
    part = target.with_name(_temporary_name(target.name))
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        move(part, target)
        sync(target.parent)
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
    target = follow_link(path)
    try:
        folder = _make_temporary_folder(target.parent, f".{target.name}")
    except OSError as err:
        raise write_error(path, err) from err
    try:
        yield folder / target.name
        files = sorted(folder.iterdir(), key=lambda file: (file.name == target.name, file.name))
        _move_all(files, target.parent, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _move_all(files: Sequence[Path], folder: Path, path: Path) -> None:
    """Move files into a folder, in the order given; `path` is for messages."""
    try:
        for file in files:
            sync(file)
        for file in files:
            move(file, folder / file.name)
        sync(folder)
    except PermissionError as err:
        raise OutputError(
            f"{path}: cannot be replaced ({err.strerror}); is it open in another program?"
        ) from err
    except OSError as err:
        raise write_error(path, err) from err


@contextmanager
def atomic_files(folder: Path) -> Iterator[Path]:
    """Give a temporary folder inside the existing `folder`, for any number of files.

    When the block ends, the files are moved into `folder` and replace files of the same name. If
    the block raises, they are removed. Unlike `atomic_file`, the disk is not synchronized.

    Raises:
        OutputError: the temporary folder cannot be created, or a file cannot be moved.
    """
    try:
        part = _make_temporary_folder(folder, "")
    except OSError as err:
        raise write_error(folder, err) from err
    try:
        yield part
        try:
            for path in sorted(part.iterdir()):
                move(path, folder / path.name)
        except OSError as err:
            raise write_error(folder, err) from err
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
    target = follow_link(target.absolute())
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = _make_temporary_folder(target.parent, f".{target.name}")
    try:
        yield folder
        folder.chmod(0o755)  # temporary folders give access to the owner only
        _replace_folder(target, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _replace_folder(target: Path, new: Path) -> None:
    if not target.exists():
        move(new, target)
        return
    old = new.with_name(new.name + "-old")
    move(target, old)
    try:
        move(new, target)
    except OSError:
        move(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def move(source: Path, target: Path) -> None:
    """Rename a file or a folder; an existing file is replaced.

    Windows refuses while a program has the file, or a file in the folder, open. Virus scanners and
    search indexes open new files for a moment, so the move is tried again for about a second.

    Raises:
        OSError: it cannot be moved.
    """
    for attempt in range(_MOVE_ATTEMPTS):
        try:
            source.replace(target)
        except PermissionError:
            if not _IS_WINDOWS or attempt == _MOVE_ATTEMPTS - 1:
                raise
            time.sleep(0.03 * 2**attempt)
        else:
            return


def _temporary_name(name: str) -> str:
    return f"{name}.part-rrsis-{secrets.token_hex(4)}"


def _make_temporary_folder(parent: Path, name: str) -> Path:
    folder = parent / _temporary_name(name)
    folder.mkdir(mode=0o700)
    return folder


def remove_leftovers(path: Path) -> None:
    """Remove temporary files of `path` left by processes that were killed.

    Only names with a token of `_temporary_name` are removed. Call it only when no other process is
    writing `path`.
    """
    target = follow_link(path)
    is_ours = re.compile(rf"\.?{re.escape(target.name)}\.part-rrsis-[0-9a-f]{{8}}").fullmatch
    for leftover in [entry for entry in target.parent.iterdir() if is_ours(entry.name)]:
        if leftover.is_dir() and not leftover.is_symlink():
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
        raise write_error(path, err) from err


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk.

    Windows can flush a file only if it is open for writing, and no folders; they are skipped.
    """
    if _IS_WINDOWS and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDWR if _IS_WINDOWS else os.O_RDONLY)
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
