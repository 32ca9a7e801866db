"""A lock on a part of a job, held by a file that says who holds it.

Locks keep two processes from doing the same work. Results do not rest on them: what two processes
compute of one shard is the same, and appears by renaming.
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

    A lock whose process is gone from this machine is taken over. Of a process of another machine
    nobody here can tell, so its lock holds until it is released, or removed by hand.

    Args:
        folder: of the job; it exists.
        shards: those that are to be worked on, at least one.

    Raises:
        OutputError: another process works on one of them, or no file can be made there.
    """
    path = folder / f"lock-{shards.start:05d}-{shards.stop:05d}.json"
    _create(path)
    try:
        for other in sorted(folder.glob("lock-*.json")):
            start, stop = map(int, other.stem.split("-")[1:])
            if other != path and start < shards.stop and shards.start < stop:
                _refuse_if_held(other)
        yield
    finally:
        path.unlink(missing_ok=True)


def _create(path: Path) -> None:
    mine = json.dumps(
        {"pid": os.getpid(), "host": socket.gethostname(), "began": _began(os.getpid())}
    )
    for _ in range(3):  # others may take over the same lock
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(mine)
        except FileExistsError:
            _refuse_if_held(path)
        except OSError as err:
            raise OutputError(f"{path}: cannot be written ({err.strerror or err})") from err
        else:
            return
    raise OutputError(f"{path}: another process has just begun this job")


def _refuse_if_held(path: Path) -> None:
    """Remove a lock that nobody holds any more."""
    owner = _owner(path)
    if owner is None:
        return  # released in the meantime
    if owner.get("host") == socket.gethostname() and not _is_alive(owner):
        with suppress(OSError):
            path.unlink()
        return
    raise OutputError(
        f"{path.parent}: process {owner.get('pid', '?')} on {owner.get('host', 'some machine')} "
        f"works on this job; if it does not, remove {path}"
    )


def _owner(path: Path) -> dict[str, Any] | None:
    """Who holds a lock, as far as it is known; None where it is gone."""
    for _ in range(5):  # who has made the file may be about to write it
        try:
            owner = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            time.sleep(0.05)
        else:
            return owner if isinstance(owner, dict) else {}
    return {}


def _is_alive(owner: dict[str, Any]) -> bool:
    pid = owner.get("pid")
    if os.name == "nt" or not isinstance(pid, int):
        return True  # where signal 0 is none, nobody can tell
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return _began(pid) == owner.get("began")  # numbers of processes are used again


def _began(pid: int) -> str | None:
    """When a process began, as the system counts; None where it does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return f"{boot} {fields[19]}"
