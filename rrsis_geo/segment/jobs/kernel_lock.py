"""Locks of the operating system on open files. A lock ends with its process, however that ends."""

import errno
import os
import sys
from typing import Literal

LockState = Literal["locked", "held", "unsupported"]
"""Result of locking: the lock is ours, another process holds it, or the disk has no locks."""

_HELD = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}
_LOCKED_BYTE = 2**30
"""Windows keeps others from reading a locked byte, so this one lies beyond the text."""

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def try_lock(descriptor: int) -> LockState:
    """Lock an open file without waiting. Closing the file, or the end of the process, unlocks it.

    Network file systems that support locks share them between machines.
    """
    try:
        _lock(descriptor)
    except OSError as err:
        return "held" if err.errno in _HELD else "unsupported"
    return "locked"
