"""Data sets of images, masks and one list of expressions a split: RefSegRS and RISBench."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from rrsis_geo.data.benchmarks.records import ImageFile, MaskFile, Record, unknown_split_error
from rrsis_geo.data.image_files import path_inside, read_phrases


class Parts(NamedTuple):
    """Where the parts of the data set are.

    Attributes:
        images: their folder.
        masks: their folder; a mask has its image's name.
        lists: split -> file of lines: the name of an image, a blank, an expression.
    """

    images: Path
    masks: Path
    lists: Mapping[str, Path]


def read_phrase_list(
    root: Path, split: str, parts: Parts, *, suffix: str, mask_above: int
) -> list[Record]:
    """The samples of a split.

    Args:
        root: the data set's folder, for messages.
        split: name of the split.
        parts: of the data set.
        suffix: of files that are listed without one.
        mask_above: values of a mask above this are the target.

    Raises:
        ConfigError: there is no such split.
        InputError: a line is no sample.
    """
    if split not in parts.lists:
        raise unknown_split_error(root, split, parts.lists)
    records = []
    for name, expression, where in read_phrases(parts.lists[split]):
        file = name if Path(name).suffix else name + suffix
        records.append(
            Record(
                id=Path(name).stem,
                expression=expression,
                image=ImageFile(path_inside(parts.images, file, where)),
                mask=MaskFile(path_inside(parts.masks, file, where), mask_above),
            )
        )
    return records
