"""The memory that a process may use: that of the machine, or less in a container or a batch job."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")
"""On Linux: one line "number:controllers:/path" per hierarchy of control groups."""


def usable_memory() -> int | None:
    """Bytes of memory that this process and its siblings may use; None if unknown (Windows)."""
    if not hasattr(os, "sysconf"):
        return None
    present = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min((present, *_read_limits(CGROUPS, OWN_CGROUPS)))


def _read_limits(cgroups: Path, own_cgroups: Path) -> Iterator[int]:
    """Limits of all control groups that contain this process, of version 1 and 2."""
    try:
        lines = own_cgroups.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers:
            folder, name = cgroups, "memory.max"
        elif "memory" in controllers.split(","):
            folder, name = cgroups / "memory", "memory.limit_in_bytes"
        else:
            continue
        path = PurePosixPath(group.lstrip("/"))
        for parent in (path, *path.parents):
            try:
                limit = (folder / parent / name).read_text().strip()
            except OSError:  # the root has none, and a container sees its own group as the root
                continue
            if limit.isdigit():  # "max" means no limit
                yield int(limit)
