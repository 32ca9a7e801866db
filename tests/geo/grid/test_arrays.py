"""Blending in torch gives the results of NumPy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rrsis_geo.geo.grid.arrays import HOST, Arrays
from rrsis_geo.geo.grid.blend import BandMosaic
from rrsis_geo.geo.grid.finish import FinishedRows, finish_rows
from rrsis_geo.geo.grid.resample import RowResampler
from rrsis_geo.geo.grid.windows import WindowGrid
from rrsis_geo.model.tensors import DeviceArrays

DEVICE: Arrays = DeviceArrays(torch.device("cpu"))


@st.composite
def window_grids(draw: st.DrawFn) -> WindowGrid:
    size_px = draw(st.integers(4, 24))
    overlap_px = 2 * draw(st.integers(1, size_px // 4))
    height, width = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    return WindowGrid(height, width, size_px, overlap_px)


def blend(grid: WindowGrid, logits: NDArray[np.float32], arrays: Arrays) -> NDArray[np.float32]:
    """Blend windows [R, C, S, S]; those of NaN are skipped."""
    mosaic = BandMosaic(grid, arrays=arrays)
    bands = []
    for row_i, windows in enumerate(logits):
        for col_j, window in enumerate(windows):
            if np.isfinite(window).all():
                mosaic.add(row_i, col_j, arrays.upload(window))
        bands.append(arrays.download(mosaic.finish_row(row_i)[1])())
    return np.concatenate(bands)


def random_windows(grid: WindowGrid, seed: int, skipped: float) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    shape = grid.n_rows, grid.n_cols
    logits = rng.normal(0, 8, (*shape, grid.size_px, grid.size_px)).astype(np.float32)
    logits[rng.random(shape) < skipped] = np.nan
    return logits


@settings(max_examples=60, deadline=None)
@given(window_grids(), st.integers(0, 1000), st.sampled_from([0.0, 0.3, 1.0]))
def test_blended_logits_are_equal_to_the_last_bit(
    grid: WindowGrid, seed: int, skipped: float
) -> None:
    windows = random_windows(grid, seed, skipped)
    host, device = (blend(grid, windows, arrays) for arrays in (HOST, DEVICE))
    assert host.shape == (grid.height, grid.width)
    assert host.tobytes() == device.tobytes()


def finish(
    logits: NDArray[np.float32], valid: NDArray[np.bool_], arrays: Arrays, *, with_steps: bool
) -> FinishedRows:
    there = arrays.upload(logits)
    return finish_rows(there, valid, -0.25, with_steps=with_steps, arrays=arrays)()


@pytest.mark.parametrize("valid_share", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("with_steps", [True, False])
def test_finished_rows_are_equal(valid_share: float, with_steps: bool) -> None:
    rng = np.random.default_rng(5)
    logits = rng.normal(0, 40, (50, 70)).astype(np.float32)
    logits[0, :3] = 100, -100, -0.25
    valid = rng.random(logits.shape) < valid_share
    host, device = (finish(logits, valid, a, with_steps=with_steps) for a in (HOST, DEVICE))
    np.testing.assert_array_equal(host.mask, (logits > -0.25) & valid)
    np.testing.assert_array_equal(device.mask, host.mask)
    assert device.highest == host.highest
    assert (host.highest is None) == (valid_share == 0)
    np.testing.assert_allclose(
        device.probability[host.mask], host.probability[host.mask], atol=1e-6, rtol=0
    )
    assert (host.steps is None, device.steps is None) == (not with_steps, not with_steps)
    if host.steps is not None and device.steps is not None:
        np.testing.assert_array_equal(host.steps == 255, ~valid)
        steps = [rows.steps.astype(int) for rows in (host, device) if rows.steps is not None]
        assert np.abs(steps[0] - steps[1]).max() <= 1


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.integers(1, 9),
)
def test_resampled_rows_are_equal_to_the_last_bit(
    src: tuple[int, int], dst: tuple[int, int], step: int
) -> None:
    rows = np.random.default_rng(1).normal(size=src).astype(np.float32)
    results = []
    for arrays in (HOST, DEVICE):
        resampler = RowResampler(src, dst, arrays=arrays)
        bands = [
            arrays.download(band)()
            for start in range(0, src[0], step)
            for _, band in resampler.push(start, arrays.upload(rows[start : start + step]))
        ]
        results.append(np.concatenate(bands))
    assert results[0].shape == dst
    assert results[0].tobytes() == results[1].tobytes()
