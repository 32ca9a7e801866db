"""Published results to compare an evaluation with, and what makes the comparison unfair."""

from collections.abc import Iterator, Sequence

from rrsis_geo.errors import ConfigError
from rrsis_geo.published import DATASETS, PublishedRow, published_rows, widest_disagreement


def find_published_rows(layout: str, split: str) -> tuple[PublishedRow, ...]:
    """Published results on a split, best mIoU first.

    Raises:
        ConfigError: there are none.
    """
    rows = published_rows(layout, split)
    if rows:
        return rows
    if layout not in DATASETS:
        raise ConfigError(
            f"nothing is published for the layout {layout}; --compare supports "
            f"{', '.join(DATASETS)}"
        )
    raise ConfigError(
        f"no paper reports the {split} split of {DATASETS[layout]}; --compare supports the splits "
        "val and test"
    )


def list_cautions(
    rows: Sequence[PublishedRow],
    *,
    split_size: int,
    published_size: int | None,
) -> Iterator[str]:
    """Reasons why the scores and the published results may not be comparable.

    Args:
        rows: from :func:`find_published_rows`; there are no cautions without rows.
        split_size: number of samples in the local split.
        published_size: number of samples in the published split, None if unknown.
    """
    if not rows:
        return
    if published_size is not None and split_size != published_size:
        yield f"the local split has {split_size} samples, the published split {published_size}"
    disagreement = widest_disagreement(rows)
    if disagreement is not None:
        method, low, high = disagreement
        yield (
            f"papers report different scores for the same method ({method}: mIoU {low:.2f} to "
            f"{high:.2f}); differences below 2 points between code bases mean little"
        )
    yield (
        "some papers choose their checkpoint on the split they report (FIANet on test, RMSIN on "
        "val); SegEarth-R1 counts an empty union as IoU 1 and an IoU equal to a threshold as a miss"
    )
