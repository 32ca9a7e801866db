"""Conversion of COCO instances to a dataset of referring samples."""

from collections import Counter
from collections.abc import Container
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from rrsis_geo.data.dataset_writer import DatasetWriter, SplitCounts, check_shares
from rrsis_geo.data.instances.coco import InstanceSource
from rrsis_geo.data.instances.referring import CropSettings, ReferringInstances
from rrsis_geo.data.sample import Sample
from rrsis_geo.errors import ConfigError, InputError
from rrsis_geo.progress import Progress

_MAX_DRAWS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoOptions:
    """How COCO instances become samples.

    Attributes:
        samples: number of samples over all splits.
        size_px: side of the crops, pixels.
        val_share: share of the images for validation.
        seed: random seed.
    """

    samples: int = 2000
    size_px: int = 512
    val_share: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ConfigError(f"samples must be at least 1, got {self.samples}")
        if self.size_px < 64 or self.size_px % 32:
            raise ConfigError(f"size must be a multiple of 32 and at least 64, got {self.size_px}")
        check_shares(self.val_share)


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoReport:
    """Result of the conversion.

    Attributes:
        root: folder of the dataset.
        splits: split -> counts of its samples.
        images: number of images with instances.
        categories: category -> number of instances.
        annotations: number of annotations that were read ("read"), and of those left out: repeated,
            without an outline ("no_outline"), damaged, of a group ("crowd"), without an English
            name ("nameless") and without their image ("without_image").
        warnings: warnings for the user.
    """

    root: Path
    splits: dict[str, SplitCounts]
    images: int
    categories: dict[str, int]
    annotations: dict[str, int]
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The report for JSON."""
        splits = {name: counts.to_dict() for name, counts in self.splits.items()}
        return {
            "root": str(self.root),
            "splits": splits,
            "images": self.images,
            "categories": self.categories,
            "annotations": self.annotations,
            "warnings": [*self.warnings],
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
    """Make a dataset of triplets from COCO instances, polygons or RLE.

    A sample is a random crop of an image with an expression, as in training on instances (see
    docs/training.md). Annotations that cannot be used are left out, with a warning. Splits share no
    image, and no "sequence" if the images have this field.

    Args:
        instances: the COCO file.
        root: folder of the new dataset.
        options: None takes all defaults.
        images: folder of the images. None is "images" beside the file.
        overwrite: replace a dataset that rrsis-geo wrote.
        progress: called with progress.

    Raises:
        ConfigError: there are too few images for two splits.
        InputError: the file or an image cannot be read.
        OutputError: the dataset cannot be written. Nothing is left in this case.
    """
    options = options or CocoOptions()
    with DatasetWriter(root, overwrite=overwrite) as writer:
        source = InstanceSource(instances, images)
        categories = sum(source.counts, Counter[str]())
        n_written = 0
        for number, (split, indices) in enumerate(_split_images(source, options).items()):
            part = source.subset(indices)
            referring = ReferringInstances(part, options.size_px, crops=CropSettings(augment=False))
            for index in range(_n_samples(split, options)):
                rng = np.random.default_rng([options.seed, number, index])
                sample = _draw_sample(referring, rng, categories)
                writer.add(split, sample, image_name=f"{index:06}.png", source=sample.id)
                n_written += 1
                if progress is not None:
                    progress("samples", n_written, options.samples)
        writer.describe(
            {"made_by": "from-coco", "instances": str(instances), "options": asdict(options)}
        )
    return CocoReport(
        root=root,
        splits=writer.counts,
        images=len(source),
        categories=dict(categories.most_common()),
        annotations=source.annotations,
        warnings=source.warnings,
    )


def _n_samples(split: str, options: CocoOptions) -> int:
    n_val = max(1, round(options.val_share * options.samples)) if options.val_share else 0
    return n_val if split == "val" else options.samples - n_val


def _split_images(source: InstanceSource, options: CocoOptions) -> dict[str, list[int]]:
    """The indices of the images of each split. Images of one group go to the same split."""
    groups: dict[str, list[int]] = {}
    for index, group in enumerate(source.groups):
        groups.setdefault(group, []).append(index)
    if not options.val_share:
        return {"train": list(range(len(source)))}
    if len(groups) < 2:
        raise ConfigError(
            f"too few images of different places for validation ({len(groups)}); use --val-share 0"
        )
    names = list(groups)
    order = np.random.default_rng(options.seed).permutation(len(names)).tolist()
    n_val = min(max(1, round(options.val_share * len(names))), len(names) - 1)
    val = sorted(index for name in order[:n_val] for index in groups[names[name]])
    train = sorted(index for name in order[n_val:] for index in groups[names[name]])
    return {"train": train, "val": val}


def _draw_sample(
    referring: ReferringInstances, rng: np.random.Generator, categories: Container[str]
) -> Sample:
    """Draw a sample whose expression names a category of the file and whose target is known.

    If only trucks are labelled, "vehicles" would refer to more than the labels. Triplets cannot say
    which pixels are unknown.
    """
    for _ in range(_MAX_DRAWS):
        sample = referring.sample(rng)
        if sample.category in categories and sample.ignored is None:
            return sample
    raise InputError(
        "no expression about the categories of the instances is possible; partly labelled images "
        "are used for the categories in their complete_for only"
    )
