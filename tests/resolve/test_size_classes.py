"""Two classes of sizes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrsis_geo.resolve.size_classes import in_size_class


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([7.0], [True]),
        ([5.0, 5.0], [True, True]),
        ([10.0, 300.0], [False, True]),
        ([10.0, 400.0, 12.0, 300.0, 9.0], [False, True, False, True, False]),
        ([0.0, 1.0], [False, True]),
    ],
)
def test_classes(sizes: list[float], expected: list[bool]) -> None:
    large, small = (in_size_class(np.array(sizes), is_large=each) for each in (True, False))
    assert large.tolist() == expected
    assert small.tolist() == ([True] * len(sizes) if all(expected) else [not x for x in expected])


@given(st.lists(st.integers(1, 10_000), min_size=2, max_size=30))
def test_classes_have_the_least_variance(sizes: list[int]) -> None:
    values = np.array(sizes, float)
    large = in_size_class(values, is_large=True)
    logs = np.log(values)
    cuts = np.unique(logs)[:-1]
    if not len(cuts):
        assert large.all()
        return

    def variance(is_above: np.ndarray) -> float:
        return sum(
            float(np.sum((part - part.mean()) ** 2)) for part in (logs[is_above], logs[~is_above])
        )

    assert large.any()
    assert not large.all()
    assert logs[large].min() > logs[~large].max()
    assert variance(large) <= min(variance(logs > cut) for cut in cuts) + 1e-9
