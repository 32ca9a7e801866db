"""Locks on the shards of a job."""

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from rrsis_geo.errors import OutputError
from rrsis_geo.segment.jobs import kernel_lock, lock
from rrsis_geo.segment.jobs.lock import lock_shards, this_process

NAME = "lock-00000-00004.json"


def write_lock(folder: Path, start: int = 0, stop: int = 4, **owner: Any) -> Path:
    """Write the lock of a process like this one, that no process holds."""
    path = folder / f"lock-{start:05d}-{stop:05d}.json"
    path.write_text(json.dumps({**this_process(), "locks": True, **owner}))
    return path


def check_refused(folder: Path, words: str, shards: range = range(4)) -> None:
    before = {path.name: path.read_text() for path in folder.iterdir()}
    with pytest.raises(OutputError, match=words):
        lock_shards(folder, shards).__enter__()
    assert {path.name: path.read_text() for path in folder.iterdir()} == before


def check_taken_over(folder: Path, shards: range = range(4)) -> None:
    with lock_shards(folder, shards):
        (path,) = folder.glob("lock-*")
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert not list(folder.iterdir())


@contextmanager
def child_that_holds(folder: Path, shards: str = "range(4)") -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a lock until it is killed."""
    code = (
        "import sys; from pathlib import Path\n"
        "from rrsis_geo.segment.jobs.lock import lock_shards\n"
        f"with lock_shards(Path(sys.argv[1]), {shards}):\n"
        "    print('locked', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "locked\n"
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


@pytest.fixture
def no_kernel_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk without locks, such as some network file systems."""

    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(kernel_lock, "_lock", refuse)


@pytest.fixture
def dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_lock_is_held_and_released(tmp_path: Path) -> None:
    with lock_shards(tmp_path, range(4)):
        (lock_file,) = tmp_path.iterdir()
        assert json.loads(lock_file.read_text())["pid"] == os.getpid()
        check_refused(tmp_path, f"process {os.getpid()} on .* works on this job")
        assert lock_file.exists()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("shards", "is_free"),
    [(range(0, 4), True), (range(6, 9), True), (range(5, 9), False), (range(0, 9), False)],
)
def test_locks_conflict_only_if_they_share_shards(
    tmp_path: Path, shards: range, is_free: bool
) -> None:
    with lock_shards(tmp_path, range(4, 6)):
        if is_free:
            with lock_shards(tmp_path, shards):
                pass
        else:
            check_refused(tmp_path, r"works on this job; if it does not, remove .*lock-", shards)
        assert len(list(tmp_path.iterdir())) == 1


def test_lock_ends_with_its_process(tmp_path: Path) -> None:
    with child_that_holds(tmp_path) as child:
        check_refused(tmp_path, f"process {child.pid} on .* works on this job")
        child.kill()
        child.wait()
        assert list(tmp_path.iterdir())
        check_taken_over(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"namespace": "pid:[1]"},
        {"namespace": "pid:[1]", "host": "another-container"},
        {"pid": 1, "began": "long ago"},
    ],
)
def test_living_lock_of_a_container_holds(
    tmp_path: Path, dead_pid: int, change: dict[str, Any]
) -> None:
    """Its number means nothing here: the process may live, and be unknown or another one."""
    with child_that_holds(tmp_path):
        write_lock(tmp_path, **{"pid": dead_pid, **change})
        check_refused(tmp_path, "works on this job")


def test_dead_lock_of_a_container_is_taken_over(tmp_path: Path) -> None:
    if this_process()["boot"] is None:
        pytest.skip("no /proc")
    write_lock(tmp_path, namespace="pid:[1]", host="another-container", pid=os.getppid())
    check_taken_over(tmp_path)


def test_lock_from_before_a_restart_is_taken_over(tmp_path: Path) -> None:
    if this_process()["boot"] is None:
        pytest.skip("no /proc")
    write_lock(tmp_path, pid=os.getppid(), boot="another", namespace="pid:[1]")
    check_taken_over(tmp_path)


@pytest.mark.parametrize("boot", ["another", None])
def test_lock_of_another_machine_holds(tmp_path: Path, boot: str | None) -> None:
    write_lock(tmp_path, host="node-17", pid=1, boot=boot)
    check_refused(tmp_path, "process 1 on node-17 works on this job")
    check_refused(tmp_path, "process 1 on node-17 works on this job", range(1, 3))


@pytest.mark.parametrize("text", ["", "{", "[]", "\0\0\0", '{"pid": "x"}'])
def test_damaged_lock(tmp_path: Path, text: str, no_kernel_locks: None) -> None:
    """Without locks of the system it holds: its process may be writing it."""
    (tmp_path / NAME).write_text(text)
    check_refused(tmp_path, "on some machine works on this job")


@pytest.mark.parametrize("text", ["", "{", "[]", "\0\0\0"])
def test_damaged_lock_that_no_process_holds_is_taken_over(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_text(text)
    check_taken_over(tmp_path)


def test_foreign_names_are_no_locks(tmp_path: Path) -> None:
    for name in ("lock-.json", "lock-a-b.json", "lock-1-2-3.json"):
        (tmp_path / name).write_text("")
    with lock_shards(tmp_path, range(4)):
        pass
    assert len(list(tmp_path.iterdir())) == 3


# --- disks and systems without locks


def test_dead_process_without_kernel_locks(
    tmp_path: Path, dead_pid: int, no_kernel_locks: None
) -> None:
    if this_process()["namespace"] is None:
        pytest.skip("no /proc")
    write_lock(tmp_path, pid=dead_pid, locks=False)
    write_lock(tmp_path, 2, 3, pid=dead_pid, locks=False)
    check_taken_over(tmp_path)
    write_lock(tmp_path, pid=os.getppid(), began="another time")  # the number was reused
    check_taken_over(tmp_path)
    write_lock(tmp_path, pid=os.getppid(), boot="another")
    check_taken_over(tmp_path)


def test_living_process_without_kernel_locks(
    tmp_path: Path, dead_pid: int, no_kernel_locks: None
) -> None:
    with lock_shards(tmp_path, range(4)):
        check_refused(tmp_path, f"process {os.getpid()} on .* works on this job")
    write_lock(tmp_path, pid=dead_pid, namespace="pid:[1]")  # of another container
    check_refused(tmp_path, "works on this job")


@pytest.mark.parametrize("has_locks", [True, False])
def test_system_without_proc(
    tmp_path: Path,
    dead_pid: int,
    has_locks: bool,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """As on macOS: only the host and the number of a process are known."""
    monkeypatch.setattr(lock, "_read_line", lambda path: None)
    monkeypatch.setattr(lock, "_read_link", lambda path: None)
    if not has_locks:
        request.getfixturevalue("no_kernel_locks")
    write_lock(tmp_path, pid=dead_pid)
    check_taken_over(tmp_path)
    write_lock(tmp_path, pid=dead_pid, host="node-17")
    check_refused(tmp_path, "on node-17 works on this job")
    (tmp_path / NAME).unlink()
    with lock_shards(tmp_path, range(4)):
        check_refused(tmp_path, "works on this job")


def test_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There an open file cannot be removed, and no signal tells whether a process runs."""
    unlink = Path.unlink
    held: set[int] = set()
    opened: Callable[..., int] = os.open
    closed = os.close

    def open_file(*arguments: Any) -> int:
        held.add(descriptor := opened(*arguments))
        return descriptor

    def close(descriptor: int) -> None:
        held.discard(descriptor)
        closed(descriptor)

    def remove(path: Path, missing_ok: bool = False) -> None:
        assert not held, "an open file"
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(lock.os, "open", open_file)
    monkeypatch.setattr(lock.os, "close", close)
    monkeypatch.setattr(Path, "unlink", remove)
    monkeypatch.setattr(lock, "_IS_WINDOWS", True)
    monkeypatch.setattr(lock.os, "kill", None)
    monkeypatch.setattr(lock, "_read_line", lambda path: None)
    monkeypatch.setattr(lock, "_read_link", lambda path: None)
    write_lock(tmp_path, pid=1)
    check_taken_over(tmp_path)
    assert not held


# --- races, and folders that vanish


@pytest.mark.parametrize("has_locks", [True, False])
def test_one_process_takes_over(
    tmp_path: Path, dead_pid: int, has_locks: bool, request: pytest.FixtureRequest
) -> None:
    if not has_locks:
        request.getfixturevalue("no_kernel_locks")
    for _ in range(20 if has_locks else 4):
        write_lock(tmp_path, pid=dead_pid)
        n_holders = count_holders(tmp_path, n_threads=6)
        assert n_holders == 1 or (n_holders == 0 and not has_locks)  # all may stand back


def count_holders(folder: Path, n_threads: int) -> int:
    """Let several threads take a lock at the same time; the most that had it at once."""
    start, inside, most = threading.Barrier(n_threads), [0], [0]

    def work() -> None:
        start.wait()
        with suppress(OutputError), lock_shards(folder, range(4)):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.02)
            inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return most[0]


def test_folder_is_removed_while_a_lock_is_held(tmp_path: Path) -> None:
    folder = tmp_path / "o.gpkg.job"
    with lock_shards(folder, range(4)):
        shutil.rmtree(folder)
        with lock_shards(folder, range(4)):  # a new run
            (other,) = folder.iterdir()
    assert not other.exists()


def test_folder_around_the_job_is_removed(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="the folder around it was removed"):
        lock_shards(tmp_path / "gone" / "o.gpkg.job", range(4)).__enter__()
