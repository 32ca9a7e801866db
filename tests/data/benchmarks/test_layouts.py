import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from benchmark_trees import SPLITS

from rrsis_geo.data.benchmarks import layouts
from rrsis_geo.data.benchmarks.layouts import LAYOUTS, load_split
from rrsis_geo.errors import ConfigError, InputError

MakeBenchmark = Callable[..., Path]
BENCHMARKS = ("refsegrs", "rrsisd", "risbench")


def test_published_counts_add_up() -> None:
    totals = {name: sum(layout.counts.values()) for name, layout in LAYOUTS.items()}
    published = {"refsegrs": 4420, "rrsisd": 17402, "risbench": 52472}
    assert totals == {**published, "nwpu_refer": 0, "grefcoco": 0, "triplets": 0}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_reads_its_splits(make_benchmark: MakeBenchmark, layout: str) -> None:
    root = make_benchmark(layout)
    assert set(LAYOUTS[layout].splits(root)) == set(SPLITS)
    for split, count in SPLITS.items():
        records = load_split(layout, root, split)
        assert len(records) == count
        assert records.name == f"{layout} {split}"
        assert len({record.id for record in records.records}) == count
        records.check_files()


@pytest.mark.parametrize("layout", BENCHMARKS)
def test_a_different_count_logs_one_warning(
    make_benchmark: MakeBenchmark, layout: str, caplog: pytest.LogCaptureFixture
) -> None:
    published = LAYOUTS[layout].counts["val"]
    load_split(layout, make_benchmark(layout), "val")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert (
        f"2 samples in the val split of {layout}, but {published} are published" in record.message
    )
    assert f"({2 - published:+d})" in record.message


def test_the_published_count_logs_no_warning(
    make_benchmark: MakeBenchmark,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = {**LAYOUTS, "risbench": replace(LAYOUTS["risbench"], counts=SPLITS)}
    monkeypatch.setattr(layouts, "LAYOUTS", known)
    load_split("risbench", make_benchmark("risbench"), "test")
    load_split("triplets", make_benchmark("triplets"), "test")
    assert not caplog.records


def test_unknown_layout(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='unknown layout "rrsis-d"; did you mean "rrsisd"'):
        load_split("rrsis-d", tmp_path, "train")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_unknown_split_message_names_the_folder(make_benchmark: MakeBenchmark, layout: str) -> None:
    root = make_benchmark(layout)
    with pytest.raises(ConfigError, match=rf'{root}: no split "tset"; did you mean "test"'):
        load_split(layout, root, "tset")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_missing_folder(tmp_path: Path, layout: str) -> None:
    with pytest.raises(InputError, match="nowhere: no such folder"):
        load_split(layout, tmp_path / "nowhere", "train")


def test_triplets_of_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not a triplets dataset; .*<split>\.jsonl"):
        load_split("triplets", tmp_path, "train")
