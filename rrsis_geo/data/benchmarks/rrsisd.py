"""RRSIS-D (Liu et al., "Rotated Multi-Scale Interaction Network", arXiv 2312.12470).

The layout of RMSIN is read, and common variations of it::

    ROOT/rrsisd/refs(unc).p    ROOT/rrsisd/instances.json    ROOT/images/rrsisd/JPEGImages/00001.jpg

Some images differ in size from their masks: 09976.jpg is 800 x 801, 15324.jpg is 800 x 787, and all
masks are 800 x 800. The published protocol resizes both to one square.
"""

import re
from pathlib import Path
from typing import Final

from rrsis_geo.data.benchmarks import refer
from rrsis_geo.data.benchmarks.records import Record
from rrsis_geo.text.categories import RRSISD_CATEGORIES

COUNTS: Final = {"train": 12181, "val": 1740, "test": 3481}
_NAMES_WITHOUT_BLANKS: Final = {name.replace(" ", ""): name for name in RRSISD_CATEGORIES}


def _find_roots(root: Path) -> list[Path]:
    roots = [root, root / "RRSIS-D", root / "refer" / "data"]
    if root.absolute().name == "rrsisd":
        roots.append(root.absolute().parent)
    return roots


def _name_category(name: str) -> str:
    """A category as in the papers: "Expressway-Service-area" is "expressway service area"."""
    lower = name.lower()
    return _NAMES_WITHOUT_BLANKS.get(re.sub(r"[^a-z]", "", lower), lower)


_LAYOUT: Final = refer.ReferLayout(
    name="RRSIS-D",
    refs=("rrsisd/refs(unc).p", "refs(unc).p"),
    instances=("rrsisd/instances.json", "instances.json"),
    images=(
        "images/rrsisd/JPEGImages",
        "JPEGImages",
        "images/JPEGImages",
        "rrsisd/JPEGImages",
        "images/rrsisd",
        "images",
    ),
    text=("raw",),
    find_roots=_find_roots,
    name_category=_name_category,
)


def list_splits(root: Path) -> tuple[str, ...]:
    """See :func:`rrsis_geo.data.benchmarks.refer.list_splits`."""
    return refer.list_splits(root, _LAYOUT)


def read_split(root: Path, split: str) -> list[Record]:
    """See :func:`rrsis_geo.data.benchmarks.refer.read_split`. The expression is the field "raw"."""
    return refer.read_split(root, split, _LAYOUT)
