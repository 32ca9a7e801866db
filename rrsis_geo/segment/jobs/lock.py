"""Locks on the shards of a job, so that two processes do not compute the same shard.

A lock is a file that names its process. Results do not depend on locks: two processes that compute
the same shard write the same files, and a shard appears by renaming.
"""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rrsis_geo.errors import OutputError


@contextmanager
def lock_shards(folder: Path, shards: range) -> Iterator[None]:
    """Hold the lock on some shards of a job.

    A lock of a process of this machine that has ended is taken over. Whether a process of another
    machine has ended is unknown, so its lock holds until it is released or removed by hand.

    Args:
        folder: of the job; it exists.
        shards: indexes of the shards to compute, at least one.

    Raises:
        OutputError: another process computes one of the shards, or the lock cannot be written.
    """
    path = folder / f"lock-{shards.start:05d}-{shards.stop:05d}.json"
    _create_lock(path)
    try:
        for other in sorted(folder.glob("lock-*.json")):
            start, stop = map(int, other.stem.split("-")[1:])
            if other != path and start < shards.stop and shards.start < stop:
                _remove_or_refuse(other)
        yield
    finally:
        path.unlink(missing_ok=True)


def _create_lock(path: Path) -> None:
    owner = json.dumps(
        {"pid": os.getpid(), "host": socket.gethostname(), "began": start_time(os.getpid())}
    )
    for _ in range(3):  # other processes may take over the same lock
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(owner)
        except FileExistsError:
            _remove_or_refuse(path)
        except OSError as err:
            raise OutputError(f"{path}: cannot be written ({err.strerror or err})") from err
        else:
            return
    raise OutputError(f"{path}: another process has just started this job")


def _remove_or_refuse(path: Path) -> None:
    """Remove the lock of a process that has ended.

    Raises:
        OutputError: the process is running, or may be.
    """
    owner = _read_owner(path)
    if owner is None:
        return  # released in the meantime
    if owner.get("host") == socket.gethostname() and not _is_running(owner):
        with suppress(OSError):
            path.unlink()
        return
    raise OutputError(
        f"{path.parent}: process {owner.get('pid', '?')} on {owner.get('host', 'some machine')} "
        f"works on this job; if it does not, remove {path}"
    )


def _read_owner(path: Path) -> dict[str, Any] | None:
    """The process that holds a lock; {} if the file cannot be read, None if it is gone."""
    for _ in range(5):  # the process that created the file may not have written it yet
        try:
            owner = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            time.sleep(0.05)
        else:
            return owner if isinstance(owner, dict) else {}
    return {}


def _is_running(owner: dict[str, Any]) -> bool:
    pid = owner.get("pid")
    if os.name == "nt" or not isinstance(pid, int):
        return True  # Windows has no signal 0, so this is unknown
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return start_time(pid) == owner.get("began")  # process numbers are reused


def start_time(pid: int) -> str | None:
    """Start time of a process, in units of the system; None if the system has none."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return f"{boot} {fields[19]}"
