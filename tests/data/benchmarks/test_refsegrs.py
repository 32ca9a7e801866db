from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from benchmark_trees import SPLITS, make_sample
from PIL import Image

from rrsis_geo.data.benchmarks.records import Records
from rrsis_geo.data.benchmarks.refsegrs import list_splits, read_split
from rrsis_geo.errors import ConfigError, InputError

MakeBenchmark = Callable[..., Path]


@pytest.mark.parametrize("first_release", [False, True])
@pytest.mark.parametrize("split", SPLITS)
def test_both_layouts_are_read(
    make_benchmark: MakeBenchmark, split: str, first_release: bool
) -> None:
    root = make_benchmark("refsegrs", first_release=first_release)
    records = Records(read_split(root, split), split)
    assert len(records) == SPLITS[split]
    for number, sample in enumerate(records):
        truth = make_sample(f"{split}_{number}_0", (48, 48))
        assert sample.expression == truth.expression
        np.testing.assert_array_equal(sample.image, truth.image)
        np.testing.assert_array_equal(sample.mask, truth.mask)
    assert list_splits(root) == tuple(SPLITS)


def test_root_can_be_the_inner_folder(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("refsegrs", first_release=True)
    assert len(read_split(root / "new_dataset2", "val")) == SPLITS["val"]


def test_lists_can_lie_above_the_first_release(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("refsegrs", first_release=True)
    for path in (root / "new_dataset2").glob("*.txt"):
        path.rename(root / path.name)
    assert list_splits(root) == tuple(SPLITS)


def test_first_release_prefers_the_third_list(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("refsegrs", first_release=True)
    (root / "new_dataset2" / "output_phrase_val.txt").write_text("1 an older list\n")
    assert [record.expression for record in read_split(root, "val")] == [
        make_sample(f"val_{number}_0", (48, 48)).expression for number in range(SPLITS["val"])
    ]


@pytest.mark.parametrize(
    "text",
    [
        "7 road marking on the left\n",
        "7 road marking on the left",
        "7 road marking on the left\r\n",
        "\ufeff7 road marking on the left\n\n",
        "7  road marking on the left \n",
        "7\troad marking on the left\n",
        "7\t road marking on the left\t\r\n",
    ],
)
def test_lines_split_at_the_first_blank(make_benchmark: MakeBenchmark, text: str) -> None:
    root = make_benchmark("refsegrs")
    (root / "output_phrase_val.txt").write_bytes(text.encode())
    (record,) = read_split(root, "val")
    assert (record.id, record.expression) == ("7", "road marking on the left")
    assert record.image.path == root / "images" / "7.tif"


def test_mask_values_above_50_are_the_target(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("refsegrs")
    values = np.array([[0, 50, 51, 255]], np.uint8)
    Image.fromarray(values).save(root / "masks" / "1.tif")
    mask = Records(read_split(root, "train"), "train")[0].mask
    assert mask.tolist() == [[False, False, True, True]]


def test_masks_of_0_and_1_are_read(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("refsegrs")
    Image.fromarray(np.array([[0, 1, 1]], np.uint8)).save(root / "masks" / "1.tif")
    mask = Records(read_split(root, "train"), "train")[0].mask
    assert mask.tolist() == [[False, True, True]]


def test_masks_of_other_values_are_refused(make_benchmark: MakeBenchmark) -> None:
    """A mask of class numbers would be empty at the published threshold."""
    root = make_benchmark("refsegrs")
    Image.fromarray(np.array([[0, 3, 14]], np.uint8)).save(root / "masks" / "1.tif")
    with pytest.raises(InputError, match=r"masks/1\.tif: not a mask, its values are 0, 3, 14; "):
        Records(read_split(root, "train"), "train")[0]


def test_upper_and_lower_case_of_file_names_may_differ(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("refsegrs")
    for folder in ("images", "masks"):
        (root / folder / "1.tif").rename(root / folder / "1.TIF")
    records = Records(read_split(root, "train"), "train")
    records.check_files()
    assert records.records[0].image.path.name == "1.TIF"
    np.testing.assert_array_equal(records[0].mask, make_sample("train_0_0", (48, 48)).mask)


def test_a_list_in_latin_1_is_read_with_a_warning(
    make_benchmark: MakeBenchmark, caplog: pytest.LogCaptureFixture
) -> None:
    root = make_benchmark("refsegrs")
    (root / "output_phrase_val.txt").write_bytes("5 the café\n".encode("latin-1"))
    assert read_split(root, "val")[0].expression == "the café"
    assert "output_phrase_val.txt: not UTF-8; read as cp1252" in caplog.text


def test_a_list_that_is_not_text_is_refused(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("refsegrs")
    (root / "output_phrase_val.txt").write_bytes("5 the car\n".encode("utf-16"))
    with pytest.raises(InputError, match=r"val\.txt: cannot be read as text: .*; save it as UTF-8"):
        read_split(root, "val")


def test_a_single_word_at_the_end_of_a_list_is_left_out(
    make_benchmark: MakeBenchmark, caplog: pytest.LogCaptureFixture
) -> None:
    root = make_benchmark("refsegrs")
    (root / "output_phrase_val.txt").write_text("1 a road\n2")
    assert [record.id for record in read_split(root, "val")] == ["1"]
    assert "output_phrase_val.txt, line 2: left out, '2' has no expression" in caplog.text


def test_a_line_without_an_expression(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("refsegrs")
    (root / "output_phrase_val.txt").write_text("1 a road\n2\n3 a car\n")
    with pytest.raises(InputError, match=r"output_phrase_val\.txt, line 2: expected"):
        read_split(root, "val")


def test_names_cannot_leave_the_folder(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("refsegrs")
    (root / "output_phrase_val.txt").write_text("../../secret.png a road\n")
    with pytest.raises(InputError, match=r"line 1: '../../secret\.png' is outside of"):
        read_split(root, "val")


def test_message_of_another_folder_lists_the_paths_tried(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not a RefSegRS dataset; looked for images, .*images2"):
        read_split(tmp_path, "train")


def test_unknown_split(make_benchmark: MakeBenchmark) -> None:
    with pytest.raises(ConfigError, match='no split "tets"; did you mean "test"'):
        read_split(make_benchmark("refsegrs"), "tets")
