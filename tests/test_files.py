"""Files and folders are written whole or not at all."""

import errno
import fcntl
import json
import os
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from rrsis_geo import files
from rrsis_geo.errors import OutputError
from rrsis_geo.files import (
    atomic_file,
    atomic_files,
    atomic_folder,
    check_writable,
    is_empty,
    open_atomic,
    remove_leftovers,
    sync,
    write_error,
    write_json,
)


@pytest.fixture
def existing(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    folder.mkdir()
    (folder / "old.txt").write_text("old")
    return folder


def test_folder_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "target"
    with atomic_folder(target) as folder:
        (folder / "a.txt").write_text("a")
        assert not target.exists()
    assert (target / "a.txt").read_text() == "a"
    assert target.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in target.parent.iterdir()] == ["target"]


def test_files_appear_in_an_existing_folder_when_the_block_ends(existing: Path) -> None:
    with atomic_files(existing) as part:
        (part / "new.txt").write_text("new")
        assert not (existing / "new.txt").exists()
    assert sorted(path.name for path in existing.iterdir()) == ["new.txt", "old.txt"]
    with pytest.raises(ZeroDivisionError), atomic_files(existing) as part:
        _ = (part / "old.txt").write_text("replaced") / 0
    assert sorted(path.name for path in existing.iterdir()) == ["new.txt", "old.txt"]
    assert (existing / "old.txt").read_text() == "old"


def test_folder_is_replaced(existing: Path) -> None:
    with atomic_folder(existing) as folder:
        (folder / "new.txt").touch()
    assert [path.name for path in existing.iterdir()] == ["new.txt"]
    assert [path.name for path in existing.parent.iterdir()] == ["target"]


def interrupt(target: Path) -> None:
    with atomic_folder(target) as folder:
        (folder / "new.txt").touch()
        raise KeyboardInterrupt


def test_error_in_the_block_changes_nothing(existing: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupt(existing)
    assert [path.name for path in existing.iterdir()] == ["old.txt"]
    assert [path.name for path in existing.parent.iterdir()] == ["target"]


def test_folder_is_restored_if_the_replacement_fails(
    existing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace

    def fail(self: Path, target: Path) -> Path:
        if self.name.startswith(".target.part-") and not self.name.endswith("-old"):
            raise OSError(28, "no space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="no space"), atomic_folder(existing):
        pass
    assert [path.name for path in existing.iterdir()] == ["old.txt"]
    assert [path.name for path in existing.parent.iterdir()] == ["target"]


def test_is_empty(existing: Path) -> None:
    assert not is_empty(existing)
    assert not is_empty(existing / "old.txt")
    assert not is_empty(existing / "none")
    (existing / "old.txt").unlink()
    assert is_empty(existing)


def test_json_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_json(path, {"a": 1})
    write_json(path, {"b": 2})
    assert json.loads(path.read_text()) == {"b": 2}
    assert [file.name for file in tmp_path.iterdir()] == ["record.json"]


def test_error_while_writing_keeps_the_existing_file(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text("old")
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    with pytest.raises(ZeroDivisionError), open_atomic(path) as file:
        file.write(b"%d" % (1 // 0))
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["record.json"]


def test_unwritable_json_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"record\.json: cannot be written \(No such file"):
        write_json(tmp_path / "none" / "record.json", {})


USERS_NAMES = (
    "m.tif.part2.zip",
    "m.tif.part",
    "m.tif.part-1",
    "m.tif.part-host-1",
    "m.tif.part-rrsis-notes",
    "m.tif.part-rrsis-0123abcd.zip",
    "m.tif.partial",
    ".m.tif.old.part",
    "other.tif.part-rrsis-0123abcd",
)


def test_only_leftovers_of_this_program_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    path.write_text("done")
    for name in USERS_NAMES:
        (tmp_path / name).touch()
    (tmp_path / "m.tif.parts").mkdir()
    (tmp_path / "m.tif.parts" / "a.txt").touch()
    kept = sorted(tmp_path.rglob("*"))
    with ExitStack() as never_left:  # as by a killed process
        part = never_left.enter_context(atomic_file(path, overwrite=True))
        part.touch()
        never_left.enter_context(open_atomic(path))
        assert len(list(tmp_path.rglob("*"))) == len(kept) + 3
        remove_leftovers(path)
        assert sorted(tmp_path.rglob("*")) == kept
        never_left.pop_all()
    assert sorted(tmp_path.rglob("*")) == kept


class TestLinks:
    """A link stays, and the file or folder that it names is replaced."""

    @pytest.fixture
    def link(self, tmp_path: Path) -> Path:
        (tmp_path / "real").mkdir()
        (tmp_path / "real" / "a.txt").write_text("old")
        (tmp_path / "link.txt").symlink_to("real/a.txt")
        return tmp_path / "link.txt"

    def check(self, link: Path, real: Path) -> None:
        assert link.is_symlink()
        assert real.read_text() == link.read_text() == "new"
        assert sorted(path.name for path in link.parent.iterdir()) == ["link.txt", "real"]
        assert [path.name for path in real.parent.iterdir()] == [real.name]

    def test_file(self, link: Path) -> None:
        with pytest.raises(OutputError, match=r"link\.txt: exists already"):
            check_writable(link)
        with atomic_file(link, overwrite=True) as part:
            part.write_text("new")
        self.check(link, link.parent / "real" / "a.txt")

    def test_open_file(self, link: Path) -> None:
        with open_atomic(link) as file:
            file.write(b"new")
        self.check(link, link.parent / "real" / "a.txt")

    def test_target_that_does_not_exist_yet(self, link: Path) -> None:
        real = link.parent / "real" / "a.txt"
        real.unlink()
        with atomic_file(link) as part:
            part.write_text("new")
        self.check(link, real)

    def test_folder(self, existing: Path, tmp_path: Path) -> None:
        link = tmp_path / "link"
        link.symlink_to(existing)
        with atomic_folder(link) as folder:
            (folder / "new.txt").touch()
        assert link.is_symlink()
        assert [path.name for path in existing.iterdir()] == ["new.txt"]

    def test_folder_of_the_target_is_missing(self, link: Path) -> None:
        shutil.rmtree(link.parent / "real")
        with pytest.raises(OutputError, match=r"link\.txt: the folder .*real does not exist"):
            check_writable(link)

    def test_circle(self, tmp_path: Path) -> None:
        (tmp_path / "a").symlink_to("b")
        (tmp_path / "b").symlink_to("a")
        with pytest.raises(OutputError, match="leads back to itself"):
            check_writable(tmp_path / "a")

    def test_leftovers_are_beside_the_target(self, link: Path) -> None:
        (link.parent / "real" / "a.txt.part-rrsis-0123abcd").touch()
        remove_leftovers(link)
        assert [path.name for path in (link.parent / "real").iterdir()] == ["a.txt"]


class TestLongNames:
    @pytest.mark.parametrize("letter", ["x", "\N{LATIN SMALL LETTER E WITH ACUTE}"])
    def test_longest_name_can_be_written(self, tmp_path: Path, letter: str) -> None:
        n = (files.MAX_NAME_BYTES - 4) // len(letter.encode())
        path = tmp_path / f"{letter * n}.txt"
        with atomic_file(path) as part:
            part.write_text("new")
            part.with_name(part.name + ".aux.xml").touch()
        with atomic_folder(path.with_suffix("")), open_atomic(path):
            pass
        with pytest.raises(OutputError, match=r"has 23\d bytes; choose one of at most 230"):
            check_writable(tmp_path / f"{letter * (n + 1)}.txt")

    def test_long_path(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match="the path is too long"):
            check_writable(tmp_path.joinpath(*["x" * 200] * 30, "a.txt"))


class TestFullDisk:
    @pytest.mark.parametrize(
        "err",
        [
            OSError(errno.ENOSPC, "No space left on device"),
            RuntimeError("failed to execute: database or disk is full"),
        ],
    )
    def test_reason(self, tmp_path: Path, err: Exception) -> None:
        text = str(write_error(tmp_path / "a.gpkg", err))
        assert text.endswith(
            "a.gpkg: cannot be written (the disk is full); free some space, or write to another "
            "disk"
        )

    def test_error_without_a_reason(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class Usage(NamedTuple):
            free: int

        err = RuntimeError("TIFFAppendToStrip:Seek error at scanline 7")
        told = str(write_error(tmp_path / "a.tif", err))
        assert told.endswith("(TIFFAppendToStrip:Seek error at scanline 7); is the disk full?")
        assert str(write_error(tmp_path / "a.tif", RuntimeError("no"))).endswith("written (no)")
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(4096))
        assert "the disk is full" in str(write_error(tmp_path / "a.tif", err))


class TestWindows:
    """The rules of Windows, on any system."""

    @pytest.fixture(autouse=True)
    def windows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fsync = os.fsync

        def fsync_as_windows(descriptor: int) -> None:
            flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
            if flags & os.O_ACCMODE == os.O_RDONLY:
                raise OSError(errno.EBADF, "Bad file descriptor")
            fsync(descriptor)

        monkeypatch.setattr(files, "_IS_WINDOWS", True)
        monkeypatch.setattr(os, "fsync", fsync_as_windows)
        monkeypatch.setattr(files.time, "sleep", lambda _: None)

    def test_files_are_flushed(self, tmp_path: Path) -> None:
        with atomic_file(tmp_path / "a.txt") as part:
            part.write_text("new")
        sync(tmp_path / "a.txt")
        sync(tmp_path)
        write_json(tmp_path / "a.json", {})

    @pytest.mark.parametrize("n_refusals", [2, 100])
    def test_moves_are_tried_again(
        self, existing: Path, monkeypatch: pytest.MonkeyPatch, n_refusals: int
    ) -> None:
        refusals, replace = iter(range(n_refusals)), Path.replace

        def refuse(self: Path, target: Path) -> Path:
            if next(refusals, None) is not None:
                raise PermissionError(errno.EACCES, "Access is denied")
            return replace(self, target)

        def write() -> None:
            with atomic_folder(existing) as folder:
                (folder / "new.txt").touch()

        monkeypatch.setattr(Path, "replace", refuse)
        if n_refusals == 2:
            write()
            assert [path.name for path in existing.iterdir()] == ["new.txt"]
        else:
            with pytest.raises(PermissionError):
                write()
            assert [path.name for path in existing.iterdir()] == ["old.txt"]
        assert [path.name for path in existing.parent.iterdir()] == ["target"]
