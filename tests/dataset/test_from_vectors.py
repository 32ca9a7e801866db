"""Conversion of a scene and its labels to triplets."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from numpy.typing import NDArray
from repository import ROOT
from shapely.geometry import box

from rrsis_geo.config import load
from rrsis_geo.data.benchmarks.layouts import load_split
from rrsis_geo.data.sample import Sample
from rrsis_geo.dataset import from_vectors as pipeline_labels
from rrsis_geo.dataset.chip_labeller import LabelOptions
from rrsis_geo.dataset.from_vectors import LabelReport, from_vectors
from rrsis_geo.errors import ConfigError, InputError, OutputError
from rrsis_geo.geo.scene.options import SceneOptions
from rrsis_geo.train.config import TrainConfig

SIDE = 512
GSD_M = 0.5
PLACES = [(row, col) for row in range(20, 500, 90) for col in range(30, 480, 110)]
"""Upper left corners of the objects, pixels."""
HEIGHT, WIDTH = 14, 26


def red_objects(row: NDArray[np.intp], col: NDArray[np.intp], band: int) -> NDArray[np.generic]:
    """Gray ground with red rectangles."""
    inside = np.zeros(row.shape, bool)
    for top, left in PLACES:
        inside |= (row >= top) & (row < top + HEIGHT) & (col >= left) & (col < left + WIDTH)
    ground = 110 + 9 * ((row // 7 + col // 5) % 3) + 3 * band
    value: NDArray[np.generic] = np.where(inside, 200 if band == 1 else 30, ground)
    return value


@pytest.fixture
def scene(make_scene: Callable[..., Path]) -> Path:
    return make_scene(SIDE, SIDE, content=red_objects)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """The labels of the scene in degrees: "Well_Pads" and one substation."""
    left, top = 500_000.0, 5_200_000.0
    shapes = [
        box(
            left + GSD_M * col,
            top - GSD_M * (row + HEIGHT),
            left + GSD_M * (col + WIDTH),
            top - GSD_M * row,
        )
        for row, col in PLACES
    ]
    kinds = ["Well_Pads"] * (len(PLACES) - 1) + ["substation"]
    table = gpd.GeoDataFrame({"what": kinds}, geometry=shapes, crs="EPSG:32632")
    path = tmp_path / "labels.gpkg"
    table.to_crs("EPSG:4326").to_file(path, engine="pyogrio")
    return path


def make(path: Path, labels: Path, root: Path, **options: object) -> LabelReport:
    settings: dict[str, object] = {"category_column": "what", "chip_px": 128, **options}
    return from_vectors(path, labels, root, LabelOptions(**settings))  # type: ignore[arg-type]


def samples_of(root: Path, split: str) -> list[Sample]:
    records = load_split("triplets", root, split)
    return [records[index] for index in range(len(records))]


def is_red(sample: Sample) -> NDArray[np.bool_]:
    red: NDArray[np.bool_] = (sample.image[..., 0] > 180) & (sample.image[..., 1] < 60)
    return red


def test_masks_and_expressions_match_the_pixels(scene: Path, labels: Path, tmp_path: Path) -> None:
    report = make(scene, labels, tmp_path / "dataset", complete=True)
    assert report.categories == {"well pad": len(PLACES) - 1, "substation": 1}
    assert set(report.splits) == {"train", "val"}
    kinds = set()
    for split, counts in report.splits.items():
        samples = samples_of(tmp_path / "dataset", split)
        assert len(samples) == counts.samples
        for sample in samples:
            kinds.add(sample.kind)
            assert sample.image.shape == (128, 128, 3)
            assert "vehicle" not in sample.expression
            assert sample.mask.any() == (sample.kind != "absent")
            assert is_red(sample)[sample.mask].all()
            if sample.kind == "category" and sample.category == "well pad":
                here = {sample.category} | {other.category for other in samples}
                if "substation" not in here:
                    assert (sample.mask == is_red(sample)).all()
            words = sample.expression.split()
            if sample.mask.any() and {"blue", "white", "green"} & set(words):
                pytest.fail(f"{sample.expression}: everything is red")
    assert {"category", "absent"} <= kinds
    texts = " ".join(s.expression for s in samples_of(tmp_path / "dataset", "train"))
    assert "well pads" in texts
    assert "well padses" not in texts


def relabel(labels: Path, path: Path, **columns: list[str]) -> Path:
    """The labels with other values, repeated from the first for all of them."""
    table = gpd.read_file(labels)
    for name, values in columns.items():
        table[name] = [values[index % len(values)] for index in range(len(table))]
    table.to_file(path, engine="pyogrio")
    return path


def test_labels_that_no_sentence_can_name_are_left_out(
    scene: Path, labels: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    what = ["truck", "4", "N/A", "\u5361\u8f66", "Geb\u00e4ude", "Lastwagen"]
    odd = relabel(labels, tmp_path / "odd.gpkg", what=what, on=["road", "n/a"])
    report = make(scene, odd, tmp_path / "made", val_share=0, attribute_columns=("on",))
    assert set(report.categories) == {"truck", "geb\u00e4ude", "lastwagen"}
    assert report.labels["nameless"] == len(PLACES) // 2
    assert '15 of 30 labels were left out, because their category is no English name: "4"' in (
        caplog.text
    )
    assert '"geb\u00e4ude", "lastwagen" may not be English' in caplog.text
    texts = " ".join(sample.expression for sample in samples_of(tmp_path / "made", "train"))
    assert not {"4", "n/a", "\u5361\u8f66"} & set(texts.split())


def test_class_numbers_alone_are_refused(scene: Path, labels: Path, tmp_path: Path) -> None:
    odd = relabel(labels, tmp_path / "odd.gpkg", what=["1", "2"])
    with pytest.raises(InputError, match=r'no label has an English name: .* "1", "2"; choose'):
        make(scene, odd, tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_labels_that_lie_there_twice_count_once(scene: Path, labels: Path, tmp_path: Path) -> None:
    table = gpd.read_file(labels)
    turned = table.set_geometry(table.geometry.reverse())
    gpd.GeoDataFrame(pd.concat([table, turned])).to_file(tmp_path / "twice.gpkg", engine="pyogrio")
    once = make(scene, labels, tmp_path / "once")
    twice = make(scene, tmp_path / "twice.gpkg", tmp_path / "both")
    assert twice.labels["repeated"] == len(PLACES)
    assert twice.categories == once.categories
    lists = [(tmp_path / name / "train.jsonl").read_text() for name in ("once", "both")]
    assert lists[0] == lists[1]


def test_splits_share_no_ground(scene: Path, labels: Path, tmp_path: Path) -> None:
    report = make(scene, labels, tmp_path / "dataset", test_share=0.1, complete=True)
    chips = gpd.read_file(tmp_path / "dataset" / "chips.gpkg")
    assert chips.crs.to_epsg() == 32632
    ground = {name: shapely.union_all(part.geometry) for name, part in chips.groupby("split")}
    things = gpd.read_file(labels).to_crs(chips.crs).geometry
    for name, part in ground.items():
        assert report.shown[name] == (things.intersection(part).area > 0.1).sum()
    assert set(ground) == {"train", "val", "test"}
    for first in ground:
        for second in ground:
            if first != second:
                assert ground[first].intersection(ground[second]).area == 0
    names = {path for split in ground for path in (tmp_path / "dataset/images" / split).iterdir()}
    assert {tmp_path / "dataset" / name for name in chips["image"]} == names


def test_absent_targets_need_complete_labels(
    scene: Path, labels: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "rrsis_geo"):
        report = make(scene, labels, tmp_path / "dataset")
    assert all(not counts.kinds["absent"] for counts in report.splits.values())
    assert any("--complete" in warning for warning in report.warnings)
    assert "--complete" in caplog.text


def test_chips_have_the_requested_gsd(scene: Path, labels: Path, tmp_path: Path) -> None:
    report = make(scene, labels, tmp_path / "dataset", scene=SceneOptions(gsd_m=0.25), val_share=0)
    assert report.gsd_m == 0.25
    sizes = [
        np.count_nonzero(sample.mask)
        for sample in samples_of(tmp_path / "dataset", "train")
        if sample.kind == "position"
    ]
    assert max(sizes) >= 4 * HEIGHT * WIDTH * 0.9


def test_the_same_seed_gives_the_same_dataset(scene: Path, labels: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        make(scene, labels, tmp_path / name, seed=seed)
    first, second, third = ((tmp_path / name / "train.jsonl").read_text() for name in "abc")
    assert first == second
    assert first != third
    about = json.loads((tmp_path / "a" / "dataset.json").read_text())
    assert about["made_by"] == "from-vectors"
    assert about["splits"]["train"]["samples"] == first.count("\n")


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_run_leaves_no_files(
    scene: Path,
    labels: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: type[BaseException],
) -> None:
    folder = tmp_path / "out"
    make(scene, labels, folder / "dataset")
    before = sorted(folder.rglob("*"))

    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(pipeline_labels, "_write_map", fail)
    options = LabelOptions(category_column="what", chip_px=128)
    with pytest.raises(error):
        from_vectors(scene, labels, folder / "dataset", options, overwrite=True)
    assert sorted(folder.rglob("*")) == before


def test_chips_have_the_size_of_fine_tuning() -> None:
    config = load(ROOT / "configs" / "finetune.toml", TrainConfig)
    assert config.benchmark is not None
    assert LabelOptions(category="truck").chip_px == config.benchmark.size_px


def test_only_our_datasets_are_replaced(scene: Path, labels: Path, tmp_path: Path) -> None:
    make(scene, labels, tmp_path / "dataset")
    with pytest.raises(OutputError, match="--overwrite"):
        make(scene, labels, tmp_path / "dataset")
    options = LabelOptions(category_column="what", chip_px=128, seed=3)
    from_vectors(scene, labels, tmp_path / "dataset", options, overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(OutputError, match="not written by rrsis-geo"):
        from_vectors(scene, labels, tmp_path / "mine", options, overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_error_messages_give_the_remedy(scene: Path, labels: Path, tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    with pytest.raises(ConfigError, match=r"too few for separate train and val .* smaller --chip"):
        make(scene, labels, root, chip_px=512)
    with pytest.raises(InputError, match="finer --gsd"):
        make(scene, labels, root, scene=SceneOptions(gsd_m=8.0), chip_px=64, val_share=0)
    with pytest.raises(ConfigError, match="less than 1 in sum"):
        make(scene, labels, root, val_share=0.6, test_share=0.5)
    with pytest.raises(ConfigError, match='attribute column "height"'):
        make(scene, labels, root, attribute_columns=("height",))
    with pytest.raises(ConfigError, match="multiple of 32"):
        make(scene, labels, root, chip_px=100)
    assert not root.exists()
