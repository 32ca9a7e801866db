"""Datasets with one list of expressions per split: RefSegRS and RISBench."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from rrsis_geo.data.benchmarks.records import ImageFile, MaskFile, Record, unknown_split_error
from rrsis_geo.data.image_files import FileFinder, read_phrases


class Parts(NamedTuple):
    """Locations of the parts of a dataset.

    Attributes:
        images: folder of the images.
        masks: folder of the masks. A mask has the name of its image.
        lists: split -> text file with lines of image name, blank, expression.
    """

    images: Path
    masks: Path
    lists: Mapping[str, Path]


def read_phrase_list(
    root: Path, split: str, parts: Parts, *, suffix: str, mask_above: int
) -> list[Record]:
    """Read the records of a split.

    Args:
        root: folder of the dataset, for messages.
        split: name of the split.
        parts: locations of the parts of the dataset.
        suffix: suffix of files that are listed without one.
        mask_above: mask values above this are the target.

    Raises:
        ConfigError: the dataset has no such split.
        InputError: a line of the list is not a sample.
    """
    if split not in parts.lists:
        raise unknown_split_error(root, split, parts.lists)
    images, masks = FileFinder(parts.images), FileFinder(parts.masks)
    records = []
    for name, expression, where in read_phrases(parts.lists[split]):
        file = name if Path(name).suffix else name + suffix
        records.append(
            Record(
                id=Path(name).stem,
                expression=expression,
                image=ImageFile(images.find(file, where)),
                mask=MaskFile(masks.find(file, where), mask_above),
            )
        )
    return records
