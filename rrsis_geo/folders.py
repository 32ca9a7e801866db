"""Folders that appear under their name when they are whole."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
        _replace(target, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def is_empty(folder: Path) -> bool:
    """Whether it is a folder with nothing in it."""
    return folder.is_dir() and not any(folder.iterdir())


def _replace(target: Path, new: Path) -> None:
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
