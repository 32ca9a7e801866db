"""The samples of a run: number i is a pure function of the seed and i, however they are fetched."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from rrsis_geo.data.augment import augment_sample
from rrsis_geo.data.benchmarks.layouts import load_split
from rrsis_geo.data.benchmarks.records import Records, resized
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
SHOWN = 8
"""Validation samples whose masks are drawn as the run goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkConfig:
    """A data set in one of the layouts of ``data/benchmarks/layouts.py``."""

    layout: str
    root: Path
    train_split: str = "train"
    val_split: str = "val"
    size_px: int = 512
    """Side to which images and masks are squashed, as the published protocol does."""
    augment: bool = False
    """Mirror, turn, crop and relight training samples so that their expressions stay true."""

    def __post_init__(self) -> None:
        if self.size_px < 64 or self.size_px % 32:
            raise ConfigError(
                f"benchmark.size_px must be a multiple of 32 from 64 on, got {self.size_px}"
            )


class RunData(NamedTuple):
    """What a run trains on and is judged by.

    Attributes:
        train: sample i of the run.
        epoch_samples: samples of one pass, None where they never end.
        val: in their order, again each time they are gone through.
        shown: a few of them, for pictures.
        categories: that training samples may speak of.
    """

    train: Dataset[Sample]
    epoch_samples: int | None
    val: Iterable[Sample]
    shown: Sequence[Sample]
    categories: frozenset[str]


def stream_data(config: StreamConfig, *, seed: int, length: int) -> RunData:
    """The endless stream: real crops and painted scenes, validated on held-back ones of both.

    Raises:
        InputError: a file of instances is missing or damaged.
    """
    stream = SampleStream(config, seed=seed, length=length)
    val = _stream_validation(config)
    return RunData(stream, None, val, _spread(val), stream.categories)


def _stream_validation(config: StreamConfig) -> list[Sample]:
    """Real samples where there are any, and painted ones in the share that training has."""
    n_painted = config.val_samples
    samples: list[Sample] = []
    if config.val_instances is not None:
        n_painted = round(config.painted_share * config.val_samples)
        samples = validation_samples(
            InstanceSource(config.val_instances),
            config.val_samples - n_painted,
            VALIDATION_SEED,
            config.size_px,
        )
    return samples + [
        painted_sample(
            np.random.default_rng([VALIDATION_SEED, i]), config.size_px, config.painted_gsd_range_m
        )
        for i in range(n_painted)
    ]


def benchmark_data(config: BenchmarkConfig, *, seed: int, workers: int) -> RunData:
    """A data set in passes over its training split, validated on all of its validation split.

    Raises:
        ConfigError: no such layout or split.
        InputError: a split is empty, or a file of it is missing.
    """
    train, val = (
        load_split(config.layout, config.root, split)
        for split in (config.train_split, config.val_split)
    )
    for records in (train, val):
        if not len(records):
            raise InputError(f"{config.root}: the split {records.name} has no samples")
        records.check_files()
    squashed = SquashedRecords(val, config.size_px)
    labels = frozenset(record.category for record in train.records if record.category)
    if not labels:  # then the words tell
        named = {_target_of(record.expression) for record in train.records}
        labels = frozenset(named - {""})
    return RunData(
        train=EpochSamples(train, config.size_px, seed=seed, augment=config.augment),
        epoch_samples=len(train),
        val=DataLoader(
            squashed,
            batch_size=None,
            num_workers=workers,
            collate_fn=_unchanged,
            generator=torch.Generator(),
        ),
        shown=_spread(squashed),
        categories=labels,
    )


def _target_of(expression: str) -> str:
    """The category that an expression is about, or the words for what it is about, or ""."""
    words = subject_span(expression)
    if (category := category_of(expression)) or words is None:
        return category
    return category_from_label(expression[words.start : words.stop])


class SquashedRecords(Dataset[Sample]):
    """A split at the protocol's size."""

    def __init__(self, records: Records, size_px: int) -> None:
        self._records, self._size_px = records, size_px

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Sample:
        return resized(self._records[index], self._size_px)


class EpochSamples(Dataset[Sample]):
    """Endless passes over a split, each in an order of its own, at the protocol's size."""

    def __init__(self, records: Records, size_px: int, *, seed: int, augment: bool) -> None:
        self._records, self._size_px = records, size_px
        self._seed, self._augment = seed, augment

    def __getitem__(self, index: int) -> Sample:
        epoch, place = divmod(index, len(self._records))
        sample = self._records[int(_order(len(self._records), self._seed, epoch)[place])]
        if self._augment:
            if sample.mask.shape != sample.image.shape[:2]:
                sample = resized(sample, self._size_px)
            sample = augment_sample(sample, np.random.default_rng([self._seed, index]))
        return resized(sample, self._size_px)


@lru_cache(maxsize=2)
def _order(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order of a pass; its chance is another than that of the samples' augmentation."""
    return np.random.default_rng([seed, epoch, 1]).permutation(n)


class RankBatches(Sampler[list[int]]):
    """The numbers of the samples that a process takes, batch by batch.

    A batch of all processes is a run of ``batch_size`` numbers, of which each process takes a run
    in the order of their ranks: how many processes there are does not change the data, and
    neighbours (which may share a scene) stay together.

    Args:
        first: number of the first batch.
        stop: number of the batch after the last.
        batch_size: samples of a batch of all processes together.
        world: which process this is.

    Raises:
        ConfigError: the batch cannot be shared out evenly.
    """

    def __init__(self, first: int, stop: int, *, batch_size: int, world: World) -> None:
        if batch_size % world.size:
            raise ConfigError(
                f"batch_size {batch_size} cannot be shared out over {world.size} processes; it "
                "counts the samples of all of them"
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
    numbers: RankBatches,
    tokenizer: Tokenizer,
    *,
    workers: int,
    pinned: bool,
) -> Iterator[Batch]:
    """The batches of some numbers, read ahead by ``workers`` processes (0: none) for the whole run.

    Args:
        samples: sample i of the run.
        numbers: which of them.
        tokenizer: for their expressions.
        workers: processes that read ahead.
        pinned: in memory that a GPU can fetch from by itself.

    Raises:
        InputError: a sample's file is missing or damaged.
    """
    loader = DataLoader(
        samples,
        batch_sampler=numbers,
        num_workers=workers,
        collate_fn=partial(collate, tokenizer=tokenizer),
        prefetch_factor=4 if workers else None,
        pin_memory=pinned,
        generator=torch.Generator(),  # leaves the global one alone
    )
    try:
        yield from loader
    except InputError as err:  # from a worker it comes with the worker's traceback as its text
        raise InputError(str(err).rpartition("InputError: ")[2].strip()) from err


def _unchanged(sample: Any) -> Any:
    return sample


def _spread(samples: Sequence[Sample] | SquashedRecords) -> list[Sample]:
    """A few of the samples, spread over all."""
    places = np.linspace(0, len(samples) - 1, min(SHOWN, len(samples)))
    return [samples[int(place)] for place in places]
