"""Chips: their positions, splits and pixels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scene_files import damage_block

from rrsis_geo.geo.chips.chips import (
    TRAIN,
    assign_splits,
    cell_shape,
    cell_windows,
    plan_chips,
    read_chip_rows,
)
from rrsis_geo.geo.grid.model_grid import model_grid
from rrsis_geo.geo.grid.rows import read_window_rows
from rrsis_geo.geo.grid.windows import WindowGrid
from rrsis_geo.geo.scene.radiometry import measure_stretch
from rrsis_geo.geo.scene.scene import open_scene

SIZE = 64


@given(
    height=st.integers(10, 400),
    width=st.integers(10, 400),
    val=st.sampled_from([0.0, 0.1, 0.3, 0.6]),
    test=st.sampled_from([0.0, 0.2]),
    seed=st.integers(0, 1000),
)
def test_splits_do_not_overlap(height: int, width: int, val: float, test: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, cols = cell_shape(height, width, SIZE)
    counts = rng.poisson(0.7, (rows * cols, 3))
    splits = assign_splits(counts, {"val": val, "test": test}, rng).reshape(rows, cols)
    owner = np.full((max(height, SIZE), max(width, SIZE)), "", "U5")
    for chip in plan_chips(splits, height, width, SIZE):
        ground = owner[chip.row : chip.row + SIZE, chip.col : chip.col + SIZE]
        assert ground.shape == (SIZE, SIZE)
        assert np.isin(ground, ["", chip.split]).all()
        ground[:] = chip.split
    cells = cell_windows(height, width, SIZE)
    assert sum(cell.width * cell.height for cell in cells) == height * width
    for cell, split in zip(cells, splits.ravel(), strict=True):
        top, left = int(cell.row_off), int(cell.col_off)
        ground = owner[top : top + int(cell.height), left : left + int(cell.width)]
        # up to an eighth of a chip may be unused on either side
        assert (ground == split).mean() > 0.6
        assert np.isin(ground, ["", split]).all()


@given(seed=st.integers(0, 1000), n_cells=st.integers(3, 40))
def test_every_split_has_labels(seed: int, n_cells: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.poisson(1.0, (n_cells, 2))
    counts[:3] += 1
    splits = assign_splits(counts, {"val": 0.2, "test": 0.1}, rng)
    for name in (TRAIN, "val", "test"):
        assert counts[splits == name].sum() > 0


def test_splits_balance_rare_categories() -> None:
    counts = np.zeros((40, 2), int)
    counts[:, 0] = 5
    counts[:4, 1] = 1
    splits = assign_splits(counts, {"val": 0.25}, np.random.default_rng(0))
    assert counts[splits == "val", 1].sum() == 1
    assert (splits == "val").sum() == 10


def test_chips_overlap_by_half_between_training_cells() -> None:
    splits = np.array([[TRAIN, TRAIN, "val"]])
    chips = plan_chips(splits, SIZE, 3 * SIZE, SIZE)
    assert [(chip.row, chip.col, chip.split) for chip in chips] == [
        (0, 0, TRAIN),
        (0, 32, TRAIN),
        (0, 64, TRAIN),
        (0, 128, "val"),
    ]


def test_large_cell_has_chips_at_both_ends() -> None:
    chips = plan_chips(np.array([["val"]]), SIZE, SIZE + 40, SIZE)
    assert [(chip.row, chip.col) for chip in chips] == [(0, 0), (0, 40)]


@pytest.mark.parametrize("gsd_m", [None, 0.7, 0.4])
def test_chips_have_the_pixels_of_a_run(
    make_scene: Callable[..., Path], gsd_m: float | None
) -> None:
    invalid = np.zeros((200, 300), bool)
    invalid[:30, :50] = True
    path = make_scene(dtype="uint16", scale=9, nodata=0, invalid=invalid)
    with open_scene(path) as scene:
        stretch = measure_stretch(scene)
        grid = model_grid(scene.info, gsd_m)
        windows = WindowGrid(grid.height, grid.width, size_px=96, overlap_px=32)
        rgb = np.zeros((windows.padded_height, windows.padded_width, 3), np.uint8)
        data = np.zeros(rgb.shape[:2], bool)
        for row in read_window_rows(scene, stretch, windows, model=grid):
            start, stop = windows.rows_of(row.row_i)
            rgb[start:stop], data[start:stop] = row.rgb, row.valid
        shape = cell_shape(grid.height, grid.width, SIZE)
        chips = plan_chips(np.full(shape, TRAIN), grid.height, grid.width, SIZE)
        rows = {chip.row for chip in chips}
        rows.discard(sorted(rows)[1])
        by_row = {row.row: row for row in read_chip_rows(scene, stretch, grid, SIZE, rows)}
    assert by_row.keys() == rows
    inside = slice(windows.margin_px, None), slice(windows.margin_px, None)
    whole = np.full((grid.height, grid.width, 3), stretch.fill, np.uint8)
    valid = np.zeros(whole.shape[:2], bool)
    extent = slice(grid.height), slice(grid.width)
    valid[extent] = data[inside][extent]
    whole[valid] = rgb[inside][extent][valid[extent]]
    for chip in chips:
        if chip.row in rows:
            place = slice(chip.row, chip.row + SIZE), slice(chip.col, chip.col + SIZE)
            assert (by_row[chip.row].image(chip) == whole[place]).all()
            assert (by_row[chip.row].valid_in(chip) == valid[place]).all()


def test_scene_smaller_than_a_chip_is_padded(make_scene: Callable[..., Path]) -> None:
    with open_scene(make_scene(40, 50)) as scene:
        stretch = measure_stretch(scene)
        grid = model_grid(scene.info)
        (chip,) = plan_chips(np.array([[TRAIN]]), 40, 50, SIZE)
        (row,) = read_chip_rows(scene, stretch, grid, SIZE, [0])
    assert row.image(chip).shape == (SIZE, SIZE, 3)
    assert row.valid_in(chip).sum() == 40 * 50
    assert (row.image(chip)[~row.valid_in(chip)] == stretch.fill).all()


@pytest.mark.parametrize("scale", [1, 2])
def test_damaged_blocks_have_no_data(
    make_scene: Callable[..., Path], caplog: pytest.LogCaptureFixture, scale: int
) -> None:
    path = make_scene(1024, 1100, blocks=512)
    damage_block(path, 0, 1)
    with open_scene(path) as scene:
        stretch = measure_stretch(scene)
        grid = model_grid(scene.info, (scene.info.gsd_m or 0) / scale)
        size_px = 256 * scale
        rows = list(read_chip_rows(scene, stretch, grid, size_px, [0, 3 * size_px]))
    above, below = (row.valid[::scale, ::scale] for row in rows)
    assert above[:, :512].all()
    assert not above[:, 512:1024].any()
    assert above[:, 1024:1100].all()
    assert below[:, :1100].all()
    assert "the chips have no data there" in caplog.text
