"""Scores of a run beside what papers report, and what to bear in mind when they are compared."""

from collections.abc import Iterator, Sequence

from rrsis_geo.errors import ConfigError
from rrsis_geo.published import DATASETS, PublishedRow, published_rows, widest_disagreement

PUBLISHED_SIZES_PX = (480, 512)
"""Of LAVT, RMSIN, FIANet and CroBIM; of BTDNet."""


def rows_to_compare(layout: str, split: str) -> tuple[PublishedRow, ...]:
    """What is published of a split, the best mIoU first.

    Raises:
        ConfigError: nothing is.
    """
    rows = published_rows(layout, split)
    if rows:
        return rows
    if layout not in DATASETS:
        raise ConfigError(
            f"nothing is published of data in the layout {layout}, so there is nothing to compare "
            f"with; it can be done for {', '.join(DATASETS)}"
        )
    raise ConfigError(
        f"no paper at hand reports the {split} split of {DATASETS[layout]}; val and test can be "
        "compared"
    )


def cautions(
    rows: Sequence[PublishedRow],
    *,
    size_px: int,
    n: int,
    split_size: int,
    published_size: int | None,
) -> Iterator[str]:
    """What stands against taking a comparison at face value.

    Args:
        rows: from :func:`rows_to_compare`; where there are none, there is nothing to say.
        size_px: side of the squares that were scored.
        n: samples that were scored.
        split_size: samples in the split at hand.
        published_size: samples in the split as published, None where unknown.
    """
    if not rows:
        return
    if n < split_size:
        yield f"only the first {n} of {split_size} samples were scored: no figure to compare"
    elif published_size is not None and split_size != published_size:
        yield f"the split at hand has {split_size} samples, the published one {published_size}"
    if size_px not in PUBLISHED_SIZES_PX:
        usual = " or ".join(map(str, PUBLISHED_SIZES_PX))
        yield f"scored at {size_px} px; papers score at {usual} px, and the size matters"
    spread = widest_disagreement(rows)
    if spread is not None:
        method, low, high = spread
        yield (
            f"papers disagree on one and the same method ({method}: mIoU {low:.2f} to {high:.2f} "
            "here); less than 2 points between code bases say nothing"
        )
    yield (
        "some choose their checkpoint on the very split they report (FIANet on test, RMSIN on "
        "val), and SegEarth-R1 counts an empty union as 1 and ties at a threshold as misses"
    )
