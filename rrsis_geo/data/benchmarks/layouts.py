"""Dataset layouts that can be read, by name."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from rrsis_geo.data.benchmarks import (
    grefcoco,
    nwpu_refer,
    refsegrs,
    risbench,
    rrsisd,
    triplets,
)
from rrsis_geo.data.benchmarks.records import Record, Records, suggest_name
from rrsis_geo.errors import ConfigError, InputError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Layout:
    """Reader of one dataset layout.

    Attributes:
        splits: lists the splits in a root folder.
        read: reads the records of a split from a root folder.
        counts: split -> published number of samples; empty if there is none.
    """

    splits: Callable[[Path], tuple[str, ...]]
    read: Callable[[Path, str], list[Record]]
    counts: Mapping[str, int]


LAYOUTS: Final[Mapping[str, Layout]] = MappingProxyType(
    {
        "refsegrs": Layout(refsegrs.list_splits, refsegrs.read_split, refsegrs.COUNTS),
        "rrsisd": Layout(rrsisd.list_splits, rrsisd.read_split, rrsisd.COUNTS),
        "risbench": Layout(risbench.list_splits, risbench.read_split, risbench.COUNTS),
        "nwpu_refer": Layout(nwpu_refer.list_splits, nwpu_refer.read_split, {}),
        "grefcoco": Layout(grefcoco.list_splits, grefcoco.read_split, {}),
        "triplets": Layout(triplets.list_splits, triplets.read_split, {}),
    }
)


def load_split(layout: str, root: Path, split: str) -> Records:
    """Read the records of a split. Image and mask files are not opened.

    Logs a warning if the number of samples differs from the published number. Call
    :meth:`Records.check_files` before long work.

    Args:
        layout: a key of :data:`LAYOUTS`.
        root: folder of the dataset.
        split: name of the split.

    Raises:
        ConfigError: the layout is unknown, or the dataset has no such split.
        InputError: the folder or a list of samples is missing or damaged, or expressions are blank.
    """
    if layout not in LAYOUTS:
        raise ConfigError(f'unknown layout "{layout}"{suggest_name(layout, LAYOUTS)}')
    if not root.is_dir():
        raise InputError(f"{root}: no such folder")
    records = LAYOUTS[layout].read(root, split)
    blank = [record.id for record in records if not record.expression]
    if blank:
        more = ", ..." if len(blank) > 10 else ""
        raise InputError(
            f"{root}: the expression is blank in {len(blank)} samples of the {split} split: "
            f"{', '.join(blank[:10])}{more}; write the expressions, or remove the samples"
        )
    published = LAYOUTS[layout].counts.get(split)
    if published is not None and len(records) != published:
        logger.warning(
            "%s: %d samples in the %s split of %s, but %d are published (%+d); scores are not "
            "comparable with those of the papers",
            root,
            len(records),
            split,
            layout,
            published,
            len(records) - published,
        )
    return Records(records, f"{layout} {split}")
