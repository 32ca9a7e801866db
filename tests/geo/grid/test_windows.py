import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrsis_geo.errors import ConfigError
from rrsis_geo.geo.grid.windows import (
    WindowGrid,
    plan_shards,
    reflect_index,
)
from rrsis_geo.geo.scene.pixels import spread_windows


@st.composite
def grids(draw: st.DrawFn) -> WindowGrid:
    size = draw(st.integers(4, 64))
    overlap = 2 * draw(st.integers(1, size // 4))
    return WindowGrid(draw(st.integers(1, 300)), draw(st.integers(1, 300)), size, overlap)


def count_windows(n: int, stride: int, size: int, padded: int) -> np.ndarray:
    """Number of windows over each padded row."""
    count = np.zeros(padded, int)
    for i in range(n):
        count[i * stride : i * stride + size] += 1
    return count


@given(grids())
def test_windows_cover_the_padded_scene_exactly(grid: WindowGrid) -> None:
    for n, padded, span in (
        (grid.n_rows, grid.padded_height, grid.rows_of),
        (grid.n_cols, grid.padded_width, grid.cols_of),
    ):
        count = count_windows(n, grid.stride_px, grid.size_px, padded)
        assert count.min() >= 1
        assert count.max() <= 2
        assert span(0)[0] == 0
        assert span(n - 1)[1] == padded


@given(grids())
def test_every_pixel_is_away_from_the_edge_of_some_window(grid: WindowGrid) -> None:
    row = np.arange(grid.height) + grid.margin_px
    starts = np.array([grid.rows_of(i)[0] for i in range(grid.n_rows)])
    depth = np.minimum(row - starts[:, None], starts[:, None] + grid.size_px - 1 - row)
    assert (depth.max(axis=0) >= grid.margin_px - 1).all()
    assert (depth[0][: grid.margin_px] >= grid.margin_px).all()


@given(grids())
def test_every_window_overlaps_the_scene(grid: WindowGrid) -> None:
    start, _ = grid.rows_of(grid.n_rows - 1)
    assert start - grid.margin_px < grid.height
    assert grid.padded_height - grid.margin_px - grid.height >= grid.margin_px


@given(grids(), st.data())
def test_window_rows_over(grid: WindowGrid, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, grid.height - 1))
    stop = data.draw(st.integers(start + 1, grid.height))
    expected = [
        i
        for i in range(grid.n_rows)
        if grid.rows_of(i)[0] - grid.margin_px < stop
        and grid.rows_of(i)[1] - grid.margin_px > start
    ]
    assert list(range(*grid.window_rows_over(start, stop))) == expected


@given(grids(), st.integers(1, 5000), st.integers(1, 4000))
def test_shards_cover_the_output_in_blocks(
    grid: WindowGrid, rows_per_shard: int, scene_height: int
) -> None:
    shards = plan_shards(grid, rows_per_shard, scene_height=scene_height)
    assert [s.index for s in shards] == list(range(len(shards)))
    assert [s.row_start for s in shards] == [0, *(s.row_stop for s in shards[:-1])]
    assert shards[-1].row_stop == scene_height
    assert all(s.row_start % 512 == 0 for s in shards)
    assert all(s.n_rows >= rows_per_shard for s in shards[:-1])
    assert shards[0].window_row_start == 0
    assert shards[-1].window_row_stop == grid.n_rows


def test_shards_of_a_large_scene() -> None:
    grid = WindowGrid(2000, 2000)  # stride 384, margin 64
    first, second = plan_shards(grid, 1000)
    assert (first.row_start, first.row_stop) == (0, 1024)
    assert (second.row_start, second.row_stop) == (1024, 2000)
    # Row 1023 is padded row 1087: window rows 2 (768 to 1280) and no other.
    assert (first.window_row_start, first.window_row_stop) == (0, 3)
    assert (second.window_row_start, second.window_row_stop) == (2, 6)


@pytest.mark.parametrize("overlap", [0, 1, 3, 34, 64, -2])
def test_invalid_overlap(overlap: int) -> None:
    with pytest.raises(ConfigError, match="overlap must be an even number of pixels from 2 to 32"):
        WindowGrid(10, 10, 64, overlap)


def test_empty_grid_and_empty_shard() -> None:
    with pytest.raises(ConfigError, match="0 x 5 pixels has no windows"):
        WindowGrid(0, 5)
    with pytest.raises(ConfigError, match="at least one row"):
        plan_shards(WindowGrid(5, 5), 0)


@given(st.integers(1, 40), st.integers(0, 100), st.integers(0, 100), st.integers(-5, 5))
def test_reflect_index_equals_numpy_pad(n: int, before: int, after: int, start: int) -> None:
    values = np.arange(start, start + n)
    index = np.arange(start - before, start + n + after)
    expected = np.pad(values, (before, after), mode="reflect")
    assert (reflect_index(index, start, start + n) == expected).all()


@given(st.integers(1, 500), st.integers(1, 500), st.integers(1, 6), st.integers(1, 64))
def test_spread_windows_are_inside_without_overlap(
    height: int, width: int, n: int, size: int
) -> None:
    count = np.zeros((height, width), int)
    windows = spread_windows(height, width, n=n, size_px=size)
    for w in windows:
        assert w.row_off >= 0
        assert w.col_off >= 0
        assert max(w.height, w.width) <= size
        count[w.row_off : w.row_off + w.height, w.col_off : w.col_off + w.width] += 1
        assert w.row_off + w.height <= height
        assert w.col_off + w.width <= width
    assert count.max() == 1
    if n * size >= max(height, width):
        assert count.min() == 1
