"""gRefCOCO (Liu et al., "GRES: Generalized Referring Expression Segmentation", arXiv 2306.00968).

Expressions about one object, several or none, over photographs of COCO::

    ROOT/grefs(unc).json    ROOT/instances.json    ROOT/train2014/COCO_train2014_000000000009.jpg
"""

from pathlib import Path
from typing import Final

from rrsis_geo.data.benchmarks import refer
from rrsis_geo.data.benchmarks.records import Record

_LISTS: Final = ("", "grefcoco/", "annotations/")
_LAYOUT: Final = refer.ReferLayout(
    name="gRefCOCO",
    refs=tuple(f"{folder}grefs(unc){suffix}" for folder in _LISTS for suffix in (".json", ".p")),
    instances=tuple(f"{folder}instances.json" for folder in _LISTS),
    images=(
        "train2014",
        "images/train2014",
        "coco/train2014",
        "images/mscoco/images/train2014",
        "images",
    ),
    text=("sent", "raw"),
    find_roots=lambda root: [root, root.absolute().parent],
)


def list_splits(root: Path) -> tuple[str, ...]:
    """See :func:`rrsis_geo.data.benchmarks.refer.list_splits`."""
    return refer.list_splits(root, _LAYOUT)


def read_split(root: Path, split: str) -> list[Record]:
    """See :func:`rrsis_geo.data.benchmarks.refer.read_split`."""
    return refer.read_split(root, split, _LAYOUT)
