"""Results of the benchmarks as published in papers.

``results.csv`` has the rows of the tables as printed, in percent, each with its source. A method
may occur several times, because papers report different numbers for the same method.
"""

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Final

DATASETS: Final[Mapping[str, str]] = MappingProxyType(
    {"refsegrs": "RefSegRS", "rrsisd": "RRSIS-D", "risbench": "RISBench"}
)
"""Name of a dataset layout -> name of the benchmark in papers."""

METRICS: Final = ("pr50", "pr60", "pr70", "pr80", "pr90", "oiou", "miou")


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """A row of a table in a paper.

    Attributes:
        dataset: a value of ``DATASETS``.
        split: "val" or "test".
        method: name of the method in the paper.
        visual_encoder: "" if the paper does not name it.
        text_encoder: "" if the paper does not name it, "None" if the method has none.
        metrics: name of a metric -> percent as printed, None if it is not reported.
        source: paper and table.
        note: remark about the row, or "".
    """

    dataset: str
    split: str
    method: str
    visual_encoder: str
    text_encoder: str
    metrics: Mapping[str, float | None]
    source: str
    note: str

    @property
    def encoders(self) -> str:
        """Names of both encoders, "" if the paper names none."""
        names = (self.visual_encoder, self.text_encoder)
        return " + ".join(name for name in names if name not in ("", "None"))


@cache
def all_rows() -> tuple[PublishedRow, ...]:
    """All rows in the order of the file."""
    text = resources.files(__name__).joinpath("results.csv").read_text(encoding="utf-8")
    return tuple(
        PublishedRow(
            metrics={name: float(row[name]) if row[name] else None for name in METRICS},
            **{name: value for name, value in row.items() if name not in METRICS},
        )
        for row in csv.DictReader(text.splitlines())
    )


def published_rows(layout: str, split: str) -> tuple[PublishedRow, ...]:
    """Published rows of a split of a benchmark, highest mIoU first; () if there are none."""
    dataset = DATASETS.get(layout)
    rows = [row for row in all_rows() if (row.dataset, row.split) == (dataset, split)]
    return tuple(sorted(rows, key=lambda row: -(row.metrics["miou"] or 0.0)))


def widest_disagreement(rows: Sequence[PublishedRow]) -> tuple[str, float, float] | None:
    """Method whose reported mIoU differs most between sources, with its lowest and highest mIoU.

    None if no method is reported twice.
    """
    values: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if (miou := row.metrics["miou"]) is not None:
            values[row.method].append(miou)
    spans = [(name, min(mious), max(mious)) for name, mious in values.items() if len(mious) > 1]
    return max(spans, key=lambda span: span[2] - span[1], default=None)
