"""Locks on the shards of a job, so that two processes do not compute the same shard.

A lock is a file that names its process and that the operating system locks for this process. The
system knows best whether the process still runs: it sees through containers, and nobody can take
over a lock at the same time as somebody else. Only on disks without such locks, the number of the
process has to tell.

Results do not depend on locks: two processes that compute the same shard write the same files, and
a shard appears by renaming.
"""

import json
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from rrsis_geo.errors import OutputError
from rrsis_geo.segment.jobs.kernel_lock import LockState, try_lock

ALL_SHARDS = range(10**5)
_NAME = re.compile(r"lock-(\d{5,})-(\d{5,})\.json")
_ATTEMPTS = 10
_WAIT_S = 0.05
_SETTLE_S = 0.2
_IS_WINDOWS = os.name == "nt"


@contextmanager
def lock_shards(folder: Path, shards: range) -> Iterator[None]:
    """Hold the lock on some shards of a job.

    A lock of a process that has ended is taken over. Whether a process of another machine has ended
    is unknown, so its lock holds until it is released or removed by hand.

    Args:
        folder: of the job; it is created if it is missing.
        shards: indexes of the shards to compute, at least one.

    Raises:
        OutputError: another process computes one of the shards, or the lock cannot be written.
    """
    path = folder / f"lock-{shards.start:05d}-{shards.stop:05d}.json"
    descriptor = _take(path)
    try:
        for other in sorted(folder.glob("lock-*.json")):
            name = _NAME.fullmatch(other.name)
            if name is None or other == path:
                continue
            start, stop = map(int, name.groups())
            if start < shards.stop and shards.start < stop:
                _remove_or_refuse(other)
        yield
    finally:
        _release(path, descriptor)


class _OpenLock(NamedTuple):
    """An open lock file."""

    descriptor: int
    state: LockState
    is_new: bool
    owner: dict[str, Any] | None  # None if the file is empty, {} if it is damaged


def _take(path: Path) -> int:
    """Create a lock, or take it over from a process that has ended. Returns its descriptor."""
    for _ in range(_ATTEMPTS):
        lock = _open(path)
        if lock is None:
            continue
        if lock.is_new or (lock.state == "locked" and _has_ended(lock)):
            try:
                os.ftruncate(lock.descriptor, 0)
                os.lseek(lock.descriptor, 0, os.SEEK_SET)
                text = json.dumps({**this_process(), "locks": lock.state == "locked"})
                os.write(lock.descriptor, text.encode())
            except OSError as err:
                os.close(lock.descriptor)
                raise OutputError(f"{path}: cannot be written ({err.strerror or err})") from err
            if lock.state == "unsupported":  # wait for those who may be taking over an old lock
                time.sleep(_SETTLE_S)
            if _is_at(path, lock.descriptor):
                return lock.descriptor
            os.close(lock.descriptor)
            continue
        os.close(lock.descriptor)
        if not _has_ended(lock):
            raise _refusal(path, lock.owner)
        _remove_dead(path, lock)
    raise OutputError(f"{path}: another process has just started this job")


def _open(path: Path) -> _OpenLock | None:
    """Open or create a lock file and lock it; None if it was removed in the meantime."""
    try:
        path.parent.mkdir(exist_ok=True)  # another process may just have removed it
        try:
            descriptor, is_new = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), True
        except FileExistsError:
            descriptor, is_new = os.open(path, os.O_RDWR), False
    except FileNotFoundError:
        if path.parent.parent.is_dir():
            return None
        raise OutputError(f"{path.parent}: the folder around it was removed") from None
    except OSError as err:
        raise OutputError(f"{path}: cannot be written ({err.strerror or err})") from err
    state = try_lock(descriptor)
    if state == "held":
        is_new = False  # by a process that has opened the file after us and has locked it before
    if not _is_at(path, descriptor):
        os.close(descriptor)
        return None
    return _OpenLock(descriptor, state, is_new, None if is_new else _read_owner(descriptor, state))


def _remove_or_refuse(path: Path) -> None:
    """Remove the lock of a process that has ended.

    Raises:
        OutputError: the process is running, or may be.
    """
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return  # released in the meantime
    except OSError as err:
        raise OutputError(f"{path}: cannot be read ({err.strerror or err})") from err
    state = try_lock(descriptor)
    lock = _OpenLock(descriptor, state, False, _read_owner(descriptor, state))
    if state == "locked" and _has_ended(lock):
        _release(path, descriptor)
        return
    os.close(descriptor)
    if not _has_ended(lock):
        raise _refusal(path, lock.owner)
    _remove_dead(path, lock)


def _release(path: Path, descriptor: int) -> None:
    """Remove a lock file that is ours, unless it is gone or replaced, and close it."""
    is_there = _is_at(path, descriptor)
    if _IS_WINDOWS:  # Windows removes closed files only
        os.close(descriptor)
    if is_there:
        with suppress(OSError):
            path.unlink()
    if not _IS_WINDOWS:
        os.close(descriptor)


def _remove_dead(path: Path, lock: _OpenLock) -> None:
    """Remove the lock of a process that has ended, on a disk without locks.

    It is renamed first and read again: another process may just have put its own lock there.
    """
    aside = path.with_name(f"{path.name}.part-{secrets.token_hex(4)}")
    with suppress(OSError):
        path.rename(aside)
        if _read_text(aside) != lock.owner:
            aside.rename(path)
        else:
            aside.unlink()


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether an open file is still the one at a path."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False


def _read_owner(descriptor: int, state: LockState) -> dict[str, Any] | None:
    """The process that a lock names; {} if the text is damaged, None if there is none.

    A process that is running may not have written its name yet, so this waits a moment.
    """
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_WAIT_S)
        with suppress(OSError, ValueError):
            os.lseek(descriptor, 0, os.SEEK_SET)
            owner = json.loads(os.read(descriptor, 4096))
            return owner if isinstance(owner, dict) else {}
        if state == "locked":
            break
    return None if os.fstat(descriptor).st_size == 0 else {}


def _read_text(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8") or "null")


def _refusal(path: Path, owner: dict[str, Any] | None) -> OutputError:
    owner = owner or {}
    return OutputError(
        f"{path.parent}: process {owner.get('pid', '?')} on {owner.get('host', 'some machine')} "
        f"works on this job; if it does not, remove {path}"
    )


def _has_ended(lock: _OpenLock) -> bool:
    """Whether the process that a lock names has certainly ended."""
    owner, here = lock.owner, this_process()
    if lock.state == "held":
        return False
    if not owner:  # its process died while it wrote the file, or is still writing it
        return lock.state == "locked"
    boots = owner.get("boot"), here["boot"]
    knows_boots = None not in boots
    if not (knows_boots and boots[0] == boots[1]) and owner.get("host") != here["host"]:
        return False  # another machine
    if knows_boots and boots[0] != boots[1]:
        return True  # this machine was restarted
    if owner.get("locks") and lock.state == "locked":
        return True
    return owner.get("namespace") == here["namespace"] and not _is_running(owner)


def _is_running(owner: dict[str, Any]) -> bool:
    pid = owner.get("pid")
    if _IS_WINDOWS or not isinstance(pid, int) or pid <= 0:
        return True  # Windows has no signal 0, so this is unknown
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return start_time(pid) == owner.get("began")  # process numbers are reused


def this_process() -> dict[str, Any]:
    """What a lock says about its process. Parts that the system does not tell are None.

    The number of a process counts in its namespace only: each container has its own numbers, even
    if it has the same host name as others.
    """
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "boot": _read_line(Path("/proc/sys/kernel/random/boot_id")),
        "namespace": _read_link(Path("/proc/self/ns/pid")),
        "began": start_time(os.getpid()),
    }


def start_time(pid: int) -> str | None:
    """Start time of a process, in units of the system; None if the system has none."""
    line = _read_line(Path(f"/proc/{pid}/stat"))
    return None if line is None else line.rpartition(")")[2].split()[19]


def _read_line(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _read_link(path: Path) -> str | None:
    try:
        return str(path.readlink())
    except OSError:
        return None
