"""Data sets of referring samples: looked over, or made of COCO instances. No rasters."""

import logging
from collections import Counter
from collections.abc import Callable, Container, Hashable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from rrsis_geo.bundle import load_settings
from rrsis_geo.data.instances import InstanceSource, ReferringInstances
from rrsis_geo.data.layouts import LAYOUTS
from rrsis_geo.data.records import Records, nearest_name
from rrsis_geo.data.sample import Sample
from rrsis_geo.data.sheet import draw_contact_sheet
from rrsis_geo.data.writer import DatasetWriter, SplitCounts, check_shares
from rrsis_geo.errors import ConfigError, InputError, OutputError

logger = logging.getLogger(__name__)

_MOST_DRAWS: Final = 1000
Progress = Callable[[str, int, int], None]

SHEET_SAMPLES: Final = 16
"""On a contact sheet."""


# --- looking over


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
        shared_images: "split and split" -> image files that are in both.
    """

    root: Path
    layout: str
    max_tokens: int
    splits: dict[str, SplitFacts]
    shared_images: dict[str, int] = field(default_factory=dict)

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
    model: str = "btdnet-lite",
    max_tokens: int | None = None,
    sheet: Path | None = None,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> CheckReport:
    """Read every sample of a data set and tell what there is, and what is wrong with it.

    Args:
        root: of the data set.
        layout: of its files, a name of :data:`rrsis_geo.data.layouts.LAYOUTS`.
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
        raise ConfigError(f'unknown layout "{layout}"{nearest_name(layout, LAYOUTS)}')
    if not root.is_dir():
        raise InputError(f"{root}: no such folder")
    if sheet is not None:
        _check_sheet(sheet, overwrite=overwrite)
    tokenizer, _ = load_settings(model)
    max_tokens = tokenizer.max_tokens if max_tokens is None else max_tokens
    names = LAYOUTS[layout].splits(root)
    if not names:
        raise InputError(f"{root}: has no split of the layout {layout}; is it another layout?")
    report = CheckReport(root=root, layout=layout, max_tokens=max_tokens, splits={})
    images: dict[str, set[Hashable]] = {}
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
        report.splits[name] = tally.facts(LAYOUTS[layout].counts.get(name))
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            if shared := len(images[first] & images[second]):
                report.shared_images[f"{first} and {second}"] = shared
    if sheet is not None:
        _draw_sheet(sheet, readable, seed)
    return report


class _Tally:
    """Counts up a split, sample by sample."""

    def __init__(self, length_of: Callable[[str], int], max_tokens: int) -> None:
        self.images: set[Hashable] = set()
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


def _size(shape: Sequence[int]) -> str:
    return f"{shape[0]} x {shape[1]}"


def _most_first(counts: Counter[str]) -> dict[str, int]:
    return {name: n for name, n in counts.most_common() if n}


def _check_sheet(path: Path, *, overwrite: bool) -> None:
    if path.suffix.lower() != ".png":
        raise OutputError(f"{path}: unknown suffix {path.suffix!r}; the sheet is written as .png")
    if path.exists() and not overwrite:
        raise OutputError(f"{path}: exists already; choose another name, or --overwrite")
    if not path.absolute().parent.is_dir():
        raise OutputError(f"{path}: the folder {path.parent} does not exist; create it first")


def _draw_sheet(path: Path, readable: Sequence[tuple[str, Records, int]], seed: int) -> None:
    if not readable:
        logger.warning("%s: not drawn, since no sample can be read", path)
        return
    order = np.random.default_rng(seed).permutation(len(readable))[:SHEET_SAMPLES]
    chosen = [readable[index] for index in sorted(order.tolist())]
    samples = [records[index] for _, records, index in chosen]
    notes = [_note(split, sample) for (split, _, _), sample in zip(chosen, samples, strict=True)]
    part = path.with_name(f".{path.name}.part")
    try:
        draw_contact_sheet(samples, notes).save(part, "PNG")
        part.replace(path)
    except OSError as err:
        raise OutputError(f"{path}: cannot be written ({err.strerror or err})") from err
    finally:
        part.unlink(missing_ok=True)


def _note(split: str, sample: Sample) -> str:
    what = sample.kind or ("" if sample.mask.any() else "absent")
    facts = (split, what, sample.category, f"id {sample.id}")
    return "  /  ".join(fact for fact in facts if fact)


# --- made of COCO instances


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoOptions:
    """How COCO instances become samples.

    Attributes:
        samples: how many, of all splits together.
        size_px: side of the crops, pixels.
        val_share: of the images, for validation.
        seed: of all chance.
    """

    samples: int = 2000
    size_px: int = 512
    val_share: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ConfigError(f"samples must be at least 1, got {self.samples}")
        if self.size_px < 64 or self.size_px % 32:
            raise ConfigError(f"size must be a multiple of 32 from 64 on, got {self.size_px}")
        check_shares(self.val_share)


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoReport:
    """What was made of COCO instances.

    Attributes:
        root: the data set.
        splits: what each holds.
        images: images of the file that have instances.
        categories: instances of each category.
    """

    root: Path
    splits: dict[str, SplitCounts]
    images: int
    categories: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        splits = {name: counts.to_dict() for name, counts in self.splits.items()}
        return {
            "root": str(self.root),
            "splits": splits,
            "images": self.images,
            "categories": self.categories,
        }


def from_coco(
    instances: Path,
    root: Path,
    options: CocoOptions | None = None,
    *,
    images: Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> CocoReport:
    """Make a data set of triplets from COCO instances, polygons or RLE.

    A sample is a random crop of an image and an expression about what is in it, as training on
    instances draws them (see docs/training.md). No image is in two splits, nor is a "sequence",
    where images tell one.

    Args:
        instances: the COCO file.
        root: folder of the data set, to be made.
        options: None takes all defaults.
        images: folder of the images; None takes "images" beside the file.
        overwrite: replace a data set that we wrote.
        progress: told how far the work is.

    Raises:
        ConfigError: there are too few images for two splits.
        InputError: the file or an image cannot be used.
        OutputError: the data set cannot be written; no trace of it is left then.
    """
    options = options or CocoOptions()
    with DatasetWriter(root, overwrite=overwrite) as writer:
        source = InstanceSource(instances, images)
        categories = sum(source.counts, Counter[str]())
        done = 0
        for number, (split, indices) in enumerate(_split_images(source, options).items()):
            part = source.subset(indices)
            referring = ReferringInstances(part, options.size_px, augment=False)
            for index in range(_n_samples(split, options)):
                rng = np.random.default_rng([options.seed, number, index])
                sample = _draw(referring, rng, categories)
                writer.add(split, sample, image_name=f"{index:06}.png", source=sample.id)
                done += 1
                if progress is not None:
                    progress("samples", done, options.samples)
        writer.describe(
            {"made_by": "from-coco", "instances": str(instances), "options": asdict(options)}
        )
    return CocoReport(
        root=root,
        splits=writer.counts,
        images=len(source),
        categories=dict(categories.most_common()),
    )


def _n_samples(split: str, options: CocoOptions) -> int:
    n_val = max(1, round(options.val_share * options.samples)) if options.val_share else 0
    return n_val if split == "val" else options.samples - n_val


def _split_images(source: InstanceSource, options: CocoOptions) -> dict[str, list[int]]:
    """The images of each split: groups of images that show one ground are dealt out whole."""
    groups: dict[str, list[int]] = {}
    for index, group in enumerate(source.groups):
        groups.setdefault(group, []).append(index)
    if not options.val_share:
        return {"train": list(range(len(source)))}
    if len(groups) < 2:
        raise ConfigError(
            f"there are {len(groups)} images that show different ground, too few to keep some for "
            "validation; give --val-share 0"
        )
    names = list(groups)
    order = np.random.default_rng(options.seed).permutation(len(names)).tolist()
    n_val = min(max(1, round(options.val_share * len(names))), len(names) - 1)
    val = sorted(index for name in order[:n_val] for index in groups[names[name]])
    train = sorted(index for name in order[n_val:] for index in groups[names[name]])
    return {"train": train, "val": val}


def _draw(
    referring: ReferringInstances, rng: np.random.Generator, categories: Container[str]
) -> Sample:
    """A sample that speaks of one of the file's own categories, not by a wider word.

    Where only trucks are labelled, "vehicles" would mean more than the labels.
    """
    for _ in range(_MOST_DRAWS):
        sample = referring.sample(rng)
        if sample.category in categories:
            return sample
    raise InputError("nothing can be said of the instances in the words of their own categories")
