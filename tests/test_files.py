"""Folders are there whole, or as they were before."""

from pathlib import Path

import pytest

from rrsis_geo.files import is_empty, whole_folder


@pytest.fixture
def old(tmp_path: Path) -> Path:
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "old.txt").write_text("old")
    return folder


def test_a_folder_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "made"
    with whole_folder(target) as folder:
        (folder / "a.txt").write_text("a")
        assert not target.exists()
    assert (target / "a.txt").read_text() == "a"
    assert target.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in target.parent.iterdir()] == ["made"]


def test_a_folder_takes_the_place_of_another(old: Path) -> None:
    with whole_folder(old) as folder:
        (folder / "new.txt").touch()
    assert [path.name for path in old.iterdir()] == ["new.txt"]
    assert [path.name for path in old.parent.iterdir()] == ["made"]


def interrupted(target: Path) -> None:
    with whole_folder(target) as folder:
        (folder / "new.txt").touch()
        raise KeyboardInterrupt


def test_an_error_in_the_block_leaves_all_as_it_was(old: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted(old)
    assert [path.name for path in old.iterdir()] == ["old.txt"]
    assert [path.name for path in old.parent.iterdir()] == ["made"]


def test_a_folder_that_cannot_be_replaced_is_put_back(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self.name.startswith(".made.part-") and not self.name.endswith("-old"):
            raise OSError(28, "no space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="no space"), whole_folder(old):
        pass
    assert [path.name for path in old.iterdir()] == ["old.txt"]
    assert [path.name for path in old.parent.iterdir()] == ["made"]


def test_only_a_folder_with_nothing_in_it_is_empty(old: Path) -> None:
    assert not is_empty(old)
    assert not is_empty(old / "old.txt")
    assert not is_empty(old / "none")
    (old / "old.txt").unlink()
    assert is_empty(old)
