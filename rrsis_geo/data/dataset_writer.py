"""Writer of datasets: samples about labelled images, in a folder of triplets."""

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
from rrsis_geo.data.expressions.kinds import KIND_WEIGHTS
from rrsis_geo.data.expressions.writer import fully_labelled_categories, write_expression
from rrsis_geo.data.instances.referring import to_sample
from rrsis_geo.data.sample import LabelledImage, Sample
from rrsis_geo.errors import ConfigError, OutputError
from rrsis_geo.files import atomic_folder, is_empty
from rrsis_geo.version import __version__

ABOUT_FILE: Final = "dataset.json"
"""Description of a dataset. A folder without this file was not written by rrsis-geo."""
_SPLITS: Final = ("train", "val", "test")
"""Order of the splits in reports."""
_ATTEMPTS: Final = 5
"""Expressions written per expression requested, at most."""


def write_samples(labelled_image: LabelledImage, rng: np.random.Generator, n: int) -> list[Sample]:
    """Write at most ``n`` samples about an image, with different expressions.

    Kinds of expressions are drawn by :data:`KIND_WEIGHTS`. If no expression of a kind is possible,
    the expression names a plain category. A category wider than the labels ("vehicle" for trucks)
    is used only if it is fully labelled. An image with little to refer to gives fewer samples, and
    an image without objects and without fully labelled categories gives none.
    """
    allowed = fully_labelled_categories(labelled_image) | {
        item.category for item in labelled_image.instances
    }
    kinds = list(KIND_WEIGHTS)
    weights = np.array(list(KIND_WEIGHTS.values()))
    samples: dict[str, Sample] = {}
    for _ in range(_ATTEMPTS * n):
        if len(samples) == n:
            break
        kind = kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]
        if not labelled_image.instances:
            kind = "absent"
        written = write_expression(labelled_image, rng, kind)
        if written is None and kind != "absent":
            written = write_expression(labelled_image, rng, "category")
        if written is None or written.category not in allowed:
            continue
        if written.expression not in samples:
            samples[written.expression] = to_sample(labelled_image, written)
    return list(samples.values())


def check_shares(*shares: float) -> None:
    """Check that the shares of the validation and test splits leave training samples.

    Raises:
        ConfigError: a share is negative, or their sum is 1 or more.
    """
    if min(shares) < 0 or sum(shares) >= 1:
        raise ConfigError(
            "shares of validation and test must be 0 or more and less than 1 in sum, got "
            + " and ".join(f"{share:g}" for share in shares)
        )


@dataclass(slots=True)
class SplitCounts:
    """Counts of a split.

    Attributes:
        images: number of images.
        samples: number of samples.
        kinds: kind of expression -> number of samples.
        categories: category of the expression -> number of samples.
    """

    images: int = 0
    samples: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    categories: Counter[str] = field(default_factory=Counter)

    def to_dict(self) -> dict[str, Any]:
        """The counts for JSON, the most common first."""
        return {
            "images": self.images,
            "samples": self.samples,
            "kinds": dict(self.kinds.most_common()),
            "categories": dict(self.categories.most_common()),
        }


class DatasetWriter:
    """Context manager that writes a dataset as a folder of triplets.

    Files go to a hidden folder beside the destination. The hidden folder becomes the destination
    when the block ends without an error, and is deleted otherwise.

    Attributes:
        counts: split -> counts of the samples written.
        folder: the hidden folder.
    """

    def __init__(self, root: Path, *, overwrite: bool = False) -> None:
        """Prepare to write ``root``.

        Args:
            root: the destination.
            overwrite: replace a dataset that rrsis-geo wrote.

        Raises:
            OutputError: the destination exists and cannot be replaced.
        """
        if root.exists() and not is_empty(root):
            if not (root / ABOUT_FILE).is_file():
                raise OutputError(
                    f"{root}: exists and was not written by rrsis-geo; choose another folder"
                )
            if not overwrite:
                raise OutputError(
                    f"{root}: exists already; choose another folder or use --overwrite"
                )
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
        self._stack.push(self._finish)  # runs after the splits are closed
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
        """Set the description for ``dataset.json``. It must be JSON serializable."""
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
        content = {
            "software": f"rrsis-geo {__version__}",
            **self._about,
            "splits": {split: counts.to_dict() for split, counts in self.counts.items()},
        }
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        (self.folder / ABOUT_FILE).write_text(text, encoding="utf-8")
