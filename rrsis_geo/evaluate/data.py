"""Samples to score a model on: a split of a dataset, or expressions about COCO instances."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from rrsis_geo.data.benchmarks.layouts import LAYOUTS, load_split
from rrsis_geo.data.benchmarks.records import Records, resize_sample
from rrsis_geo.data.instances.coco import InstanceSource
from rrsis_geo.data.instances.referring import ValidationSamples
from rrsis_geo.data.sample import Sample
from rrsis_geo.errors import ConfigError, InputError
from rrsis_geo.evaluate.pictures import Extent
from rrsis_geo.text.categories import BENCHMARK_CATEGORIES

INSTANCES: Final = "instances"
"""The layout of COCO instances. They have no expressions; these are written."""
LAYOUT_NAMES: Final = (*LAYOUTS, INSTANCES)
INSTANCES_LIMIT: Final = 600
"""Default number of samples from instances."""
INSTANCES_SEED: Final = 20_000_003
"""Random seed of the samples from instances. benchmarks/validation.py uses it too, and the scores
on model cards depend on it."""


class EvaluationSample(NamedTuple):
    """A sample at the size of the evaluation, and its mask at the original size.

    Attributes:
        id: name of the sample.
        expression: the referring sentence.
        kind: kind of the expression, "" if unknown.
        label: category label of the target, "" if unknown.
        image: uint8 RGB [S, S, 3].
        target: bool [S, S], mask of the target.
        mask: bool [H, W], mask of the target at its original size.
        ignored: bool [S, S] and bool [H, W], pixels that are not scored at each of these sizes;
            None if there are none.
        extent: of the whole picture, in metres if its ground sample distance is known.
        picture: name of the picture, which samples may share; "" if it is the only one of it.
    """

    id: str
    expression: str
    kind: str
    label: str
    image: NDArray[np.uint8]
    target: NDArray[np.bool_]
    mask: NDArray[np.bool_]
    extent: Extent
    picture: str = ""
    ignored: tuple[NDArray[np.bool_] | None, NDArray[np.bool_] | None] = (None, None)


class _Samples(Protocol):
    def __getitem__(self, index: int) -> Sample: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitInfo:
    """Facts about a split.

    Attributes:
        name: name of the split in messages.
        size: number of samples in the split; the evaluation may score fewer.
        published_size: number of samples in the published split, None if unknown.
        category_names: names to look for in expressions; () if unknown.
        has_labels: whether samples have category labels.
    """

    name: str
    size: int
    published_size: int | None = None
    category_names: tuple[str, ...] = ()
    has_labels: bool = False


class EvaluationData(Dataset[EvaluationSample]):
    """The samples of an evaluation, each read when it is requested.

    Attributes:
        info: facts about the whole split.
    """

    def __init__(self, samples: _Samples, n: int, *, size_px: int, info: SplitInfo) -> None:
        """Use the first ``n`` samples, resized to squares of ``size_px``."""
        self._samples, self._n, self._size_px = samples, n, size_px
        self.info = info

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, index: int) -> EvaluationSample:
        """Read a sample and resize it by the published protocol.

        Raises:
            InputError: a file is missing or damaged.
        """
        if not 0 <= index < self._n:
            raise IndexError(index)
        sample = self._samples[index]
        square = resize_sample(sample, self._size_px)
        return EvaluationSample(
            id=sample.id,
            expression=sample.expression,
            kind=sample.kind,
            label=sample.category,
            image=square.image,
            target=square.mask,
            mask=sample.mask,
            extent=Extent.of(sample.image.shape, sample.gsd_m),
            picture=sample.picture,
            ignored=(square.ignored, sample.ignored),
        )


def open_data(
    root: Path, layout: str, split: str, *, size_px: int, limit: int | None = None
) -> EvaluationData:
    """Open a split. Its files must exist, but are not read yet.

    Args:
        root: folder of the dataset; for the layout "instances" also a COCO file.
        layout: one of ``LAYOUT_NAMES``.
        split: name of the split; "instances" reads ``ROOT/instances_<split>.json``.
        size_px: side of the resized images and targets.
        limit: use only this many samples, from the first; None uses the whole split, or
            ``INSTANCES_LIMIT`` samples from instances.

    Raises:
        ConfigError: unknown layout or split.
        InputError: a file is missing or damaged, or the split is empty.
    """
    if layout == INSTANCES:
        return _open_instances(root, split, size_px, limit or INSTANCES_LIMIT)
    if layout not in LAYOUTS:
        raise ConfigError(f'unknown layout "{layout}"; choose one of {", ".join(LAYOUT_NAMES)}')
    whole = load_split(layout, root, split)
    if not len(whole):
        raise InputError(f"{root}: the split {split} has no samples")
    records = Records(whole.records[:limit], whole.name)
    records.check_files()
    labels = sorted({record.category for record in records.records} - {""})
    info = SplitInfo(
        name=records.name,
        size=len(whole),
        published_size=LAYOUTS[layout].counts.get(split),
        category_names=BENCHMARK_CATEGORIES.get(layout, tuple(labels)),
        has_labels=bool(labels),
    )
    return EvaluationData(records, len(records), size_px=size_px, info=info)


def _open_instances(root: Path, split: str, size_px: int, n: int) -> EvaluationData:
    path = root if root.is_file() else root / f"instances_{split}.json"
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; the layout {INSTANCES} needs a COCO file, or a folder with "
            "instances_<split>.json and images/"
        )
    source = InstanceSource(path)
    names: set[str] = set().union(*map(set[str], source.counts))
    info = SplitInfo(
        name=path.name if root.is_file() else f"{INSTANCES} {split}",
        size=n,
        category_names=tuple(sorted(names)),
        has_labels=True,
    )
    samples = _SamplesWithUniqueIds(ValidationSamples(source, INSTANCES_SEED, size_px))
    return EvaluationData(samples, n, size_px=size_px, info=info)


class _SamplesWithUniqueIds:
    """Samples with their number in their id, because several may come from one image."""

    def __init__(self, samples: ValidationSamples) -> None:
        self._samples = samples

    def __getitem__(self, index: int) -> Sample:
        sample = self._samples[index]
        return replace(sample, id=f"{index:05d}-{sample.id}")


def choose_category_source(info: SplitInfo, category_by: str | None) -> str:
    """Where the categories of samples come from: "label", "text", or "" for nowhere.

    Args:
        info: facts about the split.
        category_by: the requested source; None prefers labels to the text.

    Raises:
        ConfigError: the split does not have the requested source.
    """
    available: Mapping[str, bool] = {"label": info.has_labels, "text": bool(info.category_names)}
    if category_by is None:
        return next((source for source, is_there in available.items() if is_there), "")
    if category_by not in available:
        raise ConfigError(f'category_by must be "label" or "text", got "{category_by}"')
    if not available[category_by]:
        lack = "no category labels" if category_by == "label" else "no known category names"
        raise ConfigError(f'{info.name}: cannot score by "{category_by}", there are {lack}')
    return category_by
