"""Files and folders are written whole or not at all."""

import json
from pathlib import Path

import pytest

from rrsis_geo.errors import OutputError
from rrsis_geo.files import (
    atomic_files,
    atomic_folder,
    is_empty,
    open_atomic,
    remove_leftovers,
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
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self.name.startswith(".target.part-") and not self.name.endswith("-old"):
            raise OSError(28, "no space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
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


def test_leftovers_of_killed_processes_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "out.gpkg"
    path.write_text("done")
    (tmp_path / ".out.gpkg.x1.part").mkdir()
    (tmp_path / "out.gpkg.part-host-1").touch()
    (tmp_path / "other.gpkg.part").touch()
    remove_leftovers(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["other.gpkg.part", "out.gpkg"]
