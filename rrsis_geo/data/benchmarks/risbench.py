"""RISBench (Dong et al., "Cross-Modal Bidirectional Interaction Model", arXiv 2410.08613).

Two layouts are read. The first is folders, where the image folder has one of three names::

    ROOT/{img_rgb,rgb,images}/train_0_0.png  ROOT/mask/train_0_0.png  ROOT/output_phrase_<split>.txt

The second is a DatasetDict of the Hugging Face library, saved to disk (see ``saved_dataset.py``).
"""

from pathlib import Path
from typing import Final

from rrsis_geo.data.benchmarks import saved_dataset
from rrsis_geo.data.benchmarks.phrase_lists import Parts, read_phrase_list
from rrsis_geo.data.benchmarks.records import Record
from rrsis_geo.errors import InputError

COUNTS: Final = {"train": 26300, "val": 10013, "test": 16159}
MASK_ABOVE: Final = 50
"""Published loaders use 50 or 0. Masks hold 0 and 255."""
_IMAGE_FOLDERS: Final = ("img_rgb", "rgb", "images")
_MASK_FOLDERS: Final = ("mask", "masks")


def list_splits(root: Path) -> tuple[str, ...]:
    """List the splits that have a list of expressions, or those of a saved DatasetDict.

    Raises:
        InputError: neither layout is found.
    """
    if saved_dataset.is_saved(root):
        return saved_dataset.list_splits(root)
    return tuple(_find_parts(root).lists)


def read_split(root: Path, split: str) -> list[Record]:
    """Read the records of a split.

    Raises:
        ConfigError: the dataset has no such split.
        InputError: neither layout is found, or a line of a list is not a sample.
    """
    if saved_dataset.is_saved(root):
        return saved_dataset.read_split(root, split, mask_above=MASK_ABOVE)
    parts = _find_parts(root)
    return read_phrase_list(root, split, parts, suffix=".png", mask_above=MASK_ABOVE)


def _find_parts(root: Path) -> Parts:
    for folder in (root, root / "RISBench_dataset", root / "RISBench"):
        lists = {
            split: folder / f"output_phrase_{split}.txt"
            for split in COUNTS
            if (folder / f"output_phrase_{split}.txt").is_file()
        }
        images = [folder / name for name in _IMAGE_FOLDERS if (folder / name).is_dir()]
        masks = [folder / name for name in _MASK_FOLDERS if (folder / name).is_dir()]
        if lists and images and masks:
            return Parts(images[0], masks[0], lists)
    raise InputError(
        f"{root}: not a RISBench dataset; expected a folder of images "
        f"({', '.join(_IMAGE_FOLDERS)}), one of "
        "masks (mask), and output_phrase_<split>.txt; or a saved DatasetDict"
    )
