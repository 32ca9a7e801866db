import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from benchmark_trees import SPLITS, make_sample
from torch.utils.data import DataLoader

from rrsis_geo.data.benchmarks.layouts import LAYOUTS, load_split
from rrsis_geo.data.benchmarks.records import (
    ImageFile,
    Record,
    Records,
    resize_sample,
    suggest_name,
)
from rrsis_geo.data.sample import Sample
from rrsis_geo.errors import InputError
from rrsis_geo.images import resize_to_square

MakeBenchmark = Callable[..., Path]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_records_survive_pickling(make_benchmark: MakeBenchmark, layout: str) -> None:
    records = load_split(layout, make_benchmark(layout), "val")
    again = pickle.loads(pickle.dumps(records))
    assert again.records == records.records
    np.testing.assert_array_equal(again[0].mask, records[0].mask)


def first_of(samples: list[Sample]) -> Sample:
    return samples[0]


def test_a_loader_reads_records_in_another_process(make_benchmark: MakeBenchmark) -> None:
    records = load_split("triplets", make_benchmark("triplets"), "train")
    loader = DataLoader(records, batch_size=1, num_workers=1, collate_fn=first_of)
    read = list(loader)
    assert [sample.expression for sample in read] == [sample.expression for sample in records]


def test_an_index_beyond_the_end_raises_index_error(make_benchmark: MakeBenchmark) -> None:
    records = load_split("triplets", make_benchmark("triplets"), "train")
    with pytest.raises(IndexError):
        records[SPLITS["train"]]
    assert records[-1].expression == records[SPLITS["train"] - 1].expression


def test_an_absent_target_has_an_empty_mask_of_the_image_size(
    make_benchmark: MakeBenchmark,
) -> None:
    image = load_split("risbench", make_benchmark("risbench"), "val").records[0].image
    sample = Records([Record("a", "the airplane", image, None)], "made")[0]
    assert sample.mask.shape == sample.image.shape[:2]
    assert sample.mask.dtype == bool
    assert not sample.mask.any()


def test_files_are_listed_without_repetition(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("triplets", absent=True)
    records = load_split("triplets", root, "val")
    lines = root / "val.jsonl"
    images = root / "images" / "val"
    assert records.files() == [images / "val_0_0.png", lines, images / "val_1_0.png"]


def test_message_of_one_missing_file(tmp_path: Path) -> None:
    records = Records([Record("a", "it", ImageFile(tmp_path / "a.png"), None)], "some split")
    with pytest.raises(InputError, match=r"some split: .*a\.png is missing or empty; add"):
        records.check_files()


def test_a_damaged_file_raises_when_read(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("risbench")
    (root / "mask" / "val_1_0.png").write_bytes(b"\x89PNG\r\n\x1a\nand then nothing")
    records = load_split("risbench", root, "val")
    records.check_files()
    with pytest.raises(InputError, match=r"mask/val_1_0\.png: cannot be read as a mask"):
        records[1]


@pytest.mark.parametrize("mask_shape", [(48, 48), (50, 47), (96, 20)])
def test_image_and_mask_are_resized_from_their_own_sizes(mask_shape: tuple[int, int]) -> None:
    sample = make_sample("a", (48, 47))
    mask = make_sample("b", mask_shape).mask
    square = resize_sample(Sample(sample.image, "it", mask, "a", "kind", "tree"), 32)
    image, small = resize_to_square(sample.image, mask, 32)
    np.testing.assert_array_equal(square.image, image)
    np.testing.assert_array_equal(square.mask, small)
    assert square.image.shape[:2] == square.mask.shape == (32, 32)
    assert (square.expression, square.id, square.kind, square.category) == (
        *("it", "a"),
        *("kind", "tree"),
    )


def test_resizing_to_the_same_size_changes_nothing() -> None:
    sample = make_sample("a", (64, 64))
    square = resize_sample(sample, 64)
    np.testing.assert_array_equal(square.image, sample.image)
    np.testing.assert_array_equal(square.mask, sample.mask)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("tarin", '; did you mean "train"?'),
        ("validation", '; did you mean "val"?'),
        ("Test", '; did you mean "test"?'),
        ("quux", "; choose one of test, train, val"),
    ],
)
def test_suggest_name(name: str, hint: str) -> None:
    assert suggest_name(name, ["train", "val", "test"]) == hint
    assert suggest_name(name, []) == ""
