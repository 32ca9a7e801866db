"""Settings of the memory allocator of the C library."""

import ctypes
import sys
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_MAX: Final = -4
_NEVER: Final = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let the process reuse the memory that it frees. Return False if that is not supported.

    By default glibc maps memory for each large array and unmaps it when the array is freed. On a
    CPU, the system then has to zero and map every page of every layer's output again. Peak memory
    changes little. Only glibc has these settings, and they stay for the life of the process.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library
        return False
    return bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, _NEVER))
