"""The samples of a run.

Sample i of a run depends only on the seed and i, not on the number of workers or processes.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler, Subset

from rrsis_geo.data.augment import augment_sample, blacken_squares
from rrsis_geo.data.benchmarks.layouts import load_split
from rrsis_geo.data.benchmarks.records import Records, resize_sample
from rrsis_geo.data.instances.coco import InstanceSource
from rrsis_geo.data.instances.referring import validation_samples
from rrsis_geo.data.instances.stream import SampleStream, StreamConfig, painted_sample
from rrsis_geo.data.sample import Batch, Sample, collate
from rrsis_geo.errors import ConfigError, InputError
from rrsis_geo.text.phrases import category_of, subject_span
from rrsis_geo.text.tokenizer import Tokenizer
from rrsis_geo.text.vocabulary import category_from_label
from rrsis_geo.train.distributed import World

VALIDATION_SEED = 10_000_019
PREVIEW_SAMPLES = 8
"""Number of validation samples whose predictions are drawn during the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkConfig:
    """A dataset in one of the layouts of ``data/benchmarks/layouts.py``."""

    layout: str
    root: Path
    train_split: str = "train"
    val_split: str = "val"
    val_samples: int | None = None
    """Samples of ``val_split`` to validate on, at even distances; None takes all. Few make a short
    run shorter and its choice of the best weights less certain."""
    size_px: int = 512
    """Side of the squares that images and masks are resized to, as in the published protocol."""
    augment: bool = False
    """Mirror, rotate, crop and relight training samples, so that their expressions stay true."""
    black_squares: float = 0.0
    """Share of the training samples, always the same, with black squares in their images."""

    def __post_init__(self) -> None:
        if not 0 <= self.black_squares <= 1:
            raise ConfigError(
                f"benchmark.black_squares is a share from 0 to 1, got {self.black_squares}"
            )
        if self.val_samples is not None and self.val_samples < 1:
            raise ConfigError(f"benchmark.val_samples must be at least 1, got {self.val_samples}")
        if self.size_px < 64 or self.size_px % 32:
            raise ConfigError(
                f"benchmark.size_px must be a multiple of 32 and at least 64, got {self.size_px}"
            )


class RunData(NamedTuple):
    """Training and validation samples of a run.

    Attributes:
        train: item i is sample i of the run.
        epoch_samples: samples per epoch, None for an endless stream.
        val: validation samples; can be iterated several times, always in the same order.
        preview: a few validation samples; their predictions are drawn during the run.
        categories: categories of the training targets.
    """

    train: Dataset[Sample]
    epoch_samples: int | None
    val: Iterable[Sample]
    preview: Sequence[Sample]
    categories: frozenset[str]


def load_stream_data(config: StreamConfig, *, seed: int, length: int) -> RunData:
    """The endless stream of real crops and painted scenes, and validation samples of both kinds.

    Args:
        config: settings of the stream.
        seed: random seed of the training samples.
        length: number of training samples.

    Raises:
        InputError: a file of instances is missing or damaged.
    """
    stream = SampleStream(config, seed=seed, length=length)
    val = _make_stream_validation(config)
    return RunData(stream, None, val, _pick_evenly(val), stream.categories)


def _make_stream_validation(config: StreamConfig) -> list[Sample]:
    """Real samples if there are any, and the same share of painted ones as in training.

    Their kinds of expressions are those of training too.
    """
    n_painted = config.val_samples
    samples: list[Sample] = []
    if config.val_instances is not None:
        n_painted = round(config.painted_share * config.val_samples)
        samples = validation_samples(
            InstanceSource(config.val_instances),
            config.val_samples - n_painted,
            VALIDATION_SEED,
            config.size_px,
            config.kinds(config.real_kinds),
            config.whole_share,
        )
    return samples + [
        painted_sample(
            np.random.default_rng([VALIDATION_SEED, i]),
            config.size_px,
            config.painted_gsd_range_m,
            kinds=config.kinds(config.painted_kinds),
        )
        for i in range(n_painted)
    ]


def load_benchmark_data(config: BenchmarkConfig, *, seed: int, workers: int) -> RunData:
    """Epochs over the training split of a dataset, and its validation split.

    Args:
        config: settings of the dataset.
        seed: random seed of the order and the augmentation.
        workers: processes that read validation samples.

    Raises:
        ConfigError: unknown layout or split.
        InputError: a split is empty, or one of its files is missing.
    """
    train, val = (
        load_split(config.layout, config.root, split)
        for split in (config.train_split, config.val_split)
    )
    for records in (train, val):
        if not len(records):
            raise InputError(f"{config.root}: the split {records.name} has no samples")
        records.check_files()
    resized_val = ResizedRecords(val, config.size_px)
    labels = frozenset(record.category for record in train.records if record.category)
    if not labels:
        labels = frozenset(find_category(record.expression) for record in train.records) - {""}
    return RunData(
        train=EpochSamples(train, config, seed=seed),
        epoch_samples=len(train),
        val=DataLoader(
            Subset(resized_val, _even_positions(len(val), config.val_samples)),
            batch_size=None,
            num_workers=workers,
            collate_fn=_identity,
            generator=torch.Generator(),
        ),
        preview=_pick_evenly(resized_val),
        categories=labels,
    )


def find_category(expression: str) -> str:
    """The category of the target of an expression; else the words for the target; else ""."""
    words = subject_span(expression)
    if (category := category_of(expression)) or words is None:
        return category
    return category_from_label(expression[words.start : words.stop])


class ResizedRecords(Dataset[Sample]):
    """A split resized by the published protocol."""

    def __init__(self, records: Records, size_px: int) -> None:
        self._records, self._size_px = records, size_px

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Sample:
        return resize_sample(self._records[index], self._size_px)


class EpochSamples(Dataset[Sample]):
    """Endless epochs over a split, each in a different order, resized by the published protocol."""

    def __init__(self, records: Records, config: BenchmarkConfig, *, seed: int) -> None:
        self._records, self._size_px = records, config.size_px
        self._seed, self._augment = seed, config.augment
        order = np.random.default_rng([seed, 2]).permutation(len(records))
        self._blackened = frozenset(order[: round(config.black_squares * len(records))].tolist())

    def __getitem__(self, index: int) -> Sample:
        epoch, position = divmod(index, len(self._records))
        number = int(_shuffle_epoch(len(self._records), self._seed, epoch)[position])
        sample = self._records[number]
        if number in self._blackened:
            sample = blacken_squares(sample, np.random.default_rng([self._seed, index, 2]))
        if self._augment:
            if sample.mask.shape != sample.image.shape[:2]:
                sample = resize_sample(sample, self._size_px)
            sample = augment_sample(sample, np.random.default_rng([self._seed, index]))
        return resize_sample(sample, self._size_px)


@lru_cache(maxsize=2)
def _shuffle_epoch(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order of an epoch. Its random numbers are independent of the augmentation's."""
    return np.random.default_rng([seed, epoch, 1]).permutation(n)


class RankBatches(Sampler[list[int]]):
    """Indices of the samples of one process, batch by batch.

    A global batch is ``batch_size`` consecutive indices, and each process takes consecutive indices
    of it by rank. So the number of processes does not change the data, and neighbours, which may
    share a scene, stay together.

    Args:
        first: index of the first batch.
        stop: index after the last batch.
        batch_size: samples per batch over all processes.
        world: rank of this process and number of processes.

    Raises:
        ConfigError: ``batch_size`` is not a multiple of the number of processes.
    """

    def __init__(self, first: int, stop: int, *, batch_size: int, world: World) -> None:
        if batch_size % world.size:
            raise ConfigError(
                f"batch_size {batch_size} cannot be divided among {world.size} processes; it "
                "counts the samples of all processes together"
            )
        self._first, self._stop, self._batch_size, self._world = first, stop, batch_size, world

    def __len__(self) -> int:
        return max(self._stop - self._first, 0)

    def __iter__(self) -> Iterator[list[int]]:
        for number in range(self._first, self._stop):
            share = self._batch_size // self._world.size
            start = number * self._batch_size + self._world.rank * share
            yield list(range(start, start + share))


def load_batches(
    samples: Dataset[Sample],
    indices: RankBatches,
    tokenizer: Tokenizer,
    *,
    workers: int,
    pinned: bool,
) -> Iterator[Batch]:
    """Load batches of samples, read ahead by other processes.

    Args:
        samples: item i is sample i of the run.
        indices: indices of the samples of each batch.
        tokenizer: tokenizer of the network.
        workers: processes that read ahead; 0 reads in this process.
        pinned: use pinned memory, for asynchronous copies to a GPU.

    Raises:
        InputError: a sample's file is missing or damaged.
    """
    loader = DataLoader(
        samples,
        batch_sampler=indices,
        num_workers=workers,
        collate_fn=partial(collate, tokenizer=tokenizer),
        prefetch_factor=4 if workers else None,
        pin_memory=pinned,
        generator=torch.Generator(),  # leaves the global generator unchanged
    )
    try:
        yield from loader
    except InputError as err:  # a worker adds its traceback to the message
        raise InputError(str(err).rpartition("InputError: ")[2].strip()) from err


def _identity(sample: Any) -> Any:
    return sample


def _pick_evenly(samples: Sequence[Sample] | ResizedRecords) -> list[Sample]:
    """A few samples at even distances."""
    return [samples[position] for position in _even_positions(len(samples), PREVIEW_SAMPLES)]


def _even_positions(n: int, n_wanted: int | None) -> list[int]:
    """Positions of some of n items, at even distances; None gives all."""
    n_positions = n if n_wanted is None else min(n_wanted, n)
    return [int(position) for position in np.linspace(0, n - 1, n_positions)]
