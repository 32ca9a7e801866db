"""The journal of a run: metrics, events and pictures, also of a resumed run."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rrsis_geo.data.sample import Sample
from rrsis_geo.data.sheet_drawing import BACKGROUND
from rrsis_geo.errors import ConfigError, OutputError
from rrsis_geo.metrics import ScoreMeter, Scores
from rrsis_geo.train import journal as journal_module
from rrsis_geo.train.journal import Journal
from rrsis_geo.train.pictures import LINE_PX, MARGIN_PX, RIGHT, TILE_PX, WRONG


def scores_of(share: float) -> Scores:
    """Scores of a mask that covers this share of its target, and of a correctly empty mask."""
    meter = ScoreMeter()
    target = np.ones((10, 10), bool)
    predicted = np.arange(100).reshape(10, 10) < round(100 * share)
    meter.add(predicted, target, kind="category", category="truck")
    meter.add(~target, ~target, kind="absent")
    return meter.scores()


def lines_of(run_dir: Path) -> list[dict[str, Any]]:
    text = (run_dir / "metrics.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def sample_of(height: int = 64, width: int = 64, **fields: Any) -> Sample:
    mask = np.zeros((height, width), bool)
    mask[: height // 2, : width // 2] = True
    image = np.full((height, width, 3), 200, np.uint8)
    return Sample(**{"image": image, "expression": "the truck", "mask": mask, **fields})


def write_steps(journal: Journal, steps: range) -> None:
    for step in steps:
        journal.write_losses(step, {"total": 1 / step}, {"encoder": 1e-5, "rest": 1e-4}, 12.5)
        if step % 2 == 0:
            journal.write_scores(step, scores_of(0.5))
            journal.write_pictures(step, [sample_of()], [np.ones((64, 64), bool)])
    journal.close()


# --- metrics


def test_each_entry_is_written_at_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run", tensorboard=False, since_step=0)
    journal.write_losses(20, {"total": 0.5, "dice": 0.25}, {"rest": 1e-4}, 31.23456)
    journal.write_scores(20, scores_of(0.5))
    first, second = lines_of(tmp_path / "run")  # before the journal is closed
    assert first.pop("time") > 1.7e9
    assert first == {
        "step": 20,
        "total": 0.5,
        "dice": 0.25,
        "rates": {"rest": 1e-4},
        "images_per_second": 31.235,
    }
    assert second == {"step": 20, "val": scores_of(0.5).to_dict()}
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_a_resumed_run_deletes_entries_of_later_steps(tmp_path: Path) -> None:
    write_steps(Journal(tmp_path, tensorboard=False, since_step=0), range(1, 7))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "tot')  # cut short by a crash
    write_steps(Journal(tmp_path, tensorboard=False, since_step=3), range(4, 6))
    assert [line["step"] for line in lines_of(tmp_path)] == [1, 2, 2, 3, 4, 4, 5]
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == [
        *("step-00000002.png", "step-00000004.png")
    ]


def test_a_new_run_starts_with_an_empty_journal(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "step-by-step.png").touch()  # a file of the user
    write_steps(Journal(tmp_path, tensorboard=False, since_step=0), range(1, 3))
    Journal(tmp_path, tensorboard=False, since_step=0).close()
    assert lines_of(tmp_path) == []
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["step-by-step.png"]


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(OutputError, match=r"run: cannot be written"):
        Journal(tmp_path / "run", tensorboard=False, since_step=0)
    journal = Journal(tmp_path / "other", tensorboard=False, since_step=0)
    (tmp_path / "other" / "metrics.jsonl").mkdir()
    with pytest.raises(OutputError, match=r"metrics\.jsonl: cannot be written"):
        journal.write_losses(1, {"total": 1.0}, {}, 1.0)


# --- TensorBoard


def test_tensorboard_has_the_same_entries(tmp_path: Path) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    write_steps(Journal(tmp_path, tensorboard=True, since_step=0), range(1, 7))
    write_steps(Journal(tmp_path, tensorboard=True, since_step=3), range(4, 6))
    events = accumulators.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    totals = [(event.step, event.value) for event in events.Scalars("loss/total")]
    assert totals == [(step, pytest.approx(1 / step)) for step in range(1, 6)]
    assert [event.value for event in events.Scalars("rate/encoder")] == [pytest.approx(1e-5)] * 5
    assert [event.step for event in events.Scalars("val/miou")] == [2, 4]
    values = {
        tag: events.Scalars(tag)[0].value
        for tag in ("val/giou", "val/precision_0.5", "val_category/miou", "speed/images_per_second")
    }
    assert values == {
        "val/giou": 0.75,
        "val/precision_0.5": 0.5,
        "val_category/miou": 0.5,
        "speed/images_per_second": 12.5,
    }
    assert [event.step for event in events.Images("predictions")] == [2, 4]


def test_tensorboard_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "find_spec", lambda name: None)
    assert not journal_module.tensorboard_installed()
    with pytest.raises(ConfigError, match=r"pip install rrsis-geo\[train\]"):
        Journal(tmp_path / "run", tensorboard=True, since_step=0)
    assert not (tmp_path / "run").exists()
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    write_steps(Journal(tmp_path / "run", tensorboard=False, since_step=0), range(1, 2))


# --- pictures


def tiles_of(sheet: Image.Image, row: int = 0) -> list[np.ndarray]:
    """Image, truth and prediction of a row, uint8 [TILE_PX, TILE_PX, 3] each."""
    top = LINE_PX + row * (LINE_PX + TILE_PX + MARGIN_PX) + LINE_PX
    lefts = [MARGIN_PX + i * (TILE_PX + MARGIN_PX) for i in range(3)]
    return [np.asarray(sheet)[top : top + TILE_PX, left : left + TILE_PX] for left in lefts]


def is_tinted(pixels: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Pixels of a grey image that are tinted with a colour."""
    tint = np.array(colour) - np.mean(colour)
    return (pixels - pixels.mean(-1, keepdims=True)) @ tint > 0.3 * tint @ tint


def test_a_sheet_shows_image_truth_and_prediction(tmp_path: Path) -> None:
    sample = sample_of(TILE_PX, TILE_PX)
    predicted = np.roll(sample.mask, TILE_PX // 4, axis=1)
    Journal(tmp_path, tensorboard=False, since_step=0).write_pictures(7, [sample], [predicted])
    sheet = Image.open(tmp_path / "pictures" / "step-00000007.png")
    image, truth, prediction = tiles_of(sheet)
    assert np.array_equal(image, sample.image)
    for tile, colour, expected in (
        (truth, RIGHT, sample.mask),
        (prediction, RIGHT, sample.mask & predicted),
        (prediction, WRONG, predicted & ~sample.mask),
    ):
        differs = is_tinted(tile, colour) != expected
        assert differs.mean() < 0.02  # outlines are one pixel wide
    expression = np.asarray(sheet)[LINE_PX : 2 * LINE_PX]
    assert (expression != BACKGROUND).any()


def test_a_sheet_accepts_any_sizes_and_characters(tmp_path: Path) -> None:
    tiny_target = np.zeros((512, 512), bool)
    tiny_target[100:103, 200:203] = True
    samples = [
        sample_of(787, 800, mask=np.ones((800, 800), bool)),  # as in RRSIS-D
        sample_of(512, 512, mask=tiny_target, expression="the très petite voiture 车 " * 20),
        sample_of(40, 90, mask=np.zeros((40, 90), bool)),
    ]
    masks = [np.ones((787, 800), bool), tiny_target, np.zeros((40, 90), bool)]
    Journal(tmp_path, tensorboard=False, since_step=0).write_pictures(1, samples, masks)
    sheet = Image.open(tmp_path / "pictures" / "step-00000001.png")
    assert sheet.size == (
        3 * TILE_PX + 4 * MARGIN_PX,
        LINE_PX + 3 * (LINE_PX + TILE_PX + MARGIN_PX),
    )
    assert is_tinted(tiles_of(sheet, 1)[1], RIGHT).sum() >= 8  # a target of nine pixels is visible
    assert not is_tinted(tiles_of(sheet, 2)[2], RIGHT).any()
    last_column = tiles_of(sheet, 2)[0][: TILE_PX * 40 // 90, -1]
    assert (last_column != BACKGROUND).any(axis=1).all()  # small images are enlarged


def test_no_picture_is_drawn_without_samples(tmp_path: Path) -> None:
    Journal(tmp_path, tensorboard=False, since_step=0).write_pictures(1, [], [])
    assert list(tmp_path.iterdir()) == []
