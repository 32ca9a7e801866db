"""The layouts of data sets that can be read, by name."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from rrsis_geo.data.benchmarks import refsegrs, risbench, rrsisd, triplets
from rrsis_geo.data.benchmarks.records import Record, Records, suggest_name
from rrsis_geo.errors import ConfigError, InputError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Layout:
    """How the files of a data set lie.

    Attributes:
        splits: the splits that a root folder has.
        read: the records of a split of a root folder.
        counts: split -> samples as published; empty where nothing is.
    """

    splits: Callable[[Path], tuple[str, ...]]
    read: Callable[[Path, str], list[Record]]
    counts: Mapping[str, int]


LAYOUTS: Final[Mapping[str, Layout]] = MappingProxyType(
    {
        "refsegrs": Layout(refsegrs.list_splits, refsegrs.read_split, refsegrs.COUNTS),
        "rrsisd": Layout(rrsisd.list_splits, rrsisd.read_split, rrsisd.COUNTS),
        "risbench": Layout(risbench.list_splits, risbench.read_split, risbench.COUNTS),
        "triplets": Layout(triplets.list_splits, triplets.read_split, {}),
    }
)


def load_split(layout: str, root: Path, split: str) -> Records:
    """The records of a split, its image and mask files not looked at yet.

    One warning is logged where their number is not the published one. Call
    :meth:`Records.check_files` before work that takes long.

    Args:
        layout: a name of :data:`LAYOUTS`.
        root: the data set's folder.
        split: name of the split.

    Raises:
        ConfigError: no such layout, or the data set has no such split.
        InputError: the folder or a list of samples is missing or damaged.
    """
    if layout not in LAYOUTS:
        raise ConfigError(f'unknown layout "{layout}"{suggest_name(layout, LAYOUTS)}')
    if not root.is_dir():
        raise InputError(f"{root}: no such folder")
    records = LAYOUTS[layout].read(root, split)
    published = LAYOUTS[layout].counts.get(split)
    if published is not None and len(records) != published:
        logger.warning(
            "%s: %d samples in the %s split of %s, but %d are published (%+d); scores cannot be "
            "compared with the papers'",
            root,
            len(records),
            split,
            layout,
            published,
            len(records) - published,
        )
    return Records(records, f"{layout} {split}")
