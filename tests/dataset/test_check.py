"""Check of datasets."""

import json
import logging
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rrsis_geo.data.benchmarks.triplets import TripletWriter
from rrsis_geo.data.sample import Sample
from rrsis_geo.dataset.check import CheckOptions, check_dataset
from rrsis_geo.errors import ConfigError, InputError, OutputError

MakeBenchmark = Callable[..., Path]


@pytest.mark.parametrize("layout", ["refsegrs", "rrsisd", "risbench", "triplets"])
def test_counts_of_every_layout(make_benchmark: MakeBenchmark, layout: str) -> None:
    report = check_dataset(make_benchmark(layout, side_px=48), layout)
    assert {name: facts.samples for name, facts in report.splits.items()} == {
        "train": 4,
        "val": 2,
        "test": 3,
    }
    for facts in report.splits.values():
        assert facts.image_sizes == facts.mask_sizes == {"48 x 48": facts.samples}
        assert sum(facts.tokens.values()) == facts.samples
        assert facts.problems == facts.empty == facts.other_size == ()
    assert report.n_problems == 0
    assert report.max_tokens == 24
    published = report.splits["val"].published
    assert published == {"refsegrs": 431, "rrsisd": 1740, "risbench": 10013}.get(layout)
    assert any("published" in text for text in report.warnings) == (published is not None)


def test_blank_expressions_are_named(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("rrsisd")
    path = root / "rrsisd" / "refs(unc).p"
    refs = pickle.loads(path.read_bytes())
    refs[1]["sentences"][0]["raw"] = " "
    path.write_bytes(pickle.dumps(refs))
    train = check_dataset(root, "rrsisd").splits["train"]
    assert train.problems == ("rrsisd train, sample 2: the expression is blank",)
    assert (train.samples, train.image_sizes) == (4, {"48 x 48": 3})


def test_masks_of_another_size_are_listed(make_benchmark: MakeBenchmark) -> None:
    report = check_dataset(make_benchmark("rrsisd", odd_sizes=True), "rrsisd")
    odd = [name for facts in report.splits.values() for name in facts.other_size]
    assert odd
    assert any(odd[0] in warning for warning in report.warnings)


def test_long_expressions_are_counted(
    make_benchmark: MakeBenchmark,
) -> None:
    root = make_benchmark("triplets")
    report = check_dataset(root, "triplets", CheckOptions(max_tokens=5))
    assert all(facts.cut == facts.samples for facts in report.splits.values())
    report = check_dataset(root, "triplets", CheckOptions(max_tokens=20))
    assert all(facts.cut == 0 for facts in report.splits.values())


def test_all_damaged_files_are_reported(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("triplets")
    first, second, *_ = sorted((root / "images" / "train").iterdir())
    first.unlink()
    second.write_bytes(second.read_bytes()[:60])
    with (root / "val.jsonl").open("a") as file:
        file.write("{no json\n")
    report = check_dataset(root, "triplets")
    assert report.n_problems == 3
    train = "\n".join(report.splits["train"].problems)
    assert first.name in train
    assert second.name in train
    assert "val.jsonl, line 3" in report.splits["val"].problems[0]
    assert report.splits["test"].problems == ()
    assert report.splits["train"].samples == 4
    json.dumps(report.to_dict())


def test_empty_masks_differ_from_absent_targets(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("triplets", absent=True)
    absent = [facts.absent for facts in check_dataset(root, "triplets").splits.values()]
    assert sum(absent) > 0
    lines = (root / "test.jsonl").read_text().splitlines()
    entry = next(line for line in map(json.loads, lines) if line["segmentation"])
    size = entry["segmentation"]["size"]
    entry["segmentation"] = {"size": size, "counts": [size[0] * size[1]]}
    with (root / "test.jsonl").open("a") as file:
        file.write(json.dumps(entry) + "\n")
    facts = check_dataset(root, "triplets").splits["test"]
    assert facts.empty == (f"test-{len(lines) + 1}",)


def test_an_image_in_two_splits_gives_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mask = np.ones((8, 8), bool)
    sample = Sample(np.zeros((8, 8, 3), np.uint8), "the roof", mask)
    for split in ("train", "val"):
        with TripletWriter(tmp_path, split) as writer:
            writer.add(sample)
    text = (tmp_path / "train.jsonl").read_text()
    (tmp_path / "val.jsonl").write_text(text)
    with caplog.at_level(logging.WARNING, "rrsis_geo"):
        report = check_dataset(tmp_path, "triplets")
    assert report.warnings == ("1 images are in both train and val, so scores will be too high",)
    assert "in both train and val" in caplog.text


def test_the_sheet_is_the_same_for_a_seed(make_benchmark: MakeBenchmark, tmp_path: Path) -> None:
    root = make_benchmark("triplets", splits={"train": 30})
    sheets = [tmp_path / name for name in ("a.png", "b.png", "c.png")]
    for sheet, seed in zip(sheets, (1, 1, 2), strict=True):
        check_dataset(root, "triplets", CheckOptions(sheet=sheet, seed=seed))
    first, second, third = (np.asarray(Image.open(sheet)) for sheet in sheets)
    assert (first == second).all()
    assert first.shape != third.shape or (first != third).any()
    with pytest.raises(OutputError, match="--overwrite"):
        check_dataset(root, "triplets", CheckOptions(sheet=sheets[0]))
    with pytest.raises(OutputError, match=r"\.png"):
        check_dataset(root, "triplets", CheckOptions(sheet=tmp_path / "sheet.jpg"))
    assert sorted(path.name for path in tmp_path.glob("*.p*")) == ["a.png", "b.png", "c.png"]


def test_errors(make_benchmark: MakeBenchmark, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='did you mean "rrsisd"'):
        check_dataset(make_benchmark("rrsisd"), "rrsis-d")
    with pytest.raises(InputError, match="no such folder"):
        check_dataset(tmp_path / "none", "triplets")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no split"):
        check_dataset(tmp_path / "empty", "triplets")
