from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from benchmark_trees import SPLITS, make_sample

from rrsis_geo.data.benchmarks.records import Records
from rrsis_geo.data.benchmarks.risbench import list_splits, read_split
from rrsis_geo.errors import ConfigError, InputError

MakeBenchmark = Callable[..., Path]


@pytest.mark.parametrize("image_folder", ["img_rgb", "rgb", "images"])
@pytest.mark.parametrize("split", SPLITS)
def test_folders_are_read(make_benchmark: MakeBenchmark, split: str, image_folder: str) -> None:
    root = make_benchmark("risbench", image_folder=image_folder)
    assert list_splits(root) == tuple(SPLITS)
    records = Records(read_split(root, split), split)
    records.check_files()
    assert len(records) == SPLITS[split]
    for number, sample in enumerate(records):
        truth = make_sample(f"{split}_{number}_0", (48, 48))
        assert (sample.id, sample.expression) == (truth.id, truth.expression)
        np.testing.assert_array_equal(sample.image, truth.image)
        np.testing.assert_array_equal(sample.mask, truth.mask)


def test_names_without_suffix(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("risbench")
    (root / "output_phrase_val.txt").write_text("val_0_0 a ship\nval_1_0.png a dam\n")
    records = read_split(root, "val")
    assert [record.image.path.name for record in records] == ["val_0_0.png", "val_1_0.png"]
    assert [record.id for record in records] == ["val_0_0", "val_1_0"]


def test_another_folder_raises(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a RISBench dataset; expected a folder of images"):
        read_split(tmp_path, "train")


def test_unknown_split(make_benchmark: MakeBenchmark) -> None:
    with pytest.raises(ConfigError, match='did you mean "val"'):
        read_split(make_benchmark("risbench"), "validation")
