"""Masks of which outlines are made in tests."""

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from rrsis_geo.geo.objects.outlines import Outlines
from rrsis_geo.geo.objects.vectorize import vectorize

Mask = NDArray[np.bool_]


def outlines_of(mask: Mask) -> Outlines:
    """The outlines of the objects of a mask."""
    return vectorize(mask, mask.astype(np.float32)).outlines


def noise(seed: int, side: int, grain: int, share: float) -> Mask:
    """Random squares of `grain` pixels."""
    coarse = np.random.default_rng(seed).random((side, side)) < share
    return np.kron(coarse, np.ones((grain, grain), bool)).astype(bool)


def discs(seed: int) -> Mask:
    """Discs of many sizes; where two of them meet, there is nothing."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:90, :120]
    mask = np.zeros(row.shape, bool)
    for y, x, radius in zip(
        *rng.integers([[0], [0], [2]], [[90], [120], [14]], (3, 25)), strict=True
    ):
        mask ^= np.hypot(row - y, column - x) < radius
    return mask


def rectangle(
    shape: tuple[int, int], centre: tuple[float, float], sides: tuple[float, float], degrees: float
) -> Mask:
    """A rectangle [H, W] about a centre (column, row), turned clockwise on a screen."""
    row, column = np.mgrid[: shape[0], : shape[1]] + 0.5
    turn = np.radians(degrees)
    x, y = column - centre[0], row - centre[1]
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    return np.asarray((np.abs(along) < sides[0] / 2) & (np.abs(across) < sides[1] / 2))


MASKS = st.one_of(
    st.builds(discs, st.integers(0, 10**6)),
    st.builds(noise, st.integers(0, 10**6), st.integers(4, 24), st.integers(1, 4), st.just(0.55)),
)
