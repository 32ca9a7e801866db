from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrsis_geo.geo.grid.blend import SKIPPED_LOGIT, BandMosaic, axis_ramp
from rrsis_geo.geo.grid.windows import WindowGrid

Window = Callable[[int, int], np.ndarray | None]


@st.composite
def small_grids(draw: st.DrawFn) -> WindowGrid:
    size = draw(st.integers(4, 24))
    overlap = 2 * draw(st.integers(1, size // 4))
    return WindowGrid(draw(st.integers(1, 70)), draw(st.integers(1, 70)), size, overlap)


def blend(
    grid: WindowGrid, window: Window, start: int = 0, stop: int | None = None
) -> tuple[int, np.ndarray]:
    """First finished row and all finished rows; ``window`` gives logits, or None to skip."""
    stop = grid.n_rows if stop is None else stop
    mosaic = BandMosaic(grid, start, stop)
    first, pieces = None, []
    for i in range(start, stop):
        for j in range(grid.n_cols):
            logits = window(i, j)
            if logits is not None:
                mosaic.add(i, j, logits)
        row_start, rows = mosaic.finish_row(i)
        first = row_start if first is None else first
        assert row_start == first + sum(map(len, pieces)) or not len(rows)
        pieces.append(rows)
    assert first is not None
    return first, np.concatenate(pieces)


def random_windows(grid: WindowGrid, seed: int, skipped: float) -> Window:
    rng = np.random.default_rng(seed)
    shape = (grid.n_rows, grid.n_cols)
    logits = rng.normal(size=(*shape, grid.size_px, grid.size_px)).astype(np.float32)
    skip = rng.random(shape) < skipped
    return lambda i, j: None if skip[i, j] else logits[i, j]


@given(st.integers(2, 200).map(lambda n: 2 * n), st.data())
def test_ramps_are_positive_and_complementary(size: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(1, size // 2))
    ramp = axis_ramp(size, overlap)
    assert ramp.min() > 0
    np.testing.assert_allclose(ramp[:overlap] + ramp[-overlap:], 1, atol=2e-7)
    assert np.outer(ramp, ramp).min() > 0
    assert (axis_ramp(size, overlap, first=True, last=True) == 1).all()


def test_window_edges_have_little_weight() -> None:
    """The neighbour with more context determines the result."""
    grid = WindowGrid(300, 300, 128, 32)
    wrong = np.full((128, 128), 2, np.float32)
    wrong[4:-4, 4:-4] = 1
    _, rows = blend(grid, lambda i, j: wrong)
    assert np.abs(rows[16:-16, 16:-16] - 1).max() < 0.03


@given(small_grids(), st.integers(0, 2**32), st.floats(0, 1))
def test_constant_stays_constant_next_to_skipped_windows(
    grid: WindowGrid, seed: int, skipped: float
) -> None:
    windows = random_windows(grid, seed, skipped)
    constant = np.full((grid.size_px, grid.size_px), 3.7, np.float32)
    first, rows = blend(grid, lambda i, j: None if windows(i, j) is None else constant)
    assert first == 0
    assert rows.shape == (grid.height, grid.width)
    assert rows.dtype == np.float32
    expected = np.full(rows.shape, np.float32(SKIPPED_LOGIT))
    for i in range(grid.n_rows):
        for j in range(grid.n_cols):
            if windows(i, j) is not None:
                top, left = grid.rows_of(i)[0], grid.cols_of(j)[0]
                top, left = top - grid.margin_px, left - grid.margin_px
                expected[max(top, 0) : top + grid.size_px, max(left, 0) : left + grid.size_px] = 3.7
    np.testing.assert_allclose(rows, expected, atol=1e-5)


@given(small_grids(), st.integers(0, 2**32))
def test_result_is_the_weighted_mean(grid: WindowGrid, seed: int) -> None:
    windows = random_windows(grid, seed, 0.2)
    total = np.zeros((grid.padded_height, grid.padded_width))
    weight = np.zeros_like(total)
    for i in range(grid.n_rows):
        for j in range(grid.n_cols):
            logits = windows(i, j)
            if logits is None:
                continue
            row_ramp = axis_ramp(
                grid.size_px, grid.overlap_px, first=i == 0, last=i == grid.n_rows - 1
            )
            col_ramp = axis_ramp(
                grid.size_px, grid.overlap_px, first=j == 0, last=j == grid.n_cols - 1
            )
            ramp = np.outer(row_ramp, col_ramp).astype(float)
            place = slice(*grid.rows_of(i)), slice(*grid.cols_of(j))
            total[place] += ramp * logits
            weight[place] += ramp
    m = grid.margin_px
    inside = slice(m, m + grid.height), slice(m, m + grid.width)
    has_window = weight[inside] > 0
    mean = total[inside] / np.where(has_window, weight[inside], 1)
    expected = np.where(has_window, mean, SKIPPED_LOGIT)
    np.testing.assert_allclose(blend(grid, windows)[1], expected, atol=2e-5)


@given(small_grids(), st.integers(0, 2**32), st.floats(0, 0.6), st.data())
@settings(max_examples=60)
def test_shard_is_identical_to_the_whole_run(
    grid: WindowGrid, seed: int, skipped: float, data: st.DataObject
) -> None:
    windows = random_windows(grid, seed, skipped)
    _, whole = blend(grid, windows)
    row_start = data.draw(st.integers(0, grid.height - 1))
    row_stop = data.draw(st.integers(row_start + 1, grid.height))
    first, part = blend(grid, windows, *grid.window_rows_over(row_start, row_stop))
    assert first <= row_start
    assert first + len(part) >= row_stop
    assert (part == whole[first : first + len(part)]).all()


def test_neighbours_of_valid_pixels_have_a_value() -> None:
    """Resampling uses the neighbours of valid pixels, so they need values too."""
    grid = WindowGrid(60, 60, 16, 2)
    valid = np.zeros((grid.padded_height, grid.padded_width), bool)
    for seed in range(50):
        valid[:] = False
        rng = np.random.default_rng(seed)
        row, col = rng.integers(1, 61, 2)
        valid[row, col] = True

        def window(i: int, j: int) -> np.ndarray | None:
            place = slice(*grid.rows_of(i)), slice(*grid.cols_of(j))
            return np.ones((16, 16), np.float32) if valid[place].any() else None

        _, rows = blend(grid, window)
        around = np.pad(rows, 1, mode="edge")[row - 1 : row + 2, col - 1 : col + 2]
        np.testing.assert_allclose(around, 1, atol=1e-6)


def test_windows_out_of_order() -> None:
    grid = WindowGrid(30, 30, 16, 4)
    logits = np.zeros((16, 16), np.float32)
    mosaic = BandMosaic(grid)
    mosaic.add(0, 1, logits)
    for row_i, col_j in ((0, 0), (0, 1), (1, 0), (0, 3)):
        with pytest.raises(ValueError, match="out of order"):
            mosaic.add(row_i, col_j, logits)
    with pytest.raises(ValueError, match="out of order"):
        mosaic.finish_row(1)
