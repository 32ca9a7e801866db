import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrsis_geo.geo.grid import resample
from rrsis_geo.geo.grid.resample import (
    Kernel,
    RowResampler,
    make_taps,
    resample_cols,
    resample_rows,
    rows_needed,
)

lengths = st.integers(1, 60)


@given(lengths, lengths, st.sampled_from(["linear", "cubic"]), st.integers(0, 20))
def test_weights_sum_to_one_and_indices_exist(
    n_in: int, n_out: int, kernel: Kernel, beyond: int
) -> None:
    taps = make_taps(n_in, n_out, -beyond, n_out + beyond, kernel)
    np.testing.assert_allclose(taps.weight.sum(axis=1), 1, atol=1e-6)
    assert taps.index.min() >= 0
    assert taps.index.max() < n_in
    assert (np.diff(taps.index.max(axis=1)) >= 0).all()
    assert (np.diff(taps.index.min(axis=1)) >= 0).all()


@given(lengths, lengths)
def test_coarser_grid_is_the_area_mean(n_in: int, n_out: int) -> None:
    """The same as splitting pixels into n_out parts and averaging n_in parts at a time."""
    if n_out > n_in:
        n_in, n_out = n_out, n_in
    values = np.random.default_rng(n_in).normal(size=n_in).astype(np.float32)
    taps = make_taps(n_in, n_out, 0, n_out)
    expected = np.repeat(values.astype(float), n_out).reshape(n_out, n_in).mean(axis=1)
    np.testing.assert_allclose(resample_rows(values, 0, taps), expected, atol=1e-5)


@given(st.integers(2, 30), st.integers(2, 5), st.sampled_from(["linear", "cubic"]))
def test_finer_grid_keeps_linear_values(n_in: int, times: int, kernel: Kernel) -> None:
    values = np.arange(n_in) + 0.5
    taps = make_taps(n_in, times * n_in, 0, times * n_in, kernel)
    finer = resample_rows(values, 0, taps)
    expected = (np.arange(times * n_in) + 0.5) / times
    inside = (expected >= 1.5) & (expected <= n_in - 1.5)
    np.testing.assert_allclose(finer[inside], expected[inside], atol=1e-5)


def test_cubic_interpolates_input_values() -> None:
    values = np.random.default_rng(0).normal(size=9).astype(np.float32)
    taps = make_taps(9, 27, 0, 27, "cubic")  # every third output centre is an input centre
    np.testing.assert_allclose(resample_rows(values, 0, taps)[1::3], values, atol=1e-6)


def test_exact_halves_need_no_third_tap() -> None:
    assert make_taps(8, 4, 1, 2).span == (2, 4)
    assert rows_needed(8, 4, 1, 3) == (2, 6)
    assert rows_needed(7, 7, 2, 5) == (2, 5)


def test_bounds_beyond_the_extent() -> None:
    taps = make_taps(10, 20, -4, 24, bounds=(-2, 11))
    assert taps.span == (-2, 11)
    assert taps.nearest.tolist()[:6] == [-2, -2, -1, -1, 0, 0]


def resample_in_bands(
    src: np.ndarray, dst: tuple[int, int], rows: tuple[int, int], cut: int
) -> np.ndarray:
    resampler = RowResampler((src.shape[0], src.shape[1]), dst, dst_rows=rows)
    pieces, expected = [], rows[0]
    for start in range(0, len(src), cut):
        for row_start, piece in resampler.push(start, src[start : start + cut]):
            assert row_start == expected
            expected += len(piece)
            pieces.append(piece)
    assert resampler.is_done
    assert expected == rows[1]
    return np.concatenate(pieces)


@given(st.tuples(lengths, lengths), st.tuples(lengths, lengths), st.integers(1, 70), st.data())
def test_result_does_not_depend_on_how_rows_are_split(
    src: tuple[int, int], dst: tuple[int, int], cut: int, data: st.DataObject
) -> None:
    values = np.random.default_rng(cut).normal(size=src).astype(np.float32)
    whole = resample_in_bands(values, dst, (0, dst[0]), len(values))
    rows = resample_rows(values, 0, make_taps(src[0], dst[0], 0, dst[0]))
    expected = resample_cols(rows, 0, make_taps(src[1], dst[1], 0, dst[1]))
    assert (whole == expected).all()
    start = data.draw(st.integers(0, dst[0] - 1))
    stop = data.draw(st.integers(start + 1, dst[0]))
    assert (resample_in_bands(values, dst, (start, stop), cut) == whole[start:stop]).all()


def test_size_of_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resample, "_PIECE_BYTES", 4 * 40 * 3)
    pieces = list(RowResampler((10, 10), (40, 40)).push(0, np.ones((10, 10), np.float32)))
    assert max(len(piece) for _, piece in pieces) == 3
    assert sum(len(piece) for _, piece in pieces) == 40


def test_equal_grids_are_unchanged() -> None:
    values = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    ((start, rows),) = RowResampler((20, 5), (20, 5)).push(0, values)
    assert start == 0
    assert np.shares_memory(rows, values)


def test_gap_between_rows() -> None:
    resampler = RowResampler((20, 5), (10, 5))
    list(resampler.push(0, np.zeros((4, 5), np.float32)))
    with pytest.raises(ValueError, match="rows 4 to 6 were not pushed"):
        list(resampler.push(6, np.zeros((4, 5), np.float32)))
