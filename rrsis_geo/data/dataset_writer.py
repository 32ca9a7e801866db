"""Data sets that we write: samples about labelled images, in folders that appear when whole."""

import json
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from rrsis_geo.data.benchmarks.triplets import TripletWriter
from rrsis_geo.data.expressions.writer import (
    KIND_WEIGHTS,
    fully_labelled_categories,
    write_expression,
)
from rrsis_geo.data.instances.referring import to_sample
from rrsis_geo.data.sample import LabelledImage, Sample
from rrsis_geo.errors import ConfigError, OutputError
from rrsis_geo.files import atomic_folder, is_empty
from rrsis_geo.version import __version__

ABOUT_FILE: Final = "dataset.json"
"""Says what a data set was made of; what holds none was not made by us."""
_SPLITS: Final = ("train", "val", "test")
"""In the order in which they are told."""
_ATTEMPTS: Final = 5
"""How often another expression is tried for each that is wanted."""


def write_samples(labelled_image: LabelledImage, rng: np.random.Generator, n: int) -> list[Sample]:
    """At most ``n`` samples about an image, each with another expression.

    Kinds of expressions are drawn by their usual weights; where nothing of a kind can be said, the
    category alone is. A wider word than the labels' ("vehicle" of trucks) is used only where all
    that it means is labelled. There are fewer samples where less can truly be said, and none of an
    image without objects that is not wholly labelled.
    """
    spoken = fully_labelled_categories(labelled_image) | {
        item.category for item in labelled_image.instances
    }
    kinds = list(KIND_WEIGHTS)
    weights = np.array(list(KIND_WEIGHTS.values()))
    found: dict[str, Sample] = {}
    for _ in range(_ATTEMPTS * n):
        if len(found) == n:
            break
        kind = kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]
        if not labelled_image.instances:
            kind = "absent"
        written = write_expression(labelled_image, rng, kind)
        if written is None and kind != "absent":
            written = write_expression(labelled_image, rng, "category")
        if written is None or written.category not in spoken:
            continue
        if written.expression not in found:
            found[written.expression] = to_sample(labelled_image, written)
    return list(found.values())


def check_shares(*shares: float) -> None:
    """Refuse shares of splits that leave nothing to train on.

    Raises:
        ConfigError: one is below 0, or all together are 1 or more.
    """
    if min(shares) < 0 or sum(shares) >= 1:
        raise ConfigError(
            "shares of validation and test must be 0 or more, and less than 1 together, got "
            + " and ".join(f"{share:g}" for share in shares)
        )


@dataclass(slots=True)
class SplitCounts:
    """What a split holds.

    Attributes:
        images: files.
        samples: expressions.
        kinds: samples of each kind of expression, absent targets among them.
        categories: samples that speak of each category.
    """

    images: int = 0
    samples: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    categories: Counter[str] = field(default_factory=Counter)

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON; what is most comes first."""
        return {
            "images": self.images,
            "samples": self.samples,
            "kinds": dict(self.kinds.most_common()),
            "categories": dict(self.categories.most_common()),
        }


class DatasetWriter:
    """Writes a folder of triplets; a context manager.

    All is kept in a hidden folder beside the place, and moved there when the block ends without an
    error. What fails or is interrupted leaves no trace.

    Attributes:
        counts: what was written, by split.
        folder: where files are until then.
    """

    def __init__(self, root: Path, *, overwrite: bool = False) -> None:
        """Prepare to write ``root``.

        Args:
            root: the folder, to be made.
            overwrite: replace a data set that we wrote.

        Raises:
            OutputError: something is there that may not be replaced.
        """
        if root.exists() and not is_empty(root):
            if not (root / ABOUT_FILE).is_file():
                raise OutputError(
                    f"{root}: exists and was not written by rrsis-geo; give another place"
                )
            if not overwrite:
                raise OutputError(f"{root}: exists already; choose another name, or --overwrite")
        self.counts: dict[str, SplitCounts] = {}
        self._root = root
        self._about: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self._splits: dict[str, TripletWriter] = {}
        try:
            self.folder = self._stack.enter_context(atomic_folder(self._root))
        except OSError as err:
            raise OutputError(f"{self._root}: cannot be written ({err.strerror or err})") from err
        self._stack.push(self._finish)  # after the splits, which are entered later, are closed
        return self

    def add(self, split: str, sample: Sample, *, image_name: str, source: str = "") -> None:
        """Write a sample; see :meth:`rrsis_geo.data.benchmarks.triplets.TripletWriter.add`."""
        if split not in self._splits:
            writer = TripletWriter(self.folder, split)
            self._splits[split] = self._stack.enter_context(writer)
            self.counts[split] = SplitCounts()
        counts = self.counts[split]
        self._splits[split].add(sample, image_name=image_name, source=source)
        counts.samples += 1
        counts.kinds[sample.kind] += 1
        counts.categories[sample.category] += 1

    def describe(self, about: Mapping[str, Any]) -> None:
        """Keep what the data set was made of, JSON-able, in ``dataset.json``."""
        self._about = dict(about)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._stack.__exit__(kind, error, trace)
        except OSError as err:
            raise OutputError(f"{self._root}: cannot be written: {err}") from err

    def _finish(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None:
            return
        order = sorted(self.counts, key=lambda name: (*_SPLITS, name).index(name))
        self.counts = {split: self.counts[split] for split in order}
        for split, counts in self.counts.items():
            images = self.folder / "images" / split
            counts.images = sum(path.is_file() for path in images.rglob("*"))
        told = {
            "software": f"rrsis-geo {__version__}",
            **self._about,
            "splits": {split: counts.to_dict() for split, counts in self.counts.items()},
        }
        text = json.dumps(told, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        (self.folder / ABOUT_FILE).write_text(text, encoding="utf-8")
