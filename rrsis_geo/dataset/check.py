"""Check of datasets of referring samples: counts and damaged files."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np

from rrsis_geo.data.benchmarks.layouts import LAYOUTS
from rrsis_geo.data.benchmarks.records import Records, suggest_name
from rrsis_geo.data.sample import Sample
from rrsis_geo.data.sheet import draw_contact_sheet
from rrsis_geo.errors import ConfigError, InputError, OutputError
from rrsis_geo.files import check_writable, open_atomic
from rrsis_geo.model.bundle import load_settings
from rrsis_geo.model.names import DEFAULT_BUNDLE
from rrsis_geo.progress import Progress

logger = logging.getLogger(__name__)

MAX_LISTED_IDS: Final = 20
"""Most sample ids in a warning."""
SHEET_SAMPLES: Final = 16
"""Samples on a contact sheet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """How a dataset is checked.

    Attributes:
        model: bundle whose tokenizer counts the tokens of expressions.
        max_tokens: most tokens of an expression that the network reads. None is the limit of the
            bundle.
        sheet: PNG for a contact sheet of random samples. None draws none.
        seed: random seed of these samples.
        overwrite: replace an existing PNG.
    """

    model: str = DEFAULT_BUNDLE
    max_tokens: int | None = None
    sheet: Path | None = None
    seed: int = 0
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class SplitFacts:
    """Counts of a split.

    Attributes:
        samples: number of samples in its list.
        published: published number of samples, None if there is none.
        images: number of different image files.
        absent: number of samples that the dataset marks as absent targets.
        image_sizes: "height x width" -> number of samples.
        mask_sizes: "height x width" -> number of samples.
        kinds: kind of expression -> number of samples; empty if the dataset has no kinds.
        categories: category -> number of samples; empty if the dataset has no categories.
        tokens: tokens of the expression, including "[CLS]" and "[SEP]" -> number of samples.
        cut: number of samples whose expression is longer than the network reads.
        other_size: ids of samples whose mask and image differ in size.
        empty: ids of samples with an empty mask that are not marked as absent targets.
        problems: one line per file or sample that cannot be read.
    """

    samples: int
    published: int | None
    images: int
    absent: int
    image_sizes: dict[str, int]
    mask_sizes: dict[str, int]
    kinds: dict[str, int]
    categories: dict[str, int]
    tokens: dict[int, int]
    cut: int
    other_size: tuple[str, ...]
    empty: tuple[str, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """Result of a check.

    Attributes:
        root: folder of the dataset.
        layout: layout of the dataset.
        max_tokens: most tokens of an expression that the network reads.
        splits: split -> its counts.
        warnings: warnings for the user.
    """

    root: Path
    layout: str
    max_tokens: int
    splits: dict[str, SplitFacts]
    warnings: tuple[str, ...] = ()

    @property
    def n_problems(self) -> int:
        """Number of samples and files that cannot be read."""
        return sum(len(facts.problems) for facts in self.splits.values())

    def to_dict(self) -> dict[str, Any]:
        """The report for JSON."""
        return {**asdict(self), "root": str(self.root), "n_problems": self.n_problems}


def check_dataset(
    root: Path,
    layout: str,
    options: CheckOptions | None = None,
    *,
    progress: Progress | None = None,
) -> CheckReport:
    """Read every sample of a dataset, and report counts and problems.

    Args:
        root: folder of the dataset.
        layout: a key of :data:`rrsis_geo.data.benchmarks.layouts.LAYOUTS`.
        options: None takes all defaults.
        progress: called with progress.

    Raises:
        ConfigError: the layout is unknown.
        InputError: the folder is missing or has no split.
        ModelError: the model is missing.
        OutputError: the contact sheet cannot be written.
    """
    options = options or CheckOptions()
    if layout not in LAYOUTS:
        raise ConfigError(f'unknown layout "{layout}"{suggest_name(layout, LAYOUTS)}')
    if not root.is_dir():
        raise InputError(f"{root}: no such folder")
    if options.sheet is not None:
        _check_sheet(options.sheet, overwrite=options.overwrite)
    tokenizer, _ = load_settings(options.model)
    max_tokens = tokenizer.max_tokens if options.max_tokens is None else options.max_tokens
    names = LAYOUTS[layout].splits(root)
    if not names:
        raise InputError(
            f"{root}: no split in the layout {layout}; choose the folder of the dataset or another "
            "layout (docs/datasets.md describes them)"
        )
    splits: dict[str, SplitFacts] = {}
    images: dict[str, set[Path]] = {}
    readable: list[tuple[str, Records, int]] = []
    for name in names:
        counter = _SplitCounter(tokenizer.length, max_tokens)
        try:
            records = Records(LAYOUTS[layout].read(root, name), f"{layout} {name}")
        except InputError as err:
            counter.problems.append(str(err))
            records = Records([], f"{layout} {name}")
        for index in range(len(records)):
            if counter.add(records, index):
                readable.append((name, records, index))
            if progress is not None:
                progress(f"{name} samples", index + 1, len(records))
        images[name] = counter.images
        splits[name] = counter.facts(LAYOUTS[layout].counts.get(name))
    warnings = tuple(_warnings(splits, images))
    for warning in warnings:
        logger.warning("%s: %s", root, warning)
    if options.sheet is not None:
        _draw_sheet(options.sheet, readable, options.seed)
    return CheckReport(
        root=root, layout=layout, max_tokens=max_tokens, splits=splits, warnings=warnings
    )


class _SplitCounter:
    """Counts the samples of a split."""

    def __init__(self, length_of: Callable[[str], int], max_tokens: int) -> None:
        self.images: set[Path] = set()
        self.problems: list[str] = []
        self._length_of, self._max_tokens = length_of, max_tokens
        self._samples = self._absent = 0
        self._image_sizes, self._mask_sizes = Counter[str](), Counter[str]()
        self._kinds, self._categories = Counter[str](), Counter[str]()
        self._tokens = Counter[int]()
        self._other_size: list[str] = []
        self._empty: list[str] = []

    def add(self, records: Records, index: int) -> bool:
        """Read and count a sample. Returns whether it can be read."""
        record = records.records[index]
        self._samples += 1
        self.images.add(record.image.path)
        self._kinds[record.kind] += bool(record.kind)
        self._categories[record.category] += bool(record.category)
        self._absent += record.mask is None
        if not record.expression.strip():
            self.problems.append(f"{records.name}, sample {record.id}: the expression is blank")
            return False
        try:
            self._tokens[self._length_of(record.expression)] += 1
            sample = records[index]
        except InputError as err:
            if str(err) not in self.problems:
                self.problems.append(str(err))
            return False
        image, mask = (_format_size(array.shape) for array in (sample.image, sample.mask))
        self._image_sizes[image] += 1
        if record.mask is not None:
            self._mask_sizes[mask] += 1
            if image != mask:
                self._other_size.append(record.id)
            if not sample.mask.any():
                self._empty.append(record.id)
        return True

    def facts(self, published: int | None) -> SplitFacts:
        """The counts."""
        return SplitFacts(
            samples=self._samples,
            published=published,
            images=len(self.images),
            absent=self._absent,
            image_sizes=dict(self._image_sizes.most_common()),
            mask_sizes=dict(self._mask_sizes.most_common()),
            kinds=_sort_counts(self._kinds),
            categories=_sort_counts(self._categories),
            tokens=dict(sorted(self._tokens.items())),
            cut=sum(n for length, n in self._tokens.items() if length > self._max_tokens),
            other_size=tuple(self._other_size),
            empty=tuple(self._empty),
            problems=tuple(self.problems),
        )


def _warnings(splits: Mapping[str, SplitFacts], images: Mapping[str, set[Path]]) -> Iterator[str]:
    """Warnings about the content of a dataset."""
    for name, facts in splits.items():
        if facts.published not in (None, facts.samples):
            yield (
                f"{facts.samples} samples in the {name} split, but {facts.published} are "
                "published; scores are not comparable with published ones"
            )
        if facts.empty:
            yield f"{name}: empty masks in {_list_ids(facts.empty)}"
        if facts.other_size:
            yield f"{name}: masks and images differ in size in {_list_ids(facts.other_size)}"
    for first, second in combinations(splits, 2):
        if shared := len(images[first] & images[second]):
            yield f"{shared} images are in both {first} and {second}, so scores will be too high"


def _list_ids(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - MAX_LISTED_IDS} more" if len(ids) > MAX_LISTED_IDS else ""
    return ", ".join(ids[:MAX_LISTED_IDS]) + more


def _format_size(shape: Sequence[int]) -> str:
    return f"{shape[0]} x {shape[1]}"


def _sort_counts(counts: Counter[str]) -> dict[str, int]:
    return {name: n for name, n in counts.most_common() if n}


def _check_sheet(path: Path, *, overwrite: bool) -> None:
    if path.suffix.lower() != ".png":
        raise OutputError(f"{path}: unknown suffix {path.suffix!r}; use .png")
    check_writable(path, overwrite=overwrite)


def _draw_sheet(path: Path, readable: Sequence[tuple[str, Records, int]], seed: int) -> None:
    if not readable:
        logger.warning("%s: not written, because no sample can be read", path)
        return
    order = np.random.default_rng(seed).permutation(len(readable))[:SHEET_SAMPLES]
    chosen = [readable[index] for index in sorted(order.tolist())]
    samples = [records[index] for _, records, index in chosen]
    notes = [
        _describe_sample(split, sample)
        for (split, _, _), sample in zip(chosen, samples, strict=True)
    ]
    try:
        with open_atomic(path) as file:
            draw_contact_sheet(samples, notes).save(file, "PNG")
    except OSError as err:
        raise OutputError(f"{path}: cannot be written ({err.strerror or err})") from err


def _describe_sample(split: str, sample: Sample) -> str:
    kind = sample.kind or ("" if sample.mask.any() else "absent")
    facts = (split, kind, sample.category, f"id {sample.id}")
    return "  /  ".join(fact for fact in facts if fact)
