"""What ``evaluate`` scores on: a split of a data set, or expressions about COCO instances."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from rrsis_geo.data.benchmarks.layouts import LAYOUTS, load_split
from rrsis_geo.data.benchmarks.records import Records, resized
from rrsis_geo.data.instances.coco import InstanceSource
from rrsis_geo.data.instances.referring import ValidationSamples
from rrsis_geo.data.sample import Sample
from rrsis_geo.errors import ConfigError, InputError
from rrsis_geo.text.categories import BENCHMARK_CATEGORIES

INSTANCES: Final = "instances"
"""The layout of COCO instances, which have no expressions of their own."""
LAYOUT_NAMES: Final = (*LAYOUTS, INSTANCES)
DRAWN_SAMPLES: Final = 600
"""How many samples are drawn of instances where no limit is given."""
DRAWN_SEED: Final = 20_000_003
"""Also that of benchmarks/validation.py: the figures on the cards of models rest on it."""


class Question(NamedTuple):
    """A sample as it is put to a model, and what its answer is held against.

    Attributes:
        id: names the sample.
        expression: the referring sentence.
        kind: what it speaks of, "" where unknown.
        label: the target's category by label, "" where unknown.
        image: uint8 RGB [S, S, 3].
        target: bool [S, S].
        mask: bool [H, W], the target at the size of its own file.
    """

    id: str
    expression: str
    kind: str
    label: str
    image: NDArray[np.uint8]
    target: NDArray[np.bool_]
    mask: NDArray[np.bool_]


class _Samples(Protocol):
    """Samples by number."""

    def __getitem__(self, index: int) -> Sample: ...


class ScoringData(Dataset[Question]):
    """The questions of a split, each made when it is asked for.

    Attributes:
        name: names the split in messages.
        split_size: samples in the split, of which these are the first.
        published_size: samples in the split as published, None where nothing is.
        category_names: to be looked for in expressions; () where none are known.
        has_labels: whether samples tell their category by label.
    """

    def __init__(
        self,
        samples: _Samples,
        n: int,
        *,
        size_px: int,
        name: str,
        split_size: int,
        published_size: int | None = None,
        category_names: tuple[str, ...] = (),
        has_labels: bool = False,
    ) -> None:
        """The first ``n`` of some samples, at ``size_px``."""
        self._samples = samples
        self._n = n
        self._size_px = size_px
        self.name = name
        self.split_size = split_size
        self.published_size = published_size
        self.category_names = category_names
        self.has_labels = has_labels

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, index: int) -> Question:
        """Read one sample and resize it by the published protocol.

        Raises:
            InputError: a file is missing or damaged.
        """
        if not 0 <= index < self._n:
            raise IndexError(index)
        sample = self._samples[index]
        square = resized(sample, self._size_px)
        return Question(
            sample.id,
            sample.expression,
            sample.kind,
            sample.category,
            square.image,
            square.mask,
            sample.mask,
        )


def open_data(
    root: Path, layout: str, split: str, *, size_px: int, limit: int | None = None
) -> ScoringData:
    """Open a split, its files looked for but not read yet.

    Args:
        root: folder of the data set; for the layout "instances" also the COCO file itself.
        layout: one of ``LAYOUT_NAMES``.
        split: name of the split; of "instances", ``ROOT/instances_<split>.json``.
        size_px: side of the images and targets.
        limit: the first so many samples only; of "instances", how many are drawn.

    Raises:
        ConfigError: no such layout or split.
        InputError: data is missing or damaged, or the split is empty.
    """
    if layout == INSTANCES:
        return _drawn_data(root, split, size_px, limit or DRAWN_SAMPLES)
    if layout not in LAYOUTS:
        raise ConfigError(f'unknown layout "{layout}"; known are {", ".join(LAYOUT_NAMES)}')
    whole = load_split(layout, root, split)
    if not len(whole):
        raise InputError(f"{root}: the split {split} has no sample")
    records = Records(whole.records[:limit], whole.name)
    records.check_files()
    labels = sorted({record.category for record in records.records} - {""})
    return ScoringData(
        records,
        len(records),
        size_px=size_px,
        name=records.name,
        split_size=len(whole),
        published_size=LAYOUTS[layout].counts.get(split),
        category_names=BENCHMARK_CATEGORIES.get(layout, tuple(labels)),
        has_labels=bool(labels),
    )


def _drawn_data(root: Path, split: str, size_px: int, n: int) -> ScoringData:
    path = root if root.is_file() else root / f"instances_{split}.json"
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; the layout {INSTANCES} takes a COCO file, or the folder of "
            "instances_<split>.json and images/"
        )
    source = InstanceSource(path)
    if not len(source):
        raise InputError(f"{path}: has no image with instances")
    names: set[str] = set().union(*map(set[str], source.counts))
    return ScoringData(
        _Numbered(ValidationSamples(source, DRAWN_SEED, size_px)),
        n,
        size_px=size_px,
        name=path.name if root.is_file() else f"{INSTANCES} {split}",
        split_size=n,
        category_names=tuple(sorted(names)),
        has_labels=True,
    )


class _Numbered:
    """Samples drawn of images, told apart by their numbers: several may be of one image."""

    def __init__(self, samples: ValidationSamples) -> None:
        self._samples = samples

    def __getitem__(self, index: int) -> Sample:
        sample = self._samples[index]
        return replace(sample, id=f"{index:05d}-{sample.id}")


def check_labels(data: ScoringData, category_by: str | None) -> str:
    """By what samples are told apart into categories: "label", "text", or "" for not at all.

    Args:
        data: to be scored on.
        category_by: what is asked for; None takes labels where there are some, else the text.

    Raises:
        ConfigError: what is asked for cannot be had.
    """
    has: Mapping[str, bool] = {"label": data.has_labels, "text": bool(data.category_names)}
    if category_by is None:
        return next((way for way, can in has.items() if can), "")
    if category_by not in has:
        raise ConfigError(f'categories are told by "label" or by "text", not by "{category_by}"')
    if not has[category_by]:
        lack = "samples have no category labels" if category_by == "label" else "has no category"
        raise ConfigError(f'{data.name}: {lack}, so scores by "{category_by}" cannot be had')
    return category_by
