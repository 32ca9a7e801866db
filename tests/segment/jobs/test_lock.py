"""Locks on shards."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rrsis_geo.errors import OutputError
from rrsis_geo.segment.jobs import lock
from rrsis_geo.segment.jobs.lock import lock_shards


def write_lock(folder: Path, first: int, last: int, **owner: Any) -> Path:
    path = folder / f"lock-{first:05d}-{last:05d}.json"
    path.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid(), **owner}))
    return path


def owner_of(pid: int) -> dict[str, Any]:
    return {"pid": pid, "began": lock.start_time(pid)}


@contextmanager
def dead_process() -> Iterator[int]:
    """The number of a process that has ended."""
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    yield pid


def test_lock_is_held_and_released(tmp_path: Path) -> None:
    with lock_shards(tmp_path, range(4)):
        (lock_file,) = tmp_path.iterdir()
        assert json.loads(lock_file.read_text())["pid"] == os.getpid()
        with pytest.raises(OutputError, match=f"process {os.getpid()} on .* works on this job"):
            lock_shards(tmp_path, range(4)).__enter__()
        assert lock_file.exists()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("shards", "is_free"),
    [(range(0, 4), True), (range(6, 9), True), (range(5, 9), False), (range(0, 9), False)],
)
def test_locks_conflict_only_if_they_share_shards(
    tmp_path: Path, shards: range, is_free: bool
) -> None:
    other = write_lock(tmp_path, 4, 6, **owner_of(os.getppid()))
    if is_free:
        with lock_shards(tmp_path, shards):
            pass
    else:
        with pytest.raises(OutputError, match=r"works on this job; if it does not, remove .*lock-"):
            lock_shards(tmp_path, shards).__enter__()
    assert list(tmp_path.iterdir()) == [other]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_lock_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    with dead_process() as pid:
        write_lock(tmp_path, 0, 4, pid=pid)
        write_lock(tmp_path, 2, 3, pid=pid)
    with lock_shards(tmp_path, range(4)):
        assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc")
def test_lock_of_a_process_whose_number_was_reused(tmp_path: Path) -> None:
    write_lock(tmp_path, 0, 4, pid=os.getppid(), began="another boot 123")
    with lock_shards(tmp_path, range(4)):
        pass


def test_lock_of_another_machine_holds(tmp_path: Path) -> None:
    write_lock(tmp_path, 0, 4, host="node-17", pid=1)
    with pytest.raises(OutputError, match="process 1 on node-17 works on this job"):
        lock_shards(tmp_path, range(4)).__enter__()


def test_unreadable_lock_holds(tmp_path: Path) -> None:
    (tmp_path / "lock-00000-00004.json").write_text("")
    with pytest.raises(OutputError, match="on some machine works on this job"):
        lock_shards(tmp_path, range(4)).__enter__()
