"""Data sets of referring samples looked over: what there is, and what is wrong. No rasters."""

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

NAMED: Final = 20
"""Samples that a warning names one by one."""
SHEET_SAMPLES: Final = 16
"""On a contact sheet."""


@dataclass(frozen=True, slots=True)
class SplitFacts:
    """What a split holds.

    Attributes:
        samples: in its list.
        published: how many the paper tells, None where none does.
        images: different image files.
        absent: samples whose target is absent, as the data set says itself.
        image_sizes: "height x width" -> samples.
        mask_sizes: likewise.
        kinds: kind of expression -> samples; empty where the data set does not tell.
        categories: category by label -> samples; empty where the data set does not tell.
        tokens: word pieces of an expression ("[CLS]" and "[SEP]" included) -> samples.
        cut: samples whose expression is longer than the network reads.
        other_size: ids of samples whose mask has another size than their image.
        empty: ids of samples whose mask has no pixel, though their target is not said to be absent.
        problems: what cannot be read: one line each, naming the file.
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
    """What a data set holds.

    Attributes:
        root: of the data set.
        layout: of its files.
        max_tokens: word pieces that the network reads.
        splits: by name.
        warnings: what the user should know.
    """

    root: Path
    layout: str
    max_tokens: int
    splits: dict[str, SplitFacts]
    warnings: tuple[str, ...] = ()

    @property
    def n_problems(self) -> int:
        """Samples and files that cannot be read."""
        return sum(len(facts.problems) for facts in self.splits.values())

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return {**asdict(self), "root": str(self.root), "n_problems": self.n_problems}


def check_dataset(
    root: Path,
    layout: str,
    *,
    model: str = DEFAULT_BUNDLE,
    max_tokens: int | None = None,
    sheet: Path | None = None,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> CheckReport:
    """Read every sample of a data set and tell what there is, and what is wrong with it.

    Args:
        root: of the data set.
        layout: of its files, a name of :data:`rrsis_geo.data.benchmarks.layouts.LAYOUTS`.
        model: bundle whose word pieces are counted.
        max_tokens: word pieces that a network reads, in place of the bundle's own number.
        sheet: PNG to draw, of random samples with their masks and expressions.
        seed: of the choice of these.
        overwrite: replace the PNG.
        progress: told how far the work is.

    Raises:
        ConfigError: no such layout.
        InputError: no such folder, or no split in it.
        ModelError: no such bundle.
        OutputError: the PNG cannot be written.
    """
    if layout not in LAYOUTS:
        raise ConfigError(f'unknown layout "{layout}"{suggest_name(layout, LAYOUTS)}')
    if not root.is_dir():
        raise InputError(f"{root}: no such folder")
    if sheet is not None:
        _check_sheet(sheet, overwrite=overwrite)
    tokenizer, _ = load_settings(model)
    max_tokens = tokenizer.max_tokens if max_tokens is None else max_tokens
    names = LAYOUTS[layout].splits(root)
    if not names:
        raise InputError(
            f"{root}: has no split in the layout {layout}; give its own folder, or another layout "
            "(docs/datasets.md shows what each looks like)"
        )
    splits: dict[str, SplitFacts] = {}
    images: dict[str, set[Path]] = {}
    readable: list[tuple[str, Records, int]] = []
    for name in names:
        tally = _Tally(tokenizer.length, max_tokens)
        try:
            records = Records(LAYOUTS[layout].read(root, name), f"{layout} {name}")
        except InputError as err:
            tally.problems.append(str(err))
            records = Records([], f"{layout} {name}")
        for index in range(len(records)):
            if tally.add(records, index):
                readable.append((name, records, index))
            if progress is not None:
                progress(f"{name} samples", index + 1, len(records))
        images[name] = tally.images
        splits[name] = tally.facts(LAYOUTS[layout].counts.get(name))
    warnings = tuple(_warnings(splits, images))
    for warning in warnings:
        logger.warning("%s: %s", root, warning)
    if sheet is not None:
        _draw_sheet(sheet, readable, seed)
    return CheckReport(
        root=root, layout=layout, max_tokens=max_tokens, splits=splits, warnings=warnings
    )


class _Tally:
    """Counts up a split, sample by sample."""

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
        """Count a sample in; whether it can be read."""
        record = records.records[index]
        self._samples += 1
        self.images.add(record.image.path)
        self._kinds[record.kind] += bool(record.kind)
        self._categories[record.category] += bool(record.category)
        self._absent += record.mask is None
        try:
            self._tokens[self._length_of(record.expression)] += 1
            sample = records[index]
        except InputError as err:
            if str(err) not in self.problems:
                self.problems.append(str(err))
            return False
        image, mask = (_size(array.shape) for array in (sample.image, sample.mask))
        self._image_sizes[image] += 1
        if record.mask is not None:
            self._mask_sizes[mask] += 1
            if image != mask:
                self._other_size.append(record.id)
            if not sample.mask.any():
                self._empty.append(record.id)
        return True

    def facts(self, published: int | None) -> SplitFacts:
        """What was counted."""
        return SplitFacts(
            samples=self._samples,
            published=published,
            images=len(self.images),
            absent=self._absent,
            image_sizes=dict(self._image_sizes.most_common()),
            mask_sizes=dict(self._mask_sizes.most_common()),
            kinds=_most_first(self._kinds),
            categories=_most_first(self._categories),
            tokens=dict(sorted(self._tokens.items())),
            cut=sum(n for length, n in self._tokens.items() if length > self._max_tokens),
            other_size=tuple(self._other_size),
            empty=tuple(self._empty),
            problems=tuple(self.problems),
        )


def _warnings(splits: Mapping[str, SplitFacts], images: Mapping[str, set[Path]]) -> Iterator[str]:
    """What the user should know of a data set that can be read."""
    for name, facts in splits.items():
        if facts.published not in (None, facts.samples):
            yield (
                f"{facts.samples} samples in the {name} split, but {facts.published} are "
                "published; scores cannot be compared with the papers'"
            )
        if facts.empty:
            yield f"{name}: an empty mask in {_listed(facts.empty)}"
        if facts.other_size:
            yield f"{name}: a mask of another size than its image in {_listed(facts.other_size)}"
    for first, second in combinations(splits, 2):
        if shared := len(images[first] & images[second]):
            yield f"{shared} images are in both {first} and {second}: scores will flatter"


def _listed(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return ", ".join(ids[:NAMED]) + more


def _size(shape: Sequence[int]) -> str:
    return f"{shape[0]} x {shape[1]}"


def _most_first(counts: Counter[str]) -> dict[str, int]:
    return {name: n for name, n in counts.most_common() if n}


def _check_sheet(path: Path, *, overwrite: bool) -> None:
    if path.suffix.lower() != ".png":
        raise OutputError(f"{path}: unknown suffix {path.suffix!r}; the sheet is written as .png")
    check_writable(path, overwrite=overwrite)


def _draw_sheet(path: Path, readable: Sequence[tuple[str, Records, int]], seed: int) -> None:
    if not readable:
        logger.warning("%s: not drawn, since no sample can be read", path)
        return
    order = np.random.default_rng(seed).permutation(len(readable))[:SHEET_SAMPLES]
    chosen = [readable[index] for index in sorted(order.tolist())]
    samples = [records[index] for _, records, index in chosen]
    notes = [_note(split, sample) for (split, _, _), sample in zip(chosen, samples, strict=True)]
    try:
        with open_atomic(path) as file:
            draw_contact_sheet(samples, notes).save(file, "PNG")
    except OSError as err:
        raise OutputError(f"{path}: cannot be written ({err.strerror or err})") from err


def _note(split: str, sample: Sample) -> str:
    what = sample.kind or ("" if sample.mask.any() else "absent")
    facts = (split, what, sample.category, f"id {sample.id}")
    return "  /  ".join(fact for fact in facts if fact)
