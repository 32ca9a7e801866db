"""Predicted masks as files: valid unique names, and all files or none."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rrsis_geo.errors import OutputError
from rrsis_geo.evaluate.mask_folder import MaskFolder

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
    with MaskFolder(tmp_path) as folder:
        assert folder.add(id_, MASK) == name
    assert [path.name for path in tmp_path.iterdir()] == [name]


@given(ids=st.lists(st.text(max_size=6) | st.sampled_from(["a", "A", "a-2", "a.png"]), max_size=9))
def test_file_names_are_valid_and_unique(
    tmp_path_factory: pytest.TempPathFactory, ids: list[str]
) -> None:
    place = tmp_path_factory.mktemp("masks")
    with MaskFolder(place) as folder:
        names = [folder.add(id_, MASK) for id_ in ids]
    assert len({name.lower() for name in names}) == len(ids)
    assert all(re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*\.png", name) for name in names)
    assert sorted(path.name for path in place.iterdir()) == sorted(names)


def test_a_mask_is_written_unchanged(tmp_path: Path) -> None:
    with MaskFolder(tmp_path) as folder:
        folder.add("a", MASK)
        assert not list(tmp_path.glob("*.png"))  # files appear when the block ends
    with Image.open(tmp_path / "a.png") as file:
        assert file.mode == "1"
        np.testing.assert_array_equal(np.asarray(file), MASK)


def test_a_block_that_fails_leaves_no_files(tmp_path: Path) -> None:
    with pytest.raises(AttributeError), MaskFolder(tmp_path) as folder:
        folder.add(folder.add("a", MASK), None)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_path_that_is_not_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"), MaskFolder(tmp_path / "file"):
        pass
