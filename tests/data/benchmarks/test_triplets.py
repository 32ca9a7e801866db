import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmark_trees import SPLITS, grey_mask, make_sample
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from rrsis_geo.data.benchmarks.records import Records
from rrsis_geo.data.benchmarks.triplets import TripletWriter, list_splits, read_split
from rrsis_geo.data.sample import Sample
from rrsis_geo.errors import ConfigError, InputError, OutputError

MakeBenchmark = Callable[..., Path]

WORDS = st.text(min_size=1, max_size=40).filter(lambda text: bool(text.strip()))


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    shape = draw(npst.array_shapes(min_dims=2, max_dims=2, max_side=12))
    return Sample(
        image=draw(npst.arrays(np.uint8, (*shape, 3), elements=st.integers(0, 255))),
        expression=draw(WORDS),
        mask=draw(npst.arrays(bool, shape)),
        kind=draw(st.sampled_from(["", "category", "absent"])),
        category=draw(st.text(max_size=8)),
    )


@given(written=st.lists(samples(), max_size=4))
def test_written_samples_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, written: list[Sample]
) -> None:
    root = tmp_path_factory.getbasetemp() / "triplets"
    with TripletWriter(root, "train", overwrite=True) as writer:
        for sample in written:
            writer.add(sample, source="here")
    records = Records(read_split(root, "train"), "train")
    records.check_files()
    assert len(records) == len(writer) == len(written)
    for number, truth in enumerate(written):
        sample = records[number]
        assert sample.expression == truth.expression
        assert (sample.kind, sample.category) == (truth.kind, truth.category)
        np.testing.assert_array_equal(sample.image, truth.image)
        np.testing.assert_array_equal(sample.mask, truth.mask)
        assert records.records[number].source == "here"
        assert (records.records[number].mask is None) == (not truth.mask.any())


def test_triplets_are_read(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("triplets", absent=True)
    assert list_splits(root) == tuple(sorted(SPLITS))
    for split, count in SPLITS.items():
        records = Records(read_split(root, split), split)
        assert len(records) == count
        assert records[count - 1].kind == "absent"
        assert not records[count - 1].mask.any()
        np.testing.assert_array_equal(records[0].mask, make_sample(f"{split}_0_0", (48, 48)).mask)


def test_samples_can_share_an_image(tmp_path: Path) -> None:
    sample = make_sample("a", (20, 20))
    with TripletWriter(tmp_path, "train") as writer:
        writer.add(sample, image_name="a")
        writer.add(sample, image_name="a")
    first, second = read_split(tmp_path, "train")
    assert first.image == second.image
    assert [first.id, second.id] == ["train-1", "train-2"]
    assert len(list((tmp_path / "images").rglob("*.*"))) == 1


def test_two_images_cannot_share_a_name(tmp_path: Path) -> None:
    with TripletWriter(tmp_path, "train") as writer:
        writer.add(make_sample("a", (20, 20)), image_name="a")
        with pytest.raises(ValueError, match=r"a different image was written as a\.png"):
            writer.add(make_sample("b", (20, 20)), image_name="a")
    assert len(read_split(tmp_path, "train")) == 1


def test_the_list_is_created_only_on_success(tmp_path: Path) -> None:
    def fail(writer: TripletWriter) -> None:
        with writer:
            writer.add(make_sample("a", (20, 20)))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail(TripletWriter(tmp_path, "train"))
    assert not list(tmp_path.glob("*train*"))
    with TripletWriter(tmp_path, "train") as writer:
        writer.add(make_sample("a", (20, 20)))
        assert not (tmp_path / "train.jsonl").exists()
    assert list_splits(tmp_path) == ("train",)


def test_an_existing_list_is_not_replaced(tmp_path: Path) -> None:
    with TripletWriter(tmp_path, "train") as writer:
        writer.add(make_sample("a", (20, 20)))
    with pytest.raises(OutputError, match=r"train\.jsonl: exists"):
        TripletWriter(tmp_path, "train")
    with TripletWriter(tmp_path, "train", overwrite=True):
        pass
    assert read_split(tmp_path, "train") == []


@pytest.mark.parametrize("split", ["", "a/b", "..", ".hidden"])
def test_a_split_must_be_a_valid_file_name(tmp_path: Path, split: str) -> None:
    with pytest.raises(OutputError, match="invalid split"):
        TripletWriter(tmp_path, split)


@pytest.mark.parametrize(
    ("name", "file_name", "kind"),
    [("a.tif", "a.tif", "TIFF"), ("at_0.5", "at_0.5.png", "PNG"), ("b/a.PNG", "a.PNG", "PNG")],
)
def test_the_suffix_of_a_name_chooses_the_format(
    tmp_path: Path, name: str, file_name: str, kind: str
) -> None:
    with TripletWriter(tmp_path, "train") as writer:
        writer.add(make_sample("a", (20, 20)), image_name=name)
    (record,) = read_split(tmp_path, "train")
    assert record.image.path.name == file_name
    with Image.open(record.image.path) as file:
        assert file.format == kind


def test_image_names_cannot_leave_the_folder(tmp_path: Path) -> None:
    with TripletWriter(tmp_path / "root", "train") as writer, pytest.raises(InputError):
        writer.add(make_sample("a", (20, 20)), image_name="../../../a.png")
    assert not list(tmp_path.glob("*.png"))


def one_line(tmp_path: Path, **entry: Any) -> Path:
    """A dataset with one sample, its image and a mask file. None removes a key."""
    sample = make_sample("a", (20, 20))
    Image.fromarray(sample.image).save(tmp_path / "a.png")
    grey_mask(sample.mask).save(tmp_path / "a_mask.png")
    grey_mask(sample.mask).save(tmp_path / "a_mask.tif")
    line = {"image": "a.png", "expression": "a thing", "segmentation": None, **entry}
    (tmp_path / "val.jsonl").write_text("\n" + json.dumps(line) + "\n")
    return tmp_path


@pytest.mark.parametrize("name", ["a_mask.png", "a_mask.tif"])
def test_masks_can_be_files(tmp_path: Path, name: str) -> None:
    records = Records(read_split(one_line(tmp_path, segmentation=name), "val"), "val")
    np.testing.assert_array_equal(records[0].mask, make_sample("a", (20, 20)).mask)
    assert records.files() == [tmp_path / "a.png", tmp_path / name]


def test_counts_can_be_numbers(tmp_path: Path) -> None:
    runs = {"size": [20, 20], "counts": [0, 20, 380]}
    records = Records(read_split(one_line(tmp_path, segmentation=runs), "val"), "val")
    assert records[0].mask[:, 0].all()
    assert records[0].mask.sum() == 20


def test_null_is_an_absent_target(tmp_path: Path) -> None:
    sample = Records(read_split(one_line(tmp_path), "val"), "val")[0]
    assert sample.mask.shape == (20, 20)
    assert not sample.mask.any()


def test_unknown_keys_are_ignored(tmp_path: Path) -> None:
    (record,) = read_split(one_line(tmp_path, crs="EPSG:32633", kind=None), "val")
    assert record.kind == ""
    assert record.id == "val-2"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"image": "../a.png"}, r"'\.\./a\.png' is outside of"),
        ({"image": "/a.png"}, "is outside of"),
        ({"image": None}, "expected a file name"),
        ({"segmentation": "../m.png"}, "is outside of"),
        ({"segmentation": [[1, 2, 3]]}, '"segmentation" must be a COCO RLE'),
        ({"segmentation": {"counts": "x"}}, '"segmentation" must be a COCO RLE'),
        ({"expression": "  "}, '"expression" must be a non-blank string'),
        ({"expression": 3}, '"expression" must be a non-blank string'),
        ({"kind": 3}, '"kind" must be a string'),
    ],
)
def test_message_of_a_wrong_line_gives_its_number(
    tmp_path: Path, entry: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=rf"val\.jsonl, line 2: .*{message}"):
        read_split(one_line(tmp_path, **entry), "val")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("[1]", "expected an object, got list"),
        ('{"image": "a.png", "expression": "a"}', r'"segmentation" is missing \(use null if'),
        ('{"expression": "a", "segmentation": null}', '"image" is missing'),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_message_of_a_damaged_line_gives_its_number(
    tmp_path: Path, line: str, message: str
) -> None:
    (tmp_path / "val.jsonl").write_text(
        '{"image": "a.png", "expression": "a", "segmentation": null}\n' + line
    )
    with pytest.raises(InputError, match=rf"val\.jsonl, line 2: {message}"):
        read_split(tmp_path, "val")


def test_message_of_a_damaged_rle_gives_its_line(tmp_path: Path) -> None:
    runs = {"size": [20, 20], "counts": [3]}
    records = Records(read_split(one_line(tmp_path, segmentation=runs), "val"), "val")
    with pytest.raises(InputError, match=r"val\.jsonl, line 2: the segmentation cannot be decoded"):
        records[0]


def test_unknown_split(make_benchmark: MakeBenchmark) -> None:
    with pytest.raises(ConfigError, match='no split "trian"; did you mean "train"'):
        read_split(make_benchmark("triplets"), "trian")
