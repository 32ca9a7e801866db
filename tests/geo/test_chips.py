"""Where chips lie, which split they belong to, and what they show."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrsis_geo.geo.chips import TRAIN, cell_shape, draw_splits, plan_chips, read_chip_rows
from rrsis_geo.geo.radiometry import measure_stretch
from rrsis_geo.geo.rows import model_grid, read_window_rows
from rrsis_geo.geo.scene import open_scene
from rrsis_geo.geo.windows import WindowGrid

SIZE = 64


@given(
    rows=st.integers(1, 6),
    cols=st.integers(1, 6),
    val=st.sampled_from([0.0, 0.1, 0.3, 0.6]),
    test=st.sampled_from([0.0, 0.2]),
    seed=st.integers(0, 1000),
)
def test_no_ground_is_in_two_splits(
    rows: int, cols: int, val: float, test: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.poisson(0.7, (rows * cols, 3))
    splits = draw_splits(counts, {"val": val, "test": test}, rng).reshape(rows, cols)
    owner = np.full((rows * SIZE, cols * SIZE), "", "U5")
    for chip in plan_chips(splits, SIZE):
        ground = owner[chip.row : chip.row + SIZE, chip.col : chip.col + SIZE]
        assert ground.shape == (SIZE, SIZE)
        assert np.isin(ground, ["", chip.split]).all()
        ground[:] = chip.split
    assert (owner != "").all()


@given(seed=st.integers(0, 1000), n_cells=st.integers(3, 40))
def test_each_split_gets_labels(seed: int, n_cells: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.poisson(1.0, (n_cells, 2))
    counts[:3] += 1
    splits = draw_splits(counts, {"val": 0.2, "test": 0.1}, rng)
    for name in (TRAIN, "val", "test"):
        assert counts[splits == name].sum() > 0


def test_splits_are_fair_to_rare_categories() -> None:
    counts = np.zeros((40, 2), int)
    counts[:, 0] = 5
    counts[:4, 1] = 1
    splits = draw_splits(counts, {"val": 0.25}, np.random.default_rng(0))
    assert counts[splits == "val", 1].sum() == 1
    assert (splits == "val").sum() == 10


def test_training_chips_overlap_by_half_where_the_ground_is_theirs() -> None:
    splits = np.array([[TRAIN, TRAIN, "val"]])
    chips = [(chip.row, chip.col, chip.split) for chip in plan_chips(splits, SIZE)]
    assert chips == [(0, 0, TRAIN), (0, 32, TRAIN), (0, 64, TRAIN), (0, 128, "val")]


@pytest.mark.parametrize("gsd_m", [None, 0.7, 0.4])
def test_chips_show_what_a_run_would_show(
    make_scene: Callable[..., Path], gsd_m: float | None
) -> None:
    invalid = np.zeros((200, 300), bool)
    invalid[:30, :50] = True
    path = make_scene(dtype="uint16", scale=9, nodata=0, invalid=invalid)
    with open_scene(path) as scene:
        stretch = measure_stretch(scene)
        grid = model_grid(scene.info, gsd_m)
        windows = WindowGrid(grid.height, grid.width, size_px=96, overlap_px=32)
        shown = np.zeros((windows.padded_height, windows.padded_width, 3), np.uint8)
        data = np.zeros(shown.shape[:2], bool)
        for row in read_window_rows(scene, stretch, windows, model=grid):
            start, stop = windows.rows_of(row.row_i)
            shown[start:stop], data[start:stop] = row.rgb, row.valid
        n_rows, n_cols = cell_shape(grid.height, grid.width, SIZE)
        chips = plan_chips(np.full((n_rows, n_cols), TRAIN), SIZE)
        wanted = {chip.row for chip in chips if chip.row != 32}
        by_row = {row.row: row for row in read_chip_rows(scene, stretch, grid, SIZE, wanted)}
    assert by_row.keys() == wanted
    inside = slice(windows.margin_px, None), slice(windows.margin_px, None)
    whole = np.zeros((n_rows * SIZE, n_cols * SIZE, 3), np.uint8)
    whole[:] = stretch.fill
    valid = np.zeros(whole.shape[:2], bool)
    extent = slice(grid.height), slice(grid.width)
    valid[extent] = data[inside][extent]
    whole[valid] = shown[inside][extent][valid[extent]]
    for chip in chips:
        if chip.row in wanted:
            place = slice(chip.row, chip.row + SIZE), slice(chip.col, chip.col + SIZE)
            assert (by_row[chip.row].image(chip) == whole[place]).all()
            assert (by_row[chip.row].valid_in(chip) == valid[place]).all()
