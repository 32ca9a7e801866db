"""Published results in the package."""

import csv

import pytest
from repository import SHARED

from rrsis_geo.data.benchmarks.layouts import LAYOUTS
from rrsis_geo.published import (
    DATASETS,
    METRICS,
    PublishedRow,
    all_rows,
    published_rows,
    widest_disagreement,
)
from rrsis_geo.text.categories import BENCHMARK_CATEGORIES

PUBLISHED = SHARED / "benchmarks"


def test_every_row_has_a_known_split_and_a_source() -> None:
    assert {(row.dataset, row.split) for row in all_rows()} == {
        (dataset, split) for dataset in DATASETS.values() for split in ("val", "test")
    }
    assert all(row.method and row.source for row in all_rows())


def test_values_are_percentages_that_fall_with_the_threshold() -> None:
    for row in all_rows():
        values = [value for value in row.metrics.values() if value is not None]
        assert values, row
        assert all(0 <= value <= 100 for value in values), row
        shares = [row.metrics[name] for name in METRICS[:5]]
        reported = [share for share in shares if share is not None]
        assert reported == sorted(reported, reverse=True), row


def test_rows_are_sorted_by_miou() -> None:
    rows = published_rows("rrsisd", "test")
    values = [row.metrics["miou"] or 0.0 for row in rows]
    assert values == sorted(values, reverse=True)
    assert len(rows) > 40


def test_values_of_btdnet() -> None:
    """Table I of arXiv 2502.08486."""
    (row,) = (row for row in published_rows("refsegrs", "test") if row.method == "BTDNet")
    assert list(row.metrics.values()) == [83.60, 75.07, 62.69, 34.40, 9.14, 80.57, 67.95]
    assert (row.encoders, row.source) == ("Swin-B + BERT", "BTDNet arXiv:2502.08486 Table I")


@pytest.mark.parametrize(("layout", "split"), [("triplets", "test"), ("rrsisd", "train")])
def test_no_rows_for_other_splits(layout: str, split: str) -> None:
    assert published_rows(layout, split) == ()


def row(method: str, miou: float | None) -> PublishedRow:
    return PublishedRow("D", "test", method, "", "", {"miou": miou}, "paper", "")


def test_widest_disagreement() -> None:
    rows = [row("A", 50), row("A", 58), row("B", 10), row("B", 11), row("C", 1), row("A", None)]
    assert widest_disagreement(rows) == ("A", 50, 58)
    assert widest_disagreement(rows[3:]) is None
    assert row("A", 1).encoders == ""


def test_categories_of_the_benchmarks() -> None:
    counts = {layout: len(names) for layout, names in BENCHMARK_CATEGORIES.items()}
    assert counts == {"refsegrs": 14, "rrsisd": 20, "risbench": 26}
    assert all(len(set(names)) == len(names) for names in BENCHMARK_CATEGORIES.values())
    without_scores = {"grefcoco", "nwpu_refer", "triplets"}
    assert set(BENCHMARK_CATEGORIES) == set(DATASETS) == set(LAYOUTS) - without_scores


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the collected tables are not available")
def test_rows_equal_the_collected_tables() -> None:
    collected = []
    for name in ("published_results.csv", "published_results_extra.csv"):
        with (PUBLISHED / name).open(encoding="utf-8", newline="") as file:
            collected += list(csv.DictReader(file))
    assert len(collected) == len(all_rows())
    for expected, row in zip(collected, all_rows(), strict=True):
        assert [expected[n] for n in ("dataset", "split", "method", "source")] == [
            row.dataset,
            row.split,
            row.method,
            row.source,
        ]
        values = [float(expected[name]) if expected[name] else None for name in METRICS]
        assert values == list(row.metrics.values())
