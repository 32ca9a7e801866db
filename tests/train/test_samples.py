"""The samples of a run and their order."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rrsis_geo.data.benchmarks.layouts import load_split
from rrsis_geo.data.benchmarks.triplets import TripletWriter
from rrsis_geo.data.sample import Sample
from rrsis_geo.errors import ConfigError, InputError
from rrsis_geo.text.tokenizer import Tokenizer
from rrsis_geo.train.distributed import World
from rrsis_geo.train.samples import (
    BenchmarkConfig,
    EpochSamples,
    RankBatches,
    find_category,
    load_batches,
    load_benchmark_data,
)

N = 5
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "red", "car", "road"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A dataset whose samples and targets all differ in size."""
    for split, has_labels in (("train", True), ("val", False)):
        with TripletWriter(tmp_path, split) as writer:
            for number in range(N):
                mask = np.zeros((70 + number, 90), bool)
                mask[: 10 * (number + 1), 10:40] = True
                image = np.full((70 + number, 90, 3), 40 * number, np.uint8)
                category = ("car", "bus")[number % 2] if has_labels else ""
                writer.add(Sample(image, "the red car", mask, category=category))
    return tmp_path


def samples_of(root: Path, *, augment: bool = False, seed: int = 0) -> EpochSamples:
    config = BenchmarkConfig(layout="triplets", root=root, size_px=64, augment=augment)
    return EpochSamples(load_split("triplets", root, "train"), config, seed=seed)


def test_black_squares_are_drawn_in_a_fixed_share_of_the_samples(make_benchmark):
    root = make_benchmark("rrsisd", splits={"train": 10}, side_px=400)
    records = load_split("rrsisd", root, "train")
    config = BenchmarkConfig(layout="rrsisd", root=root, size_px=64, black_squares=0.2)
    plain = EpochSamples(records, replace(config, black_squares=0.0), seed=3)
    samples = EpochSamples(records, config, seed=3)
    changed = []
    for epoch in range(3):
        pairs = [(plain[i], samples[i]) for i in range(10 * epoch, 10 * epoch + 10)]
        for before, after in pairs:
            np.testing.assert_array_equal(before.mask, after.mask)
        changed.append({one.id for one, other in pairs if (one.image != other.image).any()})
    assert len(changed[0]) == 2
    assert changed[0] == changed[1] == changed[2]
    first, second = (
        next(samples[i] for i in range(start, start + 10) if samples[i].id in changed[0])
        for start in (0, 10)
    )
    assert first.id != second.id or (first.image != second.image).any()
    with pytest.raises(ConfigError, match=r"benchmark\.black_squares is a share from 0 to 1"):
        replace(config, black_squares=20.0)


def test_each_epoch_has_every_sample_once_in_a_new_order(root):
    samples = samples_of(root)
    orders = [[samples[epoch * N + position].id for position in range(N)] for epoch in range(6)]
    assert all(sorted(order) == sorted(orders[0]) for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    assert len(set(orders[0])) == N
    assert orders != [[samples_of(root, seed=1)[e * N + p].id for p in range(N)] for e in range(6)]


@pytest.mark.parametrize("augment", [False, True])
def test_a_sample_depends_only_on_the_seed_and_its_index(root, augment):
    indices = [7, 3, 12, 3]
    once = [samples_of(root, augment=augment)[i] for i in indices]
    again = samples_of(root, augment=augment)
    for i, sample in zip(reversed(indices), reversed(once), strict=True):
        other = again[i]
        assert other.expression == sample.expression
        assert np.array_equal(other.image, sample.image)
        assert np.array_equal(other.mask, sample.mask)
        assert sample.image.shape == (64, 64, 3)
        assert sample.mask.shape == (64, 64)


def test_augmentation_differs_between_epochs(root):
    samples = samples_of(root, augment=True)
    images = {samples[i].image.tobytes() for i in range(8 * N)}
    assert len(images) > 4 * N


def test_a_dataset_has_a_size_and_categories(root):
    data = load_benchmark_data(BenchmarkConfig(layout="triplets", root=root), seed=0, workers=0)
    assert data.epoch_samples == N
    assert data.categories == {"car", "bus"}
    first, second = [sample.id for sample in data.val], [sample.id for sample in data.val]
    assert first == second == [sample.id for sample in data.preview]
    assert all(sample.image.shape == (512, 512, 3) for sample in data.preview)


@pytest.mark.parametrize(("val_samples", "n"), [(None, N), (2, 2), (10**6, N)])
def test_validation_can_be_limited(root, val_samples, n):
    whole = BenchmarkConfig(layout="triplets", root=root, val_split="train")
    config = replace(whole, val_samples=val_samples)
    found = [sample.id for sample in load_benchmark_data(config, seed=0, workers=0).val]
    everything = [sample.id for sample in load_benchmark_data(whole, seed=0, workers=0).val]
    assert len(found) == n
    assert found[0] == everything[0]
    assert found[-1] == everything[-1]
    assert found == [each for each in everything if each in found]


def test_validation_needs_a_sample(root):
    with pytest.raises(ConfigError, match="val_samples must be at least 1"):
        BenchmarkConfig(layout="triplets", root=root, val_samples=0)


def test_categories_come_from_the_expressions_if_there_are_no_labels(root):
    config = BenchmarkConfig(layout="triplets", root=root, train_split="val")
    assert load_benchmark_data(config, seed=0, workers=0).categories == {"car"}


@pytest.mark.parametrize(
    ("expression", "target"),
    [("the lorry on the left", "truck"), ("all Solar Panels", "solar panel"), ("on the left", "")],
)
def test_an_unknown_category_is_the_words_for_the_target(expression, target):
    assert find_category(expression) == target


def test_a_missing_image_is_reported_before_training(root):
    image = next((root / "images" / "val").iterdir())
    image.unlink()
    with pytest.raises(InputError, match=image.name):
        load_benchmark_data(BenchmarkConfig(layout="triplets", root=root), seed=0, workers=0)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_the_number_of_processes_does_not_change_the_data(size):
    batches = list(RankBatches(2, 6, batch_size=8, world=World()))
    by_rank = [
        list(RankBatches(2, 6, batch_size=8, world=World(rank, size))) for rank in range(size)
    ]
    assert batches == [list(range(8 * n, 8 * n + 8)) for n in range(2, 6)]
    for number, batch in enumerate(batches):
        parts = [own_batches[number] for own_batches in by_rank]
        assert list(itertools.chain(*parts)) == batch
        assert all(len(part) == 8 // size for part in parts)


def test_a_batch_size_that_the_processes_do_not_divide_is_refused():
    with pytest.raises(ConfigError, match=r"batch_size 8 .* 3 processes"):
        RankBatches(0, 1, batch_size=8, world=World(0, 3))


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_are_read_and_damaged_files_reported(root, workers):
    samples = samples_of(root)
    tokenizer = Tokenizer(PIECES, max_tokens=8)
    indices = RankBatches(0, 3, batch_size=2, world=World())

    def read():
        return list(load_batches(samples, indices, tokenizer, workers=workers, pinned=False))

    batches = read()
    assert [batch.images.shape for batch in batches] == [(2, 64, 64, 3)] * 3
    assert [id_ for batch in batches for id_ in batch.ids] == [samples[i].id for i in range(6)]
    damaged = load_split("triplets", root, "train").records[0].image.path
    damaged.write_bytes(b"no image")
    with pytest.raises(InputError) as caught:
        read()
    assert str(damaged) in str(caught.value)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("size_px", [0, 100])
def test_invalid_sizes_are_refused(size_px):
    with pytest.raises(ConfigError, match="multiple of 32"):
        BenchmarkConfig(layout="triplets", root=Path(), size_px=size_px)
