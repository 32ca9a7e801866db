"""What papers report of the benchmarks.

``results.csv`` holds the rows of the tables as printed, in percent, each with its source. A method
may stand there several times: papers differ in what they report of one and the same method.
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
"""Layout -> name of the benchmark in papers."""

METRICS: Final = ("pr50", "pr60", "pr70", "pr80", "pr90", "oiou", "miou")


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """A row of a table in a paper.

    Attributes:
        dataset: a value of ``DATASETS``.
        split: "val" or "test".
        method: as the paper names it.
        visual_encoder: "" where the paper does not tell.
        text_encoder: "" as above, "None" where the method has none.
        metrics: each of ``METRICS`` -> percent as printed, None where it is not reported.
        source: paper and table.
        note: what to know of the row, "" if nothing.
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
        """Both encoders in a few words, "" where the paper tells none."""
        names = (self.visual_encoder, self.text_encoder)
        return " + ".join(name for name in names if name not in ("", "None"))


@cache
def all_rows() -> tuple[PublishedRow, ...]:
    """Every row, in the order of the file."""
    text = resources.files(__name__).joinpath("results.csv").read_text(encoding="utf-8")
    return tuple(
        PublishedRow(
            metrics={name: float(row[name]) if row[name] else None for name in METRICS},
            **{name: value for name, value in row.items() if name not in METRICS},
        )
        for row in csv.DictReader(text.splitlines())
    )


def published_rows(layout: str, split: str) -> tuple[PublishedRow, ...]:
    """What is published of a split of a benchmark, the best mIoU first; () where nothing is."""
    dataset = DATASETS.get(layout)
    rows = [row for row in all_rows() if (row.dataset, row.split) == (dataset, split)]
    return tuple(sorted(rows, key=lambda row: -(row.metrics["miou"] or 0.0)))


def widest_disagreement(rows: Sequence[PublishedRow]) -> tuple[str, float, float] | None:
    """The method on whose mIoU the sources of some rows differ most: (method, lowest, highest).

    None where no method is reported twice.
    """
    values: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if (miou := row.metrics["miou"]) is not None:
            values[row.method].append(miou)
    spans = [(name, min(own), max(own)) for name, own in values.items() if len(own) > 1]
    return max(spans, key=lambda span: span[2] - span[1], default=None)
