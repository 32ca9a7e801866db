"""RefSegRS (Yuan et al., "RRSIS: Referring Remote Sensing Image Segmentation", arXiv 2306.08625).

Two layouts are read, that of the current archive and that of the first release::

    ROOT/images/<id>.tif    ROOT/masks/<id>.tif     ROOT/output_phrase_<split>.txt
    ROOT/images2/<id>.tif   ROOT/masks2/<id>.tif    ROOT/output_phrase_{train,val3,test3}.txt

The first release can also lie in ``ROOT/new_dataset2``.
"""

from pathlib import Path
from typing import Final

from rrsis_geo.data.benchmarks.phrase_lists import Parts, read_phrase_list
from rrsis_geo.data.benchmarks.records import Record
from rrsis_geo.errors import InputError

COUNTS: Final = {"train": 2172, "val": 431, "test": 1817}
"""Counts of CroBIM. The 413 for val in BTDNet and FIANet is a misprint: the sum is 4420."""
MASK_ABOVE: Final = 50
"""Threshold of the loaders of LGCE and FIANet. Masks hold 0 and 255."""


def list_splits(root: Path) -> tuple[str, ...]:
    """List the splits that have a list of expressions.

    Raises:
        InputError: neither layout is found.
    """
    return tuple(_find_parts(root).lists)


def read_split(root: Path, split: str) -> list[Record]:
    """Read the records of a split.

    Raises:
        ConfigError: the dataset has no such split.
        InputError: neither layout is found, or a line of a list is not a sample.
    """
    parts = _find_parts(root)
    return read_phrase_list(root, split, parts, suffix=".tif", mask_above=MASK_ABOVE)


def _find_parts(root: Path) -> Parts:
    tried = []
    for folder in (root, root / "RefSegRS", root / "new_dataset2"):
        for ending, numbers in (("", ("", "3")), ("2", ("3", ""))):
            images, masks = folder / f"images{ending}", folder / f"masks{ending}"
            lists = _find_lists((folder, root), numbers)
            if images.is_dir() and masks.is_dir() and lists:
                return Parts(images, masks, lists)
            tried.append(str(images.relative_to(root)))
    raise InputError(
        f"{root}: not a RefSegRS dataset; looked for {', '.join(tried)}, each with its masks and "
        "output_phrase_<split>.txt"
    )


def _find_lists(folders: tuple[Path, ...], numbers: tuple[str, ...]) -> dict[str, Path]:
    """The list of each split. The first release numbers its lists; 3 is the latest."""
    lists: dict[str, Path] = {}
    for split in COUNTS:
        names = [f"output_phrase_{split}{number}.txt" for number in numbers]
        paths = [folder / name for folder in folders for name in names]
        existing = [path for path in paths if path.is_file()]
        if existing:
            lists[split] = existing[0]
    return lists
