"""Predicted masks as files: valid unique names, and all files or none."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rrsis_geo.errors import OutputError
from rrsis_geo.evaluate.mask_folder import open_mask_folder

MASK = np.eye(5, 7, dtype=bool)


@pytest.mark.parametrize(
    ("id_", "name"),
    [
        ("test_0_0.png", "test_0_0.png"),
        ("12", "12.png"),
        ("../../etc/passwd", "etc_passwd.png"),
        ("C:\\data\\a b.tif", "C_data_a_b.png"),
        ("..", "sample.png"),
        ("x" * 300, "x" * 100 + ".png"),
    ],
)
def test_file_names(tmp_path: Path, id_: str, name: str) -> None:
    with open_mask_folder(tmp_path) as folder:
        assert folder.write(id_, MASK) == name
    assert [path.name for path in tmp_path.iterdir()] == [name]


@given(ids=st.lists(st.text(max_size=6) | st.sampled_from(["a", "A", "a-2", "a.png"]), max_size=9))
def test_file_names_are_valid_and_unique(
    tmp_path_factory: pytest.TempPathFactory, ids: list[str]
) -> None:
    target = tmp_path_factory.mktemp("masks")
    with open_mask_folder(target) as folder:
        names = [folder.write(id_, MASK) for id_ in ids]
    assert len({name.lower() for name in names}) == len(ids)
    assert all(re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*\.png", name) for name in names)
    assert sorted(path.name for path in target.iterdir()) == sorted(names)


def test_a_mask_is_written_unchanged(tmp_path: Path) -> None:
    with open_mask_folder(tmp_path) as folder:
        folder.write("a", MASK)
        assert not list(tmp_path.glob("*.png"))  # files appear when the block ends
    with Image.open(tmp_path / "a.png") as file:
        assert file.mode == "1"
        np.testing.assert_array_equal(np.asarray(file), MASK)


def test_a_block_that_fails_leaves_no_files(tmp_path: Path) -> None:
    with pytest.raises(AttributeError), open_mask_folder(tmp_path) as folder:
        folder.write(folder.write("a", MASK), None)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_path_that_is_not_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"), open_mask_folder(tmp_path / "file"):
        pass
