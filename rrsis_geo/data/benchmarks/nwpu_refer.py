"""NWPU-Refer, referring expressions about images of 1024 to 2048 px, some without a target.

The layout is that of the archive as other projects read it; no copy of it was at hand::

    ROOT/new_refs(unc).p    ROOT/new_instances.json    ROOT/image/*.jpg

An expression about several objects is listed as several refs, one for each. A ref has its sentence
in English and, in some, in Chinese.
"""

from pathlib import Path
from typing import Final

from rrsis_geo.data.benchmarks import refer
from rrsis_geo.data.benchmarks.records import Record

_LAYOUT: Final = refer.ReferLayout(
    name="NWPU-Refer",
    refs=("new_refs(unc).p", "refs(unc).p"),
    instances=("new_instances.json", "instances.json"),
    images=("image", "images", "JPEGImages"),
    text=("sent", "raw"),
    find_roots=lambda root: [root, root / "NWPU-Refer"],
    joins_refs=True,
    skips_other_languages=True,
)


def list_splits(root: Path) -> tuple[str, ...]:
    """See :func:`rrsis_geo.data.benchmarks.refer.list_splits`."""
    return refer.list_splits(root, _LAYOUT)


def read_split(root: Path, split: str) -> list[Record]:
    """See :func:`rrsis_geo.data.benchmarks.refer.read_split`."""
    return refer.read_split(root, split, _LAYOUT)
