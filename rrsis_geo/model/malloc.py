"""Memory that is freed and soon wanted again: kept, where the C library allows it."""

import ctypes
import sys
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_MAX: Final = -4
_NEVER: Final = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let the process keep memory that it frees, for tensors to come -> whether it could be asked.

    glibc maps each large array anew and gives it back when it is freed, so that a network on a
    processor has every page of every layer's result zeroed and mapped by the system each time. What
    a process holds at its peak changes little. Only glibc has the settings; they last.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library
        return False
    return bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, _NEVER))
